/* One connection: what goes out. */

#include "nchat_db_int.h"


static ngx_int_t nchat_db_conn_submit(nchat_db_conn_t *conn,
    nchat_db_op_t *op);


void
nchat_db_conn_send(nchat_db_conn_t *conn, nchat_db_op_t *op)
{
    op->waiting = 0;
    op->started = nchat_monotonic_us();
    op->deadline = ngx_current_msec + conn->lane->timeout + NCHAT_DB_GRACE;

    ngx_queue_insert_tail(&conn->inflight, &op->queue);
    nchat_db_conn_inflight(conn, 1);

    if (op->copy) {
        nchat_db_copy_begin(conn, op);
        return;
    }

    if (conn->reading == NULL) {
        conn->reading = op;
    }

    if (nchat_db_conn_submit(conn, op) != NGX_OK) {

        /* whoever called is still on the stack: let the event loop fail it */

        conn->broken = 1;
        ngx_post_event(conn->c->read, &ngx_posted_events);
        return;
    }

    if (!op->joined) {
        nchat_db_conn_timer(conn);
        nchat_db_conn_flush(conn);
    }
}


/* Into libpq's buffer; prepared first, where this connection has not seen it. */

static ngx_int_t
nchat_db_conn_submit(nchat_db_conn_t *conn, nchat_db_op_t *op)
{
    uint64_t       bit, *word;
    nchat_stmt_t  *stmt;

    stmt = op->stmt;

    word = &conn->prepared[stmt->index / 64];
    bit = (uint64_t) 1 << (stmt->index % 64);

    op->commands = 1;

    if ((*word & bit) == 0) {

        if (PQsendPrepare(conn->pg, stmt->name, stmt->sql, 0, NULL) != 1) {
            return NGX_ERROR;
        }

        *word |= bit;
        op->commands = 2;
    }

    if (PQsendQueryPrepared(conn->pg, stmt->name, (int) stmt->nparams,
                            op->values, NULL, NULL, 0)
        != 1)
    {
        return NGX_ERROR;
    }

    if (!op->joined && PQpipelineSync(conn->pg) != 1) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
nchat_db_conn_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c = wev->data;

    nchat_db_conn_flush(c->data);
}


/* Writes what libpq has buffered; waits for the socket where it must. */

void
nchat_db_conn_flush(nchat_db_conn_t *conn)
{
    int           rc;
    ngx_event_t  *wev;

    if (conn->broken) {
        return;
    }

    wev = conn->c->write;
    rc = PQflush(conn->pg);

    if (rc == 1 && !wev->active) {
        if (ngx_add_event(wev, NGX_WRITE_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
            rc = -1;
        }
    }

    if (rc == 0 && wev->active) {
        if (ngx_del_event(wev, NGX_WRITE_EVENT, 0) != NGX_OK) {
            rc = -1;
        }
    }

    if (rc == -1) {
        conn->broken = 1;
        ngx_post_event(conn->c->read, &ngx_posted_events);
    }
}
