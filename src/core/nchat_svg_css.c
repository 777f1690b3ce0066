/*
 * CSS and references in SVG.
 *
 * CSS is not parsed but searched, comments and strings included: whatever could
 * load something is refused wherever it stands.  Escapes could hide it, so they
 * are refused too; drawings have no use for them.
 */


#include "nchat_svg_int.h"


static const char *nchat_svg_css_url(u_char *p, u_char *last);
static ngx_uint_t nchat_svg_begins(u_char *p, u_char *last, const char *word);


/* functions that load images by a plain string, and relics that run code */

static const char  *nchat_svg_css_words[] = {
    "image-set(", "image(", "cross-fade(", "src(", "expression(",
    "-moz-binding", "behavior:", "javascript:", "vbscript:"
};


static const char  *nchat_svg_css_rules[] = {
    "media", "supports", "keyframes", "-webkit-keyframes", "font-face",
    "layer", "container"
};


static const char  *nchat_svg_images[] = {
    "data:image/png;base64,", "data:image/jpeg;base64,",
    "data:image/jpg;base64,", "data:image/gif;base64,",
    "data:image/webp;base64,"
};


const char *
nchat_svg_css(u_char *p, u_char *last, ngx_uint_t sheet)
{
    const char  *why;
    ngx_uint_t   i;

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '\\':
            return "has a CSS escape, and none is allowed";

        case '@':
            if (!sheet) {
                break;
            }

            for (i = 0; i < sizeof(nchat_svg_css_rules) / sizeof(char *); i++)
            {
                if (nchat_svg_begins(p + 1, last, nchat_svg_css_rules[i])) {
                    break;
                }
            }

            if (i == sizeof(nchat_svg_css_rules) / sizeof(char *)) {
                return "has a CSS at-rule that is not allowed";
            }

            break;

        case 'u':
        case 'U':
            if (nchat_svg_begins(p, last, "url(")) {
                why = nchat_svg_css_url(p + 4, last);
                if (why) {
                    return why;
                }
            }

            break;

        default:
            for (i = 0; i < sizeof(nchat_svg_css_words) / sizeof(char *); i++)
            {
                if (nchat_svg_begins(p, last, nchat_svg_css_words[i])) {
                    return "has CSS that loads or runs something";
                }
            }
        }
    }

    return NULL;
}


/* after "url(": only the id of an element of the same image */

static const char *
nchat_svg_css_url(u_char *p, u_char *last)
{
    u_char  quote, c;

    quote = 0;

    while (p < last && *p <= ' ') {
        p++;
    }

    if (p < last && (*p == '"' || *p == '\'')) {
        quote = *p++;
    }

    if (p == last || *p++ != '#') {
        return "has a url() that does not point to \"#id\"";
    }

    for ( /* void */ ; p < last; p++) {
        c = *p;

        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
              || c == '-' || c == '_' || c == '.' || c == ':' || c >= 0x80))
        {
            break;
        }
    }

    if (quote && (p == last || *p++ != quote)) {
        return "has a url() that does not point to \"#id\"";
    }

    while (p < last && *p <= ' ') {
        p++;
    }

    if (p == last || *p != ')') {
        return "has a url() that does not point to \"#id\"";
    }

    return NULL;
}


const char *
nchat_svg_href(u_char *p, u_char *last, ngx_uint_t image)
{
    u_char       c;
    ngx_uint_t   i, n;

    while (p < last && *p <= ' ') {
        p++;
    }

    if (p == last || *p == '#') {
        return NULL;
    }

    if (!image) {
        return "may only point to \"#id\"";
    }

    n = sizeof(nchat_svg_images) / sizeof(char *);

    for (i = 0; i < n; i++) {
        if (nchat_svg_begins(p, last, nchat_svg_images[i])) {
            break;
        }
    }

    if (i == n) {
        return "may only be \"#id\" or a data: URL of PNG, JPEG, GIF or WebP "
               "in base64";
    }

    for (p += ngx_strlen(nchat_svg_images[i]); p < last; p++) {
        c = *p;

        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
              || c == '+' || c == '/' || c == '=' || c <= ' '))
        {
            return "has base64 text that is not valid";
        }
    }

    return NULL;
}


static ngx_uint_t
nchat_svg_begins(u_char *p, u_char *last, const char *word)
{
    for ( /* void */ ; *word; p++, word++) {
        if (p == last || ngx_tolower(*p) != (u_char) *word) {
            return 0;
        }
    }

    return 1;
}
