#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_json.h"
#include "nchat_jwt.h"
#include "nchat_jwt_int.h"


static ngx_int_t nchat_jwt_split(const ngx_str_t *text,
    nchat_jwt_token_t *token);
static ngx_int_t nchat_jwt_try_own(const ngx_array_t *keys,
    const nchat_jwt_token_t *token, ngx_pool_t *pool, time_t now,
    nchat_claims_t *claims);
static ngx_int_t nchat_jwt_try_all(const ngx_array_t *keys,
    const nchat_jwt_token_t *token, ngx_pool_t *pool, time_t now,
    nchat_claims_t *claims);
static ngx_uint_t nchat_jwt_own_header(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token);
static ngx_int_t nchat_jwt_parse_header(ngx_pool_t *pool,
    nchat_jwt_token_t *token, const char **reason);
static const char *nchat_jwt_read_header(const json_t *header,
    nchat_jwt_token_t *token);


/*
 * The order matters: first the signature, with the algorithm that the key is
 * configured for, then the claims.  libjwt 1.10 would take the algorithm that
 * the token names, and never looks at the times; besides, it parses the PEM
 * text of a public key each time.  So it decodes here, and signs.
 */

ngx_int_t
nchat_jwt_verify(const ngx_array_t *keys, const ngx_str_t *token,
    ngx_pool_t *pool, time_t now, nchat_claims_t *claims)
{
    ngx_int_t          rc;
    nchat_jwt_token_t  parts;

    ngx_memzero(claims, sizeof(nchat_claims_t));
    ngx_memzero(&parts, sizeof(nchat_jwt_token_t));

    if (token->len > NCHAT_JWT_MAX) {
        claims->reason = "token too long";
        return NGX_DECLINED;
    }

    if (nchat_jwt_split(token, &parts) != NGX_OK) {
        claims->reason = "malformed token";
        return NGX_DECLINED;
    }

    /* nearly every token is one of ours, whose header needs no parsing */

    rc = nchat_jwt_try_own(keys, &parts, pool, now, claims);

    if (rc != NGX_AGAIN) {
        return rc;
    }

    rc = nchat_jwt_parse_header(pool, &parts, &claims->reason);

    if (rc != NGX_OK) {
        return rc;
    }

    return nchat_jwt_try_all(keys, &parts, pool, now, claims);
}


/* Three parts, none of them empty, of the alphabet of RFC 4648, section 5. */

static ngx_int_t
nchat_jwt_split(const ngx_str_t *text, nchat_jwt_token_t *token)
{
    size_t      len;
    u_char     *p, *last, *start;
    ngx_str_t  *part[3];
    ngx_uint_t  n;

    static const uint32_t  alphabet[] = {
        0x00000000, /* control characters */
        0x03ff2000, /* digits, - */
        0x87fffffe, /* upper case, _ */
        0x07fffffe  /* lower case */
    };

    part[0] = &token->head;
    part[1] = &token->body;
    part[2] = &token->sig;

    n = 0;
    start = text->data;
    last = text->data + text->len;

    for (p = text->data; p <= last; p++) {

        if (p < last && *p < 0x80
            && (alphabet[*p >> 5] & (1U << (*p & 0x1f))))
        {
            continue;
        }

        len = p - start;

        /* no base64 text has a length of 4n + 1 */

        if (n == 3 || len == 0 || len % 4 == 1) {
            return NGX_DECLINED;
        }

        if (p < last && *p != '.') {
            return NGX_DECLINED;
        }

        part[n]->data = start;
        part[n]->len = len;

        n++;
        start = p + 1;
    }

    if (n != 3) {
        return NGX_DECLINED;
    }

    token->text.data = text->data;
    token->text.len = token->head.len + 1 + token->body.len;

    return NGX_OK;
}


/* NGX_AGAIN if it was none of our own keys. */

static ngx_int_t
nchat_jwt_try_own(const ngx_array_t *keys, const nchat_jwt_token_t *token,
    ngx_pool_t *pool, time_t now, nchat_claims_t *claims)
{
    ngx_uint_t              i;
    const nchat_jwt_key_t  *key;

    key = keys->elts;

    for (i = 0; i < keys->nelts; i++) {

        if (nchat_jwt_own_header(&key[i], token)
            && nchat_jwt_signature(&key[i], token) == NGX_OK)
        {
            return nchat_jwt_claims(&key[i], token, pool, now, claims);
        }
    }

    return NGX_AGAIN;
}


/*
 * A token that names a kid is tried with the key of that kid, and with keys
 * that were configured without one; a token without a kid with each key of
 * its algorithm (RFC 7515, appendix D).
 */

static ngx_int_t
nchat_jwt_try_all(const ngx_array_t *keys, const nchat_jwt_token_t *token,
    ngx_pool_t *pool, time_t now, nchat_claims_t *claims)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    const char             *reason;
    const nchat_jwt_key_t  *key;

    key = keys->elts;
    reason = "no key for its algorithm and kid";

    for (i = 0; i < keys->nelts; i++) {

        if (key[i].alg != token->alg) {
            continue;
        }

        if (key[i].kid.len && token->kid.data
            && !nchat_jwt_same(&key[i].kid, &token->kid))
        {
            continue;
        }

        if (nchat_jwt_own_header(&key[i], token)
            || nchat_jwt_signature(&key[i], token) != NGX_OK)
        {
            reason = "wrong signature";
            continue;
        }

        rc = nchat_jwt_claims(&key[i], token, pool, now, claims);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        reason = claims->reason;

        /* a service may sign with one key as several issuers */

        if (!key[i].external) {
            break;
        }
    }

    ngx_memzero(claims, sizeof(nchat_claims_t));

    claims->reason = reason;

    return NGX_DECLINED;
}


static ngx_uint_t
nchat_jwt_own_header(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token)
{
    return !key->external && nchat_jwt_same(&key->header, &token->head);
}


static ngx_int_t
nchat_jwt_parse_header(ngx_pool_t *pool, nchat_jwt_token_t *token,
    const char **reason)
{
    json_t     *header;
    ngx_int_t   rc;
    ngx_str_t   text;

    *reason = "malformed header";

    text.data = ngx_pnalloc(pool, ngx_base64_decoded_length(token->head.len));
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    if (ngx_decode_base64url(&text, &token->head) != NGX_OK) {
        return NGX_DECLINED;
    }

    rc = nchat_json_parse(pool, &text, 0, &header, reason);

    if (rc != NGX_OK) {
        *reason = "malformed header";
        return rc;
    }

    *reason = nchat_jwt_read_header(header, token);

    return *reason ? NGX_DECLINED : NGX_OK;
}


static const char *
nchat_jwt_read_header(const json_t *header, nchat_jwt_token_t *token)
{
    ngx_str_t  value;

    /*
     * RFC 7515, section 4.1.11: a token with extensions that must be
     * understood, none of which is known here, is not valid.
     */

    if (json_object_get(header, "crit")) {
        return "unknown critical header";
    }

    if (nchat_json_string(header, "alg", &value) != NGX_OK) {
        return "malformed header";
    }

    /* jwt_str_alg() ignores case, RFC 7515 does not */

    token->alg = jwt_str_alg((char *) value.data);

    if (token->alg == JWT_ALG_INVAL || token->alg == JWT_ALG_NONE
        || ngx_strcmp(jwt_alg_str(token->alg), value.data) != 0)
    {
        return "unknown algorithm";
    }

    if (json_object_get(header, "kid")
        && nchat_json_string(header, "kid", &token->kid) != NGX_OK)
    {
        return "malformed header";
    }

    if (nchat_json_string(header, "typ", &value) == NGX_OK
        && (ngx_strcasecmp(value.data, (u_char *) "at+jwt") == 0
            || ngx_strcasecmp(value.data, (u_char *) "application/at+jwt")
               == 0))
    {
        token->access = 1;
    }

    return NULL;
}
