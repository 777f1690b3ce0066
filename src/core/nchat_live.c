#include "nchat_live.h"
#include "nchat_crypto.h"



static nchat_live_t *nchat_live_load(ngx_str_t *text, uint64_t version,
    ngx_log_t *log);
static ngx_int_t nchat_live_render(nchat_live_t *live, uint64_t version);
static ngx_uint_t nchat_live_secret(const char *name);
static void nchat_live_strip(json_t *value);
static void nchat_live_cleanup(void *data);


static const char  *nchat_live_secrets[] = {
    "secret", "token", "password", "apikey", "privatekey", NULL
};


/* one worker, one copy */

static nchat_live_t       *nchat_live_current;
static ngx_atomic_uint_t   nchat_live_serial;


nchat_live_t *
nchat_live_acquire(nchat_zone_t *zone, ngx_log_t *log)
{
    uint64_t       version;
    ngx_str_t      text;
    nchat_live_t  *live;

    if (nchat_zone_config_get(zone, &nchat_live_serial, &version, &text)
        == NGX_OK)
    {
        nchat_count(nchat_zone_metrics(zone), NCHAT_M_CONFIG_LOAD);

        live = nchat_live_load(&text, version, log);
        free(text.data);

        if (live) {
            nchat_live_release(nchat_live_current);
            nchat_live_current = live;
        }
    }

    if (nchat_live_current) {
        nchat_live_current->refs++;
    }

    return nchat_live_current;
}


void
nchat_live_release(nchat_live_t *live)
{
    if (live == NULL || --live->refs) {
        return;
    }

    json_decref(live->doc);
    free(live->members.data);
    free(live);
}


nchat_live_t *
nchat_live_keep(nchat_zone_t *zone, ngx_pool_t *pool)
{
    nchat_live_t        *live;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    live = nchat_live_acquire(zone, pool->log);

    if (live) {
        cln->handler = nchat_live_cleanup;
        cln->data = live;
    }

    return live;
}


static void
nchat_live_cleanup(void *data)
{
    nchat_live_release(data);
}


static nchat_live_t *
nchat_live_load(ngx_str_t *text, uint64_t version, ngx_log_t *log)
{
    json_error_t   error;
    nchat_live_t  *live;

    live = calloc(1, sizeof(nchat_live_t));
    if (live == NULL) {
        return NULL;
    }

    live->refs = 1;
    live->doc = json_loadb((char *) text->data, text->len, 0, &error);

    if (live->doc == NULL || nchat_live_render(live, version) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "nchat: the stored configuration %uL cannot be read: "
                      "%s; the one before stays in force",
                      version, live->doc ? "out of memory" : error.text);
        nchat_live_release(live);
        return NULL;
    }

    return live;
}


static ngx_int_t
nchat_live_render(nchat_live_t *live, uint64_t version)
{
    char    *text;
    json_t  *doc;
    size_t   len;
    u_char   digest[32], *p;

    doc = nchat_live_public(live->doc);
    if (doc == NULL) {
        return NGX_ERROR;
    }

    text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);

    if (text == NULL) {
        return NGX_ERROR;
    }

    len = ngx_strlen(text);

    p = malloc(sizeof("\"config\":,\"version\":\"\"") + len
               + NGX_INT64_LEN);
    if (p == NULL) {
        free(text);
        return NGX_ERROR;
    }

    live->members.data = p;
    p = ngx_cpymem(p, "\"config\":", sizeof("\"config\":") - 1);
    p = ngx_cpymem(p, text, len);
    p = ngx_sprintf(p, ",\"version\":\"%uL\"", version);
    live->members.len = p - live->members.data;

    free(text);

    nchat_sha256(digest, live->members.data, live->members.len);

    p = live->etag_data;
    *p++ = '"';
    p = ngx_hex_dump(p, digest, 16);
    *p++ = '"';

    live->etag.data = live->etag_data;
    live->etag.len = p - live->etag_data;

    return NGX_OK;
}


json_t *
nchat_live_public(const json_t *doc)
{
    json_t  *copy;

    copy = json_deep_copy(doc);

    if (copy) {
        (void) json_object_del(json_object_get(copy, "owner"), "email");
        nchat_live_strip(copy);
    }

    return copy;
}


static void
nchat_live_strip(json_t *value)
{
    void        *next;
    size_t       i;
    json_t      *member;
    const char  *name;

    if (json_is_array(value)) {
        json_array_foreach(value, i, member) {
            nchat_live_strip(member);
        }

        return;
    }

    json_object_foreach_safe(value, next, name, member) {

        if (json_is_string(member) && nchat_live_secret(name)) {
            (void) json_object_del(value, name);
            continue;
        }

        nchat_live_strip(member);
    }
}


static ngx_uint_t
nchat_live_secret(const char *name)
{
    ngx_uint_t  i;

    for (i = 0; nchat_live_secrets[i]; i++) {
        if (strcasestr(name, nchat_live_secrets[i])) {
            return 1;
        }
    }

    return 0;
}


json_t *
nchat_live_get(const nchat_live_t *live, const char *path)
{
    char         name[64];
    size_t       len;
    json_t      *value;
    const char  *dot;

    value = live->doc;

    for ( ;; ) {
        dot = strchr(path, '.');
        len = dot ? (size_t) (dot - path) : ngx_strlen(path);

        if (len >= sizeof(name)) {
            return NULL;
        }

        ngx_memcpy(name, path, len);
        name[len] = '\0';

        value = json_object_get(value, name);

        if (value == NULL || dot == NULL) {
            return value;
        }

        path = dot + 1;
    }
}


ngx_uint_t
nchat_live_flag(const nchat_live_t *live, const char *path,
    ngx_uint_t absent_value)
{
    json_t  *value;

    value = nchat_live_get(live, path);

    return json_is_boolean(value) ? (ngx_uint_t) json_is_true(value)
                                  : absent_value;
}
