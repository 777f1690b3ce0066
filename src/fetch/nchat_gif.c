/* What both providers have in common, and what is asked of them. */

#include "nchat_gif.h"
#include "nchat_json.h"
#include "nchat_text.h"
#include "nchat_url.h"


#define NCHAT_GIF_TEXT_MAX  200

/* what a path has besides the key and the query */
#define NCHAT_GIF_PATH      256


static ngx_str_t nchat_gif_filter(ngx_str_t *rating);
static u_char *nchat_gif_arg(u_char *p, const char *name, ngx_str_t *value);
static u_char *nchat_gif_number_arg(u_char *p, const char *name,
    ngx_uint_t value);
static u_char *nchat_gif_path_giphy(u_char *p, nchat_gif_query_t *query,
    ngx_str_t *key);
static u_char *nchat_gif_path_tenor(u_char *p, nchat_gif_query_t *query,
    ngx_str_t *key);
static ngx_int_t nchat_gif_items(ngx_pool_t *pool, nchat_gif_query_t *query,
    json_t *items, nchat_gif_list_t *list);
static ngx_int_t nchat_gif_pages(ngx_pool_t *pool, nchat_gif_query_t *query,
    json_t *answer, nchat_gif_list_t *list);
static ngx_int_t nchat_gif_categories(ngx_pool_t *pool,
    nchat_gif_query_t *query, json_t *items, nchat_gif_list_t *list);
static ngx_int_t nchat_gif_category(ngx_pool_t *pool,
    nchat_gif_query_t *query, json_t *item, nchat_gif_list_t *list);


static ngx_str_t  nchat_gif_names[] = {
    ngx_string("giphy"), ngx_string("tenor")
};


ngx_str_t *
nchat_gif_provider(nchat_gif_provider_e provider)
{
    return &nchat_gif_names[provider];
}


ngx_int_t
nchat_gif_path(ngx_pool_t *pool, nchat_gif_query_t *query, ngx_str_t *key,
    ngx_str_t *path)
{
    u_char  *p;

    /* three bytes for each one that is escaped */

    p = ngx_pnalloc(pool, NCHAT_GIF_PATH
                          + 3 * (key->len + query->query.len + query->lang.len
                                 + query->pos.len + query->rating.len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    path->data = p;

    p = (query->provider == NCHAT_GIF_GIPHY)
        ? nchat_gif_path_giphy(p, query, key)
        : nchat_gif_path_tenor(p, query, key);

    path->len = p - path->data;

    return NGX_OK;
}


static u_char *
nchat_gif_path_giphy(u_char *p, nchat_gif_query_t *query, ngx_str_t *key)
{
    static const char  *actions[] = {
        "search", "trending", "categories", "random"
    };

    p = ngx_sprintf(p, "/v1/gifs/%s", actions[query->action]);
    p = nchat_gif_arg(p, "?api_key=", key);

    switch (query->action) {

    case NCHAT_GIF_CATEGORIES:
        return p;

    case NCHAT_GIF_RANDOM:
        p = nchat_gif_arg(p, "&tag=", &query->query);
        return nchat_gif_arg(p, "&rating=", &query->rating);

    case NCHAT_GIF_SEARCH:
        p = nchat_gif_arg(p, "&q=", &query->query);
        p = nchat_gif_arg(p, "&lang=", &query->lang);
        break;

    default:
        break;
    }

    p = nchat_gif_number_arg(p, "&limit=", query->limit);
    p = nchat_gif_number_arg(p, "&offset=", query->offset);

    return nchat_gif_arg(p, "&rating=", &query->rating);
}


static u_char *
nchat_gif_path_tenor(u_char *p, nchat_gif_query_t *query, ngx_str_t *key)
{
    ngx_str_t    filter;
    const char  *action;

    static ngx_str_t  formats = ngx_string("gif,tinygif,gifpreview");

    switch (query->action) {

    case NCHAT_GIF_CATEGORIES:
        action = "categories";
        break;

    case NCHAT_GIF_SEARCH:
        action = "search";
        break;

    case NCHAT_GIF_RANDOM:
        action = query->query.len ? "search" : "featured";
        break;

    default:
        action = "featured";
    }

    filter = nchat_gif_filter(&query->rating);

    p = ngx_sprintf(p, "/v2/%s", action);
    p = nchat_gif_arg(p, "?key=", key);
    p = nchat_gif_arg(p, "&contentfilter=", &filter);
    p = nchat_gif_arg(p, "&locale=", &query->lang);

    if (query->action == NCHAT_GIF_CATEGORIES) {
        return p;
    }

    if (query->query.len) {
        p = nchat_gif_arg(p, "&q=", &query->query);
    }

    if (query->action == NCHAT_GIF_RANDOM) {
        p = ngx_cpymem(p, "&random=true", sizeof("&random=true") - 1);
    }

    p = nchat_gif_number_arg(p, "&limit=", query->limit);

    if (query->pos.len) {
        p = nchat_gif_arg(p, "&pos=", &query->pos);
    }

    return nchat_gif_arg(p, "&media_filter=", &formats);
}


/* Giphy's rating as Tenor's content filter: g, pg, pg-13, r */

static ngx_str_t
nchat_gif_filter(ngx_str_t *rating)
{
    static ngx_str_t  high = ngx_string("high");
    static ngx_str_t  medium = ngx_string("medium");
    static ngx_str_t  low = ngx_string("low");
    static ngx_str_t  off = ngx_string("off");

    switch (rating->len) {

    case 1:
        return rating->data[0] == 'g' ? high : off;

    case 2:
        return medium;

    default:
        return low;
    }
}


static u_char *
nchat_gif_arg(u_char *p, const char *name, ngx_str_t *value)
{
    p = ngx_cpymem(p, name, ngx_strlen(name));

    return (u_char *) ngx_escape_uri(p, value->data, value->len,
                                     NGX_ESCAPE_URI_COMPONENT);
}


static u_char *
nchat_gif_number_arg(u_char *p, const char *name, ngx_uint_t value)
{
    return ngx_sprintf(p, "%s%ui", name, value);
}


ngx_int_t
nchat_gif_map(ngx_pool_t *pool, nchat_gif_query_t *query, json_t *answer,
    nchat_gif_list_t *list)
{
    json_t       *items;
    ngx_int_t     rc;
    const char   *name;

    ngx_memzero(list, sizeof(nchat_gif_list_t));

    list->gifs = json_array();

    if (nchat_json_own(pool, list->gifs) != NGX_OK) {
        return NGX_ERROR;
    }

    name = "data";

    if (query->provider == NCHAT_GIF_TENOR) {
        name = (query->action == NCHAT_GIF_CATEGORIES) ? "tags" : "results";
    }

    items = json_object_get(answer, name);

    if (query->action == NCHAT_GIF_CATEGORIES) {
        return nchat_gif_categories(pool, query, items, list);
    }

    rc = nchat_gif_items(pool, query, items, list);

    if (rc != NGX_OK) {
        return rc;
    }

    return nchat_gif_pages(pool, query, answer, list);
}


/* Giphy's random one is alone, not in an array. */

static ngx_int_t
nchat_gif_items(ngx_pool_t *pool, nchat_gif_query_t *query, json_t *items,
    nchat_gif_list_t *list)
{
    size_t      i, n;
    json_t     *item, *gif;
    ngx_int_t   why;

    if (!json_is_array(items)
        && !(query->action == NCHAT_GIF_RANDOM && json_is_object(items)))
    {
        return NGX_DECLINED;
    }

    n = json_is_array(items) ? json_array_size(items) : 1;

    for (i = 0; i < n && json_array_size(list->gifs) < query->limit; i++) {
        item = json_is_array(items) ? json_array_get(items, i) : items;
        why = NGX_OK;

        gif = (query->provider == NCHAT_GIF_GIPHY)
              ? nchat_giphy_item(pool, item, &why)
              : nchat_tenor_item(pool, item, &why);

        if (gif == NULL) {
            if (why == NGX_ERROR) {
                return NGX_ERROR;
            }

            continue;
        }

        if (json_array_append_new(list->gifs, gif) != 0) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Tenor does not say how many there are: one more than are known to be. */

static ngx_int_t
nchat_gif_pages(ngx_pool_t *pool, nchat_gif_query_t *query, json_t *answer,
    nchat_gif_list_t *list)
{
    json_t      *page;
    ngx_str_t    next;
    json_int_t   total;
    ngx_uint_t   count;

    count = json_array_size(list->gifs);

    if (query->action == NCHAT_GIF_RANDOM) {
        list->total = count;
        return NGX_OK;
    }

    if (query->provider == NCHAT_GIF_GIPHY) {
        page = json_object_get(answer, "pagination");
        total = nchat_gif_number(json_object_get(page, "total_count"));

        list->total = ngx_max((ngx_uint_t) ngx_max(total, 0),
                              query->offset + count);
        list->more = (count && query->offset + query->limit < list->total);

        return NGX_OK;
    }

    if (nchat_json_string(answer, "next", &next) == NGX_OK && next.len
        && count)
    {
        list->more = 1;
        list->next = next;
    }

    list->total = query->offset + count + list->more;

    return NGX_OK;
}


static ngx_int_t
nchat_gif_categories(ngx_pool_t *pool, nchat_gif_query_t *query,
    json_t *items, nchat_gif_list_t *list)
{
    size_t  i, from, n;

    if (!json_is_array(items)) {
        return NGX_DECLINED;
    }

    list->categories = json_array();

    if (nchat_json_own(pool, list->categories) != NGX_OK) {
        return NGX_ERROR;
    }

    n = json_array_size(items);
    from = ngx_min(query->offset, n);

    for (i = from; i < n && i - from < query->limit; i++) {
        if (nchat_gif_category(pool, query, json_array_get(items, i), list)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    list->total = n;
    list->more = (i < n);

    return NGX_OK;
}


/* A category has a name and, in "gifs", what stands for it. */

static ngx_int_t
nchat_gif_category(ngx_pool_t *pool, nchat_gif_query_t *query, json_t *item,
    nchat_gif_list_t *list)
{
    json_t      *category, *name, *gif;
    ngx_int_t    why;

    name = json_object_get(item, query->provider == NCHAT_GIF_GIPHY
                                 ? "name" : "searchterm");
    if (!json_is_string(name)) {
        return NGX_OK;
    }

    category = json_object();

    if (json_array_append_new(list->categories, category) != 0
        || nchat_gif_text(pool, category, "name", name) != NGX_OK
        || nchat_gif_text(pool, category, "searchTerm", name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (query->provider == NCHAT_GIF_TENOR) {
        return nchat_gif_url(pool, category, "image",
                             json_object_get(item, "image"))
               == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    why = NGX_OK;
    gif = nchat_giphy_item(pool, json_object_get(item, "gif"), &why);

    if (gif == NULL) {
        return why;
    }

    if (json_array_append_new(list->gifs, gif) != 0
        || json_object_set(category, "image",
                           json_object_get(gif, "previewUrl"))
           != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
nchat_gif_url(ngx_pool_t *pool, json_t *object, const char *name, json_t *url)
{
    ngx_int_t     rc;
    ngx_str_t     text;
    const char   *why;
    nchat_url_t   parsed;

    if (!json_is_string(url)) {
        return NGX_DECLINED;
    }

    text.data = (u_char *) json_string_value(url);
    text.len = json_string_length(url);

    rc = nchat_url_parse(pool, &text, NULL, &parsed, &why);

    if (rc != NGX_OK) {
        return rc;
    }

    return json_object_set_new(object, name,
                               json_stringn((char *) parsed.href.data,
                                            parsed.href.len))
           == 0 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
nchat_gif_text(ngx_pool_t *pool, json_t *object, const char *name,
    json_t *text)
{
    ngx_str_t  raw, clean;

    if (!json_is_string(text)) {
        return NGX_OK;
    }

    raw.data = (u_char *) json_string_value(text);
    raw.len = json_string_length(text);

    if (nchat_text_clean(pool, &raw, NCHAT_GIF_TEXT_MAX, &clean) != NGX_OK) {
        return NGX_ERROR;
    }

    if (clean.len == 0) {
        return NGX_OK;
    }

    return json_object_set_new(object, name,
                               json_stringn((char *) clean.data, clean.len))
           == 0 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
nchat_gif_size(json_t *object, json_int_t width, json_int_t height)
{
    double  ratio;

    ratio = (width > 0 && height > 0) ? (double) width / (double) height : 1;

    /* three digits are enough to reserve a place for an image */

    ratio = (double) (int64_t) (ratio * 1000 + 0.5) / 1000;

    if (json_object_set_new(object, "width", json_integer(width)) != 0
        || json_object_set_new(object, "height", json_integer(height)) != 0
        || json_object_set_new(object, "aspectRatio", json_real(ratio)) != 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


json_int_t
nchat_gif_number(json_t *value)
{
    ngx_int_t  n;

    if (json_is_integer(value)) {
        return ngx_max(json_integer_value(value), 0);
    }

    if (json_is_string(value)) {
        n = ngx_atoi((u_char *) json_string_value(value),
                     json_string_length(value));

        return n == NGX_ERROR ? 0 : n;
    }

    return 0;
}
