/*
 * Tokens of an identity service: who of our users that is.  The answer is kept
 * in the shared zone together with the user's session version, and is good as
 * long as the zone knows that nothing about this user has changed since: every
 * change of role, status or link raises the version.
 */

#include "nchat_http.h"
#include "nchat_cache.h"
#include "nchat_uuid.h"


#define NCHAT_KEY_EXTERNAL   34

/* milliseconds; for memory's sake, not for freshness */
#define NCHAT_EXTERNAL_LIFE  60000


/* id, ver, email, username, display name, role */
#define NCHAT_EXTERNAL_PARTS  6


static ngx_int_t nchat_external_known(nchat_ctx_t *ctx);
static void nchat_external_found(nchat_ctx_t *ctx, PGresult *result);
static ngx_int_t nchat_external_keep(nchat_ctx_t *ctx, ngx_str_t *parts);
static ngx_int_t nchat_external_adopt(nchat_ctx_t *ctx, ngx_str_t *value);
static void nchat_external_key(nchat_ctx_t *ctx, nchat_key_t *key);


static nchat_stmt_t  nchat_external_stmt = {
    "nchat_user_external",
    "SELECT e.user_id, u.session_version, e.email, e.username,"
    " e.display_name, e.role"
    " FROM nchat_user_external($1, $2) e JOIN users u ON u.id = e.user_id"
    " WHERE e.status = 'active'",
    2, NCHAT_LANE_FAST, 1, 0, 0
};


ngx_int_t
nchat_external(nchat_ctx_t *ctx)
{
    ngx_str_t  params[2];

    if (nchat_external_known(ctx) == NGX_OK) {
        nchat_count(ctx->conf->metrics, NCHAT_M_SESSION_HIT);
        return nchat_access_role(ctx);
    }

    nchat_count(ctx->conf->metrics, NCHAT_M_SESSION_ASK);

    params[0] = ctx->caller.claims.iss;
    params[1] = ctx->caller.claims.sub;

    nchat_query(ctx, &nchat_external_stmt, params, 2, nchat_external_found);

    return NGX_DONE;
}


static ngx_int_t
nchat_external_known(nchat_ctx_t *ctx)
{
    u_char           id[NCHAT_UUID_SIZE], *end;
    ngx_int_t        ver;
    ngx_str_t        value, text;
    nchat_key_t      key;

    nchat_external_key(ctx, &key);

    if (nchat_cache_get(ctx->conf->zone, &key, ctx->request->pool, &value)
        != NGX_OK
        || value.len <= NCHAT_UUID_LEN + 1)
    {
        return NGX_DECLINED;
    }

    text.data = value.data;
    text.len = NCHAT_UUID_LEN;

    if (nchat_uuid_parse(&text, id) != NGX_OK) {
        return NGX_DECLINED;
    }

    text.data += NCHAT_UUID_LEN + 1;
    end = ngx_strlchr(text.data, value.data + value.len, '\0');

    if (end == NULL) {
        return NGX_DECLINED;
    }

    ver = ngx_atoi(text.data, end - text.data);

    if (ver == NGX_ERROR
        || nchat_session_get(ctx->conf->zone, id, NULL, ver)
           != NCHAT_SESSION_LIVE)
    {
        return NGX_DECLINED;
    }

    return nchat_external_adopt(ctx, &value);
}


static void
nchat_external_found(nchat_ctx_t *ctx, PGresult *result)
{
    int        i;
    ngx_str_t  parts[NCHAT_EXTERNAL_PARTS];

    if (PQntuples(result) == 0) {
        nchat_reply_error(ctx, NCHAT_E_INVALID_TOKEN,
                          "Nobody here belongs to this token");
        return;
    }

    for (i = 0; i < NCHAT_EXTERNAL_PARTS; i++) {
        parts[i] = nchat_db_value(result, 0, i);
    }

    if (nchat_external_keep(ctx, parts) != NGX_OK) {
        nchat_reply_internal(ctx, "an external user could not be read");
        return;
    }

    nchat_access_resume(ctx);
}


/* Each part with a NUL behind it, which no text of Postgres contains. */

static ngx_int_t
nchat_external_keep(nchat_ctx_t *ctx, ngx_str_t *parts)
{
    size_t        len;
    u_char       *p;
    ngx_str_t     value;
    ngx_uint_t    i;
    nchat_key_t   key;

    len = 0;

    for (i = 0; i < NCHAT_EXTERNAL_PARTS; i++) {
        len += parts[i].len + 1;
    }

    value.len = len;
    value.data = ngx_pnalloc(ctx->request->pool, len);

    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = value.data;

    for (i = 0; i < NCHAT_EXTERNAL_PARTS; i++) {
        p = ngx_cpymem(p, parts[i].data, parts[i].len);
        *p++ = '\0';
    }

    nchat_external_key(ctx, &key);
    nchat_cache_put(ctx->conf->zone, &key, &value, NCHAT_EXTERNAL_LIFE);

    return nchat_external_adopt(ctx, &value);
}


/* The token's claims become those of our own user; a mapped role stays. */

static ngx_int_t
nchat_external_adopt(nchat_ctx_t *ctx, ngx_str_t *value)
{
    u_char          *p, *end, *last;
    ngx_str_t        parts[NCHAT_EXTERNAL_PARTS];
    ngx_uint_t       i;
    nchat_caller_t  *caller;

    caller = &ctx->caller;
    p = value->data;
    last = p + value->len;

    for (i = 0; i < NCHAT_EXTERNAL_PARTS; i++) {
        end = ngx_strlchr(p, last, '\0');

        if (end == NULL) {
            return NGX_ERROR;
        }

        parts[i].data = p;
        parts[i].len = end - p;
        p = end + 1;
    }

    if (nchat_uuid_parse(&parts[0], caller->user) != NGX_OK) {
        return NGX_ERROR;
    }

    caller->claims.sub = parts[0];
    caller->claims.email = parts[2];
    caller->claims.username = parts[3];
    caller->claims.display_name = parts[4];

    if (nchat_role_parse(&caller->claims.role) == NCHAT_ROLE_NONE) {
        caller->claims.role = parts[5];
    }

    caller->role = nchat_role_parse(&caller->claims.role);

    return NGX_OK;
}


static void
nchat_external_key(nchat_ctx_t *ctx, nchat_key_t *key)
{
    ngx_str_t  parts[2];

    parts[0] = ctx->caller.claims.iss;
    parts[1] = ctx->caller.claims.sub;

    nchat_key(key, NCHAT_KEY_EXTERNAL, parts, 2);
}
