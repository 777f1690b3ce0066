/* The zone's memory, shared by the two files that keep it. */

#ifndef _NCHAT_ZONE_INT_H_INCLUDED_
#define _NCHAT_ZONE_INT_H_INCLUDED_


#include "nchat_zone.h"


struct nchat_zone_shared_s {
    ngx_rbtree_t        windows[NCHAT_WINDOW_KINDS];
    ngx_rbtree_node_t   windows_sentinel[NCHAT_WINDOW_KINDS];
    ngx_queue_t         windows_queue[NCHAT_WINDOW_KINDS];

    ngx_rbtree_t        sessions;
    ngx_rbtree_node_t   sessions_sentinel;
    ngx_queue_t         sessions_queue;
    ngx_msec_t          sessions_fresh;
    ngx_msec_t          sessions_lost;     /* when an evicted entry expires */
    unsigned            sessions_known:1;  /* fresh was set at least once */
    unsigned            sessions_partial:1;

    ngx_atomic_t        config_serial;     /* of this node: every store */
    uint64_t            config_version;
    ngx_str_t           config_doc;        /* one piece: doc, then open */
    size_t              config_open;       /* where open begins */

    ngx_rbtree_t        cache;
    ngx_rbtree_node_t   cache_sentinel;
    ngx_queue_t         cache_queue;       /* the last used first */
    size_t              cache_size;

    ngx_atomic_t        schema;

    ngx_pid_t           lease_pid;
    ngx_msec_t          lease_at;

    nchat_metrics_t     metrics;
    nchat_gauges_t      gauges[NCHAT_METRICS_WORKERS];
};


void nchat_zone_live_init(nchat_zone_shared_t *shared);
void nchat_zone_cache_init(nchat_zone_shared_t *shared);

/*
 * Milliseconds since a moment that some worker noted.  Each worker's clock
 * stands still between two turns of its event loop, so the moment may lie
 * ahead of ours: then no time has passed.
 */
ngx_msec_t nchat_zone_elapsed(ngx_msec_t since);

/* Under the lock: allocates, evicting what may be lost; NULL if nothing is. */
void *nchat_zone_alloc_locked(nchat_zone_t *zone, size_t size);

/* Under the lock: drops the oldest cached answer; 0 if there is none. */
ngx_uint_t nchat_cache_evict(nchat_zone_t *zone);

/* Under the lock: drops the oldest session entry; 0 if there is none. */
ngx_uint_t nchat_session_evict(nchat_zone_t *zone);


#endif /* _NCHAT_ZONE_INT_H_INCLUDED_ */
