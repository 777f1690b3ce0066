/*
 * What a node knows of the database without asking: one worker, the holder
 * of the zone's lease, listens to notifications and keeps sessions and the
 * configuration in the shared zone true.  It runs the periodic jobs, too.
 */

#ifndef _NCHAT_SYNC_H_INCLUDED_
#define _NCHAT_SYNC_H_INCLUDED_


#include "nchat_db.h"


/*
 * A statement that the listener runs from time to time.  Several nodes may run
 * it at once: the SQL function takes an advisory lock, or gives up.
 */

typedef struct {
    nchat_stmt_t  *stmt;         /* without parameters, in the slow lane */
    ngx_msec_t     interval;
} nchat_job_t;


/*
 * Starts in a worker.  schema is the version of the database's schema that
 * this build needs; the zone is told which one there is.  keep is the life of
 * an access token in milliseconds, clock skew included.  jobs ends with an
 * entry without statement.  Returns NGX_ERROR if memory is short.
 */
ngx_int_t nchat_sync_start(ngx_cycle_t *cycle, nchat_db_t *db,
    nchat_zone_t *zone, ngx_uint_t schema, ngx_msec_t keep,
    const nchat_job_t *jobs);

/* The worker exits: another one may listen. */
void nchat_sync_stop(void);


#endif /* _NCHAT_SYNC_H_INCLUDED_ */
