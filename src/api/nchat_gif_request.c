/* What a client may ask of GIFs, with its defaults and bounds. */

#include "nchat_gif_request.h"
#include "nchat_json.h"


#define NCHAT_GIF_LIMIT       25
#define NCHAT_GIF_OFFSET_MAX  4999
#define NCHAT_GIF_QUERY_MAX   100
#define NCHAT_GIF_LANG_MAX    10


static nchat_gif_request_t *nchat_gif_make(nchat_ctx_t *ctx);
static ngx_int_t nchat_gif_args(nchat_gif_request_t *gr);
static ngx_int_t nchat_gif_integer(nchat_ctx_t *ctx, const char *name,
    ngx_int_t *value);
static ngx_int_t nchat_gif_check(nchat_gif_request_t *gr);
static ngx_int_t nchat_gif_check_query(nchat_gif_request_t *gr);


static const ngx_str_t  nchat_gif_actions[] = {
    ngx_string("search"), ngx_string("trending"), ngx_string("categories"),
    ngx_string("random"), ngx_null_string
};

static const ngx_str_t  nchat_gif_ratings[] = {
    ngx_string("g"), ngx_string("pg"), ngx_string("pg-13"), ngx_string("r"),
    ngx_null_string
};


#define nchat_gif_field(name)  offsetof(nchat_gif_request_t, name)

static const nchat_check_t  nchat_gif_fields[] = {
    NCHAT_CHECK_ENUM("action", nchat_gif_field(action), nchat_gif_actions, 0),
    NCHAT_CHECK_STR("query", nchat_gif_field(query.query), 0, 0, NCHAT_TRIM),
    NCHAT_CHECK_INT("limit", nchat_gif_field(limit), 1, 0, 0),
    NCHAT_CHECK_INT("offset", nchat_gif_field(offset), 0,
                    NCHAT_GIF_OFFSET_MAX, 0),
    NCHAT_CHECK_ENUM("rating", nchat_gif_field(query.rating),
                     nchat_gif_ratings, 0),
    NCHAT_CHECK_STR("lang", nchat_gif_field(query.lang), 2,
                    NCHAT_GIF_LANG_MAX, 0),
    NCHAT_CHECK_END
};


nchat_gif_request_t *
nchat_gif_request_get(nchat_ctx_t *ctx)
{
    nchat_gif_request_t  *gr;

    gr = nchat_gif_make(ctx);

    if (gr == NULL || nchat_gif_args(gr) != NGX_OK) {
        return NULL;
    }

    gr->nothing = (gr->action.data == NULL && gr->query.query.data == NULL);

    if (!gr->nothing && nchat_gif_check(gr) != NGX_OK) {
        return NULL;
    }

    return gr;
}


nchat_gif_request_t *
nchat_gif_request_post(nchat_ctx_t *ctx)
{
    nchat_gif_request_t  *gr;

    gr = nchat_gif_make(ctx);

    if (gr == NULL || nchat_body_check(ctx, nchat_gif_fields, gr) != NGX_OK
        || nchat_gif_check(gr) != NGX_OK)
    {
        return NULL;
    }

    return gr;
}


/* NULL: answered */

static nchat_gif_request_t *
nchat_gif_make(nchat_ctx_t *ctx)
{
    nchat_live_t         *live;
    nchat_gif_request_t  *gr;

    live = nchat_live_keep(ctx->conf->zone, ctx->request->pool);

    if (live && !nchat_live_flag(live, "features.gifs", 1)) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN, "GIFs are switched off");
        return NULL;
    }

    gr = ngx_pcalloc(ctx->request->pool, sizeof(nchat_gif_request_t));
    if (gr == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NULL;
    }

    gr->ctx = ctx;
    gr->begin = ngx_current_msec;
    gr->limit = NGX_CONF_UNSET;
    gr->offset = NGX_CONF_UNSET;
    gr->ask.service = &nchat_fetch_conf(ctx->request)->gif;
    gr->query.provider = gr->ask.service->provider;

    return gr;
}


/* NGX_ERROR: answered */

static ngx_int_t
nchat_gif_args(nchat_gif_request_t *gr)
{
    ngx_uint_t   i;
    nchat_ctx_t  *ctx;

    static const struct {
        const char  *name;
        size_t       offset;
    } texts[] = {
        { "action", nchat_gif_field(action) },
        { "q", nchat_gif_field(query.query) },
        { "rating", nchat_gif_field(query.rating) },
        { "lang", nchat_gif_field(query.lang) }
    };

    ctx = gr->ctx;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (nchat_arg(ctx, texts[i].name,
                      (ngx_str_t *) ((char *) gr + texts[i].offset))
            == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    if (nchat_gif_integer(ctx, "limit", &gr->limit) != NGX_OK
        || nchat_gif_integer(ctx, "offset", &gr->offset) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (gr->limit == 0 || gr->offset > NCHAT_GIF_OFFSET_MAX) {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "limit must be at least 1 and offset at most 4999");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
nchat_gif_integer(nchat_ctx_t *ctx, const char *name, ngx_int_t *value)
{
    ngx_int_t  rc;
    ngx_str_t  arg;

    rc = nchat_arg(ctx, name, &arg);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    *value = ngx_atoi(arg.data, arg.len);

    if (*value == NGX_ERROR) {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "limit and offset must be integers");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Defaults, and what both ways to ask have in common. */

static ngx_int_t
nchat_gif_check(nchat_gif_request_t *gr)
{
    ngx_uint_t          i;
    nchat_gif_query_t  *query;

    query = &gr->query;

    for (i = 0; i < NCHAT_GIF_ACTIONS && gr->action.data; i++) {
        if (gr->action.len == nchat_gif_actions[i].len
            && ngx_strncmp(gr->action.data, nchat_gif_actions[i].data,
                           gr->action.len)
               == 0)
        {
            break;
        }
    }

    if (i == NCHAT_GIF_ACTIONS) {
        nchat_reply_invalid(gr->ctx, "action", "enum", "action must be one of "
                            "search, trending, categories, random");
        return NGX_ERROR;
    }

    query->action = gr->action.data ? i : NCHAT_GIF_SEARCH;

    if (query->rating.data == NULL) {
        ngx_str_set(&query->rating, "g");
    }

    for (i = 0; nchat_gif_ratings[i].len; i++) {
        if (query->rating.len == nchat_gif_ratings[i].len
            && ngx_strncmp(query->rating.data, nchat_gif_ratings[i].data,
                           query->rating.len)
               == 0)
        {
            break;
        }
    }

    if (nchat_gif_ratings[i].len == 0) {
        nchat_reply_invalid(gr->ctx, "rating", "enum",
                            "rating must be one of g, pg, pg-13, r");
        return NGX_ERROR;
    }

    query->limit = (gr->limit == NGX_CONF_UNSET) ? NCHAT_GIF_LIMIT
                   : ngx_min((ngx_uint_t) gr->limit, NCHAT_GIF_LIMIT_MAX);
    query->offset = (gr->offset == NGX_CONF_UNSET) ? 0 : gr->offset;

    return nchat_gif_check_query(gr);
}


static ngx_int_t
nchat_gif_check_query(nchat_gif_request_t *gr)
{
    u_char              c;
    size_t              i, len;
    ngx_str_t          *text;
    nchat_gif_query_t  *query;

    query = &gr->query;
    text = &query->query;

    while (text->len && text->data[0] <= ' ') {
        text->data++;
        text->len--;
    }

    while (text->len && text->data[text->len - 1] <= ' ') {
        text->len--;
    }

    len = text->len ? nchat_utf8_len(text) : 0;

    if (len > NCHAT_GIF_QUERY_MAX
        || (len == 0 && query->action == NCHAT_GIF_SEARCH))
    {
        nchat_reply_invalid(gr->ctx,
                            gr->ctx->method == NGX_HTTP_POST ? "query" : "q",
                            len ? "length" : "required",
                            "the query must be 1-100 characters");
        return NGX_ERROR;
    }

    if (query->lang.data == NULL) {
        ngx_str_set(&query->lang, "en");
    }

    for (i = 0; i < query->lang.len; i++) {
        c = query->lang.data[i];

        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-' && c != '_')
        {
            break;
        }
    }

    if (i < query->lang.len || i < 2 || i > NCHAT_GIF_LANG_MAX) {
        nchat_reply_invalid(gr->ctx, "lang", "format",
                            "lang must be a language such as \"en\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}
