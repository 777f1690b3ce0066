/*
 * Tokens that this worker has verified before.  A client sends the same one
 * with every request; looking it up costs a tenth of verifying it again.
 */

#ifndef _NCHAT_JWT_CACHE_H_INCLUDED_
#define _NCHAT_JWT_CACHE_H_INCLUDED_


#include "nchat_jwt.h"


/*
 * As nchat_jwt_verify(), with the same answers.  Only the server's own access
 * tokens are remembered, and their times are checked every time.  The keys
 * must be the same in every call of one process.
 */
ngx_int_t nchat_jwt_verify_cached(const ngx_array_t *keys,
    const ngx_str_t *token, ngx_pool_t *pool, time_t now,
    nchat_claims_t *claims);


#endif /* _NCHAT_JWT_CACHE_H_INCLUDED_ */
