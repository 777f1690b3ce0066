#include "jwt_tools.h"
#include "nchat_jwt_cache.h"
#include "ngx_stubs.h"
#include "tap.h"


static ngx_pool_t   *pool;
static ngx_array_t  *keys;
static ngx_str_t     secret = ngx_string(JWT_SECRET);


static ngx_int_t
verify(ngx_str_t *token, time_t now, nchat_claims_t *claims)
{
    memset(claims, 0xa5, sizeof(nchat_claims_t));

    return nchat_jwt_verify_cached(keys, token, pool, now, claims);
}


static void
test_again(void)
{
    ngx_str_t       token;
    nchat_claims_t  first, second;

    token = jwt_make(JWT_HS256, JWT_CLAIMS ",\"role\":\"member\","
                     "\"email\":\"a@example.com\",\"exp\":1790000100}",
                     &secret, NULL);

    ok(verify(&token, JWT_NOW, &first) == NGX_OK, "a token for the first time");
    ok(verify(&token, JWT_NOW, &second) == NGX_OK, "and again");

    is_str(&second.sub, "7f2c1f9e-1111-4222-8333-444455556666", "its sub");
    is_str(&second.sid, "7f2c1f9e-1111-4222-8333-444455556667", "its sid");
    is_str(&second.role, "member", "its role");
    is_str(&second.email, "a@example.com", "its email");
    is_str(&second.jti, "j1", "its jti");
    ok(second.username.len == 0, "what it has not");
    ok(second.ver == 3 && second.exp == first.exp && second.iat == first.iat
       && second.typ == NCHAT_JWT_ACCESS && !second.external, "its numbers");
    ok(second.sub.data != first.sub.data, "a copy of its own");

    ok(verify(&token, 1790000100 + NCHAT_JWT_SKEW - 1, &second) == NGX_OK,
       "good to its end, and the skew");
    ok(verify(&token, 1790000100 + NCHAT_JWT_SKEW, &second) == NGX_DECLINED,
       "remembered, but expired");

    free(token.data);
}


/* The place is found by the signature; nothing but the whole token counts. */

static void
test_forged(void)
{
    size_t          i;
    ngx_str_t       token;
    nchat_claims_t  claims;

    token = jwt_make(JWT_HS256, JWT_ACCESS, &secret, NULL);

    ok(verify(&token, JWT_NOW, &claims) == NGX_OK, "a good one");

    for (i = 0; i < token.len; i += 7) {
        token.data[i] ^= 1;
        ok(verify(&token, JWT_NOW, &claims) == NGX_DECLINED,
           "not with byte %zu changed", i);
        token.data[i] ^= 1;
    }

    token.len--;
    ok(verify(&token, JWT_NOW, &claims) == NGX_DECLINED, "nor cut short");
    token.len++;

    ok(verify(&token, JWT_NOW, &claims) == NGX_OK, "still good itself");

    free(token.data);
}


/* More tokens than places, each asked for twice. */

static void
test_many(void)
{
    char            payload[512], jti[16];
    ngx_str_t       token;
    ngx_uint_t      i, wrong;
    nchat_claims_t  claims;

    wrong = 0;

    for (i = 0; i < 4000; i++) {
        snprintf(jti, sizeof(jti), "n%u", (unsigned) (i % 2000));
        snprintf(payload, sizeof(payload),
                 "{\"sub\":\"7f2c1f9e-1111-4222-8333-444455556666\","
                 "\"sid\":\"7f2c1f9e-1111-4222-8333-444455556667\","
                 "\"jti\":\"%s\",\"ver\":3,\"typ\":\"access\","
                 "\"iat\":1790000000,\"exp\":1790000100}", jti);

        token = jwt_make(JWT_HS256, payload, &secret, NULL);

        if (verify(&token, JWT_NOW, &claims) != NGX_OK
            || claims.jti.len != strlen(jti)
            || memcmp(claims.jti.data, jti, claims.jti.len) != 0)
        {
            wrong++;
        }

        free(token.data);
    }

    ok(wrong == 0, "everyone gets the own claims");
}


int
main(void)
{
    ngx_str_t  file;

    pool = ngx_create_pool(1024, NULL);
    keys = ngx_array_create(pool, 1, sizeof(nchat_jwt_key_t));

    file = jwt_file("hs", JWT_SECRET, 32);
    ok(nchat_jwt_key_load(pool, keys, &file, 1, NULL) == NULL, "the key");
    free(file.data);

    test_again();
    test_forged();
    test_many();

    ngx_destroy_pool(pool);
    jwt_clean();

    return tap_done();
}
