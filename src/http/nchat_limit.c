/* Rate limits: fixed windows in the shared zone (contract, "Rate limits"). */

#include "nchat_http.h"


static void nchat_limit_key(nchat_ctx_t *ctx, nchat_key_t *key);
static void nchat_limit_sockaddr(nchat_ctx_t *ctx, u_char out[17]);


/* what the 16 bytes behind the class in a key are */

#define NCHAT_KEY_USER     1
#define NCHAT_KEY_IPV4     2
#define NCHAT_KEY_IPV6     3
#define NCHAT_KEY_OTHER    4


ngx_int_t
nchat_limit(nchat_ctx_t *ctx)
{
    if (ctx->limit == NCHAT_LIMIT_NONE) {
        return NGX_DECLINED;
    }

    if (ctx->limit == NCHAT_LIMIT_WEBHOOK) {
        return nchat_limit_webhook(ctx);
    }

    nchat_limit_uncounted(ctx);

    return nchat_limit_over(ctx, 1);
}


void
nchat_limit_peek(nchat_ctx_t *ctx)
{
    nchat_key_t  key;

    if (ctx->limit == NCHAT_LIMIT_NONE) {
        return;
    }

    nchat_limit_key(ctx, &key);
    nchat_window_peek(ctx->conf->zone, NCHAT_WINDOW_RATE, &key,
                      ctx->conf->window, &ctx->window);
    ctx->counted = 1;
}


void
nchat_limit_uncounted(nchat_ctx_t *ctx)
{
    nchat_key_t  key;

    if (!ctx->routed) {
        ctx->routed = 1;
        nchat_route_find(ctx);
        nchat_identity(ctx);
    }

    if (ctx->method == NGX_HTTP_OPTIONS || ctx->limit == NCHAT_LIMIT_NONE) {
        nchat_limit_peek(ctx);
        return;
    }

    nchat_limit_key(ctx, &key);
    nchat_window_hit(ctx->conf->zone, NCHAT_WINDOW_RATE, &key,
                     ctx->conf->window, &ctx->window);
    ctx->counted = 1;
}


ngx_int_t
nchat_limit_over(nchat_ctx_t *ctx, ngx_uint_t times)
{
    nchat_main_conf_t  *conf;

    conf = ctx->conf;

    if (ctx->window.count <= times * conf->limits[ctx->limit]
        || conf->limits_off || ctx->limit == NCHAT_LIMIT_PROBE)
    {
        return NGX_DECLINED;
    }

    nchat_count(conf->metrics, NCHAT_M_LIMITED_DEFAULT + ctx->limit);

    nchat_reply_status(ctx, NGX_HTTP_TOO_MANY_REQUESTS);

    return NGX_DONE;
}


/* The user of a valid token, else the address; an IPv6 address by its /64. */

static void
nchat_limit_key(nchat_ctx_t *ctx, nchat_key_t *key)
{
    ngx_str_t  parts[2];

    ngx_memzero(key, sizeof(nchat_key_t));

    if (ctx->caller.valid && ctx->caller.claims.external) {
        parts[0] = ctx->caller.claims.iss;
        parts[1] = ctx->caller.claims.sub;
        nchat_key(key, ctx->limit, parts, 2);
        return;
    }

    key->bytes[0] = (u_char) ctx->limit;

    if (ctx->caller.valid) {
        key->bytes[1] = NCHAT_KEY_USER;
        ngx_memcpy(&key->bytes[2], ctx->caller.user, 16);
        return;
    }

    nchat_limit_sockaddr(ctx, &key->bytes[1]);
}


static void
nchat_limit_sockaddr(nchat_ctx_t *ctx, u_char out[17])
{
    u_char               *p;
    struct sockaddr      *sa;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    sa = ctx->request->connection->sockaddr;

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        out[0] = NCHAT_KEY_IPV4;
        ngx_memcpy(&out[1], &sin->sin_addr, 4);
        return;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        p = sin6->sin6_addr.s6_addr;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            out[0] = NCHAT_KEY_IPV4;
            ngx_memcpy(&out[1], p + 12, 4);
            return;
        }

        out[0] = NCHAT_KEY_IPV6;
        ngx_memcpy(&out[1], p, 8);
        return;
#endif

    default:
        out[0] = NCHAT_KEY_OTHER;
    }
}


ngx_str_t
nchat_limit_address(nchat_ctx_t *ctx)
{
    return ctx->request->connection->addr_text;
}


ngx_str_t
nchat_limit_prefix(nchat_ctx_t *ctx)
{
    ngx_str_t  prefix;

    prefix.len = 0;
    prefix.data = ngx_pcalloc(ctx->request->pool, 17);

    if (prefix.data) {
        prefix.len = 17;
        nchat_limit_sockaddr(ctx, prefix.data);
    }

    return prefix;
}
