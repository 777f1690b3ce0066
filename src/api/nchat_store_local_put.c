/*
 * The signed PUT of the local store.  nginx writes the body to a file beside
 * the store; here it is checked and moved into its place.
 */

#include "nchat_store_local.h"


/* bytes, at most, that are reserved on the disk before they arrive */
#define NCHAT_PUT_AHEAD  (8 * 1024 * 1024)


/* The request's, in ctx->data. */

typedef struct {
    nchat_file_t         file;
    ngx_str_t            path;
    off_t                reserved;       /* on the disk, up to here */
    nchat_digest_t      *digest;
} nchat_put_t;


static ngx_int_t nchat_put_headers(nchat_ctx_t *ctx, nchat_put_t *put);
static void nchat_put_arriving(nchat_ctx_t *ctx);
static void nchat_put_reserve(nchat_put_t *put, const ngx_temp_file_t *tf);
static void nchat_put_checked(nchat_ctx_t *ctx, void *data);
static ngx_int_t nchat_put_place(nchat_ctx_t *ctx, nchat_put_t *put,
    const char *from);
static int nchat_put_rename(const char *from, const char *to);
static void nchat_put_record(nchat_ctx_t *ctx, nchat_put_t *put);
static void nchat_put_recorded(nchat_db_op_t *op);
static void nchat_put_reply(nchat_ctx_t *ctx, nchat_put_t *put);


static nchat_stmt_t  nchat_put_stmt = {
    "nchat_upload_stored",
    "SELECT status FROM nchat_upload_stored($1::uuid, $2, $3::int, $4::int)",
    4, NCHAT_LANE_FAST, 0, 0, 0
};


/* Everything that can be refused without the body. */

ngx_int_t
nchat_local_early(nchat_ctx_t *ctx)
{
    nchat_put_t      *put;
    ngx_file_info_t   fi;

    put = ngx_pcalloc(ctx->request->pool, sizeof(nchat_put_t));
    if (put == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_DONE;
    }

    if (nchat_local_verify(ctx, &put->file) != NGX_OK
        || nchat_put_headers(ctx, put) != NGX_OK)
    {
        return NGX_DONE;
    }

    if (nchat_local_path(ctx->request->pool, ctx->conf->files,
                         &put->file.key, &put->path)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_DONE;
    }

    if (ngx_file_info(put->path.data, &fi) != NGX_FILE_ERROR) {
        nchat_reply_error(ctx, NCHAT_E_CONFLICT,
                          "This file was uploaded already");
        return NGX_DONE;
    }

    put->digest = nchat_digest_make(ctx, &put->file);
    if (put->digest == NULL) {
        return NGX_DONE;
    }

    ctx->data = put;
    ctx->arriving = nchat_put_arriving;

    /* that it is in a file is nothing to tell the operator */

    ctx->request->request_body_file_log_level = 0;

    return NGX_OK;
}


static ngx_int_t
nchat_put_headers(nchat_ctx_t *ctx, nchat_put_t *put)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!nchat_upload_enabled(ctx)) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "File uploads are switched off");
        return NGX_ERROR;
    }

    if (r->headers_in.content_type == NULL
        || nchat_mime_find(&r->headers_in.content_type->value)
           != put->file.mime)
    {
        nchat_reply_error(ctx, NCHAT_E_FILE_TYPE,
                          "The Content-Type is not the one that was "
                          "announced");
        return NGX_ERROR;
    }

    /* -1: in chunks; then it is known at the end */

    if (r->headers_in.content_length_n != put->file.size
        && !(r->headers_in.content_length_n == -1
             && (r->headers_in.chunked || r->http_version > NGX_HTTP_VERSION_11)))
    {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "The body has not the size that was announced");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
nchat_put_arriving(nchat_ctx_t *ctx)
{
    nchat_put_t *put = ctx->data;

    ngx_temp_file_t  *tf;

    tf = ctx->request->request_body->temp_file;

    if (tf->offset < put->file.size) {
        nchat_put_reserve(put, tf);
        nchat_digest_ahead(put->digest, tf);
    }
}


/*
 * A write into reserved space costs ext4 half of what it costs to reserve
 * block by block; reserving itself is as quick as one more write.  No more
 * than what has arrived, so that a client that only announces a large file
 * takes no space.
 */

static void
nchat_put_reserve(nchat_put_t *put, const ngx_temp_file_t *tf)
{
    off_t  ahead, end, from;

    ahead = ngx_min(tf->offset, NCHAT_PUT_AHEAD);
    end = ngx_min(tf->offset + ahead, put->file.size);

    if (put->reserved - tf->offset > ahead / 4 || end <= put->reserved) {
        return;
    }

    from = ngx_max(tf->offset, put->reserved);
    put->reserved = end;

    if (fallocate(tf->file.fd, FALLOC_FL_KEEP_SIZE, from, end - from) == -1) {

        /* there need not be such a thing; a full disk nginx will find */

        put->reserved = put->file.size;
    }
}


void
nchat_local_receive(nchat_ctx_t *ctx)
{
    nchat_put_t              *put;
    ngx_http_request_body_t  *rb;

    put = ctx->data;
    rb = ctx->request->request_body;

    ctx->arriving = NULL;

    if (rb == NULL || rb->temp_file == NULL
        || rb->temp_file->offset != put->file.size)
    {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "The body has not the size that was announced");
        return;
    }

    nchat_digest_finish(ctx, put->digest, rb->temp_file, nchat_put_checked);
}


static void
nchat_put_checked(nchat_ctx_t *ctx, void *data)
{
    nchat_digest_t *digest = data;

    ngx_str_t     etag;
    ngx_file_t   *from;
    nchat_put_t  *put;

    put = ctx->data;
    from = &ctx->request->request_body->temp_file->file;

    if (digest->err) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, digest->err,
                      "nchat: cannot read the body in \"%V\"", &from->name);
        nchat_reply_status(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (digest->other) {
        nchat_reply_error(ctx, NCHAT_E_FILE_TYPE,
                          "The file is not of the type that was announced");
        return;
    }

    etag.data = digest->etag;
    etag.len = NCHAT_DIGEST_ETAG;

    put->file.etag.len = NCHAT_DIGEST_ETAG;
    put->file.etag.data = ngx_pstrdup(ctx->request->pool, &etag);

    if (put->file.etag.data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (nchat_put_place(ctx, put, (char *) from->name.data) == NGX_OK) {
        nchat_put_record(ctx, put);
    }
}


/* From the event loop, as nginx's own DAV does it; NGX_ERROR: answered. */

static ngx_int_t
nchat_put_place(nchat_ctx_t *ctx, nchat_put_t *put, const char *from)
{
    int          err;
    const char  *to;

    to = (char *) put->path.data;
    err = nchat_put_rename(from, to);

    if (err == ENOENT) {

        /* the day's first file; whoever else makes the folder is welcome */

        (void) ngx_create_full_path(put->path.data, 0700);
        err = nchat_put_rename(from, to);
    }

    if (err == 0) {
        return NGX_OK;
    }

    if (err == EEXIST) {
        nchat_reply_error(ctx, NCHAT_E_CONFLICT,
                          "This file was uploaded already");
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, err,
                  "nchat: cannot move \"%s\" to \"%s\"", from, to);
    nchat_reply_status(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);

    return NGX_ERROR;
}


/* Never over another file.  0 or an errno. */

static int
nchat_put_rename(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }

    if (errno != EINVAL && errno != ENOSYS) {
        return errno;
    }

    /* a file system that lacks it, such as NFS; nginx removes the old name */

    return link(from, to) == 0 ? 0 : errno;
}


static void
nchat_put_record(nchat_ctx_t *ctx, nchat_put_t *put)
{
    nchat_db_op_t  *op;

    op = nchat_db_op(ctx->conf->db, &nchat_put_stmt, nchat_put_recorded, ctx);

    if (op == NULL
        || nchat_db_set(op, 0, &put->file.id) != NGX_OK
        || nchat_db_set(op, 1, &put->file.etag) != NGX_OK
        || nchat_db_set_int(op, 2, ctx->conf->files->lifetime) != NGX_OK
        || nchat_db_set_int(op, 3, 2 * ctx->conf->files->lifetime) != NGX_OK)
    {
        if (op) {
            nchat_db_discard(op);
        }

        (void) ngx_delete_file(put->path.data);
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->op = op;
    nchat_ctx_wait(ctx);
    nchat_db_send(op);
}


/*
 * What was not recorded is taken back, so that the client can try again.  If
 * the client leaves before this, the file stays until the upload expires.
 */

static void
nchat_put_recorded(nchat_db_op_t *op)
{
    nchat_ctx_t *ctx = op->data;

    ngx_str_t          status;
    nchat_put_t       *put;
    ngx_connection_t  *c;

    c = ctx->request->connection;
    put = ctx->data;
    ctx->op = NULL;
    ngx_str_null(&status);

    ngx_http_set_log_request(c->log, ctx->request);

    if (op->status == NCHAT_DB_OK) {
        status = nchat_query_column(op->result, "status");

        if (status.len == 3 && ngx_strncmp(status.data, "200", 3) == 0) {
            nchat_put_reply(ctx, put);
            ngx_http_run_posted_requests(c);
            return;
        }
    }

    (void) ngx_delete_file(put->path.data);

    if (op->status == NCHAT_DB_OK) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "This upload has expired: start again");

    } else if (op->status == NCHAT_DB_TIMEOUT) {
        nchat_reply_status(ctx, NGX_HTTP_GATEWAY_TIME_OUT);

    } else if (op->status == NCHAT_DB_FAILED) {
        nchat_reply_internal(ctx, op->stmt->name);

    } else {
        nchat_reply_status(ctx, NGX_HTTP_SERVICE_UNAVAILABLE);
    }

    ngx_http_run_posted_requests(c);
}


static void
nchat_put_reply(nchat_ctx_t *ctx, nchat_put_t *put)
{
    ngx_str_t            members;
    ngx_http_request_t  *r;

    r = ctx->request;

    members.data = ngx_pnalloc(r->pool, sizeof("\"fileId\":\"\",\"key\":\"\","
                                               "\"size\":,\"etag\":\"\\\"\"")
                                        + put->file.id.len + put->file.key.len
                                        + NGX_OFF_T_LEN + NCHAT_DIGEST_ETAG);

    if (members.data == NULL
        || nchat_reply_header(r, "ETag", &put->file.etag) != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.len = ngx_sprintf(members.data, "\"fileId\":\"%V\",\"key\":\"%V\","
                              "\"size\":%O,\"etag\":\"\\\"%*s\\\"\"",
                              &put->file.id, &put->file.key, put->file.size,
                              (size_t) NCHAT_DIGEST_ETAG - 2,
                              put->file.etag.data + 1)
                  - members.data;

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}
