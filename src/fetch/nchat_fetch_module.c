/*
 * Outbound requests as nginx sees them: directives and configuration.  It is a
 * module of its own, in the same object, since its filters have a place of
 * their own.
 */

#include "nchat_fetch.h"
#include "nchat_fetch_conf.h"

#include <libxml/parser.h>


#define NCHAT_FETCH_KEY_MAX  1024


typedef struct {
    ngx_uint_t  fetches;
} nchat_fetch_loc_conf_t;


static void *nchat_fetch_create_main_conf(ngx_conf_t *cf);
static void *nchat_fetch_create_loc_conf(ngx_conf_t *cf);
static ngx_int_t nchat_fetch_init_process(ngx_cycle_t *cycle);
static void nchat_fetch_exit_process(ngx_cycle_t *cycle);
static char *nchat_fetch_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *nchat_fetch_allow(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *nchat_fetch_translate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *nchat_fetch_gif(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *nchat_fetch_service(ngx_conf_t *cf, nchat_service_t *service,
    ngx_str_t *text);
static char *nchat_fetch_key(ngx_conf_t *cf, nchat_service_t *service,
    ngx_str_t *name);


static ngx_command_t  nchat_fetch_commands[] = {

    { ngx_string("nchat_fetch"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      nchat_fetch_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_fetch_allow"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      nchat_fetch_allow,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_translate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      nchat_fetch_translate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_gif"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE23,
      nchat_fetch_gif,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  nchat_fetch_module_ctx = {
    nchat_fetch_variables,                 /* preconfiguration */
    nchat_fetch_init,                      /* postconfiguration */

    nchat_fetch_create_main_conf,          /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    nchat_fetch_create_loc_conf,           /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_nchat_fetch_module = {
    NGX_MODULE_V1,
    &nchat_fetch_module_ctx,               /* module context */
    nchat_fetch_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    nchat_fetch_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    nchat_fetch_exit_process,              /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* by nchat_fetch_kind_e */

static ngx_str_t  nchat_fetch_kinds[] = {
    ngx_string("preview"),
    ngx_string("translate"),
    ngx_string("gif")
};


/* by nchat_gif_provider_e */

static struct {
    ngx_str_t  name;
    ngx_str_t  url;
} nchat_gif_providers[] = {
    { ngx_string("giphy"), ngx_string("https://api.giphy.com") },
    { ngx_string("tenor"), ngx_string("https://tenor.googleapis.com") }
};


static void *
nchat_fetch_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(nchat_fetch_conf_t));
}


static void *
nchat_fetch_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(nchat_fetch_loc_conf_t));
}


/* libxml2 prepares itself once, before anybody parses. */

static ngx_int_t
nchat_fetch_init_process(ngx_cycle_t *cycle)
{
    xmlInitParser();

    return NGX_OK;
}


static void
nchat_fetch_exit_process(ngx_cycle_t *cycle)
{
    xmlCleanupParser();
}


nchat_fetch_conf_t *
nchat_fetch_conf(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_nchat_fetch_module);
}


ngx_uint_t
nchat_location_fetches(ngx_http_request_t *r)
{
    nchat_fetch_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_nchat_fetch_module);

    return conf->fetches;
}


/* Not inherited: it is of the location that says it. */

static char *
nchat_fetch_location(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_fetch_loc_conf_t *conf = data;

    ngx_str_t                 *value, *known;
    ngx_uint_t                 i;
    nchat_fetch_conf_t        *fcf;
    ngx_http_core_loc_conf_t  *clcf;

    if (conf->fetches) {
        return "is duplicate";
    }

    value = cf->args->elts;
    fcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_nchat_fetch_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    for (i = 0; i < NCHAT_FETCH_KINDS; i++) {
        if (value[1].len == nchat_fetch_kinds[i].len
            && ngx_strcmp(value[1].data, nchat_fetch_kinds[i].data) == 0)
        {
            break;
        }
    }

    if (i == NCHAT_FETCH_KINDS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_fetch: \"%V\" must be \"preview\", "
                           "\"translate\" or \"gif\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (!clcf->exact_match) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_fetch needs an exact location, such as "
                           "\"location = %V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    known = &fcf->locations[i];

    if (known->len
        && (known->len != clcf->name.len
            || ngx_memcmp(known->data, clcf->name.data, known->len) != 0))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_fetch %V: the location must have the same "
                           "name in every server; it was \"%V\" before",
                           &value[1], known);
        return NGX_CONF_ERROR;
    }

    *known = clcf->name;
    conf->fetches = 1;

    return NGX_CONF_OK;
}


static char *
nchat_fetch_allow(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_fetch_conf_t *conf = data;

    ngx_str_t            *value;
    nchat_guard_allow_t  *allow;

    value = cf->args->elts;

    if (conf->allow == NULL) {
        conf->allow = ngx_array_create(cf->pool, 4,
                                       sizeof(nchat_guard_allow_t));
        if (conf->allow == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    allow = ngx_array_push(conf->allow);
    if (allow == NULL) {
        return NGX_CONF_ERROR;
    }

    if (nchat_guard_parse_allow(&value[1],
                                cf->args->nelts == 3 ? &value[2] : NULL, allow)
        != NGX_OK)
    {
        return "needs an address or a range such as 10.0.0.0/8, without bits "
               "behind its prefix, and a port or none";
    }

    return NGX_CONF_OK;
}


static char *
nchat_fetch_translate(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_fetch_conf_t *conf = data;

    ngx_str_t  *value, name;

    if (conf->translate.set) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 3) {

        if (ngx_strncmp(value[2].data, "key_file=", 9) != 0) {
            return "knows no parameter but key_file=";
        }

        name.data = value[2].data + 9;
        name.len = value[2].len - 9;

        if (nchat_fetch_key(cf, &conf->translate, &name) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return nchat_fetch_service(cf, &conf->translate, &value[1]);
}


static char *
nchat_fetch_gif(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_fetch_conf_t *conf = data;

    ngx_str_t   *value, name, url;
    ngx_uint_t   i, provider;

    if (conf->gif.set) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (provider = 0; provider < 2; provider++) {
        if (ngx_strcmp(value[1].data, nchat_gif_providers[provider].name.data)
            == 0)
        {
            break;
        }
    }

    if (provider == 2) {
        return "knows the providers giphy and tenor only";
    }

    conf->gif.provider = provider;
    url = nchat_gif_providers[provider].url;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "url=", 4) == 0) {
            url.data = value[i].data + 4;
            url.len = value[i].len - 4;
            continue;
        }

        if (ngx_strncmp(value[i].data, "key_file=", 9) != 0) {
            return "knows no parameters but key_file= and url=";
        }

        name.data = value[i].data + 9;
        name.len = value[i].len - 9;

        if (nchat_fetch_key(cf, &conf->gif, &name) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (conf->gif.key.len == 0) {
        return "needs key_file=";
    }

    return nchat_fetch_service(cf, &conf->gif, &url);
}


/*
 * The host is looked up now, as for a plain proxy_pass, or it is the name of an
 * upstream block.
 */

static char *
nchat_fetch_service(ngx_conf_t *cf, nchat_service_t *service, ngx_str_t *text)
{
    ngx_url_t     u;
    const char   *why;
    nchat_url_t   url;

    switch (nchat_url_parse(cf->pool, text, NULL, &url, &why)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %s", text, why);
        return NGX_CONF_ERROR;

    default:
        return NGX_CONF_ERROR;
    }

    if (url.query.len) {
        return "takes a URL without a query";
    }

    service->set = 1;
    service->authority = url.authority;
    service->name = url.host.name;
    service->base = url.href;

    while (service->base.data[service->base.len - 1] == '/') {
        service->base.len--;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = url.authority;
    u.default_port = url.ssl ? 443 : 80;
    u.no_resolve = 1;

    if (ngx_http_upstream_add(cf, &u, 0) == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
nchat_fetch_key(ngx_conf_t *cf, nchat_service_t *service, ngx_str_t *name)
{
    u_char    *p, *last;
    ssize_t    n;
    ngx_fd_t   fd;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    p = ngx_pnalloc(cf->pool, NCHAT_FETCH_KEY_MAX);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "cannot open the key file \"%V\"", name);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, p, NCHAT_FETCH_KEY_MAX);
    (void) ngx_close_file(fd);

    if (n <= 0 || n == NCHAT_FETCH_KEY_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the key file \"%V\" is empty or too large", name);
        return NGX_CONF_ERROR;
    }

    for (last = p + n; last > p && last[-1] <= ' '; last--) { /* void */ }

    service->key.data = p;
    service->key.len = last - p;

    for ( /* void */ ; p < last; p++) {
        if (*p <= ' ' || *p > '~') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the key file \"%V\" has "
                               "more than one word of ASCII", name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}
