#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "nchat_crypto.h"


#define NCHAT_RANDOM_STOCK  4096


typedef struct {
    u_char        bytes[NCHAT_RANDOM_STOCK];
    size_t        left;         /* unused bytes, at the end of the stock */
    ngx_pid_t     pid;
} nchat_random_stock_t;


/*
 * One slot for each digest: fetching an algorithm by name takes longer in
 * OpenSSL 3 than hashing a short text, so contexts are kept per thread.
 */
typedef struct {
    const char   *digest;
    EVP_MAC_CTX  *ctx;
} nchat_hmac_slot_t;


static ngx_int_t nchat_hmac(nchat_hmac_slot_t *slot, u_char *out,
    size_t size, const ngx_str_t *key, const ngx_str_t *data);
static ngx_inline ngx_uint_t nchat_hex_digit(u_char c);
static EVP_MAC_CTX *nchat_hmac_create(const char *digest,
    const ngx_str_t *key);


static nchat_random_stock_t  nchat_random_stock;

static __thread EVP_MD_CTX  *nchat_sha256_ctx;
static __thread EVP_MD      *nchat_sha256_md;

static __thread nchat_hmac_slot_t  nchat_hmac_sha256_slot =
    { OSSL_DIGEST_NAME_SHA2_256, NULL };
static __thread nchat_hmac_slot_t  nchat_hmac_sha1_slot =
    { OSSL_DIGEST_NAME_SHA1, NULL };


ngx_int_t
nchat_random(u_char *buf, size_t len)
{
    u_char                *p;
    nchat_random_stock_t  *stock;

    if (len > NCHAT_RANDOM_STOCK / 4) {

        if (len > INT_MAX || RAND_bytes(buf, (int) len) != 1) {
            goto failed;
        }

        return NGX_OK;
    }

    stock = &nchat_random_stock;

    /* a worker must never use what its master, or a sibling, has too */

    if (stock->left < len || stock->pid != ngx_pid) {

        if (RAND_bytes(stock->bytes, NCHAT_RANDOM_STOCK) != 1) {
            stock->left = 0;
            goto failed;
        }

        stock->left = NCHAT_RANDOM_STOCK;
        stock->pid = ngx_pid;
    }

    p = stock->bytes + (NCHAT_RANDOM_STOCK - stock->left);

    ngx_memcpy(buf, p, len);
    OPENSSL_cleanse(p, len);

    stock->left -= len;

    return NGX_OK;

failed:

    ngx_memzero(buf, len);

    return NGX_ERROR;
}


ngx_int_t
nchat_sha256(u_char out[NCHAT_SHA256_LEN], const void *data, size_t len)
{
    if (nchat_sha256_ctx == NULL) {

        nchat_sha256_md = EVP_MD_fetch(NULL, OSSL_DIGEST_NAME_SHA2_256, NULL);
        if (nchat_sha256_md == NULL) {
            goto failed;
        }

        nchat_sha256_ctx = EVP_MD_CTX_new();
        if (nchat_sha256_ctx == NULL) {
            EVP_MD_free(nchat_sha256_md);
            goto failed;
        }
    }

    if (EVP_DigestInit_ex2(nchat_sha256_ctx, nchat_sha256_md, NULL) != 1
        || EVP_DigestUpdate(nchat_sha256_ctx, data, len) != 1
        || EVP_DigestFinal_ex(nchat_sha256_ctx, out, NULL) != 1)
    {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_memzero(out, NCHAT_SHA256_LEN);

    return NGX_ERROR;
}


ngx_int_t
nchat_hmac_sha256(u_char out[NCHAT_SHA256_LEN], const ngx_str_t *key,
    const ngx_str_t *data)
{
    return nchat_hmac(&nchat_hmac_sha256_slot, out, NCHAT_SHA256_LEN, key,
                      data);
}


ngx_int_t
nchat_hmac_sha1(u_char out[NCHAT_SHA1_LEN], const ngx_str_t *key,
    const ngx_str_t *data)
{
    return nchat_hmac(&nchat_hmac_sha1_slot, out, NCHAT_SHA1_LEN, key, data);
}


static ngx_int_t
nchat_hmac(nchat_hmac_slot_t *slot, u_char *out, size_t size,
    const ngx_str_t *key, const ngx_str_t *data)
{
    size_t         n;
    ngx_str_t      secret;
    static u_char  empty[1];

    /* for OpenSSL a NULL key means "the one of last time" */

    secret = *key;

    if (secret.len == 0) {
        secret.data = empty;
    }

    if (slot->ctx == NULL) {

        slot->ctx = nchat_hmac_create(slot->digest, &secret);
        if (slot->ctx == NULL) {
            goto failed;
        }

    } else if (EVP_MAC_init(slot->ctx, secret.data, secret.len, NULL) != 1) {
        goto failed;
    }

    if (EVP_MAC_update(slot->ctx, data->data, data->len) != 1
        || EVP_MAC_final(slot->ctx, out, &n, size) != 1
        || n != size)
    {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_memzero(out, size);

    return NGX_ERROR;
}


static EVP_MAC_CTX *
nchat_hmac_create(const char *digest, const ngx_str_t *key)
{
    EVP_MAC      *mac;
    OSSL_PARAM    params[2];
    EVP_MAC_CTX  *ctx;

    mac = EVP_MAC_fetch(NULL, OSSL_MAC_NAME_HMAC, NULL);
    if (mac == NULL) {
        return NULL;
    }

    ctx = EVP_MAC_CTX_new(mac);

    /* the context holds its own reference */

    EVP_MAC_free(mac);

    if (ctx == NULL) {
        return NULL;
    }

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                 (char *) digest, 0);
    params[1] = OSSL_PARAM_construct_end();

    if (EVP_MAC_init(ctx, key->data, key->len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }

    return ctx;
}


ngx_uint_t
nchat_equal(const u_char *a, const u_char *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}


u_char *
nchat_hex_encode(u_char *dst, const u_char *src, size_t len)
{
    return ngx_hex_dump(dst, (u_char *) src, len);
}


ngx_int_t
nchat_hex_decode(u_char *dst, size_t len, const ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_uint_t   high, low;

    if (text->len / 2 != len || text->len % 2) {
        return NGX_DECLINED;
    }

    last = text->data + text->len;

    for (p = text->data; p < last; p += 2) {
        high = nchat_hex_digit(p[0]);
        low = nchat_hex_digit(p[1]);

        if ((high | low) > 15) {
            return NGX_DECLINED;
        }

        *dst++ = (u_char) (high << 4 | low);
    }

    return NGX_OK;
}


/* More than 15: none. */

static ngx_inline ngx_uint_t
nchat_hex_digit(u_char c)
{
    /* plus one */

    static const u_char  digits[256] = {
        ['0'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
        ['A'] = 11, 12, 13, 14, 15, 16,
        ['a'] = 11, 12, 13, 14, 15, 16
    };

    return (ngx_uint_t) digits[c] - 1;
}


void
nchat_wipe(void *data, size_t len)
{
    OPENSSL_cleanse(data, len);
}
