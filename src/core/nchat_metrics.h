/*
 * Counters in the shared zone: fixed structs of atomics, no tree and no lock.
 * Counters are the node's; gauges belong to one worker each and are summed
 * over the workers that live.
 */

#ifndef _NCHAT_METRICS_H_INCLUDED_
#define _NCHAT_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NCHAT_METRICS_ROUTES   64      /* the route table's bound */
#define NCHAT_METRICS_BUCKETS  14      /* the last one is +Inf */
#define NCHAT_METRICS_WORKERS  256
#define NCHAT_METRICS_LANES    6


typedef struct {
    ngx_atomic_t  buckets[NCHAT_METRICS_BUCKETS];
    ngx_atomic_t  sum;                 /* microseconds */
} nchat_histogram_t;


/* One row per counter: the enum's order is the table's in nchat_metrics.c. */

typedef enum {
    NCHAT_M_SIGNIN_OK = 0,
    NCHAT_M_SIGNIN_FAILED,
    NCHAT_M_SIGNIN_LIMITED,
    NCHAT_M_SIGNIN_REFUSED,
    NCHAT_M_SIGNUP,
    NCHAT_M_LIMITED_DEFAULT,           /* the order of the limit classes */
    NCHAT_M_LIMITED_UPLOAD,
    NCHAT_M_LIMITED_SEARCH,
    NCHAT_M_LIMITED_WEBHOOK,
    NCHAT_M_LIMITED_PROBE,
    NCHAT_M_LIMITED_COARSE,            /* by limit_req and limit_conn */
    NCHAT_M_DB_CONNECTS,
    NCHAT_M_DB_LOST,
    NCHAT_M_DB_REFUSED_QUEUE,
    NCHAT_M_DB_REFUSED_DOWN,
    NCHAT_M_DB_TIMEOUTS,
    NCHAT_M_DB_RETRIES,
    NCHAT_M_HASH_DONE,
    NCHAT_M_HASH_REFUSED,
    NCHAT_M_ZONE_EVICTED_RATE,
    NCHAT_M_ZONE_EVICTED_SIGNIN,
    NCHAT_M_ZONE_EVICTED_SESSION,
    NCHAT_M_ZONE_UNCOUNTED,
    NCHAT_M_CONFIG_HIT,
    NCHAT_M_CONFIG_LOAD,
    NCHAT_M_SESSION_HIT,
    NCHAT_M_SESSION_ASK,
    NCHAT_M_PREVIEW_HIT,
    NCHAT_M_PREVIEW_MISS,
    NCHAT_M_TRANSLATE_HIT,
    NCHAT_M_TRANSLATE_MISS,
    NCHAT_M_GIF_HIT,
    NCHAT_M_GIF_MISS,
    NCHAT_M_MESSAGES,
    NCHAT_M_UPLOADS,
    NCHAT_M_UPLOAD_BYTES,
    NCHAT_M_WEBHOOK_OK,
    NCHAT_M_WEBHOOK_REFUSED,
    NCHAT_M_COUNTERS
} nchat_counter_e;


typedef struct {
    ngx_atomic_t       started;        /* Unix seconds of the zone's birth */
    ngx_atomic_t       counters[NCHAT_M_COUNTERS];
    ngx_atomic_t       requests[NCHAT_METRICS_ROUTES][6];
                                       /* by status class; [0] is unused */
    nchat_histogram_t  latency[NCHAT_METRICS_ROUTES];
    nchat_histogram_t  queries[NCHAT_METRICS_LANES];
} nchat_metrics_t;


typedef struct {
    ngx_atomic_t       pid;
    ngx_atomic_t       ready[NCHAT_METRICS_LANES];
    ngx_atomic_t       connecting[NCHAT_METRICS_LANES];
    ngx_atomic_t       down[NCHAT_METRICS_LANES];
    ngx_atomic_t       inflight[NCHAT_METRICS_LANES];
    ngx_atomic_t       waiting[NCHAT_METRICS_LANES];
    ngx_atomic_t       hashing;        /* queued and running */
} nchat_gauges_t;


#define nchat_count(metrics, which)                                           \
    (void) ngx_atomic_fetch_add(&(metrics)->counters[which], 1)

#define nchat_count_n(metrics, which, n)                                      \
    (void) ngx_atomic_fetch_add(&(metrics)->counters[which],                  \
                                (ngx_atomic_int_t) (n))


/* Adds one observation, in microseconds. */
void nchat_histogram_add(nchat_histogram_t *histogram, uint64_t us);

/* Microseconds from an arbitrary point, for spans. */
uint64_t nchat_monotonic_us(void);


/*
 * Renders Prometheus' text format.  routes names the rows of the requests and
 * latency tables; gauges is the array of NCHAT_METRICS_WORKERS slots.
 * Returns the text in memory of the pool, or NGX_ERROR.
 */

typedef struct {
    ngx_str_t   endpoint;
    ngx_str_t   method;
} nchat_metrics_route_t;

ngx_int_t nchat_metrics_render(ngx_pool_t *pool, const char *version,
    nchat_metrics_t *metrics, nchat_gauges_t *gauges,
    const nchat_metrics_route_t *routes, ngx_uint_t nroutes, ngx_str_t *text);


#endif /* _NCHAT_METRICS_H_INCLUDED_ */
