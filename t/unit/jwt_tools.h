/*
 * Makes tokens and keys for tests, right and wrong ones, with OpenSSL alone:
 * what is tested is not what makes the test's input.
 */


#ifndef _JWT_TOOLS_H_INCLUDED_
#define _JWT_TOOLS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>


#define JWT_SECRET   "0123456789abcdef0123456789abcdef"
#define JWT_SECRET2  "another-secret-of-thirty-two-byt"

#define JWT_NOW      1790000000

#define JWT_HS256    "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

/* an access token's claims, without its end */
#define JWT_CLAIMS                                                            \
    "{\"sub\":\"7f2c1f9e-1111-4222-8333-444455556666\","                      \
    "\"sid\":\"7f2c1f9e-1111-4222-8333-444455556667\",\"jti\":\"j1\","        \
    "\"ver\":3,\"typ\":\"access\",\"iat\":1790000000"

#define JWT_ACCESS   JWT_CLAIMS ",\"exp\":1790000100}"


/*
 * header.payload.signature; the algorithm of the signature is that of the
 * key, HS256 with "secret" if there is none, and no signature if there is
 * neither.  The result is malloc'ed.
 */
ngx_str_t jwt_make(const char *header, const char *payload,
    const ngx_str_t *secret, EVP_PKEY *pkey);

/* PEM text, malloc'ed. */
char *jwt_pem(EVP_PKEY *pkey, ngx_uint_t private);

/* Writes a file into the folder of this run; its "file:…" name, malloc'ed. */
ngx_str_t jwt_file(const char *name, const void *data, size_t len);

/*
 * Loads a key as a directive would, its options separated by blanks.  Returns
 * what is wrong, or NULL.
 */
const char *jwt_load(ngx_pool_t *pool, ngx_array_t *keys,
    const ngx_str_t *prefix, const char *source, const char *options);

/* Removes the folder. */
void jwt_clean(void);


#endif /* _JWT_TOOLS_H_INCLUDED_ */
