/* One connection: what comes back. */

#include "nchat_db_int.h"


static void nchat_db_conn_results(nchat_db_conn_t *conn);
static void nchat_db_conn_result(nchat_db_conn_t *conn, PGresult *result);
static void nchat_db_conn_finish(nchat_db_conn_t *conn);
static void nchat_db_conn_notifies(nchat_db_conn_t *conn);
static ngx_uint_t nchat_db_transient(const char *sqlstate);


typedef struct {
    const char         *prefix;
    nchat_db_status_e   status;
} nchat_sqlstate_t;


/* By SQLSTATE or its class (the manual's appendix A). */

static const nchat_sqlstate_t  nchat_sqlstates[] = {
    { "08",    NCHAT_DB_DOWN },       /* connection exceptions */
    { "53",    NCHAT_DB_DOWN },       /* too many connections, disk full … */
    { "57P",   NCHAT_DB_DOWN },       /* shutdown, crash, cannot connect now */
    { "25006", NCHAT_DB_DOWN },       /* read-only: the primary moved */
    { "57014", NCHAT_DB_TIMEOUT },    /* statement_timeout */
    { "55P03", NCHAT_DB_TIMEOUT },    /* lock_timeout */
    { NULL,    NCHAT_DB_FAILED }
};


void
nchat_db_conn_read_handler(ngx_event_t *rev)
{
    ngx_connection_t  *c = rev->data;

    nchat_lane_t      *lane;
    nchat_db_conn_t   *conn;

    conn = c->data;
    lane = conn->lane;

    if (conn->copy) {
        conn->busy = 1;
        nchat_db_copy_read(conn);
        conn->busy = 0;

        if (conn->copy && conn->copy->op->cancelled) {
            nchat_db_copy_drop(conn);
            return;
        }

        goto done;
    }

    if (!conn->broken && PQconsumeInput(conn->pg) != 1) {
        conn->broken = 1;
    }

    /*
     * Results that arrived before the loss still count.  The callers' own
     * statements may end up on this very connection, so it is closed here
     * and nowhere below.
     */

    conn->busy = 1;
    nchat_db_conn_results(conn);
    conn->busy = 0;

done:

    if (conn->broken || PQstatus(conn->pg) == CONNECTION_BAD) {
        nchat_db_conn_fail(conn, "was lost");
        return;
    }

    nchat_db_conn_notifies(conn);
    nchat_db_conn_flush(conn);

    if (conn->broken) {
        return;
    }

    nchat_db_lane_run(lane);

    /* a leaving worker keeps one connection a lane for its last requests */

    if (c->close && conn->ninflight == 0 && conn != lane->conns) {
        nchat_db_conn_close(conn);
    }
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


/*
 * In pipeline mode every command ends with NULL, and every sync is a result
 * of its own: [prepare, NULL,] rows, NULL, sync.
 */

static void
nchat_db_conn_results(nchat_db_conn_t *conn)
{
    PGresult    *result;
    ngx_uint_t   ended;

    ended = 0;

    while (!ngx_queue_empty(&conn->inflight) && !PQisBusy(conn->pg)) {

        result = PQgetResult(conn->pg);

        if (result == NULL) {

            /* the end of a command; twice: libpq knows of nothing more */

            if (ended++) {
                conn->broken = 1;
                return;
            }

            continue;
        }

        ended = 0;

        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            nchat_db_conn_finish(conn);
            continue;
        }

        nchat_db_conn_result(conn, result);
    }
}


static void
nchat_db_conn_result(nchat_db_conn_t *conn, PGresult *result)
{
    uint64_t        bit;
    nchat_db_op_t  *op;

    op = ngx_queue_data(ngx_queue_head(&conn->inflight), nchat_db_op_t, queue);

    switch (PQresultStatus(result)) {

    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:

        if (op->preparing) {
            op->preparing = 0;
            PQclear(result);
            return;
        }

        break;

    case PGRES_PIPELINE_ABORTED:

        /* behind an error that we have */

        if (op->result) {
            PQclear(result);
            return;
        }

        break;

    default:

        if (op->preparing) {
            bit = (uint64_t) 1 << (op->stmt->index % 64);
            conn->prepared[op->stmt->index / 64] &= ~bit;
        }
    }

    if (op->result) {
        PQclear(op->result);
    }

    op->result = result;
}


static void
nchat_db_conn_finish(nchat_db_conn_t *conn)
{
    nchat_db_op_t      *op;
    nchat_db_status_e   status;

    op = ngx_queue_data(ngx_queue_head(&conn->inflight), nchat_db_op_t, queue);

    ngx_queue_remove(&op->queue);
    nchat_db_conn_inflight(conn, -1);
    nchat_db_conn_timer(conn);

    nchat_histogram_add(&conn->lane->db->metrics->queries[conn->lane->id],
                        nchat_monotonic_us() - op->started);

    status = nchat_db_classify(conn, op);

    if (status != NCHAT_DB_OK && !op->retried && !op->cancelled
        && (nchat_db_transient(nchat_db_sqlstate(op))
            || (status == NCHAT_DB_DOWN && op->stmt->read)))
    {
        PQclear(op->result);
        op->result = NULL;
        nchat_db_op_again(op);
        return;
    }

    nchat_db_op_done(op, status);
}


/* Errors are decided by SQLSTATE alone: texts are translated. */

nchat_db_status_e
nchat_db_classify(nchat_db_conn_t *conn, nchat_db_op_t *op)
{
    const char              *state, *text;
    nchat_db_status_e        status;
    const nchat_sqlstate_t  *s;

    switch (PQresultStatus(op->result)) {

    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        return NCHAT_DB_OK;

    default:
        break;
    }

    state = nchat_db_sqlstate(op);

    for (s = nchat_sqlstates; s->prefix; s++) {
        if (ngx_strncmp(state, s->prefix, ngx_strlen(s->prefix)) == 0) {
            break;
        }
    }

    status = s->status;

    /* the primary text only: details may repeat parameters */

    text = PQresultErrorField(op->result, PG_DIAG_MESSAGE_PRIMARY);

    ngx_log_error(NGX_LOG_ERR, conn->lane->db->log, 0,
                  "nchat: statement %s failed: %s (SQLSTATE %s)",
                  op->stmt->name, text ? text : "no answer", state);

    if (status == NCHAT_DB_TIMEOUT) {
        nchat_count(conn->lane->db->metrics, NCHAT_M_DB_TIMEOUTS);
    }

    /* a demoted primary keeps its connections: look for the new one */

    if (status == NCHAT_DB_DOWN && ngx_strcmp(state, "25006") == 0) {
        conn->broken = 1;
    }

    return status;
}


static ngx_uint_t
nchat_db_transient(const char *sqlstate)
{
    /* rolled back as a whole: serialization failure, deadlock */

    return ngx_strcmp(sqlstate, "40001") == 0
           || ngx_strcmp(sqlstate, "40P01") == 0;
}


static void
nchat_db_conn_notifies(nchat_db_conn_t *conn)
{
    PGnotify             *notify;
    nchat_db_listener_t  *listener;

    listener = conn->lane->db->listener;

    while ((notify = PQnotifies(conn->pg)) != NULL) {

        if (listener && conn->lane->id == NCHAT_LANE_LISTEN) {
            listener->notify(listener->data, notify->extra);
        }

        PQfreemem(notify);
    }
}
