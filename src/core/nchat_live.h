/*
 * The live configuration: this worker's parsed copy of the document in the
 * shared zone, renewed when the zone has a newer one.
 */

#ifndef _NCHAT_LIVE_H_INCLUDED_
#define _NCHAT_LIVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>

#include "nchat_zone.h"


typedef struct {
    ngx_uint_t   refs;
    json_t      *doc;           /* the whole document */
    ngx_str_t    members;       /* what the public may read: the payload
                                 * "config":{…},"version":"…" without braces */
    ngx_str_t    etag;          /* strong, with its quotes */
    u_char       etag_data[sizeof("\"\"") - 1 + 32];
} nchat_live_t;


/*
 * The current configuration, with one reference for the caller, or NULL while
 * none was loaded yet.  Give it back with nchat_live_release.
 */
nchat_live_t *nchat_live_acquire(nchat_zone_t *zone, ngx_log_t *log);
void nchat_live_release(nchat_live_t *live);

/* The same, given back when the pool is destroyed. */
nchat_live_t *nchat_live_keep(nchat_zone_t *zone, ngx_pool_t *pool);

/* A member by its dotted path, or NULL; borrowed from the document. */
json_t *nchat_live_get(const nchat_live_t *live, const char *path);

/* A boolean member; absent counts as absent_value. */
ngx_uint_t nchat_live_flag(const nchat_live_t *live, const char *path,
    ngx_uint_t absent_value);


#endif /* _NCHAT_LIVE_H_INCLUDED_ */
