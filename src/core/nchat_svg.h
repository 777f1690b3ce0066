/*
 * Is an SVG image safe to serve to everyone's browser?
 */


#ifndef _NCHAT_SVG_H_INCLUDED_
#define _NCHAT_SVG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* bytes; contract, save-svg */
#define NCHAT_SVG_MAX       (256 * 1024)
#define NCHAT_SVG_NAME_MAX  100


typedef struct {
    ngx_str_t    reason;           /* a sentence for people, in the pool */
    ngx_uint_t   line;             /* counted from 1 */
} nchat_svg_error_t;


/*
 * Checks a whole document.  It must be well-formed UTF-8 XML without a document
 * type, entities and processing instructions, with <svg> at the top, and have
 * nothing but elements and attributes of the allow-lists in nchat_svg_names.c.
 * References are "#id", or for images data: URLs of PNG, JPEG, GIF or WebP.
 * The text is kept as it is: what is not allowed is refused, not removed.
 * xmlInitParser() must have been called.
 *
 * NGX_OK; NGX_DECLINED: *err says what and where; NGX_ERROR: no memory.
 */
ngx_int_t nchat_svg_check(ngx_pool_t *pool, ngx_str_t *svg,
    nchat_svg_error_t *err);

/*
 * Makes the name under which the image is served: what is left of
 * [A-Za-z0-9.-].  NGX_OK; NGX_DECLINED: that has no ".svg" at its end, begins
 * with a dot or is too long; NGX_ERROR: no memory.
 */
ngx_int_t nchat_svg_name(ngx_pool_t *pool, ngx_str_t *filename,
    ngx_str_t *name);


#endif /* _NCHAT_SVG_H_INCLUDED_ */
