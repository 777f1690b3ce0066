/*
 * URL parsing: the cases are in url_absolute.txt and url_relative.txt.
 */


#include <stdio.h>

#include "nchat_url.h"
#include "nchat_ip.h"
#include "ngx_stubs.h"
#include "tap.h"


static ngx_str_t
unescape(char *text, char *out)
{
    char       *p;
    unsigned    byte;
    ngx_str_t   s;

    s.data = (u_char *) out;

    for (p = text; *p; p++) {
        if (p[0] == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &byte) == 1) {
            *out++ = (char) byte;
            p += 3;

        } else {
            *out++ = *p;
        }
    }

    s.len = (u_char *) out - s.data;

    return s;
}


static void
test_line(char *line, char *expected, nchat_url_t *base)
{
    char          buf[16384];
    ngx_int_t     rc;
    ngx_str_t     text;
    ngx_pool_t   *pool;
    const char   *why;
    nchat_url_t   url, again;

    pool = ngx_create_pool(1024, NULL);
    text = unescape(line, buf);
    why = NULL;

    rc = nchat_url_parse(pool, &text, base, &url, &why);

    if (strcmp(expected, "-") == 0) {
        ok(rc == NGX_DECLINED && why != NULL, "refused: %s", line);

    } else if (ok(rc == NGX_OK, "%s: %s", line, why ? why : "taken")) {
        is_str(&url.href, expected, "%s", line);

        ok(nchat_url_parse(pool, &url.href, NULL, &again, &why) == NGX_OK
           && again.href.len == url.href.len
           && memcmp(again.href.data, url.href.data, url.href.len) == 0,
           "%s: the result stays as it is", line);
    }

    ngx_destroy_pool(pool);
}


static void
test_file(const char *name)
{
    char          line[16384], *tab, *end;
    FILE         *file;
    ngx_str_t     text;
    ngx_pool_t   *pool;
    const char   *why;
    nchat_url_t   parsed, *base;

    file = fopen(name, "r");

    ok(file != NULL, "%s is there", name);

    if (file == NULL) {
        return;
    }

    pool = ngx_create_pool(1024, NULL);
    base = NULL;

    while (fgets(line, sizeof(line), file)) {
        tab = strchr(line, '\t');

        if (line[0] == '#' || tab == NULL) {
            continue;
        }

        *tab++ = '\0';
        end = strchr(tab, '\n');
        *end = '\0';

        if (line[0] != '@') {
            test_line(line, tab, base);
            continue;
        }

        base = NULL;

        if (line[1]) {
            text.data = (u_char *) strdup(line + 1);
            text.len = strlen(line + 1);

            if (ok(nchat_url_parse(pool, &text, NULL, &parsed, &why) == NGX_OK,
                   "base %s", line + 1))
            {
                base = &parsed;
            }

            free(text.data);
        }
    }

    fclose(file);
    ngx_destroy_pool(pool);
}


static void
test_parts(ngx_pool_t *pool)
{
    const char    *why;
    nchat_url_t    url;

    ok(nchat_url_parse(pool, &str("HTTPS://B\xc3\xbc" "cher.Example.:8443"
                                  "/a/./b c?d=\xc3\xa9#e"),
                       NULL, &url, &why)
       == NGX_OK, "all parts");

    is_str(&url.scheme, "https", "scheme");
    ok(url.ssl && !url.default_port && url.port == 8443, "port");
    ok(url.host.kind == NCHAT_HOST_NAME, "kind of host");
    is_str(&url.host.text, "xn--bcher-kva.example.", "host");
    is_str(&url.host.name, "xn--bcher-kva.example", "name, without last dot");
    is_str(&url.authority, "xn--bcher-kva.example.:8443", "authority");
    is_str(&url.path, "/a/b%20c", "path");
    is_str(&url.query, "?d=%C3%A9", "query");
    is_str(&url.uri, "/a/b%20c?d=%C3%A9", "request target");

    ok(nchat_url_parse(pool, &str("http://0x7f.1"), NULL, &url, &why)
       == NGX_OK, "IPv4");
    ok(url.host.kind == NCHAT_HOST_IPV4
       && memcmp(url.host.addr, "\x7f\0\0\1", 4) == 0, "its bytes");
    is_str(&url.host.name, "127.0.0.1", "its text");
    ok(!url.ssl && url.default_port && url.port == 80, "its port");

    ok(nchat_url_parse(pool, &str("https://[2001:db8::1.2.3.4]:443/"), NULL,
                       &url, &why)
       == NGX_OK, "IPv6");
    ok(url.host.kind == NCHAT_HOST_IPV6
       && memcmp(url.host.addr, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\1\2\3\4", 16)
          == 0, "its bytes");
    is_str(&url.host.text, "[2001:db8::102:304]", "its text has brackets");
    is_str(&url.host.name, "2001:db8::102:304", "its name has none");
    is_str(&url.authority, "[2001:db8::102:304]", "its authority has no port");
}


static void
test_bytes(ngx_pool_t *pool)
{
    ngx_str_t     empty = ngx_null_string;
    const char   *why;
    nchat_url_t   url;

    ok(nchat_url_parse(pool, &empty, NULL, &url, &why) == NGX_DECLINED,
       "no bytes");
    ok(nchat_url_parse(pool, &str("http://h.example/\xe9\xff?\x80"), NULL,
                       &url, &why)
       == NGX_OK, "bytes that are not UTF-8");
    is_str(&url.href, "http://h.example/%E9%FF?%80", "stay those bytes");
    ok(nchat_url_parse(pool, &str("http://\xe9.example/"), NULL, &url, &why)
       == NGX_DECLINED, "but not in a host");
    ok(nchat_url_parse(pool, &str("http://h.example/a\0b?\0"), NULL, &url,
                       &why)
       == NGX_OK, "zero bytes");
    is_str(&url.href, "http://h.example/a%00b?", "are encoded, or trimmed");
    ok(nchat_url_parse(pool, &str("http://h\0.example/"), NULL, &url, &why)
       == NGX_DECLINED, "but not in a host");
}


static void
test_lengths(ngx_pool_t *pool)
{
    u_char        text[NCHAT_URL_MAX + 64];
    ngx_str_t     s;
    const char   *why;
    nchat_url_t   url;

    memset(text, 'a', sizeof(text));
    memcpy(text, "http://h.example/", 17);
    s.data = text;

    s.len = NCHAT_URL_MAX;
    ok(nchat_url_parse(pool, &s, NULL, &url, &why) == NGX_OK
       && url.href.len == NCHAT_URL_MAX, "the longest URL");

    s.len = NCHAT_URL_MAX + 1;
    ok(nchat_url_parse(pool, &s, NULL, &url, &why) == NGX_DECLINED,
       "one byte more");

    memset(text + 17, ' ', sizeof(text) - 17);
    text[NCHAT_URL_MAX / 2] = 'x';
    s.len = sizeof(text);
    ok(nchat_url_parse(pool, &s, NULL, &url, &why) == NGX_DECLINED,
       "too long only after encoding");

    memset(text, ' ', sizeof(text));
    memcpy(text + 100, "http://h.example/", 17);
    ok(nchat_url_parse(pool, &s, NULL, &url, &why) == NGX_OK,
       "spaces around do not count");

    memset(text, 'a', sizeof(text));
    memcpy(text, "http://", 7);
    s.len = 7 + 2000;
    ok(nchat_url_parse(pool, &s, NULL, &url, &why) == NGX_DECLINED,
       "a host without end");
}


static void
test_memory(void)
{
    ngx_int_t     n, rc;
    ngx_pool_t   *pool;
    const char   *why;
    ngx_uint_t    wrong;
    nchat_url_t   base, url;

    wrong = 0;
    rc = NGX_ERROR;

    for (n = 0; n < 100 && rc != NGX_OK; n++) {
        pool = ngx_create_pool(1024, NULL);

        (void) nchat_url_parse(pool, &str("http://h.example/a/b"), NULL, &base,
                               &why);

        stubs_fail_at(n);
        rc = nchat_url_parse(pool, &str("//b\xc3\xbc" "cher.example/../c?d"),
                             &base, &url, &why);
        wrong += (rc != (stubs_failed() ? NGX_ERROR : NGX_OK));
        stubs_fail_at(-1);

        ngx_destroy_pool(pool);
    }

    ok(n > 4 && rc == NGX_OK && wrong == 0, "each of %d allocations may fail",
       (int) n);
}


static void
test_print(void)
{
    u_char  out[NGX_INET6_ADDRSTRLEN + 1];

    *nchat_ip_print(out, (u_char *) "\xff\0\1\x0a", 4) = '\0';
    is(out, "255.0.1.10", "IPv4 is printed");

    *nchat_ip_print(out, (u_char *) "\xff\xff\xff\xff\xff\xff\xff\xff"
                                    "\xff\xff\xff\xff\xff\xff\xff\xff", 16)
        = '\0';
    is(out, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "IPv6 is printed");
}


int
main(void)
{
    ngx_pool_t  *pool;

    test_file("url_absolute.txt");
    test_file("url_relative.txt");

    pool = ngx_create_pool(1024, NULL);

    test_parts(pool);
    test_bytes(pool);
    test_lengths(pool);

    ngx_destroy_pool(pool);

    test_print();
    test_memory();

    return tap_done();
}
