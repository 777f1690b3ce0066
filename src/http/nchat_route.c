/* Matching; the table itself is src/api/nchat_api.c. */

#include "nchat_http.h"


static ngx_uint_t nchat_route_match(const nchat_route_t *route,
    ngx_str_t *uri, ngx_str_t params[2]);
static ngx_uint_t nchat_route_when(ngx_http_request_t *r, const char *when);


typedef struct {
    ngx_uint_t   method;
    ngx_str_t    name;
} nchat_method_t;


static const nchat_method_t  nchat_methods[] = {
    { NGX_HTTP_GET, ngx_string("GET") },
    { NGX_HTTP_HEAD, ngx_string("HEAD") },
    { NGX_HTTP_POST, ngx_string("POST") },
    { NGX_HTTP_PUT, ngx_string("PUT") },
    { NGX_HTTP_PATCH, ngx_string("PATCH") },
    { NGX_HTTP_DELETE, ngx_string("DELETE") },
    { NGX_HTTP_OPTIONS, ngx_string("OPTIONS") },
    { 0, ngx_null_string }
};


void
nchat_route_init(void)
{
    u_char         *p;
    ngx_uint_t      i;
    nchat_route_t  *route;

    for (i = 0; i < nchat_nroutes; i++) {
        route = &nchat_routes[i];
        p = ngx_strlchr(route->path.data, route->path.data + route->path.len,
                        '{');
        route->fixed = p ? (size_t) (p - route->path.data) : route->path.len;
    }
}


void
nchat_route_find(nchat_ctx_t *ctx)
{
    ngx_str_t            uri;
    ngx_uint_t           i, method;
    nchat_route_t       *route;
    ngx_http_request_t  *r;

    r = ctx->request;
    uri = ctx->uri;
    method = (ctx->method == NGX_HTTP_HEAD) ? NGX_HTTP_GET : ctx->method;

    /* with or without one trailing slash */

    if (uri.len > 1 && uri.data[uri.len - 1] == '/') {
        uri.len--;
    }

    for (i = 0; i < nchat_nroutes; i++) {
        route = &nchat_routes[i];

        if (!nchat_route_match(route, &uri, ctx->params)) {
            continue;
        }

        if (route->method == method
            && (route->when == NULL || nchat_route_when(r, route->when)))
        {
            ctx->route = route;
            ctx->limit = route->limit;
            return;
        }

        /*
         * A method that the path lacks counts where the others do, but for
         * webhooks, whose class is a matter of their tokens, and for downloads,
         * which count nowhere.
         */

        if (route->limit != NCHAT_LIMIT_WEBHOOK
            && route->limit != NCHAT_LIMIT_NONE)
        {
            ctx->limit = route->limit;
        }
    }
}


static ngx_uint_t
nchat_route_match(const nchat_route_t *route, ngx_str_t *uri,
    ngx_str_t params[2])
{
    size_t       tail;
    u_char      *p, *last, *u, *end;
    ngx_uint_t   n;

    /* most are told apart by their length */

    if ((route->fixed == route->path.len) ? uri->len != route->fixed
                                          : uri->len < route->fixed)
    {
        return 0;
    }

    if (ngx_memcmp(uri->data, route->path.data, route->fixed) != 0) {
        return 0;
    }

    p = route->path.data + route->fixed;
    last = route->path.data + route->path.len;
    u = uri->data + route->fixed;
    end = uri->data + uri->len;

    for (n = 0; p < last; /* void */ ) {

        if (*p != '{') {

            if (u == end || *u != *p) {
                return 0;
            }

            u++;
            p++;
            continue;
        }

        while (*p++ != '}') { /* void */ }

        params[n].data = u;

        while (u < end && *u != '/') {
            u++;
        }

        /* what stands behind the parameter in its segment, such as ".svg" */

        for (tail = 0; p + tail < last && p[tail] != '/'; tail++) {
            /* void */
        }

        if ((size_t) (u - params[n].data) <= tail) {
            return 0;
        }

        u -= tail;
        params[n].len = u - params[n].data;

        n++;
    }

    return u == end;
}


/*
 * "name=value": the argument must be there with exactly this value, however
 * its characters are encoded.
 */

static ngx_uint_t
nchat_route_when(ngx_http_request_t *r, const char *when)
{
    u_char       text[64], *src, *dst;
    ngx_str_t    value;
    const char  *equal;

    equal = strchr(when, '=');

    if (ngx_http_arg(r, (u_char *) when, equal - when, &value) != NGX_OK
        || value.len > sizeof(text))
    {
        return 0;
    }

    src = value.data;
    dst = text;
    ngx_unescape_uri(&dst, &src, value.len, 0);

    return (size_t) (dst - text) == ngx_strlen(equal + 1)
           && ngx_memcmp(text, equal + 1, dst - text) == 0;
}


void
nchat_route_method(const nchat_route_t *route, ngx_str_t *name)
{
    const nchat_method_t  *m;

    for (m = nchat_methods; m->method; m++) {
        if (m->method == route->method) {
            break;
        }
    }

    *name = m->name;
}


ngx_str_t *
nchat_route_allow(nchat_ctx_t *ctx)
{
    u_char                *p;
    ngx_str_t              uri, params[2], *allow;
    ngx_uint_t             i, methods;
    const nchat_method_t  *m;

    uri = ctx->uri;
    methods = 0;

    if (uri.len > 1 && uri.data[uri.len - 1] == '/') {
        uri.len--;
    }

    for (i = 0; i < nchat_nroutes; i++) {
        if (nchat_route_match(&nchat_routes[i], &uri, params)) {
            methods |= nchat_routes[i].method;
        }
    }

    if (methods == 0) {
        return NULL;
    }

    if (methods & NGX_HTTP_GET) {
        methods |= NGX_HTTP_HEAD;
    }

    methods |= NGX_HTTP_OPTIONS;

    allow = ngx_palloc(ctx->request->pool, sizeof(ngx_str_t) + 64);
    if (allow == NULL) {
        return NULL;
    }

    allow->data = (u_char *) allow + sizeof(ngx_str_t);
    p = allow->data;

    for (m = nchat_methods; m->method; m++) {
        if (methods & m->method) {
            p = ngx_sprintf(p, "%s%V", p > allow->data ? ", " : "", &m->name);
        }
    }

    allow->len = p - allow->data;

    return allow;
}
