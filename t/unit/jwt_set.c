#include "jwt_set.h"
#include "ngx_stubs.h"
#include "tap.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>


jwt_set_t  set = {
    .secret = ngx_string(JWT_SECRET),
    .secret2 = ngx_string(JWT_SECRET2)
};


void
set_load(void)
{
    char  *text;

    set.pool = ngx_create_pool(1024, NULL);
    set.keys = ngx_array_create(set.pool, 4, sizeof(nchat_jwt_key_t));

    set.rsa = EVP_RSA_gen(2048);
    set.rsa_other = EVP_RSA_gen(2048);
    set.ec = EVP_EC_gen("P-256");
    set.ec_other = EVP_EC_gen("P-256");
    set.rsa_public = jwt_pem(set.rsa, 0);

    set_add(set.keys, jwt_file("hs", JWT_SECRET "\n", 33), "");
    set_add(set.keys, jwt_file("hs2", JWT_SECRET2, 32), "kid=two");
    set_add(set.keys, jwt_file("rs", set.rsa_public, strlen(set.rsa_public)),
            "kid=r1 alg=RS256 iss=" JWT_ISS " aud=chat roles=boss:admin,staff:"
            "moderator");

    text = jwt_pem(set.ec, 0);
    set_add(set.keys, jwt_file("es", text, strlen(text)),
            "alg=ES256 iss=" JWT_ISS " aud=chat");
    free(text);
}


void
set_free(void)
{
    ngx_destroy_pool(set.pool);
    jwt_clean();

    free(set.rsa_public);
    EVP_PKEY_free(set.rsa);
    EVP_PKEY_free(set.rsa_other);
    EVP_PKEY_free(set.ec);
    EVP_PKEY_free(set.ec_other);
}


void
set_add(ngx_array_t *keys, ngx_str_t source, const char *options)
{
    const char  *error;

    error = jwt_load(set.pool, keys, NULL, (char *) source.data, options);

    if (!ok(error == NULL, "key %s", source.data)) {
        printf("# %s\n", error);
    }

    free(source.data);
}


ngx_int_t
set_verify(const ngx_str_t *token, nchat_claims_t *claims)
{
    return nchat_jwt_verify(set.keys, token, set.pool, JWT_NOW, claims);
}


const char *
set_outcome(const char *header, const char *payload, const ngx_str_t *secret,
    EVP_PKEY *pkey)
{
    ngx_int_t       rc;
    ngx_str_t       token;
    nchat_claims_t  claims;

    token = jwt_make(header, payload, secret, pkey);
    rc = set_verify(&token, &claims);
    free(token.data);

    if (rc == NGX_OK) {
        return claims.reason ? "good, but with a reason" : "good";
    }

    return rc == NGX_DECLINED && claims.reason ? claims.reason : "an error";
}
