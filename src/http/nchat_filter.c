/*
 * The header filter: what every answer of the API carries, whoever made it
 * (contract, "Answers" and "Rate limits").
 */

#include "nchat_http.h"


#define NCHAT_FILTER_FIELDS  5       /* about limits */


static ngx_int_t nchat_filter_limit(nchat_ctx_t *ctx);
static ngx_int_t nchat_filter_limit_values(nchat_ctx_t *ctx,
    ngx_str_t value[NCHAT_FILTER_FIELDS]);
static u_char *nchat_filter_uint(u_char *p, uint64_t n);
static ngx_int_t nchat_filter_cors(nchat_ctx_t *ctx);
static ngx_str_t *nchat_filter_origin(nchat_ctx_t *ctx);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


static const ngx_str_t  nchat_class_names[] = {
    ngx_string("default"),
    ngx_string("upload"),
    ngx_string("search"),
    ngx_string("webhook"),
    ngx_string("probe")
};


static ngx_int_t
nchat_header_filter(ngx_http_request_t *r)
{
    nchat_ctx_t       *ctx;
    nchat_srv_conf_t  *scf;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    scf = ngx_http_get_module_srv_conf(r, ngx_http_nchat_module);

    if (!scf->enabled) {
        return ngx_http_next_header_filter(r);
    }

    ctx = nchat_ctx_make(r);

    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (nchat_reply_header(r, "X-Request-Id", &ctx->request_id) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->api || ctx->route) {

        if (nchat_filter_limit(ctx) != NGX_OK
            || (ctx->conf->origins && nchat_filter_cors(ctx) != NGX_OK))
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}


/* X-RateLimit-* and the IETF draft's fields. */

static ngx_int_t
nchat_filter_limit(nchat_ctx_t *ctx)
{
    ngx_str_t   value[NCHAT_FILTER_FIELDS];
    ngx_uint_t  i;

    static const char  *names[NCHAT_FILTER_FIELDS] = {
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "RateLimit-Policy",
        "RateLimit"
    };

    if (!ctx->counted) {

        /* refused before the phases that count: it counts all the same */

        nchat_limit_uncounted(ctx);
    }

    if (ctx->limit == NCHAT_LIMIT_NONE) {
        return NGX_OK;
    }

    if (nchat_filter_limit_values(ctx, value) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < NCHAT_FILTER_FIELDS; i++) {
        if (nchat_reply_header(ctx->request, names[i], &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* All values are written into one piece of memory, one after the other. */

static ngx_int_t
nchat_filter_limit_values(nchat_ctx_t *ctx,
    ngx_str_t value[NCHAT_FILTER_FIELDS])
{
    u_char           *p;
    ngx_uint_t        i, limit, remaining;
    const ngx_str_t  *class;

    limit = ctx->conf->limits[ctx->limit];
    remaining = (ctx->window.count < limit) ? limit - ctx->window.count : 0;

    p = ngx_pnalloc(ctx->request->pool, 5 * NGX_INT_T_LEN + 2 * 8
                                        + sizeof("\"\";q=;w=\"\";r=;t=")
                                        + 2 * NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    class = &nchat_class_names[ctx->limit];

    value[0].data = p;
    value[1].data = p = nchat_filter_uint(p, limit);
    value[2].data = p = nchat_filter_uint(p, remaining);
    value[3].data = p = nchat_filter_uint(p, ctx->window.reset);

    *p++ = '"';
    p = ngx_cpymem(p, class->data, class->len);
    p = ngx_cpymem(p, "\";q=", 4);
    p = nchat_filter_uint(p, limit);
    p = ngx_cpymem(p, ";w=", 3);
    value[4].data = p = nchat_filter_uint(p, (ctx->conf->window + 999) / 1000);

    *p++ = '"';
    p = ngx_cpymem(p, class->data, class->len);
    p = ngx_cpymem(p, "\";r=", 4);
    p = nchat_filter_uint(p, remaining);
    p = ngx_cpymem(p, ";t=", 3);
    p = nchat_filter_uint(p, ctx->window.left);

    for (i = 0; i < NCHAT_FILTER_FIELDS - 1; i++) {
        value[i].len = value[i + 1].data - value[i].data;
    }

    value[i].len = p - value[i].data;

    return NGX_OK;
}


/* Every answer has nine of them: ngx_sprintf() would show in a profile. */

static u_char *
nchat_filter_uint(u_char *p, uint64_t n)
{
    u_char   text[NGX_INT64_LEN], *t;

    t = text + sizeof(text);

    do {
        *--t = (u_char) (n % 10 + '0');
        n /= 10;
    } while (n);

    return ngx_cpymem(p, t, text + sizeof(text) - t);
}


static ngx_int_t
nchat_filter_cors(nchat_ctx_t *ctx)
{
    ngx_str_t           *origin, *allow;
    ngx_http_request_t  *r;

    static const ngx_str_t  vary = ngx_string("Origin");
    static const ngx_str_t  with_cookie = ngx_string("true");
    static const ngx_str_t  exposed =
        ngx_string("X-RateLimit-Limit, X-RateLimit-Remaining, "
                   "X-RateLimit-Reset, RateLimit, RateLimit-Policy, "
                   "Retry-After, X-Request-Id, ETag, X-Response-Time");
    static const ngx_str_t  headers =
        ngx_string("Authorization, Content-Type, Idempotency-Key, "
                   "If-None-Match, X-Request-Id");
    static const ngx_str_t  age = ngx_string("600");     /* seconds */

    r = ctx->request;

    if (nchat_reply_header(r, "Vary", &vary) != NGX_OK) {
        return NGX_ERROR;
    }

    origin = nchat_filter_origin(ctx);

    if (origin == NULL) {
        return NGX_OK;
    }

    if (nchat_reply_header(r, "Access-Control-Allow-Origin", origin) != NGX_OK
        || (ctx->conf->cookie.len
            && nchat_reply_header(r, "Access-Control-Allow-Credentials",
                                  &with_cookie)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (ctx->method != NGX_HTTP_OPTIONS) {
        return nchat_reply_header(r, "Access-Control-Expose-Headers",
                                  &exposed);
    }

    allow = nchat_route_allow(ctx);

    if (allow == NULL) {
        return NGX_OK;
    }

    if (nchat_reply_header(r, "Access-Control-Allow-Methods", allow) != NGX_OK
        || nchat_reply_header(r, "Access-Control-Allow-Headers", &headers)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return nchat_reply_header(r, "Access-Control-Max-Age", &age);
}


/* The request's Origin, if the operator allows it; else NULL. */

static ngx_str_t *
nchat_filter_origin(nchat_ctx_t *ctx)
{
    ngx_str_t   *origin, *allowed;
    ngx_uint_t   i;

    origin = nchat_header(ctx->request, "Origin");

    if (origin == NULL) {
        return NULL;
    }

    allowed = ctx->conf->origins->elts;

    for (i = 0; i < ctx->conf->origins->nelts; i++) {

        if (allowed[i].len == origin->len
            && ngx_strncasecmp(allowed[i].data, origin->data, origin->len)
               == 0)
        {
            return origin;
        }
    }

    return NULL;
}


ngx_int_t
nchat_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = nchat_header_filter;

    nchat_body_filter_init();

    return NGX_OK;
}
