/*
 * Where outbound requests may go: public web servers on ports 80 and 443, and
 * what the operator has opened on purpose.
 */


#ifndef _NCHAT_GUARD_H_INCLUDED_
#define _NCHAT_GUARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "nchat_url.h"


/* one exception: an address range, and the ports it is open on */

typedef struct {
    u_char       addr[16];         /* network order; 4 bytes used for IPv4 */
    ngx_uint_t   len;              /* bytes of addr in use: 4 or 16 */
    ngx_uint_t   bits;             /* prefix length */
    in_port_t    port;             /* 0: the ports 80 and 443 */
} nchat_guard_allow_t;


/*
 * Reads an exception as the directive nchat_fetch_allow has it: an address
 * with an optional "/bits", and a port or NULL.
 *
 * NGX_OK, or NGX_ERROR when it is not well-formed or has bits set behind its
 * prefix.
 */
ngx_int_t nchat_guard_parse_allow(ngx_str_t *cidr, ngx_str_t *port,
    nchat_guard_allow_t *allow);

/*
 * Before a name is resolved: is its form allowed, and might its port be?  A
 * literal address is checked at once.  "allow" is an array of
 * nchat_guard_allow_t, or NULL; it never opens a blocked name.
 *
 * NULL when the URL may go on, else a static sentence that says why not.
 */
const char *nchat_guard_url(nchat_url_t *url, ngx_array_t *allow);

/*
 * Before connecting: may this very address and port be reached?  "sa" is what
 * the resolver gave or a literal address; its own port is not looked at.
 * "port" is in host byte order.
 *
 * NULL when it may, else a static sentence that says why not.
 */
const char *nchat_guard_sockaddr(struct sockaddr *sa, in_port_t port,
    ngx_array_t *allow);


#endif /* _NCHAT_GUARD_H_INCLUDED_ */
