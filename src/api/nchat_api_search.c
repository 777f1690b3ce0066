/* Contract, "Search". */

#include "nchat_api.h"
#include "nchat_json.h"


typedef struct {
    ngx_str_t    query;
    json_t      *types;
    json_t      *channel_ids;
    json_t      *user_ids;
    ngx_str_t    date_from;
    ngx_str_t    date_to;
    ngx_str_t    sort_by;
    ngx_str_t    sort_order;
    ngx_int_t    page;
    ngx_int_t    limit;
    ngx_int_t    offset;
} nchat_search_t;


static ngx_uint_t nchat_search_closed(nchat_ctx_t *ctx);
static ngx_int_t nchat_search_filters(nchat_ctx_t *ctx,
    const nchat_search_t *search, ngx_str_t *params);
static void nchat_search_send(nchat_ctx_t *ctx, ngx_str_t *params,
    const char *shape, const nchat_page_t *page);


/* $3 is the shape of the answer: items for GET, results for POST. */

static nchat_stmt_t  nchat_search_stmt = {
    "nchat_search",
    "SELECT * FROM nchat_search($1::uuid, $2::bool, $3, $4, $5, $6, $7, $8,"
    " $9, $10, $11, $12::bigint, $13::bigint)",
    13, NCHAT_LANE_SLOW, 1, 1, 0
};


static const ngx_str_t  nchat_search_types[] = {
    ngx_string("messages"),
    ngx_string("files"),
    ngx_string("users"),
    ngx_string("channels"),
    ngx_null_string
};

static const ngx_str_t  nchat_search_sorts[] = {
    ngx_string("relevance"),
    ngx_string("date"),
    ngx_null_string
};

static const ngx_str_t  nchat_search_orders[] = {
    ngx_string("asc"),
    ngx_string("desc"),
    ngx_null_string
};


static const nchat_check_t  nchat_search_fields[] = {
    NCHAT_CHECK_STR("query", offsetof(nchat_search_t, query), 2, 200,
                    NCHAT_REQUIRED|NCHAT_TRIM),
    NCHAT_CHECK_ENUMS("types", offsetof(nchat_search_t, types),
                      nchat_search_types, 0, 100, 0),
    NCHAT_CHECK_STRS("channelIds", offsetof(nchat_search_t, channel_ids), 0,
                     1000, 0),
    NCHAT_CHECK_STRS("userIds", offsetof(nchat_search_t, user_ids), 0, 1000,
                     0),
    NCHAT_CHECK_DATE("dateFrom", offsetof(nchat_search_t, date_from), 0),
    NCHAT_CHECK_DATE("dateTo", offsetof(nchat_search_t, date_to),
                     NCHAT_UPPER_DAY),
    NCHAT_CHECK_ENUM("sortBy", offsetof(nchat_search_t, sort_by),
                     nchat_search_sorts, 0),
    NCHAT_CHECK_ENUM("sortOrder", offsetof(nchat_search_t, sort_order),
                     nchat_search_orders, 0),
    NCHAT_CHECK_INT("page", offsetof(nchat_search_t, page), 1, NCHAT_PAGE_MAX,
                    0),
    NCHAT_CHECK_INT("limit", offsetof(nchat_search_t, limit), 1,
                    NCHAT_PAGE_MAX, 0),
    NCHAT_CHECK_INT("offset", offsetof(nchat_search_t, offset), 0,
                    NCHAT_PAGE_MAX, 0),
    NCHAT_CHECK_END
};


void
nchat_api_search_get(nchat_ctx_t *ctx)
{
    ngx_str_t     params[13];
    nchat_page_t  page;

    ngx_memzero(params, sizeof(params));

    if (nchat_search_closed(ctx)
        || nchat_arg_page(ctx, &page) != NGX_OK
        || nchat_arg(ctx, "q", &params[3]) == NGX_ERROR)
    {
        return;
    }

    nchat_search_send(ctx, params, "items", &page);
}


void
nchat_api_search_post(nchat_ctx_t *ctx)
{
    ngx_str_t       params[13];
    nchat_page_t    page;
    nchat_search_t  search;

    ngx_memzero(params, sizeof(params));
    ngx_memzero(&search, sizeof(nchat_search_t));
    search.page = NGX_CONF_UNSET;
    search.limit = NGX_CONF_UNSET;
    search.offset = NGX_CONF_UNSET;

    if (nchat_search_closed(ctx)
        || nchat_body_check(ctx, nchat_search_fields, &search) != NGX_OK)
    {
        return;
    }

    nchat_page_make(&page, search.page, search.limit, search.offset);

    if (nchat_search_filters(ctx, &search, params) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_search_send(ctx, params, "results", &page);
}


/* 1 after having answered: the operator switched search off. */

static ngx_uint_t
nchat_search_closed(nchat_ctx_t *ctx)
{
    nchat_live_t  *live;

    live = nchat_ctx_live(ctx);
    if (live == NULL) {
        return 1;
    }

    if (!nchat_live_flag(live, "features.search", 1)) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN, "Search is switched off");
        return 1;
    }

    return 0;
}


static ngx_int_t
nchat_search_filters(nchat_ctx_t *ctx, const nchat_search_t *search,
    ngx_str_t *params)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    const struct {
        json_t      *list;
        ngx_str_t   *text;
    } lists[] = {
        { search->types, &params[4] },
        { search->channel_ids, &params[5] },
        { search->user_ids, &params[6] }
    };

    pool = ctx->request->pool;

    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {

        if (lists[i].list
            && nchat_json_dump(pool, lists[i].list, 0, lists[i].text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    params[3] = search->query;
    params[7] = search->date_from;
    params[8] = search->date_to;
    params[9] = search->sort_by;
    params[10] = search->sort_order;

    return NGX_OK;
}


/* Sets who asks, the shape and the page; the rest is there. */

static void
nchat_search_send(nchat_ctx_t *ctx, ngx_str_t *params, const char *shape,
    const nchat_page_t *page)
{
    nchat_caller_t  *caller;

    caller = &ctx->caller;

    if (caller->role != NCHAT_ROLE_NONE) {
        params[0] = caller->claims.sub;
    }

    if (caller->role == NCHAT_ROLE_GUEST) {
        ngx_str_set(&params[1], "t");

    } else {
        ngx_str_set(&params[1], "f");
    }

    params[2].data = (u_char *) shape;
    params[2].len = ngx_strlen(shape);
    params[11] = nchat_query_int(ctx, page->limit);
    params[12] = nchat_query_int(ctx, page->offset);

    nchat_query(ctx, &nchat_search_stmt, params, 13, nchat_query_reply);
}
