/*
 * Twitter cards over Open Graph over plain HTML, for each thing on its own.
 */


#include "nchat_html_meta.h"
#include "nchat_text.h"


typedef struct {
    const char           *name;
    nchat_meta_field_t    field;
    nchat_meta_source_t   source;
    ngx_uint_t            rank;
} nchat_meta_name_t;


typedef struct {
    nchat_meta_field_t    field;
    size_t                max;     /* code points */
    size_t                offset;  /* of the result */
} nchat_meta_text_t;


typedef struct {
    nchat_meta_field_t    field;
    size_t                offset;
} nchat_meta_link_t;


static nchat_url_t *nchat_meta_base(nchat_meta_t *meta, nchat_url_t *url);
static ngx_int_t nchat_meta_defaults(nchat_meta_t *meta, nchat_url_t *url,
    nchat_html_meta_t *result);
static void nchat_meta_store(nchat_meta_t *meta, nchat_meta_field_t field,
    nchat_meta_source_t source, ngx_uint_t rank, ngx_str_t *value);
static ngx_uint_t nchat_meta_has_word(ngx_str_t *text, const char *word);
static ngx_int_t nchat_meta_text(nchat_meta_t *meta, nchat_meta_field_t field,
    size_t max, ngx_str_t *dst);
static ngx_int_t nchat_meta_url(nchat_meta_t *meta, nchat_meta_field_t field,
    nchat_url_t *base, ngx_str_t *dst, nchat_meta_source_t *source);
static ngx_int_t nchat_meta_image(nchat_meta_t *meta, nchat_url_t *base,
    nchat_html_meta_t *result);
static ngx_uint_t nchat_meta_pixels(nchat_meta_value_t *mv);
static void nchat_meta_drop_links(nchat_meta_t *meta,
    nchat_meta_field_t field);
static ngx_uint_t nchat_meta_is_color(ngx_str_t *text);


#define TWITTER  NCHAT_META_TWITTER
#define OG       NCHAT_META_OPEN_GRAPH
#define HTML     NCHAT_META_HTML


static nchat_meta_name_t  nchat_meta_names[] = {
    { "twitter:title",          NCHAT_META_TITLE,        TWITTER, 1 },
    { "og:title",               NCHAT_META_TITLE,        OG,      1 },
    { "dc.title",               NCHAT_META_TITLE,        HTML,    1 },

    { "twitter:description",    NCHAT_META_DESCRIPTION,  TWITTER, 1 },
    { "og:description",         NCHAT_META_DESCRIPTION,  OG,      1 },
    { "description",            NCHAT_META_DESCRIPTION,  HTML,    2 },
    { "dc.description",         NCHAT_META_DESCRIPTION,  HTML,    1 },

    { "twitter:image",          NCHAT_META_IMAGE,        TWITTER, 2 },
    { "twitter:image:src",      NCHAT_META_IMAGE,        TWITTER, 1 },
    { "og:image",               NCHAT_META_IMAGE,        OG,      1 },
    { "og:image:url",           NCHAT_META_IMAGE,        OG,      1 },
    { "og:image:secure_url",    NCHAT_META_IMAGE,        OG,      2 },
    { "image",                  NCHAT_META_IMAGE,        HTML,    1 },
    { "thumbnail",              NCHAT_META_IMAGE,        HTML,    1 },

    { "twitter:image:alt",      NCHAT_META_IMAGE_ALT,    TWITTER, 1 },
    { "og:image:alt",           NCHAT_META_IMAGE_ALT,    OG,      1 },
    { "twitter:image:width",    NCHAT_META_IMAGE_WIDTH,  TWITTER, 1 },
    { "og:image:width",         NCHAT_META_IMAGE_WIDTH,  OG,      1 },
    { "twitter:image:height",   NCHAT_META_IMAGE_HEIGHT, TWITTER, 1 },
    { "og:image:height",        NCHAT_META_IMAGE_HEIGHT, OG,      1 },

    { "og:site_name",           NCHAT_META_SITE_NAME,    OG,      1 },
    { "application-name",       NCHAT_META_SITE_NAME,    HTML,    2 },
    { "apple-mobile-web-app-title",
                                NCHAT_META_SITE_NAME,    HTML,    1 },

    { "og:type",                NCHAT_META_TYPE,         OG,      1 },

    { "twitter:player:stream",  NCHAT_META_VIDEO,        TWITTER, 2 },
    { "twitter:player",         NCHAT_META_VIDEO,        TWITTER, 1 },
    { "og:video:secure_url",    NCHAT_META_VIDEO,        OG,      2 },
    { "og:video",               NCHAT_META_VIDEO,        OG,      1 },
    { "og:video:url",           NCHAT_META_VIDEO,        OG,      1 },
    { "og:audio:secure_url",    NCHAT_META_AUDIO,        OG,      2 },
    { "og:audio",               NCHAT_META_AUDIO,        OG,      1 },
    { "og:audio:url",           NCHAT_META_AUDIO,        OG,      1 },

    { "twitter:creator",        NCHAT_META_AUTHOR,       TWITTER, 1 },
    { "article:author",         NCHAT_META_AUTHOR,       OG,      2 },
    { "book:author",            NCHAT_META_AUTHOR,       OG,      1 },
    { "author",                 NCHAT_META_AUTHOR,       HTML,    2 },
    { "dc.creator",             NCHAT_META_AUTHOR,       HTML,    1 },

    { "article:published_time", NCHAT_META_PUBLISHED,    OG,      2 },
    { "og:published_time",      NCHAT_META_PUBLISHED,    OG,      1 },
    { "datepublished",          NCHAT_META_PUBLISHED,    HTML,    3 },
    { "date",                   NCHAT_META_PUBLISHED,    HTML,    2 },
    { "dc.date",                NCHAT_META_PUBLISHED,    HTML,    1 },
    { "dc.date.issued",         NCHAT_META_PUBLISHED,    HTML,    1 },
    { "dcterms.created",        NCHAT_META_PUBLISHED,    HTML,    1 },
    { "pubdate",                NCHAT_META_PUBLISHED,    HTML,    1 },
    { "publish-date",           NCHAT_META_PUBLISHED,    HTML,    1 },
    { "publish_date",           NCHAT_META_PUBLISHED,    HTML,    1 },

    { "theme-color",            NCHAT_META_THEME_COLOR,  HTML,    1 },

    { "og:url",                 NCHAT_META_CANONICAL,    OG,      1 }
};


static nchat_meta_text_t  nchat_meta_texts[] = {
    { NCHAT_META_TITLE, NCHAT_HTML_TITLE_MAX,
      offsetof(nchat_html_meta_t, title) },
    { NCHAT_META_DESCRIPTION, NCHAT_HTML_DESCRIPTION_MAX,
      offsetof(nchat_html_meta_t, description) },
    { NCHAT_META_SITE_NAME, NCHAT_HTML_TEXT_MAX,
      offsetof(nchat_html_meta_t, site_name) },
    { NCHAT_META_AUTHOR, NCHAT_HTML_TEXT_MAX,
      offsetof(nchat_html_meta_t, author) },
    { NCHAT_META_TYPE, NCHAT_HTML_WORD_MAX,
      offsetof(nchat_html_meta_t, type) },
    { NCHAT_META_PUBLISHED, NCHAT_HTML_WORD_MAX,
      offsetof(nchat_html_meta_t, published) },
    { NCHAT_META_THEME_COLOR, NCHAT_HTML_WORD_MAX,
      offsetof(nchat_html_meta_t, theme_color) }
};


static nchat_meta_link_t  nchat_meta_links[] = {
    { NCHAT_META_FAVICON,   offsetof(nchat_html_meta_t, favicon) },
    { NCHAT_META_VIDEO,     offsetof(nchat_html_meta_t, video) },
    { NCHAT_META_AUDIO,     offsetof(nchat_html_meta_t, audio) },
    { NCHAT_META_CANONICAL, offsetof(nchat_html_meta_t, canonical) },
    { NCHAT_META_OEMBED,    offsetof(nchat_html_meta_t, oembed) }
};


void
nchat_meta_add(nchat_meta_t *meta, ngx_str_t *name, ngx_str_t *content)
{
    ngx_uint_t          i, n;
    nchat_meta_name_t  *mn;

    n = sizeof(nchat_meta_names) / sizeof(nchat_meta_name_t);

    for (i = 0; i < n; i++) {
        mn = &nchat_meta_names[i];

        if (ngx_strlen(mn->name) == name->len
            && ngx_strncasecmp(name->data, (u_char *) mn->name, name->len)
               == 0)
        {
            break;
        }
    }

    if (i == n) {
        return;
    }

    /* what follows a second og:image describes that one, not the first */

    if (mn->source == OG && ngx_strncmp(mn->name, "og:image", 8) == 0) {

        if (mn->name[8] == '\0'
            || (meta->og_images == 0 && ngx_strcmp(mn->name + 8, ":url") == 0))
        {
            meta->og_images++;
        }

        if (meta->og_images > 1) {
            return;
        }
    }

    nchat_meta_store(meta, mn->field, mn->source, mn->rank, content);
}


void
nchat_meta_add_link(nchat_meta_t *meta, ngx_str_t *rel, ngx_str_t *href,
    ngx_str_t *type)
{
    if (nchat_meta_has_word(rel, "icon")) {
        nchat_meta_store(meta, NCHAT_META_FAVICON, HTML, 2, href);
    }

    if (nchat_meta_has_word(rel, "apple-touch-icon")
        || nchat_meta_has_word(rel, "apple-touch-icon-precomposed"))
    {
        nchat_meta_store(meta, NCHAT_META_FAVICON, HTML, 1, href);
    }

    if (nchat_meta_has_word(rel, "image_src")) {
        nchat_meta_store(meta, NCHAT_META_IMAGE, HTML, 2, href);
    }

    if (nchat_meta_has_word(rel, "canonical")) {
        nchat_meta_store(meta, NCHAT_META_CANONICAL, HTML, 1, href);
    }

    if (nchat_meta_has_word(rel, "alternate")) {

        if (nchat_meta_has_word(type, "application/json+oembed")) {
            nchat_meta_store(meta, NCHAT_META_OEMBED, HTML, 2, href);

        } else if (nchat_meta_has_word(type, "text/xml+oembed")) {
            nchat_meta_store(meta, NCHAT_META_OEMBED, HTML, 1, href);
        }
    }
}


void
nchat_meta_add_base(nchat_meta_t *meta, ngx_str_t *href)
{
    nchat_meta_store(meta, NCHAT_META_BASE, HTML, 1, href);
}


void
nchat_meta_add_title(nchat_meta_t *meta, ngx_str_t *text)
{
    nchat_meta_store(meta, NCHAT_META_TITLE, HTML, 2, text);
}


ngx_int_t
nchat_meta_choose(nchat_meta_t *meta, nchat_url_t *url,
    nchat_html_meta_t *result)
{
    ngx_uint_t          i;
    nchat_url_t        *base;
    nchat_meta_text_t  *mt;
    nchat_meta_link_t  *ml;

    ngx_memzero(result, sizeof(nchat_html_meta_t));

    if (meta->failed) {
        return NGX_ERROR;
    }

    nchat_meta_drop_links(meta, NCHAT_META_AUTHOR);

    for (i = 0; i < sizeof(nchat_meta_texts) / sizeof(nchat_meta_text_t); i++)
    {
        mt = &nchat_meta_texts[i];

        if (nchat_meta_text(meta, mt->field, mt->max,
                            (ngx_str_t *) ((char *) result + mt->offset))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    base = nchat_meta_base(meta, url);
    if (base == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < sizeof(nchat_meta_links) / sizeof(nchat_meta_link_t); i++)
    {
        ml = &nchat_meta_links[i];

        if (nchat_meta_url(meta, ml->field, base,
                           (ngx_str_t *) ((char *) result + ml->offset), NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (nchat_meta_image(meta, base, result) != NGX_OK) {
        return NGX_ERROR;
    }

    return nchat_meta_defaults(meta, url, result);
}


/* the URL that others are relative to */

static nchat_url_t *
nchat_meta_base(nchat_meta_t *meta, nchat_url_t *url)
{
    const char          *why;
    nchat_url_t         *base;
    nchat_meta_value_t  *mv;

    mv = &meta->values[NCHAT_META_BASE][HTML];

    if (mv->rank == 0) {
        return url;
    }

    base = ngx_palloc(meta->pool, sizeof(nchat_url_t));
    if (base == NULL) {
        return NULL;
    }

    switch (nchat_url_parse(meta->pool, &mv->value, url, base, &why)) {

    case NGX_OK:
        return base;

    case NGX_DECLINED:
        return url;

    default:
        return NULL;
    }
}


static ngx_int_t
nchat_meta_defaults(nchat_meta_t *meta, nchat_url_t *url,
    nchat_html_meta_t *result)
{
    ngx_str_t     path;
    const char   *why;
    nchat_url_t   icon;

    if (!nchat_meta_is_color(&result->theme_color)) {
        ngx_str_null(&result->theme_color);
    }

    if (result->type.len == 0) {
        ngx_str_set(&result->type, "website");
    }

    if (result->favicon.len == 0) {
        ngx_str_set(&path, "/favicon.ico");

        if (nchat_url_parse(meta->pool, &path, url, &icon, &why) != NGX_OK) {
            return NGX_ERROR;
        }

        result->favicon = icon.href;
    }

    return NGX_OK;
}


static void
nchat_meta_store(nchat_meta_t *meta, nchat_meta_field_t field,
    nchat_meta_source_t source, ngx_uint_t rank, ngx_str_t *value)
{
    size_t               i;
    nchat_meta_value_t  *mv;

    mv = &meta->values[field][source];

    if (mv->rank >= rank) {
        return;
    }

    for (i = 0; i < value->len && value->data[i] <= ' '; i++) { /* void */ }

    if (i == value->len) {
        return;
    }

    mv->value.data = ngx_pnalloc(meta->pool, value->len);
    if (mv->value.data == NULL) {
        meta->failed = 1;
        return;
    }

    ngx_memcpy(mv->value.data, value->data, value->len);
    mv->value.len = value->len;
    mv->rank = rank;
}


static ngx_uint_t
nchat_meta_has_word(ngx_str_t *text, const char *word)
{
    size_t   len;
    u_char  *p, *last, *end;

    if (text->len == 0) {
        return 0;
    }

    len = ngx_strlen(word);
    p = text->data;
    last = p + text->len;

    while (p < last) {

        for (end = p; end < last && *end > ' ' && *end != ';'; end++) {
            /* void */
        }

        if ((size_t) (end - p) == len
            && ngx_strncasecmp(p, (u_char *) word, len) == 0)
        {
            return 1;
        }

        p = end + 1;
    }

    return 0;
}


static ngx_int_t
nchat_meta_text(nchat_meta_t *meta, nchat_meta_field_t field, size_t max,
    ngx_str_t *dst)
{
    ngx_uint_t           i;
    nchat_meta_value_t  *mv;

    mv = meta->values[field];

    for (i = 0; i < NCHAT_META_SOURCES && dst->len == 0; i++) {

        if (mv[i].rank
            && nchat_text_clean(meta->pool, &mv[i].value, max, dst) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
nchat_meta_url(nchat_meta_t *meta, nchat_meta_field_t field,
    nchat_url_t *base, ngx_str_t *dst, nchat_meta_source_t *source)
{
    ngx_int_t            rc;
    ngx_uint_t           i;
    const char          *why;
    nchat_url_t          url;
    nchat_meta_value_t  *mv;

    mv = meta->values[field];

    for (i = 0; i < NCHAT_META_SOURCES; i++) {

        if (mv[i].rank == 0) {
            continue;
        }

        rc = nchat_url_parse(meta->pool, &mv[i].value, base, &url, &why);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK && url.href.len <= NCHAT_HTML_URL_MAX) {
            *dst = url.href;

            if (source) {
                *source = i;
            }

            break;
        }
    }

    return NGX_OK;
}


/* size and description of an image come from who named the image */

static ngx_int_t
nchat_meta_image(nchat_meta_t *meta, nchat_url_t *base,
    nchat_html_meta_t *result)
{
    nchat_meta_value_t   *image, *alt, *width, *height;
    nchat_meta_source_t   source;

    source = NCHAT_META_HTML;
    if (nchat_meta_url(meta, NCHAT_META_IMAGE, base, &result->image, &source)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (result->image.len == 0 || source == NCHAT_META_HTML) {
        return NGX_OK;
    }

    image = meta->values[NCHAT_META_IMAGE];
    alt = &meta->values[NCHAT_META_IMAGE_ALT][source];
    width = &meta->values[NCHAT_META_IMAGE_WIDTH][source];
    height = &meta->values[NCHAT_META_IMAGE_HEIGHT][source];

    /* both may mean the same image, and only one of them describe it */

    if (source == NCHAT_META_TWITTER
        && image[OG].value.len == image[TWITTER].value.len
        && ngx_memcmp(image[OG].value.data, image[TWITTER].value.data,
                      image[OG].value.len)
           == 0)
    {
        alt += (alt->rank == 0);
        width += (width->rank == 0);
        height += (height->rank == 0);
    }

    result->image_width = nchat_meta_pixels(width);
    result->image_height = nchat_meta_pixels(height);

    if (alt->rank == 0) {
        return NGX_OK;
    }

    return nchat_text_clean(meta->pool, &alt->value,
                            NCHAT_HTML_DESCRIPTION_MAX, &result->image_alt);
}


/* digits, as in "1200" or "1200px" */

static ngx_uint_t
nchat_meta_pixels(nchat_meta_value_t *mv)
{
    size_t      i;
    u_char      c;
    ngx_uint_t  n;

    n = 0;

    for (i = 0; i < mv->value.len; i++) {
        c = mv->value.data[i];

        if (c <= ' ' && n == 0) {
            continue;
        }

        if (c < '0' || c > '9') {
            break;
        }

        n = n * 10 + (c - '0');

        if (n > 65535) {
            return 0;
        }
    }

    return n;
}


/* Open Graph wants the author as a link to a profile: no name to show */

static void
nchat_meta_drop_links(nchat_meta_t *meta, nchat_meta_field_t field)
{
    ngx_uint_t   i;
    ngx_str_t   *value;

    for (i = 0; i < NCHAT_META_SOURCES; i++) {
        value = &meta->values[field][i].value;

        if ((value->len > 7
             && ngx_strncasecmp(value->data, (u_char *) "http://", 7) == 0)
            || (value->len > 8
                && ngx_strncasecmp(value->data, (u_char *) "https://", 8) == 0))
        {
            meta->values[field][i].rank = 0;
        }
    }
}


static ngx_uint_t
nchat_meta_is_color(ngx_str_t *text)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < text->len; i++) {
        c = text->data[i];

        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
              || ngx_strchr("#(),.%/ -", c)))
        {
            return 0;
        }
    }

    return 1;
}
