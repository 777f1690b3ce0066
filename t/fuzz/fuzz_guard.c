/*
 * The guard's tables against the same rules written as comparisons of numbers,
 * and every exception that can be read opens what it says.
 */


#include "nchat_guard.h"
#include "ngx_stubs.h"


static int
public4(uint32_t a)
{
    return !(a < 0x01000000
             || (a >= 0x0a000000 && a < 0x0b000000)
             || (a >= 0x64400000 && a < 0x64800000)
             || (a >= 0x7f000000 && a < 0x80000000)
             || a == 0xa83f8110
             || (a >= 0xa9fe0000 && a < 0xa9ff0000)
             || (a >= 0xac100000 && a < 0xac200000)
             || (a >= 0xc0000000 && a < 0xc0000100)
             || (a >= 0xc0000200 && a < 0xc0000300)
             || (a >= 0xc01fc400 && a < 0xc01fc500)
             || (a >= 0xc034c100 && a < 0xc034c200)
             || (a >= 0xc0586300 && a < 0xc0586400)
             || (a >= 0xc0a80000 && a < 0xc0a90000)
             || (a >= 0xc0af3000 && a < 0xc0af3100)
             || (a >= 0xc6120000 && a < 0xc6140000)
             || (a >= 0xc6336400 && a < 0xc6336500)
             || (a >= 0xcb007100 && a < 0xcb007200)
             || a >= 0xe0000000);
}


static int
public6(uint64_t high, uint64_t low)
{
    if (high == 0x0064ff9b00000000 && low >> 32 == 0) {
        return public4((uint32_t) low);
    }

    return high >> 61 == 1
           && !(high >= 0x2001000000000000 && high < 0x2001020000000000)
           && high >> 32 != 0x20010db8
           && high >> 48 != 0x2002
           && high >> 16 != 0x2620004f8000
           && high >> 44 != 0x3fff0;
}


static void
check_address(const uint8_t *data, uint64_t high, uint64_t low)
{
    int                   is_public;
    uint32_t              number;
    in_port_t             port;
    struct sockaddr      *sa;
    struct sockaddr_in    sin;
    struct sockaddr_in6   sin6;

    port = (in_port_t) (data[16] << 8 | data[17]);
    port = (port % 3 == 0) ? 80 : (port % 3 == 1) ? 443 : port;

    memset(&sin, 0, sizeof(sin));
    memset(&sin6, 0, sizeof(sin6));

    if (data[17] & 1) {
        number = (uint32_t) (high >> 32);
        is_public = public4(number);
        sin.sin_family = AF_INET;
        sin.sin_addr.s_addr = htonl(number);
        sa = (struct sockaddr *) &sin;

    } else {
        is_public = public6(high, low);
        sin6.sin6_family = AF_INET6;
        memcpy(&sin6.sin6_addr, data, 16);
        sa = (struct sockaddr *) &sin6;
    }

    is_public = is_public && (port == 80 || port == 443);

    if (is_public != (nchat_guard_sockaddr(sa, port, NULL) == NULL)) {
        abort();
    }
}


static void
check_exception(nchat_guard_allow_t *allow)
{
    ngx_array_t           list;
    struct sockaddr      *sa;
    struct sockaddr_in    sin;
    struct sockaddr_in6   sin6;

    memset(&list, 0, sizeof(ngx_array_t));
    list.elts = allow;
    list.nelts = 1;

    memset(&sin, 0, sizeof(sin));
    memset(&sin6, 0, sizeof(sin6));
    memcpy(&sin.sin_addr, allow->addr, 4);
    memcpy(&sin6.sin6_addr, allow->addr, 16);
    sin.sin_family = AF_INET;
    sin6.sin6_family = AF_INET6;
    sa = (allow->len == 4) ? (struct sockaddr *) &sin
                           : (struct sockaddr *) &sin6;

    if (allow->bits > allow->len * 8
        || nchat_guard_sockaddr(sa, 80, &list) != NULL
        || nchat_guard_sockaddr(sa, 443, &list) != NULL
        || nchat_guard_sockaddr(sa, 8080, &list) == NULL)
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t              high, low;
    ngx_str_t             cidr;
    ngx_uint_t            i;
    nchat_guard_allow_t   allow;

    if (size < 18) {
        return 0;
    }

    high = 0;
    low = 0;

    for (i = 0; i < 8; i++) {
        high = high << 8 | data[i];
        low = low << 8 | data[i + 8];
    }

    check_address(data, high, low);

    cidr.data = (u_char *) data + 18;
    cidr.len = size - 18;

    if (nchat_guard_parse_allow(&cidr, NULL, &allow) == NGX_OK) {
        check_exception(&allow);
    }

    return 0;
}
