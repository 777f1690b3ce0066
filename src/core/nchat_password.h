/*
 * Passwords: bcrypt through libxcrypt, and the policy for new ones.
 *
 * Nothing here uses nginx's pools or log, so that hashing can run on pool
 * threads.  Nothing here keeps a password: buffers are wiped before return.
 */


#ifndef _NCHAT_PASSWORD_H_INCLUDED_
#define _NCHAT_PASSWORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a bcrypt hash with its NUL */
#define NCHAT_PASSWORD_HASH_SIZE  61

/* bcrypt looks at no more than this many bytes */
#define NCHAT_PASSWORD_MAX        72

/*
 * A stored hash of a higher cost would hold a thread for many seconds (each
 * step doubles the time; 16 takes about 4 s).
 */
#define NCHAT_PASSWORD_MIN_COST   4
#define NCHAT_PASSWORD_MAX_COST   16


typedef struct {
    ngx_uint_t    min_length;       /* bytes; 0 means 1 */
    ngx_flag_t    upper;            /* A to Z needed */
    ngx_flag_t    lower;            /* a to z needed */
    ngx_flag_t    digit;            /* 0 to 9 needed */
    ngx_flag_t    symbol;           /* anything but ASCII letters, digits */
} nchat_password_policy_t;


/*
 * Hashes the NUL-terminated password as $2b$ with a new salt from the
 * kernel's generator.  "out" takes 60 characters and a NUL.
 * NGX_OK; NGX_DECLINED if the password is longer than 72 bytes (bcrypt would
 * ignore the rest) or the cost is out of range; NGX_ERROR from the library.
 * Takes some 60 ms at cost 10: call it on a pool thread.
 */
ngx_int_t nchat_password_hash(u_char out[NCHAT_PASSWORD_HASH_SIZE],
    const u_char *password, ngx_uint_t cost);

/*
 * Compares a NUL-terminated password with a $2a$, $2b$ or $2y$ hash, in a
 * time that depends on the hash's cost only.
 * NGX_OK; NGX_DECLINED if it is another password; NGX_ERROR if the hash is
 * none of those or costs more than NCHAT_PASSWORD_MAX_COST.
 */
ngx_int_t nchat_password_verify(const char *hash, const char *password);

/* The cost of a bcrypt hash, or 0 if it is none. */
ngx_uint_t nchat_password_cost(const char *hash);

/*
 * A well-formed hash of that cost that no password is known for: verifying
 * against it takes the time that a real account would (unknown email).
 * NGX_DECLINED if the cost is out of range.
 */
ngx_int_t nchat_password_dummy(u_char out[NCHAT_PASSWORD_HASH_SIZE],
    ngx_uint_t cost);

/*
 * Checks a new password.  NULL if it is good, else what it lacks, in words
 * that follow the member's name, such as "must contain a digit"; *constraint
 * is set to "length" or "format".  The text is written to "buf" where it holds
 * a number, so it lives as long as "buf".
 */
const char *nchat_password_check(const nchat_password_policy_t *policy,
    const ngx_str_t *password, char buf[80], const char **constraint);


#endif /* _NCHAT_PASSWORD_H_INCLUDED_ */
