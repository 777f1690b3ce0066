/*
 * The signed PUT of the local store.  nginx writes the body to a file beside
 * the store; here it is checked and moved into its place.
 */

#include "nchat_store_local.h"
#include "nchat_crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>


#define NCHAT_PUT_CHUNK   (256 * 1024)

/*
 * An ETag is 128 bits of GMAC (NIST SP 800-38D) in hex, in quotes.  Its key is
 * no secret: the digest tells contents apart, it proves nothing.  It reads a
 * file five times as fast as SHA-256, which costs a third of the throughput.
 */
#define NCHAT_PUT_DIGEST  16
#define NCHAT_PUT_ETAG    (2 + 2 * NCHAT_PUT_DIGEST)
#define NCHAT_PUT_KEY     "nchat file etag."
#define NCHAT_PUT_IV      "nchat files."


/* The request's, in ctx->data. */

typedef struct {
    nchat_file_t         file;
    ngx_str_t            path;
} nchat_put_t;

/* The thread's. */

typedef struct {
    const nchat_mime_t  *mime;
    int                  err;            /* errno, if something failed */
    unsigned             agrees:1;
    u_char               etag[NCHAT_PUT_ETAG];
    char                 path[1];
} nchat_put_task_t;


static ngx_int_t nchat_put_headers(nchat_ctx_t *ctx, nchat_put_t *put);
static void nchat_put_thread(void *data);
static int nchat_put_digest(nchat_put_task_t *task, int fd, u_char *buf);
static int nchat_put_read(nchat_put_task_t *task, int fd, u_char *buf,
    EVP_MAC_CTX *mac);
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

    ctx->data = put;

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


void
nchat_local_receive(nchat_ctx_t *ctx)
{
    ngx_str_t                *name;
    nchat_put_t              *put;
    nchat_put_task_t         *task;
    ngx_http_request_body_t  *rb;

    put = ctx->data;
    rb = ctx->request->request_body;

    if (rb == NULL || rb->temp_file == NULL
        || rb->temp_file->offset != put->file.size)
    {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "The body has not the size that was announced");
        return;
    }

    name = &rb->temp_file->file.name;

    task = nchat_task_make(ctx, sizeof(nchat_put_task_t) + name->len);
    if (task == NULL) {
        return;
    }

    task->mime = put->file.mime;
    ngx_memcpy(task->path, name->data, name->len);

    nchat_task_post(ctx, task, nchat_put_thread, nchat_put_checked);
}


static void
nchat_put_thread(void *data)
{
    nchat_put_task_t *task = data;

    int      fd;
    u_char  *buf;

    fd = open(task->path, O_RDONLY|O_CLOEXEC);
    buf = malloc(NCHAT_PUT_CHUNK);

    if (fd == -1 || buf == NULL) {
        task->err = fd == -1 ? errno : ENOMEM;

    } else {
        task->err = nchat_put_digest(task, fd, buf);
    }

    free(buf);

    if (fd != -1) {
        (void) close(fd);
    }
}


/* 0, or an errno. */

static int
nchat_put_digest(nchat_put_task_t *task, int fd, u_char *buf)
{
    int           err;
    size_t        len;
    u_char        digest[NCHAT_PUT_DIGEST];
    EVP_MAC      *gmac;
    OSSL_PARAM    params[3];
    EVP_MAC_CTX  *mac;

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER,
                                                 "AES-128-GCM", 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV,
                                                  NCHAT_PUT_IV,
                                                  sizeof(NCHAT_PUT_IV) - 1);
    params[2] = OSSL_PARAM_construct_end();

    gmac = EVP_MAC_fetch(NULL, "GMAC", NULL);
    mac = gmac ? EVP_MAC_CTX_new(gmac) : NULL;

    if (mac == NULL
        || !EVP_MAC_init(mac, (u_char *) NCHAT_PUT_KEY,
                         sizeof(NCHAT_PUT_KEY) - 1, params))
    {
        err = ENOMEM;

    } else {
        err = nchat_put_read(task, fd, buf, mac);
    }

    if (err == 0 && !EVP_MAC_final(mac, digest, &len, sizeof(digest))) {
        err = EIO;
    }

    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(gmac);

    if (err == 0) {
        task->etag[0] = '"';
        *nchat_hex_encode(task->etag + 1, digest, NCHAT_PUT_DIGEST) = '"';
    }

    return err;
}


static int
nchat_put_read(nchat_put_task_t *task, int fd, u_char *buf, EVP_MAC_CTX *mac)
{
    off_t    at;
    ssize_t  n;

    for (at = 0; /* void */ ; at += n) {
        n = pread(fd, buf, NCHAT_PUT_CHUNK, at);

        if (n <= 0) {
            return (n == -1) ? errno : 0;
        }

        if (at == 0) {
            task->agrees = nchat_mime_agrees(task->mime, buf,
                                             ngx_min(n, NCHAT_MIME_HEAD));
            if (!task->agrees) {
                return 0;
            }
        }

        if (!EVP_MAC_update(mac, buf, n)) {
            return EIO;
        }
    }
}


static void
nchat_put_checked(nchat_ctx_t *ctx, void *data)
{
    nchat_put_task_t *task = data;

    ngx_str_t     etag;
    nchat_put_t  *put;

    put = ctx->data;

    if (task->err) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, task->err,
                      "nchat: cannot read the body in \"%s\"", task->path);
        nchat_reply_status(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (!task->agrees) {
        nchat_reply_error(ctx, NCHAT_E_FILE_TYPE,
                          "The file is not of the type that was announced");
        return;
    }

    etag.data = task->etag;
    etag.len = NCHAT_PUT_ETAG;

    put->file.etag.len = NCHAT_PUT_ETAG;
    put->file.etag.data = ngx_pstrdup(ctx->request->pool, &etag);

    if (put->file.etag.data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (nchat_put_place(ctx, put, task->path) == NGX_OK) {
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
                                        + NGX_OFF_T_LEN + NCHAT_PUT_ETAG);

    if (members.data == NULL
        || nchat_reply_header(r, "ETag", &put->file.etag) != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.len = ngx_sprintf(members.data, "\"fileId\":\"%V\",\"key\":\"%V\","
                              "\"size\":%O,\"etag\":\"\\\"%*s\\\"\"",
                              &put->file.id, &put->file.key, put->file.size,
                              (size_t) NCHAT_PUT_ETAG - 2,
                              put->file.etag.data + 1)
                  - members.data;

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}
