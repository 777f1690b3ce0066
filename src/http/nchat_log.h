/* What nginx writes of a request into its logs, without secrets. */

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

/*
 * Adds the variables for the access log: $nchat_log_path, the path that was
 * asked for, masked as in the error log, and $nchat_request_id.  For the
 * module's preconfiguration.
 */
ngx_int_t nchat_log_variables(ngx_conf_t *cf);


#endif /* _NCHAT_LOG_H_INCLUDED_ */
