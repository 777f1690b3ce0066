/*
 * The life of a request's context, and the phase handlers.
 *
 * An internal redirect (error_page) clears r->ctx and runs the phases again,
 * so the context is found by its cleanup, as realip does it.
 */

#include "nchat_http.h"
#include "nchat_log.h"
#include "nchat_uuid.h"
#include "nchat_crypto.h"


static void nchat_ctx_cleanup(void *data);
static ngx_int_t nchat_ctx_request_id(nchat_ctx_t *ctx);
static ngx_uint_t nchat_ctx_is_api(const ngx_str_t *uri);


nchat_ctx_t *
nchat_ctx_get(ngx_http_request_t *r)
{
    nchat_ctx_t         *ctx;
    ngx_http_cleanup_t  *cln;

    r = r->main;
    ctx = ngx_http_get_module_ctx(r, ngx_http_nchat_module);

    if (ctx) {
        return ctx;
    }

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == nchat_ctx_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_nchat_module);
            return cln->data;
        }
    }

    return NULL;
}


nchat_ctx_t *
nchat_ctx_make(ngx_http_request_t *r)
{
    nchat_ctx_t         *ctx;
    ngx_http_cleanup_t  *cln;

    ctx = nchat_ctx_get(r);
    if (ctx) {
        return ctx;
    }

    r = r->main;

    cln = ngx_http_cleanup_add(r, sizeof(nchat_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(nchat_ctx_t));

    cln->handler = nchat_ctx_cleanup;

    ctx->request = r;
    ctx->conf = ngx_http_get_module_main_conf(r, ngx_http_nchat_module);
    ctx->started = nchat_monotonic_us();
    ctx->method = r->method;
    ctx->limit = NCHAT_LIMIT_DEFAULT;

    nchat_ctx_path(r, &ctx->uri);

    /* what could not be read may well be the API's */

    ctx->api = (ctx->uri.len == 0 || nchat_ctx_is_api(&ctx->uri));

    ngx_http_set_ctx(r, ctx, ngx_http_nchat_module);

    if (nchat_ctx_request_id(ctx) != NGX_OK) {
        return NULL;
    }

    return ctx;
}


/*
 * An internal redirect puts another path in the place of the client's, which
 * is then only in the request line, as it was written there.  nginx's parser
 * wants a request, but nothing of it beyond what is set here.
 */

void
nchat_ctx_path(ngx_http_request_t *r, ngx_str_t *path)
{
    ngx_http_request_t         line;
    ngx_http_core_srv_conf_t  *cscf;

    if (!r->internal) {
        *path = r->uri;
        return;
    }

    ngx_str_null(path);

    if (r->unparsed_uri.len == 0) {
        return;
    }

    ngx_memzero(&line, sizeof(ngx_http_request_t));

    line.connection = r->connection;
    line.empty_path_in_uri = r->empty_path_in_uri;
    line.uri_start = r->unparsed_uri.data;
    line.uri_end = line.uri_start + r->unparsed_uri.len;

    line.uri.data = ngx_pnalloc(r->pool, r->unparsed_uri.len + 1);
    if (line.uri.data == NULL) {
        return;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    if (ngx_http_parse_complex_uri(&line, cscf->merge_slashes) == NGX_OK) {
        *path = line.uri;
    }
}


static ngx_uint_t
nchat_ctx_is_api(const ngx_str_t *uri)
{
    return uri->len >= 4
           && ngx_memcmp(uri->data, "/api", 4) == 0
           && (uri->len == 4 || uri->data[4] == '/');
}


/* The request ends, however that came about: nobody waits for it any more. */

static void
nchat_ctx_cleanup(void *data)
{
    nchat_ctx_t *ctx = data;

    /* the logs come after the cleanups, and there is none to find it by */

    ngx_http_set_ctx(ctx->request, ctx, ngx_http_nchat_module);

    if (ctx->op) {
        nchat_db_cancel(ctx->op);
        ctx->op = NULL;
    }

    if (ctx->task) {
        nchat_task_forget(ctx);
    }
}


static ngx_int_t
nchat_ctx_request_id(nchat_ctx_t *ctx)
{
    size_t               n;
    u_char               ch, bytes[16];
    ngx_str_t           *given;
    ngx_http_request_t  *r;

    r = ctx->request;
    given = nchat_header(r, "X-Request-Id");

    if (given) {

        for (n = 0; n < given->len; n++) {
            ch = given->data[n];

            if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
                  || (ch >= '0' && ch <= '9')
                  || ch == '.' || ch == '_' || ch == '-'))
            {
                break;
            }
        }

        if (n == given->len && n > 0 && n <= 128) {
            ctx->request_id = *given;
            return NGX_OK;
        }
    }

    ctx->request_id.data = ngx_pnalloc(r->pool, 32);

    if (ctx->request_id.data == NULL
        || nchat_random(bytes, sizeof(bytes)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_hex_dump(ctx->request_id.data, bytes, sizeof(bytes));
    ctx->request_id.len = 32;

    return NGX_OK;
}


ngx_int_t
nchat_post_read_handler(ngx_http_request_t *r)
{
    nchat_srv_conf_t  *scf;

    scf = ngx_http_get_module_srv_conf(r, ngx_http_nchat_module);

    if (!scf->enabled || r != r->main) {
        return NGX_DECLINED;
    }

    if (nchat_ctx_make(r) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    nchat_log_mask(r);

    return NGX_DECLINED;
}


ngx_int_t
nchat_preaccess_handler(ngx_http_request_t *r)
{
    nchat_ctx_t  *ctx;

    ctx = nchat_location(r);

    if (ctx == NULL || ctx->routed) {
        return NGX_DECLINED;
    }

    /* the location decides, also after a rewrite */

    ctx->routed = 1;
    ctx->api = 1;
    ctx->uri = r->uri;
    nchat_route_find(ctx);
    nchat_identity(ctx);

    if (r->method == NGX_HTTP_OPTIONS) {
        nchat_limit_peek(ctx);
        return NGX_DECLINED;
    }

    return nchat_limit(ctx);
}


ngx_int_t
nchat_access_handler(ngx_http_request_t *r)
{
    nchat_ctx_t  *ctx;

    ctx = nchat_location(r);

    if (ctx == NULL || ctx->checked || ctx->route == NULL
        || r->method == NGX_HTTP_OPTIONS)
    {
        return NGX_DECLINED;
    }

    return nchat_access(ctx);
}


/*
 * From here on the handler holds one reference of the request, which its
 * reply gives back by finalizing it, now or later.
 */

ngx_int_t
nchat_content_handler(ngx_http_request_t *r)
{
    nchat_ctx_t  *ctx;

    ctx = nchat_ctx_get(r);

    if (ctx == NULL || r != r->main) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->route && ctx->route->body != NCHAT_BODY_NONE
        && r->method != NGX_HTTP_OPTIONS)
    {
        return nchat_body_read(ctx);
    }

    r->main->count++;

    if (r->method == NGX_HTTP_OPTIONS && nchat_route_allow(ctx)) {
        nchat_reply_header(r, "Allow", nchat_route_allow(ctx));
        nchat_reply_empty(ctx, NGX_HTTP_NO_CONTENT);
        return NGX_DONE;
    }

    if (ctx->route == NULL) {
        nchat_reply_status(ctx, nchat_route_allow(ctx)
                                ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_NOT_FOUND);
        return NGX_DONE;
    }

    ctx->route->handler(ctx);

    return NGX_DONE;
}


/* The internal page behind error_page: nginx's own refusals as JSON. */

ngx_int_t
nchat_error_handler(ngx_http_request_t *r)
{
    ngx_uint_t    status;
    nchat_ctx_t  *ctx;

    status = r->err_status ? r->err_status : NGX_HTTP_NOT_FOUND;

    ctx = nchat_ctx_make(r);

    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (!ctx->api) {

        /* another part of the site: nginx's own page (r->error_page is set) */

        return status;
    }

    /* TRACE and CONNECT nginx refuses before it looks at the path */

    if (status == NGX_HTTP_NOT_ALLOWED && nchat_route_allow(ctx) == NULL) {
        status = NGX_HTTP_NOT_FOUND;
    }

    if (status == NGX_HTTP_TOO_MANY_REQUESTS) {
        nchat_count(ctx->conf->metrics, NCHAT_M_LIMITED_COARSE);
    }

    r->main->count++;
    nchat_reply_status(ctx, status);

    return NGX_DONE;
}


/* Waiting for the database or a thread: notice a client that leaves. */

void
nchat_ctx_wait(nchat_ctx_t *ctx)
{
    ctx->request->read_event_handler = ngx_http_test_reading;
    ctx->request->write_event_handler = ngx_http_request_empty_handler;
}


nchat_live_t *
nchat_ctx_live(nchat_ctx_t *ctx)
{
    nchat_live_t  *live;

    live = nchat_live_keep(ctx->conf->zone, ctx->request->pool);

    if (live == NULL) {
        nchat_reply_error(ctx, NCHAT_E_UNAVAILABLE,
                          "The configuration was not loaded yet");
    }

    return live;
}


ngx_int_t
nchat_log_handler(ngx_http_request_t *r)
{
    uint64_t          us;
    ngx_uint_t        row, class;
    nchat_ctx_t      *ctx;
    nchat_metrics_t  *metrics;

    ctx = nchat_ctx_get(r);

    if (ctx == NULL || ctx->conf->metrics == NULL
        || (!ctx->routed && !ctx->api)) {
        return NGX_OK;
    }

    metrics = ctx->conf->metrics;
    row = ctx->route ? (ngx_uint_t) (ctx->route - nchat_routes)
                     : nchat_nroutes;

    class = r->headers_out.status / 100;
    if (class < 1 || class > 5) {
        class = 4;                        /* 499: the client left */
    }

    us = nchat_monotonic_us() - ctx->started;

    (void) ngx_atomic_fetch_add(&metrics->requests[row][class], 1);
    nchat_histogram_add(&metrics->latency[row], us);

    return NGX_OK;
}
