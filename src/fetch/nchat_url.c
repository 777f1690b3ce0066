/*
 * The basic URL parser of the WHATWG URL standard, for http and https only.
 */


#include "nchat_url.h"


#define NCHAT_URL_IN_PATH   1
#define NCHAT_URL_IN_QUERY  2


typedef struct {
    ngx_pool_t   *pool;
    nchat_url_t  *base;
    nchat_url_t  *url;
    u_char       *p;          /* what is left of the input */
    u_char       *last;
    const char   *why;
} nchat_url_parser_t;


static ngx_int_t nchat_url_clean(nchat_url_parser_t *up, ngx_str_t *text);
static ngx_int_t nchat_url_scheme(nchat_url_parser_t *up);
static u_char *nchat_url_scheme_end(u_char *p, u_char *last);
static ngx_int_t nchat_url_relative(nchat_url_parser_t *up);
static ngx_int_t nchat_url_authority(nchat_url_parser_t *up);
static ngx_int_t nchat_url_port(nchat_url_parser_t *up, u_char *p,
    u_char *last);
static ngx_int_t nchat_url_path(nchat_url_parser_t *up, ngx_str_t *prefix);
static u_char *nchat_url_segment(u_char *out, u_char *dst, u_char *p,
    size_t len, ngx_uint_t is_last);
static ngx_uint_t nchat_url_dots(u_char *p, size_t len);
static ngx_int_t nchat_url_query(nchat_url_parser_t *up);
static u_char *nchat_url_encode(u_char *dst, u_char *p, u_char *last,
    ngx_uint_t where);
static ngx_int_t nchat_url_serialize(nchat_url_parser_t *up);
static void nchat_url_copy_origin(nchat_url_t *dst, nchat_url_t *src);


#define nchat_url_slash(c)  ((c) == '/' || (c) == '\\')


ngx_int_t
nchat_url_parse(ngx_pool_t *pool, ngx_str_t *text, nchat_url_t *base,
    nchat_url_t *url, const char **why)
{
    ngx_int_t           rc;
    nchat_url_parser_t  up;

    ngx_memzero(url, sizeof(nchat_url_t));
    ngx_memzero(&up, sizeof(nchat_url_parser_t));

    up.pool = pool;
    up.base = base;
    up.url = url;

    rc = nchat_url_clean(&up, text);

    if (rc == NGX_OK) {
        rc = nchat_url_scheme(&up);
    }

    if (rc == NGX_OK) {
        rc = nchat_url_serialize(&up);
    }

    if (rc == NGX_DECLINED) {
        *why = up.why;
    }

    return rc;
}


/* trims controls and spaces, and drops tabs and line ends everywhere */

static ngx_int_t
nchat_url_clean(nchat_url_parser_t *up, ngx_str_t *text)
{
    u_char  *p, *last, *d;

    p = text->len ? text->data : (u_char *) "";
    last = p + text->len;

    while (p < last && *p <= ' ') {
        p++;
    }

    while (p < last && last[-1] <= ' ') {
        last--;
    }

    if (last - p > NCHAT_URL_MAX) {
        up->why = "the URL is too long";
        return NGX_DECLINED;
    }

    d = ngx_pnalloc(up->pool, last - p + 1);
    if (d == NULL) {
        return NGX_ERROR;
    }

    up->p = d;

    for ( /* void */ ; p < last; p++) {
        if (*p != '\t' && *p != '\n' && *p != '\r') {
            *d++ = *p;
        }
    }

    up->last = d;

    return NGX_OK;
}


static ngx_int_t
nchat_url_scheme(nchat_url_parser_t *up)
{
    u_char     *p;
    ngx_str_t   scheme;

    p = nchat_url_scheme_end(up->p, up->last);

    if (p == NULL) {

        if (up->base == NULL) {
            up->why = "the URL has no scheme";
            return NGX_DECLINED;
        }

        nchat_url_copy_origin(up->url, up->base);

        return nchat_url_relative(up);
    }

    scheme.data = up->p;
    scheme.len = p - up->p;
    up->p = p + 1;

    if (scheme.len == 4
        && ngx_strncasecmp(scheme.data, (u_char *) "http", 4) == 0)
    {
        ngx_str_set(&up->url->scheme, "http");
        up->url->port = 80;

    } else if (scheme.len == 5
               && ngx_strncasecmp(scheme.data, (u_char *) "https", 5) == 0)
    {
        ngx_str_set(&up->url->scheme, "https");
        up->url->port = 443;
        up->url->ssl = 1;

    } else {
        up->why = "the scheme is not http or https";
        return NGX_DECLINED;
    }

    up->url->default_port = 1;

    if (up->last - up->p >= 2 && nchat_url_slash(up->p[0])
        && nchat_url_slash(up->p[1]))
    {
        up->p += 2;
        return nchat_url_authority(up);
    }

    if (up->base && up->base->ssl == up->url->ssl) {
        nchat_url_copy_origin(up->url, up->base);
        return nchat_url_relative(up);
    }

    up->why = "the URL has no \"//\" after its scheme";
    return NGX_DECLINED;
}


/* the ":" behind a scheme, of any name */

static u_char *
nchat_url_scheme_end(u_char *p, u_char *last)
{
    u_char  *start, c;

    start = p;

    for ( /* void */ ; p < last; p++) {
        c = *p | 0x20;

        if (c >= 'a' && c <= 'z') {
            continue;
        }

        if (p > start && ((*p >= '0' && *p <= '9') || *p == '+' || *p == '-'
                          || *p == '.'))
        {
            continue;
        }

        return (p > start && *p == ':') ? p : NULL;
    }

    return NULL;
}


static ngx_int_t
nchat_url_relative(nchat_url_parser_t *up)
{
    u_char     *p;
    ngx_str_t   prefix;

    p = up->p;

    if (p < up->last && nchat_url_slash(*p)) {

        if (up->last - p >= 2 && nchat_url_slash(p[1])) {
            up->p += 2;
            return nchat_url_authority(up);
        }

        ngx_str_null(&prefix);

        return nchat_url_path(up, &prefix);
    }

    up->url->path = up->base->path;

    if (p == up->last || *p == '#') {
        up->url->query = up->base->query;
        return NGX_OK;
    }

    if (*p == '?') {
        return nchat_url_query(up);
    }

    /* all of the base's path but its last segment */

    prefix = up->base->path;

    while (prefix.len && prefix.data[--prefix.len] != '/') { /* void */ }

    return nchat_url_path(up, &prefix);
}


static ngx_int_t
nchat_url_authority(nchat_url_parser_t *up)
{
    u_char     *p, *last, *colon;
    ngx_int_t   rc;
    ngx_str_t   host, prefix;
    ngx_uint_t  bracket;

    bracket = 0;
    colon = NULL;

    for (p = up->p; p < up->last; p++) {

        if (nchat_url_slash(*p) || *p == '?' || *p == '#') {
            break;
        }

        switch (*p) {

        case '@':
            up->why = "the URL has a user name or password";
            return NGX_DECLINED;

        case '[':
            bracket = 1;
            break;

        case ']':
            bracket = 0;
            break;

        case ':':
            if (!bracket && colon == NULL) {
                colon = p;
            }

            break;
        }
    }

    last = colon ? colon : p;

    host.data = up->p;
    host.len = last - up->p;

    rc = nchat_host_parse(up->pool, &host, &up->url->host, &up->why);
    if (rc != NGX_OK) {
        return rc;
    }

    up->url->port = up->url->ssl ? 443 : 80;
    up->url->default_port = 1;

    if (colon && nchat_url_port(up, colon + 1, p) != NGX_OK) {
        return NGX_DECLINED;
    }

    up->p = p;
    ngx_str_null(&prefix);

    return nchat_url_path(up, &prefix);
}


static ngx_int_t
nchat_url_port(nchat_url_parser_t *up, u_char *p, u_char *last)
{
    ngx_uint_t  port;

    if (p == last) {
        return NGX_OK;
    }

    port = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p < '0' || *p > '9') {
            up->why = "the port is not a number";
            return NGX_DECLINED;
        }

        port = port * 10 + (*p - '0');

        if (port > 65535) {
            up->why = "the port is out of range";
            return NGX_DECLINED;
        }
    }

    up->url->default_port = (port == (up->url->ssl ? 443 : 80));
    up->url->port = (in_port_t) port;

    return NGX_OK;
}


static ngx_int_t
nchat_url_path(nchat_url_parser_t *up, ngx_str_t *prefix)
{
    u_char  *p, *last, *end, *out, *dst;

    end = up->p;

    while (end < up->last && *end != '?' && *end != '#') {
        end++;
    }

    p = up->p;

    if (p < end && nchat_url_slash(*p)) {
        p++;
    }

    /* each segment is written as "/" and three bytes a byte at most */

    out = ngx_pnalloc(up->pool, prefix->len + 3 * (end - p) + 2);
    if (out == NULL) {
        return NGX_ERROR;
    }

    dst = out;

    if (prefix->len) {
        dst = ngx_cpymem(dst, prefix->data, prefix->len);
    }

    for ( ;; ) {
        last = p;

        while (last < end && !nchat_url_slash(*last)) {
            last++;
        }

        dst = nchat_url_segment(out, dst, p, last - p, last == end);

        if (last == end) {
            break;
        }

        p = last + 1;
    }

    up->url->path.data = out;
    up->url->path.len = dst - out;
    up->p = end;

    return nchat_url_query(up);
}


/* appends a segment to out..dst, or applies "." and ".."; returns the end */

static u_char *
nchat_url_segment(u_char *out, u_char *dst, u_char *p, size_t len,
    ngx_uint_t is_last)
{
    ngx_uint_t  dots;

    dots = nchat_url_dots(p, len);

    if (dots == 2) {
        while (dst > out && *--dst != '/') { /* void */ }
    }

    if (dots == 0) {
        *dst++ = '/';
        return nchat_url_encode(dst, p, p + len, NCHAT_URL_IN_PATH);
    }

    if (is_last) {
        *dst++ = '/';
    }

    return dst;
}


/* 1 for ".", 2 for "..", also with their dots percent-encoded; else 0 */

static ngx_uint_t
nchat_url_dots(u_char *p, size_t len)
{
    u_char      *last;
    ngx_uint_t   n;

    last = p + len;

    for (n = 0; p < last; n++) {

        if (*p == '.') {
            p++;

        } else if (last - p >= 3 && p[0] == '%' && p[1] == '2'
                   && (p[2] | 0x20) == 'e')
        {
            p += 3;

        } else {
            return 0;
        }
    }

    return n <= 2 ? n : 0;
}


static ngx_int_t
nchat_url_query(nchat_url_parser_t *up)
{
    u_char  *p, *end, *out, *dst;

    p = up->p;

    if (p == up->last || *p == '#') {
        return NGX_OK;
    }

    end = ngx_strlchr(p, up->last, '#');
    if (end == NULL) {
        end = up->last;
    }

    out = ngx_pnalloc(up->pool, 3 * (end - p) + 1);
    if (out == NULL) {
        return NGX_ERROR;
    }

    *out = '?';
    dst = nchat_url_encode(out + 1, p + 1, end, NCHAT_URL_IN_QUERY);

    up->url->query.data = out;
    up->url->query.len = dst - out;

    return NGX_OK;
}


/* the standard's "path" and "special-query" percent-encode sets */

static u_char *
nchat_url_encode(u_char *dst, u_char *p, u_char *last, ngx_uint_t where)
{
    u_char         c;
    ngx_uint_t     escape;
    static u_char  hex[] = "0123456789ABCDEF";

    for ( /* void */ ; p < last; p++) {
        c = *p;

        switch (c) {

        case '"':
        case '#':
        case '<':
        case '>':
            escape = 1;
            break;

        case '?':
        case '^':
        case '`':
        case '{':
        case '}':
            escape = (where == NCHAT_URL_IN_PATH);
            break;

        case '\'':
            escape = (where == NCHAT_URL_IN_QUERY);
            break;

        default:
            escape = (c <= ' ' || c > 0x7e);
        }

        if (escape) {
            *dst++ = '%';
            *dst++ = hex[c >> 4];
            *dst++ = hex[c & 0xf];

        } else {
            *dst++ = c;
        }
    }

    return dst;
}


static ngx_int_t
nchat_url_serialize(nchat_url_parser_t *up)
{
    size_t        len;
    u_char       *p;
    nchat_url_t  *url;

    url = up->url;

    len = url->scheme.len + 3 + url->host.text.len + sizeof(":65535") - 1
          + url->path.len + url->query.len;

    p = ngx_pnalloc(up->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    url->href.data = p;

    p = ngx_cpymem(p, url->scheme.data, url->scheme.len);
    p = ngx_cpymem(p, "://", 3);

    url->authority.data = p;

    p = ngx_cpymem(p, url->host.text.data, url->host.text.len);

    if (!url->default_port) {
        p = ngx_sprintf(p, ":%ui", (ngx_uint_t) url->port);
    }

    url->authority.len = p - url->authority.data;
    url->uri.data = p;

    p = ngx_cpymem(p, url->path.data, url->path.len);

    if (url->query.len) {
        p = ngx_cpymem(p, url->query.data, url->query.len);
    }

    url->uri.len = p - url->uri.data;
    url->href.len = p - url->href.data;

    if (url->href.len > NCHAT_URL_MAX) {
        up->why = "the URL is too long";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
nchat_url_copy_origin(nchat_url_t *dst, nchat_url_t *src)
{
    dst->scheme = src->scheme;
    dst->host = src->host;
    dst->port = src->port;
    dst->ssl = src->ssl;
    dst->default_port = src->default_port;
}
