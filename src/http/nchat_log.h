/* What nginx writes of a request into the error log, without secrets. */

#ifndef _NCHAT_LOG_H_INCLUDED_
#define _NCHAT_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * nginx appends the request line and the upstream's URI to every line about a
 * request, and both may hold tokens and keys.  This puts the request id, the
 * method and a masked path in their place.
 */
void nchat_log_mask(ngx_http_request_t *r);


#endif /* _NCHAT_LOG_H_INCLUDED_ */
