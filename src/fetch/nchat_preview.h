/*
 * What a link preview says: the payload of GET /api/link-preview.
 */


#ifndef _NCHAT_PREVIEW_H_INCLUDED_
#define _NCHAT_PREVIEW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_html.h"


typedef enum {
    NCHAT_PREVIEW_HTML = 0,
    NCHAT_PREVIEW_IMAGE,
    NCHAT_PREVIEW_VIDEO,
    NCHAT_PREVIEW_AUDIO,
    NCHAT_PREVIEW_OTHER
} nchat_preview_kind_e;


typedef struct {
    nchat_url_t           *asked;   /* what the client asked for */
    nchat_url_t           *page;    /* where it led to */
    nchat_preview_kind_e   kind;
    nchat_html_meta_t      meta;    /* of HTML; zeroed otherwise */
} nchat_preview_t;


/* What a Content-Type header announces; without one, a page. */
nchat_preview_kind_e nchat_preview_kind(ngx_str_t *content_type);

/*
 * Renders the payload's members without braces, all but "cached"; the text
 * begins with a quote.  NGX_OK, or NGX_ERROR: no memory.
 */
ngx_int_t nchat_preview_render(ngx_pool_t *pool, nchat_preview_t *preview,
    ngx_str_t *members);


#endif /* _NCHAT_PREVIEW_H_INCLUDED_ */
