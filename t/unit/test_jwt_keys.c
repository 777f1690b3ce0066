#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "jwt_tools.h"
#include "nchat_jwt.h"
#include "ngx_stubs.h"
#include "tap.h"


#define EXT  "iss=https://id/ aud=chat"


static ngx_pool_t   *pool;
static ngx_array_t  *keys;


static const char *
load(const char *source, const char *options)
{
    const char  *error;

    error = jwt_load(pool, keys, NULL, source, options);

    return error ? error : "";
}


static void
refused(const char *source, const char *options, const char *why,
    const char *name)
{
    ngx_uint_t   n;
    const char  *error;

    n = keys->nelts;
    error = load(source, options);

    if (!ok(strstr(error, why) != NULL && keys->nelts == n, "refused: %s",
            name))
    {
        printf("# %s\n", error);
    }
}


static nchat_jwt_key_t *
last(void)
{
    return (nchat_jwt_key_t *) keys->elts + keys->nelts - 1;
}


static char *
file(const char *name, const char *text)
{
    return (char *) jwt_file(name, text, strlen(text)).data;
}


static void
test_secrets(void)
{
    char  *path;

    ok(*load("env:NCHAT_TEST_KEY", "") == '\0', "from the environment");
    is_str(&last()->key, JWT_SECRET, "as it is");
    ok(last()->alg == JWT_ALG_HS256 && !last()->external
       && last()->kid.len == 0, "HS256, our own");

    path = file("newline", JWT_SECRET2 "\n");
    ok(*load(path, "kid=2026-11") == '\0', "from a file");
    is_str(&last()->key, JWT_SECRET2, "without its newline");
    is_str(&last()->kid, "2026-11", "with a kid");
    free(path);

    path = file("crlf", "a" JWT_SECRET "\r\n");
    ok(*load(path, "") == '\0', "with a newline of Windows");
    is_str(&last()->key, "a" JWT_SECRET, "also cut off");
    free(path);

    path = file("two", "b" JWT_SECRET "\n\n");
    ok(*load(path, "") == '\0', "two newlines");
    is_str(&last()->key, "b" JWT_SECRET "\n", "of which one is");
    free(path);

    path = file("binary", "");
    free(path);
    path = (char *) jwt_file("binary", "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7"
                             "\0\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 32).data;
    ok(*load(path, "alg=HS256") == '\0' && last()->key.len == 32,
       "32 bytes with NULs");
    free(path);
}


static void
test_no_secrets(void)
{
    char   big[70000], *path;

    path = file("short", "0123456789abcdef0123456789abcde");
    refused(path, "", "31 bytes, but at least 32 are needed; make one with "
            "\"openssl rand -hex 32\"", "31 bytes");
    free(path);

    path = file("empty", "");
    refused(path, "", "0 bytes", "an empty file");
    free(path);

    path = file("nl", "\n");
    refused(path, "", "0 bytes", "a newline only");
    free(path);

    memset(big, 'x', sizeof(big));
    path = (char *) jwt_file("big", big, sizeof(big)).data;
    refused(path, "", "larger than 64 KiB", "a large file");
    free(path);

    refused("env:NCHAT_NO_SUCH", "", "\"NCHAT_NO_SUCH\", which should hold a "
            "JWT key, is not set", "a variable that is not set");
    refused("env:NCHAT_EMPTY", "", "0 bytes", "an empty one");
    refused("env:", "", "file:<path> or env:<NAME>", "no name");
    refused("file:", "", "file:<path> or env:<NAME>", "no path");
    refused("file:/no/such/file", "", "No such file", "no such file");
    refused("file:/", "", "directory", "a folder");
    refused("http://x/key", "", "file:<path> or env:<NAME>", "a URL");
    refused("", "", "file:<path> or env:<NAME>", "nothing");

    ok(strstr(load(JWT_SECRET, ""), JWT_SECRET) == NULL,
       "a secret in the configuration is not repeated in the log");
}


static void
test_options(void)
{
    char  long_kid[200];

    refused("env:NCHAT_TEST_KEY", "kdi=x", "unknown option \"kdi=x\"",
            "a mistyped option");
    refused("env:NCHAT_TEST_KEY", "alg=HS512", "unknown algorithm \"HS512\"",
            "HS512");
    refused("env:NCHAT_TEST_KEY", "alg=none", "unknown algorithm \"none\"",
            "none");
    refused("env:NCHAT_TEST_KEY", "alg=", "unknown algorithm", "no alg");
    refused("env:NCHAT_TEST_KEY", "alg=hs256", "unknown algorithm",
            "lower case");
    refused("env:NCHAT_TEST_KEY", "kid=", "kid= needs", "an empty kid");
    refused("env:NCHAT_TEST_KEY", "kid=\xff", "kid= needs", "no UTF-8");
    refused("env:NCHAT_TEST_KEY", "kid=2026-11", "two JWT keys have "
            "kid=2026-11", "a kid twice");

    memset(long_kid, 'k', sizeof(long_kid));
    memcpy(long_kid, "kid=", 4);
    long_kid[4 + 129] = '\0';
    refused("env:NCHAT_TEST_KEY", long_kid, "1 to 128", "a long kid");

    refused("env:NCHAT_TEST_KEY", "iss=https://x/", "needs both",
            "iss without aud");
    refused("env:NCHAT_TEST_KEY", "aud=x", "needs both", "aud without iss");
    refused("env:NCHAT_TEST_KEY", "iss= aud=x", "needs both", "empty iss");
    refused("env:NCHAT_TEST_KEY", "roles=a:admin", "identity service",
            "roles of an own key");
    refused("env:NCHAT_TEST_KEY", EXT, "must not be shared",
            "our own secret shared with a service");

    ok(*load("env:NCHAT_THEIRS", EXT " kid=2026-11 roles=a:b:admin,x:guest")
       == '\0', "a secret of a service, whose kids are its own");
    ok(last()->external && last()->roles->nelts == 2, "is external");
    is_str(&((ngx_keyval_t *) last()->roles->elts)[0].key, "a:b",
           "a role of theirs may have a colon");
    is_str(&((ngx_keyval_t *) last()->roles->elts)[0].value, "admin",
           "ours has none");
    is_str(&((ngx_keyval_t *) last()->roles->elts)[1].key, "x", "a second");

    refused("env:NCHAT_THEIRS", EXT " roles=", "is a list", "empty roles");
    refused("env:NCHAT_THEIRS", EXT " roles=a", "is a list", "no colon");
    refused("env:NCHAT_THEIRS", EXT " roles=:admin", "is a list", "no claim");
    refused("env:NCHAT_THEIRS", EXT " roles=a:", "only to admin",
            "no role");
    refused("env:NCHAT_THEIRS", EXT " roles=a:admin,", "is a list",
            "a comma too many");
    refused("env:NCHAT_THEIRS", EXT " roles=a:owner", "maps to \"owner\"",
            "the owner, of whom there is one");
    refused("env:NCHAT_THEIRS", EXT " roles=a:root", "maps to \"root\"",
            "a role that does not exist");
}


/* The key as a PEM file; frees the key. */

static char *
pem_file(const char *name, EVP_PKEY *pkey)
{
    char  *text, *path;

    text = jwt_pem(pkey, 0);
    path = file(name, text);

    free(text);
    EVP_PKEY_free(pkey);

    return path;
}


static void
test_rsa(void)
{
    char  *path;

    path = pem_file("rsa", EVP_RSA_gen(2048));
    ok(*load(path, "alg=RS256 kid=r " EXT) == '\0', "an RSA public key");
    ok(last()->alg == JWT_ALG_RS256 && last()->pkey && last()->external
       && last()->roles == NULL, "is loaded");
    is_str(&last()->iss, "https://id/", "with its issuer");
    is_str(&last()->aud, "chat", "and audience");

    refused(path, "alg=RS256", "needs iss= and aud=", "without them");
    refused(path, "alg=RS256 iss=x", "needs iss= and aud=", "without aud");
    refused(path, "alg=RS256 iss=x aud=", "needs iss= and aud=", "empty aud");
    refused(path, "alg=ES256 " EXT, "no key on the curve P-256",
            "an RSA key for ES256");
    refused(path, "", "is a PEM file; say alg=RS256",
            "a public key taken for a secret");
    free(path);

    path = pem_file("small", EVP_RSA_gen(1024));
    refused(path, "alg=RS256 " EXT, "has 1024 bits, but at least 2048",
            "a small RSA key");
    free(path);
}


static void
test_curves(void)
{
    char  *path;

    path = pem_file("ec", EVP_EC_gen("P-256"));
    ok(*load(path, "alg=ES256 " EXT) == '\0', "an EC public key");
    refused(path, "alg=RS256 " EXT, "no RSA key", "an EC key for RS256");
    free(path);

    path = pem_file("p384", EVP_EC_gen("P-384"));
    refused(path, "alg=ES256 " EXT, "no key on the curve P-256", "P-384");
    free(path);

    path = pem_file("ed", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    refused(path, "alg=ES256 " EXT, "no key on the curve P-256", "Ed25519");
    refused(path, "alg=RS256 " EXT, "no RSA key", "Ed25519 for RS256");
    free(path);
}


static void
test_no_public(void)
{
    char      *path, *text;
    EVP_PKEY  *rsa;

    rsa = EVP_RSA_gen(2048);
    text = jwt_pem(rsa, 1);

    path = file("private", text);
    refused(path, "alg=RS256 " EXT, "-pubout", "a private key");
    free(path);

    text[100] = '!';
    path = file("broken", text);
    refused(path, "alg=RS256 " EXT, "no public key in PEM form", "broken");
    free(path);

    path = file("text", "hello");
    refused(path, "alg=RS256 " EXT, "no public key in PEM form", "no PEM");
    free(path);

    free(text);
    EVP_PKEY_free(rsa);
}


static void
test_prefix(void)
{
    char        *path, *name;
    ngx_str_t    prefix;
    const char  *error;

    path = file("relative", "c" JWT_SECRET);
    name = strrchr(path, '/') + 1;

    prefix.data = (u_char *) path + 5;
    prefix.len = name - path - 5;

    ok(jwt_load(pool, keys, &prefix, "file:relative", "") == NULL,
       "a relative path is taken from the prefix");
    ok(jwt_load(pool, keys, &prefix, path, "") == NULL,
       "an absolute one is not");

    prefix = str("/no/such/");
    error = jwt_load(pool, keys, &prefix, "file:relative", "");
    ok(error && strstr(error, "\"/no/such/relative\""), "it is named in full");

    free(path);
}


static void
test_memory(void)
{
    ngx_int_t     n;
    ngx_pool_t   *mine;
    ngx_array_t  *array;
    ngx_uint_t    wrong;
    const char   *error;

    wrong = 0;
    error = "";

    for (n = 0; n < 1000; n++) {
        mine = ngx_create_pool(1024, NULL);
        array = ngx_array_create(mine, 1, sizeof(nchat_jwt_key_t));

        stubs_fail_at(n);
        error = jwt_load(mine, array, NULL, "env:NCHAT_THEIRS",
                        "kid=x " EXT " roles=a:admin");
        wrong += stubs_failed() && (error == NULL || array->nelts != 0);

        ngx_destroy_pool(mine);

        if (!stubs_failed()) {
            break;
        }
    }

    stubs_fail_at(-1);

    ok(n > 5 && n < 1000 && error == NULL && wrong == 0,
       "each of %d allocations may fail", (int) n);
}


int
main(void)
{
    stubs_fail_jansson(1);
    setenv("NCHAT_TEST_KEY", JWT_SECRET, 1);
    setenv("NCHAT_THEIRS", "their-" JWT_SECRET, 1);
    setenv("NCHAT_EMPTY", "", 1);

    pool = ngx_create_pool(1024, NULL);
    keys = ngx_array_create(pool, 1, sizeof(nchat_jwt_key_t));

    test_secrets();
    test_no_secrets();
    test_options();
    test_rsa();
    test_curves();
    test_no_public();
    test_prefix();
    test_memory();

    ngx_destroy_pool(pool);
    jwt_clean();

    return tap_done();
}
