/*
 * Metadata of HTML pages: each page is fed in pieces of several sizes.
 */


#include <stdio.h>
#include <libxml/parser.h>

#include "nchat_html.h"
#include "nchat_json.h"
#include "ngx_stubs.h"
#include "tap.h"


#define CAP  (1024 * 1024)


typedef struct {
    const char  *topic;
    ngx_str_t    page;
    const char  *type;         /* Content-Type */
    size_t       field;        /* offset in nchat_html_meta_t */
    const char  *value;
} page_t;


#define field(name)  offsetof(nchat_html_meta_t, name)
#define page(topic, html, name, value)                                        \
    { topic, ngx_string(html), NULL, field(name), value }
#define typed(topic, html, type, name, value)                                 \
    { topic, ngx_string(html), type, field(name), value }


#define OG(name, value)                                                       \
    "<meta property=\"og:" name "\" content=\"" value "\">"
#define META(name, value)                                                     \
    "<meta name=\"" name "\" content=\"" value "\">"
#define HEAD  "<!DOCTYPE html><html><head>"


static const page_t  pages[] = {
    page("title", "<title>A</title>", title, "A"),
    page("description", META("description", "D"), description, "D"),
    page("og over title", "<title>A</title>" OG("title", "B"), title, "B"),
    page("twitter over og", META("twitter:title", "C") OG("title", "B"),
         title, "C"),
    page("an empty value is none", META("twitter:title", " ")
         OG("title", "B"), title, "B"),
    page("the first of two", OG("title", "1") OG("title", "2"), title, "1"),
    page("name in property", "<meta property=twitter:title content=C>",
         title, "C"),
    page("og in name", META("og:title", "B"), title, "B"),
    page("itemprop", "<meta itemprop=datePublished content=2026-01-02>",
         published, "2026-01-02"),
    page("one tag, two names", "<meta property=og:title "
         "name=twitter:title content=X>", title, "X"),
    page("case", "<META NAME=\"Og:Title\" CONTENT=B>", title, "B"),
    page("twitter description", META("twitter:description", "T")
         OG("description", "O") META("description", "D"), description, "T"),
    page("site name", OG("site_name", "S"), site_name, "S"),
    page("application-name", META("application-name", "S"), site_name, "S"),
    page("type by default", "<title>A</title>", type, "website"),
    page("type", OG("type", "article"), type, "article"),
    page("author over all", META("author", "Jane"), author, "Jane"),
    page("an author's link is no name",
         "<meta property=article:author content=https://f.example/jane>"
         META("author", "Jane"), author, "Jane"),
    page("article:author",
         "<meta property=article:author content=Joe>" META("author", "Jane"),
         author, "Joe"),
    page("twitter:creator", META("twitter:creator", "@j")
         META("author", "Jane"), author, "@j"),
    page("published", "<meta property=article:published_time content=2026>",
         published, "2026"),
    page("theme colour", META("theme-color", "#a1b2c3"), theme_color,
         "#a1b2c3"),
    page("colour function", META("theme-color", "rgb(1, 2, 3)"), theme_color,
         "rgb(1, 2, 3)"),
    page("no colour", META("theme-color", "url(x);y"), theme_color, ""),

    page("image", OG("image", "/i.png"), image, "http://h.example/i.png"),
    page("twitter image", META("twitter:image", "t.png") OG("image", "o.png"),
         image, "http://h.example/a/t.png"),
    page("secure image", OG("image", "http://h.example/1")
         OG("image:secure_url", "https://h.example/1"), image,
         "https://h.example/1"),
    page("image of another scheme", META("twitter:image", "data:image/png,x")
         OG("image", "o.png"), image, "http://h.example/a/o.png"),
    page("image_src", "<link rel=image_src href=x.png>", image,
         "http://h.example/a/x.png"),
    page("image alt", OG("image", "o.png") OG("image:alt", "A"), image_alt,
         "A"),
    page("alt of the second image", OG("image", "1") OG("image", "2")
         OG("image:alt", "A"), image_alt, ""),
    page("alt of another image", META("twitter:image", "t")
         OG("image", "o") OG("image:alt", "A"), image_alt, ""),
    page("alt of the same image", META("twitter:image", "o")
         OG("image", "o") OG("image:alt", "A"), image_alt, "A"),
    page("video", OG("video", "//v.example/1"), video, "http://v.example/1"),
    page("player", META("twitter:player", "https://v.example/p")
         OG("video", "//v.example/1"), video, "https://v.example/p"),
    page("audio", OG("audio:url", "/1.mp3"), audio,
         "http://h.example/1.mp3"),

    page("favicon by default", "<title>A</title>", favicon,
         "http://h.example/favicon.ico"),
    page("icon", "<link rel=icon href=i.ico>", favicon,
         "http://h.example/a/i.ico"),
    page("shortcut icon", "<link rel='Shortcut Icon' href=/i.ico>", favicon,
         "http://h.example/i.ico"),
    page("icon over apple-touch-icon", "<link rel=apple-touch-icon href=a>"
         "<link rel=icon href=b>", favicon, "http://h.example/a/b"),
    page("no mask-icon", "<link rel=mask-icon href=a>", favicon,
         "http://h.example/favicon.ico"),
    page("data: icon", "<link rel=icon href=data:,>", favicon,
         "http://h.example/favicon.ico"),
    page("canonical", "<link rel=canonical href=?c>", canonical,
         "http://h.example/a/b?c"),
    page("oEmbed", "<link rel=alternate type=application/json+oembed "
         "href=/o>", oembed, "http://h.example/o"),
    page("oEmbed in JSON over XML", "<link rel=alternate "
         "type=text/xml+oembed href=/x><link rel=alternate "
         "type=\"application/json+oembed; charset=utf-8\" href=/o>", oembed,
         "http://h.example/o"),
    page("another alternate", "<link rel=alternate type=application/rss+xml "
         "href=/o>", oembed, ""),
    page("base", "<base href=//b.example/c/>" OG("image", "i"), image,
         "http://b.example/c/i"),
    page("base behind the link", OG("image", "i") "<base href=/c/>", image,
         "http://h.example/c/i"),
    page("base that is none", "<base href=data:,>" OG("image", "i"), image,
         "http://h.example/a/i"),
    page("userinfo", OG("image", "http://u:p@h.example/"), image, ""),
    page("script URL", OG("image", "javascript:alert(1)"), image, ""),

    page("entities", "<title>&lt;b&gt; &amp;amp; &#x263a; &#65;&eacute;"
         "</title>", title, "<b> &amp; \xe2\x98\xba A\xc3\xa9"),
    page("tags in a title", "<title>a <b>c</b></title>", title, "a <b>c</b>"),
    page("quotes", "<meta name=description content='a \"b\" c'>", description,
         "a \"b\" c"),
    page("an ampersand", "<title>R&D &nosuch; & </title>", title,
         "R&D &nosuch; &"),
    page("no such character", "<title>a&#0;&#xd800;&#x110000;b</title>",
         title, "ab"),
    page("white space", "<title>\n  a\t\tb&nbsp;\r\n c </title>", title,
         "a b c"),
    page("controls", "<title>a&#7;\x01 b\x7f\xc2\x80</title>", title, "a b"),
    page("overrides", "<title>a\xe2\x80\xae" "b\xe2\x81\xa6" "c</title>",
         title, "abc"),
    page("zero bytes", "<ti\0tle>a\0b</tit\0le>", title, "ab"),

    page("comments", "<!-- <title>x</title> --><title>a</title>", title, "a"),
    page("an empty comment", "<!--><title>a</title>", title, "a"),
    page("a comment of dashes", "<!---><title>a</title>", title, "a"),
    page("a comment with a bang", "<!-- --!><title>a</title>", title, "a"),
    page("a comment's false ends", "<!-- -> -!> - -> <title>x</title> --->"
         "<title>a</title>", title, "a"),
    page("a bogus comment", "<?x <title>?><title>a</title>", title, "a"),
    page("script", "<script><title>x</title></head></script><title>a</title>",
         title, "a"),
    page("a script's false ends", "<script></scriptx></ script></scrip"
         "<title>x</title></SCRIPT ><title>a</title>", title, "a"),
    page("style", "<style></head><title>x</title></style><title>a</title>",
         title, "a"),
    page("a title's false ends", "<title>a</tit</titlex></title>", title,
         "a</tit</titlex>"),
    page("no end", "<title>abc", title, "abc"),
    page("a title's second half", "<title>a</title><title>b</title>", title,
         "a"),
    page("attribute soup", "<meta/name='description'/content=a'b\"c x=y "
         "content=z a a a =b>", description, "a'b\"c"),
    page("no spaces", "<meta name=\"description\"content=\"a\">", description,
         "a"),
    page("an end tag's attributes", "</p title=\"<title>x</title>\">"
         "<title>a</title>", title, "a"),
    page("> in a value", "<meta name=description content=\"a > b\">",
         description, "a > b"),
    page("noscript in the head", HEAD "<noscript><img src=x></noscript>"
         OG("title", "B") "</head>", title, "B"),
    page("unknown tags in the head", HEAD "<x-y><div>" OG("title", "B"),
         title, "B"),
    page("behind the head", HEAD "</head>" OG("title", "B"), title, ""),
    page("in the body", HEAD "<body class=a>" OG("title", "B"), title, ""),
    page("text before", "hello < world <3 " OG("title", "B"), title, "B"),

    page("UTF-8", "<title>\xe6\x97\xa5\xe6\x9c\xac</title>", title,
         "\xe6\x97\xa5\xe6\x9c\xac"),
    page("nothing declared, not UTF-8", "<title>caf\xe9 \x80</title>", title,
         "caf\xc3\xa9 \xe2\x82\xac"),
    page("a mixture", "<title>\xc3\xa9\xe9\xe2\x82\xac\xe2\x82</title>",
         title, "\xc3\xa9\xc3\xa9\xe2\x82\xac\xc3\xa2\xe2\x80\x9a"),
    typed("declared UTF-8, is not", "<title>caf\xe9</title>",
          "text/html; charset=utf-8", title, "caf\xef\xbf\xbd"),
    typed("windows-1252", "<title>\xe9\x93</title>",
          "text/html; charset=windows-1252", title, "\xc3\xa9\xe2\x80\x9c"),
    typed("latin1 is windows-1252", "<title>\xc3\xa9</title>",
          "text/html;charset=\"ISO-8859-1\"", title, "\xc3\x83\xc2\xa9"),
    typed("Shift_JIS", "<title>\x93\xfa\x96\x7b</title>",
          "text/html; charset=Shift_JIS", title, "\xe6\x97\xa5\xe6\x9c\xac"),
    typed("EUC-JP", "<title>\xc6\xfc\xcb\xdc</title>",
          "text/html; charset = euc-jp", title, "\xe6\x97\xa5\xe6\x9c\xac"),
    typed("ISO-2022-JP", "<title>\x1b$BF|K\\\x1b(B</title>",
          "text/html; charset=iso-2022-jp", title,
          "\xe6\x97\xa5\xe6\x9c\xac"),
    typed("GBK", "<title>\xc4\xe3</title>", "text/html; charset=GB2312",
          title, "\xe4\xbd\xa0"),
    typed("KOI8-R", "<title>\xf0</title>", "text/html; charset=koi8-r",
          title, "\xd0\x9f"),
    typed("broken Shift_JIS", "<title>\x93\xfa\xff\xfe" "a</title>",
          "text/html; charset=shift_jis", title,
          "\xe6\x97\xa5\xef\xbf\xbd\xef\xbf\xbd" "a"),
    typed("UTF-16 by the header", "<\0t\0i\0t\0l\0e\0>\0\xe9\0\xac\x20",
          "text/html; charset=utf-16le", title, "\xc3\xa9\xe2\x82\xac"),
    page("UTF-16 by its mark", "\xfe\xff\0<\0t\0i\0t\0l\0e\0>\0\xe9", title,
         "\xc3\xa9"),
    page("UTF-16 by its look", "<\0t\0i\0t\0l\0e\0>\0\xe9\0", title,
         "\xc3\xa9"),
    page("UTF-8 by its mark", "\xef\xbb\xbf<meta charset=koi8-r>"
         "<title>\xc3\xa9</title>", title, "\xc3\xa9"),
    page("meta charset", "<meta charset='windows-1251'><title>\xcf</title>",
         title, "\xd0\x9f"),
    page("http-equiv", "<meta http-equiv=Content-Type content='text/html; "
         "charset=windows-1251'><title>\xcf</title>", title, "\xd0\x9f"),
    page("charset in a comment", "<!-- <meta charset=windows-1251> -->"
         "<title>\xcf</title>", title, "\xc3\x8f"),
    page("charset in a description", META("description", "charset=koi8-r")
         "<title>\xcf</title>", title, "\xc3\x8f"),
    page("UTF-16 in a meta is a lie", "<meta charset=utf-16>"
         "<title>\xc3\xa9</title>", title, "\xc3\xa9"),
    typed("the header over the meta", "<meta charset=koi8-r>"
          "<title>\xcf</title>", "text/html; charset=windows-1251", title,
          "\xd0\x9f"),
    typed("unknown charset", "<title>\xc3\xa9</title>",
          "text/html; charset=nosuch", title, "\xc3\xa9"),
    typed("UTF-7 is unknown", "<title>+AOk-</title>",
          "text/html; charset=utf-7", title, "+AOk-")
};


static ngx_int_t
read_page(ngx_pool_t *pool, const ngx_str_t *page, size_t piece,
    const char *type, nchat_html_meta_t *meta)
{
    u_char               *copy;
    size_t                i, n;
    ngx_int_t             rc;
    ngx_str_t             header;
    const char           *why;
    nchat_html_t         *html;
    static nchat_url_t    url;

    if (nchat_url_parse(pool, &str("http://h.example/a/b?q"), NULL, &url,
                        &why)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    header.data = (u_char *) type;
    header.len = type ? strlen(type) : 0;

    html = nchat_html_create(pool, &url, type ? &header : NULL, CAP);
    if (html == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_AGAIN;

    for (i = 0; i < page->len && rc == NGX_AGAIN; i += n) {
        n = page->len - i < piece ? page->len - i : piece;

        /* a copy of its own, so that reading beyond it is seen */

        copy = malloc(n);
        memcpy(copy, page->data + i, n);
        rc = nchat_html_feed(html, copy, n);
        free(copy);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    rc = nchat_html_finish(html, meta);

    return rc == NGX_OK ? (ngx_int_t) i : rc;
}


static void
test_pages(void)
{
    size_t               i, k;
    ngx_int_t            rc;
    ngx_str_t           *value;
    ngx_pool_t          *pool;
    ngx_uint_t           good;
    nchat_html_meta_t    meta;
    static const size_t  pieces[] = { 65536, 7, 2, 1 };

    for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        good = 1;

        for (k = 0; k < 4 && good; k++) {
            pool = ngx_create_pool(1024, NULL);

            rc = read_page(pool, &pages[i].page, pieces[k], pages[i].type,
                           &meta);

            if (rc < 0) {
                good = ok(0, "%s can be read", pages[i].topic);
                ngx_destroy_pool(pool);
                continue;
            }

            value = (ngx_str_t *) ((char *) &meta + pages[i].field);

            if (value->data == NULL) {
                value->data = (u_char *) "";
            }

            good = value->len == strlen(pages[i].value)
                   && memcmp(value->data, pages[i].value, value->len) == 0;

            if (k == 3 || !good) {
                is_str(value, pages[i].value, "%s", pages[i].topic);
            }

            ngx_destroy_pool(pool);
        }
    }
}


static void
test_sizes(void)
{
    ngx_pool_t         *pool;
    nchat_html_meta_t   meta;

    pool = ngx_create_pool(1024, NULL);

    ok(read_page(pool, &str(OG("image", "i") OG("image:width", "1200")
                            OG("image:height", "630px")),
                 65536, NULL, &meta) > 0
       && meta.image_width == 1200 && meta.image_height == 630,
       "size of an image");

    ok(read_page(pool, &str(OG("image", "i") OG("image:width", "-1")
                            OG("image:height", "99999999999999999999")),
                 65536, NULL, &meta) > 0
       && meta.image_width == 0 && meta.image_height == 0,
       "a size that is none");

    ok(read_page(pool, &str(OG("image", "1") OG("image:width", "10")
                            OG("image", "2") OG("image:width", "20")),
                 65536, NULL, &meta) > 0
       && meta.image_width == 10, "the size of the first image");

    ok(read_page(pool, &str(META("twitter:image", "i") OG("image", "o")
                            OG("image:width", "10")),
                 65536, NULL, &meta) > 0
       && meta.image_width == 0, "the size of another image");

    ngx_destroy_pool(pool);
}


/* "unit" again and again up to the cap, with "head" before it */

static ngx_str_t
repeat(const char *head, const char *unit, size_t size)
{
    u_char     *p, *last;
    size_t      n;
    ngx_str_t   s;

    s.data = malloc(size);
    s.len = size;

    n = strlen(head);
    memcpy(s.data, head, n);
    last = s.data + size;

    for (p = s.data + n; p < last; p += n) {
        n = strlen(unit);
        n = n < (size_t) (last - p) ? n : (size_t) (last - p);
        memcpy(p, unit, n);
    }

    return s;
}


static void
test_bounds(void)
{
    ngx_str_t            s;
    ngx_int_t            rc;
    ngx_pool_t          *pool;
    nchat_html_meta_t    meta;

    pool = ngx_create_pool(1024, NULL);

    s = repeat("<title>", "\xc3\xa9 ", 100000);
    ok(read_page(pool, &s, 4096, NULL, &meta) > 0
       && nchat_utf8_len(&meta.title) == NCHAT_HTML_TITLE_MAX - 1
       && nchat_utf8_valid(&meta.title),
       "a title is cut, not within a character or at a space");
    free(s.data);

    s = repeat("<title>", "\xf0\x9f\x98\x80", 100000);
    ok(read_page(pool, &s, 4096, NULL, &meta) > 0
       && nchat_utf8_len(&meta.title) == NCHAT_HTML_TITLE_MAX
       && nchat_utf8_valid(&meta.title),
       "four bytes for each character");
    free(s.data);

    s = repeat("<meta name=description content='", "abcdefghi ", 100000);
    memcpy(s.data + s.len - 30, "'><title>A</title>", 18);
    ok(read_page(pool, &s, 4096, NULL, &meta) > 0
       && nchat_utf8_len(&meta.description) == NCHAT_HTML_DESCRIPTION_MAX - 1
       && meta.title.len == 1,
       "a long description is cut, and what follows is read");
    free(s.data);

    s = repeat("<link rel=icon href=/", "abcdefghi", 3000);
    memcpy(s.data + s.len - 30, "><title>A</title>", 17);
    ok(read_page(pool, &s, 4096, NULL, &meta) > 0
       && strncmp((char *) meta.favicon.data, "http://h.example/favicon.ico",
                  meta.favicon.len) == 0
       && meta.title.len == 1,
       "a URL that is too long is none");
    free(s.data);

    s = repeat("<title>A</title>", "<div>", 10 * CAP);
    rc = read_page(pool, &s, 65536, NULL, &meta);
    ok(rc > 0 && rc <= CAP + 65536 && meta.title.len == 1,
       "10 MiB of nested tags: %d bytes taken, the title is there",
       (int) rc);
    free(s.data);

    s = repeat("<title>A</title></head>", "x", CAP);
    rc = read_page(pool, &s, 4096, NULL, &meta);
    ok(rc == 4096, "nothing is taken behind the head");
    free(s.data);

    ngx_destroy_pool(pool);
}


static double
seconds(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


/* pages that keep other parsers busy; sanitizers make all of it slower */

static void
test_time(void)
{
    size_t              i;
    double              start, took;
    ngx_str_t           s;
    ngx_pool_t         *pool;
    nchat_html_meta_t   meta;

    static const char  *bad[][2] = {
        { "<meta ", "a b c d e f g h " },
        { "<meta ", "name=name content=content " },
        { "<html><body-x>", "<i></b>" },
        { "<title>", "&" },
        { "<title>", "</title" },
        { "", "<" },
        { "", "<meta content=\"" },
        { "", "<meta name=a content=b>" },
        { "", "<link rel='icon icon icon icon' href=a>" },
        { "<!--", "- " },
        { "<!--", "--! " },
        { "<script>", "</scrip" },
        { "<meta content=", "&amp;" },
        { "<meta content=", "\"" },
        { "", "\xe2\x82" },
        { "<meta charset=iso-2022-jp>", "\x1b$B\x1b(B" },
        { "<meta charset=gb18030>", "\x81\x30\x81" }
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pool = ngx_create_pool(1024, NULL);
        s = repeat(bad[i][0], bad[i][1], CAP);

        start = seconds();
        (void) read_page(pool, &s, 4096, NULL, &meta);
        took = seconds() - start;

        ok(took < 1, "1 MiB of \"%s%s\": %.0f ms", bad[i][0],
           i < 14 ? bad[i][1] : "…", took * 1000);

        free(s.data);
        ngx_destroy_pool(pool);
    }
}


static void
test_memory(void)
{
    ngx_int_t           n, rc;
    ngx_pool_t         *pool;
    ngx_uint_t          wrong;
    nchat_html_meta_t   meta;

    static const ngx_str_t  text = ngx_string(
        "<meta charset=koi8-r><base href=/x/><title>A</title>"
        OG("image", "1") OG("image:alt", "2") META("description", "3")
        "<link rel=icon href=4>");

    wrong = 0;
    rc = NGX_ERROR;

    for (n = 0; n < 200 && rc < 0; n++) {
        pool = ngx_create_pool(1024, NULL);

        stubs_fail_at(n);
        rc = read_page(pool, &text, 65536, NULL, &meta);
        wrong += ((rc < 0) != stubs_failed());
        stubs_fail_at(-1);

        ngx_destroy_pool(pool);
    }

    ok(n > 10 && rc > 0 && wrong == 0, "each of %d allocations may fail",
       (int) n);
}


int
main(void)
{
    int  rc;

    xmlInitParser();

    test_pages();
    test_sizes();
    test_bounds();
    test_time();
    test_memory();

    rc = tap_done();

    xmlCleanupParser();

    return rc;
}
