/*
 * Content-Encoding gzip and deflate, in bounded steps.
 */


#ifndef _NCHAT_INFLATE_H_INCLUDED_
#define _NCHAT_INFLATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct nchat_inflate_s  nchat_inflate_t;

/* the consumer of decoded bytes: NGX_AGAIN for more, or NGX_DONE, NGX_ERROR */
typedef ngx_int_t (*nchat_inflate_pt)(void *data, u_char *p, size_t len);


/*
 * Prepares to decode gzip (RFC 1952) or zlib (RFC 1950) data, whichever comes;
 * zlib's memory, some 40 KiB, is freed with the pool.  NULL: no memory.
 */
nchat_inflate_t *nchat_inflate_create(ngx_pool_t *pool,
    nchat_inflate_pt consumer, void *data);

/*
 * Decodes "len" bytes and hands them on in pieces of at most 16 KiB, so that
 * little input never becomes much memory.  NGX_AGAIN: more input, please.
 * NGX_OK: the data are at their end.  NGX_ERROR: they are broken.  Else what the
 * consumer said, when that was not NGX_AGAIN.
 */
ngx_int_t nchat_inflate(nchat_inflate_t *inf, u_char *p, size_t len);


#endif /* _NCHAT_INFLATE_H_INCLUDED_ */
