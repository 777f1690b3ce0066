#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "jwt_tools.h"
#include "nchat_jwt.h"


static char  jwt_folder[] = "/tmp/nchat-jwt.XXXXXX";
static char  jwt_have_folder;


static size_t
sign(u_char *sig, const u_char *text, size_t len, EVP_PKEY *pkey)
{
    size_t         n;
    u_char         der[1024];
    ECDSA_SIG     *pair;
    EVP_MD_CTX    *ctx;
    const u_char  *p;

    n = sizeof(der);
    ctx = EVP_MD_CTX_new();

    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) != 1
        || EVP_DigestSign(ctx, der, &n, text, len) != 1)
    {
        abort();
    }

    EVP_MD_CTX_free(ctx);

    if (EVP_PKEY_is_a(pkey, "EC")) {
        p = der;
        pair = d2i_ECDSA_SIG(NULL, &p, n);
        BN_bn2binpad(ECDSA_SIG_get0_r(pair), sig, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(pair), sig + 32, 32);
        ECDSA_SIG_free(pair);
        return 64;
    }

    memcpy(sig, der, n);

    return n;
}


ngx_str_t
jwt_make(const char *header, const char *payload, const ngx_str_t *secret,
    EVP_PKEY *pkey)
{
    u_char       sig[1024];
    unsigned     len;
    ngx_str_t    part, src, token;

    src.data = (u_char *) header;
    src.len = strlen(header);
    token.data = malloc((src.len + strlen(payload) + sizeof(sig)) * 2);

    part.data = token.data;
    ngx_encode_base64url(&part, &src);
    part.data += part.len;
    *part.data++ = '.';

    src.data = (u_char *) payload;
    src.len = strlen(payload);
    ngx_encode_base64url(&part, &src);
    part.data += part.len;

    src.data = sig;
    src.len = 0;

    if (pkey) {
        src.len = sign(sig, token.data, part.data - token.data, pkey);

    } else if (secret) {
        HMAC(EVP_sha256(), secret->data, (int) secret->len, token.data,
             part.data - token.data, sig, &len);
        src.len = len;
    }

    *part.data++ = '.';
    ngx_encode_base64url(&part, &src);

    token.len = part.data + part.len - token.data;

    /* exactly as long as it is, so that reading beyond it is noticed */

    token.data = realloc(token.data, token.len);

    return token;
}


char *
jwt_pem(EVP_PKEY *pkey, ngx_uint_t private)
{
    BIO   *bio;
    char  *data, *text;
    long   n;

    bio = BIO_new(BIO_s_mem());

    if (private) {
        PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    } else {
        PEM_write_bio_PUBKEY(bio, pkey);
    }

    n = BIO_get_mem_data(bio, &data);
    text = strndup(data, n);
    BIO_free(bio);

    return text;
}


ngx_str_t
jwt_file(const char *name, const void *data, size_t len)
{
    FILE       *f;
    char       *path;
    ngx_str_t   source;

    if (!jwt_have_folder) {
        if (mkdtemp(jwt_folder) == NULL) {
            abort();
        }
        jwt_have_folder = 1;
    }

    path = malloc(strlen(jwt_folder) + strlen(name) + 16);
    sprintf(path, "file:%s/%s", jwt_folder, name);

    f = fopen(path + 5, "w");
    if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0) {
        abort();
    }

    source.data = (u_char *) path;
    source.len = strlen(path);

    return source;
}


const char *
jwt_load(ngx_pool_t *pool, ngx_array_t *keys, const ngx_str_t *prefix,
    const char *source, const char *options)
{
    ngx_str_t    args[8];
    ngx_uint_t   n;

    args[0].data = (u_char *) source;
    args[0].len = strlen(source);
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

    return nchat_jwt_key_load(pool, keys, args, n, prefix);
}


void
jwt_clean(void)
{
    char  command[64];

    if (jwt_have_folder) {
        snprintf(command, sizeof(command), "rm -r %s", jwt_folder);
        if (system(command) != 0) {
            abort();
        }
    }
}
