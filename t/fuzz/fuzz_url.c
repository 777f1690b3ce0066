/*
 * Whatever is a URL is plain ASCII, stays as it is when parsed again, and says
 * the same of its host as the guard sees of its address.  The input is a URL
 * and, behind a line end, one that is resolved against it.
 */


#include "nchat_guard.h"
#include "ngx_stubs.h"


static void
check(ngx_pool_t *pool, nchat_url_t *url)
{
    size_t                i;
    const char           *why;
    nchat_url_t           again;
    struct sockaddr_in    sin;
    struct sockaddr_in6   sin6;

    if (url->href.len > NCHAT_URL_MAX || url->uri.len == 0
        || url->uri.data[0] != '/' || url->authority.len == 0
        || url->host.name.len == 0)
    {
        abort();
    }

    for (i = 0; i < url->href.len; i++) {
        if (url->href.data[i] <= ' ' || url->href.data[i] > '~') {
            abort();
        }
    }

    if (nchat_url_parse(pool, &url->href, NULL, &again, &why) != NGX_OK
        || again.href.len != url->href.len
        || memcmp(again.href.data, url->href.data, url->href.len) != 0
        || again.port != url->port || again.ssl != url->ssl
        || again.host.kind != url->host.kind
        || memcmp(again.host.addr, url->host.addr, 16) != 0)
    {
        abort();
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    memcpy(&sin.sin_addr, url->host.addr, 4);

    memset(&sin6, 0, sizeof(sin6));
    sin6.sin6_family = AF_INET6;
    memcpy(&sin6.sin6_addr, url->host.addr, 16);

    why = nchat_guard_url(url, NULL);

    if ((url->host.kind == NCHAT_HOST_IPV4
         && nchat_guard_sockaddr((struct sockaddr *) &sin, url->port, NULL)
            != why)
        || (url->host.kind == NCHAT_HOST_IPV6
            && nchat_guard_sockaddr((struct sockaddr *) &sin6, url->port, NULL)
               != why))
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char       *line;
    ngx_str_t     first, second;
    ngx_int_t     rc;
    ngx_pool_t   *pool;
    const char   *why;
    nchat_url_t   base, url;

    pool = ngx_create_pool(1024, NULL);

    line = size ? memchr(data, '\n', size) : NULL;

    first.data = (u_char *) data;
    first.len = line ? (size_t) (line - data) : size;

    why = NULL;
    rc = nchat_url_parse(pool, &first, NULL, &base, &why);

    if (rc == NGX_OK) {
        check(pool, &base);

        if (line) {
            second.data = line + 1;
            second.len = data + size - line - 1;

            rc = nchat_url_parse(pool, &second, &base, &url, &why);

            if (rc == NGX_OK) {
                check(pool, &url);
            }
        }
    }

    if (rc != NGX_OK && (rc != NGX_DECLINED || why == NULL)) {
        abort();
    }

    ngx_destroy_pool(pool);

    return 0;
}
