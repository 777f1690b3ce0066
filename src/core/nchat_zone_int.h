/* The zone's memory, shared by the files that keep it. */

#ifndef _NCHAT_ZONE_INT_H_INCLUDED_
#define _NCHAT_ZONE_INT_H_INCLUDED_


#include "nchat_zone.h"


/* Entries by their keys, and in a queue from the youngest to the oldest. */

typedef struct {
    ngx_rbtree_t        tree;
    ngx_rbtree_node_t   sentinel;
    ngx_queue_t         queue;
} nchat_tree_t;

/* What each entry begins with. */

typedef struct {
    ngx_rbtree_node_t   node;
    ngx_queue_t         queue;
    nchat_key_t         key;
} nchat_tree_node_t;


struct nchat_zone_shared_s {
    nchat_tree_t        windows[NCHAT_WINDOW_KINDS];

    nchat_tree_t        sessions;
    ngx_msec_t          sessions_fresh;
    ngx_msec_t          sessions_lost;     /* when an evicted entry expires */
    unsigned            sessions_known:1;  /* fresh was set at least once */
    unsigned            sessions_partial:1;

    ngx_atomic_t        config_serial;     /* of this node: every store */
    uint64_t            config_version;
    ngx_str_t           config_doc;        /* one piece: doc, then open */
    size_t              config_open;       /* where open begins */

    nchat_tree_t        cache;             /* young: used a moment ago */
    size_t              cache_size;

    ngx_atomic_t        schema;

    ngx_pid_t           lease_pid;
    ngx_msec_t          lease_at;

    nchat_metrics_t     metrics;
    nchat_gauges_t      gauges[NCHAT_METRICS_WORKERS];
};


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


/* nchat_zone_tree.c: everything under the lock, but for init. */

void nchat_tree_init(nchat_tree_t *tree);

/* The entry of this key, or NULL; hash is the one it was inserted with. */
void *nchat_tree_find(nchat_tree_t *tree, const nchat_key_t *key,
    ngx_rbtree_key_t hash);

/* An entry that is not there yet becomes the youngest. */
void nchat_tree_insert(nchat_tree_t *tree, nchat_tree_node_t *n,
    const nchat_key_t *key, ngx_rbtree_key_t hash);

/* Makes an entry the youngest. */
void nchat_tree_renew(nchat_tree_t *tree, nchat_tree_node_t *n);

/* The oldest entry, or NULL. */
void *nchat_tree_oldest(nchat_tree_t *tree);

/* Takes an entry out, and frees it. */
void nchat_tree_remove(nchat_tree_t *tree, nchat_tree_node_t *n,
    ngx_slab_pool_t *pool);


#endif /* _NCHAT_ZONE_INT_H_INCLUDED_ */
