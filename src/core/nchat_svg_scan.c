/*
 * The scan of an SVG image before an XML parser sees it.
 */


#include "nchat_svg_int.h"


static const char *nchat_svg_scan_markup(u_char **pos, u_char *last,
    ngx_uint_t first);
static const char *nchat_svg_scan_declaration(u_char **pos, u_char *last);
static const char *nchat_svg_scan_tag(u_char **pos, u_char *last);
static u_char *nchat_svg_skip(u_char *p, u_char *last, const char *end);
static ngx_uint_t nchat_svg_at(u_char *p, u_char *last, const char *word);


const char *
nchat_svg_scan(u_char *p, u_char *last, ngx_uint_t *line)
{
    u_char      *start, *counted;
    const char  *why;

    if (nchat_svg_at(p, last, "\xef\xbb\xbf")) {
        p += 3;
    }

    counted = p;
    start = p;
    *line = 1;
    why = NULL;

    while (p < last && why == NULL) {

        p = ngx_strlchr(p, last, '<');
        if (p == NULL) {
            break;
        }

        for ( /* void */ ; counted < p; counted++) {
            *line += (*counted == '\n');
        }

        why = nchat_svg_scan_markup(&p, last, p == start);
    }

    return why;
}


/* at "<"; moves on behind the markup */

static const char *
nchat_svg_scan_markup(u_char **pos, u_char *last, ngx_uint_t first)
{
    u_char  *p;

    p = *pos;

    if (nchat_svg_at(p, last, "<!--")) {
        *pos = nchat_svg_skip(p + 4, last, "-->");
        return NULL;
    }

    if (nchat_svg_at(p, last, "<![CDATA[")) {
        *pos = nchat_svg_skip(p + 9, last, "]]>");
        return NULL;
    }

    if (nchat_svg_at(p, last, "<!")) {
        return "a document type or entity declaration is not allowed";
    }

    if (nchat_svg_at(p, last, "<?")) {

        if (first && nchat_svg_at(p, last, "<?xml") && last - p > 5
            && p[5] <= ' ')
        {
            return nchat_svg_scan_declaration(pos, last);
        }

        return "a processing instruction is not allowed";
    }

    return nchat_svg_scan_tag(pos, last);
}


static const char *
nchat_svg_scan_declaration(u_char **pos, u_char *last)
{
    u_char  *p, *end;

    end = nchat_svg_skip(*pos, last, "?>");

    for (p = *pos; p < end; p++) {

        if (!nchat_svg_at(p, end, "encoding")) {
            continue;
        }

        for (p += 8; p < end && (*p <= ' ' || *p == '='); p++) { /* void */ }

        if (end - p < 7 || ngx_strncasecmp(p + 1, (u_char *) "utf-8", 5) != 0
            || p[6] != p[0])
        {
            return "the encoding is not UTF-8";
        }
    }

    *pos = end;

    return NULL;
}


static const char *
nchat_svg_scan_tag(u_char **pos, u_char *last)
{
    u_char      *p, quote;
    ngx_uint_t   n;

    n = 0;
    quote = 0;

    for (p = *pos + 1; p < last; p++) {

        if (quote) {
            if (*p == quote) {
                quote = 0;
            }

            continue;
        }

        switch (*p) {

        case '"':
        case '\'':
            quote = *p;

            if (++n > NCHAT_SVG_ATTRIBUTES_MAX) {
                return "an element has too many attributes";
            }

            break;

        case '>':
            *pos = p + 1;
            return NULL;
        }
    }

    *pos = last;

    return NULL;
}


static u_char *
nchat_svg_skip(u_char *p, u_char *last, const char *end)
{
    for ( /* void */ ; p < last; p++) {
        if (nchat_svg_at(p, last, end)) {
            return p + ngx_strlen(end);
        }
    }

    return last;
}


static ngx_uint_t
nchat_svg_at(u_char *p, u_char *last, const char *word)
{
    size_t  len;

    len = ngx_strlen(word);

    return (size_t) (last - p) >= len && ngx_memcmp(p, word, len) == 0;
}
