#include "nchat_jwt_cache.h"
#include "nchat_crypto.h"


#define NCHAT_JWT_CACHE_SLOTS  512       /* of at most 4 KiB each, a worker */
#define NCHAT_JWT_CACHE_TOKEN  2048
#define NCHAT_JWT_CACHE_TEXT   2048

/* the end of a token that nobody guesses: 32 bytes in base64url */
#define NCHAT_JWT_CACHE_SECRET  43


/* The claims' strings point into text, which follows the token. */

typedef struct {
    nchat_claims_t   claims;
    size_t           token_len;
    size_t           text_len;
    u_char          *token;
    u_char          *text;
} nchat_jwt_slot_t;


static nchat_jwt_slot_t *nchat_jwt_cache_slot(const ngx_str_t *token);
static ngx_uint_t nchat_jwt_cache_same(nchat_jwt_slot_t *slot,
    const ngx_str_t *token);
static ngx_int_t nchat_jwt_cache_read(nchat_jwt_slot_t *slot, ngx_pool_t *pool,
    nchat_claims_t *claims);
static void nchat_jwt_cache_write(nchat_jwt_slot_t *slot,
    const ngx_str_t *token, const nchat_claims_t *claims);
static ngx_str_t *nchat_jwt_cache_string(nchat_claims_t *claims, ngx_uint_t i);


/* one worker, one cache; every token has one place */

static nchat_jwt_slot_t  *nchat_jwt_slots[NCHAT_JWT_CACHE_SLOTS];


ngx_int_t
nchat_jwt_verify_cached(const ngx_array_t *keys, const ngx_str_t *token,
    ngx_pool_t *pool, time_t now, nchat_claims_t *claims)
{
    ngx_int_t          rc;
    nchat_jwt_slot_t  *slot;

    if (token->len < NCHAT_JWT_MIN || token->len > NCHAT_JWT_CACHE_TOKEN) {
        return nchat_jwt_verify(keys, token, pool, now, claims);
    }

    slot = nchat_jwt_cache_slot(token);

    if (slot && nchat_jwt_cache_same(slot, token)
        && slot->claims.exp + NCHAT_JWT_SKEW > now)
    {
        return nchat_jwt_cache_read(slot, pool, claims);
    }

    rc = nchat_jwt_verify(keys, token, pool, now, claims);

    if (rc == NGX_OK && slot && !claims->external
        && claims->typ == NCHAT_JWT_ACCESS)
    {
        nchat_jwt_cache_write(slot, token, claims);
    }

    return rc;
}


/* By the signature, which is as good as random; NULL if memory is short. */

static nchat_jwt_slot_t *
nchat_jwt_cache_slot(const ngx_str_t *token)
{
    u_char            *p;
    ngx_uint_t         i;
    nchat_jwt_slot_t  *slot;

    i = 0;

    for (p = token->data + token->len - 16; p < token->data + token->len; p++)
    {
        i = ngx_hash(i, *p);
    }

    i %= NCHAT_JWT_CACHE_SLOTS;

    if (nchat_jwt_slots[i] == NULL) {
        slot = malloc(sizeof(nchat_jwt_slot_t) + NCHAT_JWT_CACHE_TOKEN
                      + NCHAT_JWT_CACHE_TEXT);

        if (slot) {
            slot->token_len = 0;
            slot->token = (u_char *) (slot + 1);
            slot->text = slot->token + NCHAT_JWT_CACHE_TOKEN;
        }

        nchat_jwt_slots[i] = slot;
    }

    return nchat_jwt_slots[i];
}


/*
 * Of a signature no time tells how much of it is right.  Who has all of it has
 * the token, and how long the rest takes does not matter.
 */

static ngx_uint_t
nchat_jwt_cache_same(nchat_jwt_slot_t *slot, const ngx_str_t *token)
{
    size_t  rest;

    if (slot->token_len != token->len
        || token->len < NCHAT_JWT_CACHE_SECRET)
    {
        return 0;
    }

    rest = token->len - NCHAT_JWT_CACHE_SECRET;

    return nchat_equal(slot->token + rest, token->data + rest,
                       NCHAT_JWT_CACHE_SECRET)
           && ngx_memcmp(slot->token, token->data, rest) == 0;
}


/* A copy: another token may take the place while the request still runs. */

static ngx_int_t
nchat_jwt_cache_read(nchat_jwt_slot_t *slot, ngx_pool_t *pool,
    nchat_claims_t *claims)
{
    u_char      *text;
    ngx_str_t   *value;
    ngx_uint_t   i;

    text = ngx_pnalloc(pool, slot->text_len);
    if (text == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text, slot->text, slot->text_len);
    *claims = slot->claims;

    for (i = 0; (value = nchat_jwt_cache_string(claims, i)) != NULL; i++) {
        if (value->len) {
            value->data = text + (value->data - slot->text);
        }
    }

    return NGX_OK;
}


static void
nchat_jwt_cache_write(nchat_jwt_slot_t *slot, const ngx_str_t *token,
    const nchat_claims_t *claims)
{
    u_char      *p;
    ngx_str_t   *value;
    ngx_uint_t   i;

    slot->token_len = 0;
    slot->claims = *claims;

    p = slot->text;

    for (i = 0;
         (value = nchat_jwt_cache_string(&slot->claims, i)) != NULL;
         i++)
    {
        if (value->len > (size_t) (slot->text + NCHAT_JWT_CACHE_TEXT - p)) {
            return;
        }

        if (value->len) {
            ngx_memcpy(p, value->data, value->len);
            value->data = p;
            p += value->len;
        }
    }

    slot->text_len = p - slot->text;

    ngx_memcpy(slot->token, token->data, token->len);
    slot->token_len = token->len;
}


static ngx_str_t *
nchat_jwt_cache_string(nchat_claims_t *claims, ngx_uint_t i)
{
    ngx_str_t  *strings[] = {
        &claims->sub, &claims->iss, &claims->email, &claims->username,
        &claims->display_name, &claims->role, &claims->sid, &claims->jti, NULL
    };

    return strings[i];
}
