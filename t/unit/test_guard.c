/*
 * The address guard: what it lets through and what not.
 */


#include "nchat_guard.h"
#include "ngx_stubs.h"
#include "tap.h"


/* the last and first public addresses around each blocked range, and inside */

static const char  *blocked[] = {
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0",
    "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.255.255.255",
    "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.255.255",
    "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.9", "192.0.0.170",
    "192.0.0.192", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.31.196.1",
    "192.52.193.1", "192.88.99.1", "192.168.0.0", "192.168.255.255",
    "192.175.48.1", "198.18.0.0", "198.19.255.255", "198.51.100.0",
    "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0",
    "224.0.0.251", "239.255.255.255", "240.0.0.0", "255.255.255.254",
    "255.255.255.255",

    "::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "::1:0:0:0", "64:ff9a:ffff::1",
    "64:ff9b::0.0.0.0", "64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b::192.168.1.1",
    "64:ff9b::255.255.255.255", "64:ff9b::1:8.8.8.8", "64:ff9b:1::8.8.8.8",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::1", "100:0:0:1::1", "200::1",
    "400::1", "1000::1", "1fff:ffff::1", "2001::1", "2001:0:53aa:64c::1",
    "2001:1::1", "2001:1::2", "2001:2::1", "2001:3::1", "2001:4:112::1",
    "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff:ffff::1",
    "2001:db8::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::1",
    "2002:7f00:1::1", "2002:808:808::1", "2620:4f:8000::1", "3fff::1",
    "3fff:fff:ffff::1", "4000::1", "5f00::1", "6000::1", "8000::1", "c000::1",
    "e000::1", "f000::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
    "fdff:ffff::1", "fe00::1", "fe80::1", "febf:ffff::1", "fec0::1",
    "feff::1", "ff00::1", "ff02::1", "ff0e::1", "ffff::1"
};


static const char  *opened[] = {
    "1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0",
    "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0",
    "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0",
    "192.0.3.0", "192.31.195.255", "192.31.197.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255",
    "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",

    "64:ff9b::8.8.8.8", "64:ff9b::1.1.1.1", "2000::1", "2001:200::1",
    "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1", "2003::1",
    "2400::1", "2606:4700::1111", "2620:4f:7fff::1", "2620:4f:8001::1",
    "2a00::1", "3ffe:ffff::1", "3fff:1000::1"
};


static const struct {
    const char  *url;
    ngx_uint_t   good;
} urls[] = {
    { "http://example.com/", 1 },
    { "https://example.com/", 1 },
    { "http://example.com:443/", 1 },
    { "https://example.com:80/", 1 },
    { "http://localhost.example/", 1 },
    { "http://local.example/", 1 },
    { "http://mylocal.com/", 1 },
    { "http://a.internals/", 1 },
    { "http://a.notlocal/", 1 },
    { "http://8.8.8.8/", 1 },
    { "http://[2606:4700::1111]/", 1 },

    { "http://example.com:8080/", 0 },
    { "http://example.com:0/", 0 },
    { "http://example.com:22/", 0 },
    { "http://8.8.8.8:8080/", 0 },
    { "http://localhost/", 0 },
    { "http://LOCALHOST/", 0 },
    { "http://localhost./", 0 },
    { "http://%6cocalhost/", 0 },
    { "http://\xe2\x93\x9bocalhost/", 0 },
    { "http://a.localhost/", 0 },
    { "http://a.b.localhost./", 0 },
    { "http://printer.local/", 0 },
    { "http://metadata.google.internal/", 0 },
    { "http://a.internal./", 0 },
    { "http://intranet/", 0 },
    { "http://com./", 0 },
    { "http://127.0.0.1/", 0 },
    { "http://127.1/", 0 },
    { "http://0/", 0 },
    { "http://0x7f000001/", 0 },
    { "http://2130706433/", 0 },
    { "http://017700000001/", 0 },
    { "http://0251.0376.0251.0376/", 0 },
    { "http://\xef\xbc\x91\xef\xbc\x90.0.0.1/", 0 },
    { "http://[::1]/", 0 },
    { "http://[::]/", 0 },
    { "http://[::ffff:10.0.0.1]/", 0 },
    { "http://[0:0:0:0:0:ffff:7f00:1]/", 0 },
    { "http://[64:ff9b::7f00:1]/", 0 },
    { "http://[fe80::1]/", 0 }
};


static const struct {
    ngx_str_t   cidr;
    ngx_str_t   port;
    ngx_uint_t  good;
} allows[] = {
    { ngx_string("127.0.0.1"), ngx_string("8080"), 1 },
    { ngx_string("127.0.0.0/8"), ngx_null_string, 1 },
    { ngx_string("10.0.0.0/8"), ngx_string("65535"), 1 },
    { ngx_string("0.0.0.0/0"), ngx_null_string, 1 },
    { ngx_string("::1"), ngx_string("1"), 1 },
    { ngx_string("fc00::/7"), ngx_null_string, 1 },
    { ngx_string("::/0"), ngx_null_string, 1 },
    { ngx_string("1:2:3:4:5:6:7:8/128"), ngx_null_string, 1 },

    { ngx_string(""), ngx_null_string, 0 },
    { ngx_string("/8"), ngx_null_string, 0 },
    { ngx_string("127.0.0.1/8"), ngx_null_string, 0 },
    { ngx_string("127.0.0.0/33"), ngx_null_string, 0 },
    { ngx_string("127.0.0.0/"), ngx_null_string, 0 },
    { ngx_string("127.0.0.0/-1"), ngx_null_string, 0 },
    { ngx_string("127.0.0.0/8x"), ngx_null_string, 0 },
    { ngx_string("127.1/8"), ngx_null_string, 0 },
    { ngx_string("localhost"), ngx_null_string, 0 },
    { ngx_string("fc00::1/7"), ngx_null_string, 0 },
    { ngx_string("::/129"), ngx_null_string, 0 },
    { ngx_string("[::1]"), ngx_null_string, 0 },
    { ngx_string("1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:10:11:12:13:14:15"),
      ngx_null_string, 0 },
    { ngx_string("127.0.0.1"), ngx_string("0"), 0 },
    { ngx_string("127.0.0.1"), ngx_string("65536"), 0 },
    { ngx_string("127.0.0.1"), ngx_string("http"), 0 },
    { ngx_string("127.0.0.1"), ngx_string(""), 0 }
};


static const char *
check(const char *text, in_port_t port, ngx_array_t *allow)
{
    struct sockaddr_in   sin;
    struct sockaddr_in6  sin6;

    if (strchr(text, ':')) {
        memset(&sin6, 0, sizeof(sin6));
        sin6.sin6_family = AF_INET6;

        if (inet_pton(AF_INET6, text, &sin6.sin6_addr) != 1) {
            return "not an address: the test is wrong";
        }

        return nchat_guard_sockaddr((struct sockaddr *) &sin6, port, allow);
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;

    if (inet_pton(AF_INET, text, &sin.sin_addr) != 1) {
        return "not an address: the test is wrong";
    }

    return nchat_guard_sockaddr((struct sockaddr *) &sin, port, allow);
}


static const char *
check_url(ngx_pool_t *pool, const char *text, ngx_array_t *allow)
{
    ngx_str_t     s;
    const char   *why;
    nchat_url_t   url;

    s.data = (u_char *) text;
    s.len = strlen(text);

    if (nchat_url_parse(pool, &s, NULL, &url, &why) != NGX_OK) {
        return why;
    }

    return nchat_guard_url(&url, allow);
}


static void
test_addresses(void)
{
    size_t            i;
    const char       *why;
    struct sockaddr   local;

    for (i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++) {
        why = check(blocked[i], 80, NULL);
        ok(why != NULL && strstr(why, "the test is wrong") == NULL,
           "%s is blocked: %s", blocked[i], why ? why : "");
    }

    for (i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
        why = check(opened[i], 443, NULL);
        ok(why == NULL, "%s is open%s", opened[i], why ? why : "");

        why = check(opened[i], 8080, NULL);
        ok(why != NULL, "%s port 8080 is not", opened[i]);
    }

    memset(&local, 0, sizeof(local));
    local.sa_family = AF_UNIX;
    ok(nchat_guard_sockaddr(&local, 80, NULL) != NULL, "no Unix sockets");
}


static void
test_allow(ngx_pool_t *pool)
{
    size_t                i;
    ngx_array_t          *list;
    nchat_guard_allow_t   one, *a;

    for (i = 0; i < sizeof(allows) / sizeof(allows[0]); i++) {
        ok((nchat_guard_parse_allow((ngx_str_t *) &allows[i].cidr,
                                    allows[i].port.data
                                    ? (ngx_str_t *) &allows[i].port : NULL,
                                    &one)
            == NGX_OK) == allows[i].good,
           "allow \"%s\" \"%s\": %d", allows[i].cidr.data,
           allows[i].port.data ? (char *) allows[i].port.data : "",
           (int) allows[i].good);
    }

    list = ngx_array_create(pool, 2, sizeof(nchat_guard_allow_t));

    a = ngx_array_push(list);
    ok(nchat_guard_parse_allow(&str("127.0.0.0/8"), &str("8080"), a)
       == NGX_OK, "loopback on 8080");
    a = ngx_array_push(list);
    ok(nchat_guard_parse_allow(&str("fd00::/9"), NULL, a) == NGX_OK,
       "half of unique-local");

    ok(check("127.0.0.1", 8080, list) == NULL, "opened");
    ok(check("127.0.0.1", 80, list) != NULL, "not on another port");
    ok(check("128.0.0.1", 8080, list) != NULL, "not beyond the range");
    ok(check("::ffff:127.0.0.1", 8080, list) != NULL, "not in another form");
    ok(check("::7f00:1", 8080, list) != NULL, "nor in this one");
    ok(check("fd00::1", 80, list) == NULL, "without a port: 80");
    ok(check("fd7f:ffff::1", 443, list) == NULL, "and 443");
    ok(check("fd00::1", 8080, list) != NULL, "and no other");
    ok(check("fd80::1", 80, list) != NULL, "half a byte of prefix");
    ok(check("10.0.0.1", 80, list) != NULL, "the rest stays closed");
    ok(check("8.8.8.8", 80, list) == NULL, "the public stays open");

    ok(check_url(pool, "http://127.0.0.1:8080/", list) == NULL,
       "a literal address");
    ok(check_url(pool, "http://a.example:8080/", list) == NULL,
       "a name that may resolve to it");
    ok(check_url(pool, "http://a.example:8081/", list) != NULL,
       "a port that nothing opens");
    ok(check_url(pool, "http://localhost:8080/", list) != NULL
       && check_url(pool, "http://a.local:8080/", list) != NULL
       && check_url(pool, "http://a.internal:8080/", list) != NULL
       && check_url(pool, "http://a:8080/", list) != NULL,
       "names stay blocked whatever is allowed");
}


int
main(void)
{
    size_t       i;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    test_addresses();

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        ok((check_url(pool, urls[i].url, NULL) == NULL) == urls[i].good,
           "%s: %s", urls[i].url, urls[i].good ? "may go" : "may not");
    }

    test_allow(pool);

    ngx_destroy_pool(pool);

    return tap_done();
}
