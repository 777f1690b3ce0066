/*
 * The keys that tokens are tested with: two of our own, an RSA and an EC key
 * of an identity service, and one more of each that nobody knows.
 */


#ifndef _JWT_SET_H_INCLUDED_
#define _JWT_SET_H_INCLUDED_


#include "jwt_tools.h"
#include "nchat_jwt.h"


#define JWT_ISS    "https://id.example.com/"

/* the service's claims, and more of them */
#define JWT_EXTERNAL(claims)                                                  \
    "{\"iss\":\"" JWT_ISS "\",\"aud\":\"chat\",\"sub\":\"auth0|1\","          \
    "\"exp\":1790000100" claims "}"


typedef struct {
    ngx_pool_t   *pool;
    ngx_array_t  *keys;             /* without the unknown ones */
    EVP_PKEY     *rsa;
    EVP_PKEY     *rsa_other;
    EVP_PKEY     *ec;
    EVP_PKEY     *ec_other;
    char         *rsa_public;       /* PEM */
    ngx_str_t     secret;
    ngx_str_t     secret2;          /* with the kid "two" */
} jwt_set_t;


extern jwt_set_t  set;


/* Makes the keys and loads them: one assertion for each. */
void set_load(void);
void set_free(void);

/* A key of jwt_file() into an array: one assertion; frees the name. */
void set_add(ngx_array_t *keys, ngx_str_t source, const char *options);

/* nchat_jwt_verify() by all keys, at JWT_NOW. */
ngx_int_t set_verify(const ngx_str_t *token, nchat_claims_t *claims);

/*
 * What is made of a token of these parts, see jwt_make(): "good", or why it is
 * refused.
 */
const char *set_outcome(const char *header, const char *payload,
    const ngx_str_t *secret, EVP_PKEY *pkey);


#endif /* _JWT_SET_H_INCLUDED_ */
