/*
 * The way of a fetch: guard, resolve, guard again, ask, redirect.
 *
 * A subrequest's end only takes a note; everything else runs in the main
 * request's write handler, which nginx calls from its posted requests.  After
 * done() was called the request may be gone: nothing follows it.
 */

#include "nchat_fetch.h"
#include "nchat_fetch_conf.h"


#define NCHAT_FETCH_ADDRS  8


static void nchat_fetch_hop(nchat_fetch_t *f);
static void nchat_fetch_resolve(nchat_fetch_t *f);
static void nchat_fetch_resolved(ngx_resolver_ctx_t *ctx);
static ngx_int_t nchat_fetch_take_addrs(nchat_fetch_t *f,
    ngx_resolver_ctx_t *ctx);
static void nchat_fetch_literal(nchat_fetch_t *f);
static void nchat_fetch_ask(nchat_fetch_t *f);
static void nchat_fetch_wake(ngx_http_request_t *r);
static void nchat_fetch_next(nchat_fetch_t *f);
static void nchat_fetch_redirect(nchat_fetch_t *f);
static void nchat_fetch_deadline(ngx_event_t *ev);
static void nchat_fetch_finish(nchat_fetch_t *f, nchat_fetch_result_e result,
    const char *why);
static void nchat_fetch_stop(nchat_fetch_t *f);
static void nchat_fetch_cleanup(void *data);


nchat_fetch_t *
nchat_fetch_create(ngx_http_request_t *r)
{
    nchat_fetch_t       *f;
    ngx_http_cleanup_t  *cln;

    cln = ngx_http_cleanup_add(r, sizeof(nchat_fetch_t));
    if (cln == NULL) {
        return NULL;
    }

    f = cln->data;
    ngx_memzero(f, sizeof(nchat_fetch_t));

    f->request = r;

    f->deadline.handler = nchat_fetch_deadline;
    f->deadline.data = f;
    f->deadline.log = r->connection->log;

    cln->handler = nchat_fetch_cleanup;

    ngx_http_set_ctx(r, f, ngx_http_nchat_fetch_module);

    return f;
}


void
nchat_fetch_start(nchat_fetch_t *f)
{
    ngx_http_request_t  *r;

    r = f->request;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = nchat_fetch_wake;

    ngx_add_timer(&f->deadline, f->timeout);

    if (f->url == NULL) {
        nchat_fetch_ask(f);
        return;
    }

    f->hop = *f->url;
    nchat_fetch_hop(f);
}


/* One URL, the caller's or a redirect's: all checks anew. */

static void
nchat_fetch_hop(nchat_fetch_t *f)
{
    const char  *why;

    f->naddrs = 0;
    f->next_addr = 0;

    f->host = f->hop.authority;
    f->name = f->hop.host.name;

    why = nchat_guard_url(&f->hop, f->allow);
    if (why) {
        nchat_fetch_finish(f, NCHAT_FETCH_BLOCKED, why);
        return;
    }

    if (f->addrs == NULL) {
        f->addrs = ngx_palloc(f->request->pool, NCHAT_FETCH_ADDRS
                              * sizeof(struct sockaddr_storage));
        if (f->addrs == NULL) {
            nchat_fetch_finish(f, NCHAT_FETCH_MEMORY, "out of memory");
            return;
        }
    }

    if (f->hop.host.kind != NCHAT_HOST_NAME) {
        nchat_fetch_literal(f);
        nchat_fetch_ask(f);
        return;
    }

    nchat_fetch_resolve(f);
}


static void
nchat_fetch_literal(nchat_fetch_t *f)
{
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    ngx_memzero(f->addrs, sizeof(struct sockaddr_storage));
    f->naddrs = 1;

    if (f->hop.host.kind == NCHAT_HOST_IPV4) {
        sin = (struct sockaddr_in *) f->addrs;
        sin->sin_family = AF_INET;
        ngx_memcpy(&sin->sin_addr, f->hop.host.addr, 4);
        return;
    }

    sin6 = (struct sockaddr_in6 *) f->addrs;
    sin6->sin6_family = AF_INET6;
    ngx_memcpy(&sin6->sin6_addr, f->hop.host.addr, 16);
}


static void
nchat_fetch_resolve(nchat_fetch_t *f)
{
    ngx_resolver_ctx_t        *ctx, temp;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(f->request, ngx_http_core_module);

    temp.name = f->hop.host.name;

    ctx = ngx_resolve_start(clcf->resolver, &temp);

    if (ctx == NULL) {
        nchat_fetch_finish(f, NCHAT_FETCH_MEMORY, "out of memory");
        return;
    }

    if (ctx == NGX_NO_RESOLVER) {
        ngx_log_error(NGX_LOG_ERR, f->request->connection->log, 0,
                      "nchat: no resolver defined to resolve %V", &temp.name);
        nchat_fetch_finish(f, NCHAT_FETCH_FAILED,
                           "names cannot be resolved here");
        return;
    }

    ctx->name = f->hop.host.name;
    ctx->handler = nchat_fetch_resolved;
    ctx->data = f;
    ctx->timeout = clcf->resolver_timeout;

    f->resolving = ctx;

    /* a name that the resolver knows is answered within the call */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        f->resolving = NULL;
        nchat_fetch_finish(f, NCHAT_FETCH_FAILED,
                           "the name could not be resolved");
    }
}


static void
nchat_fetch_resolved(ngx_resolver_ctx_t *ctx)
{
    nchat_fetch_t *f = ctx->data;

    ngx_int_t          rc, state;
    ngx_uint_t         async;
    const char        *why;
    ngx_connection_t  *c;

    c = f->request->connection;
    ngx_http_set_log_request(c->log, f->request);

    state = ctx->state;
    async = ctx->async;
    why = NULL;

    rc = state ? NGX_OK : nchat_fetch_take_addrs(f, ctx);

    f->resolving = NULL;
    ngx_resolve_name_done(ctx);

    if (state == NGX_RESOLVE_TIMEDOUT) {
        nchat_fetch_finish(f, NCHAT_FETCH_TIMEOUT,
                           "the name took too long to resolve");

    } else if (state) {
        nchat_fetch_finish(f, NCHAT_FETCH_FAILED,
                           "the name could not be resolved");

    } else if (rc == NGX_DECLINED) {
        why = f->why;
        nchat_fetch_finish(f, NCHAT_FETCH_BLOCKED, why);

    } else if (f->naddrs == 0) {
        nchat_fetch_finish(f, NCHAT_FETCH_FAILED, "the name has no address");

    } else {
        nchat_fetch_ask(f);
    }

    if (async) {
        ngx_http_run_posted_requests(c);
    }
}


/*
 * One address that may not be reached refuses the name: a public name with a
 * private address beside its public one is an attempt.  IPv4 goes first.
 */

static ngx_int_t
nchat_fetch_take_addrs(nchat_fetch_t *f, ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t            i, pass, family;
    ngx_resolver_addr_t  *addr;

    for (i = 0; i < ctx->naddrs; i++) {
        f->why = nchat_guard_sockaddr(ctx->addrs[i].sockaddr, f->hop.port,
                                      f->allow);
        if (f->why) {
            return NGX_DECLINED;
        }
    }

    for (pass = 0; pass < 2; pass++) {
        family = pass ? AF_INET6 : AF_INET;

        for (i = 0; i < ctx->naddrs; i++) {
            addr = &ctx->addrs[i];

            if (addr->sockaddr->sa_family == family
                && f->naddrs < NCHAT_FETCH_ADDRS)
            {
                ngx_memcpy(&f->addrs[f->naddrs++], addr->sockaddr,
                           addr->socklen);
            }
        }
    }

    return NGX_OK;
}


static void
nchat_fetch_ask(nchat_fetch_t *f)
{
    f->answered = 0;
    f->ended = 0;
    f->decided = 0;
    f->whole = 0;
    f->inflate = NULL;
    f->status = 0;

    if ((f->url && nchat_fetch_target(f) != NGX_OK)
        || nchat_fetch_subrequest(f) != NGX_OK)
    {
        nchat_fetch_finish(f, NCHAT_FETCH_MEMORY, "out of memory");
    }
}


ngx_int_t
nchat_fetch_ended(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    nchat_fetch_t *f = data;

    if (f->sub != sr) {
        return rc;
    }

    f->sub = NULL;

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST || sr->connection->error) {

        /* the client left: nginx ends everything */

        return rc;
    }

    f->ended = 1;

    if (!f->decided) {
        f->decided = 1;
        f->why = "";

        if (f->answered) {
            f->result = NCHAT_FETCH_OK;

        } else if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
            f->result = NCHAT_FETCH_TIMEOUT;
            f->why = "the server took too long";

        } else {
            f->result = NCHAT_FETCH_FAILED;
            f->why = "the server could not be reached";
        }
    }

    f->request->write_event_handler = nchat_fetch_wake;

    /* any other code would end the main request, or make an error page */

    return NGX_OK;
}


/* The main request is run again: after a subrequest, or for no reason. */

static void
nchat_fetch_wake(ngx_http_request_t *r)
{
    nchat_fetch_t  *f;

    f = ngx_http_get_module_ctx(r, ngx_http_nchat_fetch_module);

    if (f == NULL || !f->ended) {
        return;
    }

    f->ended = 0;

    r->read_event_handler = ngx_http_test_reading;

    nchat_fetch_next(f);
}


static void
nchat_fetch_next(nchat_fetch_t *f)
{
    if (f->expired) {
        nchat_fetch_finish(f, NCHAT_FETCH_TIMEOUT, "the server took too long");
        return;
    }

    if (f->redirect.len) {
        nchat_fetch_redirect(f);
        return;
    }

    if (!f->answered && f->result == NCHAT_FETCH_FAILED
        && f->next_addr < f->naddrs)
    {
        nchat_fetch_ask(f);
        return;
    }

    nchat_fetch_finish(f, f->result, f->why);
}


static void
nchat_fetch_redirect(nchat_fetch_t *f)
{
    ngx_int_t     rc;
    ngx_str_t     location;
    const char   *why;
    nchat_url_t   base;

    location = f->redirect;
    ngx_str_null(&f->redirect);

    if (++f->redirects > NCHAT_FETCH_REDIRECTS) {
        nchat_fetch_finish(f, NCHAT_FETCH_FAILED, "too many redirects");
        return;
    }

    base = f->hop;

    rc = nchat_url_parse(f->request->pool, &location, &base, &f->hop, &why);

    if (rc == NGX_ERROR) {
        nchat_fetch_finish(f, NCHAT_FETCH_MEMORY, "out of memory");
        return;
    }

    if (rc == NGX_DECLINED) {
        nchat_fetch_finish(f, NCHAT_FETCH_FAILED,
                           "the page redirects to something that is no "
                           "http or https URL");
        return;
    }

    nchat_fetch_hop(f);
}


/*
 * While a subrequest runs, its connection is made to time out: connecting, a
 * TLS handshake, the header and the body have nginx's own way out then.
 */

static void
nchat_fetch_deadline(ngx_event_t *ev)
{
    nchat_fetch_t *f = ev->data;

    ngx_connection_t     *c, *pc;
    ngx_http_upstream_t  *u;

    c = f->request->connection;
    ngx_http_set_log_request(c->log, f->request);

    f->expired = 1;

    if (f->sub == NULL) {

        if (!f->ended) {
            nchat_fetch_finish(f, NCHAT_FETCH_TIMEOUT,
                               "the server took too long");
        }

        ngx_http_run_posted_requests(c);
        return;
    }

    /* an operator's upstream may have more servers to try: then once more */

    ngx_add_timer(&f->deadline, 100);

    u = f->sub->upstream;

    if (u && u->peer.connection) {
        pc = u->peer.connection;
        pc->read->timedout = 1;
        pc->write->timedout = 1;
        pc->read->handler(pc->read);
    }
}


static void
nchat_fetch_finish(nchat_fetch_t *f, nchat_fetch_result_e result,
    const char *why)
{
    nchat_fetch_stop(f);

    f->result = result;
    f->why = why;

    f->request->write_event_handler = ngx_http_request_empty_handler;
    ngx_http_set_ctx(f->request, NULL, ngx_http_nchat_fetch_module);

    f->taker->done(f);
}


static void
nchat_fetch_stop(nchat_fetch_t *f)
{
    if (f->deadline.timer_set) {
        ngx_del_timer(&f->deadline);
    }

    if (f->resolving) {
        ngx_resolve_name_done(f->resolving);
        f->resolving = NULL;
    }
}


/* The request ends, and its subrequest with it. */

static void
nchat_fetch_cleanup(void *data)
{
    nchat_fetch_stop(data);
}
