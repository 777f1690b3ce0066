/* What the files of the local store share. */

#ifndef _NCHAT_STORE_LOCAL_H_INCLUDED_
#define _NCHAT_STORE_LOCAL_H_INCLUDED_


#include "nchat_store.h"


typedef struct {
    ngx_path_t          *root;
} nchat_local_t;


/*
 * The path of a key, terminated by NUL, in memory of the pool; len does not
 * count the NUL.  NGX_ERROR if memory is short.
 */
ngx_int_t nchat_local_path(ngx_pool_t *pool, nchat_files_conf_t *conf,
    const ngx_str_t *key, ngx_str_t *path);

/* nchat_store_local_url.c */

ngx_int_t nchat_local_target(nchat_ctx_t *ctx, const nchat_file_t *file,
    time_t expires, nchat_target_t *target);

/* Reads the request's URL; NGX_ERROR: answered, 403 or 400. */
ngx_int_t nchat_local_verify(nchat_ctx_t *ctx, nchat_file_t *file);


/* nchat_store_local_put.c */

ngx_int_t nchat_local_early(nchat_ctx_t *ctx);
void nchat_local_receive(nchat_ctx_t *ctx);


#endif /* _NCHAT_STORE_LOCAL_H_INCLUDED_ */
