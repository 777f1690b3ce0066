/*
 * One connection: connecting, closing.
 *
 * libpq owns its socket and may replace it by another one with the same number
 * while it connects, so nginx never sees that descriptor.  It watches a copy
 * (dup) that is ours: registering, deregistering and closing are then always
 * valid.  Events are level-triggered, since PQconsumeInput does not say
 * whether it read everything.
 */

#include "nchat_db_int.h"


static void nchat_db_conn_start(nchat_db_conn_t *conn);
static void nchat_db_conn_poll(nchat_db_conn_t *conn);
static ngx_int_t nchat_db_conn_watch(nchat_db_conn_t *conn,
    ngx_event_handler_pt handler);
static void nchat_db_conn_unwatch(nchat_db_conn_t *conn);
static void nchat_db_conn_ready(nchat_db_conn_t *conn);
static ngx_int_t nchat_db_conn_setup(nchat_db_conn_t *conn);
static void nchat_db_conn_setup_done(nchat_db_op_t *op);
static void nchat_db_conn_poll_handler(ngx_event_t *ev);
static void nchat_db_conn_timer_handler(ngx_event_t *ev);
static void nchat_db_conn_log(ngx_uint_t level, ngx_log_t *log,
    const char *lane, const char *what, const char *message);
static void nchat_db_conn_notice(void *data, const char *message);


static nchat_stmt_t  nchat_db_setup_stmt = {
    "nchat_setup",
    "SELECT set_config('statement_timeout', $1, false),"
    " set_config('lock_timeout', $1, false),"
    " set_config('idle_in_transaction_session_timeout', $1, false),"
    " set_config('application_name', $2, false),"
    " set_config('client_encoding', 'UTF8', false),"
    " set_config('timezone', 'UTC', false),"
    " set_config('search_path', 'public', false)",
    2, NCHAT_LANE_FAST, 0, 0, 0
};


void
nchat_db_conn_open(nchat_db_conn_t *conn)
{
    ngx_queue_init(&conn->inflight);

    conn->timer.handler = nchat_db_conn_timer_handler;
    conn->timer.data = conn;
    conn->timer.log = conn->lane->db->log;

    nchat_db_conn_start(conn);
}


static void
nchat_db_conn_start(nchat_db_conn_t *conn)
{
    nchat_db_t  *db;

    db = conn->lane->db;

    conn->broken = 0;
    ngx_memzero(conn->prepared, sizeof(conn->prepared));

    /* the addresses that failed may be out of date */

    if (conn->backoff && conn->state != NCHAT_CONN_RESOLVING) {
        nchat_db_conn_state(conn, NCHAT_CONN_RESOLVING);

        if (nchat_db_conninfo_refresh(conn->lane->info, conn,
                                      nchat_db_conn_start)
            == NGX_AGAIN)
        {
            return;
        }
    }

    nchat_db_conn_state(conn, NCHAT_CONN_CONNECTING);

    conn->pg = nchat_db_conninfo_start(conn->lane->info);

    if (conn->pg == NULL || PQstatus(conn->pg) == CONNECTION_BAD) {
        nchat_db_conn_fail(conn, "cannot connect");
        return;
    }

    PQsetNoticeProcessor(conn->pg, nchat_db_conn_notice, db);

    conn->timer.cancelable = 1;
    ngx_add_timer(&conn->timer, db->conf->connect_timeout);

    /* libpq says: behave as if PQconnectPoll had wanted to write */

    if (nchat_db_conn_watch(conn, nchat_db_conn_poll_handler) != NGX_OK
        || ngx_add_event(conn->c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT)
           != NGX_OK)
    {
        nchat_db_conn_fail(conn, "cannot watch the socket");
    }
}


static ngx_int_t
nchat_db_conn_watch(nchat_db_conn_t *conn, ngx_event_handler_pt handler)
{
    int                fd;
    ngx_log_t         *log;
    ngx_connection_t  *c;

    nchat_db_conn_unwatch(conn);

    log = conn->lane->db->log;

    fd = fcntl(PQsocket(conn->pg), F_DUPFD_CLOEXEC, 0);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "nchat: fcntl(F_DUPFD_CLOEXEC) failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, log);

    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->data = conn;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->read->handler = handler;
    c->write->handler = handler;
    c->idle = 1;

    conn->c = c;

    return NGX_OK;
}


static void
nchat_db_conn_unwatch(nchat_db_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->c;

    if (c == NULL) {
        return;
    }

    /*
     * Closing a copy leaves it in epoll while libpq's own descriptor is open,
     * so it is taken out first, which ngx_close_connection() would not do.
     */

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    if (c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    }

    ngx_close_connection(c);
    conn->c = NULL;
}


static void
nchat_db_conn_poll_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c = ev->data;

    nchat_db_conn_t   *conn;

    conn = c->data;

    /*
     * At shutdown nginx closes idle connections.  Requests that came before
     * need one of each lane, also where it is only being made.
     */

    if (c->close && conn != conn->lane->conns) {
        nchat_db_conn_close(conn);
        return;
    }

    nchat_db_conn_poll(conn);
}


static void
nchat_db_conn_poll(nchat_db_conn_t *conn)
{
    ngx_int_t                  rc;
    PostgresPollingStatusType  status;

    status = PQconnectPoll(conn->pg);

    if (status == PGRES_POLLING_FAILED) {
        nchat_db_conn_fail(conn, "cannot connect");
        return;
    }

    if (status == PGRES_POLLING_OK) {
        nchat_db_conn_ready(conn);
        return;
    }

    /* libpq may have gone on to another socket: watch afresh */

    if (nchat_db_conn_watch(conn, nchat_db_conn_poll_handler) != NGX_OK) {
        nchat_db_conn_fail(conn, "cannot watch the socket");
        return;
    }

    if (status == PGRES_POLLING_READING) {
        rc = ngx_add_event(conn->c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);

    } else {
        rc = ngx_add_event(conn->c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);
    }

    if (rc != NGX_OK) {
        nchat_db_conn_fail(conn, "cannot watch the socket");
    }
}


static void
nchat_db_conn_ready(nchat_db_conn_t *conn)
{
    nchat_db_t  *db;

    db = conn->lane->db;

    if (PQsetnonblocking(conn->pg, 1) != 0
        || PQenterPipelineMode(conn->pg) != 1
        || nchat_db_conn_watch(conn, nchat_db_conn_read_handler) != NGX_OK)
    {
        nchat_db_conn_fail(conn, "cannot be set up");
        return;
    }

    conn->c->write->handler = nchat_db_conn_write_handler;

    if (ngx_add_event(conn->c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT)
        != NGX_OK)
    {
        nchat_db_conn_fail(conn, "cannot watch the socket");
        return;
    }

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    nchat_db_conn_state(conn, NCHAT_CONN_READY);
    nchat_count(db->metrics, NCHAT_M_DB_CONNECTS);

    if (nchat_db_conn_setup(conn) != NGX_OK) {
        nchat_db_conn_fail(conn, "cannot be set up");
        return;
    }

    if (!conn->broken) {
        nchat_db_lane_up(conn->lane);
    }
}


/* The first statement of every connection; the others queue up behind it. */

static ngx_int_t
nchat_db_conn_setup(nchat_db_conn_t *conn)
{
    u_char          name[64];
    ngx_str_t       text;
    nchat_db_op_t  *op;

    op = nchat_db_op(conn->lane->db, &nchat_db_setup_stmt,
                     nchat_db_conn_setup_done, conn);
    if (op == NULL) {
        return NGX_ERROR;
    }

    text.data = name;
    text.len = ngx_snprintf(name, sizeof(name), "nchat %s %P",
                            conn->lane->name, ngx_pid)
               - name;

    if (nchat_db_set_int(op, 0, conn->lane->timeout) != NGX_OK
        || nchat_db_set(op, 1, &text) != NGX_OK)
    {
        nchat_db_discard(op);
        return NGX_ERROR;
    }

    op->lane = conn->lane->id;
    nchat_db_conn_send(conn, op);

    return NGX_OK;
}


static void
nchat_db_conn_setup_done(nchat_db_op_t *op)
{
    nchat_db_conn_t  *conn = op->data;

    if (op->status == NCHAT_DB_OK) {
        conn->backoff = 0;
        return;
    }

    conn->broken = 1;
}


/*
 * Watches over the oldest statement in flight.  Only this timer keeps a
 * leaving worker alive.
 */

void
nchat_db_conn_timer(nchat_db_conn_t *conn)
{
    nchat_db_op_t   *op;
    ngx_msec_int_t   left;

    if (ngx_queue_empty(&conn->inflight)) {

        /* left to run out: deleting and adding for each would cost more */

        conn->timer.cancelable = 1;
        return;
    }

    conn->timer.cancelable = 0;

    op = ngx_queue_data(ngx_queue_head(&conn->inflight), nchat_db_op_t, queue);

    left = (ngx_msec_int_t) (op->deadline - ngx_current_msec);

    /* a later deadline is noticed when the timer fires: no re-arming */

    if (!conn->timer.timer_set) {
        ngx_add_timer(&conn->timer, ngx_max(left, 1));
    }
}


static void
nchat_db_conn_timer_handler(ngx_event_t *ev)
{
    nchat_db_op_t    *op;
    nchat_db_conn_t  *conn = ev->data;

    switch (conn->state) {

    case NCHAT_CONN_DOWN:
        nchat_db_conn_start(conn);
        return;

    case NCHAT_CONN_READY:

        if (ngx_queue_empty(&conn->inflight)) {
            return;
        }

        op = ngx_queue_data(ngx_queue_head(&conn->inflight), nchat_db_op_t,
                            queue);

        if ((ngx_msec_int_t) (op->deadline - ngx_current_msec) > 0
            || (op->copy && nchat_db_copy_patience(op->copy)))
        {
            nchat_db_conn_timer(conn);
            return;
        }

        nchat_db_conn_fail(conn, "gave no answer in time");
        return;

    default:
        nchat_db_conn_fail(conn, "did not connect in time");
    }
}


/* Ends a connection that is of no use any more, and plans the next one. */

void
nchat_db_conn_fail(nchat_db_conn_t *conn, const char *what)
{
    ngx_uint_t     level;
    ngx_msec_t     wait;
    nchat_db_t    *db;
    nchat_lane_t  *lane;

    lane = conn->lane;
    db = lane->db;

    /* one line per outage, not one per connection and attempt */

    level = lane->told ? NGX_LOG_INFO : NGX_LOG_ERR;
    lane->told = 1;

    nchat_db_conn_log(level, db->log, lane->name, what,
                      conn->pg ? PQerrorMessage(conn->pg) : "out of memory");

    if (conn->state == NCHAT_CONN_READY) {
        nchat_count(db->metrics, NCHAT_M_DB_LOST);
    }

    conn->backoff = conn->backoff
                    ? ngx_min(conn->backoff * 2, NCHAT_DB_BACKOFF_MAX)
                    : NCHAT_DB_BACKOFF;

    nchat_db_conn_close(conn);

    if (db->quit || !lane->open) {
        return;
    }

    /* jitter: workers and nodes must not come back all at once */

    wait = conn->backoff / 2 + (ngx_msec_t) ngx_random() % conn->backoff;

    conn->timer.cancelable = 1;
    ngx_add_timer(&conn->timer, wait);

    nchat_db_lane_down(lane);
}


void
nchat_db_conn_close(nchat_db_conn_t *conn)
{
    PGconn             *pg;
    ngx_queue_t         inflight, *q;
    ngx_msec_int_t      left;
    nchat_db_op_t      *op;
    nchat_db_status_e   status;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    nchat_db_conninfo_cancel(conn);
    nchat_db_conn_unwatch(conn);

    pg = conn->pg;
    conn->pg = NULL;
    conn->copy = NULL;
    conn->reading = NULL;

    nchat_db_conn_state(conn, NCHAT_CONN_DOWN);

    if (pg) {
        PQfinish(pg);
    }

    /* the callers may send again at once: not to this connection */

    ngx_queue_init(&inflight);

    if (!ngx_queue_empty(&conn->inflight)) {
        ngx_queue_add(&inflight, &conn->inflight);
        ngx_queue_init(&conn->inflight);
    }

    nchat_db_conn_inflight(conn, - (ngx_int_t) conn->ninflight);

    while (!ngx_queue_empty(&inflight)) {
        q = ngx_queue_head(&inflight);
        ngx_queue_remove(q);
        op = ngx_queue_data(q, nchat_db_op_t, queue);

        if (op->result) {
            PQclear(op->result);
            op->result = NULL;
        }

        if (op->stmt->read && !op->retried && !op->cancelled
            && !conn->lane->db->quit && nchat_db_op_patient(op))
        {
            nchat_db_op_again(op);
            continue;
        }

        left = (ngx_msec_int_t) (op->deadline - ngx_current_msec);
        status = left > 0 ? NCHAT_DB_DOWN : NCHAT_DB_TIMEOUT;

        nchat_db_op_done(op, status);
    }
}


/* libpq ends its messages, and what they are made of, with line feeds. */

static void
nchat_db_conn_log(ngx_uint_t level, ngx_log_t *log, const char *lane,
    const char *what, const char *message)
{
    size_t   n;
    u_char  *p, text[512];

    ngx_cpystrn(text, (u_char *) message, sizeof(text));

    for (p = text; *p; p++) {
        if (*p == '\n' || *p == '\t') {
            *p = ' ';
        }
    }

    for (n = p - text; n && text[n - 1] == ' '; n--) { /* void */ }

    ngx_log_error(level, log, 0, "nchat: database connection (%s) %s%s%*s",
                  lane, what, n ? ": " : "", n, text);
}


static void
nchat_db_conn_notice(void *data, const char *message)
{
    nchat_db_t  *db = data;

    ngx_log_error(NGX_LOG_INFO, db->log, 0, "nchat: database says: %s",
                  message);
}
