/* Lanes, their queues, and the way of an operation through them. */

#include "nchat_db_int.h"


static void nchat_db_lane_open(nchat_db_t *db, nchat_lane_e id,
    const char *name, nchat_conninfo_t *info);
static ngx_uint_t nchat_db_lane_hopeless(nchat_lane_t *lane);
static nchat_lane_t *nchat_db_lane_of(nchat_db_t *db, nchat_stmt_t *stmt);
static void nchat_db_op_wait(nchat_lane_t *lane, nchat_db_op_t *op,
    ngx_uint_t first);


static const char  *nchat_lane_names[] = {
    "fast", "batch", "lock", "slow", "replica", "listen"
};


nchat_db_t *
nchat_db_open(ngx_cycle_t *cycle, nchat_db_conf_t *conf, nchat_zone_t *zone,
    nchat_gauges_t *gauges, ngx_resolver_t *resolver,
    ngx_msec_t resolver_timeout)
{
    ngx_uint_t   i;
    nchat_db_t  *db;

    db = ngx_pcalloc(cycle->pool, sizeof(nchat_db_t));
    if (db == NULL) {
        return NULL;
    }

    db->pool = cycle->pool;
    db->log = cycle->log;
    db->conf = conf;
    db->zone = zone;
    db->gauges = gauges;
    db->metrics = nchat_zone_metrics(zone);
    db->resolver = resolver;
    db->resolver_timeout = resolver_timeout;

    for (i = 0; i < NCHAT_LANES; i++) {
        db->lanes[i].conns = ngx_pcalloc(cycle->pool,
                                         conf->connections[i]
                                         * sizeof(nchat_db_conn_t));
        if (db->lanes[i].conns == NULL) {
            return NULL;
        }

        nchat_db_lane_open(db, i, nchat_lane_names[i],
                           i == NCHAT_LANE_REPLICA ? conf->replica_info
                                                   : conf->primary_info);
    }

    return db;
}


static void
nchat_db_lane_open(nchat_db_t *db, nchat_lane_e id, const char *name,
    nchat_conninfo_t *info)
{
    ngx_uint_t     i;
    nchat_lane_t  *lane;

    lane = &db->lanes[id];

    lane->db = db;
    lane->id = id;
    lane->name = name;
    lane->info = info;
    lane->depth = (id == NCHAT_LANE_FAST || id == NCHAT_LANE_LISTEN)
                  ? NCHAT_DB_DEPTH : 1;
    lane->batch = (id == NCHAT_LANE_BATCH) ? NCHAT_DB_BATCH : 1;
    lane->timeout = db->conf->timeout[id];

    nchat_db_lane_init(lane);

    /* the listener's opens when this worker gets the lease */

    if (info == NULL || id == NCHAT_LANE_LISTEN) {
        return;
    }

    lane->open = 1;
    lane->nconns = db->conf->connections[id];

    for (i = 0; i < lane->nconns; i++) {
        lane->conns[i].lane = lane;
        nchat_db_conn_open(&lane->conns[i]);
    }
}


void
nchat_db_quit(nchat_db_t *db)
{
    db->quit = 1;
}


void
nchat_db_close(nchat_db_t *db)
{
    ngx_uint_t     i, n;
    nchat_lane_t  *lane;

    db->quit = 1;

    for (i = 0; i < NCHAT_LANES; i++) {
        lane = &db->lanes[i];
        lane->open = 0;

        if (lane->turn.posted) {
            ngx_delete_posted_event(&lane->turn);
        }

        for (n = 0; n < lane->nconns; n++) {
            nchat_db_conn_close(&lane->conns[n]);
        }

        nchat_db_lane_refuse(lane, NCHAT_DB_DOWN);
    }
}


void
nchat_db_listen(nchat_db_t *db, nchat_db_listener_t *listener)
{
    nchat_lane_t  *lane;

    db->listener = listener;

    lane = &db->lanes[NCHAT_LANE_LISTEN];

    if (lane->open) {
        return;
    }

    lane->open = 1;
    lane->nconns = 1;
    lane->conns[0].lane = lane;
    lane->conns[0].backoff = 0;

    nchat_db_conn_open(&lane->conns[0]);
}


void
nchat_db_unlisten(nchat_db_t *db)
{
    nchat_lane_t  *lane;

    lane = &db->lanes[NCHAT_LANE_LISTEN];

    if (lane->open) {
        lane->open = 0;
        nchat_db_conn_close(&lane->conns[0]);
        nchat_db_lane_refuse(lane, NCHAT_DB_DOWN);
    }
}


void
nchat_db_send(nchat_db_op_t *op)
{
    nchat_db_t    *db;
    nchat_lane_t  *lane;

    db = op->db;
    lane = nchat_db_lane_of(db, op->stmt);
    op->lane = lane->id;

    /* no server to be had: say so at once */

    if (lane->down || !lane->open) {
        nchat_count(db->metrics, NCHAT_M_DB_REFUSED_DOWN);
        nchat_db_op_done(op, NCHAT_DB_DOWN);
        return;
    }

    if (lane->nwaiting >= db->conf->queue || nchat_db_lane_hopeless(lane)) {
        nchat_count(db->metrics, NCHAT_M_DB_REFUSED_QUEUE);
        nchat_db_op_done(op, NCHAT_DB_BUSY);
        return;
    }

    nchat_db_op_wait(lane, op, 0);
    nchat_db_lane_run(lane);
}


static void
nchat_db_op_wait(nchat_lane_t *lane, nchat_db_op_t *op, ngx_uint_t first)
{
    op->waiting = 1;

    if (!first) {
        op->queued = ngx_current_msec;
        ngx_queue_insert_tail(&lane->waiting, &op->queue);

    } else {
        ngx_queue_insert_head(&lane->waiting, &op->queue);
    }

    lane->nwaiting++;
}


/* Once more, on another connection if there is one. */

void
nchat_db_op_again(nchat_db_op_t *op)
{
    nchat_lane_t  *lane;

    lane = &op->db->lanes[op->lane];

    op->retried = 1;
    nchat_count(op->db->metrics, NCHAT_M_DB_RETRIES);

    /* it goes with the next run of the lane, or falls with it */

    nchat_db_op_wait(lane, op, 1);
    nchat_db_lane_timer(lane);
}


void
nchat_db_cancel(nchat_db_op_t *op)
{
    nchat_lane_t  *lane;

    op->cancelled = 1;

    if (op->timer.timer_set) {
        ngx_del_timer(&op->timer);
    }

    if (op->waiting) {
        lane = &op->db->lanes[op->lane];
        ngx_queue_remove(&op->queue);
        lane->nwaiting--;
        ngx_destroy_pool(op->pool);
    }
}


void
nchat_db_op_done(nchat_db_op_t *op, nchat_db_status_e status)
{
    op->waiting = 0;
    op->status = status;

    if (op->timer.timer_set) {
        ngx_del_timer(&op->timer);
    }

    if (!op->cancelled) {
        op->done(op);
    }

    if (op->copy) {
        nchat_db_copy_gone(op->copy);
    }

    if (op->result) {
        PQclear(op->result);
    }

    ngx_destroy_pool(op->pool);
}


void
nchat_db_lane_up(nchat_lane_t *lane)
{
    nchat_db_listener_t  *listener;

    lane->told = 0;

    if (lane->down) {
        lane->down = 0;
        ngx_log_error(NGX_LOG_NOTICE, lane->db->log, 0,
                      "nchat: database connections (%s) are back",
                      lane->name);
    }

    listener = lane->db->listener;

    if (lane->id == NCHAT_LANE_LISTEN && listener) {
        listener->ready(listener->data);
    }

    nchat_db_lane_run(lane);
}


/* One connection was lost or did not come up: is it the last one? */

void
nchat_db_lane_down(nchat_lane_t *lane)
{
    ngx_uint_t            i;
    nchat_db_listener_t  *listener;

    listener = lane->db->listener;

    if (lane->id == NCHAT_LANE_LISTEN && listener) {
        listener->lost(listener->data);
    }

    for (i = 0; i < lane->nconns; i++) {
        if (lane->conns[i].state == NCHAT_CONN_READY) {
            nchat_db_lane_run(lane);
            return;
        }
    }

    lane->down = 1;
    nchat_db_lane_refuse(lane, NCHAT_DB_DOWN);
}


/*
 * At the pace of late, its turn would come when it has given up: better to say
 * so at once.  Nobody is refused while nobody waits, so a bad time is forgotten.
 */

static ngx_uint_t
nchat_db_lane_hopeless(nchat_lane_t *lane)
{
    uint64_t  slots;

    slots = lane->nconns * ngx_max(lane->depth, lane->batch);

    return lane->nwaiting * (uint64_t) lane->pace / slots
           > (uint64_t) lane->db->conf->queue_timeout * 1000;
}


/*
 * Stale reads prefer a replica; without one that answers, the primary.  While
 * the batch lane has lost its connections, the fast lane does its work.
 */

static nchat_lane_t *
nchat_db_lane_of(nchat_db_t *db, nchat_stmt_t *stmt)
{
    nchat_lane_t  *lane;

    lane = &db->lanes[NCHAT_LANE_REPLICA];

    if (stmt->stale && lane->open && !lane->down) {
        return lane;
    }

    lane = &db->lanes[stmt->lane];

    if (stmt->lane == NCHAT_LANE_BATCH && lane->down) {
        return &db->lanes[NCHAT_LANE_FAST];
    }

    return lane;
}


void
nchat_db_conn_state(nchat_db_conn_t *conn, nchat_conn_state_e state)
{
    ngx_uint_t       i, n[NCHAT_CONN_READY + 1];
    nchat_lane_t    *lane;
    nchat_gauges_t  *gauges;

    conn->state = state;
    lane = conn->lane;
    gauges = lane->db->gauges;

    if (gauges == NULL) {
        return;
    }

    ngx_memzero(n, sizeof(n));

    for (i = 0; i < lane->nconns; i++) {
        n[lane->conns[i].state]++;
    }

    gauges->ready[lane->id] = n[NCHAT_CONN_READY];
    gauges->down[lane->id] = n[NCHAT_CONN_DOWN];
    gauges->connecting[lane->id] = n[NCHAT_CONN_CONNECTING]
                                   + n[NCHAT_CONN_RESOLVING];
}


void
nchat_db_conn_inflight(nchat_db_conn_t *conn, ngx_int_t change)
{
    nchat_gauges_t  *gauges;

    conn->ninflight += change;
    gauges = conn->lane->db->gauges;

    if (gauges) {
        gauges->inflight[conn->lane->id] += change;
    }
}
