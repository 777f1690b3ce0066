/*
 * The address guard.
 *
 * Refused is everything in the IANA special-purpose address registries for
 * IPv4 and IPv6 (RFC 6890 and its successors), multicast, reserved space, and
 * the metadata services of clouds.  Also the few anycast blocks that the
 * registries call globally reachable (PCP, TURN, AS112, AMT): what answers
 * there may be a device of our own network.  Of IPv6 only 2000::/3 is open,
 * the one block that IANA gives out for global unicast; all else is refused
 * without a rule of its own.  The NAT64 prefix is what its IPv4 address is.
 */


#include "nchat_guard.h"


typedef struct {
    u_char       addr[16];
    ngx_uint_t   bits;
    const char  *why;
} nchat_guard_block_t;


static const char *nchat_guard_name(ngx_str_t *name);
static const char *nchat_guard_address(u_char *addr, size_t len,
    in_port_t port, ngx_array_t *allow);
static const char *nchat_guard_ipv4(u_char *addr);
static const char *nchat_guard_ipv6(u_char *addr);
static ngx_uint_t nchat_guard_in(u_char *addr, u_char *net, ngx_uint_t bits);
static ngx_uint_t nchat_guard_suffix(ngx_str_t *name, const char *suffix);


static nchat_guard_block_t  nchat_guard_blocks4[] = {
    { { 0 },               8, "the address means this network" },
    { { 10 },              8, "the address is private" },
    { { 100, 64 },        10, "the address is of a carrier's network" },
    { { 127 },             8, "the address is a loopback" },
    { { 168, 63, 129, 16 }, 32, "the address is a metadata service" },
    { { 169, 254 },       16, "the address is link-local" },
    { { 172, 16 },        12, "the address is private" },
    { { 192, 0, 0 },      24, "the address is for protocol assignments" },
    { { 192, 0, 2 },      24, "the address is for documentation" },
    { { 192, 31, 196 },   24, "the address is an anycast service" },
    { { 192, 52, 193 },   24, "the address is an anycast service" },
    { { 192, 88, 99 },    24, "the address is a 6to4 relay" },
    { { 192, 168 },       16, "the address is private" },
    { { 192, 175, 48 },   24, "the address is an anycast service" },
    { { 198, 18 },        15, "the address is for benchmarks" },
    { { 198, 51, 100 },   24, "the address is for documentation" },
    { { 203, 0, 113 },    24, "the address is for documentation" },
    { { 224 },             4, "the address is multicast" },
    { { 240 },             4, "the address is reserved" }
};


/* the order matters: the narrower range has the better reason */

static nchat_guard_block_t  nchat_guard_blocks6[] = {
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
      128, "the address is unspecified" },
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
      128, "the address is a loopback" },
    { { 0 },              96, "the address is IPv4-compatible" },
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff },
      96, "the address is IPv4-mapped" },
    { { 0, 0x64, 0xff, 0x9b, 0, 1 },
      48, "the address is a translation of the local network" },
    { { 0x01 },            8, "the address is discard-only" },
    { { 0x20, 0x01 },     32, "the address is Teredo" },
    { { 0x20, 0x01 },     23, "the address is for protocol assignments" },
    { { 0x20, 0x01, 0x0d, 0xb8 },
      32, "the address is for documentation" },
    { { 0x20, 0x02 },     16, "the address is 6to4" },
    { { 0x26, 0x20, 0, 0x4f, 0x80, 0 },
      48, "the address is an anycast service" },
    { { 0x3f, 0xff },     20, "the address is for documentation" },
    { { 0x5f, 0x00 },     16, "the address is a segment identifier" },
    { { 0xfc },            7, "the address is unique-local" },
    { { 0xfe, 0x80 },     10, "the address is link-local" },
    { { 0xfe, 0xc0 },     10, "the address is site-local" },
    { { 0xff },            8, "the address is multicast" }
};


static u_char  nchat_guard_global6[] = { 0x20 };               /* 2000::/3 */
static u_char  nchat_guard_nat64[] = {                      /* 64:ff9b::/96 */
    0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0
};


const char *
nchat_guard_url(nchat_url_t *url, ngx_array_t *allow)
{
    ngx_uint_t            i;
    const char           *why;
    nchat_guard_allow_t  *a;

    switch (url->host.kind) {

    case NCHAT_HOST_IPV4:
        return nchat_guard_address(url->host.addr, 4, url->port, allow);

    case NCHAT_HOST_IPV6:
        return nchat_guard_address(url->host.addr, 16, url->port, allow);
    }

    why = nchat_guard_name(&url->host.name);
    if (why) {
        return why;
    }

    if (url->port == 80 || url->port == 443) {
        return NULL;
    }

    if (allow) {
        a = allow->elts;

        for (i = 0; i < allow->nelts; i++) {
            if (a[i].port == url->port) {
                return NULL;
            }
        }
    }

    return "the port is not 80 or 443";
}


const char *
nchat_guard_sockaddr(struct sockaddr *sa, in_port_t port, ngx_array_t *allow)
{
    u_char               *addr;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        addr = (u_char *) &sin->sin_addr.s_addr;
        return nchat_guard_address(addr, 4, port, allow);

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        addr = (u_char *) &sin6->sin6_addr.s6_addr;
        return nchat_guard_address(addr, 16, port, allow);
#endif
    }

    return "the address is not of the internet";
}


ngx_int_t
nchat_guard_parse_allow(ngx_str_t *cidr, ngx_str_t *port,
    nchat_guard_allow_t *allow)
{
    u_char      *p, *slash, text[NGX_INET6_ADDRSTRLEN + 1];
    size_t       len;
    ngx_int_t    n;
    ngx_uint_t   i;

    ngx_memzero(allow, sizeof(nchat_guard_allow_t));

    slash = ngx_strlchr(cidr->data, cidr->data + cidr->len, '/');
    len = slash ? (size_t) (slash - cidr->data) : cidr->len;

    if (len == 0 || len > NGX_INET6_ADDRSTRLEN) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(text, cidr->data, len);
    *p = '\0';

    allow->len = ngx_strlchr(text, p, ':') ? 16 : 4;

    if (inet_pton(allow->len == 16 ? AF_INET6 : AF_INET, (char *) text,
                  allow->addr)
        != 1)
    {
        return NGX_ERROR;
    }

    allow->bits = allow->len * 8;

    if (slash) {
        n = ngx_atoi(slash + 1, cidr->len - len - 1);
        if (n == NGX_ERROR || n > (ngx_int_t) allow->bits) {
            return NGX_ERROR;
        }

        allow->bits = n;
    }

    for (i = allow->bits; i < allow->len * 8; i++) {
        if (allow->addr[i / 8] & (0x80 >> i % 8)) {
            return NGX_ERROR;
        }
    }

    if (port) {
        n = ngx_atoi(port->data, port->len);
        if (n < 1 || n > 65535) {
            return NGX_ERROR;
        }

        allow->port = (in_port_t) n;
    }

    return NGX_OK;
}


static const char *
nchat_guard_name(ngx_str_t *name)
{
    if (ngx_strlchr(name->data, name->data + name->len, '.') == NULL) {
        return "the name has no dot";
    }

    if (nchat_guard_suffix(name, ".localhost")
        || nchat_guard_suffix(name, ".local")
        || nchat_guard_suffix(name, ".internal"))
    {
        return "the name belongs to the local network";
    }

    return NULL;
}


static const char *
nchat_guard_address(u_char *addr, size_t len, in_port_t port,
    ngx_array_t *allow)
{
    ngx_uint_t            i, web;
    const char           *why;
    nchat_guard_allow_t  *a;

    web = (port == 80 || port == 443);

    if (allow) {
        a = allow->elts;

        for (i = 0; i < allow->nelts; i++) {
            if (a[i].len == len
                && (a[i].port ? a[i].port == port : web)
                && nchat_guard_in(addr, a[i].addr, a[i].bits))
            {
                return NULL;
            }
        }
    }

    why = (len == 4) ? nchat_guard_ipv4(addr) : nchat_guard_ipv6(addr);

    if (why == NULL && !web) {
        return "the port is not 80 or 443";
    }

    return why;
}


static const char *
nchat_guard_ipv4(u_char *addr)
{
    ngx_uint_t            i, n;
    nchat_guard_block_t  *b;

    b = nchat_guard_blocks4;
    n = sizeof(nchat_guard_blocks4) / sizeof(nchat_guard_block_t);

    for (i = 0; i < n; i++) {
        if (nchat_guard_in(addr, b[i].addr, b[i].bits)) {
            return b[i].why;
        }
    }

    return NULL;
}


static const char *
nchat_guard_ipv6(u_char *addr)
{
    ngx_uint_t            i, n;
    nchat_guard_block_t  *b;

    if (nchat_guard_in(addr, nchat_guard_nat64, 96)) {
        return nchat_guard_ipv4(addr + 12);
    }

    b = nchat_guard_blocks6;
    n = sizeof(nchat_guard_blocks6) / sizeof(nchat_guard_block_t);

    for (i = 0; i < n; i++) {
        if (nchat_guard_in(addr, b[i].addr, b[i].bits)) {
            return b[i].why;
        }
    }

    if (!nchat_guard_in(addr, nchat_guard_global6, 3)) {
        return "the address is reserved";
    }

    return NULL;
}


static ngx_uint_t
nchat_guard_in(u_char *addr, u_char *net, ngx_uint_t bits)
{
    u_char      mask;
    ngx_uint_t  bytes;

    bytes = bits / 8;

    if (ngx_memcmp(addr, net, bytes) != 0) {
        return 0;
    }

    if (bits % 8 == 0) {
        return 1;
    }

    mask = (u_char) (0xff << (8 - bits % 8));

    return ((addr[bytes] ^ net[bytes]) & mask) == 0;
}


/* names are lower case here; the suffix begins with a dot */

static ngx_uint_t
nchat_guard_suffix(ngx_str_t *name, const char *suffix)
{
    size_t  len;

    len = ngx_strlen(suffix);

    return name->len >= len
           && ngx_memcmp(name->data + name->len - len, suffix, len) == 0;
}
