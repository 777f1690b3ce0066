/* Host names of a connection string, looked up anew by nginx's resolver. */

#include "nchat_db_conninfo.h"


static ngx_int_t nchat_conninfo_next(nchat_conninfo_t *info,
    ngx_resolver_t *resolver, ngx_msec_t timeout);
static void nchat_conninfo_resolved(ngx_resolver_ctx_t *ctx);


ngx_int_t
nchat_db_conninfo_refresh(nchat_conninfo_t *info, nchat_db_conn_t *conn,
    void (*done)(nchat_db_conn_t *conn))
{
    nchat_db_t  *db;

    db = conn->lane->db;

    if (db->resolver == NULL || db->resolver->connections.nelts == 0
        || info->ctx
        || (info->refreshed && ngx_current_msec - info->refreshed < 1000))
    {
        return NGX_OK;
    }

    info->refreshed = ngx_current_msec;
    info->next = 0;
    info->conn = conn;
    info->done = done;
    conn->resolving = info;

    if (nchat_conninfo_next(info, db->resolver, db->resolver_timeout)
        == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    conn->resolving = NULL;
    info->conn = NULL;

    return NGX_OK;
}


/* Starts the next look-up; NGX_DONE when there is none left. */

static ngx_int_t
nchat_conninfo_next(nchat_conninfo_t *info, ngx_resolver_t *resolver,
    ngx_msec_t timeout)
{
    ngx_resolver_ctx_t     *ctx;
    nchat_conninfo_host_t  *h;

    h = info->hosts.elts;

    for ( /* void */ ; info->next < info->hosts.nelts; info->next++) {

        if (!h[info->next].lookup) {
            continue;
        }

        ctx = ngx_resolve_start(resolver, NULL);
        if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
            return NGX_DONE;
        }

        ctx->name = h[info->next].name;
        ctx->handler = nchat_conninfo_resolved;
        ctx->data = info;
        ctx->timeout = timeout;
        ctx->cancelable = 1;

        /* it may call back before it returns: that comes to the same */

        info->ctx = ctx;

        if (ngx_resolve_name(ctx) != NGX_OK) {
            info->ctx = NULL;
            return NGX_DONE;
        }

        return NGX_AGAIN;
    }

    return NGX_DONE;
}


static void
nchat_conninfo_resolved(ngx_resolver_ctx_t *ctx)
{
    nchat_conninfo_t *info = ctx->data;

    ngx_uint_t              i;
    ngx_resolver_t         *resolver;
    nchat_db_conn_t        *conn;
    nchat_conninfo_host_t  *h;

    h = info->hosts.elts;
    h += info->next;

    /* without an answer, the old addresses are the best ones known */

    if (ctx->state == NGX_OK && ctx->naddrs) {
        h->naddrs = 0;

        for (i = 0; i < ctx->naddrs; i++) {
            nchat_conninfo_add_addr(h, ctx->addrs[i].sockaddr,
                                    ctx->addrs[i].socklen);
        }
    }

    resolver = ctx->resolver;
    conn = info->conn;

    ngx_resolve_name_done(ctx);
    info->ctx = NULL;
    info->next++;

    if (nchat_conninfo_next(info, resolver,
                            conn->lane->db->resolver_timeout)
        == NGX_AGAIN)
    {
        return;
    }

    nchat_conninfo_rebuild(info);

    conn->resolving = NULL;
    info->conn = NULL;
    info->done(conn);
}


void
nchat_db_conninfo_cancel(nchat_db_conn_t *conn)
{
    nchat_conninfo_t  *info;

    info = conn->resolving;

    if (info) {
        conn->resolving = NULL;
        info->conn = NULL;

        if (info->ctx) {
            ngx_resolve_name_done(info->ctx);
            info->ctx = NULL;
        }
    }
}
