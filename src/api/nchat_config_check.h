/* The rules for the configuration's members (contract, "Configuration"). */

#ifndef _NCHAT_CONFIG_CHECK_H_INCLUDED_
#define _NCHAT_CONFIG_CHECK_H_INCLUDED_


#include "nchat_check.h"


/*
 * Checks an update.  That a member keeps the type of its default, and the
 * size of the whole, SQL checks when it merges.  NGX_OK; NGX_DECLINED with
 * the failures; NGX_ERROR if memory is short.
 */
ngx_int_t nchat_config_check(ngx_pool_t *pool, json_t *patch,
    nchat_failures_t *failures);


#endif /* _NCHAT_CONFIG_CHECK_H_INCLUDED_ */
