/* What lists and exports of the audit log share: filters and order. */

#ifndef _NCHAT_AUDIT_H_INCLUDED_
#define _NCHAT_AUDIT_H_INCLUDED_


#include "nchat_http.h"


/*
 * As the SQL functions take them: q, categories, severities, actor, resource,
 * since, until, success, sort, direction.  Absent ones are SQL NULL.
 */

#define NCHAT_AUDIT_FILTERS  10

typedef struct {
    ngx_str_t   params[NCHAT_AUDIT_FILTERS];
} nchat_audit_filter_t;


/* Contract, "Audit"; each ends with an empty one. */
extern const ngx_str_t  nchat_audit_categories[];
extern const ngx_str_t  nchat_audit_severities[];


/*
 * Reads the filters from the arguments, or from a body (an object), in memory
 * of the request.  NGX_ERROR after having answered.
 */
ngx_int_t nchat_audit_filter_args(nchat_ctx_t *ctx,
    nchat_audit_filter_t *filter);
ngx_int_t nchat_audit_filter_body(nchat_ctx_t *ctx, json_t *body,
    nchat_audit_filter_t *filter);


#endif /* _NCHAT_AUDIT_H_INCLUDED_ */
