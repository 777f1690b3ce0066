/*
 * The fragments that the scanner of a page's head hands on.
 */


#include "nchat_html_scan.h"


static void nchat_html_limit(nchat_html_scan_t *hs, size_t len);
static void nchat_html_add(nchat_html_scan_t *hs, u_char *p, size_t len);


#define NCHAT_HTML_WATCHED  (sizeof(nchat_html_attrs)                         \
                             / sizeof(nchat_html_attrs[0]))

#define nchat_html_add_string(hs, s)                                          \
    nchat_html_add(hs, (u_char *) s, sizeof(s) - 1)


/* room behind a cut value for what closes its tag */
#define NCHAT_HTML_TAIL  16

/* bytes of one value; what is longer loses its end, a URL its use */
#define NCHAT_HTML_VALUE_MAX  4096


/* the places are the bits of "seen" */

static const char  *nchat_html_attrs[] = {
    "property", "name", "itemprop", "http-equiv", "content", "charset", "rel",
    "href", "type"
};


/* elements whose content is text whatever it looks like */

static const char  *nchat_html_raw_names[] = {
    "script", "style", "title", "textarea", "xmp", "iframe", "noembed",
    "noframes"
};


void
nchat_html_fragment_start(nchat_html_scan_t *hs)
{
    size_t       len;
    u_char      *name;
    ngx_uint_t   i;

    name = hs->name;
    len = hs->name_len;

    hs->raw = NULL;
    hs->keep = 0;
    hs->seen = 0;
    hs->pos = hs->buf;
    nchat_html_limit(hs, NCHAT_HTML_FRAGMENT_MAX);

    if (hs->end_tag) {
        hs->done = (len == 4 && ngx_memcmp(name, "head", 4) == 0);
        return;
    }

    if (len == 4 && ngx_memcmp(name, "body", 4) == 0) {
        hs->done = 1;
        return;
    }

    if (len == 8 && ngx_memcmp(name, "frameset", 8) == 0) {
        hs->done = 1;
        return;
    }

    if (len == 4 && (ngx_memcmp(name, "meta", 4) == 0
                     || ngx_memcmp(name, "link", 4) == 0
                     || ngx_memcmp(name, "base", 4) == 0))
    {
        hs->keep = 1;
        nchat_html_add_string(hs, "<");
        nchat_html_add(hs, name, len);
        return;
    }

    for (i = 0; i < sizeof(nchat_html_raw_names) / sizeof(char *); i++) {
        if (ngx_strlen(nchat_html_raw_names[i]) == len
            && ngx_memcmp(nchat_html_raw_names[i], name, len) == 0)
        {
            hs->raw = nchat_html_raw_names[i];
            return;
        }
    }
}


void
nchat_html_fragment_attr(nchat_html_scan_t *hs)
{
    u_char      *start;
    ngx_uint_t   i;

    hs->keep_attr = 0;

    if (!hs->keep) {
        return;
    }

    for (i = 0; i < NCHAT_HTML_WATCHED; i++) {
        if (ngx_strlen(nchat_html_attrs[i]) == hs->name_len
            && ngx_memcmp(nchat_html_attrs[i], hs->name, hs->name_len) == 0)
        {
            break;
        }
    }

    if (i == NCHAT_HTML_WATCHED || (hs->seen & (1 << i))) {
        return;
    }

    start = hs->pos;

    nchat_html_add_string(hs, " ");
    nchat_html_add(hs, hs->name, hs->name_len);
    nchat_html_add_string(hs, "=\"");

    if (hs->full) {
        hs->pos = start;
        return;
    }

    hs->seen |= 1 << i;
    hs->keep_attr = 1;
    nchat_html_limit(hs, NCHAT_HTML_VALUE_MAX);
}


void
nchat_html_fragment_value_end(nchat_html_scan_t *hs)
{
    if (hs->keep_attr) {
        hs->keep_attr = 0;
        *hs->pos++ = '"';
        nchat_html_limit(hs, NCHAT_HTML_FRAGMENT_MAX);
    }
}


void
nchat_html_fragment_end(nchat_html_scan_t *hs)
{
    if (hs->keep) {
        hs->keep = 0;
        *hs->pos++ = '>';
        hs->handler(hs->data, hs->buf, hs->pos - hs->buf);
        return;
    }

    if (hs->raw && !hs->titled && ngx_strcmp(hs->raw, "title") == 0) {
        hs->titled = 1;
        hs->keep = 1;
        nchat_html_add_string(hs, "<title>");
        nchat_html_limit(hs, NCHAT_HTML_VALUE_MAX);
    }
}


void
nchat_html_fragment_title(nchat_html_scan_t *hs)
{
    if (!hs->keep) {
        return;
    }

    hs->keep = 0;
    hs->pos = ngx_cpymem(hs->pos, "</title>", sizeof("</title>") - 1);
    hs->handler(hs->data, hs->buf, hs->pos - hs->buf);
}


/* what comes next may have this many bytes, if the buffer has */

static void
nchat_html_limit(nchat_html_scan_t *hs, size_t len)
{
    u_char  *last;

    last = hs->buf + NCHAT_HTML_FRAGMENT_MAX - NCHAT_HTML_TAIL;
    last = ngx_max(last, hs->pos);

    hs->limit = hs->pos + ngx_min(len, (size_t) (last - hs->pos));
    hs->full = 0;
}


/* adds what fits, never a part of a character, and nothing behind a cut */

static void
nchat_html_add(nchat_html_scan_t *hs, u_char *p, size_t len)
{
    size_t  room;

    if (hs->full) {
        return;
    }

    room = hs->limit - hs->pos;

    if (len > room) {
        hs->full = 1;
        len = room;

        while (len && (p[len] & 0xc0) == 0x80) {
            len--;
        }
    }

    hs->pos = ngx_cpymem(hs->pos, p, len);
}


void
nchat_html_fragment_text(nchat_html_scan_t *hs, u_char *p, size_t len)
{
    u_char  *q, *last;

    last = p + len;

    while (p < last) {

        for (q = p; q < last && *q != '"' && *q != '<'; q++) { /* void */ }

        nchat_html_add(hs, p, q - p);

        if (q == last) {
            return;
        }

        if (*q == '"') {
            nchat_html_add_string(hs, "&quot;");

        } else {
            nchat_html_add_string(hs, "&lt;");
        }

        p = q + 1;
    }
}
