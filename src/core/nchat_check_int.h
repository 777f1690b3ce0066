/*
 * What the three files of the validator share: nchat_check.c walks a table,
 * nchat_check_rules.c knows what strings have to look like, and
 * nchat_check_failures.c finds the words for people.
 */


#ifndef _NCHAT_CHECK_INT_H_INCLUDED_
#define _NCHAT_CHECK_INT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_check.h"


/* contract, section 2, Accounts */
#define NCHAT_EMAIL_MAX  254


/*
 * Appends a failure of "name" (a field, a part of its path or an item of it)
 * with the sentence that its table entry has, or the usual one.  Besides the
 * contract's constraints there are "parent" and "item", which stand for a
 * wrong type of something on the way to the field, and inside of it.
 * NGX_DECLINED, or NGX_ERROR (no memory).
 */
ngx_int_t nchat_check_failed(ngx_pool_t *pool, nchat_failures_t *failures,
    const nchat_check_t *field, const ngx_str_t *name,
    const char *constraint);

/* ASCII letters to lower case, in a copy if there are any of the other. */
ngx_int_t nchat_check_lower(ngx_pool_t *pool, ngx_str_t *text);

/*
 * Cuts off white space: ASCII's, U+00A0 and U+3000.  "text" then points into
 * what it was.
 */
void nchat_check_trim(ngx_str_t *text);

/* An entry of a list that ends with an empty string, or NULL. */
const ngx_str_t *nchat_check_member(const ngx_str_t *values,
    const ngx_str_t *text);

/*
 * 1 if it has the shape of an absolute http or https URL; what may be fetched
 * is for the outbound guard to decide.
 */
ngx_uint_t nchat_check_url(const ngx_str_t *url);

/* 1 if it is #RRGGBB. */
ngx_uint_t nchat_check_color(const ngx_str_t *color);


#endif /* _NCHAT_CHECK_INT_H_INCLUDED_ */
