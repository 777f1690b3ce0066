/* Tokens of identity services. */

#include "jwt_set.h"
#include "ngx_stubs.h"
#include "tap.h"


#define EXT     JWT_EXTERNAL
#define RS256   "{\"alg\":\"RS256\",\"kid\":\"r1\"}"
#define ES256   "{\"alg\":\"ES256\",\"kid\":\"e1\"}"


static void
test_claims(void)
{
    ngx_str_t       token;
    nchat_claims_t  claims;

    token = jwt_make(RS256, EXT(",\"email\":\"a@b.c\",\"preferred_username\":"
                                "\"ann\",\"name\":\"Ann\",\"role\":\"boss\","
                                "\"jti\":\"x\",\"sid\":\"s\",\"ver\":9,"
                                "\"typ\":\"access\""), NULL, set.rsa);
    ok(set_verify(&token, &claims) == NGX_OK, "a token of a service");
    is_str(&claims.sub, "auth0|1", "sub");
    is_str(&claims.iss, JWT_ISS, "iss");
    is_str(&claims.email, "a@b.c", "email");
    is_str(&claims.username, "ann", "preferred_username");
    is_str(&claims.display_name, "Ann", "name");
    is_str(&claims.role, "admin", "role, as the operator maps it");
    ok(claims.external && claims.typ == NCHAT_JWT_FOREIGN
       && claims.sid.len == 0 && claims.ver == 0 && claims.exp == 1790000100
       && claims.iat == 0 && claims.key->alg == JWT_ALG_RS256,
       "is external, and none of our own tokens");
    free(token.data);

    token = jwt_make(RS256, EXT(",\"role\":\"owner\",\"username\":\"u\","
                                "\"preferred_username\":\"p\""), NULL,
                     set.rsa);
    ok(set_verify(&token, &claims) == NGX_OK && claims.role.len == 0,
       "a role that is not mapped is none");
    is_str(&claims.username, "u", "username before preferred_username");
    free(token.data);

    token = jwt_make(ES256, EXT(",\"role\":\"boss\""), NULL, set.ec);
    ok(set_verify(&token, &claims) == NGX_OK && claims.role.len == 0
       && claims.key->alg == JWT_ALG_ES256, "ES256, without a map of roles");

    /* ECDSA signatures come in two forms (s and n - s), not in others */

    token.len--;
    ok(set_verify(&token, &claims) == NGX_DECLINED, "a character less");
    free(token.data);
}


static const struct {
    const char  *header;
    const char  *payload;
    EVP_PKEY   **pkey;
    const char  *outcome;
    const char  *name;
} foreign[] = {
    { ES256, EXT(""), &set.ec, "good", "ES256" },
    { "{\"alg\":\"ES256\"}", EXT(""), &set.ec, "good",
      "ES256 without a kid" },
    { ES256, EXT(""), &set.ec_other, "wrong signature", "another EC key" },
    { RS256, EXT(""), &set.rsa_other, "wrong signature", "another RSA key" },
    { RS256, EXT(""), &set.ec, "wrong signature",
      "RS256 signed with an EC key" },
    { ES256, EXT(""), &set.rsa, "wrong signature",
      "ES256 signed with an RSA key" },
    { "{\"alg\":\"RS256\",\"kid\":\"r2\"}", EXT(""), &set.rsa,
      "no key for its algorithm and kid", "another kid" },
    { "{\"alg\":\"PS256\",\"kid\":\"r1\"}", EXT(""), &set.rsa,
      "unknown algorithm", "PS256" },
    { "{\"alg\":\"RS512\",\"kid\":\"r1\"}", EXT(""), &set.rsa,
      "no key for its algorithm and kid", "RS512" },

    { "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"at+jwt\"}", EXT(""),
      &set.rsa, "good", "a typ of RFC 9068" },
    { "{\"alg\":\"RS256\",\"typ\":\"application/at+JWT\"}", EXT(""),
      &set.rsa, "good", "in full" },
    { "{\"alg\":\"RS256\",\"typ\":\"secevent+jwt\"}", EXT(""), &set.rsa,
      "malformed claims", "another typ" },
    { "{\"alg\":\"RS256\",\"x5c\":[\"AAAA\"],\"jku\":\"http://x\","
      "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", EXT(""), &set.rsa_other,
      "wrong signature", "keys inside of a token are not looked at" },

    { RS256, "{\"aud\":\"chat\",\"sub\":\"1\",\"exp\":1790000100}", &set.rsa,
      "another issuer", "no iss" },
    { RS256, EXT(",\"iss\":\"https://id.example.com\""), &set.rsa,
      "another issuer", "an iss without the slash" },
    { RS256, EXT(",\"aud\":\"mail\""), &set.rsa, "another audience",
      "another aud" },
    { RS256, EXT(",\"aud\":null"), &set.rsa, "another audience", "no aud" },
    { RS256, EXT(",\"aud\":[]"), &set.rsa, "another audience",
      "an empty list" },
    { RS256, EXT(",\"aud\":[\"mail\",\"chat2\",7]"), &set.rsa,
      "another audience", "a list of others" },
    { RS256, EXT(",\"aud\":[\"mail\",\"chat\"]"), &set.rsa, "good",
      "a list with ours" },
    { RS256, EXT(",\"aud\":{\"chat\":\"chat\"}"), &set.rsa,
      "another audience", "an object" },
    { RS256, EXT(",\"sub\":\"\""), &set.rsa, "no sub", "no sub" },
    { RS256, EXT(",\"sub\":5"), &set.rsa, "no sub", "a number" },

    { RS256, EXT(",\"exp\":1790000000.25"), &set.rsa, "good",
      "a fraction of a second (RFC 7519, section 2)" },
    { RS256, EXT(",\"exp\":1.7e9"), &set.rsa, "expired", "an exponent" },
    { RS256, EXT(",\"exp\":1e400"), &set.rsa, "malformed claims",
      "infinity" },
    { RS256, EXT(",\"exp\":1e16"), &set.rsa, "no expiry",
      "far beyond any date" },
    { RS256, EXT(",\"exp\":\"1790000100\""), &set.rsa, "no expiry",
      "a string" },
    { RS256, EXT(",\"nbf\":1790000031.5"), &set.rsa, "not valid yet",
      "a fraction in nbf" },
    { RS256, EXT(",\"iat\":1790000099"), &set.rsa, "issued in the future",
      "iat beyond the skew" },

    { RS256, JWT_ACCESS, &set.rsa, "another issuer",
      "our claims under their key" }
};


static void
test_foreign(void)
{
    char       payload[1024];
    size_t     i;
    ngx_str_t  empty = ngx_string("");

    for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        is(set_outcome(foreign[i].header, foreign[i].payload, NULL,
                       *foreign[i].pkey),
           foreign[i].outcome, "%s", foreign[i].name);
    }

    snprintf(payload, sizeof(payload), "{\"iss\":\"" JWT_ISS "\",\"aud\":"
             "\"chat\",\"exp\":1790000100,\"sub\":\"%0256d\"}", 0);
    is(set_outcome(RS256, payload, NULL, set.rsa), "no sub",
       "256 bytes of sub");

    is(set_outcome(JWT_HS256, EXT(",\"iat\":1"), &set.secret, NULL), "no typ",
       "their claims under our key");
    is(set_outcome(RS256, EXT(""), &empty, NULL), "wrong signature",
       "RS256 with an HMAC");
}


static ngx_int_t
verify(const ngx_array_t *keys, const ngx_str_t *token,
    nchat_claims_t *claims)
{
    return nchat_jwt_verify(keys, token, set.pool, JWT_NOW, claims);
}


static void
test_issuers(void)
{
    char           *text = set.rsa_public;
    ngx_str_t       token;
    ngx_array_t    *two;
    nchat_claims_t  claims;

    two = ngx_array_create(set.pool, 2, sizeof(nchat_jwt_key_t));
    set_add(two, jwt_file("i1", text, strlen(text)),
            "alg=RS256 iss=https://one/ aud=chat");
    set_add(two, jwt_file("i2", text, strlen(text)),
            "alg=RS256 iss=https://two/ aud=chat");

    token = jwt_make("{\"alg\":\"RS256\",\"kid\":\"k\"}",
                     "{\"iss\":\"https://two/\",\"aud\":\"chat\","
                     "\"sub\":\"1\",\"exp\":1790000100}", NULL, set.rsa);
    ok(verify(two, &token, &claims) == NGX_OK,
       "two issuers may sign with one key");
    is_str(&claims.iss, "https://two/", "and are told apart");
    free(token.data);

    ok(nchat_jwt_signer(two) == NULL, "neither of them signs for us");

    two->nelts = 0;
    token = jwt_make(JWT_HS256, JWT_ACCESS, &set.secret, NULL);
    ok(verify(two, &token, &claims) == NGX_DECLINED, "no keys at all");
    free(token.data);
}


int
main(void)
{
    stubs_fail_jansson(1);
    set_load();

    test_claims();
    test_foreign();
    test_issuers();

    set_free();

    return tap_done();
}
