/*
 * Giphy and Tenor: what to ask them, and their answers in one shape.
 */

#ifndef _NCHAT_GIF_H_INCLUDED_
#define _NCHAT_GIF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>

#include "nchat_fetch_conf.h"


typedef enum {
    NCHAT_GIF_SEARCH = 0,
    NCHAT_GIF_TRENDING,
    NCHAT_GIF_CATEGORIES,
    NCHAT_GIF_RANDOM,
    NCHAT_GIF_ACTIONS
} nchat_gif_action_e;


typedef struct {
    nchat_gif_provider_e   provider;
    nchat_gif_action_e     action;
    ngx_str_t              query;
    ngx_uint_t             limit;
    ngx_uint_t             offset;
    ngx_str_t              rating;   /* g, pg, pg-13 or r */
    ngx_str_t              lang;
    ngx_str_t              pos;      /* Tenor's way to say where to go on */
} nchat_gif_query_t;


typedef struct {
    json_t       *gifs;              /* an array */
    json_t       *categories;        /* an array, of that action; or NULL */
    ngx_uint_t    total;             /* at least, if the provider says less */
    ngx_uint_t    more;              /* there are more behind these */
    ngx_str_t     next;              /* Tenor: pos of the next ones */
} nchat_gif_list_t;


/* The provider's name. */
ngx_str_t *nchat_gif_provider(nchat_gif_provider_e provider);

/*
 * The path and query that ask the provider; it holds the key.  NGX_OK or
 * NGX_ERROR: no memory.
 */
ngx_int_t nchat_gif_path(ngx_pool_t *pool, nchat_gif_query_t *query,
    ngx_str_t *key, ngx_str_t *path);

/*
 * Maps an answer.  What has no usable URL is left out; URLs are http or https.
 * NGX_OK; NGX_DECLINED: it is no answer of that provider; NGX_ERROR: no memory.
 * The lists belong to the pool.
 */
ngx_int_t nchat_gif_map(ngx_pool_t *pool, nchat_gif_query_t *query,
    json_t *answer, nchat_gif_list_t *list);


/*
 * Inside: one item of each provider as a new object, or NULL with *why NGX_OK
 * (it cannot be used) or NGX_ERROR.
 */
json_t *nchat_giphy_item(ngx_pool_t *pool, json_t *item, ngx_int_t *why);
json_t *nchat_tenor_item(ngx_pool_t *pool, json_t *item, ngx_int_t *why);

/* Adds a URL if it is one; NGX_OK, NGX_DECLINED (not added), NGX_ERROR. */
ngx_int_t nchat_gif_url(ngx_pool_t *pool, json_t *object, const char *name,
    json_t *url);

/* Adds a string if it is one and not empty; NGX_OK or NGX_ERROR. */
ngx_int_t nchat_gif_text(ngx_pool_t *pool, json_t *object, const char *name,
    json_t *text);

/* Adds width, height and aspectRatio. */
ngx_int_t nchat_gif_size(json_t *object, json_int_t width, json_int_t height);

/* An integer that may be written as a string; 0 if it is none. */
json_int_t nchat_gif_number(json_t *value);


#endif /* _NCHAT_GIF_H_INCLUDED_ */
