/*
 * The shared zone (directive nchat_zone): what all workers of a node know
 * together.  It is one ngx_slab; it outlives reloads, never a full restart.
 *
 *   windows    fixed windows of the rate limits and of failed sign-ins
 *   sessions   users whose session version was raised and sessions that were
 *              ended while their access tokens may still be alive
 *   config     the live configuration, as the database gave it
 *   metrics    counters (nchat_metrics.h)
 *   lease      which worker listens to the database for this node
 *
 * Every lock is the slab pool's own mutex, which nginx releases when a worker
 * dies, and is held for a lookup and a few stores, never across I/O.
 */

#ifndef _NCHAT_ZONE_H_INCLUDED_
#define _NCHAT_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_metrics.h"


/*
 * What a window counts.  Sign-in windows are evicted last.  All windows of a
 * kind have one span.
 */

typedef enum {
    NCHAT_WINDOW_RATE = 0,
    NCHAT_WINDOW_TRUST,      /* no limit: a webhook's token was right */
    NCHAT_WINDOW_SIGNIN,
    NCHAT_WINDOW_KINDS
} nchat_window_kind_e;


/*
 * Class, kind and 16 bytes: a user's id or an address as it is, or a digest
 * (nchat_key).
 */

typedef struct {
    u_char       bytes[24];
} nchat_key_t;


typedef struct {
    ngx_uint_t   count;      /* requests of this window, this one included */
    time_t       reset;      /* Unix seconds at which the window ends */
    ngx_uint_t   left;       /* seconds until then, at least 1 */
} nchat_window_t;


/* What the zone knows of a token's session. */

typedef enum {
    NCHAT_SESSION_LIVE = 0,
    NCHAT_SESSION_ENDED,
    NCHAT_SESSION_UNKNOWN    /* ask the database */
} nchat_session_e;


typedef struct nchat_zone_shared_s  nchat_zone_shared_t;

typedef struct {
    ngx_shm_zone_t       *shm;
    ngx_slab_pool_t      *pool;
    nchat_zone_shared_t  *shared;
} nchat_zone_t;


/*
 * Adds the zone to the configuration cycle.  Returns NULL after having logged
 * the reason.  The zone is usable once the cycle's shared memory was set up.
 */
nchat_zone_t *nchat_zone_add(ngx_conf_t *cf, ngx_str_t *name, size_t size,
    void *tag);

/*
 * The key of a window as a digest over its parts, which are of any length
 * (emails, webhooks).
 */
#define NCHAT_KEY_PARTS  4

void nchat_key(nchat_key_t *key, ngx_uint_t class, const ngx_str_t *parts,
    ngx_uint_t n);

/*
 * Counts one request in the window of the key, which begins with its first
 * request and lasts span milliseconds.  Exact over all workers.  Never fails:
 * a full zone evicts the oldest window and counts the eviction; if there is
 * nothing to evict, the request stands alone in its window.
 */
void nchat_window_hit(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key, ngx_msec_t span, nchat_window_t *window);

/* The same without counting; window->count is 0 if there is no window. */
void nchat_window_peek(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key, ngx_msec_t span, nchat_window_t *window);

/* Ends a window: its next hit begins a new one. */
void nchat_window_clear(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key);

/* Takes back one hit of a running window (a reservation that was not used). */
void nchat_window_release(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key);


/*
 * Sessions.  id is a user's or a session's UUID (16 bytes); version is the
 * user's lowest session version that still counts, or 0 for "this session
 * ended".  Entries are kept for keep milliseconds, the life of an access
 * token; when memory runs out the oldest is evicted and the zone says
 * "unknown" for everyone until that entry would have expired.
 */
void nchat_session_put(nchat_zone_t *zone, const u_char id[16],
    ngx_uint_t version, ngx_msec_t keep);

/*
 * Looks a token's session up; session is NULL where there is none (an identity
 * service's token).  The answer is NCHAT_SESSION_UNKNOWN unless the
 * node's knowledge is fresh: see nchat_session_fresh.
 */
nchat_session_e nchat_session_get(nchat_zone_t *zone, const u_char user[16],
    const u_char session[16], ngx_uint_t version);

/*
 * The listener has proof that everything committed before the moment `at`
 * (ngx_current_msec) is in the table.  That knowledge serves for
 * NCHAT_SESSION_FRESH milliseconds.
 */
void nchat_session_fresh(nchat_zone_t *zone, ngx_msec_t at);
ngx_uint_t nchat_session_is_fresh(nchat_zone_t *zone);

#define NCHAT_SESSION_FRESH  900


/*
 * The lease of the node's listener.  Returns 1 while the calling process
 * holds it; takes it when it is free or its holder has not renewed it for
 * NCHAT_LEASE_LIFE milliseconds.
 */
ngx_uint_t nchat_lease_take(nchat_zone_t *zone);
void nchat_lease_release(nchat_zone_t *zone);

#define NCHAT_LEASE_LIFE  1000


/*
 * Stores the configuration (JSON texts as the database gave them: the whole,
 * and what the public may read) under its version.  An older or equal version
 * is ignored unless force is set (after a reconnect, when the database may
 * have been restored).  Returns NGX_ERROR when the zone has no room for it.
 */
ngx_int_t nchat_zone_config_set(nchat_zone_t *zone, uint64_t version,
    const ngx_str_t *doc, const ngx_str_t *open, ngx_uint_t force);

/*
 * Copies both texts into one piece of memory from malloc(), which begins at
 * doc->data and is owned by the caller.  Cheap when there is nothing new:
 * returns NGX_DECLINED if *serial is current (or there is no configuration
 * yet), else NGX_OK and the new serial.
 */
ngx_int_t nchat_zone_config_get(nchat_zone_t *zone, ngx_atomic_uint_t *serial,
    uint64_t *version, ngx_str_t *doc, ngx_str_t *open);

/* 1 once there is a configuration. */
ngx_uint_t nchat_zone_config_known(nchat_zone_t *zone);

/*
 * The version of the database's schema; as long as nobody has asked, it counts
 * as new enough for anything.
 */
ngx_uint_t nchat_zone_schema(nchat_zone_t *zone);
void nchat_zone_schema_set(nchat_zone_t *zone, ngx_uint_t version);

/* The counters; never NULL once the zone is set up. */
nchat_metrics_t *nchat_zone_metrics(nchat_zone_t *zone);

/* The gauges of all processes: NCHAT_METRICS_WORKERS slots. */
nchat_gauges_t *nchat_zone_gauges(nchat_zone_t *zone);

/* This process's own gauges; claimed in init_process, given back at exit. */
nchat_gauges_t *nchat_zone_gauges_claim(nchat_zone_t *zone);
void nchat_zone_gauges_release(nchat_gauges_t *gauges);


#endif /* _NCHAT_ZONE_H_INCLUDED_ */
