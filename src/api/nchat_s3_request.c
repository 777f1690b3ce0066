/* Requests to S3: presigned by us, sent by nginx's proxy in a subrequest. */

#include "nchat_store_s3.h"


#define NCHAT_S3_LIFE  60


typedef struct {
    nchat_ctx_t         *ctx;
    nchat_s3_done_pt     done;
    void                *data;
    nchat_s3_answer_t    answer;
    ngx_uint_t           wait;
    ngx_uint_t           over;
} nchat_s3_call_t;


static ngx_int_t nchat_s3_answered(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
static void nchat_s3_resume(ngx_http_request_t *r);
static ngx_int_t nchat_s3_subrequest(nchat_ctx_t *ctx, ngx_uint_t method,
    ngx_str_t *url, nchat_s3_call_t *call);


ngx_int_t
nchat_s3_presign(ngx_pool_t *pool, nchat_s3_t *s3, const char *method,
    const ngx_str_t *key, nchat_sigv4_request_t *request, ngx_uint_t life,
    ngx_str_t *url)
{
    ngx_str_t  uri;

    request->method.data = (u_char *) method;
    request->method.len = ngx_strlen(method);
    request->time = ngx_time();

    ngx_str_set(&request->headers[0].name, "host");
    request->headers[0].value = s3->host;

    request->path.data = ngx_pnalloc(pool, s3->prefix.len + key->len + 2);
    if (request->path.data == NULL) {
        return NGX_ERROR;
    }

    request->path.len = ngx_sprintf(request->path.data, "%V%s%V", &s3->prefix,
                                    (key->len || s3->prefix.len == 0) ? "/"
                                                                      : "",
                                    key)
                        - request->path.data;

    if (nchat_sigv4_presign(pool, &s3->key, request, life, &uri) != NGX_OK) {
        return NGX_ERROR;
    }

    url->data = ngx_pnalloc(pool, s3->scheme.len + s3->host.len + uri.len);
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    url->len = ngx_sprintf(url->data, "%V%V%V", &s3->scheme, &s3->host, &uri)
               - url->data;

    return NGX_OK;
}


ngx_int_t
nchat_s3_send(nchat_ctx_t *ctx, ngx_uint_t method, const ngx_str_t *key,
    ngx_uint_t wait, nchat_s3_done_pt done, void *data)
{
    ngx_str_t               url;
    ngx_pool_t             *pool;
    nchat_s3_call_t        *call;
    nchat_sigv4_pair_t      host;
    nchat_sigv4_request_t   request;

    pool = ctx->request->pool;

    ngx_memzero(&request, sizeof(nchat_sigv4_request_t));
    request.headers = &host;
    request.nheaders = 1;

    call = ngx_pcalloc(pool, sizeof(nchat_s3_call_t));

    if (call == NULL
        || nchat_s3_presign(pool, ctx->conf->files->data,
                            method == NGX_HTTP_HEAD ? "HEAD" : "DELETE", key,
                            &request, NCHAT_S3_LIFE, &url)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    call->ctx = ctx;
    call->done = done;
    call->data = data;
    call->wait = wait;
    call->answer.size = -1;

    return nchat_s3_subrequest(ctx, method, &url, call);
}


static ngx_int_t
nchat_s3_subrequest(nchat_ctx_t *ctx, ngx_uint_t method, ngx_str_t *url,
    nchat_s3_call_t *call)
{
    ngx_http_request_t           *r, *sr;
    ngx_http_post_subrequest_t   *ps;

    static ngx_str_t  location = ngx_string(NCHAT_S3_LOCATION);

    r = ctx->request;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = nchat_s3_answered;
    ps->data = call;

    if (ngx_http_subrequest(r, &location, url, &sr, ps,
                            call->wait ? NGX_HTTP_SUBREQUEST_WAITED
                                       : NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sr->method = method;

    if (method == NGX_HTTP_HEAD) {
        ngx_str_set(&sr->method_name, "HEAD");

    } else {
        ngx_str_set(&sr->method_name, "DELETE");
    }

    /* no body of an answer goes to our client */

    sr->header_only = 1;

    if (call->wait) {
        ctx->sub = call;
        r->write_event_handler = nchat_s3_resume;
    }

    return NGX_OK;
}


/* The subrequest's end: the request itself goes on later. */

static ngx_int_t
nchat_s3_answered(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    nchat_s3_call_t *call = data;

    ngx_http_upstream_t  *u;

    if (call->over) {
        return NGX_OK;
    }

    call->over = 1;
    u = sr->upstream;

    if (rc != NGX_ERROR && u && u->headers_in.status_n) {
        call->answer.status = u->headers_in.status_n;
        call->answer.size = u->headers_in.content_length_n;

        if (u->headers_in.etag) {
            call->answer.etag = u->headers_in.etag->value;
        }
    }

    if (!call->wait) {
        call->done(call->ctx, call->data, &call->answer);
    }

    return NGX_OK;
}


/* The request again, after its subrequest. */

static void
nchat_s3_resume(ngx_http_request_t *r)
{
    nchat_ctx_t      *ctx;
    nchat_s3_call_t  *call;

    ctx = nchat_ctx_get(r);
    call = ctx->sub;

    if (call == NULL || !call->over) {
        return;
    }

    ctx->sub = NULL;
    r->write_event_handler = ngx_http_request_empty_handler;

    call->done(ctx, call->data, &call->answer);
}
