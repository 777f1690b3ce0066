/*
 * The host parser of the WHATWG URL standard, as far as http and https need it.
 */


#include "nchat_host.h"
#include "nchat_ip.h"
#include <idn2.h>


/* before mapping to ASCII; nothing longer can become a valid name */
#define NCHAT_HOST_INPUT_MAX  1024
#define NCHAT_HOST_LABEL_MAX  63


static ngx_int_t nchat_host_decode(ngx_pool_t *pool, ngx_str_t *src,
    ngx_str_t *dst);
static ngx_int_t nchat_host_to_ascii(ngx_pool_t *pool, ngx_str_t *name,
    const char **why);
static ngx_uint_t nchat_host_needs_idna(ngx_str_t *name);
static ngx_uint_t nchat_host_deviates(ngx_str_t *name);
static const char *nchat_host_check_name(ngx_str_t *name);
static ngx_int_t nchat_host_set_literal(ngx_pool_t *pool, nchat_host_t *host);


ngx_int_t
nchat_host_parse(ngx_pool_t *pool, ngx_str_t *src, nchat_host_t *host,
    const char **why)
{
    u_char     *last;
    ngx_int_t   rc;
    ngx_str_t   name;

    ngx_memzero(host, sizeof(nchat_host_t));

    if (src->len == 0) {
        *why = "the host is empty";
        return NGX_DECLINED;
    }

    if (src->len > NCHAT_HOST_INPUT_MAX) {
        *why = "the host is too long";
        return NGX_DECLINED;
    }

    if (src->data[0] == '[') {
        last = src->data + src->len - 1;

        if (*last != ']'
            || nchat_ip_parse6(src->data + 1, last, host->addr) != NGX_OK)
        {
            *why = "the IPv6 address is not valid";
            return NGX_DECLINED;
        }

        host->kind = NCHAT_HOST_IPV6;
        return nchat_host_set_literal(pool, host);
    }

    if (nchat_host_decode(pool, src, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = nchat_host_to_ascii(pool, &name, why);
    if (rc != NGX_OK) {
        return rc;
    }

    *why = nchat_host_check_name(&name);
    if (*why) {
        return NGX_DECLINED;
    }

    if (nchat_ip_ends_in_number(&name)) {
        if (nchat_ip_parse4(&name, host->addr) != NGX_OK) {
            *why = "the IPv4 address is not valid";
            return NGX_DECLINED;
        }

        host->kind = NCHAT_HOST_IPV4;
        return nchat_host_set_literal(pool, host);
    }

    host->kind = NCHAT_HOST_NAME;
    host->text = name;
    host->name = name;
    host->name.len -= (name.data[name.len - 1] == '.');

    return NGX_OK;
}


/* percent-decodes, lowers ASCII, and adds a zero byte for libidn2 */

static ngx_int_t
nchat_host_decode(ngx_pool_t *pool, ngx_str_t *src, ngx_str_t *dst)
{
    u_char     *p, *last, *d;
    ngx_int_t   hi, lo;

    d = ngx_pnalloc(pool, src->len + 1);
    if (d == NULL) {
        return NGX_ERROR;
    }

    dst->data = d;

    p = src->data;
    last = src->data + src->len;

    while (p < last) {
        if (*p == '%' && last - p > 2) {
            hi = nchat_hex_digit(p[1]);
            lo = nchat_hex_digit(p[2]);

            if (hi >= 0 && lo >= 0) {
                *d = (u_char) (hi << 4 | lo);
                *d = ngx_tolower(*d);
                d++;
                p += 3;
                continue;
            }
        }

        *d++ = ngx_tolower(*p);
        p++;
    }

    *d = '\0';
    dst->len = d - dst->data;

    return NGX_OK;
}


static ngx_int_t
nchat_host_to_ascii(ngx_pool_t *pool, ngx_str_t *name, const char **why)
{
    int       rc;
    size_t    len;
    u_char   *p;
    uint8_t  *ascii;

    if (!nchat_host_needs_idna(name)) {
        return NGX_OK;
    }

    if (ngx_strlen(name->data) != name->len) {
        *why = "the host has a character that is not allowed";
        return NGX_DECLINED;
    }

    /* UTS #46, non-transitional, as the URL standard asks */

    rc = idn2_lookup_u8(name->data, &ascii,
                        IDN2_NFC_INPUT|IDN2_NONTRANSITIONAL);

    if (rc == IDN2_DISALLOWED && !nchat_host_deviates(name)) {

        /*
         * libidn2 goes on to apply IDNA2008, which knows no emoji; UTS #46
         * does, and so do browsers.  Its transitional processing stops there,
         * and differs for deviation characters only.
         */

        rc = idn2_lookup_u8(name->data, &ascii,
                            IDN2_NFC_INPUT|IDN2_TRANSITIONAL);
    }

    if (rc == IDN2_MALLOC) {
        return NGX_ERROR;
    }

    if (rc != IDN2_OK) {
        *why = "the host is not a valid international name";
        return NGX_DECLINED;
    }

    len = ngx_strlen(ascii);

    p = ngx_pnalloc(pool, len + 1);
    if (p == NULL) {
        idn2_free(ascii);
        return NGX_ERROR;
    }

    ngx_memcpy(p, ascii, len + 1);
    idn2_free(ascii);

    name->data = p;
    name->len = len;

    return NGX_OK;
}


/* for plain ASCII without "xn--" the standard asks for lower case only */

static ngx_uint_t
nchat_host_needs_idna(ngx_str_t *name)
{
    size_t      i;
    ngx_uint_t  start;

    start = 1;

    for (i = 0; i < name->len; i++) {
        if (name->data[i] >= 0x80) {
            return 1;
        }

        if (start && name->len - i >= 4
            && ngx_strncmp(name->data + i, "xn--", 4) == 0)
        {
            return 1;
        }

        start = (name->data[i] == '.');
    }

    return 0;
}


/* sharp s, final sigma, and the joiners: the deviations of UTS #46 */

static ngx_uint_t
nchat_host_deviates(ngx_str_t *name)
{
    ngx_uint_t           i;
    static const char   *deviations[] = {
        "\xc3\x9f", "\xe1\xba\x9e", "\xcf\x82",
        "\xe2\x80\x8c", "\xe2\x80\x8d"
    };

    for (i = 0; i < sizeof(deviations) / sizeof(deviations[0]); i++) {
        if (ngx_strstr(name->data, deviations[i])) {
            return 1;
        }
    }

    return 0;
}


static const char *
nchat_host_check_name(ngx_str_t *name)
{
    u_char  c;
    size_t  i, label, len;

    len = name->len;

    if (len && name->data[len - 1] == '.') {
        len--;
    }

    if (len == 0) {
        return "the host is empty";
    }

    if (len > NCHAT_HOST_NAME_MAX) {
        return "the host is too long";
    }

    label = 0;

    for (i = 0; i < len; i++) {
        c = name->data[i];

        if (c == '.') {
            if (label == 0) {
                return "the host has an empty label";
            }

            label = 0;
            continue;
        }

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
              || c == '-' || c == '_'))
        {
            return "the host has a character that is not allowed";
        }

        if (++label > NCHAT_HOST_LABEL_MAX) {
            return "the host has a label that is too long";
        }
    }

    return label ? NULL : "the host has an empty label";
}


static ngx_int_t
nchat_host_set_literal(ngx_pool_t *pool, nchat_host_t *host)
{
    u_char  *p, *last;

    p = ngx_pnalloc(pool, NGX_INET6_ADDRSTRLEN + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    host->text.data = p;

    if (host->kind == NCHAT_HOST_IPV4) {
        last = nchat_ip_print(p, host->addr, 4);
        host->text.len = last - p;
        host->name = host->text;
        return NGX_OK;
    }

    *p++ = '[';
    last = nchat_ip_print(p, host->addr, 16);

    host->name.data = p;
    host->name.len = last - p;

    *last++ = ']';
    host->text.len = last - host->text.data;

    return NGX_OK;
}
