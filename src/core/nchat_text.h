/*
 * Text of strangers, made fit to show.
 */


#ifndef _NCHAT_TEXT_H_INCLUDED_
#define _NCHAT_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Makes one line of visible text: runs of white space become one space, none
 * at the ends; controls, bidirectional overrides and bytes that are not UTF-8
 * are dropped; what is left is cut after "max" code points.  *dst is valid
 * UTF-8 in "pool".  NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t nchat_text_clean(ngx_pool_t *pool, ngx_str_t *src, size_t max,
    ngx_str_t *dst);


#endif /* _NCHAT_TEXT_H_INCLUDED_ */
