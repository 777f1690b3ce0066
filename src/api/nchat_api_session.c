/* Contract, "Accounts": passwords of the signed-in, and the end of sessions. */

#include "nchat_api.h"
#include "nchat_account.h"


typedef struct {
    ngx_str_t             current;
    ngx_str_t             wanted;
    ngx_str_t             user;
    ngx_str_t             hash;
    ngx_uint_t            change;
    nchat_session_ids_t   ids;
} nchat_password_t;


static void nchat_password_check_start(nchat_ctx_t *ctx);
static void nchat_password_found(nchat_ctx_t *ctx, PGresult *result);
static void nchat_password_checked(nchat_ctx_t *ctx, void *data);
static void nchat_password_wrong(nchat_ctx_t *ctx, PGresult *result);
static void nchat_password_changed(nchat_ctx_t *ctx, PGresult *result);
static void nchat_refresh_done(nchat_ctx_t *ctx, PGresult *result);
static void nchat_signout_done(nchat_ctx_t *ctx, PGresult *result);
static ngx_msec_t nchat_session_keep(nchat_ctx_t *ctx);


static const nchat_check_t  nchat_verify_fields[] = {
    NCHAT_CHECK_STR("password", offsetof(nchat_password_t, current), 1, 1024,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_END
};

static const nchat_check_t  nchat_change_fields[] = {
    NCHAT_CHECK_STR("currentPassword", offsetof(nchat_password_t, current), 1,
                    1024, NCHAT_REQUIRED),
    NCHAT_CHECK_STR("newPassword", offsetof(nchat_password_t, wanted), 0, 0,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_STR("userId", offsetof(nchat_password_t, user), 0, 0,
                    NCHAT_LOWER),
    NCHAT_CHECK_END
};


static nchat_stmt_t  nchat_password_get_stmt = {
    "nchat_password_get",
    "SELECT password_hash FROM nchat_password_get($1::uuid)"
    " WHERE status = 'active'",
    1, NCHAT_LANE_FAST, 1, 0, 0
};

static nchat_stmt_t  nchat_password_change_stmt = {
    "nchat_password_change",
    "SELECT * FROM nchat_password_change($1::uuid, $2, $3, $4::uuid, $5::uuid,"
    " $6::int, $7, $8)",
    8, NCHAT_LANE_LOCK, 0, 0, 0
};

static nchat_stmt_t  nchat_refresh_stmt = {
    "nchat_refresh",
    "SELECT * FROM nchat_refresh($1::uuid, $2::uuid, $3::uuid, $4::int, $5,"
    " $6)",
    6, NCHAT_LANE_LOCK, 0, 0, 0
};

static nchat_stmt_t  nchat_signout_stmt = {
    "nchat_signout",
    "SELECT * FROM nchat_signout($1::uuid, $2::uuid, $3::bool, $4, $5)",
    5, NCHAT_LANE_LOCK, 0, 0, 0
};


void
nchat_api_verify_password(nchat_ctx_t *ctx)
{
    nchat_password_t  *password;

    password = ngx_pcalloc(ctx->request->pool, sizeof(nchat_password_t));
    if (password == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->data = password;

    if (nchat_body_check(ctx, nchat_verify_fields, password) == NGX_OK) {
        nchat_password_check_start(ctx);
    }
}


void
nchat_api_change_password(nchat_ctx_t *ctx)
{
    nchat_live_t      *live;
    nchat_password_t  *password;
    nchat_failures_t   failures;

    password = ngx_pcalloc(ctx->request->pool, sizeof(nchat_password_t));
    if (password == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->data = password;
    password->change = 1;

    if (nchat_body_check(ctx, nchat_change_fields, password) != NGX_OK) {
        return;
    }

    if (password->user.data
        && (password->user.len != ctx->caller.claims.sub.len
            || ngx_strncasecmp(password->user.data,
                               ctx->caller.claims.sub.data,
                               password->user.len)
               != 0))
    {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "Only the own password can be changed");
        return;
    }

    live = nchat_ctx_live(ctx);
    if (live == NULL) {
        return;
    }

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    switch (nchat_password_policy(ctx, live, "newPassword", &password->wanted,
                                  &failures))
    {
    case NGX_OK:
        nchat_password_check_start(ctx);
        return;

    case NGX_DECLINED:
        nchat_reply_failures(ctx, &failures);
        return;

    default:
        nchat_reply_internal(ctx, "out of memory");
    }
}


/* Wrong passwords count as failed sign-ins. */

static void
nchat_password_check_start(nchat_ctx_t *ctx)
{
    if (nchat_signin_limited(ctx, &ctx->caller.claims.email)) {
        return;
    }

    nchat_query(ctx, &nchat_password_get_stmt, &ctx->caller.claims.sub, 1,
                nchat_password_found);
}


static void
nchat_password_found(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_password_t  *password;

    password = ctx->data;
    password->hash = nchat_query_column(result, "password_hash");

    nchat_password_post(ctx, &password->hash, &password->current,
                        password->change ? &password->wanted : NULL, 0,
                        nchat_password_checked);
}


static void
nchat_password_checked(nchat_ctx_t *ctx, void *data)
{
    nchat_password_task_t *task = data;

    ngx_str_t          params[8], members;
    nchat_password_t  *password;

    password = ctx->data;

    if (task->verified != NGX_OK || password->hash.len == 0
        || password->current.len > NCHAT_PASSWORD_MAX)
    {
        if (nchat_signin_count(ctx, &ctx->caller.claims.email)) {
            return;
        }

        nchat_signin_record(ctx, &ctx->caller.claims.email,
                            &ctx->caller.claims.sub, nchat_password_wrong);
        return;
    }

    if (nchat_signin_limited(ctx, &ctx->caller.claims.email)) {
        return;
    }

    if (!password->change) {
        nchat_signin_reset(ctx, &ctx->caller.claims.email);
        ngx_str_set(&members, "\"valid\":true");
        nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
        return;
    }

    if (task->hashed != NGX_OK) {
        nchat_reply_internal(ctx, "a password could not be hashed");
        return;
    }

    if (nchat_session_ids(ctx, &password->ids) != NGX_OK) {
        return;
    }

    params[0] = ctx->caller.claims.sub;
    params[1] = password->hash;
    params[2].data = task->fresh;
    params[2].len = ngx_strlen(task->fresh);
    params[3] = password->ids.sid;
    params[4] = password->ids.jti;
    params[5] = nchat_query_int(ctx, ctx->conf->refresh_life);
    params[6] = nchat_limit_address(ctx);
    params[7] = ctx->request_id;

    nchat_query(ctx, &nchat_password_change_stmt, params, 8,
                nchat_password_changed);
}


static void
nchat_password_wrong(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_reply_error(ctx, NCHAT_E_UNAUTHORIZED, "The password is wrong");
}


/* This node knows at once; the others are notified. */

static void
nchat_password_changed(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_int_t  ver;
    ngx_str_t  text;

    text = nchat_query_column(result, "ver");
    ver = ngx_atoi(text.data, text.len);

    if (ver > 0) {
        nchat_session_put(ctx->conf->zone, ctx->caller.user, ver,
                          nchat_session_keep(ctx));
        nchat_signin_reset(ctx, &ctx->caller.claims.email);
    }

    nchat_account_reply(ctx, result);
}


static ngx_msec_t
nchat_session_keep(nchat_ctx_t *ctx)
{
    return (ngx_msec_t) (ctx->conf->access_life + 2 * NCHAT_JWT_SKEW) * 1000;
}


void
nchat_api_refresh(nchat_ctx_t *ctx)
{
    u_char          *jti;
    ngx_str_t        token, params[6];
    nchat_claims_t   claims;

    const nchat_check_t  fields[] = {
        NCHAT_CHECK_STR("refreshToken", 0, 1, 8192, NCHAT_REQUIRED),
        NCHAT_CHECK_END
    };

    if (nchat_body_check(ctx, fields, &token) != NGX_OK) {
        return;
    }

    if (nchat_jwt_verify(ctx->conf->keys, &token, ctx->request->pool,
                         ngx_time(), &claims)
        != NGX_OK
        || claims.typ != NCHAT_JWT_REFRESH)
    {
        nchat_reply_error(ctx, NCHAT_E_INVALID_TOKEN,
                          "Invalid or expired refresh token");
        return;
    }

    jti = ngx_pnalloc(ctx->request->pool, NCHAT_UUID_LEN);

    if (jti == NULL || nchat_uuid_v4(jti) != NGX_OK) {
        nchat_reply_internal(ctx, "no memory or no randomness for a token");
        return;
    }

    params[0] = claims.sid;
    params[1] = claims.jti;
    params[2].data = jti;
    params[2].len = NCHAT_UUID_LEN;
    params[3] = nchat_query_int(ctx, ctx->conf->refresh_life);
    params[4] = nchat_limit_address(ctx);
    params[5] = ctx->request_id;

    nchat_query(ctx, &nchat_refresh_stmt, params, 6, nchat_refresh_done);
}


static void
nchat_refresh_done(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t  status;

    status = nchat_query_column(result, "status");
    ctx->challenge = (status.len == 3
                      && ngx_strncmp(status.data, "401", 3) == 0);

    nchat_account_reply(ctx, result);
}


void
nchat_api_signout(nchat_ctx_t *ctx)
{
    ngx_str_t   params[5];
    ngx_flag_t  everywhere;

    const nchat_check_t  fields[] = {
        NCHAT_CHECK_BOOL("everywhere", 0, 0),
        NCHAT_CHECK_END
    };

    everywhere = 0;

    if (ctx->json && nchat_body_check(ctx, fields, &everywhere) != NGX_OK) {
        return;
    }

    params[0] = ctx->caller.claims.sub;
    params[1] = ctx->caller.claims.sid;

    if (params[1].len == 0) {
        params[1].data = NULL;
    }

    if (everywhere) {
        ngx_str_set(&params[2], "true");

    } else {
        ngx_str_set(&params[2], "false");
    }

    params[3] = nchat_limit_address(ctx);
    params[4] = ctx->request_id;

    nchat_query(ctx, &nchat_signout_stmt, params, 5, nchat_signout_done);
}


static void
nchat_signout_done(nchat_ctx_t *ctx, PGresult *result)
{
    u_char     sid[NCHAT_UUID_SIZE];
    ngx_str_t  none;

    if (nchat_uuid_parse(&ctx->caller.claims.sid, sid) == NGX_OK) {
        nchat_session_put(ctx->conf->zone, sid, 0, nchat_session_keep(ctx));
    }

    ngx_str_set(&none, "");

    if (ctx->conf->cookie.len
        && nchat_account_set_cookie(ctx, &none, 0) != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_query_reply(ctx, result);
}
