/*
 * The windows of webhooks.
 *
 * Whether a token is right, only the database knows, and a request over its
 * limit must not reach it.  So a request counts in the window of its token and
 * in that of its address at once, and the handler's knowledge takes one of
 * them back.
 *
 * Two things keep wrong tokens from shutting out a right one behind the same
 * address.  A token that was right is trusted for a day, and counts in its own
 * window only.  Others are still looked up within a margin beyond the limit:
 * a wrong one is answered 429 then, a right one is served.
 */

#include "nchat_http.h"
#include "nchat_crypto.h"
#include "nchat_uuid.h"


/* how many times the limit are looked up */
#define NCHAT_WEBHOOK_MARGIN  2

/* seconds that a token is trusted for, and when that is renewed */
#define NCHAT_WEBHOOK_TRUST   (24 * 3600)
#define NCHAT_WEBHOOK_RENEW   (NCHAT_WEBHOOK_TRUST / 2)


static ngx_int_t nchat_webhook_make(nchat_ctx_t *ctx);
static ngx_int_t nchat_webhook_token(nchat_ctx_t *ctx, ngx_str_t *token);
static ngx_int_t nchat_webhook_reserve(nchat_ctx_t *ctx);
static void nchat_webhook_trust(nchat_ctx_t *ctx);
static ngx_int_t nchat_webhook_unknown_key(nchat_ctx_t *ctx, nchat_key_t *key);


ngx_int_t
nchat_limit_webhook(nchat_ctx_t *ctx)
{
    nchat_window_t      trust;
    nchat_webhook_t    *webhook;
    nchat_main_conf_t  *conf;

    if (nchat_webhook_make(ctx) != NGX_OK) {
        return NGX_DONE;
    }

    conf = ctx->conf;
    webhook = ctx->webhook;
    ctx->counted = 1;

    /* no webhook has such an id */

    if (webhook->id.len == 0) {
        return nchat_limit_webhook_settle(ctx, NCHAT_WEBHOOK_UNKNOWN);
    }

    nchat_window_peek(conf->zone, NCHAT_WINDOW_TRUST, &webhook->own,
                      NCHAT_WEBHOOK_TRUST * 1000, &trust);

    if (trust.count) {
        webhook->trusted = trust.left;

    } else if (nchat_webhook_reserve(ctx) != NGX_DECLINED) {
        return NGX_DONE;
    }

    nchat_window_hit(conf->zone, NCHAT_WINDOW_RATE, &webhook->own,
                     conf->window, &ctx->window);

    /* one that is refused for its own sake is not an attempt */

    if (webhook->reserved && ctx->window.count > conf->limits[ctx->limit]) {
        nchat_window_release(conf->zone, NCHAT_WINDOW_RATE, &webhook->wrong);
        webhook->reserved = 0;
    }

    return nchat_limit_over(ctx, 1);
}


ngx_int_t
nchat_limit_webhook_settle(nchat_ctx_t *ctx, nchat_webhook_e what)
{
    nchat_key_t         unknown;
    nchat_webhook_t    *webhook;
    nchat_main_conf_t  *conf;

    conf = ctx->conf;
    webhook = ctx->webhook;

    if (what == NCHAT_WEBHOOK_RIGHT) {

        if (webhook->reserved) {
            nchat_window_release(conf->zone, NCHAT_WINDOW_RATE,
                                 &webhook->wrong);
        }

        if (webhook->trusted < NCHAT_WEBHOOK_RENEW) {
            nchat_webhook_trust(ctx);
        }

        return NGX_DECLINED;
    }

    if (webhook->id.len) {
        nchat_window_clear(conf->zone, NCHAT_WINDOW_RATE, &webhook->own);

        if (!webhook->reserved) {

            /* trusted until now, but it was changed */

            nchat_window_clear(conf->zone, NCHAT_WINDOW_TRUST, &webhook->own);
            nchat_window_hit(conf->zone, NCHAT_WINDOW_RATE, &webhook->wrong,
                             conf->window, &webhook->wrong_window);
        }
    }

    if (what == NCHAT_WEBHOOK_WRONG) {
        ctx->window = webhook->wrong_window;
        return nchat_limit_over(ctx, 1);
    }

    if (nchat_webhook_unknown_key(ctx, &unknown) != NGX_OK) {
        return NGX_DONE;
    }

    nchat_window_hit(conf->zone, NCHAT_WINDOW_RATE, &unknown, conf->window,
                     &ctx->window);

    return nchat_limit_over(ctx, 1);
}


/* Who presents which token for which id; NGX_ERROR after having answered. */

static ngx_int_t
nchat_webhook_make(nchat_ctx_t *ctx)
{
    u_char            id[NCHAT_UUID_SIZE], digest[NCHAT_SHA256_LEN];
    ngx_str_t         token, parts[2];
    nchat_webhook_t  *webhook;

    webhook = ngx_pcalloc(ctx->request->pool,
                          sizeof(nchat_webhook_t) + NCHAT_UUID_LEN);
    if (webhook == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    ctx->webhook = webhook;

    if (nchat_uuid_parse(&ctx->params[0], id) != NGX_OK) {
        return NGX_OK;
    }

    webhook->id.data = (u_char *) (webhook + 1);
    webhook->id.len = NCHAT_UUID_LEN;
    (void) nchat_uuid_format(webhook->id.data, id);

    if (nchat_webhook_token(ctx, &token) != NGX_OK) {
        return NGX_ERROR;
    }

    if (nchat_sha256(digest, token.data, token.len) != NGX_OK) {
        nchat_reply_internal(ctx, "no SHA-256");
        return NGX_ERROR;
    }

    (void) nchat_hex_encode(webhook->token_hash, digest, sizeof(digest));

    parts[0] = webhook->id;
    parts[1].data = webhook->token_hash;
    parts[1].len = sizeof(webhook->token_hash);
    nchat_key(&webhook->own, NCHAT_LIMIT_WEBHOOK, parts, 2);

    parts[1] = nchat_limit_prefix(ctx);

    if (parts[1].len == 0) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    nchat_key(&webhook->wrong, NCHAT_LIMIT_WEBHOOK, parts, 2);

    return NGX_OK;
}


/* Without a token there is a wrong one, the empty string. */

static ngx_int_t
nchat_webhook_token(nchat_ctx_t *ctx, ngx_str_t *token)
{
    *token = ctx->params[1];

    if (token->len == 0 && nchat_arg(ctx, "token", token) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Counts as an attempt, until something better is known. */

static ngx_int_t
nchat_webhook_reserve(nchat_ctx_t *ctx)
{
    nchat_key_t         unknown;
    nchat_webhook_t    *webhook;
    nchat_main_conf_t  *conf;

    conf = ctx->conf;
    webhook = ctx->webhook;

    nchat_window_hit(conf->zone, NCHAT_WINDOW_RATE, &webhook->wrong,
                     conf->window, &ctx->window);
    webhook->wrong_window = ctx->window;
    webhook->reserved = 1;

    if (nchat_limit_over(ctx, NCHAT_WEBHOOK_MARGIN) != NGX_DECLINED
        || nchat_webhook_unknown_key(ctx, &unknown) != NGX_OK)
    {
        return NGX_DONE;
    }

    nchat_window_peek(conf->zone, NCHAT_WINDOW_RATE, &unknown, conf->window,
                      &ctx->window);

    return nchat_limit_over(ctx, NCHAT_WEBHOOK_MARGIN);
}


static void
nchat_webhook_trust(nchat_ctx_t *ctx)
{
    nchat_key_t     *own;
    nchat_zone_t    *zone;
    nchat_window_t   trust;

    own = &ctx->webhook->own;
    zone = ctx->conf->zone;

    nchat_window_clear(zone, NCHAT_WINDOW_TRUST, own);
    nchat_window_hit(zone, NCHAT_WINDOW_TRUST, own,
                     NCHAT_WEBHOOK_TRUST * 1000, &trust);
}


static ngx_int_t
nchat_webhook_unknown_key(nchat_ctx_t *ctx, nchat_key_t *key)
{
    ngx_str_t  address;

    address = nchat_limit_prefix(ctx);

    if (address.len == 0) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    nchat_key(key, NCHAT_LIMIT_WEBHOOK, &address, 1);

    return NGX_OK;
}
