/*
 * What the files of the tokens share: nchat_jwt.c finds the key of a token,
 * nchat_jwt_signature.c verifies signatures, nchat_jwt_claims.c reads claims,
 * nchat_jwt_sign.c writes them, nchat_jwt_key.c loads keys and
 * nchat_jwt_options.c their options.
 */


#ifndef _NCHAT_JWT_INT_H_INCLUDED_
#define _NCHAT_JWT_INT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_jwt.h"


#define NCHAT_JWT_NO_MEMORY  "no memory for a JWT key"


typedef struct {
    ngx_str_t          head;
    ngx_str_t          body;
    ngx_str_t          sig;
    ngx_str_t          text;        /* head.body, what is signed */

    /* from a header that is not one of our own keys' */
    jwt_alg_t          alg;
    ngx_str_t          kid;
    ngx_uint_t         access;      /* unsigned: typ of RFC 9068 */
} nchat_jwt_token_t;


static ngx_inline ngx_uint_t
nchat_jwt_same(const ngx_str_t *a, const ngx_str_t *b)
{
    /* memcmp() must not see the NULL of an empty string */

    return a->len == b->len
           && (a->len == 0 || ngx_memcmp(a->data, b->data, a->len) == 0);
}


/*
 * NGX_OK if the key, by its own algorithm and whatever the token says, signed
 * the token; else NGX_DECLINED.
 */
ngx_int_t nchat_jwt_signature(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token);

/*
 * Decodes and checks the claims of a token whose signature is good.  As
 * nchat_jwt_verify() returns.
 */
ngx_int_t nchat_jwt_claims(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token, ngx_pool_t *pool, time_t now,
    nchat_claims_t *claims);

/*
 * Reads the words after the source, args[0], into "key", and checks that they
 * go together.  NULL or a sentence for the operator.
 */
const char *nchat_jwt_options(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *args, ngx_uint_t nargs);

/* A sentence in pool memory, made as ngx_sprintf() does. */
const char *nchat_jwt_error(ngx_pool_t *pool, const char *fmt, ...);


#endif /* _NCHAT_JWT_INT_H_INCLUDED_ */
