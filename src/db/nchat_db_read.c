/* One connection: what comes back. */

#include "nchat_db_int.h"


static void nchat_db_conn_results(nchat_db_conn_t *conn);
static void nchat_db_conn_result(nchat_db_conn_t *conn, PGresult *result);
static void nchat_db_conn_ended(nchat_db_conn_t *conn);
static void nchat_db_conn_finish(nchat_db_conn_t *conn);
static void nchat_db_conn_finish_op(nchat_db_conn_t *conn, nchat_db_op_t *op);
static ngx_uint_t nchat_db_batch_failed(nchat_db_conn_t *conn);
static void nchat_db_batch_split(nchat_db_op_t *op);
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


/*
 * In pipeline mode every command ends with NULL, and every sync is a result
 * of its own: [prepare, NULL,] rows, NULL, once for each that shares the sync,
 * then the sync.
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

            nchat_db_conn_ended(conn);
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

    op = conn->reading;
    bit = (uint64_t) 1 << (op->stmt->index % 64);

    switch (PQresultStatus(result)) {

    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:

        if (op->commands == 2) {
            PQclear(result);
            return;
        }

        break;

    case PGRES_PIPELINE_ABORTED:

        if (op->commands == 2) {
            conn->prepared[op->stmt->index / 64] &= ~bit;
        }

        /* behind an error that we have */

        if (op->result) {
            PQclear(result);
            return;
        }

        break;

    default:

        if (op->commands == 2) {
            conn->prepared[op->stmt->index / 64] &= ~bit;
        }
    }

    if (op->result) {
        PQclear(op->result);
    }

    op->result = result;
}


/* Behind the last one's commands, what comes still (commit fails) is its. */

static void
nchat_db_conn_ended(nchat_db_conn_t *conn)
{
    nchat_db_op_t  *op;

    op = conn->reading;

    if (op->commands && --op->commands == 0 && op->joined) {
        conn->reading = ngx_queue_data(ngx_queue_next(&op->queue),
                                       nchat_db_op_t, queue);
    }
}


/*
 * A sync: what went before it is committed, or rolled back as a whole.  Then
 * each of a batch runs again, by itself, so that a failure stays alone.
 */

static void
nchat_db_conn_finish(nchat_db_conn_t *conn)
{
    ngx_uint_t      joined, failed;
    nchat_db_op_t  *op;

    failed = nchat_db_batch_failed(conn);

    do {
        op = ngx_queue_data(ngx_queue_head(&conn->inflight), nchat_db_op_t,
                            queue);
        joined = op->joined;

        ngx_queue_remove(&op->queue);
        nchat_db_conn_inflight(conn, -1);

        if (!joined) {
            conn->reading = ngx_queue_empty(&conn->inflight) ? NULL
                            : ngx_queue_data(ngx_queue_head(&conn->inflight),
                                             nchat_db_op_t, queue);
            nchat_db_conn_timer(conn);
        }

        if (!failed) {
            nchat_db_conn_finish_op(conn, op);

        } else {
            nchat_db_batch_split(op);
        }

    } while (joined);
}


static void
nchat_db_conn_finish_op(nchat_db_conn_t *conn, nchat_db_op_t *op)
{
    int64_t             took;
    nchat_lane_t       *lane;
    nchat_db_status_e   status;

    lane = conn->lane;
    took = (int64_t) (nchat_monotonic_us() - op->started);

    nchat_histogram_add(&lane->db->metrics->queries[lane->id], took);

    /* a moving mean, over some sixteen statements */

    lane->npaced = ngx_min(lane->npaced + 1, 16);
    lane->pace += (took - lane->pace) / lane->npaced;

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


/* The oldest in flight share their sync, and one of them failed. */

static ngx_uint_t
nchat_db_batch_failed(nchat_db_conn_t *conn)
{
    ngx_queue_t    *q;
    nchat_db_op_t  *op;

    q = ngx_queue_head(&conn->inflight);
    op = ngx_queue_data(q, nchat_db_op_t, queue);

    if (!op->joined) {
        return 0;
    }

    for ( ;; ) {
        if (op->result == NULL
            || PQresultStatus(op->result) != PGRES_TUPLES_OK)
        {
            ngx_log_error(NGX_LOG_NOTICE, conn->lane->db->log, 0,
                          "nchat: a batch failed at statement %s (SQLSTATE "
                          "%s): each of it runs again, by itself",
                          op->stmt->name, nchat_db_sqlstate(op));
            return 1;
        }

        if (!op->joined) {
            return 0;
        }

        q = ngx_queue_next(q);
        op = ngx_queue_data(q, nchat_db_op_t, queue);
    }
}


static void
nchat_db_batch_split(nchat_db_op_t *op)
{
    PQclear(op->result);
    op->result = NULL;

    if (!op->cancelled && nchat_db_op_patient(op)) {
        nchat_db_op_again(op);

    } else {
        nchat_db_op_done(op, NCHAT_DB_TIMEOUT);
    }
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
