/*
 * Who asks: the token's signature and claims, no I/O.  Nothing is refused
 * here, since a request with a bad token counts in its address's window.
 */

#include "nchat_http.h"
#include "nchat_jwt_cache.h"
#include "nchat_uuid.h"


static ngx_int_t nchat_identity_token(nchat_ctx_t *ctx, ngx_str_t *token);
static ngx_uint_t nchat_identity_user(nchat_ctx_t *ctx);


static const ngx_str_t  nchat_roles[] = {
    ngx_null_string,
    ngx_string("guest"),
    ngx_string("member"),
    ngx_string("moderator"),
    ngx_string("admin"),
    ngx_string("owner")
};


nchat_role_e
nchat_role_parse(const ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = NCHAT_ROLE_GUEST; i <= NCHAT_ROLE_OWNER; i++) {
        if (name->len == nchat_roles[i].len
            && ngx_memcmp(name->data, nchat_roles[i].data, name->len) == 0)
        {
            return i;
        }
    }

    return NCHAT_ROLE_NONE;
}


void
nchat_identity(nchat_ctx_t *ctx)
{
    ngx_int_t        rc;
    ngx_str_t        token;
    nchat_caller_t  *caller;

    caller = &ctx->caller;

    /* probes are counted by address and answered to anyone */

    if (ctx->limit == NCHAT_LIMIT_PROBE) {
        return;
    }

    rc = nchat_identity_token(ctx, &token);

    if (rc == NGX_DECLINED) {
        return;
    }

    if (rc == NGX_OK) {
        rc = nchat_jwt_verify_cached(ctx->conf->keys, &token,
                                     ctx->request->pool, ngx_time(),
                                     &caller->claims);
    }

    if (rc != NGX_OK || caller->claims.typ == NCHAT_JWT_REFRESH) {
        caller->bad = 1;
        return;
    }

    if (caller->claims.external) {

        /* who this is, the access step asks the database */

        caller->valid = 1;
        return;
    }

    if (nchat_identity_user(ctx)) {
        caller->valid = 1;

    } else {
        caller->bad = 1;
    }
}


/*
 * Whether one of our own access tokens is good as far as one can tell without
 * I/O.  A token is no older than a lifetime, whatever it was when it was
 * signed: for longer the zone does not remember what has ended.  And who holds
 * an ended one must not use up its user's requests.
 */

static ngx_uint_t
nchat_identity_user(nchat_ctx_t *ctx)
{
    u_char           sid[NCHAT_UUID_SIZE];
    nchat_caller_t  *caller;

    caller = &ctx->caller;

    if (caller->claims.iat + ctx->conf->access_life + NCHAT_JWT_SKEW
        <= ngx_time())
    {
        return 0;
    }

    caller->role = nchat_role_parse(&caller->claims.role);

    if (caller->role == NCHAT_ROLE_NONE
        || nchat_uuid_parse(&caller->claims.sub, caller->user) != NGX_OK
        || nchat_uuid_parse(&caller->claims.sid, sid) != NGX_OK)
    {
        return 0;
    }

    return nchat_session_get(ctx->conf->zone, caller->user, sid,
                             caller->claims.ver)
           != NCHAT_SESSION_ENDED;
}


/*
 * The header wins over the cookie.  NGX_DECLINED: neither; NGX_ERROR: an
 * Authorization header that is no bearer token (RFC 6750, section 2.1).
 */

static ngx_int_t
nchat_identity_token(nchat_ctx_t *ctx, ngx_str_t *token)
{
    ngx_str_t           *value;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->headers_in.authorization) {
        value = &r->headers_in.authorization->value;

        if (value->len < sizeof("Bearer ")
            || ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                               sizeof("Bearer ") - 1)
               != 0)
        {
            return NGX_ERROR;
        }

        token->data = value->data + sizeof("Bearer ") - 1;
        token->len = value->len - (sizeof("Bearer ") - 1);

        while (token->len && *token->data == ' ') {
            token->data++;
            token->len--;
        }

        return token->len ? NGX_OK : NGX_ERROR;
    }

    if (ctx->conf->cookie.len == 0) {
        return NGX_DECLINED;
    }

#if (nginx_version >= 1023000)
    if (ngx_http_parse_multi_header_lines(r, r->headers_in.cookie,
                                          &ctx->conf->cookie, token)
        == NULL)
#else
    if (ngx_http_parse_multi_header_lines(&r->headers_in.cookies,
                                          &ctx->conf->cookie, token)
        == NGX_DECLINED)
#endif
    {
        return NGX_DECLINED;
    }

    if (token->len == 0) {
        return NGX_DECLINED;
    }

    ctx->caller.cookie = 1;

    return NGX_OK;
}
