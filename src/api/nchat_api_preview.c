/* GET /api/link-preview (contract, "Outbound"). */

#include "nchat_api.h"
#include "nchat_cache.h"
#include "nchat_fetch.h"
#include "nchat_fetch_conf.h"
#include "nchat_guard.h"
#include "nchat_html.h"
#include "nchat_json.h"
#include "nchat_preview.h"


/* contract: 10 s in all, first 1 MiB, an hour, 10 fetches a minute per host */
#define NCHAT_PREVIEW_TIMEOUT   10000
#define NCHAT_PREVIEW_CAP       (1024 * 1024)
#define NCHAT_PREVIEW_LIFE      (60 * 60 * 1000)
#define NCHAT_PREVIEW_PER_HOST  10

/* a failure is shared with those who waited for it, and hardly longer */
#define NCHAT_PREVIEW_SHARED    2000

/* between two looks at a fetch of somebody else's */
#define NCHAT_PREVIEW_POLL      50


typedef enum {
    NCHAT_PREVIEW_INVALID_URL = 0,
    NCHAT_PREVIEW_BLOCKED,
    NCHAT_PREVIEW_NOT_FOUND,
    NCHAT_PREVIEW_FAILED,
    NCHAT_PREVIEW_TIMED_OUT,
    NCHAT_PREVIEW_PARSE_ERROR,
    NCHAT_PREVIEW_RATE_LIMITED
} nchat_preview_error_e;


typedef struct {
    nchat_ctx_t         *ctx;
    nchat_url_t          url;
    nchat_key_t          key;
    uint64_t             claim;
    ngx_event_t          timer;
    ngx_msec_t           begin;
    nchat_html_t        *html;
    nchat_preview_t      preview;
    unsigned             skip:1;        /* the cache is not asked */
} nchat_preview_request_t;


static ngx_int_t nchat_preview_args(nchat_preview_request_t *pr);
static void nchat_preview_look(nchat_preview_request_t *pr);
static void nchat_preview_poll(ngx_event_t *ev);
static void nchat_preview_fetch(nchat_preview_request_t *pr);
static ngx_int_t nchat_preview_header(nchat_fetch_t *f);
static ngx_int_t nchat_preview_body(nchat_fetch_t *f, u_char *p, size_t len);
static void nchat_preview_done(nchat_fetch_t *f);
static void nchat_preview_page(nchat_preview_request_t *pr, nchat_fetch_t *f);
static void nchat_preview_fail(nchat_preview_request_t *pr,
    nchat_preview_error_e error, const char *why);
static void nchat_preview_reply(nchat_preview_request_t *pr, ngx_str_t *value,
    ngx_uint_t cached);
static void nchat_preview_refuse(nchat_ctx_t *ctx,
    nchat_preview_error_e error, ngx_str_t *why);
static void nchat_preview_cleanup(void *data);


/* by nchat_preview_error_e */

static ngx_str_t  nchat_preview_codes[] = {
    ngx_string("INVALID_URL"),
    ngx_string("BLOCKED"),
    ngx_string("NOT_FOUND"),
    ngx_string("FETCH_FAILED"),
    ngx_string("TIMEOUT"),
    ngx_string("PARSE_ERROR"),
    ngx_string("RATE_LIMITED")
};


static const nchat_fetch_taker_t  nchat_preview_taker = {
    nchat_preview_header, nchat_preview_body, nchat_preview_done
};


void
nchat_api_preview(nchat_ctx_t *ctx)
{
    ngx_str_t                 part;
    const char               *why;
    ngx_http_cleanup_t       *cln;
    nchat_fetch_conf_t       *fcf;
    nchat_preview_request_t  *pr;

    fcf = nchat_fetch_conf(ctx->request);

    cln = ngx_http_cleanup_add(ctx->request, sizeof(nchat_preview_request_t));
    if (cln == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    pr = cln->data;
    ngx_memzero(pr, sizeof(nchat_preview_request_t));

    pr->ctx = ctx;
    pr->begin = ngx_current_msec;
    pr->timer.handler = nchat_preview_poll;
    pr->timer.data = pr;
    pr->timer.log = ctx->request->connection->log;

    cln->handler = nchat_preview_cleanup;

    if (nchat_preview_args(pr) != NGX_OK) {
        return;
    }

    /* before the cache: what is allowed may have changed */

    why = nchat_guard_url(&pr->url, fcf->allow);
    if (why) {
        nchat_preview_fail(pr, NCHAT_PREVIEW_BLOCKED, why);
        return;
    }

    part = pr->url.href;
    nchat_key(&pr->key, 'P', &part, 1);

    nchat_preview_look(pr);
}


/* NGX_ERROR: answered */

static ngx_int_t
nchat_preview_args(nchat_preview_request_t *pr)
{
    ngx_int_t     rc;
    ngx_str_t     text, skip;
    nchat_ctx_t  *ctx;
    const char   *why;

    ctx = pr->ctx;

    rc = nchat_arg(ctx, "url", &text);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        nchat_preview_fail(pr, NCHAT_PREVIEW_INVALID_URL,
                           "the argument url is missing");
        return NGX_ERROR;
    }

    rc = nchat_arg(ctx, "skipCache", &skip);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    pr->skip = (rc == NGX_OK
                && ((skip.len == 4 && ngx_strncmp(skip.data, "true", 4) == 0)
                    || (skip.len == 1 && skip.data[0] == '1')));

    rc = nchat_url_parse(ctx->request->pool, &text, NULL, &pr->url, &why);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    nchat_preview_fail(pr, NCHAT_PREVIEW_INVALID_URL, why);

    return NGX_ERROR;
}


/* In the cache, being fetched by somebody, or ours to fetch. */

static void
nchat_preview_look(nchat_preview_request_t *pr)
{
    ngx_int_t         rc;
    ngx_str_t         value;
    ngx_msec_t        waited;
    nchat_ctx_t      *ctx;
    nchat_zone_t     *zone;
    nchat_metrics_t  *metrics;

    ctx = pr->ctx;
    zone = ctx->conf->zone;
    metrics = ctx->conf->metrics;
    waited = ngx_current_msec - pr->begin;

    /* who had to wait for somebody's fetch has a fresh one */

    if (!pr->skip || waited) {
        rc = nchat_cache_get(zone, &pr->key, ctx->request->pool, &value);

        if (rc == NGX_ERROR) {
            nchat_reply_internal(ctx, "out of memory");
            return;
        }

        if (rc == NGX_OK) {
            nchat_count(metrics, NCHAT_M_PREVIEW_HIT);
            nchat_preview_reply(pr, &value, 1);
            return;
        }
    }

    if (waited >= NCHAT_PREVIEW_TIMEOUT) {
        nchat_preview_fail(pr, NCHAT_PREVIEW_TIMED_OUT,
                           "the server took too long");
        return;
    }

    rc = nchat_cache_claim(zone, &pr->key, NCHAT_PREVIEW_TIMEOUT + 1000,
                           &pr->claim);

    if (rc == NGX_BUSY) {
        nchat_ctx_wait(ctx);
        ngx_add_timer(&pr->timer, NCHAT_PREVIEW_POLL);
        return;
    }

    nchat_count(metrics, NCHAT_M_PREVIEW_MISS);
    nchat_preview_fetch(pr);
}


static void
nchat_preview_poll(ngx_event_t *ev)
{
    nchat_preview_request_t *pr = ev->data;

    ngx_connection_t  *c;

    c = pr->ctx->request->connection;

    ngx_http_set_log_request(c->log, pr->ctx->request);

    nchat_preview_look(pr);

    ngx_http_run_posted_requests(c);
}


static void
nchat_preview_fetch(nchat_preview_request_t *pr)
{
    ngx_str_t            host;
    nchat_key_t          key;
    nchat_ctx_t         *ctx;
    nchat_fetch_t       *f;
    nchat_window_t       window;
    nchat_fetch_conf_t  *fcf;

    ctx = pr->ctx;
    fcf = nchat_fetch_conf(ctx->request);

    host = pr->url.host.name;
    nchat_key(&key, 'H', &host, 1);
    nchat_window_hit(ctx->conf->zone, NCHAT_WINDOW_RATE, &key,
                     ctx->conf->window, &window);

    if (window.count > NCHAT_PREVIEW_PER_HOST) {
        ctx->retry_after = window.left;
        nchat_preview_fail(pr, NCHAT_PREVIEW_RATE_LIMITED,
                           "this host was asked too often, try again later");
        return;
    }

    f = nchat_fetch_create(ctx->request);

    if (f == NULL || fcf->locations[NCHAT_FETCH_PREVIEW].len == 0) {
        nchat_reply_internal(ctx, f ? "no location says \"nchat_fetch preview\""
                                    : "out of memory");
        return;
    }

    f->location = fcf->locations[NCHAT_FETCH_PREVIEW];
    f->url = &pr->url;
    f->allow = fcf->allow;
    f->taker = &nchat_preview_taker;
    f->data = pr;
    f->timeout = NCHAT_PREVIEW_TIMEOUT - (ngx_current_msec - pr->begin);
    f->cap = NCHAT_PREVIEW_CAP;

    nchat_fetch_start(f);
}


static ngx_int_t
nchat_preview_header(nchat_fetch_t *f)
{
    nchat_preview_request_t *pr = f->data;

    ngx_pool_t  *pool;

    pool = f->request->pool;

    pr->preview.kind = nchat_preview_kind(&f->content_type);

    switch (pr->preview.kind) {

    case NCHAT_PREVIEW_OTHER:
        return NGX_DECLINED;

    case NCHAT_PREVIEW_HTML:
        break;

    default:
        return NGX_DONE;
    }

    /* the parser keeps the URL of the page: the last hop's */

    pr->html = nchat_html_create(pool, &f->hop, &f->content_type,
                                 NCHAT_PREVIEW_CAP);

    return pr->html ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
nchat_preview_body(nchat_fetch_t *f, u_char *p, size_t len)
{
    nchat_preview_request_t *pr = f->data;

    return nchat_html_feed(pr->html, p, len);
}


static void
nchat_preview_done(nchat_fetch_t *f)
{
    nchat_preview_request_t *pr = f->data;

    switch (f->result) {

    case NCHAT_FETCH_OK:
        nchat_preview_page(pr, f);
        return;

    case NCHAT_FETCH_BLOCKED:
        nchat_preview_fail(pr, NCHAT_PREVIEW_BLOCKED, f->why);
        return;

    case NCHAT_FETCH_NOT_FOUND:
        nchat_preview_fail(pr, NCHAT_PREVIEW_NOT_FOUND, f->why);
        return;

    case NCHAT_FETCH_FAILED:
        nchat_preview_fail(pr, NCHAT_PREVIEW_FAILED, f->why);
        return;

    case NCHAT_FETCH_TIMEOUT:
        nchat_preview_fail(pr, NCHAT_PREVIEW_TIMED_OUT, f->why);
        return;

    case NCHAT_FETCH_REFUSED:
        nchat_preview_fail(pr, NCHAT_PREVIEW_PARSE_ERROR,
                           "the URL is no page, image, video or sound");
        return;

    default:
        nchat_reply_internal(pr->ctx, "out of memory");
    }
}


static void
nchat_preview_page(nchat_preview_request_t *pr, nchat_fetch_t *f)
{
    ngx_str_t     value;
    nchat_ctx_t  *ctx;

    ctx = pr->ctx;

    if (pr->html && nchat_html_finish(pr->html, &pr->preview.meta) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    pr->preview.asked = &pr->url;
    pr->preview.page = &f->hop;

    if (nchat_preview_render(ctx->request->pool, &pr->preview, &value)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_cache_put(ctx->conf->zone, &pr->key, &value, NCHAT_PREVIEW_LIFE);
    pr->claim = 0;

    nchat_preview_reply(pr, &value, 0);
}


/* In the cache a failure is its number, as a character, and its sentence. */

static void
nchat_preview_fail(nchat_preview_request_t *pr, nchat_preview_error_e error,
    const char *why)
{
    u_char     *p;
    ngx_str_t   value;

    value.len = 1 + ngx_strlen(why);
    value.data = ngx_pnalloc(pr->ctx->request->pool, value.len);

    if (value.data == NULL) {
        nchat_reply_internal(pr->ctx, "out of memory");
        return;
    }

    p = value.data;
    *p++ = (u_char) ('0' + error);
    ngx_memcpy(p, why, value.len - 1);

    if (pr->claim) {
        nchat_cache_put(pr->ctx->conf->zone, &pr->key, &value,
                        NCHAT_PREVIEW_SHARED);
        pr->claim = 0;
    }

    nchat_preview_reply(pr, &value, 0);
}


static void
nchat_preview_reply(nchat_preview_request_t *pr, ngx_str_t *value,
    ngx_uint_t cached)
{
    u_char       *p;
    ngx_str_t     members, why;
    nchat_ctx_t  *ctx;

    static const ngx_str_t  flags[] = {
        ngx_string(",\"cached\":false"), ngx_string(",\"cached\":true")
    };

    ctx = pr->ctx;

    if (value->data[0] != '"') {
        why.data = value->data + 1;
        why.len = value->len - 1;
        nchat_preview_refuse(ctx, value->data[0] - '0', &why);
        return;
    }

    p = ngx_pnalloc(ctx->request->pool, value->len + flags[cached].len);
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.data = p;
    p = ngx_cpymem(p, value->data, value->len);
    p = ngx_cpymem(p, flags[cached].data, flags[cached].len);
    members.len = p - members.data;

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}


/* The codes of this endpoint stand twice: clients read either. */

static void
nchat_preview_refuse(nchat_ctx_t *ctx, nchat_preview_error_e error,
    ngx_str_t *why)
{
    ngx_str_t   parts[7];
    ngx_uint_t  status;

    status = (error == NCHAT_PREVIEW_RATE_LIMITED)
             ? NGX_HTTP_TOO_MANY_REQUESTS : NGX_HTTP_BAD_REQUEST;

    parts[1].len = nchat_json_escape_len(why);
    parts[1].data = ngx_pnalloc(ctx->request->pool, parts[1].len + 1);

    if (parts[1].data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    (void) nchat_json_escape(parts[1].data, why);

    ngx_str_set(&parts[0], "{\"success\":false,\"error\":\"");
    ngx_str_set(&parts[2], "\",\"code\":\"");
    parts[3] = nchat_preview_codes[error];
    ngx_str_set(&parts[4], "\",\"errorCode\":\"");
    parts[5] = nchat_preview_codes[error];
    ngx_str_set(&parts[6], "\",\"details\":{}}");

    nchat_reply_json(ctx, status, parts, 7);
}


/* The request ends, whatever it waited for; somebody else may fetch. */

static void
nchat_preview_cleanup(void *data)
{
    nchat_preview_request_t *pr = data;

    if (pr->timer.timer_set) {
        ngx_del_timer(&pr->timer);
    }

    nchat_cache_release(pr->ctx->conf->zone, &pr->key, pr->claim);
}
