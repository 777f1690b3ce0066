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
 * No arguments at all; of a webhook's path only the id, if it is one; of a
 * signed upload or download the arguments are the secret, and gone anyway.
 */

static u_char *
nchat_log_path(const ngx_str_t *uri, u_char *buf, size_t len)
{
    u_char     *p;
    ngx_str_t   path, id;

    static ngx_str_t  webhook = ngx_string("/api/webhook/");

    path = *uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');
    if (p) {
        path.len = p - path.data;
    }

    if (path.len <= webhook.len
        || ngx_strncasecmp(path.data, webhook.data, webhook.len) != 0)
    {
        return ngx_snprintf(buf, len, "%V", &path);
    }

    id.data = path.data + webhook.len;
    id.len = NCHAT_UUID_LEN;

    if (path.len < webhook.len + id.len
        || nchat_uuid_parse(&id, NULL) != NGX_OK)
    {
        return ngx_snprintf(buf, len, "%V***", &webhook);
    }

    return ngx_snprintf(buf, len, "%V%V%s", &webhook, &id,
                        path.len > webhook.len + id.len + 1 ? "/***" : "");
}
