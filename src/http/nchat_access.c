/*
 * May this caller do that?  The token's claims say who and in which role; the
 * shared zone says whether that session is still alive; when the zone cannot
 * know, the database is asked, and without it nobody gets in.
 */

#include "nchat_http.h"
#include "nchat_uuid.h"


static ngx_int_t nchat_access_session(nchat_ctx_t *ctx);
static ngx_int_t nchat_access_ask(nchat_ctx_t *ctx);
static void nchat_access_answer(nchat_ctx_t *ctx, PGresult *result);
static ngx_uint_t nchat_access_host_is(nchat_ctx_t *ctx,
    const ngx_str_t *origin);
static ngx_uint_t nchat_access_public_is(nchat_ctx_t *ctx,
    const ngx_str_t *origin);
static ngx_int_t nchat_access_refuse(nchat_ctx_t *ctx, nchat_error_e error,
    const char *message);


static nchat_stmt_t  nchat_access_session_stmt = {
    "nchat_session_check",
    "SELECT nchat_session_check($1::uuid, $2::uuid, $3::int) AS live",
    3, NCHAT_LANE_FAST, 1, 0, 0
};


ngx_int_t
nchat_access(nchat_ctx_t *ctx)
{
    nchat_caller_t       *caller;
    const nchat_route_t  *route;

    route = ctx->route;
    caller = &ctx->caller;

    if (route->access == NCHAT_ANYONE) {
        ctx->checked = 1;
        return NGX_DECLINED;
    }

    if (caller->bad) {
        return nchat_access_refuse(ctx, NCHAT_E_INVALID_TOKEN,
                                   "Invalid or expired token");
    }

    if (!caller->valid) {

        if (route->access == NCHAT_OPTIONAL) {
            ctx->checked = 1;
            return NGX_DECLINED;
        }

        return nchat_access_refuse(ctx, NCHAT_E_UNAUTHORIZED,
                                   "Authentication required");
    }

    if (caller->cookie && route->method != NGX_HTTP_GET
        && nchat_access_origin(ctx) != NCHAT_ORIGIN_SAME)
    {
        return nchat_access_refuse(ctx, NCHAT_E_FORBIDDEN,
                                   "A request with the session cookie must "
                                   "come from the same origin");
    }

    if (caller->claims.external) {
        return nchat_external(ctx);
    }

    return nchat_access_session(ctx);
}


static ngx_int_t
nchat_access_session(nchat_ctx_t *ctx)
{
    u_char           sid[16];
    nchat_caller_t  *caller;

    caller = &ctx->caller;

    if (nchat_uuid_parse(&caller->claims.sid, sid) != NGX_OK) {
        return nchat_access_refuse(ctx, NCHAT_E_INVALID_TOKEN,
                                   "Invalid or expired token");
    }

    switch (nchat_session_get(ctx->conf->zone, caller->user, sid,
                              caller->claims.ver))
    {
    case NCHAT_SESSION_LIVE:
        nchat_count(ctx->conf->metrics, NCHAT_M_SESSION_HIT);
        return nchat_access_role(ctx);

    case NCHAT_SESSION_ENDED:
        return nchat_access_refuse(ctx, NCHAT_E_INVALID_TOKEN,
                                   "This session has ended");

    default:
        nchat_count(ctx->conf->metrics, NCHAT_M_SESSION_ASK);
        return nchat_access_ask(ctx);
    }
}


/* The phases stop here; the answer runs them again. */

static ngx_int_t
nchat_access_ask(nchat_ctx_t *ctx)
{
    ngx_str_t  params[3];

    params[0] = ctx->caller.claims.sub;
    params[1] = ctx->caller.claims.sid;
    params[2] = nchat_query_int(ctx, ctx->caller.claims.ver);

    nchat_query(ctx, &nchat_access_session_stmt, params, 3,
                nchat_access_answer);

    return NGX_DONE;
}


static void
nchat_access_answer(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t  live;

    live = nchat_query_column(result, "live");

    if (live.len == 0 || live.data[0] != 't') {
        nchat_reply_error(ctx, NCHAT_E_INVALID_TOKEN,
                          "This session has ended");
        return;
    }

    nchat_access_resume(ctx);
}


void
nchat_access_resume(nchat_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (nchat_access_role(ctx) != NGX_DECLINED) {
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


ngx_int_t
nchat_access_role(nchat_ctx_t *ctx)
{
    ctx->checked = 1;

    if (ctx->route->access == NCHAT_ADMIN
        && ctx->caller.role < NCHAT_ROLE_ADMIN)
    {
        return nchat_access_refuse(ctx, NCHAT_E_FORBIDDEN,
                                   "Admin access required");
    }

    if (ctx->route->access == NCHAT_MEMBER
        && ctx->caller.role < NCHAT_ROLE_MEMBER)
    {
        return nchat_access_refuse(ctx, NCHAT_E_FORBIDDEN,
                                   "Guests have read access only");
    }

    return NGX_DECLINED;
}


static ngx_int_t
nchat_access_refuse(nchat_ctx_t *ctx, nchat_error_e error, const char *message)
{
    ctx->checked = 1;
    nchat_reply_error(ctx, error, message);

    return NGX_DONE;
}


/*
 * A browser says who made it send a request: Sec-Fetch-Site, or Origin in
 * older ones.
 */

nchat_origin_e
nchat_access_origin(nchat_ctx_t *ctx)
{
    ngx_str_t  *site, *origin;

    site = nchat_header(ctx->request, "Sec-Fetch-Site");

    if (site) {
        return (site->len == sizeof("same-origin") - 1
                && ngx_strncmp(site->data, "same-origin", site->len) == 0)
               ? NCHAT_ORIGIN_SAME : NCHAT_ORIGIN_OTHER;
    }

    origin = nchat_header(ctx->request, "Origin");

    if (origin == NULL) {
        return NCHAT_ORIGIN_UNSAID;
    }

    return (nchat_access_host_is(ctx, origin)
            || nchat_access_public_is(ctx, origin))
           ? NCHAT_ORIGIN_SAME : NCHAT_ORIGIN_OTHER;
}


/*
 * "<scheme>://<Host>".  Who has TLS before this server does not tell it the
 * scheme, so that http is believed unless it is known to be wrong.
 */

static ngx_uint_t
nchat_access_host_is(nchat_ctx_t *ctx, const ngx_str_t *origin)
{
    size_t               scheme;
    ngx_str_t           *host, *url;
    ngx_uint_t           secure;
    ngx_http_request_t  *r;

    r = ctx->request;
    url = &ctx->conf->public_url;

    if (r->headers_in.host == NULL) {
        return 0;
    }

    host = &r->headers_in.host->value;

    if (origin->len <= host->len) {
        return 0;
    }

    scheme = origin->len - host->len;

    if (ngx_strncasecmp(origin->data + scheme, host->data, host->len) != 0) {
        return 0;
    }

    secure = url->len > 8
             && ngx_strncasecmp(url->data, (u_char *) "https://", 8) == 0;

#if (NGX_HTTP_SSL)
    secure |= (r->connection->ssl != NULL);
#endif

    return (scheme == 8
            && ngx_strncasecmp(origin->data, (u_char *) "https://", 8) == 0)
           || (scheme == 7 && !secure
               && ngx_strncasecmp(origin->data, (u_char *) "http://", 7)
                  == 0);
}


/* What nchat_public_url begins with, where a proxy has changed the Host. */

static ngx_uint_t
nchat_access_public_is(nchat_ctx_t *ctx, const ngx_str_t *origin)
{
    ngx_str_t  *url;

    url = &ctx->conf->public_url;

    return origin->len >= sizeof("http://") && url->len >= origin->len
           && ngx_strncasecmp(url->data, origin->data, origin->len) == 0
           && (url->len == origin->len || url->data[origin->len] == '/');
}
