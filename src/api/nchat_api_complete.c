/* Contract, "Uploads": complete. */

#include "nchat_api.h"
#include "nchat_store.h"
#include "nchat_uuid.h"


typedef struct {
    ngx_str_t            id;
    ngx_str_t            etag;
    ngx_int_t            width;
    ngx_int_t            height;
    double               duration;

    ngx_str_t            base;
    nchat_file_t         file;
} nchat_complete_t;


static void nchat_upload_found(nchat_ctx_t *ctx, PGresult *result);
static ngx_int_t nchat_upload_etag(nchat_ctx_t *ctx,
    const nchat_complete_t *complete);
static void nchat_upload_checked(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_result_e result);
static ngx_int_t nchat_upload_stored(nchat_ctx_t *ctx,
    const nchat_complete_t *complete, nchat_store_result_e result);
static void nchat_upload_completed(nchat_ctx_t *ctx, PGresult *result);


static const nchat_check_t  nchat_complete_fields[] = {
    NCHAT_CHECK_STR("fileId", offsetof(nchat_complete_t, id), 1, 255,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_STR("etag", offsetof(nchat_complete_t, etag), 0, 255,
                    NCHAT_NULLABLE),
    NCHAT_CHECK_INT("width", offsetof(nchat_complete_t, width), 1, 1000000,
                    NCHAT_NULLABLE),
    NCHAT_CHECK_INT("height", offsetof(nchat_complete_t, height), 1, 1000000,
                    NCHAT_NULLABLE),
    NCHAT_CHECK_NUM("duration", offsetof(nchat_complete_t, duration), 0,
                    1000000000, NCHAT_NULLABLE),
    NCHAT_CHECK_END
};


static nchat_stmt_t  nchat_upload_find_stmt = {
    "nchat_upload_find",
    "SELECT status, body, key, mime_type, size, etag"
    " FROM nchat_upload_find($1::uuid, $2::uuid, $3)",
    3, NCHAT_LANE_FAST, 1, 0, 0
};

/* two at once wait for each other */

static nchat_stmt_t  nchat_upload_complete_stmt = {
    "nchat_upload_complete",
    "SELECT status, body, size FROM nchat_upload_complete($1::uuid, $2::uuid,"
    " $3, $4, $5, $6::int, $7::int, $8::float8, $9, $10, $11)",
    11, NCHAT_LANE_LOCK, 0, 0, 0
};


void
nchat_api_upload_complete(nchat_ctx_t *ctx)
{
    ngx_str_t          params[3];
    nchat_complete_t  *complete;

    if (nchat_upload_allowed(ctx) != NGX_OK) {
        return;
    }

    complete = ngx_pcalloc(ctx->request->pool, sizeof(nchat_complete_t));
    if (complete == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    complete->width = NGX_CONF_UNSET;
    complete->height = NGX_CONF_UNSET;
    complete->duration = -1;

    if (nchat_body_check(ctx, nchat_complete_fields, complete) != NGX_OK
        || nchat_files_base(ctx, &complete->base) != NGX_OK)
    {
        return;
    }

    if (nchat_uuid_parse(&complete->id, NULL) != NGX_OK) {
        nchat_reply_error(ctx, NCHAT_E_NOT_FOUND, "There is no such upload");
        return;
    }

    ctx->data = complete;

    params[0] = complete->id;
    params[1] = ctx->caller.claims.sub;
    params[2] = complete->base;

    if (!ctx->caller.valid) {
        ngx_str_null(&params[1]);
    }

    nchat_query(ctx, &nchat_upload_find_stmt, params, 3, nchat_upload_found);
}


/* Status 202: it is announced, and the store is asked. */

static void
nchat_upload_found(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t          size, type;
    nchat_file_t      *file;
    nchat_complete_t  *complete;

    if (nchat_query_expect(ctx, result, NGX_HTTP_ACCEPTED) != NGX_OK) {
        return;
    }

    complete = ctx->data;
    file = &complete->file;

    size = nchat_query_column(result, "size");
    type = nchat_query_column(result, "mime_type");

    file->id = complete->id;
    file->key = nchat_query_column(result, "key");
    file->etag = nchat_query_column(result, "etag");
    file->size = ngx_atoof(size.data, size.len);
    file->mime = nchat_mime_find(&type);

    ctx->conf->files->store->check(ctx, file, nchat_upload_checked);
}


/* The client's tag may lack its quotes, or be weak by a compressing proxy. */

static ngx_int_t
nchat_upload_etag(nchat_ctx_t *ctx, const nchat_complete_t *complete)
{
    ngx_str_t  given, known;

    given = complete->etag;
    known = complete->file.etag;

    if (given.len == 0) {
        return NGX_OK;
    }

    if (given.len > 2 && ngx_strncmp(given.data, "W/", 2) == 0) {
        given.data += 2;
        given.len -= 2;
    }

    if (known.len >= 2 && (given.len < 2 || given.data[0] != '"')) {
        known.data++;
        known.len -= 2;
    }

    return (given.len == known.len
            && ngx_memcmp(given.data, known.data, given.len) == 0)
           ? NGX_OK : NGX_DECLINED;
}


static void
nchat_upload_checked(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_result_e result)
{
    ngx_str_t          params[11];
    nchat_complete_t  *complete;

    complete = ctx->data;

    if (nchat_upload_stored(ctx, complete, result) != NGX_OK) {
        return;
    }

    ngx_memzero(params, sizeof(params));

    params[0] = complete->id;

    if (ctx->caller.valid) {
        params[1] = ctx->caller.claims.sub;
        params[2] = ctx->caller.claims.email;
        params[3] = ctx->caller.claims.username;
    }

    params[4] = file->etag;

    if (complete->width != NGX_CONF_UNSET) {
        params[5] = nchat_query_int(ctx, complete->width);
    }

    if (complete->height != NGX_CONF_UNSET) {
        params[6] = nchat_query_int(ctx, complete->height);
    }

    if (complete->duration >= 0) {
        params[7].data = ngx_pnalloc(ctx->request->pool, 64);

        if (params[7].data) {
            params[7].len = snprintf((char *) params[7].data, 64, "%.15g",
                                     complete->duration);
        }
    }

    params[8] = complete->base;
    params[9] = nchat_limit_address(ctx);
    params[10] = ctx->request_id;

    nchat_query(ctx, &nchat_upload_complete_stmt, params, 11,
                nchat_upload_completed);
}


/* NGX_ERROR: answered, the store has not what was announced. */

static ngx_int_t
nchat_upload_stored(nchat_ctx_t *ctx, const nchat_complete_t *complete,
    nchat_store_result_e result)
{
    const char     *why;
    nchat_error_e   error;

    error = NCHAT_E_CONFLICT;

    switch (result) {

    case NCHAT_STORE_OK:
        if (nchat_upload_etag(ctx, complete) == NGX_OK) {
            return NGX_OK;
        }

        why = "The file that was uploaded has another ETag";
        break;

    case NCHAT_STORE_ABSENT:
        why = "The file was not uploaded yet";
        break;

    case NCHAT_STORE_OTHER_SIZE:
        why = "The file that was uploaded has another size";
        break;

    default:
        error = NCHAT_E_UNAVAILABLE;
        why = "The file store is temporarily unavailable";
        break;
    }

    nchat_reply_error(ctx, error, why);

    return NGX_ERROR;
}


static void
nchat_upload_completed(nchat_ctx_t *ctx, PGresult *result)
{
    off_t      size;
    ngx_str_t  text;

    text = nchat_query_column(result, "size");
    size = text.len ? ngx_atoof(text.data, text.len) : -1;

    if (size > 0) {
        nchat_count(ctx->conf->metrics, NCHAT_M_UPLOADS);
        nchat_count_n(ctx->conf->metrics, NCHAT_M_UPLOAD_BYTES, size);
    }

    nchat_query_reply(ctx, result);
}
