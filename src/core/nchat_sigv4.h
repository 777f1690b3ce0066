/*
 * AWS Signature Version 4, as far as S3 needs it: requests that carry their
 * signature in the query string.
 *
 * Source: "Authenticating Requests: Using Query Parameters (AWS Signature
 * Version 4)", Amazon S3 API Reference.
 */


#ifndef _NCHAT_SIGV4_H_INCLUDED_
#define _NCHAT_SIGV4_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* longest life of a presigned URL, in seconds */
#define NCHAT_SIGV4_LIFE_MAX  604800


typedef struct {
    ngx_str_t         access_key;
    ngx_str_t         secret_key;
    ngx_str_t         token;        /* of temporary credentials, or empty */
    ngx_str_t         region;
    ngx_str_t         service;
} nchat_sigv4_key_t;


/* A header, or an argument of the query; neither is encoded. */

typedef struct {
    ngx_str_t         name;         /* headers: in lower case */
    ngx_str_t         value;
} nchat_sigv4_pair_t;


/*
 * What is signed.  Arrays need no order.  The payload is the hash of the body
 * in hex, or "UNSIGNED-PAYLOAD".
 */

typedef struct {
    ngx_str_t            method;
    ngx_str_t            path;      /* not encoded; begins with a slash */
    nchat_sigv4_pair_t  *args;
    ngx_uint_t           nargs;
    nchat_sigv4_pair_t  *headers;   /* with host */
    ngx_uint_t           nheaders;
    ngx_str_t            payload;
    time_t               time;      /* Unix seconds */
} nchat_sigv4_request_t;


/*
 * The signature of a request as 64 hexadecimal digits.  *query becomes the
 * canonical query string, and *names the names of the signed headers,
 * "content-type;host", both in pool memory.  NGX_OK or NGX_ERROR.
 */
ngx_int_t nchat_sigv4_sign(ngx_pool_t *pool, const nchat_sigv4_key_t *key,
    const nchat_sigv4_request_t *request, u_char signature[64],
    ngx_str_t *query, ngx_str_t *names);

/*
 * Presigns: *uri becomes the encoded path with a query string that is good
 * for "life" seconds, in pool memory.  request->payload is not looked at.
 * Whoever uses the URL must send all of request->headers.
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t nchat_sigv4_presign(ngx_pool_t *pool, const nchat_sigv4_key_t *key,
    const nchat_sigv4_request_t *request, ngx_uint_t life, ngx_str_t *uri);

/*
 * Encodes as SigV4 wants it (RFC 3986: all but unreserved characters, in
 * upper-case hexadecimal); a slash stays if "slash" is set.  dst has room for
 * 3 * src->len; returns the end.
 */
u_char *nchat_sigv4_encode(u_char *dst, const ngx_str_t *src,
    ngx_uint_t slash);


#endif /* _NCHAT_SIGV4_H_INCLUDED_ */
