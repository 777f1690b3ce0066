/* A request waits for a statement. */

#include "nchat_http.h"


static void nchat_query_done(nchat_db_op_t *op);
static PGresult *nchat_query_keep(ngx_http_request_t *r, nchat_db_op_t *op);
static void nchat_query_clear(void *data);


void
nchat_query(nchat_ctx_t *ctx, nchat_stmt_t *stmt, const ngx_str_t *params,
    ngx_uint_t n, nchat_result_pt done)
{
    ngx_uint_t      i;
    nchat_db_op_t  *op;

    if (nchat_zone_schema(ctx->conf->zone) < ctx->conf->schema) {
        nchat_reply_error(ctx, NCHAT_E_UNAVAILABLE,
                          "The database is older than this server");
        return;
    }

    op = nchat_db_op(ctx->conf->db, stmt, nchat_query_done, ctx);

    if (op == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    for (i = 0; i < n; i++) {

        if (params[i].data == NULL) {
            continue;
        }

        if (nchat_db_set(op, i, &params[i]) != NGX_OK) {
            nchat_db_discard(op);
            nchat_reply_internal(ctx, "a statement's parameter is unusable");
            return;
        }
    }

    ctx->op = op;
    ctx->op_done = done;

    nchat_ctx_wait(ctx);
    nchat_db_send(op);
}


static void
nchat_query_done(nchat_db_op_t *op)
{
    nchat_ctx_t *ctx = op->data;

    PGresult            *result;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ctx->op = NULL;

    ngx_http_set_log_request(c->log, r);

    if (op->status != NCHAT_DB_OK) {
        nchat_query_refuse(ctx, op->status, op->stmt->name);

    } else {
        result = nchat_query_keep(r, op);

        if (result) {
            ctx->op_done(ctx, result);

        } else {
            nchat_reply_internal(ctx, "out of memory");
        }
    }

    /* the request may be gone, its connection is not */

    ngx_http_run_posted_requests(c);
}


void
nchat_query_refuse(nchat_ctx_t *ctx, nchat_db_status_e status,
    const char *name)
{
    switch (status) {

    case NCHAT_DB_TIMEOUT:
        nchat_reply_error(ctx, NCHAT_E_TIMEOUT,
                          "The database took too long to answer");
        return;

    case NCHAT_DB_DOWN:
    case NCHAT_DB_BUSY:
        nchat_reply_error(ctx, NCHAT_E_UNAVAILABLE,
                          "The database is temporarily unavailable");
        return;

    default:
        nchat_reply_internal(ctx, name);
    }
}


ngx_str_t
nchat_query_column(PGresult *result, const char *name)
{
    return nchat_db_value(result, 0, PQfnumber(result, name));
}


ngx_uint_t
nchat_query_status(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_int_t  status;
    ngx_str_t  text;

    text = nchat_query_column(result, "status");
    status = ngx_atoi(text.data, text.len);

    if (status < 200 || status > 599) {
        nchat_reply_internal(ctx, "a statement gave no status");
        return 0;
    }

    return status;
}


ngx_int_t
nchat_query_expect(nchat_ctx_t *ctx, PGresult *result, ngx_uint_t status)
{
    ngx_uint_t  given;

    given = nchat_query_status(ctx, result);

    if (given == status) {
        return NGX_OK;
    }

    if (given) {
        nchat_query_reply(ctx, result);
    }

    return NGX_ERROR;
}


void
nchat_query_reply(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t   body, parts[2];
    ngx_uint_t  status;

    status = nchat_query_status(ctx, result);
    if (status == 0) {
        return;
    }

    body = nchat_query_column(result, "body");

    if (body.len < 2 || body.data[0] != '{') {
        nchat_reply_internal(ctx, "a statement gave no body");
        return;
    }

    /* without the braces */

    body.data++;
    body.len -= 2;

    if (status < 300) {
        nchat_reply_ok(ctx, status, &body, NULL);
        return;
    }

    ngx_str_set(&parts[0], "{\"success\":false,");
    parts[1] = body;
    parts[1].len++;

    nchat_reply_json(ctx, status, parts, 2);
}


/*
 * Answers refer to the result's memory instead of copying it, so it becomes
 * the request's.
 */

static PGresult *
nchat_query_keep(ngx_http_request_t *r, nchat_db_op_t *op)
{
    PGresult            *result;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    result = op->result;
    op->result = NULL;

    cln->handler = nchat_query_clear;
    cln->data = result;

    return result;
}


static void
nchat_query_clear(void *data)
{
    PQclear(data);
}


ngx_str_t
nchat_query_int(nchat_ctx_t *ctx, int64_t value)
{
    ngx_str_t  text;

    text.len = 0;
    text.data = ngx_pnalloc(ctx->request->pool, NGX_INT64_LEN);

    if (text.data) {
        text.len = ngx_sprintf(text.data, "%L", value) - text.data;
    }

    return text;
}
