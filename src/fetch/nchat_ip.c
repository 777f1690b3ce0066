/*
 * Literal addresses, read and written as the WHATWG URL standard has it.
 */


#include "nchat_ip.h"


#define NCHAT_IP_NO_GAP  17


static ngx_int_t nchat_ip_number(u_char *p, u_char *last, uint64_t *n);
static ngx_int_t nchat_ip_spread(u_char *addr, size_t n, size_t gap);
static u_char *nchat_ip_piece(u_char *p, u_char *last, u_char *dst);
static u_char *nchat_ip_tail(u_char *p, u_char *last, u_char *dst);


ngx_uint_t
nchat_ip_ends_in_number(ngx_str_t *name)
{
    u_char    *p, *last, *s;
    uint64_t   n;

    last = name->data + name->len;

    if (last[-1] == '.') {
        last--;
    }

    for (p = last; p > name->data && p[-1] != '.'; p--) { /* void */ }

    for (s = p; s < last && *s >= '0' && *s <= '9'; s++) { /* void */ }

    if (s == last) {
        return 1;
    }

    return nchat_ip_number(p, last, &n) == NGX_OK;
}


/* decimal, octal after "0", hexadecimal after "0x"; a lone "0x" is zero */

static ngx_int_t
nchat_ip_number(u_char *p, u_char *last, uint64_t *n)
{
    uint64_t    value;
    ngx_int_t   digit, radix;

    if (p == last) {
        return NGX_ERROR;
    }

    radix = 10;

    if (last - p >= 2 && p[0] == '0') {
        if (p[1] == 'x' || p[1] == 'X') {
            radix = 16;
            p += 2;

        } else {
            radix = 8;
            p++;
        }
    }

    value = 0;

    for ( /* void */ ; p < last; p++) {
        digit = nchat_hex_digit(*p);

        if (digit < 0 || digit >= radix) {
            return NGX_ERROR;
        }

        /* stays above every limit, and never wraps */

        if (value <= 0xffffffff) {
            value = value * radix + digit;
        }
    }

    *n = value;

    return NGX_OK;
}


ngx_int_t
nchat_ip_parse4(ngx_str_t *src, u_char *addr)
{
    u_char      *p, *last, *dot;
    uint64_t     part, value;
    ngx_uint_t   n;

    last = src->data + src->len;

    if (last[-1] == '.') {
        last--;
    }

    value = 0;
    n = 0;
    p = src->data;

    for ( ;; ) {
        dot = ngx_strlchr(p, last, '.');

        if (nchat_ip_number(p, dot ? dot : last, &part) != NGX_OK) {
            return NGX_ERROR;
        }

        if (dot == NULL) {
            break;
        }

        if (n == 3 || part > 255) {
            return NGX_ERROR;
        }

        value |= part << (24 - 8 * n);
        n++;
        p = dot + 1;
    }

    /* the last part fills the bytes that are left */

    if (part >= (uint64_t) 1 << (32 - 8 * n)) {
        return NGX_ERROR;
    }

    value |= part;

    addr[0] = (u_char) (value >> 24);
    addr[1] = (u_char) (value >> 16);
    addr[2] = (u_char) (value >> 8);
    addr[3] = (u_char) value;

    return NGX_OK;
}


ngx_int_t
nchat_ip_parse6(u_char *p, u_char *last, u_char *addr)
{
    size_t    n, gap;
    u_char   *end;

    n = 0;
    gap = NCHAT_IP_NO_GAP;

    if (p < last && *p == ':') {
        if (last - p < 2 || p[1] != ':') {
            return NGX_ERROR;
        }

        p += 2;
        gap = 0;
    }

    while (p < last) {

        if (n == 16) {
            return NGX_ERROR;
        }

        if (*p == ':') {
            if (gap != NCHAT_IP_NO_GAP) {
                return NGX_ERROR;
            }

            gap = n;
            p++;
            continue;
        }

        end = nchat_ip_piece(p, last, addr + n);

        if (end < last && *end == '.') {

            if (n > 12 || nchat_ip_tail(p, last, addr + n) == NULL) {
                return NGX_ERROR;
            }

            n += 4;
            break;
        }

        if (end == p) {
            return NGX_ERROR;
        }

        n += 2;
        p = end;

        if (p < last && (*p++ != ':' || p == last)) {
            return NGX_ERROR;
        }
    }

    return nchat_ip_spread(addr, n, gap);
}


/* moves what is behind "::" to the end; "::" stands for one piece at least */

static ngx_int_t
nchat_ip_spread(u_char *addr, size_t n, size_t gap)
{
    if (gap == NCHAT_IP_NO_GAP) {
        return n == 16 ? NGX_OK : NGX_ERROR;
    }

    if (n == 16) {
        return NGX_ERROR;
    }

    ngx_memmove(addr + 16 - (n - gap), addr + gap, n - gap);
    ngx_memzero(addr + gap, 16 - n);

    return NGX_OK;
}


/* up to four hexadecimal digits; returns their end */

static u_char *
nchat_ip_piece(u_char *p, u_char *last, u_char *dst)
{
    ngx_int_t   digit;
    ngx_uint_t  digits, value;

    value = 0;

    for (digits = 0; digits < 4 && p < last; digits++, p++) {
        digit = nchat_hex_digit(*p);

        if (digit < 0) {
            break;
        }

        value = value << 4 | digit;
    }

    dst[0] = (u_char) (value >> 8);
    dst[1] = (u_char) value;

    return p;
}


/* the dotted IPv4 end of an IPv6 address: four plain decimal numbers */

static u_char *
nchat_ip_tail(u_char *p, u_char *last, u_char *dst)
{
    ngx_uint_t  i, digits, value;

    for (i = 0; i < 4; i++) {

        if (i > 0) {
            if (p == last || *p++ != '.') {
                return NULL;
            }
        }

        value = 0;

        for (digits = 0; p < last && *p >= '0' && *p <= '9'; digits++, p++) {

            if (digits && value == 0) {
                return NULL;
            }

            value = value * 10 + (*p - '0');

            if (value > 255) {
                return NULL;
            }
        }

        if (digits == 0) {
            return NULL;
        }

        dst[i] = (u_char) value;
    }

    return p == last ? p : NULL;
}


u_char *
nchat_ip_print(u_char *dst, const u_char *addr, size_t len)
{
    ngx_int_t          shift;
    ngx_uint_t         i, n, run, best, piece;

    static const char  hex[] = "0123456789abcdef";

    if (len == 4) {
        return ngx_sprintf(dst, "%ui.%ui.%ui.%ui", (ngx_uint_t) addr[0],
                           (ngx_uint_t) addr[1], (ngx_uint_t) addr[2],
                           (ngx_uint_t) addr[3]);
    }

    /* the first longest run of at least two zero pieces becomes "::" */

    best = 8;
    run = 1;

    for (i = 0; i < 8; i += n + 1) {
        for (n = 0; i + n < 8; n++) {
            if (addr[2 * (i + n)] || addr[2 * (i + n) + 1]) {
                break;
            }
        }

        if (n > run) {
            best = i;
            run = n;
        }
    }

    for (i = 0; i < 8; i++) {

        if (i == best) {
            *dst++ = ':';

            if (i == 0) {
                *dst++ = ':';
            }

            i += run - 1;
            continue;
        }

        piece = addr[2 * i] << 8 | addr[2 * i + 1];

        for (shift = 12; shift > 0 && piece >> shift == 0; shift -= 4) {
            /* no leading zeros */
        }

        for ( /* void */ ; shift >= 0; shift -= 4) {
            *dst++ = hex[piece >> shift & 0xf];
        }

        if (i < 7) {
            *dst++ = ':';
        }
    }

    return dst;
}


ngx_int_t
nchat_hex_digit(u_char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    return -1;
}
