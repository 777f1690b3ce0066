#include "nchat_live.h"
#include "nchat_crypto.h"



static nchat_live_t *nchat_live_load(ngx_str_t *doc, ngx_str_t *open,
    uint64_t version, ngx_log_t *log);
static u_char *nchat_live_compact(u_char *dst, const ngx_str_t *json);
static ngx_int_t nchat_live_render(nchat_live_t *live, ngx_str_t *open,
    uint64_t version);
static void nchat_live_cleanup(void *data);


/* one worker, one copy */

static nchat_live_t       *nchat_live_current;
static ngx_atomic_uint_t   nchat_live_serial;


nchat_live_t *
nchat_live_acquire(nchat_zone_t *zone, ngx_log_t *log)
{
    uint64_t       version;
    ngx_str_t      doc, open;
    nchat_live_t  *live;

    if (nchat_zone_config_get(zone, &nchat_live_serial, &version, &doc, &open)
        == NGX_OK)
    {
        nchat_count(nchat_zone_metrics(zone), NCHAT_M_CONFIG_LOAD);

        live = nchat_live_load(&doc, &open, version, log);
        free(doc.data);

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
nchat_live_load(ngx_str_t *doc, ngx_str_t *open, uint64_t version,
    ngx_log_t *log)
{
    json_error_t   error;
    nchat_live_t  *live;

    live = calloc(1, sizeof(nchat_live_t));
    if (live == NULL) {
        return NULL;
    }

    live->refs = 1;

    /* jsonb writes 1e19 with all its digits, which no integer can hold */

    live->doc = json_loadb((char *) doc->data, doc->len,
                           JSON_DECODE_INT_AS_REAL, &error);

    if (live->doc == NULL || nchat_live_render(live, open, version) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "nchat: the stored configuration %uL cannot be read: "
                      "%s; the one before stays in force",
                      version, live->doc ? "out of memory" : error.text);
        nchat_live_release(live);
        return NULL;
    }

    return live;
}


/* Without the blanks that jsonb's text has between its members. */

static u_char *
nchat_live_compact(u_char *dst, const ngx_str_t *json)
{
    u_char      *p, *last;
    ngx_uint_t   string;

    string = 0;
    last = json->data + json->len;

    for (p = json->data; p < last; p++) {

        if (!string && *p == ' ') {
            continue;
        }

        *dst++ = *p;

        if (*p == '"') {
            string = !string;

        } else if (*p == '\\' && p + 1 < last) {
            *dst++ = *++p;
        }
    }

    return dst;
}


static ngx_int_t
nchat_live_render(nchat_live_t *live, ngx_str_t *open, uint64_t version)
{
    u_char  digest[NCHAT_SHA256_LEN], *p;

    p = malloc(sizeof("\"config\":,\"version\":\"\"") + open->len
               + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    live->members.data = p;
    p = ngx_cpymem(p, "\"config\":", sizeof("\"config\":") - 1);
    p = nchat_live_compact(p, open);
    p = ngx_sprintf(p, ",\"version\":\"%uL\"", version);
    live->members.len = p - live->members.data;

    if (nchat_sha256(digest, live->members.data, live->members.len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = live->etag_data;
    *p++ = '"';
    p = ngx_hex_dump(p, digest, 16);
    *p++ = '"';

    live->etag.data = live->etag_data;
    live->etag.len = p - live->etag_data;

    return NGX_OK;
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
