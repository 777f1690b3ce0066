/*
 * The parts of the SVG check.
 */


#ifndef _NCHAT_SVG_INT_H_INCLUDED_
#define _NCHAT_SVG_INT_H_INCLUDED_


#include "nchat_svg.h"


/* attributes on one element: libxml2 compares each with all others */
#define NCHAT_SVG_ATTRIBUTES_MAX  200


/*
 * What can be said without a parser, and must be before one runs: no document
 * type, no processing instruction, UTF-8, no heap of attributes.  NULL, or a
 * static sentence, and *line.
 */
const char *nchat_svg_scan(u_char *p, u_char *last, ngx_uint_t *line);

/* 1 if the local name is on the allow-list of the SVG namespace */
ngx_uint_t nchat_svg_element_allowed(const char *name);
ngx_uint_t nchat_svg_attribute_allowed(const char *name);

/* 1 for namespaces that drawing programs leave behind and nobody acts on */
ngx_uint_t nchat_svg_inert_namespace(const char *uri);

/*
 * Looks for what reaches out of the image in CSS: in the value of an attribute,
 * or with "sheet" in a style sheet or style attribute, which may hold rules.
 * NULL, or static text that says what is wrong with the attribute or element
 * and follows its name: "may only...".
 */
const char *nchat_svg_css(u_char *p, u_char *last, ngx_uint_t sheet);

/* the same for the value of href; "image": data: URLs of images are allowed */
const char *nchat_svg_href(u_char *p, u_char *last, ngx_uint_t image);


#endif /* _NCHAT_SVG_INT_H_INCLUDED_ */
