/*
 * Answers of others, kept in the shared zone for a while: link previews,
 * translations, GIF lists, SVG files.  All workers of a node share them, and
 * one of several callers who miss the same one fetches it for all.
 */

#ifndef _NCHAT_CACHE_H_INCLUDED_
#define _NCHAT_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_zone.h"


/* bytes of one value; longer ones are not kept */
#define NCHAT_CACHE_VALUE_MAX  (320 * 1024)

/* the cache's share of the zone is one part in so many */
#define NCHAT_CACHE_SHARE      4


/*
 * Copies the value of the key into memory of the pool.  NGX_OK; NGX_DECLINED:
 * there is none, or its time is over; NGX_ERROR: no memory in the pool.
 */
ngx_int_t nchat_cache_get(nchat_zone_t *zone, const nchat_key_t *key,
    ngx_pool_t *pool, ngx_str_t *value);

/*
 * Before fetching a value.  NGX_OK: the caller fetches it, and says so by
 * nchat_cache_put or nchat_cache_release within "lease" milliseconds; *claim
 * is the proof.  NGX_BUSY: somebody else does, in this worker or another one:
 * look again a little later.  A worker that dies leaves its claim to its end.
 * A full zone claims nothing and says NGX_OK, with *claim 0.  A value that is
 * there stays, for callers who want no fresher one.
 */
ngx_int_t nchat_cache_claim(nchat_zone_t *zone, const nchat_key_t *key,
    ngx_msec_t lease, uint64_t *claim);
void nchat_cache_release(nchat_zone_t *zone, const nchat_key_t *key,
    uint64_t claim);

/*
 * Keeps a copy of the value for "life" milliseconds, in place of what there
 * was, and ends any claim.  Never fails: what has no room is not kept.
 */
void nchat_cache_put(nchat_zone_t *zone, const nchat_key_t *key,
    const ngx_str_t *value, ngx_msec_t life);

/* Forgets the value. */
void nchat_cache_drop(nchat_zone_t *zone, const nchat_key_t *key);


#endif /* _NCHAT_CACHE_H_INCLUDED_ */
