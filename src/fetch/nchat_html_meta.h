/*
 * The values that a page's tags offer, and the choice between them.
 */


#ifndef _NCHAT_HTML_META_H_INCLUDED_
#define _NCHAT_HTML_META_H_INCLUDED_


#include "nchat_html.h"


typedef enum {
    NCHAT_META_TITLE = 0,
    NCHAT_META_DESCRIPTION,
    NCHAT_META_IMAGE,
    NCHAT_META_IMAGE_ALT,
    NCHAT_META_IMAGE_WIDTH,
    NCHAT_META_IMAGE_HEIGHT,
    NCHAT_META_SITE_NAME,
    NCHAT_META_FAVICON,
    NCHAT_META_TYPE,
    NCHAT_META_VIDEO,
    NCHAT_META_AUDIO,
    NCHAT_META_AUTHOR,
    NCHAT_META_PUBLISHED,
    NCHAT_META_THEME_COLOR,
    NCHAT_META_CANONICAL,
    NCHAT_META_OEMBED,
    NCHAT_META_BASE,
    NCHAT_META_LAST
} nchat_meta_field_t;


/* who says it, the strongest first (contract, "Outbound") */

typedef enum {
    NCHAT_META_TWITTER = 0,
    NCHAT_META_OPEN_GRAPH,
    NCHAT_META_HTML,
    NCHAT_META_SOURCES
} nchat_meta_source_t;


typedef struct {
    ngx_str_t    value;            /* raw text of the page, in "pool" */
    ngx_uint_t   rank;             /* of two names for one thing; 0: none */
} nchat_meta_value_t;


typedef struct {
    ngx_pool_t          *pool;
    nchat_meta_value_t   values[NCHAT_META_LAST][NCHAT_META_SOURCES];
    ngx_uint_t           og_images;
    unsigned             failed:1; /* no memory */
} nchat_meta_t;


/*
 * Takes a <meta> by its name (of whichever attribute) and content, a <link> by
 * its rel, href and type, a <base> href, the text of <title>.  Strings are
 * valid UTF-8, need not outlive the call, and may be empty.  For a name that
 * comes again the first value stays.  Memory failures set "failed".
 */
void nchat_meta_add(nchat_meta_t *meta, ngx_str_t *name, ngx_str_t *content);
void nchat_meta_add_link(nchat_meta_t *meta, ngx_str_t *rel, ngx_str_t *href,
    ngx_str_t *type);
void nchat_meta_add_base(nchat_meta_t *meta, ngx_str_t *href);
void nchat_meta_add_title(nchat_meta_t *meta, ngx_str_t *text);

/* chooses, cleans and resolves; NGX_OK or NGX_ERROR: no memory */
ngx_int_t nchat_meta_choose(nchat_meta_t *meta, nchat_url_t *url,
    nchat_html_meta_t *result);


#endif /* _NCHAT_HTML_META_H_INCLUDED_ */
