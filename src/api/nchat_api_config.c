/* Contract, "Configuration". */

#include "nchat_api.h"
#include "nchat_config_check.h"
#include "nchat_json.h"


static void nchat_config_updated(nchat_ctx_t *ctx, PGresult *result);
static void nchat_config_history(nchat_ctx_t *ctx, PGresult *result);


static nchat_stmt_t  nchat_config_update_stmt = {
    "nchat_config_update",
    "SELECT status, body, version, doc, open_doc"
    " FROM nchat_config_update($1::jsonb, $2::uuid, $3, $4, $5, $6)",
    6, NCHAT_LANE_LOCK, 0, 0, 0
};

static nchat_stmt_t  nchat_config_history_stmt = {
    "nchat_config_history",
    "SELECT * FROM nchat_config_history()", 0, NCHAT_LANE_SLOW, 1, 0, 0
};


/* From this worker's copy of what the shared zone has. */

void
nchat_api_config_get(nchat_ctx_t *ctx)
{
    ngx_str_t            value;
    nchat_live_t        *live;
    ngx_table_elt_t     *etag;
    ngx_http_request_t  *r;

    r = ctx->request;
    live = nchat_ctx_live(ctx);
    if (live == NULL) {
        return;
    }

    nchat_count(ctx->conf->metrics, NCHAT_M_CONFIG_HIT);

    ngx_str_set(&value, "public, max-age=300, s-maxage=300, "
                        "stale-while-revalidate=600");

    etag = ngx_list_push(&r->headers_out.headers);

    if (etag == NULL
        || nchat_reply_header(r, "Cache-Control", &value) != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ngx_memzero(etag, sizeof(ngx_table_elt_t));
    etag->hash = 1;
    ngx_str_set(&etag->key, "ETag");
    etag->value = live->etag;

    /* nginx's not_modified filter compares it with If-None-Match */

    r->headers_out.etag = etag;

    nchat_reply_ok(ctx, NGX_HTTP_OK, &live->members, NULL);
}


/* The configuration beside its history, with everything an admin may read. */

void
nchat_api_config_history(nchat_ctx_t *ctx)
{
    nchat_query(ctx, &nchat_config_history_stmt, NULL, 0,
                nchat_config_history);
}


static void
nchat_config_history(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t  value;

    ngx_str_set(&value, "no-store");

    if (nchat_reply_header(ctx->request, "Cache-Control", &value) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_query_reply(ctx, result);
}


void
nchat_api_config_update(nchat_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_str_t          params[6];
    nchat_failures_t   failures;

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    rc = nchat_config_check(ctx->request->pool, ctx->json, &failures);

    if (rc == NGX_DECLINED) {
        nchat_reply_failures(ctx, &failures);
        return;
    }

    if (rc != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    params[0] = ctx->body;
    params[1] = ctx->caller.claims.sub;
    params[2] = ctx->caller.claims.email;
    params[3] = ctx->caller.claims.username;
    params[4] = nchat_limit_address(ctx);
    params[5] = ctx->request_id;

    nchat_query(ctx, &nchat_config_update_stmt, params, 6,
                nchat_config_updated);
}


/* This node must not wait for the notification to answer with the new one. */

static void
nchat_config_updated(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_int_t  version;
    ngx_str_t  text, doc, open;

    text = nchat_query_column(result, "version");
    doc = nchat_query_column(result, "doc");
    open = nchat_query_column(result, "open_doc");
    version = ngx_atoi(text.data, text.len);

    if (version > 0 && doc.len
        && nchat_zone_config_set(ctx->conf->zone, version, &doc, &open, 0)
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "nchat: the configuration could not be stored in "
                      "nchat_zone; is the zone large enough?");
    }

    nchat_query_reply(ctx, result);
}
