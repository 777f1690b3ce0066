/*
 * Hosts of http and https URLs: names, with IDNA, and literal addresses in
 * every notation that the URL standard knows.
 */


#ifndef _NCHAT_HOST_H_INCLUDED_
#define _NCHAT_HOST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NCHAT_HOST_NAME      0
#define NCHAT_HOST_IPV4      1
#define NCHAT_HOST_IPV6      2

/* RFC 1035: 255 octets on the wire are 253 characters without the last dot */
#define NCHAT_HOST_NAME_MAX  253


typedef struct {
    ngx_uint_t   kind;         /* NCHAT_HOST_* */
    ngx_str_t    text;         /* canonical; an IPv6 address in brackets */
    ngx_str_t    name;         /* text without brackets and last dot */
    u_char       addr[16];     /* network order; 4 bytes used for IPv4 */
} nchat_host_t;


/*
 * Parses the bytes between "//" and the port by the "host parser" of the WHATWG
 * URL standard, for special schemes, and is stricter where DNS or nginx could
 * do nothing with the result: empty labels, labels over 63 and names over 253
 * characters, and any character but letters, digits, "-", "_" and "." are
 * refused.
 *
 * NGX_OK: *host is filled, its strings are in "pool".  NGX_DECLINED: no valid
 * host, *why is a static sentence.  NGX_ERROR: no memory.
 */
ngx_int_t nchat_host_parse(ngx_pool_t *pool, ngx_str_t *src,
    nchat_host_t *host, const char **why);


#endif /* _NCHAT_HOST_H_INCLUDED_ */
