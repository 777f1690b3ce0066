/* What the account endpoints share: passwords, failures, token pairs. */

#ifndef _NCHAT_ACCOUNT_H_INCLUDED_
#define _NCHAT_ACCOUNT_H_INCLUDED_


#include "nchat_http.h"
#include "nchat_password.h"
#include "nchat_uuid.h"


/* A password travels in buffers of this size, with its NUL. */
#define NCHAT_PASSWORD_SIZE  (NCHAT_PASSWORD_MAX + 1)


/* The task's memory: checked, and hashed anew where asked for, on a thread. */

typedef struct {
    char        hash[NCHAT_PASSWORD_HASH_SIZE + 67];
    u_char      given[NCHAT_PASSWORD_SIZE];
    u_char      wanted[NCHAT_PASSWORD_SIZE];    /* "" for none */
    u_char      fresh[NCHAT_PASSWORD_HASH_SIZE];
    ngx_uint_t  cost;                           /* of a fresh hash */
    ngx_uint_t  renew;                          /* a hash of lower cost */
    ngx_int_t   verified;                       /* NGX_OK: it is the one */
    ngx_int_t   hashed;                         /* NGX_OK: fresh is set */
} nchat_password_task_t;


/* Ids of a session that is about to be opened, in memory of the request. */

typedef struct {
    ngx_str_t   sid;
    ngx_str_t   jti;
} nchat_session_ids_t;


/* Makes new ids; NGX_ERROR after having answered. */
ngx_int_t nchat_session_ids(nchat_ctx_t *ctx, nchat_session_ids_t *ids);

/*
 * Checks a password against a hash on the thread pool.  Without a hash (an
 * unknown email, an account of an identity service) a decoy of the same cost
 * is checked, so that the time says nothing.  wanted, if it is not empty, is
 * hashed in the same go.  Answers by itself when the queue is full.
 */
void nchat_password_post(nchat_ctx_t *ctx, const ngx_str_t *hash,
    const ngx_str_t *given, const ngx_str_t *wanted, ngx_uint_t renew,
    nchat_task_done_pt done);

/* Hashes the password of a new account, likewise. */
void nchat_password_post_new(nchat_ctx_t *ctx, const ngx_str_t *wanted,
    nchat_task_done_pt done);

/*
 * Adds a failure if the password breaks the live policy
 * (enterprise.compliance.passwordPolicy).  NGX_OK, NGX_DECLINED, NGX_ERROR.
 */
ngx_int_t nchat_password_policy(nchat_ctx_t *ctx, nchat_live_t *live,
    const char *field, const ngx_str_t *password, nchat_failures_t *failures);

/*
 * Failed sign-ins (contract, "Rate limits"): by (email, address) and by email.
 * limited: 1 after having answered 429.  failed: counts one; 1 if that was one
 * too many, answered 429.
 */
ngx_uint_t nchat_signin_limited(nchat_ctx_t *ctx, const ngx_str_t *email);
ngx_uint_t nchat_signin_count(nchat_ctx_t *ctx, const ngx_str_t *email);
void nchat_signin_reset(nchat_ctx_t *ctx, const ngx_str_t *email);

/*
 * Records a failure in the audit log.  user is its id, empty for an unknown
 * email.
 */
void nchat_signin_record(nchat_ctx_t *ctx, const ngx_str_t *email,
    const ngx_str_t *user, nchat_result_pt done);

/* The one refusal of a wrong password and of an unknown email. */
void nchat_signin_refuse(nchat_ctx_t *ctx);

/*
 * Answers with the row of type nchat_account: body's members and a token
 * pair; a status of 400 and more as it is.
 */
void nchat_account_reply(nchat_ctx_t *ctx, PGresult *result);

/* Sets the session cookie for age seconds; NGX_ERROR if memory is short. */
ngx_int_t nchat_account_set_cookie(nchat_ctx_t *ctx, const ngx_str_t *token,
    time_t age);


#endif /* _NCHAT_ACCOUNT_H_INCLUDED_ */
