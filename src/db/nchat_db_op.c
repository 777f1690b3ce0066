/* An operation: its parameters, its limit, its result. */

#include "nchat_db_int.h"


static void nchat_db_op_late(ngx_event_t *ev);


/* statements are numbered at first use, the same on every connection */

static ngx_uint_t  nchat_db_nstmts;


nchat_db_op_t *
nchat_db_op(nchat_db_t *db, nchat_stmt_t *stmt, nchat_db_done_pt done,
    void *data)
{
    ngx_pool_t     *pool;
    nchat_db_op_t  *op;

    if (stmt->index == 0) {

        if (nchat_db_nstmts + 1 >= NCHAT_DB_STMTS
            || stmt->nparams > NCHAT_DB_PARAMS)
        {
            ngx_log_error(NGX_LOG_ALERT, db->log, 0,
                          "nchat: NCHAT_DB_STMTS or NCHAT_DB_PARAMS is too "
                          "small for statement %s", stmt->name);
            return NULL;
        }

        stmt->index = ++nchat_db_nstmts;
    }

    pool = ngx_create_pool(1024, db->log);
    if (pool == NULL) {
        return NULL;
    }

    op = ngx_pcalloc(pool, sizeof(nchat_db_op_t));
    if (op == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    op->pool = pool;
    op->stmt = stmt;
    op->db = db;
    op->done = done;
    op->data = data;

    return op;
}


ngx_int_t
nchat_db_set(nchat_db_op_t *op, ngx_uint_t i, const ngx_str_t *text)
{
    u_char  *p;

    if (i >= op->stmt->nparams
        || (text->len && memchr(text->data, '\0', text->len)))
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(op->pool, text->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(p, text->data, text->len) = '\0';
    op->values[i] = (char *) p;

    return NGX_OK;
}


ngx_int_t
nchat_db_set_int(nchat_db_op_t *op, ngx_uint_t i, int64_t value)
{
    u_char     text[NGX_INT64_LEN + 1];
    ngx_str_t  s;

    s.data = text;
    s.len = ngx_sprintf(text, "%L", value) - text;

    return nchat_db_set(op, i, &s);
}


void
nchat_db_limit(nchat_db_op_t *op, ngx_msec_t limit)
{
    op->timer.handler = nchat_db_op_late;
    op->timer.data = op;
    op->timer.log = op->db->log;

    ngx_add_timer(&op->timer, limit);
}


/* Its caller has waited enough; the pool waits on. */

static void
nchat_db_op_late(ngx_event_t *ev)
{
    nchat_db_op_t *op = ev->data;

    op->status = NCHAT_DB_TIMEOUT;
    op->done(op);

    nchat_db_cancel(op);
}


void
nchat_db_discard(nchat_db_op_t *op)
{
    ngx_destroy_pool(op->pool);
}


ngx_str_t
nchat_db_value(PGresult *result, int row, int col)
{
    ngx_str_t  value;

    if (row >= PQntuples(result) || col >= PQnfields(result)) {
        ngx_str_null(&value);
        return value;
    }

    value.data = (u_char *) PQgetvalue(result, row, col);
    value.len = PQgetlength(result, row, col);

    return value;
}


const char *
nchat_db_sqlstate(nchat_db_op_t *op)
{
    char  *state;

    state = op->result ? PQresultErrorField(op->result, PG_DIAG_SQLSTATE)
                       : NULL;

    return state ? state : "";
}
