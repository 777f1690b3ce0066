/*
 * The cache in the shared zone: a tree of entries, and a queue by last use.
 * It evicts its own oldest entries only; the zone's other tenants evict them
 * too, before anything of their own.
 */

#include "nchat_cache.h"
#include "nchat_zone_int.h"


typedef struct {
    ngx_rbtree_node_t   node;
    ngx_queue_t         queue;
    nchat_key_t         key;
    ngx_msec_t          stored;
    ngx_msec_t          life;
    u_char             *data;      /* NULL: no value yet */
    size_t              len;
    uint64_t            claim;     /* 0: nobody fetches it */
    ngx_msec_t          claimed;
    ngx_msec_t          lease;
} nchat_cache_node_t;


static nchat_cache_node_t *nchat_cache_find(nchat_zone_shared_t *shared,
    const nchat_key_t *key, uint32_t hash);
static nchat_cache_node_t *nchat_cache_make(nchat_zone_t *zone,
    const nchat_key_t *key, uint32_t hash);
static void *nchat_cache_alloc(nchat_zone_t *zone, size_t size,
    nchat_cache_node_t *keep);
static void nchat_cache_empty(nchat_zone_t *zone, nchat_cache_node_t *cn);
static void nchat_cache_remove(nchat_zone_t *zone, nchat_cache_node_t *cn);
static void nchat_cache_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static uint32_t nchat_cache_hash(const nchat_key_t *key);


void
nchat_zone_cache_init(nchat_zone_shared_t *shared)
{
    ngx_rbtree_init(&shared->cache, &shared->cache_sentinel,
                    nchat_cache_insert);
    ngx_queue_init(&shared->cache_queue);
}


ngx_uint_t
nchat_cache_evict(nchat_zone_t *zone)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(&zone->shared->cache_queue)) {
        return 0;
    }

    q = ngx_queue_last(&zone->shared->cache_queue);
    nchat_cache_remove(zone, ngx_queue_data(q, nchat_cache_node_t, queue));

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

        cn = nchat_cache_find(zone->shared, key, hash);

        if (cn == NULL || cn->data == NULL
            || nchat_zone_elapsed(cn->stored) >= cn->life)
        {
            ngx_shmtx_unlock(&zone->pool->mutex);
            return NGX_DECLINED;
        }

        value->len = cn->len;

        if (value->data && cn->len <= room) {
            ngx_memcpy(value->data, cn->data, cn->len);

            ngx_queue_remove(&cn->queue);
            ngx_queue_insert_head(&zone->shared->cache_queue, &cn->queue);

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

    cn = nchat_cache_find(zone->shared, key, hash);

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

    cn = nchat_cache_find(zone->shared, key, nchat_cache_hash(key));

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

    cn = nchat_cache_find(zone->shared, key, hash);

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

    cn = nchat_cache_find(zone->shared, key, nchat_cache_hash(key));

    if (cn) {
        nchat_cache_remove(zone, cn);
    }

    ngx_shmtx_unlock(&zone->pool->mutex);
}


static nchat_cache_node_t *
nchat_cache_find(nchat_zone_shared_t *shared, const nchat_key_t *key,
    uint32_t hash)
{
    ngx_int_t            rc;
    ngx_rbtree_node_t   *node, *sentinel;
    nchat_cache_node_t  *cn;

    node = shared->cache.root;
    sentinel = shared->cache.sentinel;

    while (node != sentinel) {

        if (hash != node->key) {
            node = (hash < node->key) ? node->left : node->right;
            continue;
        }

        cn = (nchat_cache_node_t *) node;

        rc = ngx_memcmp(key, &cn->key, sizeof(nchat_key_t));
        if (rc == 0) {
            return cn;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
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

    cn->node.key = hash;
    cn->key = *key;
    zone->shared->cache_size += sizeof(nchat_cache_node_t);

    ngx_rbtree_insert(&zone->shared->cache, &cn->node);
    ngx_queue_insert_head(&zone->shared->cache_queue, &cn->queue);

    return cn;
}


/* Evicts until there is room; "keep" is the entry that it is for. */

static void *
nchat_cache_alloc(nchat_zone_t *zone, size_t size, nchat_cache_node_t *keep)
{
    void                 *p;
    size_t                share;
    ngx_queue_t          *q;
    nchat_zone_shared_t  *shared;

    shared = zone->shared;
    share = zone->shm->shm.size / NCHAT_CACHE_SHARE;

    if (keep) {
        ngx_queue_remove(&keep->queue);
        ngx_queue_insert_head(&shared->cache_queue, &keep->queue);
    }

    for ( ;; ) {

        if (shared->cache_size + size <= share) {
            p = ngx_slab_alloc_locked(zone->pool, size ? size : 1);
            if (p) {
                return p;
            }
        }

        q = ngx_queue_last(&shared->cache_queue);

        if (q == ngx_queue_sentinel(&shared->cache_queue)
            || (keep && q == &keep->queue))
        {
            return NULL;
        }

        nchat_cache_remove(zone,
                           ngx_queue_data(q, nchat_cache_node_t, queue));
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

    ngx_queue_remove(&cn->queue);
    ngx_rbtree_delete(&zone->shared->cache, &cn->node);
    ngx_slab_free_locked(zone->pool, cn);
}


static void
nchat_cache_insert(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t   **p;
    nchat_cache_node_t   *cn, *cnt;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            cn = (nchat_cache_node_t *) node;
            cnt = (nchat_cache_node_t *) temp;

            p = (ngx_memcmp(&cn->key, &cnt->key, sizeof(nchat_key_t)) < 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


/* The key is a digest already. */

static uint32_t
nchat_cache_hash(const nchat_key_t *key)
{
    uint32_t  hash;

    ngx_memcpy(&hash, &key->bytes[2], sizeof(hash));

    return hash;
}
