/* Contract, "Health and monitoring". */

#include "nchat_api.h"
#include "nchat_store.h"
#include "nchat_time.h"


typedef struct {
    const char  *name;
    ngx_uint_t   ready;
    const char  *message;          /* what is wrong, or what to do */
} nchat_ready_check_t;

typedef struct {
    ngx_uint_t   database;
    ngx_int_t    schema;
} nchat_ready_t;


/* how long a round trip to the database may take, in milliseconds */
#define NCHAT_READY_LIMIT  1000


static int64_t nchat_health_now(void);
static void nchat_ready_answer(nchat_db_op_t *op);
static void nchat_ready_reply(nchat_ctx_t *ctx, ngx_uint_t storage);
static void nchat_ready_render(nchat_ctx_t *ctx,
    const nchat_ready_check_t *checks);


static nchat_stmt_t  nchat_ready_stmt = {
    "nchat_ready", "SELECT nchat_schema_version()", 0, NCHAT_LANE_FAST,
    0, 0, 0
};


static int64_t
nchat_health_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


/* Never touches the database: is this worker alive and turning? */

void
nchat_api_health(nchat_ctx_t *ctx)
{
    u_char               *p;
    uint64_t              us;
    ngx_str_t             members, value;
    ngx_http_request_t   *r;

    static const u_char  version[] = ",\"version\":\"" NCHAT_VERSION
                                     "\",\"environment\":\"";

    r = ctx->request;

    p = ngx_pnalloc(r->pool, sizeof("\"status\":\"healthy\",\"timestamp\":"
                                    "\"2026-01-02T03:04:05.678Z\",\"uptime\":,"
                                    "\"version\":\"\",\"environment\":\"\"ms")
                             + 2 * NGX_INT64_LEN + sizeof(NCHAT_VERSION)
                             + ctx->conf->environment.len);
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.data = p;
    p = ngx_cpymem(p, "\"status\":\"healthy\",\"timestamp\":\"",
                   sizeof("\"status\":\"healthy\",\"timestamp\":\"") - 1);
    p = nchat_time_format(p, nchat_health_now());
    p = ngx_cpymem(p, "\",\"uptime\":", sizeof("\",\"uptime\":") - 1);
    p = ngx_sprintf(p, "%T",
                    ngx_time() - (time_t) ctx->conf->metrics->started);
    p = ngx_cpymem(p, version, sizeof(version) - 1);
    p = ngx_cpymem(p, ctx->conf->environment.data,
                   ctx->conf->environment.len);
    *p++ = '"';
    members.len = p - members.data;

    us = nchat_monotonic_us() - ctx->started;

    value.data = p;
    value.len = ngx_sprintf(p, "%uLms", us / 1000) - p;

    if (nchat_reply_header(r, "X-Response-Time", &value) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ngx_str_set(&value, "no-cache");
    nchat_reply_header(r, "Cache-Control", &value);

    nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
}


/*
 * A round trip through the pool.  An answer of any kind becomes one of the
 * checks, so this does not go the way of the other endpoints (nchat_query).
 */

void
nchat_api_ready(nchat_ctx_t *ctx)
{
    nchat_db_op_t  *op;

    op = nchat_db_op(ctx->conf->db, &nchat_ready_stmt, nchat_ready_answer,
                     ctx);
    if (op == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->op = op;
    nchat_ctx_wait(ctx);
    nchat_db_limit(op, NCHAT_READY_LIMIT);
    nchat_db_send(op);
}


static void
nchat_ready_answer(nchat_db_op_t *op)
{
    nchat_ctx_t *ctx = op->data;

    ngx_str_t          version;
    nchat_ready_t     *state;
    ngx_connection_t  *c;

    c = ctx->request->connection;
    ctx->op = NULL;

    state = ngx_pcalloc(ctx->request->pool, sizeof(nchat_ready_t));

    if (state == NULL) {
        nchat_reply_internal(ctx, "out of memory");

    } else {
        ctx->data = state;

        if (op->status == NCHAT_DB_OK) {
            version = nchat_db_value(op->result, 0, 0);
            state->database = 1;
            state->schema = ngx_atoi(version.data, version.len);
        }

        ctx->conf->files->store->ready(ctx, nchat_ready_reply);
    }

    ngx_http_run_posted_requests(c);
}


static void
nchat_ready_reply(nchat_ctx_t *ctx, ngx_uint_t storage)
{
    ngx_int_t       schema;
    ngx_uint_t      known, recent, database;
    nchat_ready_t  *state;

    state = ctx->data;
    database = state->database;
    schema = state->schema;
    known = nchat_zone_config_known(ctx->conf->zone);
    recent = (schema >= NCHAT_SCHEMA_VERSION);

    if (database && !recent) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "nchat: the database has schema version %i, this build "
                      "needs %d: run nchat-migrate", schema,
                      NCHAT_SCHEMA_VERSION);
    }

    const nchat_ready_check_t  checks[] = {
        { "database", database, "no answer in time" },
        { "schema", database && recent && known,
          !database ? "unknown without the database"
          : recent ? "the configuration was not loaded yet"
          : "too old for this build: run nchat-migrate" },
        { "auth", ctx->conf->signer != NULL, "no key to sign tokens with" },
        { "storage", storage, "files cannot be stored" },
        { NULL, 0, NULL }
    };

    nchat_ready_render(ctx, checks);
}


static void
nchat_ready_render(nchat_ctx_t *ctx, const nchat_ready_check_t *checks)
{
    u_char                     *p, *last;
    ngx_str_t                   members, parts[2], value;
    ngx_uint_t                  ready;
    const nchat_ready_check_t  *check;

    ready = 1;

    for (check = checks; check->name; check++) {
        ready &= check->ready;
    }

    p = ngx_pnalloc(ctx->request->pool, 1024);
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    members.data = p;
    last = p + 1024 - 2;

    p = ngx_sprintf(p, "\"ready\":%s,\"timestamp\":\"",
                    ready ? "true" : "false");
    p = nchat_time_format(p, nchat_health_now());
    p = ngx_sprintf(p, "\",\"checks\":[");

    for (check = checks; check->name; check++) {
        p = ngx_slprintf(p, last, "%s{\"name\":\"%s\",\"ready\":%s%s%s%s}",
                         check == checks ? "" : ",", check->name,
                         check->ready ? "true" : "false",
                         check->ready ? "" : ",\"message\":\"",
                         check->ready ? "" : check->message,
                         check->ready ? "" : "\"");
    }

    *p++ = ']';
    members.len = p - members.data;

    ngx_str_set(&value, "no-store");
    nchat_reply_header(ctx->request, "Cache-Control", &value);

    if (ready) {
        nchat_reply_ok(ctx, NGX_HTTP_OK, &members, NULL);
        return;
    }

    ngx_str_set(&parts[0], "{\"success\":false,\"error\":\"Not ready\","
                           "\"code\":\"SERVICE_UNAVAILABLE\",\"details\":{},");
    *p = '}';
    parts[1].data = members.data;
    parts[1].len = members.len + 1;

    nchat_reply_json(ctx, NGX_HTTP_SERVICE_UNAVAILABLE, parts, 2);
}


void
nchat_api_metrics(nchat_ctx_t *ctx)
{
    ngx_str_t               text, value;
    ngx_uint_t              i;
    nchat_metrics_route_t   routes[NCHAT_METRICS_ROUTES];

    for (i = 0; i < nchat_nroutes; i++) {
        routes[i].endpoint = nchat_routes[i].path;
        nchat_route_method(&nchat_routes[i], &routes[i].method);
    }

    ngx_str_set(&routes[i].endpoint, "other");
    ngx_str_set(&routes[i].method, "other");

    if (nchat_metrics_render(ctx->request->pool, NCHAT_VERSION,
                             ctx->conf->metrics,
                             nchat_zone_gauges(ctx->conf->zone), routes, i + 1,
                             &text)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ngx_str_set(&value, "no-store");
    nchat_reply_header(ctx->request, "Cache-Control", &value);

    nchat_reply_raw(ctx, NGX_HTTP_OK,
                    "text/plain; version=0.0.4; charset=utf-8", &text);
}
