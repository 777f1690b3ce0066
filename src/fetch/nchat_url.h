/*
 * http and https URLs: parsing, normalising, resolving.
 */


#ifndef _NCHAT_URL_H_INCLUDED_
#define _NCHAT_URL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "nchat_host.h"


/* bytes of a URL, before and after normalising */
#define NCHAT_URL_MAX  4096


typedef struct {
    ngx_str_t      scheme;         /* "http" or "https" */
    nchat_host_t   host;
    in_port_t      port;           /* host byte order, never 0 by default */
    ngx_str_t      authority;      /* host[:port], fit for a Host header */
    ngx_str_t      path;           /* begins with "/" */
    ngx_str_t      query;          /* with its "?", or empty */
    ngx_str_t      uri;            /* path and query: the request target */
    ngx_str_t      href;           /* the whole URL */

    unsigned       ssl:1;
    unsigned       default_port:1;
} nchat_url_t;


/*
 * Parses "text" as the "basic URL parser" of the WHATWG URL standard does for
 * the schemes http and https; relative to "base" unless that is NULL.  The
 * fragment is dropped.  Stricter than the standard: userinfo, an empty
 * authority, missing slashes after the scheme of an absolute URL, more than
 * NCHAT_URL_MAX bytes, and what nchat_host_parse() refuses.  Bytes above 0x7e
 * of path and query are percent-encoded as they come, valid UTF-8 or not; the
 * result is always plain printable ASCII.
 *
 * NGX_OK: *url is filled, its strings are in "pool" (or shared with "base").
 * NGX_DECLINED: not such a URL, *why is a static sentence.  NGX_ERROR: no
 * memory.  "base" and "url" may not be the same.
 */
ngx_int_t nchat_url_parse(ngx_pool_t *pool, ngx_str_t *text,
    nchat_url_t *base, nchat_url_t *url, const char **why);


#endif /* _NCHAT_URL_H_INCLUDED_ */
