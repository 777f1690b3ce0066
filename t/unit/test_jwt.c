#include "jwt_set.h"
#include "ngx_stubs.h"
#include "tap.h"


#define HS256     JWT_HS256
#define KID(kid)  "{\"alg\":\"HS256\",\"kid\":\"" kid "\"}"


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
        is(set_outcome(own[i].header, own[i].payload, &set.secret, NULL),
           own[i].outcome, "%s", own[i].name);
    }

    is(set_outcome(KID("two"), JWT_ACCESS, &set.secret2, NULL), "good",
       "the second key by its kid");
    is(set_outcome(HS256, JWT_ACCESS, &set.secret2, NULL), "good",
       "the second key without a kid");
    is(set_outcome(KID("three"), JWT_ACCESS, &set.secret2, NULL),
       "wrong signature", "the second key by a wrong kid");
    is(set_outcome(KID("../../../dev/null"), JWT_ACCESS, &empty, NULL),
       "wrong signature", "a kid that is a path, an empty key");
    is(set_outcome(KID(""), JWT_ACCESS, &set.secret2, NULL),
       "wrong signature", "an empty kid is a kid");

    is(set_outcome(HS256, JWT_ACCESS, &empty, NULL), "wrong signature",
       "signed with an empty key");
    is(set_outcome(HS256, JWT_ACCESS, NULL, NULL), "malformed token",
       "no signature");
    is(set_outcome(none, JWT_ACCESS, NULL, NULL), "malformed token",
       "none without a signature");

    /* the public key is no secret: everybody can sign with its text */

    pem.data = (u_char *) set.rsa_public;
    pem.len = strlen(set.rsa_public);
    is(set_outcome(HS256, JWT_ACCESS, &pem, NULL), "wrong signature",
       "HS256 with the text of the RSA public key");
    is(set_outcome(KID("r1"), JWT_ACCESS, &pem, NULL), "wrong signature",
       "and its kid");
    pem.len--;
    is(set_outcome(KID("r1"), JWT_ACCESS, &pem, NULL), "wrong signature",
       "and without its last newline");
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
        accepted += set_verify(&changed, &claims) != NGX_DECLINED;
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
            accepted += set_verify(&token, &claims) != NGX_DECLINED;
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
            accepted += set_verify(&token, &claims) != NGX_DECLINED;
        }
        token.data[token.len - 1] = c;
    }

    ok(accepted == 0, "%s: one form of the signature only", name);
    ok(set_verify(&token, &claims) == NGX_OK, "%s itself is good", name);

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
        ok(set_verify(&forms[i], &claims) == NGX_DECLINED && claims.reason
           && claims.sub.len == 0, "no token: number %zu", i);
    }

    big = malloc(100000);
    memset(big, 'A', 100000);
    token.data = (u_char *) big;
    token.len = 100000;
    ok(set_verify(&token, &claims) == NGX_DECLINED, "100 KB");
    is(claims.reason, "token too long", "is too long");

    big[40] = '.';
    big[4000] = '.';
    token.len = NCHAT_JWT_MAX;
    ok(set_verify(&token, &claims) == NGX_DECLINED, "8 KiB");
    is(claims.reason, "malformed header", "may be looked at");

    /* the largest good one */

    payload = malloc(20000);
    memset(big, 'x', 7000);
    big[6000] = '\0';
    snprintf(payload, 20000, JWT_CLAIMS ",\"exp\":1790000100,\"x\":\"%s\"}",
             big);
    is(set_outcome(HS256, payload, &set.secret, NULL), "token too long",
       "a signed one of more than 8 KiB");
    big[5700] = '\0';
    snprintf(payload, 20000, JWT_CLAIMS ",\"exp\":1790000100,\"x\":\"%s\"}",
             big);
    is(set_outcome(HS256, payload, &set.secret, NULL), "good",
       "a signed one of less");

    free(payload);
    free(big);
}


/* Claims of a token of our own. */

static nchat_claims_t
someone(void)
{
    nchat_claims_t  claims;

    memset(&claims, 0, sizeof(claims));
    claims.sub = str("7f2c1f9e-1111-4222-8333-444455556666");
    claims.sid = str("7f2c1f9e-1111-4222-8333-444455556667");
    claims.jti = str("7f2c1f9e-1111-4222-8333-444455556668");
    claims.email = str("someone@example.com");
    claims.username = str("someone");
    claims.role = str("member");
    claims.ver = 7;
    claims.iat = JWT_NOW;
    claims.exp = JWT_NOW + 86400;
    claims.typ = NCHAT_JWT_ACCESS;

    return claims;
}


/* 1 if the claims are signed by this key, and the token is good. */

static int
signs(const nchat_jwt_key_t *signer, const nchat_claims_t *in,
    ngx_str_t *token, nchat_claims_t *out)
{
    memset(out, 0, sizeof(nchat_claims_t));

    return nchat_jwt_sign(signer, set.pool, in, token) == NGX_OK
           && set_verify(token, out) == NGX_OK;
}


static int
begins(const ngx_str_t *token, const ngx_str_t *header)
{
    return token->len > header->len
           && memcmp(token->data, header->data, header->len) == 0
           && token->data[header->len] == '.';
}


static void
test_sign(void)
{
    size_t                  i;
    ngx_str_t               token;
    nchat_claims_t          in, out;
    const nchat_jwt_key_t  *signer;

    static const ngx_str_t  odd[] = {
        ngx_string("plain"), ngx_string("\"quoted\" \\ back"),
        ngx_string("\xc3\xa9\xf0\x9f\x98\x80"), ngx_string("line\nbreak\t"),
        ngx_string("</script>"), ngx_string("\x01\x7f")
    };

    signer = nchat_jwt_signer(set.keys);
    ok(signer == set.keys->elts, "the first own key signs");

    in = someone();

    for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        in.display_name = odd[i];

        ok(signs(signer, &in, &token, &out), "signed and verified");
        is_str(&out.display_name, (char *) odd[i].data, "displayName %zu", i);
    }

    ok(begins(&token, &signer->header),
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
    ok(signs(signer, &in, &token, &out), "no UTF-8 is no obstacle");
    is_str(&out.display_name, "x\xef\xbf\xbdy", "it is replaced");
}


static void
test_signers(void)
{
    ngx_str_t               token, again;
    nchat_claims_t          in, out;
    const nchat_jwt_key_t  *signer;

    signer = nchat_jwt_signer(set.keys);

    in = someone();
    in.typ = NCHAT_JWT_REFRESH;
    in.ver = 1;
    in.email.len = in.username.len = in.role.len = 0;
    ok(signs(signer, &in, &token, &out)
       && out.typ == NCHAT_JWT_REFRESH && out.email.data == NULL
       && out.role.data == NULL && out.ver == 1, "a refresh token");

    ok(nchat_jwt_sign(signer, set.pool, &in, &again) == NGX_OK
       && again.len == token.len
       && memcmp(again.data, token.data, token.len) == 0,
       "the same claims give the same token");

    signer++;
    ok(signs(signer, &in, &token, &out) && out.key == signer
       && begins(&token, &signer->header),
       "a key with a kid is found by it");

    signer++;
    ok(nchat_jwt_sign(signer, set.pool, &in, &token) == NGX_ERROR,
       "a public key does not sign");
    in.typ = NCHAT_JWT_FOREIGN;
    ok(nchat_jwt_sign(set.keys->elts, set.pool, &in, &token) == NGX_ERROR,
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
                                  JWT_EXTERNAL(",\"role\":\"boss\",\"aud\":"
                                               "[\"chat\"]"), NULL, set.rsa)
                       : jwt_make(HS256, JWT_ACCESS, &set.secret, NULL);
        wrong = 0;

        for (n = 0; n < 1000; n++) {
            mine = ngx_create_pool(1024, NULL);
            stubs_fail_jansson(i < 2);
            stubs_fail_at(n);

            rc = nchat_jwt_verify(set.keys, &token, mine, JWT_NOW, &claims);

            if (rc == NGX_OK && i == 2) {
                rc = nchat_jwt_sign(nchat_jwt_signer(set.keys) + 1, mine,
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
    set_load();

    test_own();
    test_tampered("an own token", jwt_make(HS256, JWT_ACCESS, &set.secret,
                                           NULL));
    test_tampered("an RS256 token", jwt_make("{\"alg\":\"RS256\"}",
                                             JWT_EXTERNAL(""), NULL,
                                             set.rsa));
    test_tampered("an ES256 token", jwt_make("{\"alg\":\"ES256\"}",
                                             JWT_EXTERNAL(""), NULL,
                                             set.ec));
    test_forms();
    test_sign();
    test_signers();
    test_memory();

    set_free();

    return tap_done();
}
