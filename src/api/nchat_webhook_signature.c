/* Contract, "Webhooks": the signature of a delivery, in any of its headers. */

#include "nchat_webhook_signature.h"
#include "nchat_crypto.h"


typedef ngx_int_t (*nchat_hmac_pt)(u_char *out, const ngx_str_t *key,
    const ngx_str_t *data);

typedef struct {
    const char     *header;
    ngx_str_t       prefix;
    size_t          len;
    nchat_hmac_pt   hmac;
    ngx_uint_t      bare;          /* may come without the prefix */
} nchat_signature_t;


static ngx_uint_t nchat_webhook_verify_one(nchat_ctx_t *ctx,
    const nchat_signature_t *s, const ngx_str_t *secret);


/* Every header that is there must be right. */

static const nchat_signature_t  nchat_signatures[] = {
    { "X-Webhook-Signature", ngx_string("sha256="), NCHAT_SHA256_LEN,
      nchat_hmac_sha256, 1 },
    { "X-Hub-Signature-256", ngx_string("sha256="), NCHAT_SHA256_LEN,
      nchat_hmac_sha256, 0 },
    { "X-Hub-Signature", ngx_string("sha1="), NCHAT_SHA1_LEN,
      nchat_hmac_sha1, 0 },
    { NULL, ngx_null_string, 0, NULL, 0 }
};


ngx_uint_t
nchat_webhook_is_signed(nchat_ctx_t *ctx)
{
    const nchat_signature_t  *s;

    for (s = nchat_signatures; s->header; s++) {
        if (nchat_header(ctx->request, s->header)) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
nchat_webhook_verify(nchat_ctx_t *ctx, const ngx_str_t *secret)
{
    ngx_uint_t                right;
    const nchat_signature_t  *s;

    right = 1;

    for (s = nchat_signatures; s->header; s++) {
        right &= nchat_webhook_verify_one(ctx, s, secret);
    }

    return right;
}


/* 1 too if there is no such header. */

static ngx_uint_t
nchat_webhook_verify_one(nchat_ctx_t *ctx, const nchat_signature_t *s,
    const ngx_str_t *secret)
{
    u_char      given[NCHAT_SHA256_LEN], wanted[NCHAT_SHA256_LEN];
    ngx_str_t   text, *value;

    value = nchat_header(ctx->request, s->header);

    if (value == NULL) {
        return 1;
    }

    text = *value;

    if (text.len > s->prefix.len
        && ngx_strncasecmp(text.data, s->prefix.data, s->prefix.len) == 0)
    {
        text.data += s->prefix.len;
        text.len -= s->prefix.len;

    } else if (!s->bare) {
        return 0;
    }

    return nchat_hex_decode(given, s->len, &text) == NGX_OK
           && s->hmac(wanted, secret, &ctx->body) == NGX_OK
           && nchat_equal(given, wanted, s->len);
}
