/*
 * Measures the core libraries, each call many times, without sanitizers.
 * Allocations are malloc'ed by the stubs: nginx's pools are faster.
 */


#include <time.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "jwt_tools.h"
#include "nchat_crypto.h"
#include "nchat_json.h"
#include "nchat_jwt.h"
#include "nchat_password.h"
#include "nchat_time.h"
#include "nchat_uuid.h"
#include "ngx_stubs.h"


static double
now(void)
{
    struct timespec  ts;

    /* the machine may have other things to do */

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}


/* The best of ten rounds, in microseconds of processor time for one call. */

#define measure(name, n, ...)                                                 \
    do {                                                                      \
        double  best = 1e9, start;                                            \
                                                                              \
        for (int round = 0; round < 10; round++) {                             \
            start = now();                                                    \
            for (int i = 0; i < (n); i++) {                                   \
                __VA_ARGS__;                                                  \
            }                                                                 \
            best = ngx_min(best, (now() - start) / (n));                      \
        }                                                                     \
        printf("%-44s %10.3f us\n", name, best);                              \
    } while (0)

#define expect(call)  if ((call) != NGX_OK) abort()


static void
bench_jwt(ngx_array_t *keys, const char *name, ngx_str_t token, int n)
{
    jwt_t                  *jwt;
    char                   *text, label[64];
    ngx_pool_t             *pool;
    nchat_claims_t          claims;
    const nchat_jwt_key_t  *key;

    memset(&claims, 0, sizeof(claims));
    snprintf(label, sizeof(label), "%s: nchat_jwt_verify()", name);

    measure(label, n, {
        pool = ngx_create_pool(1024, NULL);
        expect(nchat_jwt_verify(keys, &token, pool, JWT_NOW, &claims));
        ngx_destroy_pool(pool);
    });

    text = strndup((char *) token.data, token.len);
    key = claims.key;
    snprintf(label, sizeof(label), "%s: jwt_decode() of libjwt", name);

    measure(label, n, {
        expect(jwt_decode(&jwt, text, key->key.data, (int) key->key.len));
        jwt_free(jwt);
    });

    token.data[token.len - 10] = token.data[token.len - 10] == 'A' ? 'B' : 'A';
    snprintf(label, sizeof(label), "%s: a wrong signature", name);

    measure(label, n, {
        pool = ngx_create_pool(1024, NULL);
        if (nchat_jwt_verify(keys, &token, pool, JWT_NOW, &claims) == NGX_OK) {
            abort();
        }
        ngx_destroy_pool(pool);
    });

    free(text);
    free(token.data);
}


static void
bench_key(ngx_array_t *keys, const char *name, const char *text,
    const char *options)
{
    ngx_str_t  file;

    file = jwt_file(name, text, strlen(text));

    if (jwt_load(keys->pool, keys, NULL, (char *) file.data, options)) {
        abort();
    }
}


static void
bench_tokens(ngx_pool_t *pool)
{
    char                   *pem;
    EVP_PKEY               *rsa, *ec;
    ngx_str_t               token, secret = ngx_string(JWT_SECRET);
    ngx_pool_t             *mine;
    ngx_array_t            *keys;
    nchat_claims_t          claims;

    keys = ngx_array_create(pool, 4, sizeof(nchat_jwt_key_t));
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");

    bench_key(keys, "hs", JWT_SECRET, "");

    pem = jwt_pem(rsa, 0);
    bench_key(keys, "rs", pem, "iss=i aud=a alg=RS256");

    pem = jwt_pem(ec, 0);
    bench_key(keys, "es", pem, "iss=i aud=a alg=ES256");

#define BENCH_NAMES                                                           \
    ",\"email\":\"someone@example.com\",\"username\":\"someone\","            \
    "\"displayName\":\"Some One\",\"role\":\"member\",\"exp\":1790000100"
#define BENCH_THEIRS  ",\"iss\":\"i\",\"aud\":\"a\"}"

    bench_jwt(keys, "HS256", jwt_make(JWT_HS256, JWT_CLAIMS BENCH_NAMES "}",
                                      &secret, NULL), 50000);
    bench_jwt(keys, "RS256", jwt_make("{\"alg\":\"RS256\"}",
                                      JWT_CLAIMS BENCH_NAMES BENCH_THEIRS,
                                      NULL, rsa), 2000);
    bench_jwt(keys, "ES256", jwt_make("{\"alg\":\"ES256\"}",
                                      JWT_CLAIMS BENCH_NAMES BENCH_THEIRS,
                                      NULL, ec), 2000);

    token = jwt_make(JWT_HS256, JWT_CLAIMS BENCH_NAMES "}", &secret, NULL);
    expect(nchat_jwt_verify(keys, &token, pool, JWT_NOW, &claims));

    measure("HS256: nchat_jwt_sign()", 20000, {
        mine = ngx_create_pool(1024, NULL);
        expect(nchat_jwt_sign(keys->elts, mine, &claims, &token));
        ngx_destroy_pool(mine);
    });

    jwt_clean();
}


static void
bench_json(ngx_pool_t *pool)
{
    json_t      *json;
    ngx_str_t    text, dumped;
    ngx_pool_t  *mine;
    const char  *why;

    text = (ngx_str_t) ngx_string(
        "{\"email\":\"someone@example.com\",\"password\":\"Passw0rd\","
        "\"username\":\"someone\",\"displayName\":\"Some One\"}");
    measure("nchat_json_parse(), a sign-up", 50000, {
        mine = ngx_create_pool(1024, NULL);
        expect(nchat_json_parse(mine, &text, 0, &json, &why));
        ngx_destroy_pool(mine);
    });

    expect(nchat_json_parse(pool, &text, 0, &json, &why));
    measure("nchat_json_dump(), a sign-up", 50000, {
        mine = ngx_create_pool(1024, NULL);
        expect(nchat_json_dump(mine, json, 0, &dumped));
        ngx_destroy_pool(mine);
    });

    json = json_array();

    for (int i = 0; i < 65000; i++) {
        json_array_append_new(json, json_real(1795393344 + i / 1e6));
    }

    measure("nchat_json_dump(), 65,000 times with microseconds", 1, {
        mine = ngx_create_pool(1024, NULL);
        expect(nchat_json_dump(mine, json, 0, &dumped));
        ngx_destroy_pool(mine);
    });

    json_decref(json);
}


int
main(void)
{
    char         hash[NCHAT_PASSWORD_HASH_SIZE];
    u_char       out[64], time[NCHAT_TIME_LEN];
    int64_t      ms;
    ngx_str_t    key = ngx_string(JWT_SECRET), text, data;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    bench_tokens(pool);

    data.len = 400;
    data.data = (u_char *) calloc(1, 400);

    measure("nchat_hmac_sha256(), 400 bytes", 100000,
            expect(nchat_hmac_sha256(out, &key, &data)));
    measure("nchat_sha256(), 64 bytes", 100000,
            expect(nchat_sha256(out, data.data, 64)));
    measure("nchat_random(), 16 bytes", 100000,
            expect(nchat_random(out, 16)));
    measure("nchat_uuid_v4()", 100000, expect(nchat_uuid_v4(out)));

    text.data = out;
    text.len = NCHAT_UUID_LEN;
    measure("nchat_uuid_parse()", 100000,
            expect(nchat_uuid_parse(&text, NULL)));

    text.data = time;
    text.len = NCHAT_TIME_LEN;
    measure("nchat_time_format()", 100000,
            (void) nchat_time_format(time, INT64_C(1767323045678) + i));
    measure("nchat_time_parse()", 100000,
            expect(nchat_time_parse(&text, &ms, 0)));

    bench_json(pool);

    measure("nchat_password_hash(), cost 10", 3,
            expect(nchat_password_hash((u_char *) hash,
                                       (u_char *) "Passw0rd", 10)));
    measure("nchat_password_verify(), cost 10", 3,
            expect(nchat_password_verify(hash, "Passw0rd")));

    free(data.data);
    ngx_destroy_pool(pool);

    return 0;
}
