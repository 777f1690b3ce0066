#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "nchat_crypto.h"
#include "nchat_jwt.h"
#include "nchat_jwt_int.h"


/* two numbers of 32 bytes (RFC 7518, section 3.4), and the same in DER */
#define NCHAT_JWT_ES256_LEN  64
#define NCHAT_JWT_ES256_DER  72

/* an RSA key of 16384 bits */
#define NCHAT_JWT_SIG_MAX    2048


static ngx_int_t nchat_jwt_signature_hmac(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token);
static ngx_int_t nchat_jwt_signature_public(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token);
static ngx_uint_t nchat_jwt_canonical(const ngx_str_t *text,
    const ngx_str_t *data);
static size_t nchat_jwt_es256_der(u_char der[NCHAT_JWT_ES256_DER],
    const ngx_str_t *sig);


ngx_int_t
nchat_jwt_signature(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token)
{
    switch (key->alg) {

    case JWT_ALG_HS256:
        return nchat_jwt_signature_hmac(key, token);

    case JWT_ALG_RS256:
    case JWT_ALG_ES256:
        return nchat_jwt_signature_public(key, token);

    default:
        return NGX_DECLINED;
    }
}


/* The encoded texts are compared, so that a signature has one form only. */

static ngx_int_t
nchat_jwt_signature_hmac(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token)
{
    u_char     mac[NCHAT_SHA256_LEN];
    u_char     text[ngx_base64_encoded_length(NCHAT_SHA256_LEN)];
    ngx_str_t  src, dst;

    if (nchat_hmac_sha256(mac, &key->key, &token->text) != NGX_OK) {
        return NGX_DECLINED;
    }

    src.data = mac;
    src.len = NCHAT_SHA256_LEN;
    dst.data = text;

    ngx_encode_base64url(&dst, &src);

    if (dst.len != token->sig.len
        || !nchat_equal(dst.data, token->sig.data, dst.len))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
nchat_jwt_signature_public(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token)
{
    u_char       raw[NCHAT_JWT_SIG_MAX], der[NCHAT_JWT_ES256_DER];
    size_t       len;
    u_char      *sig;
    ngx_int_t    rc;
    ngx_str_t    src, dst;
    EVP_MD_CTX  *ctx;

    src = token->sig;
    dst.data = raw;

    if (ngx_base64_decoded_length(src.len) > NCHAT_JWT_SIG_MAX
        || ngx_decode_base64url(&dst, &src) != NGX_OK
        || !nchat_jwt_canonical(&token->sig, &dst))
    {
        return NGX_DECLINED;
    }

    sig = dst.data;
    len = dst.len;

    if (key->alg == JWT_ALG_ES256) {
        sig = der;
        len = nchat_jwt_es256_der(der, &dst);

        if (len == 0) {
            return NGX_DECLINED;
        }
    }

    rc = NGX_DECLINED;

    ctx = EVP_MD_CTX_new();

    if (ctx
        && EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, key->pkey,
                                   NULL)
           == 1
        && EVP_DigestVerify(ctx, sig, len, token->text.data, token->text.len)
           == 1)
    {
        rc = NGX_OK;
    }

    EVP_MD_CTX_free(ctx);

    /* what is left in OpenSSL's queue would be logged by nginx for TLS */

    ERR_clear_error();

    return rc;
}


/*
 * The last character of a text may have bits that a decoder ignores: they
 * have to be zero (RFC 4648, section 3.5).
 */

static ngx_uint_t
nchat_jwt_canonical(const ngx_str_t *text, const ngx_str_t *data)
{
    u_char     buf[4];
    ngx_str_t  src, dst;

    src.len = data->len % 3;
    src.data = data->data + data->len - src.len;
    dst.data = buf;

    ngx_encode_base64url(&dst, &src);

    return ngx_memcmp(text->data + text->len - dst.len, buf, dst.len) == 0;
}


/* Returns the length in DER, or 0 if it is no ES256 signature. */

static size_t
nchat_jwt_es256_der(u_char der[NCHAT_JWT_ES256_DER], const ngx_str_t *sig)
{
    int         len;
    u_char     *p;
    BIGNUM     *r, *s;
    ECDSA_SIG  *pair;

    if (sig->len != NCHAT_JWT_ES256_LEN) {
        return 0;
    }

    len = 0;

    pair = ECDSA_SIG_new();
    r = BN_bin2bn(sig->data, NCHAT_JWT_ES256_LEN / 2, NULL);
    s = BN_bin2bn(sig->data + NCHAT_JWT_ES256_LEN / 2, NCHAT_JWT_ES256_LEN / 2,
                  NULL);

    if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {

        /* the pair owns the numbers now */

        r = NULL;
        s = NULL;
        p = der;

        len = i2d_ECDSA_SIG(pair, NULL);
        len = (len > 0 && len <= NCHAT_JWT_ES256_DER)
                  ? i2d_ECDSA_SIG(pair, &p) : 0;
    }

    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);

    return len > 0 ? (size_t) len : 0;
}
