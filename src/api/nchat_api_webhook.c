/* Contract, "Webhooks". */

#include "nchat_api.h"
#include "nchat_crypto.h"
#include "nchat_json.h"
#include "nchat_webhook_signature.h"


#define NCHAT_WEBHOOK_ARGS  12


typedef struct {
    ngx_str_t    content;
    ngx_str_t    username;
    ngx_str_t    avatar_url;
    json_t      *embeds;
    json_t      *attachments;
} nchat_delivery_t;


static ngx_int_t nchat_webhook_check(nchat_ctx_t *ctx);
static ngx_int_t nchat_webhook_check_embeds(nchat_ctx_t *ctx,
    nchat_delivery_t *delivery, nchat_failures_t *failures);
static void nchat_webhook_secret(nchat_ctx_t *ctx, PGresult *result);
static void nchat_webhook_deliver(nchat_ctx_t *ctx, ngx_uint_t is_signed);
static ngx_int_t nchat_webhook_idempotency(nchat_ctx_t *ctx, ngx_str_t *key,
    ngx_str_t *body_hash);
static void nchat_webhook_delivered(nchat_ctx_t *ctx, PGresult *result);
static void nchat_webhook_refuse(nchat_ctx_t *ctx, const char *status,
    const char *code, const ngx_str_t *error, const ngx_str_t *details);
static void nchat_webhook_refuse_text(nchat_ctx_t *ctx, const char *status,
    const char *code, const char *error);
static void nchat_webhook_refused(nchat_ctx_t *ctx, PGresult *result);
static void nchat_webhook_described(nchat_ctx_t *ctx, PGresult *result);
static ngx_int_t nchat_webhook_known(nchat_ctx_t *ctx, PGresult *result);
static ngx_str_t nchat_webhook_hash(nchat_ctx_t *ctx);
static ngx_str_t nchat_webhook_bool(ngx_uint_t value);


/*
 * Right tokens are told from wrong ones by the status, but for 401, which a
 * signature can be the reason of too.
 */

#define nchat_webhook_right                                                   \
    "CASE d.status WHEN 404 THEN '' WHEN 401 THEN (SELECT 'y'"                \
    " FROM webhooks w WHERE w.id = $1::uuid AND w.token_hash = $2"            \
    " AND w.deleted_at IS NULL) ELSE 'y' END AS token"

#define nchat_webhook_deliver_sql                                             \
    "SELECT d.status, d.body, d.repeated, " nchat_webhook_right               \
    " FROM nchat_webhook_deliver($1::uuid, $2, $3::bool, $4, $5, $6,"         \
    " $7::jsonb, $8::jsonb, $9, $10, $11, $12) d"


static nchat_stmt_t  nchat_webhook_deliver_stmt = {
    "nchat_webhook_deliver", nchat_webhook_deliver_sql, NCHAT_WEBHOOK_ARGS,
    NCHAT_LANE_BATCH, 0, 0, 0
};

/* with an idempotency key it waits for its twin */

static nchat_stmt_t  nchat_webhook_deliver_once_stmt = {
    "nchat_webhook_deliver_once", nchat_webhook_deliver_sql,
    NCHAT_WEBHOOK_ARGS, NCHAT_LANE_LOCK, 0, 0, 0
};

static nchat_stmt_t  nchat_webhook_failed_stmt = {
    "nchat_webhook_failed",
    "SELECT d.status, d.body, " nchat_webhook_right
    " FROM nchat_webhook_failed($1::uuid, $2, $3::bool, $4::int, $5, $6, $7,"
    " $8) d",
    8, NCHAT_LANE_BATCH, 0, 0, 0
};

static nchat_stmt_t  nchat_webhook_get_stmt = {
    "nchat_webhook_get",
    "SELECT d.status, d.body, CASE WHEN d.status < 400 THEN 'y' ELSE '' END"
    " AS token FROM nchat_webhook_get($1::uuid, $2) d",
    2, NCHAT_LANE_FAST, 1, 0, 0
};

static nchat_stmt_t  nchat_webhook_secret_stmt = {
    "nchat_webhook_secret",
    "SELECT status, secret FROM nchat_webhook_get($1::uuid, $2)",
    2, NCHAT_LANE_FAST, 1, 0, 0
};


static const nchat_check_t  nchat_delivery_fields[] = {
    NCHAT_CHECK_STR("content", offsetof(nchat_delivery_t, content), 1, 2000,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_STR("username", offsetof(nchat_delivery_t, username), 1, 80,
                    0),
    NCHAT_CHECK_URL("avatar_url", offsetof(nchat_delivery_t, avatar_url), 2048,
                    0),
    NCHAT_CHECK_ARRAY("embeds", offsetof(nchat_delivery_t, embeds), 0, 10, 0),
    NCHAT_CHECK_ARRAY("attachments", offsetof(nchat_delivery_t, attachments),
                      0, 0, 0),
    NCHAT_CHECK_END
};


/* Who holds the token may see what it is for. */

void
nchat_api_webhook_get(nchat_ctx_t *ctx)
{
    ngx_str_t  params[2];

    if (ctx->webhook->id.len == 0) {
        nchat_reply_error(ctx, NCHAT_E_NOT_FOUND, "Webhook not found");
        return;
    }

    params[0] = ctx->webhook->id;
    params[1] = nchat_webhook_hash(ctx);

    nchat_query(ctx, &nchat_webhook_get_stmt, params, 2,
                nchat_webhook_described);
}


static void
nchat_webhook_described(nchat_ctx_t *ctx, PGresult *result)
{
    if (nchat_webhook_known(ctx, result) == NGX_DECLINED) {
        nchat_query_reply(ctx, result);
    }
}


/*
 * One statement for the usual delivery.  A signature needs the webhook's
 * secret first, and is checked before anything that the body says.
 */

void
nchat_api_webhook_post(nchat_ctx_t *ctx)
{
    ngx_str_t  params[2];

    if (ctx->webhook->id.len == 0) {
        nchat_reply_error(ctx, NCHAT_E_NOT_FOUND, "Webhook not found");
        return;
    }

    ctx->data = ngx_pcalloc(ctx->request->pool, sizeof(nchat_delivery_t));
    if (ctx->data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (!nchat_webhook_is_signed(ctx)) {
        nchat_webhook_deliver(ctx, 0);
        return;
    }

    params[0] = ctx->webhook->id;
    params[1] = nchat_webhook_hash(ctx);

    nchat_query(ctx, &nchat_webhook_secret_stmt, params, 2,
                nchat_webhook_secret);
}


/* NGX_ERROR: what is wrong with the body is being recorded and answered. */

static ngx_int_t
nchat_webhook_check(nchat_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_str_t          error, details;
    const char        *why;
    nchat_failures_t   failures;

    why = nchat_body_refused(ctx);

    if (why) {
        nchat_webhook_refuse_text(ctx, "415", "UNSUPPORTED_MEDIA_TYPE", why);
        return NGX_ERROR;
    }

    rc = nchat_body_json(ctx, &why);

    if (rc == NGX_DECLINED) {
        nchat_webhook_refuse_text(ctx, "400", "BAD_REQUEST", why);
        return NGX_ERROR;
    }

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    if (rc == NGX_OK) {
        rc = nchat_check(ctx->request->pool, nchat_delivery_fields, ctx->json,
                         ctx->data, &failures);
    }

    if (rc != NGX_ERROR
        && nchat_webhook_check_embeds(ctx, ctx->data, &failures) != NGX_OK)
    {
        rc = NGX_ERROR;
    }

    if (rc == NGX_ERROR
        || (failures.list
            && nchat_failures_render(ctx->request->pool, &failures, &error,
                                     &details)
               != NGX_OK))
    {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    if (failures.list) {
        nchat_webhook_refuse(ctx, "400", "VALIDATION_ERROR", &error, &details);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
nchat_webhook_check_embeds(nchat_ctx_t *ctx, nchat_delivery_t *delivery,
    nchat_failures_t *failures)
{
    size_t   i;
    json_t  *embed;

    json_array_foreach(delivery->embeds, i, embed) {

        if (!json_is_object(embed)) {
            return nchat_failures_add(ctx->request->pool, failures, "embeds",
                                      "type",
                                      "embeds must be an array of objects");
        }
    }

    return NGX_OK;
}


static void
nchat_webhook_secret(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t   secret;
    ngx_uint_t  status, right;

    status = nchat_query_status(ctx, result);
    if (status == 0) {
        return;
    }

    secret = nchat_query_column(result, "secret");

    if (status >= 400 || secret.len == 0) {

        /* of a webhook that there isn't, or with a wrong token, it says that */

        nchat_webhook_refuse_text(ctx, "401", "INVALID_TOKEN",
                                  "This webhook has no secret to check the "
                                  "signature with");
        return;
    }

    right = nchat_webhook_verify(ctx, &secret);
    nchat_wipe(secret.data, secret.len);

    if (!right) {
        nchat_webhook_refuse_text(ctx, "401", "INVALID_TOKEN",
                                  "Invalid webhook signature");
        return;
    }

    nchat_webhook_deliver(ctx, 1);
}


static void
nchat_webhook_deliver(nchat_ctx_t *ctx, ngx_uint_t is_signed)
{
    nchat_delivery_t *delivery = ctx->data;

    ngx_pool_t    *pool;
    ngx_str_t      params[NCHAT_WEBHOOK_ARGS];
    nchat_stmt_t  *stmt;

    if (nchat_webhook_check(ctx) != NGX_OK) {
        return;
    }

    pool = ctx->request->pool;
    ngx_memzero(params, sizeof(params));

    params[0] = ctx->webhook->id;
    params[1] = nchat_webhook_hash(ctx);

    params[2] = nchat_webhook_bool(is_signed);
    params[3] = delivery->content;
    params[4] = delivery->username;
    params[5] = delivery->avatar_url;

    if ((delivery->embeds
         && nchat_json_dump(pool, delivery->embeds, 0, &params[6]) != NGX_OK)
        || (delivery->attachments
            && nchat_json_dump(pool, delivery->attachments, 0, &params[7])
               != NGX_OK))
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (nchat_webhook_idempotency(ctx, &params[8], &params[9]) != NGX_OK) {
        return;
    }

    params[10] = nchat_limit_address(ctx);
    params[11] = ctx->request_id;

    stmt = params[8].data ? &nchat_webhook_deliver_once_stmt
                          : &nchat_webhook_deliver_stmt;

    nchat_query(ctx, stmt, params, NCHAT_WEBHOOK_ARGS,
                nchat_webhook_delivered);
}


/* The key and what it stands for; NGX_ERROR after having answered. */

static ngx_int_t
nchat_webhook_idempotency(nchat_ctx_t *ctx, ngx_str_t *key,
    ngx_str_t *body_hash)
{
    u_char      digest[NCHAT_SHA256_LEN];
    ngx_str_t  *value;

    value = nchat_header(ctx->request, "Idempotency-Key");

    if (value == NULL) {
        value = nchat_header(ctx->request, "webhook-id");
    }

    if (value == NULL) {
        return NGX_OK;
    }

    if (!nchat_utf8_valid(value)) {
        nchat_webhook_refuse_text(ctx, "400", "BAD_REQUEST",
                                  "The idempotency key must be UTF-8");
        return NGX_ERROR;
    }

    body_hash->len = 2 * NCHAT_SHA256_LEN;
    body_hash->data = ngx_pnalloc(ctx->request->pool, body_hash->len);

    if (body_hash->data == NULL
        || nchat_sha256(digest, ctx->body.data, ctx->body.len) != NGX_OK)
    {
        nchat_reply_internal(ctx, "no digest of the body");
        return NGX_ERROR;
    }

    (void) nchat_hex_encode(body_hash->data, digest, sizeof(digest));
    *key = *value;

    return NGX_OK;
}


static void
nchat_webhook_delivered(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t         repeated;
    ngx_uint_t        status;
    nchat_metrics_t  *metrics;

    status = nchat_query_status(ctx, result);
    if (status == 0) {
        return;
    }

    metrics = ctx->conf->metrics;
    repeated = nchat_query_column(result, "repeated");

    if (status >= 300) {
        nchat_count(metrics, NCHAT_M_WEBHOOK_REFUSED);

    } else {
        nchat_count(metrics, NCHAT_M_WEBHOOK_OK);

        if (repeated.len == 1 && repeated.data[0] == 'f') {
            nchat_count(metrics, NCHAT_M_MESSAGES);
        }
    }

    if (nchat_webhook_known(ctx, result) == NGX_DECLINED) {
        nchat_query_reply(ctx, result);
    }
}


/*
 * Refused here, but recorded, and answered with what comes first: that there
 * is no such webhook, that the token is wrong.
 */

static void
nchat_webhook_refuse(nchat_ctx_t *ctx, const char *status, const char *code,
    const ngx_str_t *error, const ngx_str_t *details)
{
    u_char     *p;
    ngx_str_t   params[8], *body;

    params[0] = ctx->webhook->id;
    params[1] = nchat_webhook_hash(ctx);
    params[2] = nchat_webhook_bool(nchat_webhook_is_signed(ctx));
    params[3].data = (u_char *) status;
    params[3].len = ngx_strlen(status);
    params[5] = *error;
    params[6] = nchat_limit_address(ctx);
    params[7] = ctx->request_id;

    body = &params[4];
    body->data = ngx_pnalloc(ctx->request->pool,
                             sizeof("{\"error\":\"\",\"code\":\"\","
                                    "\"details\":}")
                             + nchat_json_escape_len(error)
                             + ngx_strlen(code) + details->len);
    if (body->data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    p = ngx_cpymem(body->data, "{\"error\":\"", sizeof("{\"error\":\"") - 1);
    p = nchat_json_escape(p, error);
    p = ngx_sprintf(p, "\",\"code\":\"%s\",\"details\":%V}", code, details);
    body->len = p - body->data;

    nchat_query(ctx, &nchat_webhook_failed_stmt, params, 8,
                nchat_webhook_refused);
}


static void
nchat_webhook_refuse_text(nchat_ctx_t *ctx, const char *status,
    const char *code, const char *error)
{
    ngx_str_t  text;

    static const ngx_str_t  none = ngx_string("{}");

    text.data = (u_char *) error;
    text.len = ngx_strlen(error);

    nchat_webhook_refuse(ctx, status, code, &text, &none);
}


static void
nchat_webhook_refused(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_count(ctx->conf->metrics, NCHAT_M_WEBHOOK_REFUSED);

    if (nchat_webhook_known(ctx, result) == NGX_DECLINED) {
        nchat_query_reply(ctx, result);
    }
}


/*
 * The window that counts: the webhook's own, if the token was right.
 * NGX_DONE: answered, that was one too many.
 */

static ngx_int_t
nchat_webhook_known(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t        token;
    ngx_uint_t       status;
    nchat_webhook_e  what;

    status = nchat_query_status(ctx, result);
    if (status == 0) {
        return NGX_DONE;
    }

    token = nchat_query_column(result, "token");

    what = token.len ? NCHAT_WEBHOOK_RIGHT
                     : status == 404 ? NCHAT_WEBHOOK_UNKNOWN
                                     : NCHAT_WEBHOOK_WRONG;

    if (status == 401) {
        ctx->challenge = 1;
    }

    return nchat_limit_webhook_settle(ctx, what);
}


static ngx_str_t
nchat_webhook_hash(nchat_ctx_t *ctx)
{
    ngx_str_t  hash;

    hash.data = ctx->webhook->token_hash;
    hash.len = sizeof(ctx->webhook->token_hash);

    return hash;
}


static ngx_str_t
nchat_webhook_bool(ngx_uint_t value)
{
    ngx_str_t  text;

    text.data = (u_char *) (value ? "t" : "f");
    text.len = 1;

    return text;
}
