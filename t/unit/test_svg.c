/*
 * The SVG check: what passes, what is refused, why and where.
 */


#include <stdio.h>
#include <libxml/parser.h>

#include "nchat_svg.h"
#include "nchat_svg_int.h"
#include "nchat_json.h"
#include "ngx_stubs.h"
#include "tap.h"


#define SVG   "<svg xmlns=\"http://www.w3.org/2000/svg\" "                    \
              "xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n"
#define END   "\n</svg>"
#define in(body)  ngx_string(SVG body END)


static const ngx_str_t  good[] = {
    ngx_string("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
    ngx_string("\xef\xbb\xbf<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
    ngx_string("<?xml version=\"1.0\"?>" SVG END),
    ngx_string("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" SVG END),
    ngx_string("<?xml version='1.0' encoding = 'utf-8' standalone='no'?>"
               SVG END),
    ngx_string("<s:svg xmlns:s=\"http://www.w3.org/2000/svg\"><s:g/></s:svg>"),
    ngx_string("<!-- a comment -->" SVG END "<!-- another -->\n"),
    in("<path d=\"M0 0L1,1z\" fill=\"#fff\" stroke-width='2'/>"),
    in("<g id='a' class='b c' transform='rotate(45)' opacity='.5'/>"),
    in("<defs><linearGradient id='g'><stop offset='0' stop-color='red'/>"
       "</linearGradient></defs><rect fill='url(#g)'/>"),
    in("<rect fill=\"url( '#g' ) none\"/><rect style='fill:url(\"#g\")'/>"),
    in("<use href='#a'/><use xlink:href='#a'/><use href=''/>"),
    in("<image href='data:image/png;base64,iVBORw0KGgo='/>"),
    in("<image xlink:href='DATA:image/JPEG;base64,/9j/\n  4AAQ'/>"),
    in("<image href='data:image/gif;base64,R0lG'/>"
       "<feImage/><image href='data:image/webp;base64,UklG'/>"),
    in("<style>.a{fill:red} @media print{.a{fill:url(#g)}}</style>"),
    in("<style type='text/css'><![CDATA[ a > b { fill: red } ]]></style>"),
    in("<style>@keyframes x{from{opacity:0}to{opacity:1}}</style>"),
    in("<text x='1'>a &lt; &amp; &#65; &#x1f600; \xc3\xbc <tspan>b</tspan>"
       "</text>"),
    in("<title>url(http://e.example/) is only text</title>"),
    in("<g aria-label='at a@b \\ c' data-x='url(http://e.example/)'/>"),
    in("<g xml:space='preserve' xml:lang='en'/>"),
    in("<filter id='f'><feGaussianBlur stdDeviation='2'/><feMerge>"
       "<feMergeNode in='SourceGraphic'/></feMerge></filter>"),
    in("<metadata><r:RDF xmlns:r=\"http://www.w3.org/1999/02/22-rdf-syntax-"
       "ns#\" xmlns:c=\"http://creativecommons.org/ns#\"><c:Work r:about=''>"
       "<r:li r:resource='http://purl.example/'/></c:Work></r:RDF></metadata>"),
    in("<g xmlns:i=\"http://www.inkscape.org/namespaces/inkscape\" "
       "i:label='Layer 1'><i:grid type='xygrid'/></g>")
};


static const struct {
    ngx_str_t    svg;
    ngx_uint_t   line;
    const char  *why;          /* a part of the reason */
} bad[] = {
    { ngx_string(""), 1, "empty" },
    { ngx_string("hello"), 1, "well-formed" },
    { ngx_string("{}"), 1, "well-formed" },
    { ngx_string("<svg/>"), 1, "svg in the namespace" },
    { ngx_string("<html xmlns=\"http://www.w3.org/1999/xhtml\"/>"), 1,
      "svg in the namespace" },
    { ngx_string("<g xmlns=\"http://www.w3.org/2000/svg\"/>"), 1,
      "svg in the namespace" },
    { ngx_string(SVG "<g></svg>"), 2, "well-formed" },
    { ngx_string(SVG "<g>\n\n\n</G>"), 5, "well-formed" },
    { ngx_string(SVG), 1, "it ends before" },
    { ngx_string(SVG "<g>\n\n"), 4, "it ends before" },
    { ngx_string(SVG END "<svg/>"), 3, "well-formed" },
    { in("<g x='1' x='2'/>"), 2, "redefined" },
    { in("<g x=1/>"), 2, "well-formed" },
    { in("a & b"), 2, "well-formed" },
    { in("&nbsp;"), 2, "nbsp" },
    { in("&#0;"), 2, "well-formed" },
    { in("\x01"), 2, "well-formed" },
    { ngx_string(SVG "\xe9" END), 1, "UTF-8" },
    { ngx_string("<\0s\0v\0g\0/\0>\0"), 1, "UTF-8" },
    { in("<a:b/>"), 2, "not defined" },
    { in("<g a:b='1'/>"), 2, "not defined" },

    { ngx_string("<!DOCTYPE svg>" SVG END), 1, "document type" },
    { ngx_string("<!-- -->\n<!DOCTYPE svg PUBLIC \"a\" \"b\">" SVG END), 2,
      "document type" },
    { ngx_string("<!DOCTYPE svg [<!ENTITY a \"b\">]>" SVG "&a;" END), 1,
      "document type" },
    { ngx_string("<!DOCTYPE svg [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>"
                 SVG "&a;" END), 1, "document type" },
    { ngx_string("<?xml-stylesheet href=\"http://e.example/\"?>" SVG END), 1,
      "processing instruction" },
    { ngx_string(" <?xml version=\"1.0\"?>" SVG END), 1,
      "processing instruction" },
    { in("<?php x ?>"), 2, "processing instruction" },
    { in("<g>\n<![CDATA[ ]]>\n<?x?></g>"), 4, "processing instruction" },
    { ngx_string("<?xml version=\"1.0\" encoding=\"UTF-7\"?>" SVG END), 1,
      "encoding" },
    { ngx_string("<?xml version='1.0' encoding='utf-16'?>" SVG END), 1,
      "encoding" },

    { in("<script>alert(1)</script>"), 2, "\"script\"" },
    { in("<SCRIPT/>"), 2, "\"SCRIPT\"" },
    { in("<script xmlns=\"http://www.w3.org/1999/xhtml\"/>"), 2, "script" },
    { in("<h:script xmlns:h=\"http://www.w3.org/1999/xhtml\"/>"), 2,
      "script" },
    { in("<g>\n<foreignObject/></g>"), 3, "\"foreignObject\"" },
    { in("<h:iframe xmlns:h=\"http://www.w3.org/1999/xhtml\"/>"), 2,
      "iframe" },
    { in("<svg xmlns=\"\"/>"), 2, "svg" },
    { in("<a href='#x'/>"), 2, "\"a\"" },
    { in("<animate attributeName='href' to='javascript:1'/>"), 2, "animate" },
    { in("<set attributeName='onclick' to='1'/>"), 2, "set" },
    { in("<handler/>"), 2, "handler" },
    { in("<tref xlink:href='http://e.example/'/>"), 2, "tref" },
    { in("<metadata><script/></metadata>"), 2, "script" },
    { in("<r:x xmlns:r=\"http://creativecommons.org/ns#\"><script/></r:x>"),
      2, "script" },
    { in("<r:x xmlns:r=\"http://creativecommons.org/ns#\" onload='1'/>"), 2,
      "onload" },

    { in("<g onload='1'/>"), 2, "event handler \"onload\"" },
    { in("<g ONCLICK='1'/>"), 2, "event handler" },
    { in("<g on='1'/>"), 2, "event handler" },
    { in("<g e:event='x' xmlns:e=\"http://www.w3.org/2001/xml-events\"/>"), 2,
      "not allowed" },
    { in("<g nosuch='1'/>"), 2, "\"nosuch\"" },
    { in("<g src='x'/>"), 2, "\"src\"" },
    { in("<g xml:base='http://e.example/'/>"), 2, "base" },

    { in("<use href='http://e.example/a.svg#b'/>"), 2, "#id" },
    { in("<use href='a.svg#b'/>"), 2, "#id" },
    { in("<use href='//e.example/'/>"), 2, "#id" },
    { in("<use xlink:href='data:image/svg+xml;base64,AAAA#x'/>"), 2, "#id" },
    { in("<use href='data:image/png;base64,AAAA'/>"), 2, "#id" },
    { in("<use x:href='http://e.example/' "
         "xmlns:x=\"http://www.w3.org/1999/xlink\"/>"), 2, "#id" },
    { in("<image href='http://e.example/a.png'/>"), 2, "data:" },
    { in("<image href='data:image/svg+xml;base64,AAAA'/>"), 2, "data:" },
    { in("<image href='data:text/html;base64,AAAA'/>"), 2, "data:" },
    { in("<image href='data:image/png,AAAA'/>"), 2, "data:" },
    { in("<image href='data:image/png;base64,AA%41A'/>"), 2, "base64" },
    { in("<image href='&#106;avascript:1'/>"), 2, "data:" },
    { in("<feImage xlink:href='http://e.example/'/>"), 2, "data:" },
    { in("<linearGradient href='x#g'/>"), 2, "#id" },

    { in("<rect fill='url(http://e.example/)'/>"), 2, "url()" },
    { in("<rect fill='URL(//e.example/)'/>"), 2, "url()" },
    { in("<rect fill='url( \"x.svg#g\" )'/>"), 2, "url()" },
    { in("<rect fill='&#117;rl(x)'/>"), 2, "url()" },
    { in("<rect fill='u\\72l(x)'/>"), 2, "escape" },
    { in("<rect fill='url(#a'/>"), 2, "url()" },
    { in("<rect fill='url(#a b)'/>"), 2, "url()" },
    { in("<rect fill=\"url('#a)\"/>"), 2, "url()" },
    { in("<rect filter='url(#a) url(x)'/>"), 2, "url()" },
    { in("<rect style='background:url(x)'/>"), 2, "url()" },
    { in("<rect style='@import \"x\"'/>"), 2, "at-rule" },
    { in("<rect cursor='url(http://e.example/),auto'/>"), 2, "url()" },
    { in("<style>\n@import 'http://e.example/';</style>"), 3, "at-rule" },
    { in("<style>@IMPORT url(#a);</style>"), 2, "at-rule" },
    { in("<style>@namespace x url(#a);</style>"), 2, "at-rule" },
    { in("<style>a{b:url(http://e.example/)}</style>"), 2, "url()" },
    { in("<style>a{b:u<!-- -->rl(x)}</style>"), 2, "url()" },
    { in("<style>a{b:u<![CDATA[rl(x)]]>}</style>"), 2, "url()" },
    { in("<style>a{b:u&#114;l(x)}</style>"), 2, "url()" },
    { in("<style>/*\"*/a{b:url(x)}/*\"*/</style>"), 2, "url()" },
    { in("<style>a{b:\\75rl(x)}</style>"), 2, "escape" },
    { in("<style>a{b:image-set('x' 1x)}</style>"), 2, "loads" },
    { in("<style>a{b:-webkit-image-set('x' 1x)}</style>"), 2, "loads" },
    { in("<style>a{b:Expression(1)}</style>"), 2, "runs" },
    { in("<style>a{-moz-binding:none}</style>"), 2, "runs" },
    { in("<style type='text/less'>a</style>"), 2, "text/css" },
    { in("<style><g/></style>"), 2, "\"g\"" }
};


static const struct {
    ngx_str_t    given;
    const char  *name;         /* NULL: refused */
} names[] = {
    { ngx_string("logo.svg"), "logo.svg" },
    { ngx_string("My Logo (2).svg"), "MyLogo2.svg" },
    { ngx_string("a-b.c.svg"), "a-b.c.svg" },
    { ngx_string("a_b.svg"), "ab.svg" },
    { ngx_string("\xc3\xbc" "ber.svg"), "ber.svg" },
    { ngx_string("a/b\\c\0d.svg"), "abcd.svg" },
    { ngx_string("a\r\nb.svg"), "ab.svg" },
    { ngx_string("a.svg "), "a.svg" },
    { ngx_string("../../etc/passwd.svg"), NULL },
    { ngx_string(".svg"), NULL },
    { ngx_string(".a.svg"), NULL },
    { ngx_string("a"), NULL },
    { ngx_string(""), NULL },
    { ngx_string("svg"), NULL },
    { ngx_string("a.SVG"), NULL },
    { ngx_string("a.svgz"), NULL },
    { ngx_string("a.svg.html"), NULL },
    { ngx_string("\xe6\x97\xa5.svg"), NULL }
};


static void
test_good(void)
{
    size_t              i;
    ngx_int_t           rc;
    ngx_pool_t         *pool;
    nchat_svg_error_t   err;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        pool = ngx_create_pool(1024, NULL);

        rc = nchat_svg_check(pool, (ngx_str_t *) &good[i], &err);

        ok(rc == NGX_OK, "good %d: %.*s", (int) i, (int) err.reason.len,
           err.reason.data ? (char *) err.reason.data : "");

        ngx_destroy_pool(pool);
    }
}


static void
test_bad(void)
{
    size_t              i;
    char                reason[1024];
    ngx_int_t           rc;
    ngx_pool_t         *pool;
    nchat_svg_error_t   err;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pool = ngx_create_pool(1024, NULL);

        rc = nchat_svg_check(pool, (ngx_str_t *) &bad[i].svg, &err);

        snprintf(reason, sizeof(reason), "%.*s", (int) err.reason.len,
                 err.reason.data ? (char *) err.reason.data : "");

        ok(rc == NGX_DECLINED && strstr(reason, bad[i].why) != NULL
           && err.line == bad[i].line && nchat_utf8_valid(&err.reason),
           "bad %d: line %d: %s", (int) i, (int) err.line, reason);

        ok(strstr(reason, "\": ") == NULL, "bad %d: is a sentence", (int) i);

        ngx_destroy_pool(pool);
    }
}


static ngx_int_t
check(ngx_pool_t *pool, const char *unit, size_t size,
    nchat_svg_error_t *err)
{
    size_t      n;
    ngx_int_t   rc;
    ngx_str_t   s;

    s.data = malloc(size);
    s.len = sprintf((char *) s.data, "%s", SVG);

    for (n = strlen(unit); s.len + n + strlen(END) <= size; s.len += n) {
        memcpy(s.data + s.len, unit, n);
    }

    memset(s.data + s.len, ' ', size - s.len);
    memcpy(s.data + size - strlen(END), END, strlen(END));
    s.len = size;

    rc = nchat_svg_check(pool, &s, err);
    free(s.data);

    return rc;
}


static void
test_bounds(void)
{
    char                many[8192], *p;
    size_t              i;
    clock_t             start;
    ngx_int_t           rc;
    ngx_str_t           s;
    ngx_pool_t         *pool;
    nchat_svg_error_t   err;

    pool = ngx_create_pool(1024, NULL);

    ok(check(pool, "<g/>", NCHAT_SVG_MAX, &err) == NGX_OK, "256 KiB");
    ok(check(pool, "<g/>", NCHAT_SVG_MAX + 1, &err) == NGX_DECLINED,
       "one byte more");

    start = clock();
    rc = check(pool, "<g>", NCHAT_SVG_MAX, &err);
    ok(rc == NGX_DECLINED && clock() - start < CLOCKS_PER_SEC,
       "too deep, known soon");

    start = clock();
    rc = check(pool, "<style>a{b:c}</style>", NCHAT_SVG_MAX, &err);
    ok(rc == NGX_OK && clock() - start < CLOCKS_PER_SEC, "many styles");

    for (i = 0; i < 2; i++) {
        p = many + sprintf(many, "%s<g", SVG);

        for (s.len = 0; s.len < NCHAT_SVG_ATTRIBUTES_MAX + i; s.len++) {
            p += sprintf(p, " data-%d='>'", (int) s.len);
        }

        p += sprintf(p, "/>%s", END);

        s.data = (u_char *) many;
        s.len = p - many;

        ok(nchat_svg_check(pool, &s, &err) == (i ? NGX_DECLINED : NGX_OK),
           "%d attributes", NCHAT_SVG_ATTRIBUTES_MAX + (int) i);
    }

    ngx_destroy_pool(pool);
}


static void
test_names(void)
{
    char         longest[256];
    size_t       i;
    ngx_int_t    rc;
    ngx_str_t    given, name;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        rc = nchat_svg_name(pool, (ngx_str_t *) &names[i].given, &name);

        if (names[i].name == NULL) {
            ok(rc == NGX_DECLINED, "no name: %s", names[i].given.data);

        } else if (ok(rc == NGX_OK, "a name: %s", names[i].name)) {
            is_str(&name, names[i].name, "it is");
        }
    }

    memset(longest, 'a', sizeof(longest));
    memcpy(longest + 96, ".svg.svg", 8);
    given.data = (u_char *) longest;

    given.len = 100;
    ok(nchat_svg_name(pool, &given, &name) == NGX_OK, "100 characters");

    memcpy(longest + 96, "a.svg", 5);
    given.len = 101;
    ok(nchat_svg_name(pool, &given, &name) == NGX_DECLINED, "101 characters");

    ngx_destroy_pool(pool);
}


static void
test_memory(void)
{
    ngx_int_t           n, rc;
    ngx_str_t           svg;
    ngx_pool_t         *pool;
    ngx_uint_t          wrong, i;
    nchat_svg_error_t   err;

    for (i = 0; i < 2; i++) {
        wrong = 0;
        rc = NGX_ERROR;

        for (n = 0; n < 100 && rc == NGX_ERROR; n++) {
            pool = ngx_create_pool(1024, NULL);

            svg = i ? str(SVG "<style>a{}</style><script/>" END)
                    : str(SVG "<style>a{}</style>" END);

            stubs_fail_at(n);
            rc = nchat_svg_check(pool, &svg, &err);
            wrong += ((rc == NGX_ERROR) != stubs_failed());
            stubs_fail_at(-1);

            ngx_destroy_pool(pool);
        }

        ok(n > 2 && rc == (i ? NGX_DECLINED : NGX_OK) && wrong == 0,
           "each of %d allocations may fail", (int) n);
    }
}


int
main(void)
{
    int  rc;

    xmlInitParser();

    test_good();
    test_bad();
    test_bounds();
    test_names();
    test_memory();

    rc = tap_done();

    xmlCleanupParser();

    return rc;
}
