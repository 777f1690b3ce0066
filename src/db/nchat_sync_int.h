/* The insides of what a node knows of the database, shared by its files. */

#ifndef _NCHAT_SYNC_INT_H_INCLUDED_
#define _NCHAT_SYNC_INT_H_INCLUDED_


#include "nchat_sync.h"


#define NCHAT_SYNC_TICK  250          /* milliseconds */
#define NCHAT_SYNC_JOBS  16


typedef struct {
    nchat_db_t          *db;
    nchat_zone_t        *zone;
    ngx_log_t           *log;
    ngx_msec_t           keep;
    ngx_uint_t           schema;      /* the version that this build needs */
    const nchat_job_t   *jobs;
    ngx_msec_t           due[NCHAT_SYNC_JOBS];
    ngx_event_t          timer;
    nchat_db_listener_t  listener;
    ngx_msec_t           proof_at;    /* when the statement under way was sent */
    ngx_msec_t           retry_at;

    unsigned             listening:1;
    unsigned             up:1;        /* the connection lives */
    unsigned             asking:1;    /* for the schema's version */
    unsigned             heard:1;     /* the database says that we listen */
    unsigned             loaded:1;
    unsigned             loading:1;
    unsigned             proving:1;
    unsigned             config_loaded:1;
    unsigned             config_loading:1;
    unsigned             config_again:1;
    unsigned             config_force:1;
} nchat_sync_t;


/* nchat_sync_listener.c */

/* Sets what the pool calls when the listening connection comes and goes. */
void nchat_sync_listener_init(nchat_sync_t *sync);

/* Every NCHAT_SYNC_TICK in the worker that listens. */
void nchat_sync_listener_tick(nchat_sync_t *sync);


#endif /* _NCHAT_SYNC_INT_H_INCLUDED_ */
