/*
 * Literal IPv4 and IPv6 addresses in URLs.
 */


#ifndef _NCHAT_IP_H_INCLUDED_
#define _NCHAT_IP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The "ends in a number checker" of the WHATWG URL standard: 1 if a name (not
 * empty, and not only a dot) must be an IPv4 address or is no host at all.
 */
ngx_uint_t nchat_ip_ends_in_number(ngx_str_t *name);

/*
 * Reads an IPv4 address of one to four parts, each decimal, octal or
 * hexadecimal, into 4 bytes in network order.  NGX_OK or NGX_ERROR.
 */
ngx_int_t nchat_ip_parse4(ngx_str_t *src, u_char *addr);

/*
 * Reads an IPv6 address without brackets and zone into 16 bytes.  NGX_OK or
 * NGX_ERROR, with "addr" undefined.
 */
ngx_int_t nchat_ip_parse6(u_char *p, u_char *last, u_char *addr);

/*
 * Writes an IPv4 (len 4) or IPv6 (len 16) address in its canonical text form,
 * IPv6 without brackets, and returns the end.  "dst" needs NGX_INET6_ADDRSTRLEN
 * bytes.
 */
u_char *nchat_ip_print(u_char *dst, const u_char *addr, size_t len);

/* the value of a hexadecimal digit, or -1 */
ngx_int_t nchat_hex_digit(u_char c);


#endif /* _NCHAT_IP_H_INCLUDED_ */
