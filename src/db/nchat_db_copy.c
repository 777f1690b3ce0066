/*
 * A copy is an operation like others in the lane's queue and on its
 * connection, which leaves pipeline mode for it and enters it again.
 */

#include "nchat_db_int.h"


static void nchat_db_copy_op_done(nchat_db_op_t *op);
static void nchat_db_copy_results(nchat_db_copy_t *copy);
static void nchat_db_copy_finish(nchat_db_copy_t *copy);
static void nchat_db_copy_deadline(nchat_db_copy_t *copy);


/* it is no prepared statement, but an operation has one */

static nchat_stmt_t  nchat_db_copy_stmt = {
    "copy", "", 0, NCHAT_LANE_SLOW, 0, 0, 0
};


/*
 * Statements of one message are one transaction.  A reader may be slow, so
 * there is no limit in time; the server looks once a second whether there is
 * still a reader.
 */

#define NCHAT_DB_COPY_BEFORE     "SET LOCAL statement_timeout TO 0;"
#define NCHAT_DB_COPY_BEFORE_14  "SET LOCAL client_connection_check_interval" \
                                 " TO 1000;"


nchat_db_copy_t *
nchat_db_copy(nchat_db_t *db, const ngx_str_t *sql, nchat_db_copy_rows_pt rows,
    nchat_db_copy_done_pt done, void *data)
{
    u_char           *p;
    nchat_db_op_t    *op;
    nchat_db_copy_t  *copy;

    op = nchat_db_op(db, &nchat_db_copy_stmt, nchat_db_copy_op_done, data);
    if (op == NULL) {
        return NULL;
    }

    copy = ngx_pcalloc(op->pool, sizeof(nchat_db_copy_t));
    p = ngx_pnalloc(op->pool, sql->len + 1);

    if (copy == NULL || p == NULL) {
        nchat_db_discard(op);
        return NULL;
    }

    *ngx_cpymem(p, sql->data, sql->len) = '\0';

    op->copy = copy;
    copy->op = op;
    copy->sql = (char *) p;
    copy->rows = rows;
    copy->done = done;
    copy->data = data;

    return copy;
}


void
nchat_db_copy_send(nchat_db_copy_t *copy)
{
    nchat_db_t    *db;
    nchat_lane_t  *lane;

    db = copy->op->db;
    lane = &db->lanes[NCHAT_LANE_SLOW];

    /* the other half is for what does not take minutes */

    if (lane->ncopies >= ngx_max(lane->nconns / 2, 1)) {
        nchat_count(db->metrics, NCHAT_M_DB_REFUSED_QUEUE);
        nchat_db_op_done(copy->op, NCHAT_DB_BUSY);
        return;
    }

    lane->ncopies++;
    copy->counted = 1;

    nchat_db_send(copy->op);
}


static void
nchat_db_copy_op_done(nchat_db_op_t *op)
{
    op->copy->done(op->copy, op->status);
}


/* Its operation ends, however that came about. */

void
nchat_db_copy_gone(nchat_db_copy_t *copy)
{
    if (copy->row) {
        PQfreemem(copy->row);
        copy->row = NULL;
    }

    if (copy->counted) {
        copy->counted = 0;
        copy->op->db->lanes[NCHAT_LANE_SLOW].ncopies--;
    }
}


/* The lane gives it a connection, on which nothing else is in flight. */

void
nchat_db_copy_begin(nchat_db_conn_t *conn, nchat_db_op_t *op)
{
    char             *sql;
    size_t            len;
    nchat_db_copy_t  *copy;

    copy = op->copy;
    copy->conn = conn;
    conn->copy = copy;

    len = sizeof(NCHAT_DB_COPY_BEFORE NCHAT_DB_COPY_BEFORE_14)
          + ngx_strlen(copy->sql);
    sql = ngx_pnalloc(op->pool, len);

    if (sql) {
        (void) snprintf(sql, len, "%s%s%s", NCHAT_DB_COPY_BEFORE,
                        PQserverVersion(conn->pg) >= 140000
                        ? NCHAT_DB_COPY_BEFORE_14 : "", copy->sql);
    }

    if (sql == NULL
        || PQexitPipelineMode(conn->pg) != 1
        || PQsendQuery(conn->pg, sql) != 1)
    {
        /* whoever called is still on the stack: let the event loop fail it */

        conn->broken = 1;
        ngx_post_event(conn->c->read, &ngx_posted_events);
        return;
    }

    nchat_db_conn_timer(conn);
    nchat_db_conn_flush(conn);
}


/* The connection's socket is readable, or the copy was resumed or cancelled. */

void
nchat_db_copy_read(nchat_db_conn_t *conn)
{
    nchat_db_copy_t  *copy;

    copy = conn->copy;

    if (conn->broken || copy->paused) {
        return;
    }

    if (copy->dry || copy->state != NCHAT_COPY_ROWS) {

        if (PQconsumeInput(conn->pg) != 1) {
            conn->broken = 1;
            return;
        }

        copy->dry = 0;
    }

    nchat_db_copy_deadline(copy);

    if (copy->state == NCHAT_COPY_BEGIN) {
        nchat_db_copy_results(copy);
    }

    if (copy->state == NCHAT_COPY_ROWS) {
        copy->rows(copy);

        /* which may have cancelled it */

        if (conn->broken) {
            return;
        }
    }

    if (copy->state == NCHAT_COPY_END) {
        nchat_db_copy_results(copy);
    }

    if (copy->state == NCHAT_COPY_OVER) {
        nchat_db_copy_finish(copy);
    }
}


/* What comes before and after the rows; the first error counts. */

static void
nchat_db_copy_results(nchat_db_copy_t *copy)
{
    PGconn          *pg;
    PGresult        *result;
    nchat_db_op_t   *op;
    ExecStatusType   status;

    op = copy->op;
    pg = copy->conn->pg;

    while (!PQisBusy(pg)) {
        result = PQgetResult(pg);

        if (result == NULL) {
            copy->state = NCHAT_COPY_OVER;
            return;
        }

        status = PQresultStatus(result);

        if (status == PGRES_COPY_OUT) {
            PQclear(result);
            copy->state = NCHAT_COPY_ROWS;
            return;
        }

        if (op->result && PQresultStatus(op->result) != PGRES_COMMAND_OK) {
            PQclear(result);
            continue;
        }

        PQclear(op->result);
        op->result = result;
    }
}


static void
nchat_db_copy_finish(nchat_db_copy_t *copy)
{
    nchat_db_op_t      *op;
    nchat_db_conn_t    *conn;
    nchat_db_status_e   status;

    op = copy->op;
    conn = copy->conn;

    conn->copy = NULL;
    copy->conn = NULL;

    ngx_queue_remove(&op->queue);
    nchat_db_conn_inflight(conn, -1);
    nchat_db_conn_timer(conn);

    if (PQenterPipelineMode(conn->pg) != 1) {
        conn->broken = 1;
    }

    status = nchat_db_classify(conn, op);
    nchat_db_op_done(op, status);
}


ngx_int_t
nchat_db_copy_row(nchat_db_copy_t *copy, ngx_str_t *row)
{
    int  n;

    if (copy->row) {
        PQfreemem(copy->row);
        copy->row = NULL;
    }

    if (copy->state != NCHAT_COPY_ROWS || copy->conn->broken) {
        return NGX_AGAIN;
    }

    n = PQgetCopyData(copy->conn->pg, &copy->row, 1);

    if (n > 0) {
        row->data = (u_char *) copy->row;
        row->len = n;
        return NGX_OK;
    }

    if (n == 0) {
        copy->dry = 1;

    } else {
        copy->state = NCHAT_COPY_END;
    }

    return NGX_AGAIN;
}


void
nchat_db_copy_pause(nchat_db_copy_t *copy)
{
    ngx_event_t  *rev;

    copy->paused = 1;
    rev = copy->conn->c->read;

    if (rev->active && ngx_del_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        copy->conn->broken = 1;
        ngx_post_event(rev, &ngx_posted_events);
    }
}


void
nchat_db_copy_resume(nchat_db_copy_t *copy)
{
    ngx_event_t  *rev;

    copy->paused = 0;
    rev = copy->conn->c->read;

    if (!rev->active
        && ngx_add_event(rev, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK)
    {
        copy->conn->broken = 1;
    }

    /* libpq may have rows already, which no event would tell of */

    ngx_post_event(rev, &ngx_posted_events);
}


void
nchat_db_copy_cancel(nchat_db_copy_t *copy)
{
    nchat_db_conn_t  *conn;

    conn = copy->conn;

    if (conn == NULL) {
        nchat_db_copy_gone(copy);
        nchat_db_cancel(copy->op);
        return;
    }

    nchat_db_cancel(copy->op);

    /* maybe called by its own rows(): the event loop closes it */

    conn->broken = 1;
    ngx_post_event(conn->c->read, &ngx_posted_events);
}


/* A connection whose copy nobody wants any more: a fresh one instead. */

void
nchat_db_copy_drop(nchat_db_conn_t *conn)
{
    nchat_lane_t  *lane;

    lane = conn->lane;

    nchat_db_conn_close(conn);

    /* a leaving worker keeps one connection a lane for its last requests */

    if (lane->open && !lane->db->quit && (!ngx_exiting || conn == lane->conns))
    {
        nchat_db_conn_open(conn);
    }
}


/* 1: its time is not over, since its reader has paused it. */

ngx_uint_t
nchat_db_copy_patience(nchat_db_copy_t *copy)
{
    if (!copy->paused) {
        return 0;
    }

    nchat_db_copy_deadline(copy);

    return 1;
}


static void
nchat_db_copy_deadline(nchat_db_copy_t *copy)
{
    copy->op->deadline = ngx_current_msec + copy->conn->lane->timeout
                         + NCHAT_DB_GRACE;
}
