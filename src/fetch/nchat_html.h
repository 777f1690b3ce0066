/*
 * What an HTML page says about itself, read as it arrives.
 */


#ifndef _NCHAT_HTML_H_INCLUDED_
#define _NCHAT_HTML_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "nchat_url.h"


/* code points; URLs: bytes */
#define NCHAT_HTML_TITLE_MAX        300
#define NCHAT_HTML_DESCRIPTION_MAX  1000
#define NCHAT_HTML_TEXT_MAX         200
#define NCHAT_HTML_WORD_MAX         64
#define NCHAT_HTML_URL_MAX          2048


/*
 * Strings without length were not there.  All text is valid UTF-8 on one line,
 * without controls and bidirectional overrides.  All URLs are absolute, http or
 * https, and plain ASCII.
 */

typedef struct {
    ngx_str_t    title;
    ngx_str_t    description;
    ngx_str_t    image;
    ngx_str_t    image_alt;
    ngx_str_t    site_name;
    ngx_str_t    favicon;          /* always: by default /favicon.ico */
    ngx_str_t    type;             /* always: by default "website" */
    ngx_str_t    video;
    ngx_str_t    audio;
    ngx_str_t    author;
    ngx_str_t    published;        /* as the page has it */
    ngx_str_t    theme_color;      /* a CSS colour by its characters */
    ngx_str_t    canonical;
    ngx_str_t    oembed;

    ngx_uint_t   image_width;      /* pixels, 0: unknown */
    ngx_uint_t   image_height;
} nchat_html_meta_t;


typedef struct nchat_html_s  nchat_html_t;


/*
 * Prepares to read the page at "url", which must live as long as the parser.
 * "content_type" is the value of that header, or NULL.  No more than "cap"
 * bytes are looked at.  libxml2's memory is freed with "pool"; xmlInitParser()
 * must have been called.  NULL: no memory.
 */
nchat_html_t *nchat_html_create(ngx_pool_t *pool, nchat_url_t *url,
    ngx_str_t *content_type, size_t cap);

/*
 * Takes the next bytes of the page, in pieces of any size; nothing points to
 * them afterwards.  Linear in time, with bounded memory.  NGX_AGAIN: more,
 * please.  NGX_DONE: the head is over or the cap is reached, the rest need not
 * be read.  NGX_ERROR: no memory.
 */
ngx_int_t nchat_html_feed(nchat_html_t *html, u_char *data, size_t len);

/*
 * Ends the page wherever it is and fills *meta with strings in the pool.
 * NGX_OK, or NGX_ERROR: no memory.  Nothing may be fed afterwards.
 */
ngx_int_t nchat_html_finish(nchat_html_t *html, nchat_html_meta_t *meta);


#endif /* _NCHAT_HTML_H_INCLUDED_ */
