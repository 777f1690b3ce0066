/*
 * Which worker of the node listens, by the zone's lease, and the periodic jobs
 * that the one that does has to start.
 */

#include "nchat_sync_int.h"


static void nchat_sync_tick(ngx_event_t *ev);
static void nchat_sync_run_jobs(nchat_sync_t *sync);
static void nchat_sync_job_done(nchat_db_op_t *op);


/* one worker, one pool, one listener */

static nchat_sync_t  nchat_sync;


ngx_int_t
nchat_sync_start(ngx_cycle_t *cycle, nchat_db_t *db, nchat_zone_t *zone,
    ngx_uint_t schema, ngx_msec_t keep, const nchat_job_t *jobs)
{
    ngx_uint_t     i;
    nchat_sync_t  *sync;

    sync = &nchat_sync;
    ngx_memzero(sync, sizeof(nchat_sync_t));

    sync->db = db;
    sync->zone = zone;
    sync->log = cycle->log;
    sync->keep = keep;
    sync->schema = schema;
    sync->jobs = jobs;

    for (i = 0; jobs[i].stmt; i++) {
        if (i == NCHAT_SYNC_JOBS) {
            return NGX_ERROR;
        }

        sync->due[i] = ngx_current_msec + ngx_random() % jobs[i].interval;
    }

    nchat_sync_listener_init(sync);

    sync->timer.handler = nchat_sync_tick;
    sync->timer.data = sync;
    sync->timer.log = cycle->log;
    sync->timer.cancelable = 1;

    ngx_add_timer(&sync->timer, 1);

    return NGX_OK;
}


void
nchat_sync_stop(void)
{
    if (nchat_sync.zone) {
        nchat_lease_release(nchat_sync.zone);
    }
}


static void
nchat_sync_tick(ngx_event_t *ev)
{
    nchat_sync_t *sync = ev->data;

    if (ngx_exiting || ngx_terminate || ngx_quit) {

        if (sync->listening) {
            sync->listening = 0;
            nchat_db_unlisten(sync->db);
            nchat_lease_release(sync->zone);
        }

        return;
    }

    ngx_add_timer(ev, NCHAT_SYNC_TICK);

    if (!nchat_lease_take(sync->zone)) {

        if (sync->listening) {
            sync->listening = 0;
            nchat_db_unlisten(sync->db);
        }

        return;
    }

    if (!sync->listening) {
        sync->listening = 1;
        nchat_db_listen(sync->db, &sync->listener);
        return;
    }

    nchat_sync_listener_tick(sync);
    nchat_sync_run_jobs(sync);
}


static void
nchat_sync_run_jobs(nchat_sync_t *sync)
{
    ngx_uint_t      i;
    nchat_db_op_t  *op;

    for (i = 0; sync->jobs[i].stmt; i++) {

        if ((ngx_msec_int_t) (sync->due[i] - ngx_current_msec) > 0) {
            continue;
        }

        sync->due[i] = ngx_current_msec + sync->jobs[i].interval;

        op = nchat_db_op(sync->db, sync->jobs[i].stmt, nchat_sync_job_done,
                         sync);
        if (op) {
            nchat_db_send(op);
        }
    }
}


static void
nchat_sync_job_done(nchat_db_op_t *op)
{
    nchat_sync_t *sync = op->data;

    /* the pool has logged why; the next turn comes anyway */

    if (op->status != NCHAT_DB_OK) {
        ngx_log_error(NGX_LOG_WARN, sync->log, 0,
                      "nchat: job %s did not run", op->stmt->name);
    }
}
