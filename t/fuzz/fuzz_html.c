/*
 * Whatever a page is, its metadata is the same in pieces of any size, valid
 * UTF-8 of bounded length, and its URLs are http or https.
 */


#include <libxml/parser.h>

#include "nchat_html.h"
#include "nchat_json.h"
#include "ngx_stubs.h"


static const char  *types[] = {
    NULL, "text/html", "text/html; charset=utf-8",
    "text/html; charset=shift_jis", "text/html; charset=iso-2022-jp",
    "text/html; charset=gb18030", "text/html; charset=utf-16le",
    "text/html; charset=windows-1252"
};


static void
read_page(ngx_pool_t *pool, const uint8_t *data, size_t size, size_t piece,
    const char *type, nchat_html_meta_t *meta)
{
    size_t         i, n;
    ngx_int_t      rc;
    ngx_str_t      text, header;
    const char    *why;
    nchat_url_t   *url;
    nchat_html_t  *html;

    url = ngx_palloc(pool, sizeof(nchat_url_t));

    text.data = (u_char *) "https://h.example/a/b?c";
    text.len = strlen((char *) text.data);

    header.data = (u_char *) type;
    header.len = type ? strlen(type) : 0;

    if (nchat_url_parse(pool, &text, NULL, url, &why) != NGX_OK) {
        abort();
    }

    html = nchat_html_create(pool, url, type ? &header : NULL, 65536);
    rc = NGX_AGAIN;

    for (i = 0; i < size && rc == NGX_AGAIN; i += n) {
        n = size - i < piece ? size - i : piece;
        rc = nchat_html_feed(html, (u_char *) data + i, n);
    }

    if (rc == NGX_ERROR || nchat_html_finish(html, meta) != NGX_OK) {
        abort();
    }
}


static void
check_text(const ngx_str_t *text, size_t max)
{
    size_t  i;

    if (!nchat_utf8_valid(text) || nchat_utf8_len(text) > max) {
        abort();
    }

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < ' ' || text->data[i] == 0x7f) {
            abort();
        }
    }
}


static void
check_url(ngx_pool_t *pool, ngx_str_t *text)
{
    const char   *why;
    nchat_url_t   url;

    if (text->len
        && (text->len > NCHAT_HTML_URL_MAX
            || nchat_url_parse(pool, text, NULL, &url, &why) != NGX_OK))
    {
        abort();
    }
}


static void
same(const ngx_str_t *one, const ngx_str_t *two)
{
    if (one->len != two->len
        || (one->len && memcmp(one->data, two->data, one->len) != 0))
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char         *type;
    ngx_pool_t         *pool;
    ngx_str_t          *one, *two;
    ngx_uint_t          i;
    nchat_html_meta_t   whole, pieces;

    if (size < 2) {
        return 0;
    }

    type = types[data[0] % 8];
    pool = ngx_create_pool(1024, NULL);

    read_page(pool, data + 2, size - 2, size, type, &whole);
    read_page(pool, data + 2, size - 2, data[1] % 16 + 1, type, &pieces);

    one = &whole.title;
    two = &pieces.title;

    for (i = 0; &one[i] <= &whole.oembed; i++) {
        same(&one[i], &two[i]);
    }

    if (whole.image_width != pieces.image_width
        || whole.image_height != pieces.image_height)
    {
        abort();
    }

    check_text(&whole.title, NCHAT_HTML_TITLE_MAX);
    check_text(&whole.description, NCHAT_HTML_DESCRIPTION_MAX);
    check_text(&whole.image_alt, NCHAT_HTML_DESCRIPTION_MAX);
    check_text(&whole.site_name, NCHAT_HTML_TEXT_MAX);
    check_text(&whole.author, NCHAT_HTML_TEXT_MAX);
    check_text(&whole.type, NCHAT_HTML_WORD_MAX);
    check_text(&whole.published, NCHAT_HTML_WORD_MAX);
    check_text(&whole.theme_color, NCHAT_HTML_WORD_MAX);

    check_url(pool, &whole.image);
    check_url(pool, &whole.favicon);
    check_url(pool, &whole.video);
    check_url(pool, &whole.audio);
    check_url(pool, &whole.canonical);
    check_url(pool, &whole.oembed);

    if (whole.favicon.len == 0 || whole.type.len == 0) {
        abort();
    }

    ngx_destroy_pool(pool);

    return 0;
}


int LLVMFuzzerInitialize(int *argc, char ***argv);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    xmlInitParser();

    return 0;
}
