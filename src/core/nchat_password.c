#include <ngx_config.h>
#include <ngx_core.h>

#include <crypt.h>

#include <openssl/crypto.h>

#include "nchat_password.h"


/* "$2b$10$", 22 characters of salt and 31 of digest */
#define NCHAT_PASSWORD_HASH_LEN  (NCHAT_PASSWORD_HASH_SIZE - 1)


static ngx_int_t nchat_password_crypt(u_char out[NCHAT_PASSWORD_HASH_SIZE],
    const char *password, const char *setting);


ngx_int_t
nchat_password_hash(u_char out[NCHAT_PASSWORD_HASH_SIZE],
    const u_char *password, ngx_uint_t cost)
{
    char       setting[CRYPT_GENSALT_OUTPUT_SIZE];
    ngx_int_t  rc;

    if (cost < NCHAT_PASSWORD_MIN_COST || cost > NCHAT_PASSWORD_MAX_COST
        || ngx_strlen(password) > NCHAT_PASSWORD_MAX)
    {
        return NGX_DECLINED;
    }

    /* without bytes of ours libxcrypt asks the kernel's generator */

    if (crypt_gensalt_rn("$2b$", cost, NULL, 0, setting, sizeof(setting))
        == NULL)
    {
        return NGX_ERROR;
    }

    rc = nchat_password_crypt(out, (const char *) password, setting);

    OPENSSL_cleanse(setting, sizeof(setting));

    return rc;
}


ngx_int_t
nchat_password_verify(const char *hash, const char *password)
{
    u_char      computed[NCHAT_PASSWORD_HASH_SIZE];
    ngx_int_t   rc;
    ngx_uint_t  cost;

    cost = nchat_password_cost(hash);

    if (cost == 0 || cost > NCHAT_PASSWORD_MAX_COST) {
        return NGX_ERROR;
    }

    if (nchat_password_crypt(computed, password, hash) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = CRYPTO_memcmp(computed, hash, NCHAT_PASSWORD_HASH_LEN)
             ? NGX_DECLINED : NGX_OK;

    OPENSSL_cleanse(computed, sizeof(computed));

    return rc;
}


/*
 * crypt_rn() reports errors by NULL only, which makes it the right one of
 * the family: crypt_r() returns strings that may be taken for a hash.
 */

static ngx_int_t
nchat_password_crypt(u_char out[NCHAT_PASSWORD_HASH_SIZE],
    const char *password, const char *setting)
{
    char               *text;
    ngx_int_t           rc;
    struct crypt_data   data;

    rc = NGX_ERROR;

    /* libxcrypt asks for these two to be zero; the rest it fills itself */

    ngx_memzero(data.reserved, sizeof(data.reserved));
    data.initialized = 0;

    text = crypt_rn(password, setting, &data, sizeof(data));

    if (text && ngx_strlen(text) == NCHAT_PASSWORD_HASH_LEN) {
        ngx_memcpy(out, text, NCHAT_PASSWORD_HASH_SIZE);
        rc = NGX_OK;
    }

    OPENSSL_cleanse(&data, sizeof(data));

    return rc;
}


ngx_uint_t
nchat_password_cost(const char *hash)
{
    size_t      i;
    ngx_uint_t  cost;

    if (strnlen(hash, NCHAT_PASSWORD_HASH_SIZE) != NCHAT_PASSWORD_HASH_LEN) {
        return 0;
    }

    if (hash[0] != '$' || hash[1] != '2' || hash[3] != '$' || hash[6] != '$'
        || (hash[2] != 'a' && hash[2] != 'b' && hash[2] != 'y'))
    {
        return 0;
    }

    if (hash[4] < '0' || hash[4] > '3' || hash[5] < '0' || hash[5] > '9') {
        return 0;
    }

    cost = (hash[4] - '0') * 10 + (hash[5] - '0');

    if (cost < NCHAT_PASSWORD_MIN_COST || cost > 31) {
        return 0;
    }

    for (i = 7; i < NCHAT_PASSWORD_HASH_LEN; i++) {

        if ((hash[i] < '.' || hash[i] > '9')
            && (hash[i] < 'A' || hash[i] > 'Z')
            && (hash[i] < 'a' || hash[i] > 'z'))
        {
            return 0;
        }
    }

    return cost;
}


ngx_int_t
nchat_password_dummy(u_char out[NCHAT_PASSWORD_HASH_SIZE], ngx_uint_t cost)
{
    if (cost < NCHAT_PASSWORD_MIN_COST || cost > NCHAT_PASSWORD_MAX_COST) {
        return NGX_DECLINED;
    }

    ngx_memcpy(out, "$2b$..$nchat.nobody.has.thisu"
                    "nchat.nobody.has.this.password.",
               NCHAT_PASSWORD_HASH_SIZE);

    out[4] = (u_char) ('0' + cost / 10);
    out[5] = (u_char) ('0' + cost % 10);

    return NGX_OK;
}


const char *
nchat_password_check(const nchat_password_policy_t *policy,
    const ngx_str_t *password, char buf[80], const char **constraint)
{
    size_t      i, min;
    u_char      c;
    ngx_uint_t  upper, lower, digit, symbol;

    min = ngx_max(policy->min_length, 1);
    min = ngx_min(min, (size_t) NCHAT_PASSWORD_MAX);

    if (password->len < min || password->len > NCHAT_PASSWORD_MAX) {
        *constraint = "length";
        (void) snprintf(buf, 80, "must be %zu-%d bytes", min,
                        NCHAT_PASSWORD_MAX);
        return buf;
    }

    upper = 0;
    lower = 0;
    digit = 0;
    symbol = 0;

    for (i = 0; i < password->len; i++) {
        c = password->data[i];

        if (c >= 'A' && c <= 'Z') {
            upper = 1;

        } else if (c >= 'a' && c <= 'z') {
            lower = 1;

        } else if (c >= '0' && c <= '9') {
            digit = 1;

        } else {
            symbol = 1;
        }
    }

    *constraint = "format";

    if (policy->upper && !upper) {
        return "must contain an upper-case letter";
    }

    if (policy->lower && !lower) {
        return "must contain a lower-case letter";
    }

    if (policy->digit && !digit) {
        return "must contain a digit";
    }

    if (policy->symbol && !symbol) {
        return "must contain a symbol";
    }

    *constraint = NULL;

    return NULL;
}
