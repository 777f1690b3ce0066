/* Buffers between a source and a client, each as fast as the slower one. */

#include "nchat_stream.h"


static ngx_int_t nchat_stream_buffer(nchat_stream_t *stream);
static ngx_int_t nchat_stream_start(nchat_stream_t *stream, off_t length);
static ngx_int_t nchat_stream_send(nchat_stream_t *stream);
static ngx_int_t nchat_stream_output(nchat_stream_t *stream,
    ngx_chain_t *out);
static ngx_int_t nchat_stream_watch(nchat_stream_t *stream);
static void nchat_stream_writer(ngx_http_request_t *r);


nchat_stream_t *
nchat_stream(nchat_ctx_t *ctx,
    ngx_int_t (*header)(nchat_stream_t *stream, off_t length),
    void (*ready)(nchat_stream_t *stream), void *data)
{
    nchat_stream_t  *stream;

    stream = ngx_pcalloc(ctx->request->pool, sizeof(nchat_stream_t));

    if (stream) {
        stream->request = ctx->request;
        stream->header = header;
        stream->ready = ready;
        stream->data = data;
        ctx->stream = stream;
    }

    return stream;
}


ngx_int_t
nchat_stream_put(nchat_stream_t *stream, ngx_str_t *text)
{
    size_t      n;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    while (text->len) {

        if (stream->fill == NULL) {
            rc = nchat_stream_buffer(stream);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        b = stream->fill->buf;
        n = ngx_min(text->len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, text->data, n);
        text->data += n;
        text->len -= n;

        if (b->last == b->end && nchat_stream_send(stream) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* NGX_AGAIN: the client has them all, and ready() will be called. */

static ngx_int_t
nchat_stream_buffer(nchat_stream_t *stream)
{
    ngx_buf_t    *b;
    ngx_pool_t   *pool;
    ngx_chain_t  *cl;

    if (stream->free) {
        stream->fill = stream->free;
        stream->free = stream->fill->next;
        stream->fill->next = NULL;
        return NGX_OK;
    }

    if (stream->nbufs == NCHAT_STREAM_BUFS) {
        stream->full = 1;
        return nchat_stream_watch(stream) == NGX_OK ? NGX_AGAIN : NGX_ERROR;
    }

    pool = stream->request->pool;

    b = ngx_create_temp_buf(pool, NCHAT_STREAM_SIZE);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->tag = (ngx_buf_tag_t) &ngx_http_nchat_module;
    b->recycled = 1;

    cl->buf = b;
    cl->next = NULL;

    stream->fill = cl;
    stream->nbufs++;

    return NGX_OK;
}


static ngx_int_t
nchat_stream_send(nchat_stream_t *stream)
{
    ngx_chain_t  *out;

    if (!stream->started && nchat_stream_start(stream, -1) == NGX_ERROR) {
        return NGX_ERROR;
    }

    out = stream->fill;
    stream->fill = NULL;

    if (nchat_stream_output(stream, out) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return nchat_stream_watch(stream);
}


ngx_int_t
nchat_stream_end(nchat_stream_t *stream, const ngx_str_t *text)
{
    off_t         len;
    ngx_buf_t    *b;
    ngx_chain_t  *out, *last;

    b = ngx_calloc_buf(stream->request->pool);
    last = ngx_alloc_chain_link(stream->request->pool);

    if (b == NULL || last == NULL) {
        return NGX_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = (text->len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    last->buf = b;
    last->next = NULL;

    out = last;
    len = text->len;

    if (stream->fill) {
        out = stream->fill;
        out->next = last;
        len += out->buf->last - out->buf->pos;
        stream->fill = NULL;
    }

    if (!stream->started && nchat_stream_start(stream, len) == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* nginx goes on sending what the client did not take yet */

    return nchat_stream_output(stream, out);
}


ngx_int_t
nchat_stream_head(nchat_stream_t *stream)
{
    return nchat_stream_start(stream, -1);
}


static ngx_int_t
nchat_stream_start(nchat_stream_t *stream, off_t length)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = stream->request;

    stream->started = 1;
    nchat_ctx_get(r)->replied = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = length;

    if (ngx_http_discard_request_body(r) != NGX_OK
        || stream->header(stream, length) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_send_header(r);

    return (rc > NGX_OK) ? NGX_ERROR : rc;
}


/* Buffers that the client has taken become free. */

static ngx_int_t
nchat_stream_output(nchat_stream_t *stream, ngx_chain_t *out)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = stream->request;

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &stream->free, &stream->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_nchat_module);

    return rc;
}


/*
 * What nginx holds back goes out when the client's socket is writable.  Only
 * while the client has all buffers does it have to take some of them within
 * send_timeout: otherwise it is not the client who is waited for.
 */

static ngx_int_t
nchat_stream_watch(nchat_stream_t *stream)
{
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = stream->request;
    wev = r->connection->write;

    r->write_event_handler = nchat_stream_writer;

    /* delayed: the timer is limit_rate's */

    if (!wev->delayed) {

        if (stream->full) {
            clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
            ngx_add_timer(wev, clcf->send_timeout);

        } else if (wev->timer_set) {
            ngx_del_timer(wev);
        }
    }

    if (!r->buffered && !r->connection->buffered) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return ngx_handle_write_event(wev, clcf->send_lowat);
}


static void
nchat_stream_writer(ngx_http_request_t *r)
{
    ngx_uint_t       ready;
    ngx_event_t     *wev;
    nchat_stream_t  *stream;

    wev = r->connection->write;
    stream = nchat_ctx_get(r)->stream;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "nchat: a client stopped reading its answer");
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (!wev->delayed && nchat_stream_output(stream, NULL) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ready = stream->full && stream->free;

    if (ready) {
        stream->full = 0;
    }

    if (nchat_stream_watch(stream) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (ready) {
        stream->ready(stream);
    }
}
