/*
 * Bytes of a page -> UTF-8 -> the scanner's fragments -> libxml2 -> values.
 */


#include "nchat_html.h"
#include "nchat_charset.h"
#include "nchat_html_meta.h"
#include "nchat_html_scan.h"
#include <libxml/HTMLparser.h>


/* where the HTML standard looks for the encoding of a page */
#define NCHAT_HTML_PRESCAN    1024

/* decoded at a time */
#define NCHAT_HTML_CHUNK      4096

/* tags of a head that are looked at; more are noise */
#define NCHAT_HTML_FRAGMENTS  1000


struct nchat_html_s {
    ngx_pool_t         *pool;
    nchat_url_t        *url;
    htmlParserCtxtPtr   parser;
    nchat_meta_t        meta;
    nchat_html_scan_t   scan;
    nchat_charset_t     charset;
    ngx_str_t           label;         /* of the encoding, once known */

    size_t              left;          /* of the cap */
    ngx_uint_t          fragments;

    ngx_str_t           title;         /* collects text */
    size_t              nhead;
    u_char              head[NCHAT_HTML_PRESCAN];

    unsigned            decoding:1;    /* the encoding is settled */
    unsigned            in_title:1;
    unsigned            done:1;
    unsigned            failed:1;      /* no memory */
};


static ngx_int_t nchat_html_start_parser(nchat_html_t *html);
static ngx_int_t nchat_html_start_decoder(nchat_html_t *html);
static ngx_int_t nchat_html_decode(nchat_html_t *html, u_char *p,
    u_char *last);
static ngx_str_t *nchat_html_detect(nchat_html_t *html);
static void nchat_html_prescan_fragment(void *data, u_char *p, size_t len);
static void nchat_html_fragment(void *data, u_char *p, size_t len);
static void nchat_html_start_element(void *data, const xmlChar *name,
    const xmlChar **attrs);
static void nchat_html_end_element(void *data, const xmlChar *name);
static void nchat_html_characters(void *data, const xmlChar *p, int len);
static void nchat_html_meta(nchat_html_t *html, const xmlChar **attrs);
static ngx_str_t nchat_html_attr(const xmlChar **attrs, const char *name);
static void nchat_html_cleanup(void *data);


nchat_html_t *
nchat_html_create(ngx_pool_t *pool, nchat_url_t *url, ngx_str_t *content_type,
    size_t cap)
{
    nchat_html_t  *html;

    html = ngx_pcalloc(pool, sizeof(nchat_html_t));
    if (html == NULL) {
        return NULL;
    }

    html->pool = pool;
    html->url = url;
    html->left = cap;
    html->meta.pool = pool;

    if (content_type) {
        (void) nchat_charset_find(content_type->data, content_type->len,
                                  &html->label);
    }

    if (nchat_html_start_parser(html) != NGX_OK) {
        return NULL;
    }

    return html;
}


ngx_int_t
nchat_html_feed(nchat_html_t *html, u_char *data, size_t len)
{
    size_t  n;

    if (len > html->left) {
        len = html->left;
    }

    html->left -= len;

    if (len && !html->decoding) {
        n = ngx_min(NCHAT_HTML_PRESCAN - html->nhead, len);

        ngx_memcpy(html->head + html->nhead, data, n);

        html->nhead += n;
        data += n;
        len -= n;

        if (html->nhead == NCHAT_HTML_PRESCAN
            && nchat_html_start_decoder(html) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (html->decoding && nchat_html_decode(html, data, data + len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return (html->done || html->left == 0) ? NGX_DONE : NGX_AGAIN;
}


ngx_int_t
nchat_html_finish(nchat_html_t *html, nchat_html_meta_t *meta)
{
    if (!html->decoding && nchat_html_start_decoder(html) != NGX_OK) {
        return NGX_ERROR;
    }

    nchat_html_scan_finish(&html->scan);

    (void) htmlParseChunk(html->parser, NULL, 0, 1);

    if (html->failed || html->parser->errNo == XML_ERR_NO_MEMORY) {
        return NGX_ERROR;
    }

    return nchat_meta_choose(&html->meta, html->url, meta);
}


static ngx_int_t
nchat_html_start_parser(nchat_html_t *html)
{
    xmlSAXHandler        sax;
    ngx_pool_cleanup_t  *cln;

    static const char    start[] = "<html><head>";

    cln = ngx_pool_cleanup_add(html->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&sax, sizeof(xmlSAXHandler));

    sax.initialized = 1;
    sax.startElement = nchat_html_start_element;
    sax.endElement = nchat_html_end_element;
    sax.characters = nchat_html_characters;

    html->parser = htmlCreatePushParserCtxt(&sax, html, NULL, 0, NULL,
                                            XML_CHAR_ENCODING_UTF8);
    if (html->parser == NULL) {
        return NGX_ERROR;
    }

    cln->handler = nchat_html_cleanup;
    cln->data = html;

    (void) htmlCtxtUseOptions(html->parser,
                              HTML_PARSE_RECOVER|HTML_PARSE_NOERROR
                              |HTML_PARSE_NOWARNING|HTML_PARSE_NONET
                              |HTML_PARSE_IGNORE_ENC|HTML_PARSE_NODEFDTD);

    (void) htmlParseChunk(html->parser, start, sizeof(start) - 1, 0);

    nchat_html_scan_init(&html->scan, nchat_html_fragment, html);

    return NGX_OK;
}


/* the first bytes are here, or all there are: settles the encoding */

static ngx_int_t
nchat_html_start_decoder(nchat_html_t *html)
{
    u_char     *p;
    ngx_str_t  *label;

    html->decoding = 1;
    p = html->head;

    label = nchat_html_detect(html);

    if (nchat_charset_init(&html->charset, html->pool, label) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return nchat_html_decode(html, p, p + html->nhead);
}


static ngx_int_t
nchat_html_decode(nchat_html_t *html, u_char *p, u_char *last)
{
    u_char  *end, out[NCHAT_HTML_CHUNK];

    while (p < last && !html->done) {

        end = nchat_charset_decode(&html->charset, &p, last, out,
                                   out + NCHAT_HTML_CHUNK);

        if (nchat_html_scan(&html->scan, out, end - out) == NGX_DONE) {
            html->done = 1;
        }
    }

    return (html->failed || html->meta.failed) ? NGX_ERROR : NGX_OK;
}


/* a byte order mark, the header, a <meta>, in the order of the HTML standard */

static ngx_str_t *
nchat_html_detect(nchat_html_t *html)
{
    size_t              n;
    u_char             *p;
    nchat_html_scan_t  *hs;

    p = html->head;
    n = html->nhead;

    if (n >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) {
        ngx_str_set(&html->label, "utf-8");

    } else if (n >= 2 && p[0] == 0xfe && p[1] == 0xff) {
        ngx_str_set(&html->label, "utf-16be");

    } else if (n >= 2 && p[0] == 0xff && p[1] == 0xfe) {
        ngx_str_set(&html->label, "utf-16le");

    } else if (html->label.len == 0 && n >= 2 && p[0] == '<' && p[1] == 0) {
        ngx_str_set(&html->label, "utf-16le");

    } else if (html->label.len == 0 && n >= 2 && p[0] == 0 && p[1] == '<') {
        ngx_str_set(&html->label, "utf-16be");

    } else if (html->label.len == 0) {

        /* the same scanner, on the bytes as they are */

        hs = &html->scan;

        nchat_html_scan_init(hs, nchat_html_prescan_fragment, html);
        (void) nchat_html_scan(hs, p, n);
        nchat_html_scan_init(hs, nchat_html_fragment, html);
    }

    return &html->label;
}


/* a page whose <meta> could be read is not UTF-16, whatever it says */

static void
nchat_html_prescan_fragment(void *data, u_char *p, size_t len)
{
    nchat_html_t *html = data;

    ngx_str_t  label;

    if (html->label.len
        || (html->scan.seen & (NCHAT_HTML_HTTP_EQUIV|NCHAT_HTML_CHARSET)) == 0
        || nchat_charset_find(p, len, &label) != NGX_OK)
    {
        return;
    }

    if (label.len >= 6
        && ngx_strncasecmp(label.data, (u_char *) "utf-16", 6) == 0)
    {
        ngx_str_set(&html->label, "utf-8");
        return;
    }

    html->label.data = ngx_pnalloc(html->pool, label.len);
    if (html->label.data == NULL) {
        html->failed = 1;
        return;
    }

    ngx_memcpy(html->label.data, label.data, label.len);
    html->label.len = label.len;
}


static void
nchat_html_fragment(void *data, u_char *p, size_t len)
{
    nchat_html_t *html = data;

    if (++html->fragments > NCHAT_HTML_FRAGMENTS) {
        return;
    }

    (void) htmlParseChunk(html->parser, (char *) p, len, 0);

    if (html->parser->errNo == XML_ERR_NO_MEMORY) {
        html->failed = 1;
    }
}


static void
nchat_html_start_element(void *data, const xmlChar *name,
    const xmlChar **attrs)
{
    nchat_html_t *html = data;

    ngx_str_t  rel, href, type;

    if (ngx_strcmp(name, "title") == 0) {
        html->in_title = 1;
        return;
    }

    html->in_title = 0;

    if (attrs == NULL) {
        return;
    }

    if (ngx_strcmp(name, "meta") == 0) {
        nchat_html_meta(html, attrs);
        return;
    }

    href = nchat_html_attr(attrs, "href");

    if (ngx_strcmp(name, "base") == 0) {
        nchat_meta_add_base(&html->meta, &href);

    } else if (ngx_strcmp(name, "link") == 0) {
        rel = nchat_html_attr(attrs, "rel");
        type = nchat_html_attr(attrs, "type");
        nchat_meta_add_link(&html->meta, &rel, &href, &type);
    }
}


static void
nchat_html_end_element(void *data, const xmlChar *name)
{
    nchat_html_t *html = data;

    if (html->in_title && ngx_strcmp(name, "title") == 0) {
        html->in_title = 0;
        nchat_meta_add_title(&html->meta, &html->title);
    }
}


static void
nchat_html_characters(void *data, const xmlChar *p, int len)
{
    nchat_html_t *html = data;

    size_t  n;

    if (!html->in_title) {
        return;
    }

    /* what a fragment has, decoded, is never longer than the fragment */

    if (html->title.data == NULL) {
        html->title.data = ngx_pnalloc(html->pool, NCHAT_HTML_FRAGMENT_MAX);
        if (html->title.data == NULL) {
            html->failed = 1;
            return;
        }
    }

    n = ngx_min(NCHAT_HTML_FRAGMENT_MAX - html->title.len, (size_t) len);

    ngx_memcpy(html->title.data + html->title.len, p, n);
    html->title.len += n;
}


/* pages mix up which attribute has the name */

static void
nchat_html_meta(nchat_html_t *html, const xmlChar **attrs)
{
    ngx_uint_t           i;
    ngx_str_t            name, content;

    static const char   *names[] = { "property", "name", "itemprop" };

    content = nchat_html_attr(attrs, "content");

    if (content.len == 0) {
        return;
    }

    for (i = 0; i < 3; i++) {
        name = nchat_html_attr(attrs, names[i]);

        if (name.len) {
            nchat_meta_add(&html->meta, &name, &content);
        }
    }
}


static ngx_str_t
nchat_html_attr(const xmlChar **attrs, const char *name)
{
    ngx_str_t   value;
    ngx_uint_t  i;

    ngx_str_null(&value);

    for (i = 0; attrs[i]; i += 2) {
        if (ngx_strcmp(attrs[i], name) == 0 && attrs[i + 1]) {
            value.data = (u_char *) attrs[i + 1];
            value.len = ngx_strlen(attrs[i + 1]);
            break;
        }
    }

    return value;
}


static void
nchat_html_cleanup(void *data)
{
    nchat_html_t *html = data;

    /* a SAX user has no tree, but libxml2 may have begun one */

    if (html->parser->myDoc) {
        xmlFreeDoc(html->parser->myDoc);
    }

    htmlFreeParserCtxt(html->parser);
}
