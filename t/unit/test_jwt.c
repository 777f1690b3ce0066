#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "jwt_tools.h"
#include "nchat_jwt.h"
#include "ngx_stubs.h"
#include "tap.h"


#define HS256  JWT_HS256
#define ISS    "https://id.example.com/"


static ngx_pool_t   *pool;
static EVP_PKEY     *rsa, *rsa_other, *ec, *ec_other;
static char         *rsa_public;
static ngx_array_t  *keys;          /* all of them, see load_keys() */
static ngx_str_t     secret = ngx_string(JWT_SECRET);
static ngx_str_t     secret2 = ngx_string(JWT_SECRET2);


static void
load(ngx_array_t *array, ngx_str_t source, const char *options)
{
    ngx_str_t    args[8];
    ngx_uint_t   n;
    const char  *error;

    args[0] = source;
    n = 1;

    for ( ;; ) {
        options += strspn(options, " ");
        if (*options == '\0') {
            break;
        }
        args[n].len = strcspn(options, " ");
        args[n].data = (u_char *) options;
        options += args[n++].len;
    }

    error = nchat_jwt_key_load(pool, array, args, n, NULL);

    if (!ok(error == NULL, "key %.*s", (int) source.len, source.data)) {
        printf("# %s\n", error);
    }

    free(source.data);
}


static void
load_keys(void)
{
    char  *text;

    rsa = EVP_RSA_gen(2048);
    rsa_other = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    ec_other = EVP_EC_gen("P-256");
    rsa_public = jwt_pem(rsa, 0);

    keys = ngx_array_create(pool, 4, sizeof(nchat_jwt_key_t));

    load(keys, jwt_file("hs", JWT_SECRET "\n", 33), "");
    load(keys, jwt_file("hs2", JWT_SECRET2, 32), "kid=two");
    load(keys, jwt_file("rs", rsa_public, strlen(rsa_public)),
         "kid=r1 alg=RS256 iss=" ISS " aud=chat roles=boss:admin,staff:"
         "moderator");

    text = jwt_pem(ec, 0);
    load(keys, jwt_file("es", text, strlen(text)),
         "alg=ES256 iss=" ISS " aud=chat");
    free(text);
}


static ngx_int_t
verify(const ngx_array_t *array, const ngx_str_t *token,
    nchat_claims_t *claims)
{
    return nchat_jwt_verify(array, token, pool, JWT_NOW, claims);
}


/* What is made of this token, by all keys; its reason if it is refused. */

static const char *
outcome(const char *header, const char *payload, const ngx_str_t *key,
    EVP_PKEY *pkey)
{
    ngx_int_t       rc;
    ngx_str_t       token;
    nchat_claims_t  claims;

    token = jwt_make(header, payload, key, pkey);
    rc = verify(keys, &token, &claims);
    free(token.data);

    if (rc == NGX_OK) {
        return claims.reason ? "good, but with a reason" : "good";
    }

    return rc == NGX_DECLINED && claims.reason ? claims.reason : "an error";
}


static const struct {
    const char  *header;
    const char  *payload;
    const char  *outcome;
    const char  *name;
} own[] = {
    { HS256, JWT_ACCESS, "good", "an access token" },
    { "{\"typ\":\"JWT\",\"alg\":\"HS256\"}", JWT_ACCESS, "good",
      "another order in the header" },
    { "{\"alg\":\"HS256\"}", JWT_ACCESS, "good", "no typ in the header" },
    { "{\"alg\":\"HS256\",\"kid\":\"unknown\"}", JWT_ACCESS, "good",
      "a kid, and a key without one" },

    { HS256, JWT_CLAIMS "}", "no expiry", "no exp" },
    { HS256, JWT_CLAIMS ",\"exp\":\"1790000100\"}", "no expiry",
      "exp as a string" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100.5}", "no expiry",
      "exp as a fraction in an own token" },
    { HS256, JWT_CLAIMS ",\"exp\":1e300}", "no expiry", "a huge exp" },
    { HS256, JWT_CLAIMS ",\"exp\":9223372036854775807}", "no expiry",
      "the largest integer, which the skew would turn over" },
    { HS256, JWT_CLAIMS ",\"exp\":-1}", "no expiry", "a negative exp" },
    { HS256, JWT_CLAIMS ",\"exp\":null}", "no expiry", "a null exp" },
    { HS256, JWT_CLAIMS ",\"exp\":true}", "no expiry", "a true exp" },
    { HS256, JWT_CLAIMS ",\"exp\":[1790000100]}", "no expiry", "in a list" },
    { HS256, JWT_CLAIMS ",\"exp\":1789999971}", "good",
      "expired 29 s ago, within the skew" },
    { HS256, JWT_CLAIMS ",\"exp\":1789999970}", "expired", "30 s ago" },
    { HS256, JWT_CLAIMS ",\"exp\":0}", "expired", "long ago" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"exp\":1}", "expired",
      "exp twice: the last one counts (RFC 7519, section 4)" },

    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"nbf\":1790000030}", "good",
      "nbf within the skew" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"nbf\":1790000031}",
      "not valid yet", "nbf beyond" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"nbf\":\"0\"}",
      "not valid yet", "nbf as a string" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"iat\":1790000030}", "good",
      "iat within the skew" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"iat\":1790000031}",
      "issued in the future", "iat beyond" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"iat\":null}",
      "issued in the future", "iat null" },

    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"typ\":\"refresh\"}", "good",
      "a refresh token" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"typ\":\"id\"}",
      "unknown typ", "another typ" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"typ\":1}", "no typ",
      "typ as a number" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"sub\":\"x\"}",
      "no sub or sid", "sub is no UUID" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"sid\":\"x\"}",
      "no sub or sid", "sid is no UUID" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"sub\":7}", "no sub or sid",
      "sub as a number" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"jti\":\"\"}", "no jti",
      "an empty jti" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"ver\":-1}", "no ver",
      "a negative ver" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"ver\":\"3\"}", "no ver",
      "ver as a string" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"ver\":3.5}", "no ver",
      "ver as a fraction" },
    { HS256, "{\"exp\":1790000100,\"iat\":1790000000}", "no typ",
      "nothing but times" },
    { HS256, "[]", "no expiry", "an array" },
    { HS256, "{}", "no expiry", "an empty object" },
    { HS256, "not json", "malformed claims", "no JSON" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"email\":\"a\\u0000b\"}",
      "malformed claims", "a NUL in a claim" },
    { HS256, JWT_CLAIMS ",\"exp\":1790000100,\"email\":\"\xff\"}",
      "malformed claims", "no UTF-8 in a claim" },

    { "{\"alg\":\"none\"}", JWT_ACCESS, "unknown algorithm", "none" },
    { "{\"alg\":\"None\"}", JWT_ACCESS, "unknown algorithm", "None" },
    { "{\"alg\":\"NONE\"}", JWT_ACCESS, "unknown algorithm", "NONE" },
    { "{\"alg\":\"hs256\"}", JWT_ACCESS, "unknown algorithm", "hs256" },
    { "{\"alg\":\"\"}", JWT_ACCESS, "unknown algorithm", "an empty alg" },
    { "{\"alg\":\"HS256 \"}", JWT_ACCESS, "unknown algorithm", "a blank" },
    { "{\"alg\":256}", JWT_ACCESS, "malformed header", "alg as a number" },
    { "{\"alg\":null}", JWT_ACCESS, "malformed header", "alg null" },
    { "{\"alg\":[\"HS256\"]}", JWT_ACCESS, "malformed header", "in a list" },
    { "{}", JWT_ACCESS, "malformed header", "no alg" },
    { "[]", JWT_ACCESS, "malformed header", "an array" },
    { "x", JWT_ACCESS, "malformed header", "no JSON" },
    { "{\"alg\":\"none\",\"alg\":\"HS256\"}", JWT_ACCESS,
      "malformed header", "alg twice" },
    { "{\"alg\":\"HS256\",\"kid\":1}", JWT_ACCESS, "malformed header",
      "kid as a number" },
    { "{\"alg\":\"HS256\",\"kid\":\"x\\u0000\"}", JWT_ACCESS,
      "malformed header", "a NUL in kid" },
    { "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", JWT_ACCESS,
      "unknown critical header", "crit" },
    { "{\"alg\":\"HS384\"}", JWT_ACCESS,
      "no key for its algorithm and kid", "HS384, signed with HS256" },
    { "{\"alg\":\"RS256\"}", JWT_ACCESS, "wrong signature",
      "RS256, signed with the secret" },
    { "{\"alg\":\"ES256\"}", JWT_ACCESS, "wrong signature",
      "ES256, signed with the secret" },
    { "{\"alg\":\"HS256\",\"kid\":\"two\"}", JWT_ACCESS, "good",
      "the other key's kid: keys without a kid are tried too" }
};


static void
test_own(void)
{
    size_t       i;
    ngx_str_t    empty = ngx_null_string, pem;
    const char  *none = "{\"alg\":\"none\"}";

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        is(outcome(own[i].header, own[i].payload, &secret, NULL),
           own[i].outcome, "%s", own[i].name);
    }

    is(outcome("{\"alg\":\"HS256\",\"kid\":\"two\"}", JWT_ACCESS, &secret2,
               NULL), "good", "the second key by its kid");
    is(outcome(HS256, JWT_ACCESS, &secret2, NULL), "good",
       "the second key without a kid");
    is(outcome("{\"alg\":\"HS256\",\"kid\":\"three\"}", JWT_ACCESS, &secret2,
               NULL), "wrong signature", "the second key by a wrong kid");
    is(outcome("{\"alg\":\"HS256\",\"kid\":\"../../../dev/null\"}",
               JWT_ACCESS, &empty, NULL), "wrong signature",
       "a kid that is a path, an empty key");
    is(outcome("{\"alg\":\"HS256\",\"kid\":\"\"}", JWT_ACCESS, &secret2,
               NULL), "wrong signature", "an empty kid is a kid");

    is(outcome(HS256, JWT_ACCESS, &empty, NULL), "wrong signature",
       "signed with an empty key");
    is(outcome(HS256, JWT_ACCESS, NULL, NULL), "malformed token",
       "no signature");
    is(outcome(none, JWT_ACCESS, NULL, NULL), "malformed token",
       "none without a signature");

    /* the public key is no secret: everybody can sign with its text */

    pem.data = (u_char *) rsa_public;
    pem.len = strlen(rsa_public);
    is(outcome(HS256, JWT_ACCESS, &pem, NULL), "wrong signature",
       "HS256 with the text of the RSA public key");
    is(outcome("{\"alg\":\"HS256\",\"kid\":\"r1\"}", JWT_ACCESS, &pem, NULL),
       "wrong signature", "and its kid");
    pem.len--;
    is(outcome("{\"alg\":\"HS256\",\"kid\":\"r1\"}", JWT_ACCESS, &pem, NULL),
       "wrong signature", "and without its last newline");
}


#define EXT(claims)                                                           \
    "{\"iss\":\"" ISS "\",\"aud\":\"chat\",\"sub\":\"auth0|1\","              \
    "\"exp\":1790000100" claims "}"


static void
test_external(void)
{
    char            sub[400];
    ngx_str_t       token, key;
    nchat_claims_t  claims;
    const char     *rs = "{\"alg\":\"RS256\",\"kid\":\"r1\"}";
    const char     *es = "{\"alg\":\"ES256\",\"kid\":\"e1\"}";

    token = jwt_make(rs, EXT(",\"email\":\"a@b.c\",\"preferred_username\":"
                             "\"ann\",\"name\":\"Ann\",\"role\":\"boss\","
                             "\"jti\":\"x\",\"sid\":\"s\",\"ver\":9,"
                             "\"typ\":\"access\""), NULL, rsa);
    ok(verify(keys, &token, &claims) == NGX_OK, "a token of a service");
    is_str(&claims.sub, "auth0|1", "sub");
    is_str(&claims.iss, ISS, "iss");
    is_str(&claims.email, "a@b.c", "email");
    is_str(&claims.username, "ann", "preferred_username");
    is_str(&claims.display_name, "Ann", "name");
    is_str(&claims.role, "admin", "role, as the operator maps it");
    ok(claims.external && claims.typ == NCHAT_JWT_FOREIGN
       && claims.sid.len == 0 && claims.ver == 0 && claims.exp == 1790000100
       && claims.iat == 0 && claims.key->alg == JWT_ALG_RS256,
       "is external, and none of our own tokens");
    free(token.data);

    token = jwt_make(rs, EXT(",\"role\":\"owner\",\"username\":\"u\","
                             "\"preferred_username\":\"p\""), NULL, rsa);
    ok(verify(keys, &token, &claims) == NGX_OK && claims.role.len == 0,
       "a role that is not mapped is none");
    is_str(&claims.username, "u", "username before preferred_username");
    free(token.data);

    token = jwt_make(es, EXT(",\"role\":\"boss\""), NULL, ec);
    ok(verify(keys, &token, &claims) == NGX_OK && claims.role.len == 0
       && claims.key->alg == JWT_ALG_ES256, "ES256, without a map of roles");

    /* ECDSA signatures come in two forms (s and n - s), not in others */

    token.len--;
    ok(verify(keys, &token, &claims) == NGX_DECLINED, "a character less");
    free(token.data);

    is(outcome(es, EXT(""), NULL, ec), "good", "ES256");
    is(outcome("{\"alg\":\"ES256\"}", EXT(""), NULL, ec), "good",
       "ES256 without a kid");
    is(outcome(es, EXT(""), NULL, ec_other), "wrong signature",
       "another EC key");
    is(outcome(rs, EXT(""), NULL, rsa_other), "wrong signature",
       "another RSA key");
    is(outcome(rs, EXT(""), NULL, ec), "wrong signature",
       "RS256 signed with an EC key");
    is(outcome(es, EXT(""), NULL, rsa), "wrong signature",
       "ES256 signed with an RSA key");
    is(outcome("{\"alg\":\"RS256\",\"kid\":\"r2\"}", EXT(""), NULL, rsa),
       "no key for its algorithm and kid", "another kid");
    is(outcome("{\"alg\":\"PS256\",\"kid\":\"r1\"}", EXT(""), NULL, rsa),
       "unknown algorithm", "PS256");
    is(outcome("{\"alg\":\"RS512\",\"kid\":\"r1\"}", EXT(""), NULL, rsa),
       "no key for its algorithm and kid", "RS512");

    is(outcome("{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"at+jwt\"}",
               EXT(""), NULL, rsa), "good", "a typ of RFC 9068");
    is(outcome("{\"alg\":\"RS256\",\"typ\":\"application/at+JWT\"}",
               EXT(""), NULL, rsa), "good", "in full");
    is(outcome("{\"alg\":\"RS256\",\"typ\":\"secevent+jwt\"}",
               EXT(""), NULL, rsa), "malformed claims", "another typ");
    is(outcome("{\"alg\":\"RS256\",\"x5c\":[\"AAAA\"],\"jku\":\"http://x\","
               "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}",
               EXT(""), NULL, rsa_other), "wrong signature",
       "keys inside of a token are not looked at");

    is(outcome(rs, "{\"aud\":\"chat\",\"sub\":\"1\",\"exp\":1790000100}",
               NULL, rsa), "another issuer", "no iss");
    is(outcome(rs, EXT(",\"iss\":\"https://id.example.com\""), NULL, rsa),
       "another issuer", "an iss without the slash");
    is(outcome(rs, EXT(",\"aud\":\"mail\""), NULL, rsa),
       "another audience", "another aud");
    is(outcome(rs, EXT(",\"aud\":null"), NULL, rsa), "another audience",
       "no aud");
    is(outcome(rs, EXT(",\"aud\":[]"), NULL, rsa), "another audience",
       "an empty list");
    is(outcome(rs, EXT(",\"aud\":[\"mail\",\"chat2\",7]"), NULL, rsa),
       "another audience", "a list of others");
    is(outcome(rs, EXT(",\"aud\":[\"mail\",\"chat\"]"), NULL, rsa), "good",
       "a list with ours");
    is(outcome(rs, EXT(",\"aud\":{\"chat\":\"chat\"}"), NULL, rsa),
       "another audience", "an object");
    is(outcome(rs, EXT(",\"sub\":\"\""), NULL, rsa), "no sub", "no sub");
    is(outcome(rs, EXT(",\"sub\":5"), NULL, rsa), "no sub", "a number");

    memset(sub, 'x', sizeof(sub));
    memcpy(sub, ",\"sub\":\"", 8);
    sub[8 + 256] = '"';
    sub[8 + 257] = '\0';

    {
        char  payload[1024];

        snprintf(payload, sizeof(payload), "{\"iss\":\"" ISS "\",\"aud\":"
                 "\"chat\",\"exp\":1790000100%s}", sub);
        is(outcome(rs, payload, NULL, rsa), "no sub", "256 bytes of sub");
    }

    is(outcome(rs, EXT(",\"exp\":1790000000.25"), NULL, rsa), "good",
       "a fraction of a second (RFC 7519, section 2)");
    is(outcome(rs, EXT(",\"exp\":1.7e9"), NULL, rsa), "expired",
       "an exponent");
    is(outcome(rs, EXT(",\"exp\":1e400"), NULL, rsa), "malformed claims",
       "infinity");
    is(outcome(rs, EXT(",\"exp\":1e16"), NULL, rsa), "no expiry",
       "far beyond any date");
    is(outcome(rs, EXT(",\"exp\":\"1790000100\""), NULL, rsa), "no expiry",
       "a string");
    is(outcome(rs, EXT(",\"nbf\":1790000031.5"), NULL, rsa),
       "not valid yet", "a fraction in nbf");
    is(outcome(rs, EXT(",\"iat\":1790000099"), NULL, rsa),
       "issued in the future", "iat beyond the skew");

    /* neither kind of key makes the other kind of token */

    is(outcome(rs, JWT_ACCESS, NULL, rsa), "another issuer",
       "our claims under their key");
    is(outcome(HS256, EXT(",\"iat\":1"), &secret, NULL), "no typ",
       "their claims under our key");
    key = str("");
    is(outcome(rs, EXT(""), &key, NULL), "wrong signature",
       "RS256 with an HMAC");
}


static void
test_issuers(void)
{
    char           *text;
    ngx_str_t       token;
    ngx_array_t    *two;
    nchat_claims_t  claims;

    two = ngx_array_create(pool, 2, sizeof(nchat_jwt_key_t));
    text = jwt_pem(rsa, 0);
    load(two, jwt_file("i1", text, strlen(text)),
         "alg=RS256 iss=https://one/ aud=chat");
    load(two, jwt_file("i2", text, strlen(text)),
         "alg=RS256 iss=https://two/ aud=chat");
    free(text);

    token = jwt_make("{\"alg\":\"RS256\",\"kid\":\"k\"}",
                     "{\"iss\":\"https://two/\",\"aud\":\"chat\","
                     "\"sub\":\"1\",\"exp\":1790000100}", NULL, rsa);
    ok(verify(two, &token, &claims) == NGX_OK,
       "two issuers may sign with one key");
    is_str(&claims.iss, "https://two/", "and are told apart");
    free(token.data);

    ok(nchat_jwt_signer(two) == NULL, "neither of them signs for us");

    two->nelts = 0;
    token = jwt_make(HS256, JWT_ACCESS, &secret, NULL);
    ok(verify(two, &token, &claims) == NGX_DECLINED, "no keys at all");
    free(token.data);
}


/* Every single change of a good token, and every shorter one, is refused. */

static void
test_tampered(const char *name, ngx_str_t token)
{
    u_char         *exact, c;
    size_t          i, dots;
    ngx_str_t       changed;
    ngx_uint_t      accepted;
    nchat_claims_t  claims;

    static const u_char  others[] = "A_.=/ \0\x80";

    accepted = 0;

    for (i = 0; i < token.len; i++) {
        exact = malloc(i + 1);
        memcpy(exact, token.data, i);
        changed.data = exact;
        changed.len = i;
        accepted += verify(keys, &changed, &claims) != NGX_DECLINED;
        free(exact);
    }

    ok(accepted == 0, "%s: none of its %zu beginnings", name, token.len);

    accepted = 0;

    for (i = 0; i < token.len; i++) {
        for (dots = 0; dots < sizeof(others); dots++) {
            c = token.data[i];

            if (c == others[dots]) {
                continue;
            }

            token.data[i] = others[dots];
            accepted += verify(keys, &token, &claims) != NGX_DECLINED;
            token.data[i] = c;
        }
    }

    ok(accepted == 0, "%s: no change of one character", name);

    /* each of the signature's last bits, also those that carry nothing */

    for (i = 0; i < 64; i++) {
        c = token.data[token.len - 1];
        token.data[token.len - 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
                                    "pqrstuvwxyz0123456789-_"[i];
        if (token.data[token.len - 1] != c) {
            accepted += verify(keys, &token, &claims) != NGX_DECLINED;
        }
        token.data[token.len - 1] = c;
    }

    ok(accepted == 0, "%s: one form of the signature only", name);
    ok(verify(keys, &token, &claims) == NGX_OK, "%s itself is good", name);

    free(token.data);
}


static void
test_forms(void)
{
    char           *big, *payload;
    size_t          i;
    ngx_str_t       token;
    nchat_claims_t  claims;

    static const ngx_str_t  forms[] = {
        ngx_string(""), ngx_string("."), ngx_string(".."), ngx_string("..."),
        ngx_string("a.b.c"), ngx_string("a.b"), ngx_string("ab.cd.ef.gh"),
        ngx_string("ab..ef"), ngx_string(".cd.ef"), ngx_string("ab.cd."),
        ngx_string("eyJhbGciOiJub25lIn0.e30."),
        ngx_string("eyJhbGciOiJub25lIn0.e30.AA"),
        ngx_string("ab.cd.e\0f"), ngx_string("Bearer ab.cd.ef"),
        ngx_string("null"), ngx_string("\xff\xfe.\xff.\xff"),
        ngx_string("e30.e30.e30"), ngx_string("AAAA.AAAA.AAAA")
    };

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        ok(verify(keys, &forms[i], &claims) == NGX_DECLINED && claims.reason
           && claims.sub.len == 0, "no token: number %zu", i);
    }

    big = malloc(100000);
    memset(big, 'A', 100000);
    token.data = (u_char *) big;
    token.len = 100000;
    ok(verify(keys, &token, &claims) == NGX_DECLINED, "100 KB");
    is(claims.reason, "token too long", "is too long");

    big[40] = '.';
    big[4000] = '.';
    token.len = NCHAT_JWT_MAX;
    ok(verify(keys, &token, &claims) == NGX_DECLINED, "8 KiB");
    is(claims.reason, "malformed header", "may be looked at");

    /* the largest good one */

    payload = malloc(20000);
    memset(big, 'x', 7000);
    big[6000] = '\0';
    snprintf(payload, 20000, JWT_CLAIMS ",\"exp\":1790000100,\"x\":\"%s\"}",
             big);
    is(outcome(HS256, payload, &secret, NULL), "token too long",
       "a signed one of more than 8 KiB");
    big[5700] = '\0';
    snprintf(payload, 20000, JWT_CLAIMS ",\"exp\":1790000100,\"x\":\"%s\"}",
             big);
    is(outcome(HS256, payload, &secret, NULL), "good",
       "a signed one of less");

    free(payload);
    free(big);
}


static void
test_sign(void)
{
    size_t                  i;
    ngx_str_t               token, again;
    nchat_claims_t          in, out;
    const nchat_jwt_key_t  *signer;

    static const ngx_str_t  odd[] = {
        ngx_string("plain"), ngx_string("\"quoted\" \\ back"),
        ngx_string("\xc3\xa9\xf0\x9f\x98\x80"), ngx_string("line\nbreak\t"),
        ngx_string("</script>"), ngx_string("\x01\x7f")
    };

    signer = nchat_jwt_signer(keys);
    ok(signer == keys->elts, "the first own key signs");

    ngx_str_null(&token);
    memset(&in, 0, sizeof(in));
    memset(&out, 0, sizeof(out));
    in.sub = str("7f2c1f9e-1111-4222-8333-444455556666");
    in.sid = str("7f2c1f9e-1111-4222-8333-444455556667");
    in.jti = str("7f2c1f9e-1111-4222-8333-444455556668");
    in.email = str("someone@example.com");
    in.username = str("someone");
    in.role = str("member");
    in.ver = 7;
    in.iat = JWT_NOW;
    in.exp = JWT_NOW + 86400;
    in.typ = NCHAT_JWT_ACCESS;

    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        in.display_name = odd[i];

        ok(nchat_jwt_sign(signer, pool, &in, &token) == NGX_OK
           && verify(keys, &token, &out) == NGX_OK, "signed and verified");
        is_str(&out.display_name, (char *) odd[i].data, "displayName %zu", i);
    }

    ok(nchat_jwt_sign(signer, pool, &in, &token) == NGX_OK
       && token.len > signer->header.len
       && memcmp(token.data, signer->header.data, signer->header.len) == 0
       && token.data[signer->header.len] == '.',
       "libjwt writes the header that was foretold");

    is_str(&out.sub, "7f2c1f9e-1111-4222-8333-444455556666", "sub");
    is_str(&out.sid, "7f2c1f9e-1111-4222-8333-444455556667", "sid");
    is_str(&out.jti, "7f2c1f9e-1111-4222-8333-444455556668", "jti");
    is_str(&out.email, "someone@example.com", "email");
    is_str(&out.username, "someone", "username");
    is_str(&out.role, "member", "role");
    ok(out.ver == 7 && out.iat == JWT_NOW && out.exp == JWT_NOW + 86400
       && out.typ == NCHAT_JWT_ACCESS && !out.external && out.key == signer
       && out.iss.len == 0, "numbers and kinds");

    in.display_name = str("x\xffy");
    ok(nchat_jwt_sign(signer, pool, &in, &token) == NGX_OK
       && verify(keys, &token, &out) == NGX_OK, "no UTF-8 is no obstacle");
    is_str(&out.display_name, "x\xef\xbf\xbdy", "it is replaced");

    in.typ = NCHAT_JWT_REFRESH;
    in.ver = 0;
    in.email.len = in.username.len = in.role.len = in.display_name.len = 0;
    ok(nchat_jwt_sign(signer, pool, &in, &token) == NGX_OK
       && verify(keys, &token, &out) == NGX_OK
       && out.typ == NCHAT_JWT_REFRESH && out.email.data == NULL
       && out.role.data == NULL && out.ver == 0, "a refresh token");

    ok(nchat_jwt_sign(signer, pool, &in, &again) == NGX_OK
       && again.len == token.len
       && memcmp(again.data, token.data, token.len) == 0,
       "the same claims give the same token");

    signer++;
    ok(nchat_jwt_sign(signer, pool, &in, &token) == NGX_OK
       && verify(keys, &token, &out) == NGX_OK && out.key == signer
       && memcmp(token.data, signer->header.data, signer->header.len) == 0
       && token.data[signer->header.len] == '.',
       "a key with a kid is found by it");

    signer++;
    ok(nchat_jwt_sign(signer, pool, &in, &token) == NGX_ERROR,
       "a public key does not sign");
    in.typ = NCHAT_JWT_FOREIGN;
    ok(nchat_jwt_sign(keys->elts, pool, &in, &token) == NGX_ERROR,
       "tokens of others are not signed");
}


/*
 * Each allocation fails once.  What libjwt itself allocates to sign is left
 * out: jwt_encode_str() of 1.10 does not survive it.
 */

static void
test_memory(void)
{
    ngx_int_t        n, rc;
    ngx_str_t        token, made;
    ngx_pool_t      *mine;
    ngx_uint_t       wrong, i;
    nchat_claims_t   claims;

    for (i = 0; i < 3; i++) {

        token = i == 1 ? jwt_make("{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}",
                                  EXT(",\"role\":\"boss\",\"aud\":"
                                      "[\"chat\"]"), NULL, rsa)
                       : jwt_make(HS256, JWT_ACCESS, &secret, NULL);
        wrong = 0;

        for (n = 0; n < 1000; n++) {
            mine = ngx_create_pool(1024, NULL);
            stubs_fail_jansson(i < 2);
            stubs_fail_at(n);

            rc = nchat_jwt_verify(keys, &token, mine, JWT_NOW, &claims);

            if (rc == NGX_OK && i == 2) {
                rc = nchat_jwt_sign((nchat_jwt_key_t *) keys->elts + 1, mine,
                                    &claims, &made);
            }

            ngx_destroy_pool(mine);

            if (!stubs_failed()) {
                break;
            }

            wrong += rc == NGX_OK;
        }

        stubs_fail_at(-1);
        free(token.data);

        ok(n > 3 && n < 1000 && rc == NGX_OK && wrong == 0,
           "each of %d allocations may fail", (int) n);
    }
}


int
main(void)
{
    stubs_fail_jansson(1);
    pool = ngx_create_pool(1024, NULL);

    load_keys();
    test_own();
    test_external();
    test_issuers();
    test_tampered("an own token", jwt_make(HS256, JWT_ACCESS, &secret, NULL));
    test_tampered("an RS256 token", jwt_make("{\"alg\":\"RS256\"}", EXT(""),
                                             NULL, rsa));
    test_tampered("an ES256 token", jwt_make("{\"alg\":\"ES256\"}", EXT(""),
                                             NULL, ec));
    test_forms();
    test_sign();
    test_memory();

    ngx_destroy_pool(pool);
    jwt_clean();

    free(rsa_public);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa_other);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ec_other);

    return tap_done();
}
