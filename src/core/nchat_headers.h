/* Lists of headers, of requests and of upstreams. */

#ifndef _NCHAT_HEADERS_H_INCLUDED_
#define _NCHAT_HEADERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The value of the first header of that name (in any case) in a list of
 * ngx_table_elt_t, or NULL; it lives as long as the list.
 */
ngx_str_t *nchat_headers_find(ngx_list_t *headers, const char *name);


#endif /* _NCHAT_HEADERS_H_INCLUDED_ */
