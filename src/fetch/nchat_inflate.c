/*
 * Decoding of compressed pages, over zlib.
 */


#include "nchat_inflate.h"
#include <zlib.h>


#define NCHAT_INFLATE_STEP  16384

/* the largest window, and the header tells gzip from zlib */
#define NCHAT_INFLATE_BITS  (15 + 32)


struct nchat_inflate_s {
    z_stream           stream;
    nchat_inflate_pt   consumer;
    void              *data;
    u_char             out[NCHAT_INFLATE_STEP];
};


static void nchat_inflate_cleanup(void *data);


nchat_inflate_t *
nchat_inflate_create(ngx_pool_t *pool, nchat_inflate_pt consumer, void *data)
{
    nchat_inflate_t     *inf;
    ngx_pool_cleanup_t  *cln;

    inf = ngx_pcalloc(pool, sizeof(nchat_inflate_t));
    if (inf == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    inf->consumer = consumer;
    inf->data = data;

    if (inflateInit2(&inf->stream, NCHAT_INFLATE_BITS) != Z_OK) {
        return NULL;
    }

    cln->handler = nchat_inflate_cleanup;
    cln->data = inf;

    return inf;
}


ngx_int_t
nchat_inflate(nchat_inflate_t *inf, u_char *p, size_t len)
{
    int         zrc;
    size_t      n;
    ngx_int_t   rc;
    z_stream   *zs;

    zs = &inf->stream;

    zs->next_in = p;
    zs->avail_in = len;

    do {
        zs->next_out = inf->out;
        zs->avail_out = NCHAT_INFLATE_STEP;

        zrc = inflate(zs, Z_NO_FLUSH);

        if (zrc != Z_OK && zrc != Z_STREAM_END && zrc != Z_BUF_ERROR) {
            return NGX_ERROR;
        }

        n = NCHAT_INFLATE_STEP - zs->avail_out;

        if (n) {
            rc = inf->consumer(inf->data, inf->out, n);
            if (rc != NGX_AGAIN) {
                return rc;
            }
        }

        if (zrc == Z_STREAM_END) {
            return NGX_OK;
        }

    } while (zs->avail_in || zs->avail_out == 0);

    return NGX_AGAIN;
}


static void
nchat_inflate_cleanup(void *data)
{
    nchat_inflate_t *inf = data;

    (void) inflateEnd(&inf->stream);
}
