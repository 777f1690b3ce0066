/* What the files of the local store share. */

#ifndef _NCHAT_STORE_LOCAL_H_INCLUDED_
#define _NCHAT_STORE_LOCAL_H_INCLUDED_


#include "nchat_store.h"

#include <openssl/evp.h>


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


/* nchat_store_local_digest.c */

/*
 * An ETag is 128 bits of GMAC (NIST SP 800-38D) in hex, in quotes.  Its key is
 * no secret: the digest tells contents apart, it proves nothing.  It reads a
 * file five times as fast as SHA-256, which costs a third of the throughput.
 */
#define NCHAT_DIGEST_LEN   16
#define NCHAT_DIGEST_ETAG  (2 + 2 * NCHAT_DIGEST_LEN)

typedef struct {
    const nchat_mime_t  *mime;
    off_t                size;           /* what the file is to have */
    off_t                seen;           /* the event loop's: posted up to it */
    off_t                at;             /* digested up to it */
    int                  fd;             /* its own, or -1 */
    int                  err;            /* errno, if something failed */
    unsigned             other:1;        /* the content is of another type */
    EVP_MAC_CTX         *mac;
    u_char               etag[NCHAT_DIGEST_ETAG];
} nchat_digest_t;

/*
 * The digest of a body that nginx writes to a file, on pool threads: most of
 * it while the body still arrives.  Belongs to the request's task (see
 * nchat_task_keep).  make: NULL if it has answered.  ahead: some of it is in
 * the file, and more will come.  finish: it is complete; done() gets the
 * digest, with etag, other or err.
 */
nchat_digest_t *nchat_digest_make(nchat_ctx_t *ctx, const nchat_file_t *file);
void nchat_digest_ahead(nchat_digest_t *digest, const ngx_temp_file_t *tf);
void nchat_digest_finish(nchat_ctx_t *ctx, nchat_digest_t *digest,
    const ngx_temp_file_t *tf, nchat_task_done_pt done);


/* nchat_store_local_put.c */

ngx_int_t nchat_local_early(nchat_ctx_t *ctx);
void nchat_local_receive(nchat_ctx_t *ctx);


#endif /* _NCHAT_STORE_LOCAL_H_INCLUDED_ */
