/*
 * Connection strings.  libpq would look names up by getaddrinfo(), which
 * stalls the worker, so it only ever gets addresses (hostaddr): those found
 * when the configuration was read, renewed by nginx's resolver, where one is
 * configured, before a reconnect.
 */

#include "nchat_db_conninfo.h"


static char *nchat_conninfo_parse(ngx_conf_t *cf, ngx_str_t *text,
    nchat_conninfo_t **out);
static char *nchat_conninfo_words(ngx_conf_t *cf, nchat_conninfo_t *info,
    PQconninfoOption *options);
static char *nchat_conninfo_hosts(ngx_conf_t *cf, nchat_conninfo_t *info,
    ngx_str_t *host, ngx_str_t *addr, ngx_str_t *port);
static ngx_str_t nchat_conninfo_item(ngx_str_t *list, ngx_uint_t i);
static ngx_uint_t nchat_conninfo_count(ngx_str_t *list);
static char *nchat_conninfo_resolve(ngx_conf_t *cf,
    nchat_conninfo_host_t *host);
static char *nchat_conninfo_password(ngx_conf_t *cf, nchat_conninfo_t *info);
static char *nchat_conninfo_copy(ngx_pool_t *pool, const char *text);
static void nchat_conninfo_put(nchat_conninfo_t *info, const char *word,
    const char *value);
static char *nchat_conninfo_check(const char *word, const char *value);
static ngx_uint_t nchat_conninfo_is_port(const ngx_str_t *port);


/* What libpq would only look at when it connects.  NULL ends a list. */

static const struct {
    const char  *word;
    const char  *values[8];
    char        *error;
} nchat_conninfo_enums[] = {
    { "sslmode",
      { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" },
      "sslmode must be disable, allow, prefer, require, verify-ca or "
      "verify-full" },
    { "gssencmode",
      { "disable", "prefer", "require" },
      "gssencmode must be disable, prefer or require" },
    { "channel_binding",
      { "disable", "prefer", "require" },
      "channel_binding must be disable, prefer or require" },
    { "target_session_attrs",
      { "any", "read-write", "read-only", "primary", "standby",
        "prefer-standby" },
      "target_session_attrs must be any, read-write, read-only, primary, "
      "standby or prefer-standby" }
};


char *
nchat_db_conf_init(ngx_conf_t *cf, nchat_db_conf_t *conf)
{
    char  *rv;

    rv = nchat_conninfo_parse(cf, &conf->conninfo, &conf->primary_info);

    if (rv == NULL && conf->replica.len) {
        rv = nchat_conninfo_parse(cf, &conf->replica, &conf->replica_info);
    }

    return rv;
}


static char *
nchat_conninfo_parse(ngx_conf_t *cf, ngx_str_t *text, nchat_conninfo_t **out)
{
    char              *error, *rv;
    size_t             len;
    nchat_conninfo_t  *info;
    PQconninfoOption  *options;

    info = ngx_pcalloc(cf->pool, sizeof(nchat_conninfo_t));
    if (info == NULL
        || ngx_array_init(&info->hosts, cf->pool, 1,
                          sizeof(nchat_conninfo_host_t)) != NGX_OK)
    {
        return "out of memory";
    }

    error = NULL;
    options = PQconninfoParse((char *) text->data, &error);

    if (options == NULL) {

        /* libpq's text names the option and never repeats a value of it */

        len = error ? ngx_strlen(error) : 0;
        rv = ngx_pcalloc(cf->pool, len + 1);

        if (rv && len) {
            ngx_memcpy(rv, error, error[len - 1] == '\n' ? len - 1 : len);
        }

        PQfreemem(error);

        return rv ? rv : "out of memory";
    }

    rv = nchat_conninfo_words(cf, info, options);
    PQconninfoFree(options);

    if (rv == NULL) {
        rv = nchat_conninfo_password(cf, info);
    }

    *out = info;

    return rv;
}


static char *
nchat_conninfo_words(ngx_conf_t *cf, nchat_conninfo_t *info,
    PQconninfoOption *options)
{
    char              *rv, *word, *value;
    ngx_str_t          host, addr, port, *list;
    ngx_uint_t         gss;
    PQconninfoOption  *o;

    ngx_str_null(&host);
    ngx_str_null(&addr);
    ngx_str_null(&port);

    gss = 0;

    for (o = options; o->keyword; o++) {

        if (o->val == NULL) {
            continue;
        }

        rv = nchat_conninfo_check(o->keyword, o->val);
        if (rv) {
            return rv;
        }

        value = nchat_conninfo_copy(cf->pool, o->val);
        if (value == NULL) {
            return "out of memory";
        }

        list = ngx_strcmp(o->keyword, "host") == 0 ? &host
               : ngx_strcmp(o->keyword, "hostaddr") == 0 ? &addr
               : ngx_strcmp(o->keyword, "port") == 0 ? &port : NULL;

        if (list) {
            list->data = (u_char *) value;
            list->len = ngx_strlen(value);
            continue;
        }

        if (ngx_strcmp(o->keyword, "gssencmode") == 0) {
            gss = 1;
        }

        /* keywords are libpq's static memory only until PQconninfoFree() */

        word = nchat_conninfo_copy(cf->pool, o->keyword);
        if (word == NULL) {
            return "out of memory";
        }

        nchat_conninfo_put(info, word, value);
    }

    /* it would block */

    if (!gss) {
        nchat_conninfo_put(info, "gssencmode", "disable");
    }

    return nchat_conninfo_hosts(cf, info, &host, &addr, &port);
}


static char *
nchat_conninfo_check(const char *word, const char *value)
{
    ngx_uint_t           i;
    const char * const  *v;

    for (i = 0; i < sizeof(nchat_conninfo_enums)
                    / sizeof(nchat_conninfo_enums[0]); i++)
    {
        if (ngx_strcmp(nchat_conninfo_enums[i].word, word) != 0) {
            continue;
        }

        for (v = nchat_conninfo_enums[i].values; *v; v++) {
            if (ngx_strcmp(*v, value) == 0) {
                return NULL;
            }
        }

        return nchat_conninfo_enums[i].error;
    }

    return NULL;
}


static char *
nchat_conninfo_copy(ngx_pool_t *pool, const char *text)
{
    char    *copy;
    size_t   size;

    size = ngx_strlen(text) + 1;
    copy = ngx_pnalloc(pool, size);

    if (copy) {
        ngx_memcpy(copy, text, size);
    }

    return copy;
}


static void
nchat_conninfo_put(nchat_conninfo_t *info, const char *word, const char *value)
{
    if (info->n < NCHAT_CONNINFO_WORDS) {
        info->words[info->n] = word;
        info->values[info->n] = value;
        info->n++;
    }
}


static char *
nchat_conninfo_hosts(ngx_conf_t *cf, nchat_conninfo_t *info, ngx_str_t *host,
    ngx_str_t *addr, ngx_str_t *port)
{
    char                   *rv;
    ngx_uint_t              i, n, ports;
    nchat_conninfo_host_t  *h;

    n = ngx_max(nchat_conninfo_count(host), nchat_conninfo_count(addr));
    ports = nchat_conninfo_count(port);

    if (ports > 1 && ports != n) {
        return "it must name one port, or one per host";
    }

    for (i = 0; i < n; i++) {
        h = ngx_array_push(&info->hosts);
        if (h == NULL) {
            return "out of memory";
        }

        ngx_memzero(h, sizeof(nchat_conninfo_host_t));

        h->name = nchat_conninfo_item(host, i);
        h->given = nchat_conninfo_item(addr, i);
        h->port = nchat_conninfo_item(port, ports == 1 ? 0 : i);

        if (h->port.len && !nchat_conninfo_is_port(&h->port)) {
            return "port must be a number from 1 to 65535";
        }

        if (h->given.len || h->name.len == 0 || h->name.data[0] == '/'
            || h->name.data[0] == '@')
        {
            continue;
        }

        rv = nchat_conninfo_resolve(cf, h);
        if (rv) {
            return rv;
        }
    }

    info->size = 1;
    h = info->hosts.elts;

    for (i = 0; i < n; i++) {
        info->size += (h[i].name.len + h[i].port.len + h[i].given.len
                       + NGX_INET6_ADDRSTRLEN + 3)
                      * NCHAT_CONNINFO_ADDRS;
    }

    for (i = 0; i < 3; i++) {
        info->text[i] = ngx_pcalloc(cf->pool, info->size);
        if (info->text[i] == NULL) {
            return "out of memory";
        }
    }

    info->nfixed = info->n;
    nchat_conninfo_rebuild(info);

    return NULL;
}


static ngx_uint_t
nchat_conninfo_is_port(const ngx_str_t *port)
{
    ngx_int_t  n;

    n = ngx_atoi(port->data, port->len);

    return n >= 1 && n <= 65535;
}


static ngx_uint_t
nchat_conninfo_count(ngx_str_t *list)
{
    size_t      i;
    ngx_uint_t  n;

    n = list->len ? 1 : 0;

    for (i = 0; i < list->len; i++) {
        n += (list->data[i] == ',');
    }

    return n;
}


static ngx_str_t
nchat_conninfo_item(ngx_str_t *list, ngx_uint_t i)
{
    u_char     *p, *last, *comma;
    ngx_str_t   item;

    ngx_str_null(&item);

    if (list->len == 0) {
        return item;
    }

    p = list->data;
    last = p + list->len;

    for ( ;; ) {
        comma = ngx_strlchr(p, last, ',');

        if (i-- == 0) {
            item.data = p;
            item.len = (comma ? comma : last) - p;
            return item;
        }

        if (comma == NULL) {
            return item;
        }

        p = comma + 1;
    }
}


/* Waiting is allowed here: the configuration is being read. */

static char *
nchat_conninfo_resolve(ngx_conf_t *cf, nchat_conninfo_host_t *host)
{
    char        *rv;
    ngx_url_t    u;
    ngx_uint_t   i;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = host->name;
    u.default_port = 5432;

    if (ngx_strlchr(host->name.data, host->name.data + host->name.len, ':')) {
        u.url.len = host->name.len + 2;
        u.url.data = ngx_pnalloc(cf->pool, u.url.len);
        if (u.url.data == NULL) {
            return "out of memory";
        }

        ngx_sprintf(u.url.data, "[%V]", &host->name);
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        rv = ngx_pcalloc(cf->pool, host->name.len + 64);

        if (rv) {
            ngx_sprintf((u_char *) rv, "%s: host \"%V\"",
                        u.err ? u.err : "invalid host", &host->name);
        }

        return rv ? rv : "out of memory";
    }

    host->lookup = (ngx_inet_addr(host->name.data, host->name.len)
                    == INADDR_NONE
                    && u.url.data == host->name.data);

    for (i = 0; i < u.naddrs; i++) {
        nchat_conninfo_add_addr(host, u.addrs[i].sockaddr, u.addrs[i].socklen);
    }

    return NULL;
}


void
nchat_conninfo_add_addr(nchat_conninfo_host_t *host, struct sockaddr *sockaddr,
    socklen_t socklen)
{
    size_t  len;

    if (host->naddrs == NCHAT_CONNINFO_ADDRS) {
        return;
    }

    len = ngx_sock_ntop(sockaddr, socklen, host->addrs[host->naddrs],
                        NGX_INET6_ADDRSTRLEN - 1, 0);

    host->addrs[host->naddrs][len] = '\0';
    host->naddrs++;
}


/*
 * A password file is read here, once and as the master's user, not by every
 * reconnect of a worker.  libpq says what it found in a connection object.
 */

static char *
nchat_conninfo_password(ngx_conf_t *cf, nchat_conninfo_t *info)
{
    size_t       len;
    PGconn      *pg;
    u_char      *copy;
    const char  *password;
    ngx_uint_t   i;

    for (i = 0; i < info->n; i++) {
        if (ngx_strcmp(info->words[i], "password") == 0) {
            return NULL;
        }
    }

    pg = nchat_db_conninfo_start(info);

    password = pg ? PQpass(pg) : NULL;
    copy = NULL;

    if (password && *password) {
        len = ngx_strlen(password);
        copy = ngx_pcalloc(cf->pool, len + 1);

        if (copy) {
            ngx_memcpy(copy, password, len);
        }
    }

    if (pg) {
        PQfinish(pg);
    }

    /* host, hostaddr and port stay the last ones */

    info->n = info->nfixed;

    if (copy) {
        nchat_conninfo_put(info, "password", (char *) copy);
    }

    for (i = 0; i < info->n; i++) {
        if (ngx_strcmp(info->words[i], "passfile") == 0) {
            info->values[i] = "/nonexistent";
            break;
        }
    }

    if (i == info->n) {
        nchat_conninfo_put(info, "passfile", "/nonexistent");
    }

    info->nfixed = info->n;
    nchat_conninfo_rebuild(info);

    return NULL;
}


/* Writes host, hostaddr and port: one entry per address. */

void
nchat_conninfo_rebuild(nchat_conninfo_t *info)
{
    u_char                 *p[3];
    ngx_str_t               addr;
    ngx_uint_t              i, n, rows, given, ports;
    nchat_conninfo_host_t  *h;

    ngx_memcpy(p, info->text, sizeof(p));

    h = info->hosts.elts;
    given = 0;
    ports = 0;

    for (i = 0; i < info->hosts.nelts; i++) {
        rows = h[i].naddrs ? h[i].naddrs : 1;

        for (n = 0; n < rows; n++) {

            if (h[i].naddrs) {
                addr.data = h[i].addrs[n];
                addr.len = ngx_strlen(addr.data);

            } else {
                addr = h[i].given;
            }

            given |= addr.len;
            ports |= h[i].port.len;

            p[0] = ngx_sprintf(p[0], "%V,", &h[i].name);
            p[1] = ngx_sprintf(p[1], "%V,", &addr);
            p[2] = ngx_sprintf(p[2], "%V,", &h[i].port);
        }
    }

    for (i = 0; i < 3; i++) {
        if (p[i] > info->text[i]) {
            *--p[i] = '\0';
        }
    }

    info->n = info->nfixed;

    if (info->hosts.nelts) {
        nchat_conninfo_put(info, "host", (char *) info->text[0]);

        if (given) {
            nchat_conninfo_put(info, "hostaddr", (char *) info->text[1]);
        }

        if (ports) {
            nchat_conninfo_put(info, "port", (char *) info->text[2]);
        }
    }

    info->words[info->n] = NULL;
    info->values[info->n] = NULL;
}


PGconn *
nchat_db_conninfo_start(nchat_conninfo_t *info)
{
    return PQconnectStartParams(info->words, info->values, 0);
}
