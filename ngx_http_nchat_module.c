/*
 * nchat: a chat API inside nginx.
 *
 * This file is what nginx sees: directives, configuration, phases and the life
 * of a worker.  The way of a request is src/http, the endpoints are src/api.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "nchat_api.h"
#include "nchat_directives.h"
#include "nchat_files.h"
#include "nchat_http.h"
#include "nchat_log.h"
#include "nchat_store.h"
#include "nchat_sync.h"


typedef enum {
    NCHAT_LOCATION_OFF = 0,
    NCHAT_LOCATION_API,
    NCHAT_LOCATION_ERROR
} nchat_location_e;

typedef struct {
    ngx_uint_t  mode;
} nchat_loc_conf_t;


static void *nchat_create_main_conf(ngx_conf_t *cf);
static char *nchat_init_main_conf(ngx_conf_t *cf, void *conf);
static void *nchat_create_srv_conf(ngx_conf_t *cf);
static void *nchat_create_loc_conf(ngx_conf_t *cf);
static char *nchat_location_mode(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t nchat_postconfiguration(ngx_conf_t *cf);
static ngx_int_t nchat_init_process(ngx_cycle_t *cycle);
static void nchat_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  nchat_envelopes[] = {
    { ngx_string("both"), NCHAT_ENVELOPE_BOTH },
    { ngx_string("data"), NCHAT_ENVELOPE_DATA },
    { ngx_string("flat"), NCHAT_ENVELOPE_FLAT },
    { ngx_null_string, 0 }
};

static ngx_conf_post_t  nchat_window_post = { nchat_directive_window };

static ngx_conf_num_bounds_t  nchat_cost_bounds = {
    ngx_conf_check_num_bounds, 4, 16
};


static ngx_command_t  nchat_commands[] = {

    { ngx_string("nchat"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      nchat_location_mode,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      nchat_directive_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_postgres"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(nchat_main_conf_t, db_conf.conninfo),
      NULL },

    { ngx_string("nchat_postgres_read"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(nchat_main_conf_t, db_conf.replica),
      NULL },

    { ngx_string("nchat_postgres_pool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      nchat_directive_pool,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_postgres_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      nchat_directive_timeout,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_jwt_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      nchat_directive_jwt_key,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_token_lifetime"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      nchat_directive_lifetime,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_bcrypt_cost"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(nchat_main_conf_t, bcrypt_cost),
      &nchat_cost_bounds },

    { ngx_string("nchat_thread_pool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(nchat_main_conf_t, pool_name),
      NULL },

    { ngx_string("nchat_rate_limit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      nchat_directive_rate_limit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_rate_limit_window"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(nchat_main_conf_t, window),
      &nchat_window_post },

    { ngx_string("nchat_signin_limit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      nchat_directive_signin_limit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_envelope"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(nchat_main_conf_t, envelope),
      &nchat_envelopes },

    { ngx_string("nchat_cors_origin"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      nchat_directive_origin,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_environment"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      nchat_directive_environment,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_public_url"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      nchat_directive_public_url,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_cookie"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      nchat_directive_cookie,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_storage"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      nchat_files_storage,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_anonymous_uploads"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      nchat_files_anonymous,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("nchat_upload_lifetime"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      nchat_files_lifetime,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  nchat_module_ctx = {
    nchat_log_variables,                   /* preconfiguration */
    nchat_postconfiguration,               /* postconfiguration */

    nchat_create_main_conf,                /* create main configuration */
    nchat_init_main_conf,                  /* init main configuration */

    nchat_create_srv_conf,                 /* create server configuration */
    NULL,                                  /* merge server configuration */

    nchat_create_loc_conf,                 /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_nchat_module = {
    NGX_MODULE_V1,
    &nchat_module_ctx,                     /* module context */
    nchat_commands,                        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    nchat_init_process,                    /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    nchat_exit_process,                    /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_module_t  nchat_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    nchat_filter_init,                     /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_nchat_filter_module = {
    NGX_MODULE_V1,
    &nchat_filter_module_ctx,              /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
nchat_create_main_conf(ngx_conf_t *cf)
{
    ngx_uint_t          i;
    nchat_main_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(nchat_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->keys = ngx_array_create(cf->pool, 2, sizeof(nchat_jwt_key_t));
    if (conf->keys == NULL) {
        return NULL;
    }

    conf->files = nchat_files_create(cf);
    if (conf->files == NULL) {
        return NULL;
    }

    conf->bcrypt_cost = NGX_CONF_UNSET_UINT;
    conf->window = NGX_CONF_UNSET_MSEC;
    conf->envelope = NGX_CONF_UNSET_UINT;
    conf->access_life = NGX_CONF_UNSET;
    conf->refresh_life = NGX_CONF_UNSET;
    conf->signin_address = NGX_CONF_UNSET_UINT;
    conf->signin_email = NGX_CONF_UNSET_UINT;
    conf->signin_window = NGX_CONF_UNSET_MSEC;
    conf->schema = NCHAT_SCHEMA_VERSION;

    conf->db_conf.queue = NGX_CONF_UNSET_UINT;
    conf->db_conf.connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->db_conf.queue_timeout = NGX_CONF_UNSET_MSEC;

    for (i = 0; i < NCHAT_LANES; i++) {
        conf->db_conf.connections[i] = NGX_CONF_UNSET_UINT;
        conf->db_conf.timeout[i] = NGX_CONF_UNSET_MSEC;
    }

    for (i = 0; i < NCHAT_LIMITS; i++) {
        conf->limits[i] = NGX_CONF_UNSET_UINT;
    }

    return conf;
}


static char *
nchat_init_main_conf(ngx_conf_t *cf, void *data)
{
    nchat_main_conf_t *conf = data;

    return nchat_directives_init(cf, conf);
}


static void *
nchat_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(nchat_srv_conf_t));
}


static void *
nchat_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(nchat_loc_conf_t));
}


/* Not inherited: the mode belongs to the location that says it. */

static char *
nchat_location_mode(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_loc_conf_t *conf = data;

    ngx_str_t                 *value;
    nchat_srv_conf_t          *scf;
    ngx_http_core_loc_conf_t  *clcf;

    if (conf->mode) {
        return "is duplicate";
    }

    value = cf->args->elts;
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    scf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_nchat_module);

    if (ngx_strcmp(value[1].data, "api") == 0) {
        conf->mode = NCHAT_LOCATION_API;
        clcf->handler = nchat_content_handler;

    } else if (ngx_strcmp(value[1].data, "upload") == 0) {
        conf->mode = NCHAT_LOCATION_API;
        clcf->handler = nchat_content_handler;
        nchat_files_location(cf);

    } else if (ngx_strcmp(value[1].data, "error") == 0) {
        conf->mode = NCHAT_LOCATION_ERROR;
        clcf->handler = nchat_error_handler;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat: \"%V\" must be \"api\", \"upload\" or "
                           "\"error\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    scf->enabled = 1;
    nchat_directives_used(cf);

    return NGX_CONF_OK;
}


nchat_ctx_t *
nchat_location(ngx_http_request_t *r)
{
    nchat_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_nchat_module);

    if (conf->mode != NCHAT_LOCATION_API || r != r->main) {
        return NULL;
    }

    return nchat_ctx_get(r);
}


/* Within a phase, handlers run in the reverse order of the modules. */

static ngx_int_t
nchat_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                  i;
    nchat_main_conf_t          *conf;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    static const struct {
        ngx_uint_t           phase;
        ngx_http_handler_pt  handler;
    } handlers[] = {
        { NGX_HTTP_POST_READ_PHASE, nchat_post_read_handler },
        { NGX_HTTP_PREACCESS_PHASE, nchat_preaccess_handler },
        { NGX_HTTP_ACCESS_PHASE, nchat_access_handler },
        { NGX_HTTP_LOG_PHASE, nchat_log_handler }
    };

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    nchat_route_init();

    for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        h = ngx_array_push(&cmcf->phases[handlers[i].phase].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = handlers[i].handler;
    }

    if (nchat_directives_check(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_nchat_module);

    /* without a zone the module is not used */

    return conf->zone ? nchat_files_init(cf, conf) : NGX_OK;
}


/* Workers only: not the cache manager, nor the master. */

static ngx_int_t
nchat_init_process(ngx_cycle_t *cycle)
{
    ngx_msec_t          keep;
    nchat_main_conf_t  *conf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_nchat_module);

    if (conf == NULL || conf->zone == NULL) {
        return NGX_OK;
    }

    conf->metrics = nchat_zone_metrics(conf->zone);
    conf->gauges = nchat_zone_gauges_claim(conf->zone);

    conf->db = nchat_db_open(cycle, &conf->db_conf, conf->zone, conf->gauges,
                             conf->resolver, 5000);
    if (conf->db == NULL) {
        return NGX_ERROR;
    }

    /* a token is honoured a little beyond its end, and so is its end */

    keep = (ngx_msec_t) (conf->access_life + 2 * NCHAT_JWT_SKEW) * 1000;

    if (nchat_sweep_start(cycle, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    return nchat_sync_start(cycle, conf->db, conf->zone, conf->schema, keep,
                            nchat_jobs);
}


static void
nchat_exit_process(ngx_cycle_t *cycle)
{
    nchat_main_conf_t  *conf;

    conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_nchat_module);

    if (conf == NULL || conf->db == NULL) {
        return;
    }

    nchat_db_close(conf->db);
    nchat_sync_stop();

    if (conf->gauges) {
        nchat_zone_gauges_release(conf->gauges);
    }
}
