/* What a fetch asks: the URL with its checked address, and the subrequest. */

#include "nchat_fetch.h"
#include "nchat_ip.h"


static ngx_http_request_body_t *nchat_fetch_body(nchat_fetch_t *f);


ngx_int_t
nchat_fetch_target(nchat_fetch_t *f)
{
    u_char                   *p;
    struct sockaddr_in       *sin;
    struct sockaddr_in6      *sin6;
    struct sockaddr_storage  *addr;

    addr = &f->addrs[f->next_addr++];

    p = ngx_pnalloc(f->request->pool,
                    sizeof("https://[]:65535") + NGX_INET6_ADDRSTRLEN
                    + f->hop.uri.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    f->target.data = p;

    p = ngx_cpymem(p, f->hop.scheme.data, f->hop.scheme.len);
    p = ngx_cpymem(p, "://", 3);

    if (addr->ss_family == AF_INET) {
        sin = (struct sockaddr_in *) addr;
        p = nchat_ip_print(p, (u_char *) &sin->sin_addr, 4);

    } else {
        sin6 = (struct sockaddr_in6 *) addr;
        *p++ = '[';
        p = nchat_ip_print(p, (u_char *) &sin6->sin6_addr, 16);
        *p++ = ']';
    }

    p = ngx_sprintf(p, ":%ui", (ngx_uint_t) f->hop.port);
    p = ngx_cpymem(p, f->hop.uri.data, f->hop.uri.len);

    f->target.len = p - f->target.data;

    return NGX_OK;
}


/* What may fail comes first: a subrequest that was made runs. */

ngx_int_t
nchat_fetch_subrequest(nchat_fetch_t *f)
{
    void                        *none;
    ngx_list_t                  *list;
    ngx_http_request_t          *sr;
    ngx_http_request_body_t     *body;
    ngx_http_post_subrequest_t  *ps;

    body = NULL;

    if (f->body.data) {
        body = nchat_fetch_body(f);
        if (body == NULL) {
            return NGX_ERROR;
        }
    }

    ps = ngx_palloc(f->request->pool, sizeof(ngx_http_post_subrequest_t));
    none = ngx_palloc(f->request->pool, sizeof(ngx_table_elt_t));

    if (ps == NULL || none == NULL) {
        return NGX_ERROR;
    }

    ps->handler = nchat_fetch_ended;
    ps->data = f;

    if (ngx_http_subrequest(f->request, &f->location, NULL, &sr, ps, 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    f->sub = sr;

    /*
     * Nothing of the client's goes to a stranger, and none of its headers
     * changes how nginx treats the answer (Upgrade, Range, conditions).
     */

    ngx_memzero(&sr->headers_in, sizeof(ngx_http_headers_in_t));

    list = &sr->headers_in.headers;
    list->last = &list->part;
    list->part.elts = none;
    list->size = sizeof(ngx_table_elt_t);
    list->nalloc = 1;
    list->pool = f->request->pool;

    sr->headers_in.content_length_n = -1;
    sr->headers_in.keep_alive_n = -1;
    sr->request_body = body;
    sr->filter_need_in_memory = 1;

    if (body) {
        sr->headers_in.content_length_n = f->body.len;
        sr->method = NGX_HTTP_POST;
        ngx_str_set(&sr->method_name, "POST");
    }

    return NGX_OK;
}


static ngx_http_request_body_t *
nchat_fetch_body(nchat_fetch_t *f)
{
    ngx_buf_t                *b;
    ngx_pool_t               *pool;
    ngx_http_request_body_t  *rb;

    pool = f->request->pool;

    rb = ngx_pcalloc(pool, sizeof(ngx_http_request_body_t));
    b = ngx_calloc_buf(pool);

    if (rb == NULL || b == NULL) {
        return NULL;
    }

    rb->bufs = ngx_alloc_chain_link(pool);
    if (rb->bufs == NULL) {
        return NULL;
    }

    b->start = f->body.data;
    b->pos = b->start;
    b->last = b->start + f->body.len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    rb->bufs->buf = b;
    rb->bufs->next = NULL;

    return rb;
}
