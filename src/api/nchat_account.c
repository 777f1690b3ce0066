#include "nchat_account.h"
#include "nchat_crypto.h"

#include <math.h>


/* nchat_window_peek() or nchat_window_hit() */

typedef void (*nchat_signin_window_pt)(nchat_zone_t *zone,
    nchat_window_kind_e kind, const nchat_key_t *key, ngx_msec_t span,
    nchat_window_t *window);


static void nchat_password_run(void *data);
static void nchat_password_level(const nchat_password_task_t *task);
static ngx_uint_t nchat_password_min(nchat_live_t *live);
static void nchat_signin_keys(nchat_ctx_t *ctx, const ngx_str_t *email,
    nchat_key_t *by_address, nchat_key_t *by_email);
static ngx_uint_t nchat_signin_over(nchat_ctx_t *ctx, const ngx_str_t *email,
    nchat_signin_window_pt look, ngx_uint_t above);
static ngx_int_t nchat_account_tokens(nchat_ctx_t *ctx, PGresult *result,
    ngx_str_t *access, ngx_str_t *refresh);
static ngx_int_t nchat_account_cookie(nchat_ctx_t *ctx, ngx_str_t *token);
static int64_t nchat_account_int(PGresult *result, const char *name);


/* classes of window keys, beside the rate limits' ones */

#define NCHAT_KEY_SIGNIN_ADDRESS  32
#define NCHAT_KEY_SIGNIN_EMAIL    33

#define rule(name)  "enterprise.compliance.passwordPolicy." name


/* one for all, since connections know statements by their names */

static nchat_stmt_t  nchat_signin_failed_stmt = {
    "nchat_signin_failed",
    "SELECT status FROM nchat_signin_failed($1, $2::uuid, $3, $4)",
    4, NCHAT_LANE_FAST, 0, 0, 0
};


ngx_int_t
nchat_session_ids(nchat_ctx_t *ctx, nchat_session_ids_t *ids)
{
    u_char  *p;

    p = ngx_pnalloc(ctx->request->pool, 2 * NCHAT_UUID_LEN);

    if (p == NULL || nchat_uuid_v4(p) != NGX_OK
        || nchat_uuid_v4(p + NCHAT_UUID_LEN) != NGX_OK)
    {
        nchat_reply_internal(ctx, "no memory or no randomness for a session");
        return NGX_ERROR;
    }

    ids->sid.data = p;
    ids->sid.len = NCHAT_UUID_LEN;
    ids->jti.data = p + NCHAT_UUID_LEN;
    ids->jti.len = NCHAT_UUID_LEN;

    return NGX_OK;
}


void
nchat_password_post(nchat_ctx_t *ctx, const ngx_str_t *hash,
    const ngx_str_t *given, const ngx_str_t *wanted, ngx_uint_t renew,
    nchat_task_done_pt done)
{
    ngx_uint_t              cost;
    nchat_password_task_t  *task;

    task = nchat_task_make(ctx, ctx->conf->threads,
                           sizeof(nchat_password_task_t));
    if (task == NULL) {
        return;
    }

    task->cost = ctx->conf->bcrypt_cost;
    task->renew = renew;

    /* PQgetvalue() ends a value with a NUL */

    cost = hash->len ? nchat_password_cost((char *) hash->data) : 0;

    if (cost && cost <= NCHAT_PASSWORD_MAX_COST) {
        ngx_cpystrn((u_char *) task->hash, hash->data, sizeof(task->hash));

    } else {
        (void) nchat_password_dummy((u_char *) task->hash, task->cost);
    }

    /* longer ones were refused, or can be nobody's */

    ngx_cpystrn(task->given, given->data,
                ngx_min(given->len + 1, NCHAT_PASSWORD_SIZE));

    if (wanted) {
        ngx_cpystrn(task->wanted, wanted->data,
                    ngx_min(wanted->len + 1, NCHAT_PASSWORD_SIZE));
    }

    nchat_task_post(ctx, task, nchat_password_run, done);
}


void
nchat_password_post_new(nchat_ctx_t *ctx, const ngx_str_t *wanted,
    nchat_task_done_pt done)
{
    nchat_password_task_t  *task;

    task = nchat_task_make(ctx, ctx->conf->threads,
                           sizeof(nchat_password_task_t));
    if (task == NULL) {
        return;
    }

    /* without a hash there is nothing to check first */

    task->cost = ctx->conf->bcrypt_cost;
    ngx_cpystrn(task->wanted, wanted->data,
                ngx_min(wanted->len + 1, NCHAT_PASSWORD_SIZE));

    nchat_task_post(ctx, task, nchat_password_run, done);
}


/* On a pool thread. */

static void
nchat_password_run(void *data)
{
    nchat_password_task_t *task = data;

    const u_char  *wanted;

    task->verified = NGX_OK;
    task->hashed = NGX_DECLINED;

    if (task->hash[0]) {
        task->verified = nchat_password_verify(task->hash,
                                               (char *) task->given);
    }

    wanted = task->wanted;

    if (task->verified == NGX_OK && task->renew
        && nchat_password_cost(task->hash) < task->cost)
    {
        wanted = task->given;
    }

    if (task->verified != NGX_OK) {
        nchat_password_level(task);

    } else if (wanted[0]) {
        task->hashed = nchat_password_hash(task->fresh, wanted, task->cost);
    }
}


/*
 * A hash of a lower cost was checked sooner than a decoy would have been.  Each
 * step of the cost doubles the time, so one more of each cost in between makes
 * up for it.
 */

static void
nchat_password_level(const nchat_password_task_t *task)
{
    u_char      decoy[NCHAT_PASSWORD_HASH_SIZE];
    ngx_uint_t  cost;

    for (cost = nchat_password_cost(task->hash); cost < task->cost; cost++) {
        if (nchat_password_dummy(decoy, cost) == NGX_OK) {
            (void) nchat_password_verify((char *) decoy,
                                         (char *) task->given);
        }
    }
}


ngx_int_t
nchat_password_policy(nchat_ctx_t *ctx, nchat_live_t *live, const char *field,
    const ngx_str_t *password, nchat_failures_t *failures)
{
    char                     *lack, *message;
    size_t                    len;
    const char               *why, *constraint;
    nchat_password_policy_t   policy;

    policy.min_length = nchat_password_min(live);
    policy.upper = nchat_live_flag(live, rule("requireUppercase"), 1);
    policy.lower = nchat_live_flag(live, rule("requireLowercase"), 1);
    policy.digit = nchat_live_flag(live, rule("requireNumbers"), 1);
    policy.symbol = nchat_live_flag(live, rule("requireSymbols"), 0);

    lack = ngx_palloc(ctx->request->pool, 80);
    message = ngx_palloc(ctx->request->pool, 160);

    if (lack == NULL || message == NULL) {
        return NGX_ERROR;
    }

    why = nchat_password_check(&policy, password, lack, &constraint);

    if (why == NULL) {
        return NGX_OK;
    }

    len = ngx_snprintf((u_char *) message, 159, "%s %s", field, why)
          - (u_char *) message;
    message[len] = '\0';

    if (nchat_failures_add(ctx->request->pool, failures, field, constraint,
                           message)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_DECLINED;
}


/* The contract's 8 at least, and no more than bcrypt reads. */

static ngx_uint_t
nchat_password_min(nchat_live_t *live)
{
    double   wanted;
    json_t  *length;

    length = nchat_live_get(live, rule("minLength"));
    wanted = json_is_number(length) ? json_number_value(length) : 0;

    if (wanted > NCHAT_PASSWORD_MAX) {
        return NCHAT_PASSWORD_MAX;
    }

    return (wanted > 8) ? (ngx_uint_t) ceil(wanted) : 8;
}


static void
nchat_signin_keys(nchat_ctx_t *ctx, const ngx_str_t *email,
    nchat_key_t *by_address, nchat_key_t *by_email)
{
    ngx_str_t  parts[2];

    parts[0] = *email;
    parts[1] = nchat_limit_prefix(ctx);

    nchat_key(by_address, NCHAT_KEY_SIGNIN_ADDRESS, parts, 2);
    nchat_key(by_email, NCHAT_KEY_SIGNIN_EMAIL, parts, 1);
}


ngx_uint_t
nchat_signin_limited(nchat_ctx_t *ctx, const ngx_str_t *email)
{
    return nchat_signin_over(ctx, email, nchat_window_peek, 0);
}


ngx_uint_t
nchat_signin_count(nchat_ctx_t *ctx, const ngx_str_t *email)
{
    nchat_count(ctx->conf->metrics, NCHAT_M_SIGNIN_FAILED);

    return nchat_signin_over(ctx, email, nchat_window_hit, 1);
}


/*
 * Many may have been let in at once before the first of them failed, so the
 * count is looked at again afterwards: above says by how much it may exceed.
 */

static ngx_uint_t
nchat_signin_over(nchat_ctx_t *ctx, const ngx_str_t *email,
    nchat_signin_window_pt look, ngx_uint_t above)
{
    nchat_key_t         by_address, by_email;
    nchat_window_t      address, any;
    nchat_main_conf_t  *conf;

    conf = ctx->conf;
    nchat_signin_keys(ctx, email, &by_address, &by_email);

    look(conf->zone, NCHAT_WINDOW_SIGNIN, &by_address, conf->signin_window,
         &address);
    look(conf->zone, NCHAT_WINDOW_SIGNIN, &by_email, conf->signin_window,
         &any);

    if (address.count >= conf->signin_address + above) {
        ctx->retry_after = address.left;

    } else if (any.count >= conf->signin_email + above) {
        ctx->retry_after = any.left;

    } else {
        return 0;
    }

    nchat_count(conf->metrics, NCHAT_M_SIGNIN_LIMITED);

    nchat_reply_error(ctx, NCHAT_E_RATE_LIMIT,
                      "Too many failed sign-ins. Please try again later.");
    return 1;
}


void
nchat_signin_reset(nchat_ctx_t *ctx, const ngx_str_t *email)
{
    nchat_key_t  by_address, by_email;

    nchat_signin_keys(ctx, email, &by_address, &by_email);
    nchat_window_clear(ctx->conf->zone, NCHAT_WINDOW_SIGNIN, &by_address);
}


void
nchat_signin_record(nchat_ctx_t *ctx, const ngx_str_t *email,
    const ngx_str_t *user, nchat_result_pt done)
{
    ngx_str_t  params[4];

    params[0] = *email;
    params[1] = *user;

    if (user->len == 0) {
        params[1].data = NULL;
    }

    params[2] = nchat_limit_address(ctx);
    params[3] = ctx->request_id;

    nchat_query(ctx, &nchat_signin_failed_stmt, params, 4, done);
}


void
nchat_signin_refuse(nchat_ctx_t *ctx)
{
    ngx_str_t  parts[1];

    ngx_str_set(&parts[0],
                "{\"success\":false,\"error\":\"Invalid email or password\","
                "\"message\":\"Invalid email or password\","
                "\"code\":\"UNAUTHORIZED\",\"details\":{}}");

    nchat_reply_json(ctx, NGX_HTTP_UNAUTHORIZED, parts, 1);
}


void
nchat_account_reply(nchat_ctx_t *ctx, PGresult *result)
{
    u_char      *p;
    ngx_str_t    body, access, refresh, members, value;
    ngx_uint_t   status;

    status = nchat_query_status(ctx, result);

    if (status == 0) {
        return;
    }

    if (status >= 300) {
        nchat_query_reply(ctx, result);
        return;
    }

    body = nchat_query_column(result, "body");

    if (body.len < 2
        || nchat_account_tokens(ctx, result, &access, &refresh) != NGX_OK
        || nchat_account_cookie(ctx, &access) != NGX_OK)
    {
        nchat_reply_internal(ctx, "no token could be signed");
        return;
    }

    p = ngx_pnalloc(ctx->request->pool,
                    body.len + access.len + refresh.len + NGX_TIME_T_LEN
                    + sizeof(",\"accessToken\":\"\",\"refreshToken\":\"\","
                             "\"expiresIn\":"));
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    body.data++;
    body.len -= 2;

    members.data = p;
    p = ngx_sprintf(p, "%V,\"accessToken\":\"%V\",\"refreshToken\":\"%V\","
                    "\"expiresIn\":%T", &body, &access, &refresh,
                    ctx->conf->access_life);
    members.len = p - members.data;

    ngx_str_set(&value, "no-store");
    nchat_reply_header(ctx->request, "Cache-Control", &value);

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}


static ngx_int_t
nchat_account_tokens(nchat_ctx_t *ctx, PGresult *result, ngx_str_t *access,
    ngx_str_t *refresh)
{
    u_char          jti[NCHAT_UUID_LEN];
    nchat_claims_t  claims;

    ngx_memzero(&claims, sizeof(nchat_claims_t));

    claims.sub = nchat_query_column(result, "user_id");
    claims.sid = nchat_query_column(result, "sid");
    claims.ver = nchat_account_int(result, "ver");

    claims.typ = NCHAT_JWT_REFRESH;
    claims.jti = nchat_query_column(result, "jti");
    claims.iat = nchat_account_int(result, "iat");
    claims.exp = nchat_account_int(result, "exp");

    if (nchat_jwt_sign(ctx->conf->signer, ctx->request->pool, &claims, refresh)
        != NGX_OK
        || nchat_uuid_v4(jti) != NGX_OK)
    {
        return NGX_ERROR;
    }

    claims.typ = NCHAT_JWT_ACCESS;
    claims.email = nchat_query_column(result, "email");
    claims.username = nchat_query_column(result, "username");
    claims.display_name = nchat_query_column(result, "display_name");
    claims.role = nchat_query_column(result, "role");
    claims.jti.data = jti;
    claims.jti.len = NCHAT_UUID_LEN;
    claims.iat = ngx_time();
    claims.exp = claims.iat + ctx->conf->access_life;

    return nchat_jwt_sign(ctx->conf->signer, ctx->request->pool, &claims,
                          access);
}


/*
 * A page of somebody else must not sign a visitor in, to an account of its
 * own choice.
 */

static ngx_int_t
nchat_account_cookie(nchat_ctx_t *ctx, ngx_str_t *token)
{
    if (ctx->conf->cookie.len == 0
        || nchat_access_origin(ctx) == NCHAT_ORIGIN_OTHER)
    {
        return NGX_OK;
    }

    return nchat_account_set_cookie(ctx, token, ctx->conf->access_life);
}


ngx_int_t
nchat_account_set_cookie(nchat_ctx_t *ctx, const ngx_str_t *token,
    time_t age)
{
    u_char              *p;
    ngx_str_t            value;
    nchat_main_conf_t   *conf;

    conf = ctx->conf;

    p = ngx_pnalloc(ctx->request->pool,
                    conf->cookie.len + token->len + conf->cookie_flags.len
                    + NGX_TIME_T_LEN + sizeof("=; Max-Age=; "));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%V=%V; Max-Age=%T; %V", &conf->cookie, token,
                            age, &conf->cookie_flags)
                - p;

    return nchat_reply_header(ctx->request, "Set-Cookie", &value);
}


static int64_t
nchat_account_int(PGresult *result, const char *name)
{
    ngx_str_t  value;

    value = nchat_query_column(result, name);

    return ngx_atotm(value.data, value.len);
}
