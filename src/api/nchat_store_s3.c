/*
 * Files in a bucket of S3 or a compatible service.  Clients send and fetch
 * them there, by URLs that are presigned here.
 *
 * A PUT's size and type are signed with it, so a URL takes exactly the file
 * that was announced.  With "once=on" it is taken only once: "If-None-Match: *"
 * is signed, too, which AWS and others know, but not every service does.
 */

#include "nchat_store_s3.h"


#define NCHAT_S3_READ_LIFE   300         /* of the URL behind a download */
#define NCHAT_S3_READY_LIFE  5000        /* milliseconds */


typedef struct {
    nchat_file_t           *file;
    nchat_store_checked_pt  done;
} nchat_s3_check_t;

/* One of a sweep's files; the sweep is NULL once it is done. */

typedef struct {
    nchat_sweep_t          *sweep;
} nchat_s3_sweep_t;

typedef struct {
    nchat_s3_sweep_t       *all;
    ngx_uint_t              i;
} nchat_s3_remove_t;


static ngx_int_t nchat_s3_target(nchat_ctx_t *ctx, const nchat_file_t *file,
    time_t expires, nchat_target_t *target);
static void nchat_s3_check(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_checked_pt done);
static void nchat_s3_checked(nchat_ctx_t *ctx, void *data,
    nchat_s3_answer_t *answer);
static void nchat_s3_redirect(nchat_ctx_t *ctx, const nchat_file_t *file);
static void nchat_s3_ready(nchat_ctx_t *ctx, nchat_store_ready_pt done);
static void nchat_s3_is_ready(nchat_ctx_t *ctx, void *data,
    nchat_s3_answer_t *answer);
static void nchat_s3_remove(nchat_ctx_t *ctx, nchat_sweep_t *sweep);
static void nchat_s3_removed(nchat_ctx_t *ctx, void *data,
    nchat_s3_answer_t *answer);
static void nchat_s3_remove_ended(nchat_s3_sweep_t *all);
static void nchat_s3_remove_cleanup(void *data);


const nchat_store_t  nchat_store_s3 = {
    ngx_string("s3"),
    nchat_s3_configure,
    NULL,
    nchat_s3_target,
    nchat_s3_check,
    nchat_s3_redirect,
    nchat_s3_ready,
    nchat_s3_remove,
    0,
    NULL,
    NULL
};


static ngx_int_t
nchat_s3_target(nchat_ctx_t *ctx, const nchat_file_t *file, time_t expires,
    nchat_target_t *target)
{
    u_char                  size[NGX_OFF_T_LEN];
    nchat_s3_t             *s3;
    nchat_sigv4_pair_t      headers[4];
    nchat_sigv4_request_t   request;

    s3 = ctx->conf->files->data;
    ngx_memzero(&request, sizeof(nchat_sigv4_request_t));

    ngx_str_set(&headers[1].name, "content-length");
    headers[1].value.data = size;
    headers[1].value.len = ngx_sprintf(size, "%O", file->size) - size;

    ngx_str_set(&headers[2].name, "content-type");
    headers[2].value = file->mime->type;

    ngx_str_set(&headers[3].name, "if-none-match");
    ngx_str_set(&headers[3].value, "*");

    request.headers = headers;
    request.nheaders = s3->once ? 4 : 3;

    target->headers.data = ngx_pnalloc(ctx->request->pool,
                                       sizeof("\"Content-Type\":\"\","
                                              "\"If-None-Match\":\"*\"")
                                       + file->mime->type.len);
    if (target->headers.data == NULL) {
        return NGX_ERROR;
    }

    target->headers.len = ngx_sprintf(target->headers.data,
                                      "\"Content-Type\":\"%V\"%s",
                                      &file->mime->type,
                                      s3->once ? ",\"If-None-Match\":\"*\""
                                               : "")
                          - target->headers.data;

    return nchat_s3_presign(ctx->request->pool, s3, "PUT", &file->key,
                            &request, expires - ngx_time(), &target->url);
}


static void
nchat_s3_check(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_checked_pt done)
{
    nchat_s3_check_t  *check;

    check = ngx_palloc(ctx->request->pool, sizeof(nchat_s3_check_t));

    if (check == NULL) {
        done(ctx, file, NCHAT_STORE_FAILED);
        return;
    }

    check->file = file;
    check->done = done;

    if (nchat_s3_send(ctx, NGX_HTTP_HEAD, &file->key, 1, nchat_s3_checked,
                      check)
        != NGX_OK)
    {
        done(ctx, file, NCHAT_STORE_FAILED);
    }
}


static void
nchat_s3_checked(nchat_ctx_t *ctx, void *data, nchat_s3_answer_t *answer)
{
    nchat_s3_check_t *check = data;

    nchat_store_result_e  result;

    if (answer->status == NGX_HTTP_OK) {
        result = (answer->size == check->file->size) ? NCHAT_STORE_OK
                                                     : NCHAT_STORE_OTHER_SIZE;
        check->file->etag = answer->etag;

    } else if (answer->status == NGX_HTTP_NOT_FOUND) {
        result = NCHAT_STORE_ABSENT;

    } else {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "nchat: the file store answered HEAD with status %ui",
                      answer->status);
        result = NCHAT_STORE_FAILED;
    }

    check->done(ctx, check->file, result);
}


/*
 * The bytes come from the store.  It is told the headers that matter; the
 * policy of our own answers cannot go with them, but then it is another
 * origin, too.
 */

static void
nchat_s3_redirect(nchat_ctx_t *ctx, const nchat_file_t *file)
{
    ngx_str_t               url, value;
    nchat_sigv4_pair_t      host, args[2];
    ngx_table_elt_t        *location;
    ngx_http_request_t     *r;
    nchat_sigv4_request_t   request;

    r = ctx->request;
    ngx_memzero(&request, sizeof(nchat_sigv4_request_t));

    nchat_file_unset(r);

    value.data = ngx_pnalloc(r->pool,
                             NCHAT_MIME_DISPOSITION_MAX(file->name.len));
    location = ngx_list_push(&r->headers_out.headers);

    if (value.data == NULL || location == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    value.len = nchat_mime_disposition(value.data, !file->mime->shown,
                                       &file->name)
                - value.data;

    ngx_str_set(&args[0].name, "response-content-disposition");
    args[0].value = value;
    ngx_str_set(&args[1].name, "response-content-type");
    args[1].value = file->mime->type;

    request.headers = &host;
    request.nheaders = 1;
    request.args = args;
    request.nargs = 2;

    ngx_memzero(location, sizeof(ngx_table_elt_t));

    if (nchat_s3_presign(r->pool, ctx->conf->files->data, "GET", &file->key,
                         &request, NCHAT_S3_READ_LIFE, &url)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "a download's URL could not be signed");
        return;
    }

    location->hash = 1;
    ngx_str_set(&location->key, "Location");
    location->value = url;
    r->headers_out.location = location;

    ngx_str_set(&value, "no-store");

    if (nchat_reply_header(r, "Cache-Control", &value) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_reply_empty(ctx, NGX_HTTP_MOVED_TEMPORARILY);
}


/* Asked at most every few seconds by a worker. */

static ngx_msec_t   nchat_s3_ready_at;
static ngx_uint_t   nchat_s3_ready_known;
static ngx_uint_t   nchat_s3_was_ready;


static void
nchat_s3_ready(nchat_ctx_t *ctx, nchat_store_ready_pt done)
{
    nchat_store_ready_pt  *next;

    static ngx_str_t  bucket = ngx_null_string;

    if (nchat_s3_ready_known
        && ngx_current_msec - nchat_s3_ready_at < NCHAT_S3_READY_LIFE)
    {
        done(ctx, nchat_s3_was_ready);
        return;
    }

    next = ngx_palloc(ctx->request->pool, sizeof(nchat_store_ready_pt));

    if (next == NULL) {
        done(ctx, 0);
        return;
    }

    *next = done;

    if (nchat_s3_send(ctx, NGX_HTTP_HEAD, &bucket, 1, nchat_s3_is_ready, next)
        != NGX_OK)
    {
        done(ctx, 0);
    }
}


static void
nchat_s3_is_ready(nchat_ctx_t *ctx, void *data, nchat_s3_answer_t *answer)
{
    nchat_store_ready_pt *done = data;

    nchat_s3_ready_at = ngx_current_msec;
    nchat_s3_ready_known = 1;
    nchat_s3_was_ready = (answer->status == NGX_HTTP_OK);

    if (!nchat_s3_was_ready) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "nchat: the file store answered HEAD of its bucket with "
                      "status %ui", answer->status);
    }

    (*done)(ctx, nchat_s3_was_ready);
}


static void
nchat_s3_remove(nchat_ctx_t *ctx, nchat_sweep_t *sweep)
{
    ngx_uint_t           i;
    nchat_s3_sweep_t    *all;
    nchat_s3_remove_t   *one;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(ctx->request->pool, sizeof(nchat_s3_sweep_t));
    one = ngx_palloc(ctx->request->pool, sweep->n * sizeof(nchat_s3_remove_t));

    if (cln == NULL || one == NULL) {
        ngx_destroy_pool(sweep->pool);
        return;
    }

    all = cln->data;
    all->sweep = sweep;
    cln->handler = nchat_s3_remove_cleanup;

    /* one more than there are, so that it does not end in this loop */

    sweep->left = sweep->n + 1;

    for (i = 0; i < sweep->n; i++) {
        one[i].all = all;
        one[i].i = i;

        if (nchat_s3_send(ctx, NGX_HTTP_DELETE, &sweep->keys[i], 0,
                          nchat_s3_removed, &one[i])
            != NGX_OK)
        {
            ngx_str_null(&sweep->ids[i]);
            sweep->left--;
        }
    }

    nchat_s3_remove_ended(all);
}


static void
nchat_s3_removed(nchat_ctx_t *ctx, void *data, nchat_s3_answer_t *answer)
{
    nchat_s3_remove_t *one = data;

    nchat_sweep_t  *sweep;

    sweep = one->all->sweep;

    if (sweep == NULL) {
        return;
    }

    if (answer->status != NGX_HTTP_NO_CONTENT && answer->status != NGX_HTTP_OK
        && answer->status != NGX_HTTP_NOT_FOUND)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "nchat: the file store answered DELETE with status %ui",
                      answer->status);
        ngx_str_null(&sweep->ids[one->i]);
    }

    nchat_s3_remove_ended(one->all);
}


/* Forgotten are the ones that are gone. */

static void
nchat_s3_remove_ended(nchat_s3_sweep_t *all)
{
    ngx_uint_t      i, n;
    nchat_sweep_t  *sweep;

    sweep = all->sweep;

    if (--sweep->left) {
        return;
    }

    for (i = 0, n = 0; i < sweep->n; i++) {
        if (sweep->ids[i].len) {
            sweep->ids[n++] = sweep->ids[i];
        }
    }

    sweep->n = n;
    all->sweep = NULL;
    nchat_sweep_done(sweep);
}


/* The request was ended before its subrequests. */

static void
nchat_s3_remove_cleanup(void *data)
{
    nchat_s3_sweep_t *all = data;

    if (all->sweep) {
        ngx_destroy_pool(all->sweep->pool);
    }
}
