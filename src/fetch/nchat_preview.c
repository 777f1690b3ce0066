/*
 * From metadata to the members of a link preview.
 */


#include "nchat_preview.h"
#include "nchat_json.h"
#include "nchat_text.h"
#include "nchat_time.h"


static ngx_int_t nchat_preview_fill(ngx_pool_t *pool,
    nchat_preview_t *preview, json_t *top, json_t *inner);
static ngx_int_t nchat_preview_fill_inner(ngx_pool_t *pool,
    nchat_preview_t *preview, json_t *inner);
static ngx_int_t nchat_preview_file(ngx_pool_t *pool,
    nchat_preview_t *preview);
static ngx_int_t nchat_preview_set(json_t *object, const char *name,
    ngx_str_t *value);
static ngx_int_t nchat_preview_set_number(json_t *object, const char *name,
    ngx_uint_t value);
static ngx_int_t nchat_preview_set_date(json_t *object, ngx_str_t *value);
static ngx_int_t nchat_preview_date(ngx_str_t *text, int64_t *ms);


/* longest date text that is looked at, with room for a colon */
#define NCHAT_PREVIEW_DATE_MAX  40


nchat_preview_kind_e
nchat_preview_kind(ngx_str_t *content_type)
{
    size_t       len;
    ngx_uint_t   i;

    static const struct {
        const char            *prefix;
        nchat_preview_kind_e   kind;
    } kinds[] = {
        { "text/html", NCHAT_PREVIEW_HTML },
        { "application/xhtml+xml", NCHAT_PREVIEW_HTML },
        { "image/", NCHAT_PREVIEW_IMAGE },
        { "video/", NCHAT_PREVIEW_VIDEO },
        { "audio/", NCHAT_PREVIEW_AUDIO }
    };

    if (content_type->len == 0) {
        return NCHAT_PREVIEW_HTML;
    }

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        len = ngx_strlen(kinds[i].prefix);

        if (content_type->len >= len
            && ngx_strncasecmp(content_type->data, (u_char *) kinds[i].prefix,
                               len)
               == 0)
        {
            return kinds[i].kind;
        }
    }

    return NCHAT_PREVIEW_OTHER;
}


ngx_int_t
nchat_preview_render(ngx_pool_t *pool, nchat_preview_t *preview,
    ngx_str_t *members)
{
    json_t  *top, *inner;

    top = json_object();
    inner = json_object();

    if (nchat_json_own(pool, top) != NGX_OK) {
        json_decref(inner);
        return NGX_ERROR;
    }

    if (inner == NULL || json_object_set_new(top, "preview", inner) != 0) {
        return NGX_ERROR;
    }

    if (preview->kind != NCHAT_PREVIEW_HTML
        && nchat_preview_file(pool, preview) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (nchat_preview_fill(pool, preview, top, inner) != NGX_OK
        || nchat_preview_fill_inner(pool, preview, inner) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return nchat_json_members(pool, top, 0, members);
}


/* The members that stand at the top and in "preview" alike. */

static ngx_int_t
nchat_preview_fill(ngx_pool_t *pool, nchat_preview_t *preview, json_t *top,
    json_t *inner)
{
    json_t             *object;
    ngx_uint_t          i;
    nchat_html_meta_t  *meta;

    meta = &preview->meta;

    if (meta->title.len == 0) {
        meta->title = preview->page->host.name;
    }

    if (meta->site_name.len == 0) {
        meta->site_name = preview->page->host.name;
    }

    for (i = 0; i < 2; i++) {
        object = i ? inner : top;

        if (nchat_preview_set(object, "url", i ? &preview->page->href
                                               : &preview->asked->href)
            != NGX_OK
            || nchat_preview_set(object, "title", &meta->title) != NGX_OK
            || nchat_preview_set(object, "description", &meta->description)
               != NGX_OK
            || nchat_preview_set(object, "image", &meta->image) != NGX_OK
            || nchat_preview_set(object, "siteName", &meta->site_name)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
nchat_preview_fill_inner(ngx_pool_t *pool, nchat_preview_t *preview,
    json_t *inner)
{
    u_char              now[NCHAT_TIME_LEN];
    ngx_str_t           text;
    ngx_uint_t          i;
    nchat_html_meta_t  *meta;

    static const struct {
        const char  *name;
        size_t       offset;
    } texts[] = {
        { "imageAlt", offsetof(nchat_html_meta_t, image_alt) },
        { "favicon", offsetof(nchat_html_meta_t, favicon) },
        { "type", offsetof(nchat_html_meta_t, type) },
        { "video", offsetof(nchat_html_meta_t, video) },
        { "audio", offsetof(nchat_html_meta_t, audio) },
        { "author", offsetof(nchat_html_meta_t, author) },
        { "themeColor", offsetof(nchat_html_meta_t, theme_color) },
        { "oEmbed", offsetof(nchat_html_meta_t, oembed) }
    };

    meta = &preview->meta;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (nchat_preview_set(inner, texts[i].name,
                              (ngx_str_t *) ((char *) meta + texts[i].offset))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    text.data = now;
    text.len = nchat_time_format(now, nchat_time_now()) - now;

    if (nchat_preview_set_number(inner, "imageWidth", meta->image_width)
        != NGX_OK
        || nchat_preview_set_number(inner, "imageHeight", meta->image_height)
           != NGX_OK
        || nchat_preview_set_date(inner, &meta->published) != NGX_OK
        || nchat_preview_set(inner, "domain", &preview->page->host.name)
           != NGX_OK
        || nchat_preview_set(inner, "fetchedAt", &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* A file is its own image, video or sound, and has its name for a title. */

static ngx_int_t
nchat_preview_file(ngx_pool_t *pool, nchat_preview_t *preview)
{
    u_char             *p, *src, *dst;
    ngx_str_t           name, icon;
    const char         *why;
    nchat_url_t         url;
    nchat_html_meta_t  *meta;

    meta = &preview->meta;

    switch (preview->kind) {

    case NCHAT_PREVIEW_IMAGE:
        meta->image = preview->page->href;
        ngx_str_set(&meta->type, "image");
        break;

    case NCHAT_PREVIEW_VIDEO:
        meta->video = preview->page->href;
        ngx_str_set(&meta->type, "video");
        break;

    default:
        meta->audio = preview->page->href;
        ngx_str_set(&meta->type, "audio");
    }

    ngx_str_set(&icon, "/favicon.ico");

    if (nchat_url_parse(pool, &icon, preview->page, &url, &why) != NGX_OK) {
        return NGX_ERROR;
    }

    meta->favicon = url.href;

    name = preview->page->path;

    for (p = name.data + name.len; p[-1] != '/'; p--) { /* void */ }

    name.len = name.data + name.len - p;

    src = p;
    dst = ngx_pnalloc(pool, name.len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    name.data = dst;
    ngx_unescape_uri(&dst, &src, name.len, 0);
    name.len = dst - name.data;

    return nchat_text_clean(pool, &name, NCHAT_HTML_TITLE_MAX, &meta->title);
}


static ngx_int_t
nchat_preview_set(json_t *object, const char *name, ngx_str_t *value)
{
    if (value->len == 0) {
        return NGX_OK;
    }

    return json_object_set_new(object, name,
                               json_stringn((char *) value->data, value->len))
           == 0 ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
nchat_preview_set_number(json_t *object, const char *name, ngx_uint_t value)
{
    if (value == 0) {
        return NGX_OK;
    }

    return json_object_set_new(object, name, json_integer(value)) == 0
           ? NGX_OK : NGX_ERROR;
}


/* A date that cannot be read is left out. */

static ngx_int_t
nchat_preview_set_date(json_t *object, ngx_str_t *value)
{
    u_char     text[NCHAT_TIME_LEN];
    int64_t    ms;
    ngx_str_t  date;

    if (value->len == 0 || nchat_preview_date(value, &ms) != NGX_OK) {
        return NGX_OK;
    }

    date.data = text;
    date.len = nchat_time_format(text, ms) - text;

    return nchat_preview_set(object, "publishedDate", &date);
}


/* RFC 3339, and ISO 8601's ways to write the same that pages use. */

static ngx_int_t
nchat_preview_date(ngx_str_t *text, int64_t *ms)
{
    u_char     buf[NCHAT_PREVIEW_DATE_MAX], *p;
    ngx_str_t  date;

    if (text->len + 1 > NCHAT_PREVIEW_DATE_MAX) {
        return NGX_DECLINED;
    }

    p = ngx_cpymem(buf, text->data, text->len);
    date.data = buf;

    if (text->len > 10 && buf[10] == ' ') {
        buf[10] = 'T';
    }

    /* an offset without its colon */

    if (text->len > 15 && (p[-5] == '+' || p[-5] == '-')) {
        p[0] = p[-1];
        p[-1] = p[-2];
        p[-2] = ':';
        p++;
    }

    date.len = p - buf;

    return nchat_time_parse(&date, ms, 0);
}
