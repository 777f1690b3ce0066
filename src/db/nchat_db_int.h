/* The pool's insides, shared by its files. */

#ifndef _NCHAT_DB_INT_H_INCLUDED_
#define _NCHAT_DB_INT_H_INCLUDED_


#include "nchat_db.h"
#include "nchat_db_copy.h"


/* reconnects back off from the first to the second, in milliseconds */
#define NCHAT_DB_BACKOFF      50
#define NCHAT_DB_BACKOFF_MAX  1000

/* how long after the server's own limit a silent connection is given up */
#define NCHAT_DB_GRACE        1000

/* statements in flight on one connection of the fast lane */
#define NCHAT_DB_DEPTH        64

/* statements that share a transaction of the batch lane */
#define NCHAT_DB_BATCH        32


typedef struct nchat_conninfo_s  nchat_conninfo_t;
typedef struct nchat_lane_s      nchat_lane_t;

typedef enum {
    NCHAT_CONN_DOWN = 0,
    NCHAT_CONN_RESOLVING,
    NCHAT_CONN_CONNECTING,
    NCHAT_CONN_READY
} nchat_conn_state_e;


struct nchat_db_conn_s {
    nchat_lane_t         *lane;
    PGconn               *pg;
    ngx_connection_t     *c;          /* over our own copy of its socket */
    ngx_event_t           timer;      /* back-off, connecting, oldest in flight */
    ngx_msec_t            backoff;

    ngx_queue_t           inflight;
    ngx_uint_t            ninflight;
    nchat_db_op_t        *reading;    /* whose results come next, or NULL */

    nchat_db_copy_t      *copy;       /* what it is taken by, or NULL */

    nchat_conn_state_e    state;
    void                 *resolving;
    uint64_t              prepared[NCHAT_DB_STMTS / 64];

    unsigned              broken:1;   /* close it when the stack unwinds */
    unsigned              busy:1;     /* inside of the read loop */
};


struct nchat_lane_s {
    nchat_db_t           *db;
    nchat_lane_e          id;
    const char           *name;
    nchat_conninfo_t     *info;

    nchat_db_conn_t      *conns;
    ngx_uint_t            nconns;
    ngx_uint_t            depth;      /* in flight, before another goes */
    ngx_uint_t            batch;      /* statements that go together */
    ngx_msec_t            timeout;

    ngx_queue_t           waiting;
    ngx_uint_t            nwaiting;
    ngx_uint_t            ncopies;    /* waiting and running */
    int64_t               pace;       /* of late, microseconds a statement */
    int64_t               npaced;     /* the statements that say so */
    ngx_event_t           timer;      /* the head's deadline in the queue */
    ngx_event_t           turn;       /* posted: the batch lane's run */

    unsigned              open:1;
    unsigned              down:1;     /* the last thing known: no server */
    unsigned              told:1;     /* of this outage, in the error log */
};


struct nchat_db_s {
    ngx_pool_t           *pool;
    ngx_log_t            *log;
    nchat_db_conf_t      *conf;
    nchat_zone_t         *zone;
    nchat_gauges_t       *gauges;
    nchat_metrics_t      *metrics;
    ngx_resolver_t       *resolver;
    ngx_msec_t            resolver_timeout;
    nchat_lane_t          lanes[NCHAT_LANES];
    nchat_db_listener_t  *listener;
    unsigned              quit:1;
};


/* nchat_db_conn.c */

void nchat_db_conn_open(nchat_db_conn_t *conn);
void nchat_db_conn_close(nchat_db_conn_t *conn);
void nchat_db_conn_fail(nchat_db_conn_t *conn, const char *what);
void nchat_db_conn_timer(nchat_db_conn_t *conn);

/* nchat_db_send.c */

void nchat_db_conn_send(nchat_db_conn_t *conn, nchat_db_op_t *op);
void nchat_db_conn_write_handler(ngx_event_t *wev);
void nchat_db_conn_flush(nchat_db_conn_t *conn);

/* nchat_db_read.c */

void nchat_db_conn_read_handler(ngx_event_t *rev);
nchat_db_status_e nchat_db_classify(nchat_db_conn_t *conn, nchat_db_op_t *op);

/* nchat_db_copy.c */

void nchat_db_copy_begin(nchat_db_conn_t *conn, nchat_db_op_t *op);
void nchat_db_copy_read(nchat_db_conn_t *conn);
void nchat_db_copy_drop(nchat_db_conn_t *conn);
void nchat_db_copy_gone(nchat_db_copy_t *copy);
ngx_uint_t nchat_db_copy_patience(nchat_db_copy_t *copy);

/* nchat_db_lane.c */

void nchat_db_lane_init(nchat_lane_t *lane);
void nchat_db_lane_run(nchat_lane_t *lane);
void nchat_db_lane_refuse(nchat_lane_t *lane, nchat_db_status_e status);
void nchat_db_lane_timer(nchat_lane_t *lane);

/* nchat_db_pool.c */

void nchat_db_lane_up(nchat_lane_t *lane);
void nchat_db_lane_down(nchat_lane_t *lane);
void nchat_db_op_done(nchat_db_op_t *op, nchat_db_status_e status);
void nchat_db_op_again(nchat_db_op_t *op);

/* who has waited for long already must not wait as long again */
#define nchat_db_op_patient(op)                                               \
    ((ngx_msec_int_t) ((op)->deadline - ngx_current_msec)                     \
     > (ngx_msec_int_t) ((op)->db->lanes[(op)->lane].timeout / 2))

/* both keep the gauges as well */
void nchat_db_conn_inflight(nchat_db_conn_t *conn, ngx_int_t change);
void nchat_db_conn_state(nchat_db_conn_t *conn, nchat_conn_state_e state);

/* nchat_db_conninfo.c */

/* libpq's arguments: NULL-terminated arrays, owned by the conninfo. */
PGconn *nchat_db_conninfo_start(nchat_conninfo_t *info);

/* nchat_db_resolve.c */

/*
 * Looks names up again before a reconnect, if there are names and a resolver.
 * Returns NGX_OK (nothing to do) or NGX_AGAIN (done(conn) will be called).
 */
ngx_int_t nchat_db_conninfo_refresh(nchat_conninfo_t *info,
    nchat_db_conn_t *conn, void (*done)(nchat_db_conn_t *conn));
void nchat_db_conninfo_cancel(nchat_db_conn_t *conn);


#endif /* _NCHAT_DB_INT_H_INCLUDED_ */
