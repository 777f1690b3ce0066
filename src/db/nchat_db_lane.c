/* What waits in a lane, and when it goes. */

#include "nchat_db_int.h"


static void nchat_db_lane_turn(ngx_event_t *ev);
static void nchat_db_lane_drain(nchat_lane_t *lane);
static void nchat_db_lane_send(nchat_lane_t *lane, nchat_db_conn_t *conn);
static ngx_uint_t nchat_db_lane_joins(nchat_lane_t *lane);
static nchat_db_conn_t *nchat_db_lane_pick(nchat_lane_t *lane,
    nchat_db_op_t *op);
static void nchat_db_lane_timer_handler(ngx_event_t *ev);


void
nchat_db_lane_init(nchat_lane_t *lane)
{
    ngx_queue_init(&lane->waiting);

    lane->timer.handler = nchat_db_lane_timer_handler;
    lane->timer.data = lane;
    lane->timer.log = lane->db->log;

    lane->turn.handler = nchat_db_lane_turn;
    lane->turn.data = lane;
    lane->turn.log = lane->db->log;
}


/*
 * Sends what waits, as far as there are connections that may take it.  A batch
 * goes at the end of this turn of the event loop, with all that was read in it.
 */

void
nchat_db_lane_run(nchat_lane_t *lane)
{
    if (lane->batch > 1) {
        ngx_post_event(&lane->turn, &ngx_posted_events);
        return;
    }

    nchat_db_lane_drain(lane);
}


static void
nchat_db_lane_turn(ngx_event_t *ev)
{
    nchat_db_lane_drain(ev->data);
}


static void
nchat_db_lane_drain(nchat_lane_t *lane)
{
    ngx_queue_t      *q;
    nchat_db_op_t    *op;
    nchat_db_conn_t  *conn;

    while (!ngx_queue_empty(&lane->waiting)) {

        q = ngx_queue_head(&lane->waiting);
        op = ngx_queue_data(q, nchat_db_op_t, queue);

        conn = nchat_db_lane_pick(lane, op);
        if (conn == NULL) {
            break;
        }

        nchat_db_lane_send(lane, conn);
    }

    nchat_db_lane_timer(lane);
}


/*
 * The first that waits; in the batch lane the ones behind it as well.  There a
 * connection takes more only when it is idle again, so batches grow as it gets
 * slower, and nobody waits for one to fill.
 */

static void
nchat_db_lane_send(nchat_lane_t *lane, nchat_db_conn_t *conn)
{
    ngx_uint_t      n;
    ngx_queue_t    *q;
    nchat_db_op_t  *op;

    n = 0;

    do {
        q = ngx_queue_head(&lane->waiting);
        op = ngx_queue_data(q, nchat_db_op_t, queue);

        ngx_queue_remove(q);
        lane->nwaiting--;

        op->joined = !op->retried && ++n < lane->batch
                     && nchat_db_lane_joins(lane);

        nchat_db_conn_send(conn, op);

    } while (op->joined);
}


static ngx_uint_t
nchat_db_lane_joins(nchat_lane_t *lane)
{
    nchat_db_op_t  *op;

    if (ngx_queue_empty(&lane->waiting)) {
        return 0;
    }

    op = ngx_queue_data(ngx_queue_head(&lane->waiting), nchat_db_op_t, queue);

    return !op->retried;
}


/*
 * The connection with the fewest statements in flight: commits on one
 * connection follow each other, over several they share one flush.
 */

static nchat_db_conn_t *
nchat_db_lane_pick(nchat_lane_t *lane, nchat_db_op_t *op)
{
    ngx_uint_t        i;
    nchat_db_conn_t  *conn, *best;

    best = NULL;

    for (i = 0; i < lane->nconns; i++) {
        conn = &lane->conns[i];

        if (conn->state != NCHAT_CONN_READY || conn->broken
            || conn->ninflight >= lane->depth
            || (op->copy && conn->busy))
        {
            continue;
        }

        if (best == NULL || conn->ninflight < best->ninflight) {
            best = conn;
        }
    }

    return best;
}


void
nchat_db_lane_refuse(nchat_lane_t *lane, nchat_db_status_e status)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&lane->waiting)) {
        q = ngx_queue_head(&lane->waiting);
        ngx_queue_remove(q);
        lane->nwaiting--;

        nchat_db_op_done(ngx_queue_data(q, nchat_db_op_t, queue), status);
    }

    nchat_db_lane_timer(lane);
}


/* All wait for the same time, so the head is always the next to give up. */

void
nchat_db_lane_timer(nchat_lane_t *lane)
{
    nchat_db_op_t   *op;
    ngx_msec_int_t   left;

    if (lane->db->gauges) {
        lane->db->gauges->waiting[lane->id] = lane->nwaiting;
    }

    if (ngx_queue_empty(&lane->waiting)) {

        if (lane->timer.timer_set) {
            ngx_del_timer(&lane->timer);
        }

        return;
    }

    if (lane->timer.timer_set) {
        return;
    }

    op = ngx_queue_data(ngx_queue_head(&lane->waiting), nchat_db_op_t, queue);

    left = (ngx_msec_int_t) (op->queued + lane->db->conf->queue_timeout
                             - ngx_current_msec);

    ngx_add_timer(&lane->timer, ngx_max(left, 1));
}


static void
nchat_db_lane_timer_handler(ngx_event_t *ev)
{
    nchat_lane_t  *lane = ev->data;

    ngx_queue_t    *q;
    nchat_db_op_t  *op;

    while (!ngx_queue_empty(&lane->waiting)) {
        q = ngx_queue_head(&lane->waiting);
        op = ngx_queue_data(q, nchat_db_op_t, queue);

        if (ngx_current_msec - op->queued < lane->db->conf->queue_timeout) {
            break;
        }

        ngx_queue_remove(q);
        lane->nwaiting--;

        nchat_count(lane->db->metrics, NCHAT_M_DB_REFUSED_QUEUE);
        nchat_db_op_done(op, NCHAT_DB_BUSY);
    }

    nchat_db_lane_timer(lane);
}
