#include "nchat_files.h"
#include "nchat_store.h"
#include "nchat_crypto.h"


#define NCHAT_FILES_QUOTA     (INT64_C(1024) * 1024 * 1024)
#define NCHAT_FILES_LIFETIME  900


static const nchat_store_t  *nchat_stores[] = {
    &nchat_store_local,
    &nchat_store_s3,
    NULL
};


nchat_files_conf_t *
nchat_files_create(ngx_conf_t *cf)
{
    nchat_files_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(nchat_files_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->incoming = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    conf->keys = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));

    if (conf->incoming == NULL || conf->keys == NULL) {
        return NULL;
    }

    conf->lifetime = NGX_CONF_UNSET;

    return conf;
}


char *
nchat_files_storage(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    ngx_str_t             *value;
    const char            *why;
    const nchat_store_t  **store;

    if (conf->files->store) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (store = nchat_stores; *store; store++) {
        if ((*store)->name.len == value[1].len
            && ngx_memcmp((*store)->name.data, value[1].data, value[1].len)
               == 0)
        {
            break;
        }
    }

    if (*store == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_storage: \"%V\" must be \"local\" or \"s3\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    conf->files->store = *store;
    why = (*store)->configure(cf, conf->files, &value[2],
                              cf->args->nelts - 2);
    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "nchat_storage: %s", why);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
nchat_files_anonymous(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    off_t       quota;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (conf->files->anonymous) {
        return "is duplicate";
    }

    if (ngx_strcmp(value[1].data, "on") == 0) {
        conf->files->anonymous = NCHAT_ANONYMOUS_ALL;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        conf->files->anonymous = NCHAT_ANONYMOUS_NO;
        return NGX_CONF_OK;
    }

    quota = ngx_parse_offset(&value[1]);

    if (quota == (off_t) NGX_ERROR || quota == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_anonymous_uploads: \"%V\" must be \"on\", "
                           "\"off\" or a size for each day, such as 1g",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    conf->files->anonymous = quota;

    return NGX_CONF_OK;
}


char *
nchat_files_lifetime(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (conf->files->lifetime != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    conf->files->lifetime = ngx_parse_time(&value[1], 1);

    /* S3 allows no more than a week */

    if (conf->files->lifetime < 1 || conf->files->lifetime > 7 * 24 * 3600) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_upload_lifetime: \"%V\" must be a time from "
                           "1s to 7d", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* The path gets its name at the end of the http block. */

void
nchat_files_location(ngx_conf_t *cf)
{
    nchat_main_conf_t         *conf;
    ngx_http_core_loc_conf_t  *clcf;

    conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_nchat_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->client_body_temp_path = conf->files->incoming;
}


/*
 * PUTs are signed with a key of their own, derived from the one that signs
 * tokens, so that a signature of the one kind is never one of the other.
 */

static ngx_int_t
nchat_files_keys(ngx_conf_t *cf, nchat_main_conf_t *conf)
{
    ngx_str_t        *key, purpose = ngx_string("nchat upload");
    ngx_uint_t        i;
    nchat_jwt_key_t  *jwt;

    jwt = conf->keys->elts;

    for (i = 0; i < conf->keys->nelts; i++) {

        if (jwt[i].external) {
            continue;
        }

        key = ngx_array_push(conf->files->keys);
        if (key == NULL) {
            return NGX_ERROR;
        }

        key->len = NCHAT_SHA256_LEN;
        key->data = ngx_pnalloc(cf->pool, key->len);

        if (key->data == NULL
            || nchat_hmac_sha256(key->data, &jwt[i].key, &purpose) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
nchat_files_init(ngx_conf_t *cf, nchat_main_conf_t *conf)
{
    ngx_str_t            dir = ngx_string("files");
    const char          *why;
    nchat_files_conf_t  *files;

    files = conf->files;

    if (files->anonymous == 0) {
        files->anonymous = NCHAT_FILES_QUOTA;
    }

    ngx_conf_init_value(files->lifetime, NCHAT_FILES_LIFETIME);

    if (files->store == NULL) {
        files->store = &nchat_store_local;
        why = files->store->configure(cf, files, &dir, 1);

        if (why) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "nchat_storage: %s", why);
            return NGX_ERROR;
        }
    }

    if (files->store->init && files->store->init(cf, files) != NGX_OK) {
        return NGX_ERROR;
    }

    return nchat_files_keys(cf, conf);
}


/*
 * nginx has checked the Host's form, but not that it could stand in JSON and
 * in a URL.
 */

ngx_int_t
nchat_files_base(nchat_ctx_t *ctx, ngx_str_t *base)
{
    u_char               ch;
    size_t               i;
    ngx_str_t           *host;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->conf->public_url.len) {
        *base = ctx->conf->public_url;
        return NGX_OK;
    }

    host = r->headers_in.host ? &r->headers_in.host->value : NULL;

    for (i = 0; host && i < host->len; i++) {
        ch = host->data[i];

        if (!isalnum(ch) && ch != '.' && ch != '-' && ch != '_' && ch != ':'
            && ch != '[' && ch != ']')
        {
            break;
        }
    }

    if (host == NULL || host->len == 0 || host->len > 255 || i < host->len) {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "The Host header is missing or malformed");
        return NGX_ERROR;
    }

    base->data = ngx_pnalloc(r->pool, sizeof("https://") + host->len);
    if (base->data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    base->len = ngx_sprintf(base->data, "http%s://%V",
#if (NGX_HTTP_SSL)
                            r->connection->ssl ? "s" : "",
#else
                            "",
#endif
                            host)
                - base->data;

    return NGX_OK;
}
