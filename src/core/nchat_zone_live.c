/* What the zone keeps of the database: sessions and the configuration. */

#include "nchat_zone.h"
#include "nchat_zone_int.h"


typedef struct {
    nchat_tree_node_t  node;
    ngx_uint_t         version;          /* 0: this session ended */
    ngx_msec_t         expires;
} nchat_session_node_t;


static nchat_session_node_t *nchat_session_find(nchat_zone_shared_t *shared,
    const u_char id[16]);
static void nchat_session_expire(nchat_zone_t *zone);
static ngx_rbtree_key_t nchat_session_key(nchat_key_t *key,
    const u_char id[16]);


void
nchat_session_put(nchat_zone_t *zone, const u_char id[16], ngx_uint_t version,
    ngx_msec_t keep)
{
    nchat_key_t            key;
    ngx_rbtree_key_t       hash;
    nchat_zone_shared_t   *shared;
    nchat_session_node_t  *s;

    shared = zone->shared;
    hash = nchat_session_key(&key, id);

    ngx_shmtx_lock(&zone->pool->mutex);

    nchat_session_expire(zone);

    s = nchat_tree_find(&shared->sessions, &key, hash);

    if (s) {
        nchat_tree_renew(&shared->sessions, &s->node);

    } else {
        s = nchat_zone_alloc_locked(zone, sizeof(nchat_session_node_t));

        if (s == NULL) {
            shared->sessions_partial = 1;
            shared->sessions_lost = ngx_current_msec + keep;
            ngx_shmtx_unlock(&zone->pool->mutex);
            return;
        }

        s->version = 0;

        nchat_tree_insert(&shared->sessions, &s->node, &key, hash);
    }

    /* versions only rise; 0, an ended session, never comes back */

    s->version = ngx_max(s->version, version);
    s->expires = ngx_current_msec + keep;

    ngx_shmtx_unlock(&zone->pool->mutex);
}


nchat_session_e
nchat_session_get(nchat_zone_t *zone, const u_char user[16],
    const u_char session[16], ngx_uint_t version)
{
    nchat_session_e        rc;
    nchat_session_node_t  *s;
    nchat_zone_shared_t   *shared;

    shared = zone->shared;
    rc = NCHAT_SESSION_LIVE;

    ngx_shmtx_lock(&zone->pool->mutex);

    s = nchat_session_find(shared, user);

    if (s && version < s->version) {
        rc = NCHAT_SESSION_ENDED;

    } else if (session && nchat_session_find(shared, session)) {
        rc = NCHAT_SESSION_ENDED;

    } else if (!nchat_session_is_fresh(zone)) {
        rc = NCHAT_SESSION_UNKNOWN;

    } else if (shared->sessions_partial) {

        if ((ngx_msec_int_t) (shared->sessions_lost - ngx_current_msec) > 0) {
            rc = NCHAT_SESSION_UNKNOWN;

        } else {
            shared->sessions_partial = 0;
        }
    }

    ngx_shmtx_unlock(&zone->pool->mutex);

    return rc;
}


void
nchat_session_fresh(nchat_zone_t *zone, ngx_msec_t at)
{
    ngx_shmtx_lock(&zone->pool->mutex);

    zone->shared->sessions_fresh = at;
    zone->shared->sessions_known = 1;

    ngx_shmtx_unlock(&zone->pool->mutex);
}


ngx_uint_t
nchat_session_is_fresh(nchat_zone_t *zone)
{
    return zone->shared->sessions_known
           && nchat_zone_elapsed(zone->shared->sessions_fresh)
              < NCHAT_SESSION_FRESH;
}


/*
 * Without the evicted entry the table is not the whole truth any more, until
 * the tokens that the entry refused have expired by themselves.
 */

ngx_uint_t
nchat_session_evict(nchat_zone_t *zone)
{
    nchat_zone_shared_t   *shared;
    nchat_session_node_t  *s;

    shared = zone->shared;
    s = nchat_tree_oldest(&shared->sessions);

    if (s == NULL) {
        return 0;
    }

    if (!shared->sessions_partial
        || (ngx_msec_int_t) (s->expires - shared->sessions_lost) > 0)
    {
        shared->sessions_lost = s->expires;
    }

    shared->sessions_partial = 1;

    nchat_tree_remove(&shared->sessions, &s->node, zone->pool);
    nchat_count(&shared->metrics, NCHAT_M_ZONE_EVICTED_SESSION);

    return 1;
}


static void
nchat_session_expire(nchat_zone_t *zone)
{
    ngx_uint_t             n;
    nchat_tree_t          *sessions;
    nchat_session_node_t  *s;

    sessions = &zone->shared->sessions;

    for (n = 0; n < 2; n++) {
        s = nchat_tree_oldest(sessions);

        if (s == NULL
            || (ngx_msec_int_t) (s->expires - ngx_current_msec) > 0)
        {
            return;
        }

        nchat_tree_remove(sessions, &s->node, zone->pool);
    }
}


static nchat_session_node_t *
nchat_session_find(nchat_zone_shared_t *shared, const u_char id[16])
{
    nchat_key_t       key;
    ngx_rbtree_key_t  hash;

    hash = nchat_session_key(&key, id);

    return nchat_tree_find(&shared->sessions, &key, hash);
}


/* Returns the key's hash. */

static ngx_rbtree_key_t
nchat_session_key(nchat_key_t *key, const u_char id[16])
{
    ngx_rbtree_key_t  hash;

    ngx_memzero(key, sizeof(nchat_key_t));
    ngx_memcpy(key->bytes, id, 16);

    /* a version 4 UUID is random in its first bytes */

    ngx_memcpy(&hash, id, sizeof(ngx_rbtree_key_t));

    return hash;
}


ngx_int_t
nchat_zone_config_set(nchat_zone_t *zone, uint64_t version,
    const ngx_str_t *doc, const ngx_str_t *open, ngx_uint_t force)
{
    u_char               *p;
    nchat_zone_shared_t  *shared;

    shared = zone->shared;

    ngx_shmtx_lock(&zone->pool->mutex);

    if (shared->config_serial
        && ((version <= shared->config_version && !force)
            || (version == shared->config_version
                && doc->len == shared->config_open
                && ngx_memcmp(doc->data, shared->config_doc.data, doc->len)
                   == 0)))
    {
        ngx_shmtx_unlock(&zone->pool->mutex);
        return NGX_OK;
    }

    p = nchat_zone_alloc_locked(zone, doc->len + open->len);
    if (p == NULL) {
        ngx_shmtx_unlock(&zone->pool->mutex);
        return NGX_ERROR;
    }

    if (shared->config_doc.data) {
        ngx_slab_free_locked(zone->pool, shared->config_doc.data);
    }

    shared->config_doc.data = p;
    shared->config_doc.len = doc->len + open->len;
    shared->config_open = doc->len;
    shared->config_version = version;

    p = ngx_cpymem(p, doc->data, doc->len);
    ngx_memcpy(p, open->data, open->len);

    (void) ngx_atomic_fetch_add(&shared->config_serial, 1);

    ngx_shmtx_unlock(&zone->pool->mutex);

    return NGX_OK;
}


ngx_int_t
nchat_zone_config_get(nchat_zone_t *zone, ngx_atomic_uint_t *serial,
    uint64_t *version, ngx_str_t *doc, ngx_str_t *open)
{
    u_char               *p;
    nchat_zone_shared_t  *shared;

    shared = zone->shared;

    if (shared->config_serial == *serial) {
        return NGX_DECLINED;
    }

    ngx_shmtx_lock(&zone->pool->mutex);

    p = malloc(shared->config_doc.len);

    if (p == NULL) {
        ngx_shmtx_unlock(&zone->pool->mutex);
        return NGX_ERROR;
    }

    ngx_memcpy(p, shared->config_doc.data, shared->config_doc.len);

    doc->data = p;
    doc->len = shared->config_open;
    open->data = p + doc->len;
    open->len = shared->config_doc.len - doc->len;
    *version = shared->config_version;
    *serial = shared->config_serial;

    ngx_shmtx_unlock(&zone->pool->mutex);

    return NGX_OK;
}


ngx_uint_t
nchat_zone_config_known(nchat_zone_t *zone)
{
    return zone->shared->config_serial != 0;
}


ngx_uint_t
nchat_zone_schema(nchat_zone_t *zone)
{
    return (ngx_uint_t) zone->shared->schema;
}


void
nchat_zone_schema_set(nchat_zone_t *zone, ngx_uint_t version)
{
    zone->shared->schema = version;
}
