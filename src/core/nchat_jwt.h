/*
 * JSON Web Tokens (RFC 7519): the server's own access and refresh tokens, and
 * those of identity services whose public keys are configured.
 *
 * Each key is pinned to one algorithm.  A key without an issuer is the
 * server's own (HS256 only); a key with one is external.
 */


#ifndef _NCHAT_JWT_H_INCLUDED_
#define _NCHAT_JWT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/evp.h>
#include <jwt.h>


/* libjwt 3 has other calls for keys and claims; there this is no macro */
#ifndef JWT_ALG_INVAL
#error "nchat needs libjwt 1.10 to 2.x (Debian: libjwt-dev)"
#endif


/* longest token that is looked at, in bytes */
#define NCHAT_JWT_MAX    8192

/* clock skew allowed, in seconds (contract, Authentication) */
#define NCHAT_JWT_SKEW   30

/* shortest HS256 secret, in bytes (RFC 7518, section 3.2) */
#define NCHAT_JWT_MIN    32


typedef enum {
    NCHAT_JWT_ACCESS = 0,
    NCHAT_JWT_REFRESH,
    NCHAT_JWT_FOREIGN           /* of an identity service */
} nchat_jwt_typ_t;


typedef struct {
    ngx_str_t          kid;     /* empty if none was configured */
    jwt_alg_t          alg;     /* HS256, RS256 or ES256 */
    ngx_str_t          key;     /* secret or PEM text; wiped with its pool */
    EVP_PKEY          *pkey;    /* RS256, ES256 */
    ngx_str_t          header;  /* own keys: first part of what they sign */
    ngx_str_t          iss;     /* external keys: both are set */
    ngx_str_t          aud;
    ngx_array_t       *roles;   /* of ngx_keyval_t: their role to ours */
    ngx_uint_t         external;
} nchat_jwt_key_t;


/*
 * Strings are empty (len 0) where a claim is absent.  Own tokens always have
 * sub and sid as UUIDs, jti, ver, iat and exp.  External ones always have sub
 * and iss, and role only where the key maps it.
 */
typedef struct {
    ngx_str_t               sub;
    ngx_str_t               iss;            /* external tokens only */
    ngx_str_t               email;
    ngx_str_t               username;
    ngx_str_t               display_name;
    ngx_str_t               role;
    ngx_str_t               sid;
    ngx_str_t               jti;
    int64_t                 ver;
    int64_t                 iat;            /* Unix seconds; 0 if absent */
    int64_t                 exp;            /* Unix seconds */
    nchat_jwt_typ_t         typ;
    ngx_uint_t              external;
    const nchat_jwt_key_t  *key;            /* that signed the token */
    const char             *reason;         /* on NGX_DECLINED; static */
} nchat_claims_t;


/*
 * Reads one nchat_jwt_key directive and appends it to "keys", an array of
 * nchat_jwt_key_t.  "args" are its words after the directive's name: the
 * source, file:<path> or env:<NAME>, then kid=, alg=, iss=, aud= and roles=
 * in any order.  A relative path is taken from "prefix" (conf_prefix; it ends
 * with a slash), which may be NULL.
 *
 * Reads files and the environment, so it belongs to configuration time.  One
 * newline at the end of a secret is cut off.  The key lives in "pool" and is
 * wiped with it.  NULL, or a sentence that tells the operator what to do, in
 * pool or static memory and without any part of a secret.
 */
const char *nchat_jwt_key_load(ngx_pool_t *pool, ngx_array_t *keys,
    const ngx_str_t *args, ngx_uint_t nargs, const ngx_str_t *prefix);

/* The key that signs: the first one of our own; NULL if there is none. */
const nchat_jwt_key_t *nchat_jwt_signer(const ngx_array_t *keys);

/*
 * Verifies signature, algorithm, times and the claims that each kind of key
 * needs.  Which of access and refresh a token is, the caller must check in
 * claims->typ.  "now" in Unix seconds.  The claims are copied to the pool.
 *
 * NGX_OK; NGX_DECLINED with claims->reason for the log (never for the
 * client); NGX_ERROR out of memory.
 */
ngx_int_t nchat_jwt_verify(const ngx_array_t *keys, const ngx_str_t *token,
    ngx_pool_t *pool, time_t now, nchat_claims_t *claims);

/*
 * Signs an access or refresh token with an own key.  Empty strings are left
 * out; iat, exp, typ and ver are always written.  The token is allocated from
 * the pool.  NGX_OK or NGX_ERROR.
 */
ngx_int_t nchat_jwt_sign(const nchat_jwt_key_t *key, ngx_pool_t *pool,
    const nchat_claims_t *claims, ngx_str_t *token);


#endif /* _NCHAT_JWT_H_INCLUDED_ */
