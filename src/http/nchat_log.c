#include "nchat_http.h"
#include "nchat_log.h"
#include "nchat_uuid.h"


static u_char *nchat_log_error(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len);
static u_char *nchat_log_path(const ngx_str_t *uri, u_char *buf, size_t len);


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

    p = ngx_snprintf(buf, len, ", request_id: %V, request: \"%V ",
                     &ctx->request_id, &r->method_name);
    len -= p - buf;
    buf = p;

    p = nchat_log_path(&ctx->uri, buf, len);
    len -= p - buf;
    buf = p;

    return ngx_snprintf(buf, len, "\"");
}


/*
 * No arguments at all; of a webhook's path only the id, if it is one, also
 * where what comes before it is mistyped; of a signed upload or download the
 * arguments are the secret, and gone anyway.
 */

static u_char *
nchat_log_path(const ngx_str_t *uri, u_char *buf, size_t len)
{
    u_char     *p;
    ngx_str_t   path, id;

    static ngx_str_t  webhook = ngx_string("/webhook/");

    path = *uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');
    if (p) {
        path.len = p - path.data;
    }

    p = ngx_strlcasestrn(path.data, path.data + path.len, webhook.data,
                         webhook.len - 1);

    if (p == NULL || p + webhook.len == path.data + path.len) {
        return ngx_snprintf(buf, len, "%V", &path);
    }

    id.data = p + webhook.len;
    id.len = ngx_min(NCHAT_UUID_LEN,
                     (size_t) (path.data + path.len - id.data));

    if (nchat_uuid_parse(&id, NULL) != NGX_OK) {
        path.len = id.data - path.data;
        return ngx_snprintf(buf, len, "%V***", &path);
    }

    p = id.data + id.len;

    if (p + 1 >= path.data + path.len) {
        return ngx_snprintf(buf, len, "%V", &path);
    }

    path.len = p - path.data;

    return ngx_snprintf(buf, len, "%V/***", &path);
}
