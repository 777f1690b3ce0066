/* Contract, "Uploads": status and init. */

#include "nchat_api.h"
#include "nchat_json.h"
#include "nchat_store.h"
#include "nchat_time.h"
#include "nchat_uuid.h"


typedef struct {
    ngx_str_t            filename;
    ngx_str_t            type;
    double               size;
    ngx_str_t            channel;
    ngx_str_t            message;

    nchat_file_t         file;
    nchat_target_t       target;
    time_t               expires;
} nchat_upload_t;

static void nchat_upload_ready(nchat_ctx_t *ctx, ngx_uint_t ready);
static ngx_int_t nchat_upload_check(nchat_ctx_t *ctx, nchat_upload_t *upload);
static void nchat_upload_too_large(nchat_ctx_t *ctx, nchat_upload_t *upload,
    const nchat_mime_category_t *category);
static ngx_int_t nchat_upload_key(nchat_ctx_t *ctx, nchat_upload_t *upload);
static void nchat_upload_swept(nchat_ctx_t *ctx, PGresult *result);
static void nchat_upload_announce(nchat_ctx_t *ctx, nchat_upload_t *upload);
static void nchat_upload_announced(nchat_ctx_t *ctx, PGresult *result);


/* the largest double that is an off_t, too */
#define NCHAT_UPLOAD_SIZE_MAX  9223372036854774784.0


static const nchat_check_t  nchat_upload_fields[] = {
    NCHAT_CHECK_STR("filename", offsetof(nchat_upload_t, filename), 1, 255,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_STR("contentType", offsetof(nchat_upload_t, type), 1, 255,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_FIELD("size", NCHAT_CHECK_T_NUM, offsetof(nchat_upload_t, size),
                      1, NCHAT_UPLOAD_SIZE_MAX, NCHAT_REQUIRED, NULL,
                      "size must be a whole number of bytes, at least 1"),
    NCHAT_CHECK_UUID("channelId", offsetof(nchat_upload_t, channel),
                     NCHAT_NULLABLE),
    NCHAT_CHECK_UUID("messageId", offsetof(nchat_upload_t, message),
                     NCHAT_NULLABLE),
    NCHAT_CHECK_END
};

/* Anonymous callers take turns at their quota: that may wait. */

#define NCHAT_UPLOAD_INIT                                                     \
    "SELECT status, body FROM nchat_upload_init($1::uuid, $2::uuid, $3, $4,"  \
    " $5, $6::bigint, $7, $8::uuid, $9::uuid, $10::int, $11::int,"            \
    " $12::bigint)"

static nchat_stmt_t  nchat_upload_init_stmt = {
    "nchat_upload_init", NCHAT_UPLOAD_INIT, 12, NCHAT_LANE_FAST, 0, 0, 0
};

static nchat_stmt_t  nchat_upload_init_quota_stmt = {
    "nchat_upload_init_quota", NCHAT_UPLOAD_INIT, 12, NCHAT_LANE_LOCK, 0, 0, 0
};


ngx_uint_t
nchat_upload_enabled(nchat_ctx_t *ctx)
{
    nchat_live_t  *live;

    live = nchat_live_keep(ctx->conf->zone, ctx->request->pool);

    return live == NULL || nchat_live_flag(live, "features.fileUploads", 1);
}


ngx_int_t
nchat_upload_allowed(nchat_ctx_t *ctx)
{
    if (!nchat_upload_enabled(ctx)) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "File uploads are switched off");
        return NGX_ERROR;
    }

    if (ctx->caller.role == NCHAT_ROLE_GUEST) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "Guests have read access only");
        return NGX_ERROR;
    }

    if (!ctx->caller.valid
        && ctx->conf->files->anonymous == NCHAT_ANONYMOUS_NO)
    {
        nchat_reply_error(ctx, NCHAT_E_UNAUTHORIZED,
                          "Sign in to upload files");
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
nchat_api_upload_status(nchat_ctx_t *ctx)
{
    if (!nchat_upload_enabled(ctx)) {
        nchat_upload_ready(ctx, 0);
        return;
    }

    ctx->conf->files->store->ready(ctx, nchat_upload_ready);
}


static void
nchat_upload_ready(nchat_ctx_t *ctx, ngx_uint_t ready)
{
    u_char                       *p, *last;
    ngx_str_t                     members;
    ngx_uint_t                    i;
    const nchat_mime_category_t  *category;

    p = ngx_pnalloc(ctx->request->pool, 1024);
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.data = p;
    last = p + 1024;

    /*
     * 50 MB is what the API's document says of files in general; the limits
     * by kind are what counts.
     */

    p = ngx_slprintf(p, last, "\"service\":\"upload\",\"status\":\"%s\","
                     "\"config\":{\"maxFileSize\":\"50 MB\","
                     "\"allowedTypes\":[",
                     ready ? "available" : "unavailable");

    category = nchat_mime_categories;

    for (i = 0; i < NCHAT_MIME_CATEGORIES; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\"", i ? "," : "",
                         &category[i].group);
    }

    p = ngx_slprintf(p, last, "],\"presignedUrlExpiry\":%T},\"limits\":[",
                     ctx->conf->files->lifetime);

    for (i = 0; i < NCHAT_MIME_CATEGORIES; i++) {
        p = ngx_slprintf(p, last, "%s{\"type\":\"%V\",\"maxSize\":\"%V\"}",
                         i ? "," : "", &category[i].name, &category[i].label);
    }

    p = ngx_slprintf(p, last, "]");
    members.len = p - members.data;

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}


void
nchat_api_upload_init(nchat_ctx_t *ctx)
{
    nchat_upload_t  *upload;

    if (nchat_upload_allowed(ctx) != NGX_OK) {
        return;
    }

    upload = ngx_pcalloc(ctx->request->pool, sizeof(nchat_upload_t));
    if (upload == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->data = upload;

    if (nchat_upload_check(ctx, upload) != NGX_OK) {
        return;
    }

    upload->expires = ngx_time() + ctx->conf->files->lifetime;

    if (nchat_upload_key(ctx, upload) != NGX_OK) {
        nchat_reply_internal(ctx, "an upload could not be prepared");
        return;
    }

    switch (ctx->conf->files->store->target(ctx, &upload->file,
                                            upload->expires, &upload->target))
    {
    case NGX_OK:
        if (!nchat_sweep_with(ctx, nchat_upload_swept)) {
            nchat_upload_announce(ctx, upload);
        }

        return;

    case NGX_DONE:
        return;

    default:
        nchat_reply_internal(ctx, "an upload's URL could not be signed");
    }
}


/* NGX_ERROR: answered. */

static ngx_int_t
nchat_upload_check(nchat_ctx_t *ctx, nchat_upload_t *upload)
{
    const nchat_mime_category_t  *category;

    if (nchat_body_check(ctx, nchat_upload_fields, upload) != NGX_OK) {
        return NGX_ERROR;
    }

    if (upload->size != (double) (off_t) upload->size) {
        nchat_reply_invalid(ctx, "size", "type",
                            "size must be a whole number of bytes, at least "
                            "1");
        return NGX_ERROR;
    }

    upload->file.name = upload->filename;
    upload->file.size = (off_t) upload->size;
    upload->file.mime = nchat_mime_find(&upload->type);

    if (upload->file.mime == NULL) {
        nchat_reply_error(ctx, NCHAT_E_FILE_TYPE,
                          "Files of this type may not be uploaded");
        return NGX_ERROR;
    }

    category = &nchat_mime_categories[upload->file.mime->category];

    if (upload->file.size > category->limit) {
        nchat_upload_too_large(ctx, upload, category);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
nchat_upload_too_large(nchat_ctx_t *ctx, nchat_upload_t *upload,
    const nchat_mime_category_t *category)
{
    u_char     text[128], json[128];
    ngx_str_t  message, details;

    message.data = text;
    message.len = ngx_snprintf(text, sizeof(text), "The file exceeds the size "
                               "limit of %V for its type (%V)",
                               &category->label, &category->name)
                  - text;

    details.data = json;
    details.len = ngx_snprintf(json, sizeof(json),
                               "{\"maxSize\":%O,\"size\":%O}",
                               category->limit, upload->file.size)
                  - json;

    details.data = ngx_pstrdup(ctx->request->pool, &details);

    nchat_reply_error_details(ctx, NCHAT_E_FILE_TOO_LARGE, &message,
                              details.data ? &details : NULL);
}


/* Its id and key: nothing of them is the client's but the extension. */

static ngx_int_t
nchat_upload_key(nchat_ctx_t *ctx, nchat_upload_t *upload)
{
    u_char         *p, ext[10], date[NCHAT_TIME_LEN];
    size_t          len;
    nchat_file_t   *file;

    file = &upload->file;

    p = ngx_pnalloc(ctx->request->pool, 2 * NCHAT_UUID_LEN + sizeof(ext)
                                        + sizeof("uploads/2026/01/02/."));
    if (p == NULL || nchat_uuid_v4(p) != NGX_OK) {
        return NGX_ERROR;
    }

    file->id.data = p;
    file->id.len = NCHAT_UUID_LEN;

    nchat_time_format(date, (int64_t) ngx_time() * 1000);
    date[4] = '/';
    date[7] = '/';

    p += NCHAT_UUID_LEN;
    file->key.data = p;
    p = ngx_sprintf(p, "uploads/%*s/%V", (size_t) 10, date, &file->id);

    len = nchat_mime_extension(ext, &file->name);

    if (len) {
        *p++ = '.';
        p = ngx_cpymem(p, ext, len);
    }

    file->key.len = p - file->key.data;

    return NGX_OK;
}


static void
nchat_upload_swept(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_sweep_run(ctx, result);
    nchat_upload_announce(ctx, ctx->data);
}


static void
nchat_upload_announce(nchat_ctx_t *ctx, nchat_upload_t *upload)
{
    time_t         complete;
    ngx_str_t      params[12];
    nchat_stmt_t  *stmt;

    ngx_memzero(params, sizeof(params));

    /*
     * A PUT that began in time may end later: here it then gains time, with
     * a store that is not ours there must be enough from the start.
     */

    complete = ctx->conf->files->lifetime;

    if (ctx->conf->files->store->receive == NULL) {
        complete *= 2;
    }

    params[0] = upload->file.id;
    params[2] = upload->file.name;
    params[3] = upload->file.mime->type;
    params[4] = nchat_mime_categories[upload->file.mime->category].name;
    params[5] = nchat_query_int(ctx, upload->file.size);
    params[6] = upload->file.key;
    params[7] = upload->channel;
    params[8] = upload->message;
    params[9] = nchat_query_int(ctx, complete);
    params[10] = nchat_query_int(ctx, complete + ctx->conf->files->lifetime);

    stmt = &nchat_upload_init_stmt;

    if (ctx->caller.valid) {
        params[1] = ctx->caller.claims.sub;

    } else if (ctx->conf->files->anonymous != NCHAT_ANONYMOUS_ALL) {
        params[11] = nchat_query_int(ctx, ctx->conf->files->anonymous);
        stmt = &nchat_upload_init_quota_stmt;
    }

    nchat_query(ctx, stmt, params, 12, nchat_upload_announced);
}


static void
nchat_upload_announced(nchat_ctx_t *ctx, PGresult *result)
{
    u_char              *p, date[NCHAT_TIME_LEN];
    ngx_str_t            members;
    nchat_upload_t      *upload;
    nchat_files_conf_t  *files;

    if (nchat_query_expect(ctx, result, NGX_HTTP_CREATED) != NGX_OK) {
        return;
    }

    upload = ctx->data;
    files = ctx->conf->files;

    p = ngx_pnalloc(ctx->request->pool, upload->file.id.len
                    + upload->target.url.len + upload->target.headers.len
                    + NCHAT_TIME_LEN + files->bucket.len + upload->file.key.len
                    + sizeof("\"fileId\":\"\",\"uploadUrl\":\"\",\"method\":"
                             "\"PUT\",\"headers\":{},\"expiresAt\":\"\","
                             "\"bucket\":\"\",\"key\":\"\""));
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_time_format(date, (int64_t) upload->expires * 1000);

    members.data = p;
    p = ngx_sprintf(p, "\"fileId\":\"%V\",\"uploadUrl\":\"%V\",\"method\":"
                    "\"PUT\",\"headers\":{%V},\"expiresAt\":\"%*s\","
                    "\"bucket\":\"%V\",\"key\":\"%V\"", &upload->file.id,
                    &upload->target.url, &upload->target.headers,
                    (size_t) NCHAT_TIME_LEN, date, &files->bucket,
                    &upload->file.key);
    members.len = p - members.data;

    nchat_reply_ok(ctx, NGX_HTTP_CREATED, &members, NULL);
}
