/* The body: read, joined, parsed.  Never allocated from Content-Length. */

#include "nchat_http.h"
#include "nchat_json.h"


static void nchat_body_done(ngx_http_request_t *r);
static ngx_int_t nchat_body_join(nchat_ctx_t *ctx);
static ngx_int_t nchat_body_copy(u_char *p, const ngx_chain_t *cl);
static ngx_int_t nchat_body_parse(nchat_ctx_t *ctx);
static ngx_int_t nchat_body_filter(ngx_http_request_t *r, ngx_chain_t *in);
static void nchat_body_align(ngx_http_request_t *r);


static ngx_http_request_body_filter_pt  ngx_http_next_request_body_filter;


ngx_int_t
nchat_body_read(nchat_ctx_t *ctx)
{
    ngx_int_t            rc;
    const char          *why;
    nchat_body_e         body;
    ngx_http_request_t  *r;

    r = ctx->request;
    body = ctx->route->body;

    /* what can be refused before the first byte is read */

    if (body != NCHAT_BODY_FILE && body != NCHAT_BODY_RAW) {
        why = nchat_body_refused(ctx);

        if (why) {
            r->main->count++;
            nchat_reply_error(ctx, NCHAT_E_MEDIA_TYPE, why);
            return NGX_DONE;
        }
    }

    if (ctx->route->early) {

        /* if it answers, that gives this reference back */

        r->main->count++;

        if (ctx->route->early(ctx) != NGX_OK) {
            return NGX_DONE;
        }

        r->main->count--;
    }

    if (body == NCHAT_BODY_FILE) {
        r->request_body_in_file_only = 1;
        r->request_body_in_persistent_file = 1;
        r->request_body_in_clean_file = 1;
    }

    rc = ngx_http_read_client_request_body(r, nchat_body_done);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


const char *
nchat_body_refused(nchat_ctx_t *ctx)
{
    ngx_table_elt_t  *type;

    type = ctx->request->headers_in.content_type;

    if (type && type->value.len >= 10
        && ngx_strncasecmp(type->value.data, (u_char *) "multipart/", 10) == 0)
    {
        return "Multipart bodies are not accepted: send JSON; files go to "
               "the URL that POST /api/upload gives";
    }

    if (nchat_header(ctx->request, "Content-Encoding")) {
        return "Encoded bodies are not accepted: send the JSON as it is, "
               "without Content-Encoding";
    }

    return NULL;
}


static void
nchat_body_done(ngx_http_request_t *r)
{
    nchat_ctx_t  *ctx;

    ctx = nchat_ctx_get(r);

    switch (ctx->route->body) {

    case NCHAT_BODY_FILE:
        break;

    case NCHAT_BODY_RAW:
        if (nchat_body_join(ctx) != NGX_OK) {
            return;
        }

        break;

    default:
        if (nchat_body_join(ctx) != NGX_OK || nchat_body_parse(ctx) != NGX_OK)
        {
            return;
        }
    }

    ctx->route->handler(ctx);
}


/* One buffer, many, a temporary file, or a mixture; usually one. */

static ngx_int_t
nchat_body_join(nchat_ctx_t *ctx)
{
    size_t               size;
    u_char              *p;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        ngx_str_set(&ctx->body, "");
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL && ngx_buf_in_memory(cl->buf)) {
        ctx->body.data = cl->buf->pos;
        ctx->body.len = cl->buf->last - cl->buf->pos;
        return NGX_OK;
    }

    size = 0;

    for ( /* void */ ; cl; cl = cl->next) {
        size += (size_t) ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(r->pool, size ? size : 1);
    if (p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    ctx->body.data = p;
    ctx->body.len = size;

    if (nchat_body_copy(p, r->request_body->bufs) != NGX_OK) {
        nchat_reply_internal(ctx, "the body's temporary file is short");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_ERROR: a file cannot be read to its end. */

static ngx_int_t
nchat_body_copy(u_char *p, const ngx_chain_t *cl)
{
    size_t      size;
    ssize_t     n;
    ngx_buf_t  *b;

    for ( /* void */ ; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {

            /* the mark of the end, all that there is of an empty body */

            continue;
        }

        size = (size_t) (b->file_last - b->file_pos);
        n = ngx_read_file(b->file, p, size, b->file_pos);

        if (n != (ssize_t) size) {
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


ngx_int_t
nchat_body_json(nchat_ctx_t *ctx, const char **why)
{
    if (ctx->body.len == 0) {
        *why = "The request needs a JSON object as its body";
        return NGX_DECLINED;
    }

    return nchat_json_parse(ctx->request->pool, &ctx->body, 0, &ctx->json,
                            why);
}


static ngx_int_t
nchat_body_parse(nchat_ctx_t *ctx)
{
    const char  *why;

    if (ctx->body.len == 0 && ctx->route->body == NCHAT_BODY_MAYBE) {
        return NGX_OK;
    }

    switch (nchat_body_json(ctx, &why)) {

    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST, why);
        return NGX_ERROR;

    default:
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }
}


void
nchat_body_filter_init(void)
{
    ngx_http_next_request_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = nchat_body_filter;
}


/* The last filter writes the body: looks at its file after that. */

static ngx_int_t
nchat_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t     rc;
    nchat_ctx_t  *ctx;

    rc = ngx_http_next_request_body_filter(r, in);

    ctx = ngx_http_get_module_ctx(r, ngx_http_nchat_module);

    if (rc == NGX_OK && ctx && ctx->arriving && r->request_body->temp_file) {

        if (in == NULL) {
            nchat_body_align(r);
        }

        ctx->arriving(ctx);
    }

    return rc;
}


/*
 * What came with the header makes the first write odd, and all that follow
 * begin and end within a page, which costs ext4 a third more.  So the second
 * one ends with a page: nginx fills its buffer up to "end", and starts afresh
 * after it has called the filter without anything.
 */

static void
nchat_body_align(ngx_http_request_t *r)
{
    size_t                     size;
    ngx_buf_t                 *b;
    ngx_http_request_body_t   *rb;
    ngx_http_core_loc_conf_t  *clcf;

    rb = r->request_body;
    b = rb->buf;

    if (r->http_version >= NGX_HTTP_VERSION_20 || r->headers_in.chunked
        || rb->rest <= 0 || b == NULL || b->last != b->end)
    {
        return;
    }

    /* it is full and there is more: so it was made with the size that is set */

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    size = clcf->client_body_buffer_size;

    if (size > ngx_pagesize) {
        b->end = b->start + size
                 - (rb->temp_file->offset + size) % ngx_pagesize;
    }
}
