/*
 * What nginx calls while a fetch's subrequest runs: filters that take its
 * answer, variables for its location, and a guard of its location.
 */

#include "nchat_fetch.h"
#include "nchat_headers.h"
#include "nchat_fetch_conf.h"


#define NCHAT_FETCH_V_URL   0
#define NCHAT_FETCH_V_HOST  1
#define NCHAT_FETCH_V_NAME  2


static ngx_int_t nchat_fetch_header_filter(ngx_http_request_t *r);
static ngx_int_t nchat_fetch_header(nchat_fetch_t *f, ngx_http_upstream_t *u);
static ngx_int_t nchat_fetch_encoding(nchat_fetch_t *f,
    ngx_http_upstream_t *u);
static ngx_int_t nchat_fetch_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void nchat_fetch_enough(ngx_http_upstream_t *u);
static ngx_int_t nchat_fetch_take(nchat_fetch_t *f, u_char *p, size_t len);
static ngx_int_t nchat_fetch_inflated(void *data, u_char *p, size_t len);
static ngx_int_t nchat_fetch_decide(nchat_fetch_t *f,
    nchat_fetch_result_e result, const char *why);
static ngx_int_t nchat_fetch_preaccess(ngx_http_request_t *r);
static ngx_int_t nchat_fetch_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_output_header_filter_pt  nchat_fetch_next_header_filter;
static ngx_http_output_body_filter_pt    nchat_fetch_next_body_filter;


/* never cached: a redirect's subrequest shares the main request's values */

static ngx_http_variable_t  nchat_fetch_vars[] = {

    { ngx_string("nchat_fetch_url"), NULL, nchat_fetch_variable,
      NCHAT_FETCH_V_URL, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("nchat_fetch_host"), NULL, nchat_fetch_variable,
      NCHAT_FETCH_V_HOST, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("nchat_fetch_name"), NULL, nchat_fetch_variable,
      NCHAT_FETCH_V_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/* An internal redirect would clear a context; this stays. */

nchat_fetch_t *
nchat_fetch_of(ngx_http_request_t *r)
{
    if (r == r->main || r->post_subrequest == NULL
        || r->post_subrequest->handler != nchat_fetch_ended)
    {
        return NULL;
    }

    return r->post_subrequest->data;
}


/* NGX_ERROR ends the upstream at once; the fetch knows why. */

static ngx_int_t
nchat_fetch_header_filter(ngx_http_request_t *r)
{
    nchat_fetch_t  *f;

    f = nchat_fetch_of(r);

    if (f == NULL) {
        return nchat_fetch_next_header_filter(r);
    }

    r->header_sent = 1;

    if (f->sub != r || f->decided) {
        return NGX_ERROR;
    }

    if (r->upstream == NULL || r->upstream->headers_in.status_n == 0) {
        return nchat_fetch_decide(f, NCHAT_FETCH_FAILED,
                                  "the server could not be reached");
    }

    f->answered = 1;

    return nchat_fetch_header(f, r->upstream);
}


static ngx_int_t
nchat_fetch_header(nchat_fetch_t *f, ngx_http_upstream_t *u)
{
    f->status = u->headers_in.status_n;

    switch (f->status) {

    case NGX_HTTP_MOVED_PERMANENTLY:
    case NGX_HTTP_MOVED_TEMPORARILY:
    case NGX_HTTP_SEE_OTHER:
    case NGX_HTTP_TEMPORARY_REDIRECT:
    case NGX_HTTP_PERMANENT_REDIRECT:

        if (f->url && u->headers_in.location
            && u->headers_in.location->value.len)
        {
            f->redirect = u->headers_in.location->value;
            return nchat_fetch_decide(f, NCHAT_FETCH_FAILED, "");
        }

        return nchat_fetch_decide(f, NCHAT_FETCH_FAILED,
                                  "the server redirects to nowhere");

    case NGX_HTTP_NOT_FOUND:
        return nchat_fetch_decide(f, NCHAT_FETCH_NOT_FOUND,
                                  "the server has no such page");
    }

    if (f->status < NGX_HTTP_OK || f->status >= NGX_HTTP_SPECIAL_RESPONSE) {
        return nchat_fetch_decide(f, NCHAT_FETCH_FAILED,
                                  "the server answered with an error");
    }

    ngx_str_null(&f->content_type);

    if (u->headers_in.content_type) {
        f->content_type = u->headers_in.content_type->value;
    }

    switch (f->taker->header(f)) {

    case NGX_OK:
        return nchat_fetch_encoding(f, u);

    case NGX_DONE:
        return nchat_fetch_decide(f, NCHAT_FETCH_OK, "");

    case NGX_DECLINED:
        return nchat_fetch_decide(f, NCHAT_FETCH_REFUSED, "");

    default:
        return nchat_fetch_decide(f, NCHAT_FETCH_MEMORY, "out of memory");
    }
}


static ngx_int_t
nchat_fetch_encoding(nchat_fetch_t *f, ngx_http_upstream_t *u)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    static ngx_str_t  known[] = {
        ngx_string("gzip"), ngx_string("x-gzip"), ngx_string("deflate")
    };

    /* nginx 1.31 has no member for it any more */

    value = nchat_headers_find(&u->headers_in.headers, "Content-Encoding");

    if (value == NULL || value->len == 0
        || (value->len == 8
            && ngx_strncasecmp(value->data, (u_char *) "identity", 8) == 0))
    {
        return NGX_OK;
    }

    for (i = 0; i < 3; i++) {
        if (value->len == known[i].len
            && ngx_strncasecmp(value->data, known[i].data, value->len) == 0)
        {
            f->inflate = nchat_inflate_create(f->request->pool,
                                              nchat_fetch_inflated, f);
            if (f->inflate == NULL) {
                return nchat_fetch_decide(f, NCHAT_FETCH_MEMORY,
                                          "out of memory");
            }

            return NGX_OK;
        }
    }

    return nchat_fetch_decide(f, NCHAT_FETCH_FAILED,
                              "the page has an unknown encoding");
}


/*
 * Takes everything and passes nothing on: no byte of it is for the client.
 * An error from here would be taken for the client's connection being broken.
 */

static ngx_int_t
nchat_fetch_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    u_char         *p;
    size_t          len;
    ngx_buf_t      *b;
    nchat_fetch_t  *f;

    f = nchat_fetch_of(r);

    if (f == NULL) {
        return nchat_fetch_next_body_filter(r, in);
    }

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        p = b->pos;
        len = ngx_buf_in_memory(b) ? (size_t) (b->last - b->pos) : 0;

        b->pos = b->last;
        b->file_pos = b->file_last;

        if (f->sub != r || f->decided) {
            continue;
        }

        if (len && nchat_fetch_take(f, p, len) != NGX_OK) {
            nchat_fetch_enough(r->upstream);
            continue;
        }

        /* nginx's end of a complete answer: not of one that broke off */

        if (b->last_in_chain && b->sync && !b->flush) {
            f->whole = 1;
        }
    }

    return NGX_OK;
}


/* As if the answer had ended here; its connection is of no more use. */

static void
nchat_fetch_enough(ngx_http_upstream_t *u)
{
    u->length = 0;
    u->keepalive = 0;

    if (u->pipe) {
        u->pipe->length = 0;
        u->pipe->upstream_done = 1;
    }
}


static ngx_int_t
nchat_fetch_take(nchat_fetch_t *f, u_char *p, size_t len)
{
    ngx_int_t  rc;

    if (len > f->cap - f->taken) {
        len = f->cap - f->taken;
    }

    f->taken += len;

    rc = f->inflate ? nchat_inflate(f->inflate, p, len)
                    : f->taker->body(f, p, len);

    if (f->decided) {
        return NGX_ERROR;
    }

    if (rc == NGX_AGAIN && f->taken < f->cap) {
        return NGX_OK;
    }

    /* the end of compressed data is the end, whatever stands behind it */

    f->whole = (rc == NGX_OK);

    switch (rc) {

    case NGX_AGAIN:
    case NGX_DONE:
    case NGX_OK:
        return nchat_fetch_decide(f, NCHAT_FETCH_OK, "");

    case NGX_DECLINED:
        return nchat_fetch_decide(f, NCHAT_FETCH_REFUSED, "");

    default:
        return nchat_fetch_decide(f, f->inflate ? NCHAT_FETCH_FAILED
                                                : NCHAT_FETCH_MEMORY,
                                  "the page could not be decoded");
    }
}


/* Errors of the taker are told from errors of the data by being decided. */

static ngx_int_t
nchat_fetch_inflated(void *data, u_char *p, size_t len)
{
    nchat_fetch_t *f = data;

    ngx_int_t  rc;

    rc = f->taker->body(f, p, len);

    if (rc == NGX_ERROR) {
        (void) nchat_fetch_decide(f, NCHAT_FETCH_MEMORY, "out of memory");
    }

    return rc;
}


static ngx_int_t
nchat_fetch_decide(nchat_fetch_t *f, nchat_fetch_result_e result,
    const char *why)
{
    f->decided = 1;
    f->result = result;
    f->why = why;

    return NGX_ERROR;
}


/*
 * A server's X-Accel-Redirect, or a rewrite of the operator's, must not lead a
 * fetch into our own locations.
 */

static ngx_int_t
nchat_fetch_preaccess(ngx_http_request_t *r)
{
    nchat_fetch_t  *f;

    f = nchat_fetch_of(r);

    if (f == NULL || nchat_location_fetches(r)) {
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "nchat: a fetch came to a location without nchat_fetch");

    return NGX_HTTP_FORBIDDEN;
}


static ngx_int_t
nchat_fetch_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t      *value;
    nchat_fetch_t  *f;

    f = nchat_fetch_of(r);

    if (f == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (data) {

    case NCHAT_FETCH_V_URL:
        value = &f->target;
        break;

    case NCHAT_FETCH_V_HOST:
        value = &f->host;
        break;

    default:
        value = &f->name;
    }

    v->len = value->len;
    v->data = value->data;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;

    return NGX_OK;
}


ngx_int_t
nchat_fetch_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = nchat_fetch_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_int_t
nchat_fetch_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    nchat_fetch_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = nchat_fetch_header_filter;

    nchat_fetch_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = nchat_fetch_body_filter;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = nchat_fetch_preaccess;

    return NGX_OK;
}
