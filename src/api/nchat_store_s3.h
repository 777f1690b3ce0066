/* What the files of the S3 store share. */

#ifndef _NCHAT_STORE_S3_H_INCLUDED_
#define _NCHAT_STORE_S3_H_INCLUDED_


#include "nchat_store.h"
#include "nchat_sigv4.h"


/* of conf/nchat.conf: passes the request to the URL in its arguments */
#define NCHAT_S3_LOCATION  "/__nchat_store"


typedef struct {
    ngx_str_t            scheme;        /* "https://" */
    ngx_str_t            endpoint;      /* host and, maybe, port */
    ngx_str_t            host;          /* with the bucket, if it goes there */
    ngx_str_t            prefix;        /* "/bucket", if it goes there */
    ngx_uint_t           virtual_host;
    ngx_uint_t           once;          /* PUTs never overwrite */
    nchat_sigv4_key_t    key;
} nchat_s3_t;


/* What came back; status 0: nothing did. */

typedef struct {
    ngx_uint_t           status;
    off_t                size;          /* -1: not said */
    ngx_str_t            etag;
} nchat_s3_answer_t;

typedef void (*nchat_s3_done_pt)(nchat_ctx_t *ctx, void *data,
    nchat_s3_answer_t *answer);


/* nchat_s3_conf.c: see nchat_store_s. */
const char *nchat_s3_configure(ngx_conf_t *cf, nchat_files_conf_t *conf,
    ngx_str_t *words, ngx_uint_t n);


/* nchat_s3_request.c */

/*
 * A whole presigned URL for a key (without its slash; empty: the bucket).
 * headers are further ones that are signed, with the host's first and left
 * empty for this to fill in.
 */
ngx_int_t nchat_s3_presign(ngx_pool_t *pool, nchat_s3_t *s3,
    const char *method, const ngx_str_t *key, nchat_sigv4_request_t *request,
    ngx_uint_t life, ngx_str_t *url);

/*
 * Sends a HEAD or DELETE to the store, through nginx's proxy.  With wait, the
 * request waits for it and goes on in done(); without, done() is called with
 * whatever comes, while the request goes its own way, and must not use it.
 * NGX_ERROR if it could not be sent; then done() is not called.
 */
ngx_int_t nchat_s3_send(nchat_ctx_t *ctx, ngx_uint_t method,
    const ngx_str_t *key, ngx_uint_t wait, nchat_s3_done_pt done, void *data);


#endif /* _NCHAT_STORE_S3_H_INCLUDED_ */
