/*
 * The cache in the shared zone: a tree of entries, and a queue by last use.
 * It evicts its own oldest entries only; the zone's other tenants evict them
 * too, before anything of their own.
 */

#include "nchat_cache.h"
#include "nchat_zone_int.h"


typedef struct {
    nchat_tree_node_t   node;
    ngx_msec_t          stored;
    ngx_msec_t          life;
    u_char             *data;      /* NULL: no value yet */
    size_t              len;
    uint64_t            claim;     /* 0: nobody fetches it */
    ngx_msec_t          claimed;
    ngx_msec_t          lease;
} nchat_cache_node_t;


static nchat_cache_node_t *nchat_cache_make(nchat_zone_t *zone,
    const nchat_key_t *key, uint32_t hash);
static void *nchat_cache_alloc(nchat_zone_t *zone, size_t size,
    nchat_cache_node_t *keep);
static void nchat_cache_empty(nchat_zone_t *zone, nchat_cache_node_t *cn);
static void nchat_cache_remove(nchat_zone_t *zone, nchat_cache_node_t *cn);
static uint32_t nchat_cache_hash(const nchat_key_t *key);


ngx_uint_t
nchat_cache_evict(nchat_zone_t *zone)
{
    nchat_cache_node_t  *cn;

    cn = nchat_tree_oldest(&zone->shared->cache);

    if (cn == NULL) {
        return 0;
    }

    nchat_cache_remove(zone, cn);

    return 1;
}


/* The copy is made under the lock, its memory before: so the length may grow. */

ngx_int_t
nchat_cache_get(nchat_zone_t *zone, const nchat_key_t *key, ngx_pool_t *pool,
    ngx_str_t *value)
{
    size_t               room;
    uint32_t             hash;
    nchat_cache_node_t  *cn;

    hash = nchat_cache_hash(key);

    value->data = NULL;
    room = 0;

    for ( ;; ) {

        ngx_shmtx_lock(&zone->pool->mutex);

        cn = nchat_tree_find(&zone->shared->cache, key, hash);

        if (cn == NULL || cn->data == NULL
            || nchat_zone_elapsed(cn->stored) >= cn->life)
        {
            ngx_shmtx_unlock(&zone->pool->mutex);
            return NGX_DECLINED;
        }

        value->len = cn->len;

        if (value->data && cn->len <= room) {
            ngx_memcpy(value->data, cn->data, cn->len);

            nchat_tree_renew(&zone->shared->cache, &cn->node);

            ngx_shmtx_unlock(&zone->pool->mutex);
            return NGX_OK;
        }

        ngx_shmtx_unlock(&zone->pool->mutex);

        room = ngx_max(value->len, 1);

        value->data = ngx_pnalloc(pool, room);
        if (value->data == NULL) {
            return NGX_ERROR;
        }
    }
}


ngx_int_t
nchat_cache_claim(nchat_zone_t *zone, const nchat_key_t *key,
    ngx_msec_t lease, uint64_t *claim)
{
    uint32_t             hash;
    ngx_int_t            rc;
    nchat_cache_node_t  *cn;

    static uint32_t      count;

    hash = nchat_cache_hash(key);
    *claim = 0;
    rc = NGX_OK;

    ngx_shmtx_lock(&zone->pool->mutex);

    cn = nchat_tree_find(&zone->shared->cache, key, hash);

    if (cn && cn->claim && nchat_zone_elapsed(cn->claimed) < cn->lease) {
        rc = NGX_BUSY;

    } else {
        if (cn == NULL) {
            cn = nchat_cache_make(zone, key, hash);
        }

        if (cn) {
            *claim = (uint64_t) ngx_pid << 32 | ++count;
            cn->claim = *claim;
            cn->claimed = ngx_current_msec;
            cn->lease = lease;
        }
    }

    ngx_shmtx_unlock(&zone->pool->mutex);

    return rc;
}


void
nchat_cache_release(nchat_zone_t *zone, const nchat_key_t *key,
    uint64_t claim)
{
    nchat_cache_node_t  *cn;

    if (claim == 0) {
        return;
    }

    ngx_shmtx_lock(&zone->pool->mutex);

    cn = nchat_tree_find(&zone->shared->cache, key, nchat_cache_hash(key));

    if (cn && cn->claim == claim) {
        cn->claim = 0;

        if (cn->data == NULL) {
            nchat_cache_remove(zone, cn);
        }
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


void
nchat_cache_put(nchat_zone_t *zone, const nchat_key_t *key,
    const ngx_str_t *value, ngx_msec_t life)
{
    u_char              *data;
    uint32_t             hash;
    nchat_cache_node_t  *cn;

    hash = nchat_cache_hash(key);

    ngx_shmtx_lock(&zone->pool->mutex);

    cn = nchat_tree_find(&zone->shared->cache, key, hash);

    if (cn) {
        nchat_cache_empty(zone, cn);

    } else {
        cn = nchat_cache_make(zone, key, hash);
    }

    if (cn) {
        data = NULL;

        if (value->len <= NCHAT_CACHE_VALUE_MAX) {
            data = nchat_cache_alloc(zone, value->len, cn);
        }

        if (data) {
            ngx_memcpy(data, value->data, value->len);
            cn->data = data;
            cn->len = value->len;
            cn->stored = ngx_current_msec;
            cn->life = life;
            zone->shared->cache_size += value->len;

        } else {
            nchat_cache_remove(zone, cn);
        }
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


void
nchat_cache_drop(nchat_zone_t *zone, const nchat_key_t *key)
{
    nchat_cache_node_t  *cn;

    ngx_shmtx_lock(&zone->pool->mutex);

    cn = nchat_tree_find(&zone->shared->cache, key, nchat_cache_hash(key));

    if (cn) {
        nchat_cache_remove(zone, cn);
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


static nchat_cache_node_t *
nchat_cache_make(nchat_zone_t *zone, const nchat_key_t *key, uint32_t hash)
{
    nchat_cache_node_t  *cn;

    cn = nchat_cache_alloc(zone, sizeof(nchat_cache_node_t), NULL);
    if (cn == NULL) {
        return NULL;
    }

    ngx_memzero(cn, sizeof(nchat_cache_node_t));

    zone->shared->cache_size += sizeof(nchat_cache_node_t);

    nchat_tree_insert(&zone->shared->cache, &cn->node, key, hash);

    return cn;
}


/* Evicts until there is room; "keep" is the entry that it is for. */

static void *
nchat_cache_alloc(nchat_zone_t *zone, size_t size, nchat_cache_node_t *keep)
{
    void                 *p;
    size_t                share;
    nchat_cache_node_t   *oldest;
    nchat_zone_shared_t  *shared;

    shared = zone->shared;
    share = zone->shm->shm.size / NCHAT_CACHE_SHARE;

    if (keep) {
        nchat_tree_renew(&shared->cache, &keep->node);
    }

    for ( ;; ) {

        if (shared->cache_size + size <= share) {
            p = ngx_slab_alloc_locked(zone->pool, size ? size : 1);
            if (p) {
                return p;
            }
        }

        oldest = nchat_tree_oldest(&shared->cache);

        if (oldest == NULL || oldest == keep) {
            return NULL;
        }

        nchat_cache_remove(zone, oldest);
    }
}


static void
nchat_cache_empty(nchat_zone_t *zone, nchat_cache_node_t *cn)
{
    if (cn->data) {
        ngx_slab_free_locked(zone->pool, cn->data);
        zone->shared->cache_size -= cn->len;
    }

    cn->data = NULL;
    cn->len = 0;
    cn->claim = 0;
}


static void
nchat_cache_remove(nchat_zone_t *zone, nchat_cache_node_t *cn)
{
    nchat_cache_empty(zone, cn);

    zone->shared->cache_size -= sizeof(nchat_cache_node_t);

    nchat_tree_remove(&zone->shared->cache, &cn->node, zone->pool);
}


/* The key is a digest already. */

static uint32_t
nchat_cache_hash(const nchat_key_t *key)
{
    uint32_t  hash;

    ngx_memcpy(&hash, &key->bytes[2], sizeof(hash));

    return hash;
}
