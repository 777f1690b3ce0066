#include "nchat_http.h"
#include "nchat_log.h"
#include "nchat_uuid.h"


static u_char *nchat_log_error(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len);
static void nchat_log_path(const ngx_str_t *uri, ngx_str_t *shown,
    ngx_str_t *rest);
static ngx_int_t nchat_log_path_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t nchat_log_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* A map of the same name, as earlier versions had one, takes its place. */

static ngx_http_variable_t  nchat_log_vars[] = {

    { ngx_string("nchat_log_path"), NULL, nchat_log_path_variable, 0,
      NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("nchat_request_id"), NULL, nchat_log_id_variable, 0,
      NGX_HTTP_VAR_CHANGEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
nchat_log_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = nchat_log_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


void
nchat_log_mask(ngx_http_request_t *r)
{
    r->log_handler = nchat_log_error;
}


static u_char *
nchat_log_error(ngx_http_request_t *r, ngx_http_request_t *sr, u_char *buf,
    size_t len)
{
    u_char                    *p;
    ngx_str_t                  shown, rest;
    nchat_ctx_t               *ctx;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    ctx = nchat_ctx_get(r);

    p = ngx_snprintf(buf, len, ", server: %V", &cscf->server_name);
    len -= p - buf;
    buf = p;

    if (ctx == NULL) {
        return buf;
    }

    nchat_log_path(&ctx->uri, &shown, &rest);

    return ngx_snprintf(buf, len, ", request_id: %V, request: \"%V %V%V\"",
                        &ctx->request_id, &r->method_name, &shown, &rest);
}


/*
 * The beginning of a path that may be shown, and what stands for the rest of
 * it.  No arguments at all; of a webhook's path only the id, if it is one,
 * also where what comes before it is mistyped; of a signed upload or download
 * the arguments are the secret, and gone anyway.
 */

static void
nchat_log_path(const ngx_str_t *uri, ngx_str_t *shown, ngx_str_t *rest)
{
    u_char     *p, *last;
    ngx_str_t   id;

    static ngx_str_t  webhook = ngx_string("/webhook/");

    *shown = *uri;
    ngx_str_null(rest);

    last = uri->data + uri->len;
    p = ngx_strlchr(uri->data, last, '?');

    if (p) {
        last = p;
        shown->len = last - uri->data;
    }

    /* the search does not look at the length, and there may be no path */

    p = (shown->len < webhook.len)
        ? NULL : ngx_strlcasestrn(uri->data, last, webhook.data,
                                  webhook.len - 1);

    if (p == NULL) {
        return;
    }

    p += webhook.len;

    id.data = p;
    id.len = ngx_min(NCHAT_UUID_LEN, (size_t) (last - p));

    if (nchat_uuid_parse(&id, NULL) == NGX_OK) {
        p += id.len;

        if (p < last && *p == '/') {
            p++;
        }
    }

    if (p < last) {
        shown->len = p - uri->data;
        ngx_str_set(rest, "***");
    }
}


static ngx_int_t
nchat_log_path_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t     uri, shown, rest;
    nchat_ctx_t  *ctx;

    ctx = nchat_ctx_get(r);

    if (ctx) {
        uri = ctx->uri;

    } else {
        nchat_ctx_path(r, &uri);
    }

    nchat_log_path(&uri, &shown, &rest);

    if (shown.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = shown.data;

    if (rest.len) {
        v->data = ngx_pnalloc(r->pool, shown.len + rest.len);
        if (v->data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ngx_cpymem(v->data, shown.data, shown.len), rest.data,
                   rest.len);
    }

    v->len = shown.len + rest.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
nchat_log_id_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    nchat_ctx_t  *ctx;

    ctx = nchat_ctx_get(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = ctx->request_id.data;
    v->len = ctx->request_id.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
