/* The signature of a webhook's delivery. */

#ifndef _NCHAT_WEBHOOK_SIGNATURE_H_INCLUDED_
#define _NCHAT_WEBHOOK_SIGNATURE_H_INCLUDED_


#include "nchat_http.h"


/* 1 if the request has a header with a signature. */
ngx_uint_t nchat_webhook_is_signed(nchat_ctx_t *ctx);

/*
 * 1 if every such header is right for the body, which must have been read;
 * secret is the webhook's key.
 */
ngx_uint_t nchat_webhook_verify(nchat_ctx_t *ctx, const ngx_str_t *secret);


#endif /* _NCHAT_WEBHOOK_SIGNATURE_H_INCLUDED_ */
