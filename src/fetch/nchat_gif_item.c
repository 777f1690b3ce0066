/* One GIF of Giphy (API v1) and of Tenor (API v2) in the contract's shape. */

#include "nchat_gif.h"


static ngx_int_t nchat_giphy_fill(ngx_pool_t *pool, json_t *gif,
    json_t *item);
static ngx_int_t nchat_giphy_urls(ngx_pool_t *pool, json_t *gif,
    json_t *images);
static ngx_int_t nchat_tenor_fill(ngx_pool_t *pool, json_t *gif,
    json_t *item);
static ngx_int_t nchat_gif_common(ngx_pool_t *pool, json_t *gif, json_t *item,
    const char *provider);
static ngx_int_t nchat_gif_first_url(ngx_pool_t *pool, json_t *gif,
    const char *name, json_t *formats, const char **names);
static ngx_int_t nchat_gif_tags(ngx_pool_t *pool, json_t *gif, json_t *tags);
static json_t *nchat_gif_filled(json_t *gif, ngx_int_t rc, ngx_int_t *why);


#define NCHAT_GIF_TAGS  20


json_t *
nchat_giphy_item(ngx_pool_t *pool, json_t *item, ngx_int_t *why)
{
    json_t  *gif;

    gif = json_object();

    return nchat_gif_filled(gif, gif ? nchat_giphy_fill(pool, gif, item)
                                     : NGX_ERROR, why);
}


json_t *
nchat_tenor_item(ngx_pool_t *pool, json_t *item, ngx_int_t *why)
{
    json_t  *gif;

    gif = json_object();

    return nchat_gif_filled(gif, gif ? nchat_tenor_fill(pool, gif, item)
                                     : NGX_ERROR, why);
}


static json_t *
nchat_gif_filled(json_t *gif, ngx_int_t rc, ngx_int_t *why)
{
    if (rc == NGX_OK && json_object_get(gif, "title") == NULL
        && json_object_set_new(gif, "title", json_string("")) != 0)
    {
        rc = NGX_ERROR;
    }

    if (rc == NGX_OK) {
        return gif;
    }

    json_decref(gif);
    *why = (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;

    return NULL;
}


static ngx_int_t
nchat_giphy_fill(ngx_pool_t *pool, json_t *gif, json_t *item)
{
    json_t      *images, *original;
    ngx_int_t    rc;
    json_int_t   size;

    images = json_object_get(item, "images");
    original = json_object_get(images, "original");

    rc = nchat_gif_common(pool, gif, item, "giphy");

    if (rc == NGX_OK) {
        rc = nchat_giphy_urls(pool, gif, images);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (nchat_gif_size(gif,
                       nchat_gif_number(json_object_get(original, "width")),
                       nchat_gif_number(json_object_get(original, "height")))
        != NGX_OK
        || nchat_gif_text(pool, gif, "rating", json_object_get(item, "rating"))
           != NGX_OK
        || nchat_gif_tags(pool, gif, json_object_get(item, "tags")) != NGX_OK
        || nchat_gif_url(pool, gif, "sourceUrl", json_object_get(item, "url"))
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    size = nchat_gif_number(json_object_get(original, "size"));

    if (size && json_object_set_new(gif, "size", json_integer(size)) != 0) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
nchat_giphy_urls(ngx_pool_t *pool, json_t *gif, json_t *images)
{
    ngx_int_t  rc;

    static const char  *original[] = { "original", NULL };
    static const char  *shown[] = { "downsized_medium", "downsized",
                                    "original", NULL };
    static const char  *still[] = { "fixed_width_still", "fixed_height_still",
                                    "original_still", "original", NULL };
    static const char  *small[] = { "preview_gif", "fixed_width_small",
                                    "fixed_width", "original", NULL };

    rc = nchat_gif_first_url(pool, gif, "originalUrl", images, original);

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "url", images, shown);
    }

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "previewUrl", images, still);
    }

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "previewGifUrl", images, small);
    }

    return rc;
}


static ngx_int_t
nchat_tenor_fill(ngx_pool_t *pool, json_t *gif, json_t *item)
{
    json_t      *formats, *full, *dims;
    ngx_int_t    rc;
    json_int_t   size;

    static const char  *original[] = { "gif", "mediumgif", NULL };
    static const char  *still[] = { "gifpreview", "tinygif", "gif", NULL };
    static const char  *small[] = { "tinygif", "nanogif", "gif", NULL };

    formats = json_object_get(item, "media_formats");
    full = json_object_get(formats, "gif");
    dims = json_object_get(full, "dims");

    rc = nchat_gif_common(pool, gif, item, "tenor");

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "originalUrl", formats, original);
    }

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "url", formats, original);
    }

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "previewUrl", formats, still);
    }

    if (rc == NGX_OK) {
        rc = nchat_gif_first_url(pool, gif, "previewGifUrl", formats, small);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (json_object_get(gif, "title") == NULL
        && nchat_gif_text(pool, gif, "title",
                          json_object_get(item, "content_description"))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (nchat_gif_size(gif, nchat_gif_number(json_array_get(dims, 0)),
                       nchat_gif_number(json_array_get(dims, 1)))
        != NGX_OK
        || nchat_gif_tags(pool, gif, json_object_get(item, "tags")) != NGX_OK
        || nchat_gif_url(pool, gif, "sourceUrl",
                         json_object_get(item, "itemurl"))
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    size = nchat_gif_number(json_object_get(full, "size"));

    if (size && json_object_set_new(gif, "size", json_integer(size)) != 0) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Without an id it is none. */

static ngx_int_t
nchat_gif_common(ngx_pool_t *pool, json_t *gif, json_t *item,
    const char *provider)
{
    if (nchat_gif_text(pool, gif, "id", json_object_get(item, "id")) != NGX_OK
        || nchat_gif_text(pool, gif, "title", json_object_get(item, "title"))
           != NGX_OK
        || json_object_set_new(gif, "provider", json_string(provider)) != 0)
    {
        return NGX_ERROR;
    }

    if (json_object_get(gif, "id") == NULL) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
nchat_gif_first_url(ngx_pool_t *pool, json_t *gif, const char *name,
    json_t *formats, const char **names)
{
    ngx_int_t  rc;

    rc = NGX_DECLINED;

    for ( /* void */ ; *names && rc == NGX_DECLINED; names++) {
        rc = nchat_gif_url(pool, gif, name,
                           json_object_get(json_object_get(formats, *names),
                                           "url"));
    }

    return rc;
}


static ngx_int_t
nchat_gif_tags(ngx_pool_t *pool, json_t *gif, json_t *tags)
{
    size_t   i;
    json_t  *list, *holder, *tag;

    if (!json_is_array(tags) || json_array_size(tags) == 0) {
        return NGX_OK;
    }

    list = json_array();
    holder = json_object();

    if (holder == NULL || json_object_set_new(gif, "tags", list) != 0) {
        json_decref(holder);
        return NGX_ERROR;
    }

    for (i = 0; i < json_array_size(tags) && i < NCHAT_GIF_TAGS; i++) {

        if (nchat_gif_text(pool, holder, "tag", json_array_get(tags, i))
            != NGX_OK)
        {
            json_decref(holder);
            return NGX_ERROR;
        }

        tag = json_object_get(holder, "tag");

        if (tag && json_array_append(list, tag) != 0) {
            json_decref(holder);
            return NGX_ERROR;
        }

        (void) json_object_del(holder, "tag");
    }

    json_decref(holder);

    return NGX_OK;
}
