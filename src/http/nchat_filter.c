/*
 * The header filter: what every answer of the API carries, whoever made it
 * (contract, "Answers" and "Rate limits").
 */

#include "nchat_http.h"


static ngx_int_t nchat_filter_limit(nchat_ctx_t *ctx);
static u_char *nchat_filter_uint(u_char *p, uint64_t n);
static ngx_int_t nchat_filter_cors(nchat_ctx_t *ctx);


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


/*
 * X-RateLimit-* and the IETF draft's fields.  All values are written into one
 * piece of memory.
 */

static ngx_int_t
nchat_filter_limit(nchat_ctx_t *ctx)
{
    u_char              *p;
    ngx_str_t            value[5];
    ngx_uint_t           i, limit, remaining;
    const ngx_str_t     *class;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    static const ngx_str_t  names[] = {
        ngx_string("X-RateLimit-Limit"),
        ngx_string("X-RateLimit-Remaining"),
        ngx_string("X-RateLimit-Reset"),
        ngx_string("RateLimit-Policy"),
        ngx_string("RateLimit")
    };

    r = ctx->request;

    if (!ctx->counted) {

        /* refused before the phases that count: it counts all the same */

        nchat_limit_uncounted(ctx);
    }

    if (ctx->limit == NCHAT_LIMIT_NONE) {
        return NGX_OK;
    }

    limit = ctx->conf->limits[ctx->limit];
    remaining = (ctx->window.count < limit) ? limit - ctx->window.count : 0;

    p = ngx_pnalloc(r->pool, 5 * NGX_INT_T_LEN + 2 * 8
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

    for (i = 0; i < 5; i++) {
        value[i].len = (i < 4 ? value[i + 1].data : p) - value[i].data;

        h = ngx_list_push(&r->headers_out.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        h->hash = 1;
        h->key = names[i];
        h->value = value[i];
#if (nginx_version >= 1023000)
        h->next = NULL;
#endif
    }

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
    ngx_str_t            value, *origin, *origins, *allow;
    ngx_uint_t           i;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_str_set(&value, "Origin");

    if (nchat_reply_header(r, "Vary", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    origin = nchat_header(r, "Origin");

    if (origin == NULL) {
        return NGX_OK;
    }

    origins = ctx->conf->origins->elts;

    for (i = 0; i < ctx->conf->origins->nelts; i++) {

        if (origins[i].len == origin->len
            && ngx_strncasecmp(origins[i].data, origin->data,
                               origins[i].len)
               == 0)
        {
            break;
        }
    }

    if (i == ctx->conf->origins->nelts) {
        return NGX_OK;
    }

    if (nchat_reply_header(r, "Access-Control-Allow-Origin", origin)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->conf->cookie.len) {
        ngx_str_set(&value, "true");

        if (nchat_reply_header(r, "Access-Control-Allow-Credentials", &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->method != NGX_HTTP_OPTIONS) {
        ngx_str_set(&value, "X-RateLimit-Limit, X-RateLimit-Remaining, "
                    "X-RateLimit-Reset, RateLimit, RateLimit-Policy, "
                    "Retry-After, X-Request-Id, ETag, X-Response-Time");

        return nchat_reply_header(r, "Access-Control-Expose-Headers", &value);
    }

    allow = nchat_route_allow(ctx);

    if (allow == NULL) {
        return NGX_OK;
    }

    ngx_str_set(&value, "Authorization, Content-Type, Idempotency-Key, "
                "If-None-Match, X-Request-Id");

    if (nchat_reply_header(r, "Access-Control-Allow-Methods", allow) != NGX_OK
        || nchat_reply_header(r, "Access-Control-Allow-Headers", &value)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "600");

    return nchat_reply_header(r, "Access-Control-Max-Age", &value);
}


ngx_int_t
nchat_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = nchat_header_filter;

    return NGX_OK;
}
