/*
 * The shared zone: its life, rate windows and the lease.  What it keeps of
 * sessions and of the configuration is in nchat_zone_live.c.
 */

#include "nchat_zone.h"
#include "nchat_zone_int.h"
#include "nchat_crypto.h"


typedef struct {
    nchat_tree_node_t  node;
    ngx_msec_t         begin;
    time_t             reset;
    ngx_uint_t         count;
} nchat_window_node_t;


static ngx_int_t nchat_zone_init(ngx_shm_zone_t *shm, void *data);
static nchat_window_node_t *nchat_window_begin(nchat_zone_t *zone,
    nchat_window_kind_e kind, const nchat_key_t *key, uint32_t hash,
    ngx_msec_t span);
static ngx_uint_t nchat_window_evict(nchat_zone_t *zone,
    nchat_window_kind_e kind);
static void nchat_window_expire(nchat_zone_t *zone, nchat_window_kind_e kind,
    ngx_msec_t span);
static uint32_t nchat_key_hash(const nchat_key_t *key);


nchat_zone_t *
nchat_zone_add(ngx_conf_t *cf, ngx_str_t *name, size_t size, void *tag)
{
    nchat_zone_t    *zone;
    ngx_shm_zone_t  *shm;

    zone = ngx_pcalloc(cf->pool, sizeof(nchat_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    shm = ngx_shared_memory_add(cf, name, size, tag);
    if (shm == NULL) {
        return NULL;
    }

    if (shm->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already in use", name);
        return NULL;
    }

    zone->shm = shm;
    shm->init = nchat_zone_init;
    shm->data = zone;

    return zone;
}


/* On a reload the old workers are serving from the zone: adopt, never reset. */

static ngx_int_t
nchat_zone_init(ngx_shm_zone_t *shm, void *data)
{
    nchat_zone_t         *old = data;
    nchat_zone_t         *zone = shm->data;
    ngx_uint_t            i;
    nchat_zone_shared_t  *shared;

    zone->pool = (ngx_slab_pool_t *) shm->shm.addr;

    if (old) {
        zone->shared = old->shared;
        return NGX_OK;
    }

    if (shm->shm.exists) {
        zone->shared = zone->pool->data;
        return NGX_OK;
    }

    shared = ngx_slab_calloc(zone->pool, sizeof(nchat_zone_shared_t));
    if (shared == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm->shm.log, 0,
                      "nchat_zone \"%V\" is too small, give it at least 1m",
                      &shm->shm.name);
        return NGX_ERROR;
    }

    for (i = 0; i < NCHAT_WINDOW_KINDS; i++) {
        nchat_tree_init(&shared->windows[i]);
    }

    nchat_tree_init(&shared->sessions);
    nchat_tree_init(&shared->cache);

    shared->schema = NGX_MAX_UINT32_VALUE;
    shared->metrics.started = ngx_time();

    zone->pool->data = shared;
    zone->pool->log_nomem = 0;
    zone->shared = shared;

    return NGX_OK;
}


ngx_msec_t
nchat_zone_elapsed(ngx_msec_t since)
{
    ngx_msec_int_t  elapsed;

    elapsed = (ngx_msec_int_t) (ngx_current_msec - since);

    return elapsed > 0 ? (ngx_msec_t) elapsed : 0;
}


void *
nchat_zone_alloc_locked(nchat_zone_t *zone, size_t size)
{
    void  *p;

    for ( ;; ) {
        p = ngx_slab_alloc_locked(zone->pool, size);
        if (p) {
            return p;
        }

        if (!nchat_cache_evict(zone)
            && !nchat_window_evict(zone, NCHAT_WINDOW_RATE)
            && !nchat_window_evict(zone, NCHAT_WINDOW_TRUST)
            && !nchat_session_evict(zone)
            && !nchat_window_evict(zone, NCHAT_WINDOW_SIGNIN))
        {
            return NULL;
        }
    }
}


void
nchat_key(nchat_key_t *key, ngx_uint_t class, const ngx_str_t *parts,
    ngx_uint_t n)
{
    u_char      digest[NCHAT_SHA256_LEN];
    u_char      parts_digests[NCHAT_KEY_PARTS * NCHAT_SHA256_LEN];
    ngx_uint_t  i;

    ngx_memzero(key, sizeof(nchat_key_t));
    key->bytes[0] = (u_char) class;

    /* a digest of digests: parts of any length, and none runs into the next */

    n = ngx_min(n, NCHAT_KEY_PARTS);

    for (i = 0; i < n; i++) {
        if (nchat_sha256(&parts_digests[i * NCHAT_SHA256_LEN], parts[i].data,
                         parts[i].len)
            != NGX_OK)
        {
            return;
        }
    }

    if (nchat_sha256(digest, parts_digests, n * NCHAT_SHA256_LEN) == NGX_OK) {
        ngx_memcpy(&key->bytes[2], digest, 16);
    }
}


void
nchat_window_hit(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key, ngx_msec_t span, nchat_window_t *window)
{
    uint32_t              hash;
    nchat_window_node_t  *w;

    hash = nchat_key_hash(key);

    ngx_shmtx_lock(&zone->pool->mutex);

    nchat_window_expire(zone, kind, span);

    w = nchat_tree_find(&zone->shared->windows[kind], key, hash);

    if (w == NULL) {
        w = nchat_window_begin(zone, kind, key, hash, span);

    } else if (nchat_zone_elapsed(w->begin) >= span) {
        nchat_tree_renew(&zone->shared->windows[kind], &w->node);
        w->begin = ngx_current_msec;
        w->reset = ngx_time() + (time_t) ((span + 999) / 1000);
        w->count = 0;
    }

    if (w) {
        window->count = ++w->count;
        window->reset = w->reset;
        window->left = (span - nchat_zone_elapsed(w->begin) + 999) / 1000;

    } else {
        window->count = 1;
        window->reset = ngx_time() + (time_t) ((span + 999) / 1000);
        window->left = (span + 999) / 1000;
        nchat_count(&zone->shared->metrics, NCHAT_M_ZONE_UNCOUNTED);
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


void
nchat_window_peek(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key, ngx_msec_t span, nchat_window_t *window)
{
    uint32_t              hash;
    nchat_window_node_t  *w;

    hash = nchat_key_hash(key);

    window->count = 0;
    window->reset = ngx_time() + (time_t) ((span + 999) / 1000);
    window->left = (span + 999) / 1000;

    ngx_shmtx_lock(&zone->pool->mutex);

    w = nchat_tree_find(&zone->shared->windows[kind], key, hash);

    if (w && nchat_zone_elapsed(w->begin) < span) {
        window->count = w->count;
        window->reset = w->reset;
        window->left = (span - nchat_zone_elapsed(w->begin) + 999) / 1000;
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


void
nchat_window_clear(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key)
{
    nchat_window_node_t  *w;

    ngx_shmtx_lock(&zone->pool->mutex);

    w = nchat_tree_find(&zone->shared->windows[kind], key,
                        nchat_key_hash(key));

    if (w) {
        nchat_tree_remove(&zone->shared->windows[kind], &w->node, zone->pool);
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


void
nchat_window_release(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key)
{
    nchat_window_node_t  *w;

    ngx_shmtx_lock(&zone->pool->mutex);

    w = nchat_tree_find(&zone->shared->windows[kind], key,
                        nchat_key_hash(key));

    if (w && w->count) {
        w->count--;
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


static nchat_window_node_t *
nchat_window_begin(nchat_zone_t *zone, nchat_window_kind_e kind,
    const nchat_key_t *key, uint32_t hash, ngx_msec_t span)
{
    nchat_window_node_t  *w;

    w = nchat_zone_alloc_locked(zone, sizeof(nchat_window_node_t));
    if (w == NULL) {
        return NULL;
    }

    w->begin = ngx_current_msec;
    w->reset = ngx_time() + (time_t) ((span + 999) / 1000);
    w->count = 0;

    nchat_tree_insert(&zone->shared->windows[kind], &w->node, key, hash);

    return w;
}


/*
 * Windows are queued by their beginning, so that the tail is the one that
 * ends (or ended) first.
 */

static ngx_uint_t
nchat_window_evict(nchat_zone_t *zone, nchat_window_kind_e kind)
{
    nchat_window_node_t  *w;
    nchat_zone_shared_t  *shared;

    shared = zone->shared;
    w = nchat_tree_oldest(&shared->windows[kind]);

    if (w == NULL) {
        return 0;
    }

    nchat_tree_remove(&shared->windows[kind], &w->node, zone->pool);

    nchat_count(&shared->metrics, kind == NCHAT_WINDOW_SIGNIN
                                  ? NCHAT_M_ZONE_EVICTED_SIGNIN
                                  : NCHAT_M_ZONE_EVICTED_RATE);
    return 1;
}


/* Every hit frees at most two ended windows, so that none pays for all. */

static void
nchat_window_expire(nchat_zone_t *zone, nchat_window_kind_e kind,
    ngx_msec_t span)
{
    ngx_uint_t            n;
    nchat_tree_t         *windows;
    nchat_window_node_t  *w;

    windows = &zone->shared->windows[kind];

    for (n = 0; n < 2; n++) {
        w = nchat_tree_oldest(windows);

        if (w == NULL || nchat_zone_elapsed(w->begin) < span) {
            return;
        }

        nchat_tree_remove(windows, &w->node, zone->pool);
    }
}


static uint32_t
nchat_key_hash(const nchat_key_t *key)
{
    return ngx_crc32_short((u_char *) key->bytes, sizeof(nchat_key_t));
}


ngx_uint_t
nchat_lease_take(nchat_zone_t *zone)
{
    ngx_uint_t            mine;
    nchat_zone_shared_t  *shared;

    shared = zone->shared;

    ngx_shmtx_lock(&zone->pool->mutex);

    mine = (shared->lease_pid == ngx_pid);

    if (!mine
        && (shared->lease_pid == 0
            || nchat_zone_elapsed(shared->lease_at) > NCHAT_LEASE_LIFE))
    {
        shared->lease_pid = ngx_pid;
        mine = 1;
    }

    if (mine) {
        shared->lease_at = ngx_current_msec;
    }

    ngx_shmtx_unlock(&zone->pool->mutex);

    return mine;
}


void
nchat_lease_release(nchat_zone_t *zone)
{
    ngx_shmtx_lock(&zone->pool->mutex);

    if (zone->shared->lease_pid == ngx_pid) {
        zone->shared->lease_pid = 0;
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


nchat_metrics_t *
nchat_zone_metrics(nchat_zone_t *zone)
{
    return &zone->shared->metrics;
}


nchat_gauges_t *
nchat_zone_gauges(nchat_zone_t *zone)
{
    return zone->shared->gauges;
}


nchat_gauges_t *
nchat_zone_gauges_claim(nchat_zone_t *zone)
{
    ngx_pid_t        pid;
    ngx_uint_t       i;
    nchat_gauges_t  *gauges;

    ngx_shmtx_lock(&zone->pool->mutex);

    for (i = 0; i < NCHAT_METRICS_WORKERS; i++) {
        gauges = &zone->shared->gauges[i];
        pid = (ngx_pid_t) gauges->pid;

        if (pid == 0 || (kill(pid, 0) == -1 && ngx_errno == ESRCH)) {
            ngx_memzero(gauges, sizeof(nchat_gauges_t));
            gauges->pid = ngx_pid;

            ngx_shmtx_unlock(&zone->pool->mutex);
            return gauges;
        }
    }

    ngx_shmtx_unlock(&zone->pool->mutex);

    return NULL;
}


void
nchat_zone_gauges_release(nchat_gauges_t *gauges)
{
    gauges->pid = 0;
}
