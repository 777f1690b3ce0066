/* GET and POST /api/gif (contract, "Outbound"). */

#include "nchat_api.h"
#include "nchat_cache.h"
#include "nchat_gif_request.h"
#include "nchat_json.h"


#define NCHAT_GIF_TIMEOUT  8000

/* how long an answer is kept; nothing random is */
#define NCHAT_GIF_LIFE     (10 * 60 * 1000)

/* Tenor goes on where it left off: how often for one offset */
#define NCHAT_GIF_HOPS     10


static void nchat_gif_status(nchat_gif_request_t *gr);
static void nchat_gif_look(nchat_gif_request_t *gr);
static void nchat_gif_ask(nchat_gif_request_t *gr);
static void nchat_gif_done(nchat_ask_t *ask);
static void nchat_gif_failed(nchat_gif_request_t *gr);
static ngx_uint_t nchat_gif_hop(nchat_gif_request_t *gr,
    nchat_gif_list_t *list);
static ngx_int_t nchat_gif_slice(nchat_gif_request_t *gr,
    nchat_gif_list_t *list);
static void nchat_gif_reply(nchat_gif_request_t *gr, nchat_gif_list_t *list);


void
nchat_api_gif_get(nchat_ctx_t *ctx)
{
    nchat_gif_request_t  *gr;

    gr = nchat_gif_request_get(ctx);

    if (gr == NULL) {
        return;
    }

    if (gr->nothing) {
        nchat_gif_status(gr);
        return;
    }

    nchat_gif_look(gr);
}


void
nchat_api_gif_post(nchat_ctx_t *ctx)
{
    nchat_gif_request_t  *gr;

    gr = nchat_gif_request_post(ctx);

    if (gr) {
        nchat_gif_look(gr);
    }
}


/* GET with nothing: is there a provider? */

static void
nchat_gif_status(nchat_gif_request_t *gr)
{
    u_char     *p;
    ngx_str_t   members;

    if (!gr->ask.service->set) {
        ngx_str_set(&members, "\"available\":false");
        nchat_reply_ok(gr->ctx, NGX_HTTP_OK, &members, NULL);
        return;
    }

    members.data = ngx_pnalloc(gr->ctx->request->pool, 64);
    if (members.data == NULL) {
        nchat_reply_internal(gr->ctx, "out of memory");
        return;
    }

    p = ngx_snprintf(members.data, 64, "\"provider\":\"%V\",\"available\":true",
                     nchat_gif_provider(gr->query.provider));
    members.len = p - members.data;

    nchat_reply_ok(gr->ctx, NGX_HTTP_OK, &members, NULL);
}


static void
nchat_gif_look(nchat_gif_request_t *gr)
{
    u_char              numbers[64], *p;
    ngx_int_t           rc;
    ngx_str_t           parts[4], cached;
    nchat_ctx_t        *ctx;
    nchat_gif_query_t  *query;

    ctx = gr->ctx;
    query = &gr->query;

    if (!gr->ask.service->set) {
        nchat_reply_error(ctx, NCHAT_E_UNAVAILABLE,
                          "No GIF service is configured");
        return;
    }

    if (query->action == NCHAT_GIF_RANDOM) {
        query->limit = 1;
        query->offset = 0;
        nchat_gif_ask(gr);
        return;
    }

    p = ngx_snprintf(numbers, sizeof(numbers), "%ui %ui %ui %V",
                     (ngx_uint_t) query->action, query->limit, query->offset,
                     &query->rating);

    parts[0].data = numbers;
    parts[0].len = p - numbers;
    parts[1] = query->query;
    parts[2] = query->lang;
    parts[3] = gr->ask.service->base;

    if (parts[1].data == NULL) {
        ngx_str_set(&parts[1], "");
    }

    nchat_key(&gr->key, 'G', parts, 4);

    rc = nchat_cache_get(ctx->conf->zone, &gr->key, ctx->request->pool,
                         &cached);

    if (rc == NGX_ERROR) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (rc == NGX_OK) {
        nchat_count(ctx->conf->metrics, NCHAT_M_GIF_HIT);
        nchat_reply_ok(ctx, NGX_HTTP_OK, &cached, NULL);
        return;
    }

    nchat_count(ctx->conf->metrics, NCHAT_M_GIF_MISS);
    nchat_gif_ask(gr);
}


/*
 * Tenor has no offsets.  What lies within its first fifty is cut out of them;
 * else the way leads to the offset, in steps of fifty at most.
 */

static void
nchat_gif_ask(nchat_gif_request_t *gr)
{
    ngx_msec_t           waited;
    nchat_gif_query_t   *step;

    if (gr->hops++ == 0) {
        gr->step = gr->query;

        if (gr->query.provider == NCHAT_GIF_TENOR) {
            step = &gr->step;

            if (step->action == NCHAT_GIF_RANDOM) {
                step->limit = step->query.len ? 1 : NCHAT_GIF_LIMIT_MAX;

            } else if (step->action != NCHAT_GIF_CATEGORIES) {
                step->limit += step->offset;

                if (step->limit > NCHAT_GIF_LIMIT_MAX) {
                    step->limit = ngx_min(step->offset, NCHAT_GIF_LIMIT_MAX);
                }

                step->offset = 0;
            }
        }
    }

    waited = ngx_current_msec - gr->begin;

    if (waited >= NCHAT_GIF_TIMEOUT) {
        nchat_reply_error(gr->ctx, NCHAT_E_TIMEOUT,
                          "The GIF service took too long");
        return;
    }

    if (nchat_gif_path(gr->ctx->request->pool, &gr->step,
                       &gr->ask.service->key, &gr->ask.path)
        != NGX_OK)
    {
        nchat_reply_internal(gr->ctx, "out of memory");
        return;
    }

    gr->ask.kind = NCHAT_FETCH_GIF;
    gr->ask.timeout = NCHAT_GIF_TIMEOUT - waited;
    gr->ask.done = nchat_gif_done;
    gr->ask.data = gr;

    nchat_service_ask(gr->ctx->request, &gr->ask);
}


static void
nchat_gif_done(nchat_ask_t *ask)
{
    nchat_gif_request_t *gr = ask->data;

    nchat_gif_list_t  list;

    if (ask->result != NCHAT_FETCH_OK) {
        nchat_gif_failed(gr);
        return;
    }

    switch (nchat_gif_map(ask->request->pool, &gr->step, ask->answer, &list)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        ask->result = NCHAT_FETCH_FAILED;
        nchat_gif_failed(gr);
        return;

    default:
        nchat_reply_internal(gr->ctx, "out of memory");
        return;
    }

    if (gr->query.provider == NCHAT_GIF_TENOR) {

        if (nchat_gif_hop(gr, &list)) {
            nchat_gif_ask(gr);
            return;
        }

        if (nchat_gif_slice(gr, &list) != NGX_OK) {
            nchat_reply_internal(gr->ctx, "out of memory");
            return;
        }
    }

    nchat_gif_reply(gr, &list);
}


static void
nchat_gif_failed(nchat_gif_request_t *gr)
{
    switch (gr->ask.result) {

    case NCHAT_FETCH_TIMEOUT:
        nchat_reply_error(gr->ctx, NCHAT_E_TIMEOUT,
                          "The GIF service took too long");
        return;

    case NCHAT_FETCH_MEMORY:
        nchat_reply_internal(gr->ctx, "out of memory");
        return;

    default:
        break;
    }

    if (gr->ask.status == NGX_HTTP_TOO_MANY_REQUESTS) {
        nchat_reply_error(gr->ctx, NCHAT_E_UNAVAILABLE,
                          "The GIF service wants to be asked less often");
        return;
    }

    if (gr->ask.status == NGX_HTTP_UNAUTHORIZED
        || gr->ask.status == NGX_HTTP_FORBIDDEN)
    {
        ngx_log_error(NGX_LOG_ERR, gr->ctx->request->connection->log, 0,
                      "nchat: the GIF service refuses the key (%ui)",
                      gr->ask.status);
    }

    nchat_reply_error(gr->ctx, NCHAT_E_UPSTREAM,
                      "The GIF service gave a bad answer");
}


/* 1: the offset lies behind these, and there are more */

static ngx_uint_t
nchat_gif_hop(nchat_gif_request_t *gr, nchat_gif_list_t *list)
{
    ngx_uint_t  seen;

    if (gr->query.action == NCHAT_GIF_RANDOM
        || gr->query.action == NCHAT_GIF_CATEGORIES)
    {
        return 0;
    }

    seen = gr->step.offset + json_array_size(list->gifs);

    if (seen > gr->query.offset || !list->more || gr->hops >= NCHAT_GIF_HOPS) {
        return 0;
    }

    gr->step.offset = seen;
    gr->step.pos = list->next;
    gr->step.limit = (seen < gr->query.offset)
                     ? ngx_min(gr->query.offset - seen, NCHAT_GIF_LIMIT_MAX)
                     : gr->query.limit;

    return 1;
}


/* What the client asked for, out of what the provider gave. */

static ngx_int_t
nchat_gif_slice(nchat_gif_request_t *gr, nchat_gif_list_t *list)
{
    size_t       i, n, from, to;
    json_t      *gifs;

    if (gr->query.action == NCHAT_GIF_CATEGORIES) {
        return NGX_OK;
    }

    n = json_array_size(list->gifs);

    if (gr->query.action == NCHAT_GIF_RANDOM) {
        from = n ? (size_t) ngx_random() % n : 0;

    } else {
        from = ngx_min(gr->query.offset - gr->step.offset, n);
    }

    to = ngx_min(from + gr->query.limit, n);

    gifs = json_array();

    if (nchat_json_own(gr->ctx->request->pool, gifs) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = from; i < to; i++) {
        if (json_array_append(gifs, json_array_get(list->gifs, i)) != 0) {
            return NGX_ERROR;
        }
    }

    list->gifs = gifs;

    if (gr->query.action == NCHAT_GIF_RANDOM) {
        list->total = to - from;
        return NGX_OK;
    }

    list->more = (to < n || list->more);
    list->total = ngx_max(list->total,
                          gr->query.offset + (to - from) + list->more);

    return NGX_OK;
}


static void
nchat_gif_reply(nchat_gif_request_t *gr, nchat_gif_list_t *list)
{
    json_t      *payload;
    ngx_str_t    members;
    ngx_uint_t   count;

    count = json_array_size(list->categories ? list->categories : list->gifs);

    payload = json_pack("{s:O, s:{s:I, s:I, s:I, s:b}, s:s}",
                        "gifs", list->gifs,
                        "pagination",
                        "totalCount", (json_int_t) list->total,
                        "count", (json_int_t) count,
                        "offset", (json_int_t) gr->query.offset,
                        "hasMore", (int) list->more,
                        "provider",
                        nchat_gif_provider(gr->query.provider)->data);

    if (nchat_json_own(gr->ctx->request->pool, payload) != NGX_OK
        || (list->categories
            && json_object_set(payload, "categories", list->categories) != 0)
        || nchat_json_members(gr->ctx->request->pool, payload, 0, &members)
           != NGX_OK)
    {
        nchat_reply_internal(gr->ctx, "out of memory");
        return;
    }

    if (gr->query.action != NCHAT_GIF_RANDOM) {
        nchat_cache_put(gr->ctx->conf->zone, &gr->key, &members,
                        NCHAT_GIF_LIFE);
    }

    nchat_reply_ok(gr->ctx, NGX_HTTP_OK, &members, NULL);
}
