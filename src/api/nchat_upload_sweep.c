/*
 * Uploads whose time is over: their rows are claimed, their bytes removed, the
 * rows forgotten.  On one node at a time; the database sees to that.
 */

#include "nchat_store.h"
#include "nchat_uuid.h"


#define NCHAT_SWEEP_ROWS      100      /* at a time, by the timer */
#define NCHAT_SWEEP_REQUEST   4        /* with the help of a request */
#define NCHAT_SWEEP_INTERVAL  (60 * 1000)


static ngx_msec_t nchat_sweep_interval(nchat_main_conf_t *conf);
static void nchat_sweep_timer(ngx_event_t *ev);
static void nchat_sweep_claimed(nchat_db_op_t *op);
static nchat_sweep_t *nchat_sweep_make(nchat_main_conf_t *conf,
    PGresult *result);
static void nchat_sweep_forgotten(nchat_db_op_t *op);


static nchat_stmt_t  nchat_sweep_claim_stmt = {
    "nchat_upload_expired", "SELECT id, key FROM nchat_upload_expired($1::int)",
    1, NCHAT_LANE_SLOW, 0, 0, 0
};

static nchat_stmt_t  nchat_sweep_forget_stmt = {
    "nchat_upload_forget", "SELECT nchat_upload_forget($1::uuid[])",
    1, NCHAT_LANE_SLOW, 0, 0, 0
};


/* one in a worker */

static ngx_event_t  nchat_sweep_event;
static ngx_msec_t   nchat_sweep_next;
static ngx_uint_t   nchat_sweep_claiming;


/* A tenth of an upload's life, from a second to a minute. */

static ngx_msec_t
nchat_sweep_interval(nchat_main_conf_t *conf)
{
    ngx_msec_t  interval;

    interval = (ngx_msec_t) conf->files->lifetime * 100;
    interval = ngx_max(interval, 1000);

    return ngx_min(interval, NCHAT_SWEEP_INTERVAL);
}


ngx_int_t
nchat_sweep_start(ngx_cycle_t *cycle, nchat_main_conf_t *conf)
{
    nchat_sweep_next = ngx_current_msec;
    nchat_sweep_claiming = 0;

    if (!conf->files->store->background) {
        return NGX_OK;
    }

    ngx_memzero(&nchat_sweep_event, sizeof(ngx_event_t));

    nchat_sweep_event.handler = nchat_sweep_timer;
    nchat_sweep_event.data = conf;
    nchat_sweep_event.log = cycle->log;
    nchat_sweep_event.cancelable = 1;

    ngx_add_timer(&nchat_sweep_event, nchat_sweep_interval(conf));

    return NGX_OK;
}


/* The worker that listens to the database does it for its node. */

static void
nchat_sweep_timer(ngx_event_t *ev)
{
    nchat_main_conf_t *conf = ev->data;

    nchat_db_op_t  *op;

    if (ngx_exiting || ngx_terminate || ngx_quit) {
        return;
    }

    ngx_add_timer(ev, nchat_sweep_interval(conf));

    if (nchat_sweep_claiming || !nchat_lease_take(conf->zone)) {
        return;
    }

    op = nchat_db_op(conf->db, &nchat_sweep_claim_stmt, nchat_sweep_claimed,
                     conf);
    if (op == NULL) {
        return;
    }

    if (nchat_db_set_int(op, 0, NCHAT_SWEEP_ROWS) != NGX_OK) {
        nchat_db_discard(op);
        return;
    }

    nchat_sweep_claiming = 1;
    nchat_db_send(op);
}


static void
nchat_sweep_claimed(nchat_db_op_t *op)
{
    nchat_main_conf_t *conf = op->data;

    nchat_sweep_t  *sweep;

    nchat_sweep_claiming = 0;

    if (op->status != NCHAT_DB_OK) {
        return;
    }

    /* also without a row: bodies that were left behind are looked for */

    sweep = nchat_sweep_make(conf, op->result);

    if (sweep) {
        nchat_sweep_claiming = 1;
        conf->files->store->remove(NULL, sweep);
    }
}


static nchat_sweep_t *
nchat_sweep_make(nchat_main_conf_t *conf, PGresult *result)
{
    ngx_str_t       value;
    ngx_uint_t      i;
    ngx_pool_t     *pool;
    nchat_sweep_t  *sweep;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    sweep = ngx_pcalloc(pool, sizeof(nchat_sweep_t));
    if (sweep == NULL) {
        goto failed;
    }

    sweep->pool = pool;
    sweep->conf = conf;
    sweep->n = PQntuples(result);
    sweep->ids = ngx_palloc(pool, (sweep->n + 1) * sizeof(ngx_str_t));
    sweep->keys = ngx_palloc(pool, (sweep->n + 1) * sizeof(ngx_str_t));

    if (sweep->ids == NULL || sweep->keys == NULL) {
        goto failed;
    }

    for (i = 0; i < sweep->n; i++) {
        value = nchat_db_value(result, i, 0);
        sweep->ids[i].len = value.len;
        sweep->ids[i].data = ngx_pstrdup(pool, &value);

        value = nchat_db_value(result, i, 1);
        sweep->keys[i].len = value.len;
        sweep->keys[i].data = ngx_pstrdup(pool, &value);

        if (sweep->ids[i].data == NULL || sweep->keys[i].data == NULL) {
            goto failed;
        }
    }

    return sweep;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
nchat_sweep_done(nchat_sweep_t *sweep)
{
    u_char         *p;
    ngx_str_t       list;
    ngx_uint_t      i;
    nchat_db_op_t  *op;

    nchat_sweep_claiming = 0;

    if (sweep->n == 0) {
        ngx_destroy_pool(sweep->pool);
        return;
    }

    /* an array as Postgres writes it */

    p = ngx_pnalloc(sweep->pool, sweep->n * (NCHAT_UUID_LEN + 1) + 2);
    op = nchat_db_op(sweep->conf->db, &nchat_sweep_forget_stmt,
                     nchat_sweep_forgotten, NULL);

    if (p && op) {
        list.data = p;
        *p++ = '{';

        for (i = 0; i < sweep->n; i++) {
            p = ngx_sprintf(p, "%s%V", i ? "," : "", &sweep->ids[i]);
        }

        *p++ = '}';
        list.len = p - list.data;

        if (nchat_db_set(op, 0, &list) == NGX_OK) {
            nchat_db_send(op);
            op = NULL;
        }
    }

    if (op) {
        nchat_db_discard(op);
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "nchat: %ui expired uploads were removed", sweep->n);

    ngx_destroy_pool(sweep->pool);
}


/* If it failed, the claims run out, and all of it is done again. */

static void
nchat_sweep_forgotten(nchat_db_op_t *op)
{
    (void) op;
}


/*
 * A store that is reached by subrequests needs a request for them.  The
 * request goes on at once and does not wait for this.
 */

ngx_uint_t
nchat_sweep_with(nchat_ctx_t *ctx, nchat_result_pt done)
{
    ngx_str_t  limit;

    if (ctx->conf->files->store->background
        || (ngx_msec_int_t) (nchat_sweep_next - ngx_current_msec) > 0)
    {
        return 0;
    }

    nchat_sweep_next = ngx_current_msec + nchat_sweep_interval(ctx->conf);

    limit = nchat_query_int(ctx, NCHAT_SWEEP_REQUEST);
    nchat_query(ctx, &nchat_sweep_claim_stmt, &limit, 1, done);

    return 1;
}


void
nchat_sweep_run(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_sweep_t  *sweep;

    sweep = nchat_sweep_make(ctx->conf, result);

    if (sweep && sweep->n) {
        ctx->conf->files->store->remove(ctx, sweep);

    } else if (sweep) {
        ngx_destroy_pool(sweep->pool);
    }
}
