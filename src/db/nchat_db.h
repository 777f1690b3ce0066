/*
 * The pool: asynchronous libpq on nginx's event loop.
 *
 * Every worker has its own pool, made of lanes.  A lane is a few connections
 * for statements of one kind, a bounded queue in front of them, and time
 * limits.  All connections speak libpq's pipeline mode, with one sync behind
 * every statement, so that a failure stays alone; in the batch lane what waits
 * together shares a sync, and so a transaction and its commit.
 *
 * An operation (nchat_db_op_t) is one execution of one statement.  It has its
 * own memory and outlives the request that asked for it: whoever waits for it
 * may leave at any time by nchat_db_cancel.
 */

#ifndef _NCHAT_DB_H_INCLUDED_
#define _NCHAT_DB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <libpq-fe.h>

#include "nchat_zone.h"


typedef enum {
    NCHAT_LANE_FAST = 0,      /* many statements in flight per connection */
    NCHAT_LANE_BATCH,         /* only inserts: several share a transaction */
    NCHAT_LANE_LOCK,          /* may wait for a row or advisory lock */
    NCHAT_LANE_SLOW,          /* search, lists, exports */
    NCHAT_LANE_REPLICA,       /* slow, read-only, on nchat_postgres_read */
    NCHAT_LANE_LISTEN,        /* one connection of the node's listener */
    NCHAT_LANES
} nchat_lane_e;


#define NCHAT_DB_PARAMS  24
#define NCHAT_DB_STMTS   128


/* One prepared statement.  Parameters and columns travel as text. */

typedef struct {
    const char   *name;
    const char   *sql;
    ngx_uint_t    nparams;
    nchat_lane_e  lane;
    unsigned      read:1;     /* changes nothing: retried once elsewhere when
                               * its connection is lost */
    unsigned      stale:1;    /* may be answered by a replica */
    ngx_uint_t    index;      /* set by the pool at its first use */
} nchat_stmt_t;


typedef enum {
    NCHAT_DB_OK = 0,
    NCHAT_DB_DOWN,            /* no connection, or it was lost: 503 */
    NCHAT_DB_BUSY,            /* the queue is full or took too long: 503 */
    NCHAT_DB_TIMEOUT,         /* the statement took too long: 504 */
    NCHAT_DB_FAILED           /* an error of the statement's own: 500 */
} nchat_db_status_e;


typedef struct nchat_db_s       nchat_db_t;
typedef struct nchat_db_op_s    nchat_db_op_t;
typedef struct nchat_db_conn_s  nchat_db_conn_t;
typedef struct nchat_db_copy_s  nchat_db_copy_t;

typedef void (*nchat_db_done_pt)(nchat_db_op_t *op);

struct nchat_db_op_s {
    ngx_queue_t         queue;
    ngx_pool_t         *pool;       /* the operation's own memory */
    nchat_stmt_t       *stmt;
    nchat_db_t         *db;
    nchat_lane_e        lane;

    const char         *values[NCHAT_DB_PARAMS];
    nchat_db_copy_t    *copy;       /* nchat_db_copy.h; else NULL */

    nchat_db_done_pt    done;
    void               *data;       /* the caller's */

    nchat_db_status_e   status;
    PGresult           *result;     /* cleared after done(), unless taken */

    uint64_t            started;    /* nchat_monotonic_us */
    ngx_msec_t          queued;
    ngx_msec_t          deadline;
    ngx_event_t         timer;      /* see nchat_db_limit */

    unsigned            waiting:1;
    unsigned            commands:2; /* not ended yet: prepare, execute */
    unsigned            joined:1;   /* with the next one in flight */
    unsigned            retried:1;  /* and never joined again */
    unsigned            cancelled:1;
};


/* What the directives said; times are milliseconds. */

typedef struct {
    ngx_str_t           conninfo;
    ngx_str_t           replica;
    ngx_uint_t          connections[NCHAT_LANES];
    ngx_uint_t          queue;
    ngx_msec_t          connect_timeout;
    ngx_msec_t          queue_timeout;
    ngx_msec_t          timeout[NCHAT_LANES];

    struct nchat_conninfo_s  *primary_info;
    struct nchat_conninfo_s  *replica_info;
} nchat_db_conf_t;


/*
 * Reads and resolves the connection strings, at configuration time, where
 * waiting is allowed.  Returns NULL or a sentence for the operator (in memory
 * of the pool; never holds a secret).
 */
char *nchat_db_conf_init(ngx_conf_t *cf, nchat_db_conf_t *conf);

/*
 * Opens the worker's pool.  resolver may be NULL: then names keep the
 * addresses they had at start.  Returns NULL if memory is short.
 */
nchat_db_t *nchat_db_open(ngx_cycle_t *cycle, nchat_db_conf_t *conf,
    nchat_zone_t *zone, nchat_gauges_t *gauges, ngx_resolver_t *resolver,
    ngx_msec_t resolver_timeout);

/*
 * The worker is leaving: what is in flight finishes, then connections close.
 * nchat_db_close ends what is left.
 */
void nchat_db_quit(nchat_db_t *db);
void nchat_db_close(nchat_db_t *db);

/*
 * Makes an operation.  Parameters are set by nchat_db_set (copied); the ones
 * that were not set are SQL NULL.  Returns NULL if memory is short.
 */
nchat_db_op_t *nchat_db_op(nchat_db_t *db, nchat_stmt_t *stmt,
    nchat_db_done_pt done, void *data);

/*
 * Sets parameter i (0-based).  The text must hold no NUL; nchat_db_set
 * returns NGX_ERROR for one that does, or if memory is short.
 */
ngx_int_t nchat_db_set(nchat_db_op_t *op, ngx_uint_t i, const ngx_str_t *text);
ngx_int_t nchat_db_set_int(nchat_db_op_t *op, ngx_uint_t i, int64_t value);

/* Borrowed: text (terminated by NUL) must live as long as the operation. */
#define nchat_db_set_static(op, i, text)  ((op)->values[i] = (text))

/*
 * Hands the operation over.  done() is called exactly once, maybe before this
 * returns, unless the operation is cancelled first; after done() returned, the
 * operation is gone.
 */
void nchat_db_send(nchat_db_op_t *op);

/*
 * To be called before nchat_db_send: done() is called after limit milliseconds
 * with NCHAT_DB_TIMEOUT, unless it was before.
 */
void nchat_db_limit(nchat_db_op_t *op, ngx_msec_t limit);

/* done() will not be called; the statement may still run. */
void nchat_db_cancel(nchat_db_op_t *op);

/* Never sent: gives its memory back. */
void nchat_db_discard(nchat_db_op_t *op);

/* Column col of row 0 as a string of the result's memory; NULL is empty. */
ngx_str_t nchat_db_value(PGresult *result, int row, int col);

/* The SQLSTATE of a failed operation, or "". */
const char *nchat_db_sqlstate(nchat_db_op_t *op);

/* The listener's connection, for nchat_sync.c. */

typedef struct {
    void              (*ready)(void *data);
    void              (*lost)(void *data);
    void              (*notify)(void *data, const char *payload);
    void               *data;
} nchat_db_listener_t;

void nchat_db_listen(nchat_db_t *db, nchat_db_listener_t *listener);
void nchat_db_unlisten(nchat_db_t *db);


#endif /* _NCHAT_DB_H_INCLUDED_ */
