/* Contract, "Accounts": sign-up, sign-in and who one is. */

#include "nchat_api.h"
#include "nchat_account.h"
#include "nchat_json.h"


typedef struct {
    ngx_str_t             email;
    ngx_str_t             password;
    ngx_str_t             username;
    ngx_str_t             name;

    ngx_str_t             refusal;        /* of anyone but the first account */
    ngx_str_t             hash;
    nchat_session_ids_t   ids;
} nchat_signup_t;

typedef struct {
    ngx_str_t             email;
    ngx_str_t             password;

    ngx_str_t             user;           /* empty: nobody has this email */
    ngx_str_t             role;
    ngx_str_t             hash;
    ngx_uint_t            off;            /* passwords are no way in */
    nchat_session_ids_t   ids;
} nchat_signin_t;


static void nchat_signup_refusal(nchat_live_t *live, nchat_signup_t *signup);
static ngx_uint_t nchat_signup_domain(nchat_live_t *live,
    const ngx_str_t *email);
static void nchat_signup_hashed(nchat_ctx_t *ctx, void *data);
static void nchat_signup_done(nchat_ctx_t *ctx, PGresult *result);
static void nchat_signin_found(nchat_ctx_t *ctx, PGresult *result);
static void nchat_signin_checked(nchat_ctx_t *ctx, void *data);
static void nchat_signin_failed(nchat_ctx_t *ctx);
static void nchat_signin_recorded(nchat_ctx_t *ctx, PGresult *result);
static void nchat_signin_denied(nchat_ctx_t *ctx);
static void nchat_signin_done(nchat_ctx_t *ctx, PGresult *result);


static const nchat_check_t  nchat_signup_fields[] = {
    NCHAT_CHECK_EMAIL("email", offsetof(nchat_signup_t, email),
                      NCHAT_REQUIRED),
    NCHAT_CHECK_STR("password", offsetof(nchat_signup_t, password), 0, 0,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_STR("username", offsetof(nchat_signup_t, username), 3, 30,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_STR("displayName", offsetof(nchat_signup_t, name), 1, 100,
                    NCHAT_TRIM),
    NCHAT_CHECK_END
};

/* What cannot be right is wrong, not invalid: the answer says no more. */

static const nchat_check_t  nchat_signin_fields[] = {
    NCHAT_CHECK_STR("email", offsetof(nchat_signin_t, email), 1, 1024,
                    NCHAT_REQUIRED|NCHAT_TRIM|NCHAT_LOWER),
    NCHAT_CHECK_STR("password", offsetof(nchat_signin_t, password), 1, 1024,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_END
};


static nchat_stmt_t  nchat_signup_stmt = {
    "nchat_signup",
    "SELECT * FROM nchat_signup($1::uuid, $2, $3, $4, $5, $6, $7::uuid,"
    " $8::uuid, $9::int, $10, $11)",
    11, NCHAT_LANE_LOCK, 0, 0, 0
};

static nchat_stmt_t  nchat_signin_lookup_stmt = {
    "nchat_signin_lookup",
    "SELECT lower(given.email) AS email, user_id, password_hash, role"
    " FROM (VALUES ($1::text)) given (email)"
    " LEFT JOIN nchat_signin_lookup(given.email) ON true",
    1, NCHAT_LANE_FAST, 1, 0, 0
};

static nchat_stmt_t  nchat_signin_stmt = {
    "nchat_signin",
    "SELECT * FROM nchat_signin($1::uuid, $2, $3, $4::uuid, $5::uuid, $6::int,"
    " $7, $8)",
    8, NCHAT_LANE_FAST, 0, 0, 0
};


void
nchat_api_signup(nchat_ctx_t *ctx)
{
    ngx_int_t          rc;
    nchat_live_t      *live;
    nchat_signup_t    *signup;
    nchat_failures_t   failures;

    signup = ngx_pcalloc(ctx->request->pool, sizeof(nchat_signup_t));
    if (signup == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->data = signup;

    live = nchat_ctx_live(ctx);
    if (live == NULL) {
        return;
    }

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    rc = nchat_check(ctx->request->pool, nchat_signup_fields, ctx->json,
                     signup, &failures);

    if (rc != NGX_ERROR && signup->username.data && signup->username.len >= 3
        && signup->username.len <= 30
        && !nchat_check_username(&signup->username))
    {
        rc = nchat_failures_add(ctx->request->pool, &failures, "username",
                                "format", "username may only have letters, "
                                "digits, - and _");
        rc = (rc == NGX_OK) ? NGX_DECLINED : NGX_ERROR;
    }

    if (rc != NGX_ERROR && signup->password.data
        && nchat_password_policy(ctx, live, "password", &signup->password,
                                 &failures)
           != NGX_OK)
    {
        rc = NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (rc == NGX_DECLINED) {
        nchat_reply_failures(ctx, &failures);
        return;
    }

    if (signup->name.len == 0) {
        signup->name = signup->username;
    }

    nchat_signup_refusal(live, signup);

    nchat_password_post_new(ctx, &signup->password, nchat_signup_hashed);
}


/*
 * Modes that need a verification that does not exist refuse everybody: fail
 * closed.  Whether this is the first account, which is exempt, only the
 * database can say.
 */

static void
nchat_signup_refusal(nchat_live_t *live, nchat_signup_t *signup)
{
    json_t      *value;
    ngx_uint_t   refused;
    const char  *mode;

    value = nchat_live_get(live, "authPermissions.mode");
    mode = json_is_string(value) ? json_string_value(value) : "admin-only";

    if (ngx_strcmp(mode, "domain-restricted") == 0) {
        refused = !nchat_signup_domain(live, &signup->email);

    } else {
        refused = ngx_strcmp(mode, "allow-all") != 0;
    }

    if (refused || nchat_live_flag(live, "authPermissions.requireApproval", 0)
        || !nchat_live_flag(live, "authProviders.emailPassword", 0))
    {
        ngx_str_set(&signup->refusal,
                    "{\"error\":\"Sign-up is not open to this account\","
                    "\"code\":\"FORBIDDEN\",\"details\":{}}");
        return;
    }

    ngx_str_set(&signup->refusal, "");
}


static ngx_uint_t
nchat_signup_domain(nchat_live_t *live, const ngx_str_t *email)
{
    size_t       i;
    u_char      *at;
    json_t      *domains, *domain;
    ngx_str_t    host;

    at = ngx_strlchr(email->data, email->data + email->len, '@');
    if (at == NULL) {
        return 0;
    }

    host.data = at + 1;
    host.len = email->data + email->len - host.data;

    domains = nchat_live_get(live, "authPermissions.allowedDomains");

    json_array_foreach(domains, i, domain) {
        if (json_string_length(domain) == host.len
            && ngx_strncasecmp((u_char *) json_string_value(domain), host.data,
                               host.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
nchat_signup_hashed(nchat_ctx_t *ctx, void *data)
{
    nchat_password_task_t *task = data;

    u_char          *id;
    ngx_str_t        params[11];
    nchat_signup_t  *signup;

    signup = ctx->data;

    id = ngx_pnalloc(ctx->request->pool, NCHAT_UUID_LEN);

    if (id == NULL || task->hashed != NGX_OK || nchat_uuid_v4(id) != NGX_OK) {
        nchat_reply_internal(ctx, "a password could not be hashed");
        return;
    }

    if (nchat_session_ids(ctx, &signup->ids) != NGX_OK) {
        return;
    }

    params[0].data = id;
    params[0].len = NCHAT_UUID_LEN;
    params[1] = signup->email;
    params[2] = signup->username;
    params[3] = signup->name;
    params[4].data = task->fresh;
    params[4].len = ngx_strlen(task->fresh);
    params[5] = signup->refusal;
    params[6] = signup->ids.sid;
    params[7] = signup->ids.jti;
    params[8] = nchat_query_int(ctx, ctx->conf->refresh_life);
    params[9] = nchat_limit_address(ctx);
    params[10] = ctx->request_id;

    nchat_query(ctx, &nchat_signup_stmt, params, 11, nchat_signup_done);
}


static void
nchat_signup_done(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t  status;

    status = nchat_query_column(result, "status");

    if (status.len && status.data[0] == '2') {
        nchat_count(ctx->conf->metrics, NCHAT_M_SIGNUP);
    }

    nchat_account_reply(ctx, result);
}


void
nchat_api_signin(nchat_ctx_t *ctx)
{
    nchat_signin_t  *signin;

    signin = ngx_pcalloc(ctx->request->pool, sizeof(nchat_signin_t));
    if (signin == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->data = signin;

    if (nchat_body_check(ctx, nchat_signin_fields, signin) != NGX_OK) {
        return;
    }

    if (nchat_signin_limited(ctx, &signin->email)) {
        return;
    }

    nchat_query(ctx, &nchat_signin_lookup_stmt, &signin->email, 1,
                nchat_signin_found);
}


/*
 * Which letters have a lower case the database decides.  By its spelling of
 * the email failures are counted, or each other one would have its own tries.
 */

static void
nchat_signin_found(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t        email;
    nchat_signin_t  *signin;

    signin = ctx->data;
    email = nchat_query_column(result, "email");

    if (email.len != signin->email.len
        || ngx_memcmp(email.data, signin->email.data, email.len) != 0)
    {
        signin->email = email;

        if (nchat_signin_limited(ctx, &signin->email)) {
            return;
        }
    }

    signin->user = nchat_query_column(result, "user_id");
    signin->role = nchat_query_column(result, "role");
    signin->hash = nchat_query_column(result, "password_hash");

    nchat_password_post(ctx, &signin->hash, &signin->password, NULL, 1,
                        nchat_signin_checked);
}


static void
nchat_signin_checked(nchat_ctx_t *ctx, void *data)
{
    nchat_password_task_t *task = data;

    ngx_str_t        params[8];
    nchat_live_t    *live;
    nchat_signin_t  *signin;

    signin = ctx->data;
    live = nchat_ctx_live(ctx);
    if (live == NULL) {
        return;
    }

    signin->off = !nchat_live_flag(live, "authProviders.emailPassword", 0);

    /* nobody's hash, or a password that bcrypt would have cut off */

    if (task->verified != NGX_OK || signin->hash.len == 0
        || signin->password.len > NCHAT_PASSWORD_MAX)
    {
        nchat_signin_failed(ctx);
        return;
    }

    /* five others may have failed while this one was checked */

    if (nchat_signin_limited(ctx, &signin->email)) {
        return;
    }

    if (signin->off && nchat_role_parse(&signin->role) != NCHAT_ROLE_OWNER) {
        nchat_count(ctx->conf->metrics, NCHAT_M_SIGNIN_REFUSED);
        nchat_signin_denied(ctx);
        return;
    }

    if (nchat_session_ids(ctx, &signin->ids) != NGX_OK) {
        return;
    }

    ngx_memzero(params, sizeof(params));

    params[0] = signin->user;
    params[1] = signin->hash;

    if (task->hashed == NGX_OK) {
        params[2].data = task->fresh;
        params[2].len = ngx_strlen(task->fresh);
    }

    params[3] = signin->ids.sid;
    params[4] = signin->ids.jti;
    params[5] = nchat_query_int(ctx, ctx->conf->refresh_life);
    params[6] = nchat_limit_address(ctx);
    params[7] = ctx->request_id;

    nchat_query(ctx, &nchat_signin_stmt, params, 8, nchat_signin_done);
}


static void
nchat_signin_failed(nchat_ctx_t *ctx)
{
    nchat_signin_t  *signin;

    signin = ctx->data;

    if (nchat_signin_count(ctx, &signin->email)) {
        return;
    }

    nchat_signin_record(ctx, &signin->email, &signin->user,
                        nchat_signin_recorded);
}


static void
nchat_signin_recorded(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_signin_denied(ctx);
}


/* The owner's email must not stand out where only the owner gets in. */

static void
nchat_signin_denied(nchat_ctx_t *ctx)
{
    nchat_signin_t  *signin;

    signin = ctx->data;

    if (signin->off) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "Sign-in with a password is switched off");
        return;
    }

    nchat_signin_refuse(ctx);
}


static void
nchat_signin_done(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t        status;
    nchat_signin_t  *signin;

    signin = ctx->data;
    status = nchat_query_column(result, "status");

    if (status.len && status.data[0] == '2') {
        nchat_count(ctx->conf->metrics, NCHAT_M_SIGNIN_OK);
        nchat_signin_reset(ctx, &signin->email);

    } else {
        nchat_count(ctx->conf->metrics, NCHAT_M_SIGNIN_REFUSED);
    }

    /* changed meanwhile: as if it had been wrong */

    if (status.len == 3 && ngx_strncmp(status.data, "401", 3) == 0) {
        nchat_signin_denied(ctx);
        return;
    }

    nchat_account_reply(ctx, result);
}


/* From the token alone. */

void
nchat_api_me(nchat_ctx_t *ctx)
{
    size_t           size;
    u_char          *p;
    ngx_str_t        members, value;
    ngx_uint_t       i;
    nchat_claims_t  *claims;

    claims = &ctx->caller.claims;

    const struct {
        const char       *name;
        const ngx_str_t  *value;
    } rows[] = {
        { "\"id\":\"", &claims->sub },
        { "\"email\":\"", &claims->email },
        { "\"username\":\"", &claims->username },
        { "\"displayName\":\"", &claims->display_name },
        { "\"role\":\"", &claims->role }
    };

    size = sizeof("\"user\":{\"status\":\"online\"}");

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size += ngx_strlen(rows[i].name) + sizeof("\",")
                + nchat_json_escape_len(rows[i].value);
    }

    p = ngx_pnalloc(ctx->request->pool, size);
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.data = p;
    p = ngx_cpymem(p, "\"user\":{", sizeof("\"user\":{") - 1);

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        if (rows[i].value->len) {
            p = ngx_cpymem(p, rows[i].name, ngx_strlen(rows[i].name));
            p = nchat_json_escape(p, rows[i].value);
            *p++ = '"';
            *p++ = ',';
        }
    }

    p = ngx_cpymem(p, "\"status\":\"online\"}",
                   sizeof("\"status\":\"online\"}") - 1);
    members.len = p - members.data;

    ngx_str_set(&value, "no-store");
    nchat_reply_header(ctx->request, "Cache-Control", &value);

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}
