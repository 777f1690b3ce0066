/*
 * An answer of any length in constant memory: a few buffers go around between
 * whoever fills them and the client.  What is sent waits for a full buffer, so
 * that a failure before the first one can still be answered like any other.
 */

#ifndef _NCHAT_STREAM_H_INCLUDED_
#define _NCHAT_STREAM_H_INCLUDED_


#include "nchat_http.h"


#define NCHAT_STREAM_BUFS  2
#define NCHAT_STREAM_SIZE  65536


typedef struct nchat_stream_s  nchat_stream_t;

struct nchat_stream_s {
    ngx_http_request_t  *request;

    /*
     * Sets the headers; length is the body's, or -1 if that is not known.
     * NGX_OK or NGX_ERROR.
     */
    ngx_int_t          (*header)(nchat_stream_t *stream, off_t length);

    /* There is room again, after NGX_AGAIN. */
    void               (*ready)(nchat_stream_t *stream);

    void                *data;         /* the caller's */

    ngx_chain_t         *fill;         /* what is being filled */
    ngx_chain_t         *free;
    ngx_chain_t         *busy;
    ngx_uint_t           nbufs;

    unsigned             started:1;    /* the header is out */
    unsigned             full:1;       /* ready() is to be called */
};


/* Makes the stream of a request, in its memory; NULL if that is short. */
nchat_stream_t *nchat_stream(nchat_ctx_t *ctx,
    ngx_int_t (*header)(nchat_stream_t *stream, off_t length),
    void (*ready)(nchat_stream_t *stream), void *data);

/*
 * Takes from the beginning of text what there is room for.  NGX_OK: all of it;
 * NGX_AGAIN: the client must take something first; NGX_ERROR: finalize the
 * request with that.
 */
ngx_int_t nchat_stream_put(nchat_stream_t *stream, ngx_str_t *text);

/*
 * The end: sends what is there, and the text, which lives as long as the
 * request.  Returns what the request is to be finalized with.
 */
ngx_int_t nchat_stream_end(nchat_stream_t *stream, const ngx_str_t *text);

/* Sends the header alone, for HEAD; returns the same. */
ngx_int_t nchat_stream_head(nchat_stream_t *stream);


#endif /* _NCHAT_STREAM_H_INCLUDED_ */
