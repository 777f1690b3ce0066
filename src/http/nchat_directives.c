#include "nchat_directives.h"


/* a "name=value" word: where its value goes */

typedef struct {
    const char  *name;
    void        *target;
    ngx_uint_t   time;            /* 0: a number; 1: milliseconds; 2: seconds */
} nchat_word_t;


static char *nchat_directive_words(ngx_conf_t *cf, const nchat_word_t *words);
static const char *nchat_directives_lack(const nchat_main_conf_t *conf);


static const char  *nchat_limit_names[] = {
    "default", "upload", "search", "webhook", "probe"
};

static const ngx_uint_t  nchat_limit_defaults[] = { 60, 30, 60, 30, 600 };


/* Sets what each of the directive's words says; the value is at least 1. */

static char *
nchat_directive_words(ngx_conf_t *cf, const nchat_word_t *words)
{
    size_t               len;
    ngx_int_t            n;
    ngx_str_t           *value, text;
    ngx_uint_t           i;
    const nchat_word_t  *w;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (w = words; w->name; w++) {
            len = ngx_strlen(w->name);

            if (value[i].len > len + 1 && value[i].data[len] == '='
                && ngx_strncmp(value[i].data, w->name, len) == 0)
            {
                break;
            }
        }

        if (w->name == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%V: unknown parameter \"%V\"", &value[0],
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        text.data = value[i].data + len + 1;
        text.len = value[i].len - len - 1;

        n = w->time ? ngx_parse_time(&text, w->time == 2)
                    : ngx_atoi(text.data, text.len);

        if (n == NGX_ERROR || n == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%V: \"%V\" needs a %s above zero", &value[0],
                               &value[i], w->time ? "time" : "number");
            return NGX_CONF_ERROR;
        }

        *(ngx_int_t *) w->target = n;
    }

    return NGX_CONF_OK;
}


char *
nchat_directive_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    ssize_t     size;
    ngx_str_t  *value;

    if (conf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[2]);

    if (size < (ssize_t) (1024 * 1024)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_zone: \"%V\" is no size of at least 1m",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    conf->zone = nchat_zone_add(cf, &value[1], size, &ngx_http_nchat_module);

    return conf->zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
nchat_directive_pool(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    const nchat_word_t  words[] = {
        { "fast", &conf->db_conf.connections[NCHAT_LANE_FAST], 0 },
        { "batch", &conf->db_conf.connections[NCHAT_LANE_BATCH], 0 },
        { "lock", &conf->db_conf.connections[NCHAT_LANE_LOCK], 0 },
        { "slow", &conf->db_conf.connections[NCHAT_LANE_SLOW], 0 },
        { "queue", &conf->db_conf.queue, 0 },
        { NULL, NULL, 0 }
    };

    return nchat_directive_words(cf, words);
}


char *
nchat_directive_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    const nchat_word_t  words[] = {
        { "connect", &conf->db_conf.connect_timeout, 1 },
        { "queue", &conf->db_conf.queue_timeout, 1 },
        { "fast", &conf->db_conf.timeout[NCHAT_LANE_FAST], 1 },
        { "batch", &conf->db_conf.timeout[NCHAT_LANE_BATCH], 1 },
        { "lock", &conf->db_conf.timeout[NCHAT_LANE_LOCK], 1 },
        { "slow", &conf->db_conf.timeout[NCHAT_LANE_SLOW], 1 },
        { NULL, NULL, 0 }
    };

    return nchat_directive_words(cf, words);
}


char *
nchat_directive_jwt_key(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    ngx_str_t   *value;
    const char  *why;

    value = cf->args->elts;

    why = nchat_jwt_key_load(cf->pool, conf->keys, &value[1],
                             cf->args->nelts - 1, &cf->cycle->conf_prefix);

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "nchat_jwt_key: %s", why);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
nchat_directive_lifetime(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    const nchat_word_t  words[] = {
        { "access", &conf->access_life, 2 },
        { "refresh", &conf->refresh_life, 2 },
        { NULL, NULL, 0 }
    };

    return nchat_directive_words(cf, words);
}


char *
nchat_directive_rate_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    ngx_int_t   n;
    ngx_str_t  *value;
    ngx_uint_t  i;

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "off") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "nchat_rate_limit: \"%V\" must be \"off\" or "
                               "a class and a number", &value[1]);
            return NGX_CONF_ERROR;
        }

        conf->limits_off = 1;
        return NGX_CONF_OK;
    }

    for (i = 0; i < NCHAT_LIMITS; i++) {
        if (ngx_strcmp(value[1].data, nchat_limit_names[i]) == 0) {
            break;
        }
    }

    n = ngx_atoi(value[2].data, value[2].len);

    if (i == NCHAT_LIMITS || n == NGX_ERROR || n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_rate_limit: \"%V %V\" must be default, "
                           "upload, search, webhook or probe and a number "
                           "above zero", &value[1], &value[2]);
        return NGX_CONF_ERROR;
    }

    conf->limits[i] = n;

    return NGX_CONF_OK;
}


char *
nchat_directive_window(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *window = data;

    return *window ? NGX_CONF_OK : "must be above zero";
}


char *
nchat_directive_signin_limit(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    const nchat_word_t  words[] = {
        { "address", &conf->signin_address, 0 },
        { "email", &conf->signin_email, 0 },
        { "window", &conf->signin_window, 1 },
        { NULL, NULL, 0 }
    };

    return nchat_directive_words(cf, words);
}


char *
nchat_directive_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    u_char      *p;
    ngx_str_t   *value, *origin;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (conf->origins == NULL) {
        conf->origins = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
        if (conf->origins == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strstr(value[i].data, "://");

        if (p == NULL || p[3] == '\0' || ngx_strchr(p + 3, '/')) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "nchat_cors_origin: \"%V\" must be scheme, "
                               "host and port only, like "
                               "https://chat.example.com", &value[i]);
            return NGX_CONF_ERROR;
        }

        origin = ngx_array_push(conf->origins);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}


/* It stands in JSON as it is. */

char *
nchat_directive_environment(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    size_t      i;
    ngx_str_t  *value;

    value = cf->args->elts;

    for (i = 0; i < value[1].len; i++) {
        if (!isalnum(value[1].data[i]) && value[1].data[i] != '-'
            && value[1].data[i] != '_')
        {
            break;
        }
    }

    if (i == 0 || i < value[1].len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_environment: \"%V\" may only have "
                           "letters, digits, - and _", &value[1]);
        return NGX_CONF_ERROR;
    }

    conf->environment = value[1];

    return NGX_CONF_OK;
}


char *
nchat_directive_public_url(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    u_char     *p;
    ngx_str_t  *value;

    value = cf->args->elts;
    p = value[1].data;

    if (ngx_strncmp(p, "http://", 7) != 0
        && ngx_strncmp(p, "https://", 8) != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_public_url: \"%V\" must begin with http:// "
                           "or https://", &value[1]);
        return NGX_CONF_ERROR;
    }

    p = (u_char *) ngx_strstr(p, "//") + 2;

    if (*p == '\0' || ngx_strchr("/:?#", *p)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_public_url: \"%V\" names no host",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    /* it stands in JSON and in front of paths */

    for ( /* void */ ; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f || ngx_strchr("\"\\<>?#", *p)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "nchat_public_url: \"%V\" may have a host, a "
                               "port and a path, all of them in ASCII",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    conf->public_url = value[1];

    while (conf->public_url.data[conf->public_url.len - 1] == '/') {
        conf->public_url.len--;
    }

    return NGX_CONF_OK;
}


char *
nchat_directive_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    nchat_main_conf_t *conf = data;

    size_t      i;
    ngx_str_t  *value;

    value = cf->args->elts;

    /* RFC 6265, section 4.1.1: a token */

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] <= ' ' || value[1].data[i] >= 0x7f
            || ngx_strchr("()<>@,;:\\\"/[]?={}", value[1].data[i]))
        {
            break;
        }
    }

    if (i == 0 || i < value[1].len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_cookie: \"%V\" cannot be a cookie's name",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    conf->cookie = value[1];

    if (cf->args->nelts == 3) {
        conf->cookie_flags = value[2];

    } else {
        ngx_str_set(&conf->cookie_flags,
                    "Secure; HttpOnly; SameSite=Lax; Path=/");
    }

    return NGX_CONF_OK;
}


char *
nchat_directives_init(ngx_conf_t *cf, nchat_main_conf_t *conf)
{
    ngx_uint_t        i;
    nchat_db_conf_t  *db;

    static const ngx_uint_t  connections[] = { 2, 2, 2, 2, 2, 1 };
    static const ngx_msec_t  timeouts[] = {
        5000, 5000, 10000, 15000, 15000, 5000
    };

    db = &conf->db_conf;

    ngx_conf_init_uint_value(db->queue, 1024);
    ngx_conf_init_msec_value(db->connect_timeout, 2000);
    ngx_conf_init_msec_value(db->queue_timeout, 2000);

    for (i = 0; i < NCHAT_LANES; i++) {
        ngx_conf_init_uint_value(db->connections[i], connections[i]);
        ngx_conf_init_msec_value(db->timeout[i], timeouts[i]);
    }

    /* replicas do the slow lane's work */

    db->connections[NCHAT_LANE_REPLICA] = db->connections[NCHAT_LANE_SLOW];
    db->timeout[NCHAT_LANE_REPLICA] = db->timeout[NCHAT_LANE_SLOW];

    for (i = 0; i < NCHAT_LIMITS; i++) {
        ngx_conf_init_uint_value(conf->limits[i], nchat_limit_defaults[i]);
    }

    ngx_conf_init_msec_value(conf->window, 60000);
    ngx_conf_init_uint_value(conf->signin_address, 5);
    ngx_conf_init_uint_value(conf->signin_email, 50);
    ngx_conf_init_msec_value(conf->signin_window, 15 * 60 * 1000);
    ngx_conf_init_uint_value(conf->bcrypt_cost, 10);
    ngx_conf_init_uint_value(conf->envelope, NCHAT_ENVELOPE_BOTH);
    ngx_conf_init_value(conf->access_life, 24 * 3600);
    ngx_conf_init_value(conf->refresh_life, 30 * 24 * 3600);

    if (conf->environment.data == NULL) {
        ngx_str_set(&conf->environment, "production");
    }

    if (conf->pool_name.data == NULL) {
        ngx_str_set(&conf->pool_name, "nchat");
    }

    return NGX_CONF_OK;
}


/* some location of this configuration is ours */

static ngx_cycle_t  *nchat_used_by;


void
nchat_directives_used(ngx_conf_t *cf)
{
    nchat_used_by = cf->cycle;
}


ngx_int_t
nchat_directives_check(ngx_conf_t *cf)
{
    const char                *why;
    ngx_http_core_loc_conf_t  *clcf;
    nchat_main_conf_t         *conf;

    conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_nchat_module);

    if (nchat_used_by != cf->cycle) {
        conf->zone = NULL;
        return NGX_OK;
    }

    conf->signer = nchat_jwt_signer(conf->keys);
    why = nchat_directives_lack(conf);

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", why);
        return NGX_ERROR;
    }

    conf->threads = ngx_thread_pool_add(cf, &conf->pool_name);

    conf->file_threads = ngx_thread_pool_add(cf, NULL);

    if (conf->threads == NULL || conf->file_threads == NULL) {
        return NGX_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    conf->resolver = clcf->resolver;

    why = nchat_db_conf_init(cf, &conf->db_conf);

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "nchat_postgres: the connection string cannot be "
                           "used: %s", why);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* What has no default and is missing, or does not go together; or NULL. */

static const char *
nchat_directives_lack(const nchat_main_conf_t *conf)
{
    if (conf->zone == NULL) {
        return "nchat needs shared memory: add \"nchat_zone nchat 32m;\" to "
               "the http block";
    }

    if (conf->db_conf.conninfo.len == 0) {
        return "nchat needs its database: add \"nchat_postgres <connection "
               "string>;\" to the http block";
    }

    /* sessions are forgotten some time after their refresh tokens ended */

    if (conf->access_life < 1 || conf->access_life > conf->refresh_life) {
        return "nchat_token_lifetime: access tokens must live for 1s at "
               "least, and no longer than refresh tokens";
    }

    if (conf->signer == NULL) {
        return "nchat needs a key to sign tokens with: add \"nchat_jwt_key "
               "file:<path>;\" with an HS256 key of at least 32 bytes to the "
               "http block";
    }

    return NULL;
}
