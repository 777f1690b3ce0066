/* A connection string in pieces, shared by the two files that keep it. */

#ifndef _NCHAT_DB_CONNINFO_H_INCLUDED_
#define _NCHAT_DB_CONNINFO_H_INCLUDED_


#include "nchat_db_int.h"


#define NCHAT_CONNINFO_ADDRS  8
#define NCHAT_CONNINFO_WORDS  64


typedef struct {
    ngx_str_t            name;       /* "" or a path: a Unix socket */
    ngx_str_t            port;
    ngx_str_t            given;      /* hostaddr of the string itself */
    u_char               addrs[NCHAT_CONNINFO_ADDRS][NGX_INET6_ADDRSTRLEN];
    ngx_uint_t           naddrs;
    unsigned             lookup:1;
} nchat_conninfo_host_t;


struct nchat_conninfo_s {
    const char          *words[NCHAT_CONNINFO_WORDS + 1];
    const char          *values[NCHAT_CONNINFO_WORDS + 1];
    ngx_uint_t           n;
    ngx_uint_t           nfixed;     /* what follows is host, hostaddr, port */

    ngx_array_t          hosts;      /* of nchat_conninfo_host_t */
    u_char              *text[3];    /* host, hostaddr, port: rebuilt */
    size_t               size;

    ngx_resolver_ctx_t  *ctx;
    ngx_uint_t           next;       /* the host that is looked up */
    nchat_db_conn_t     *conn;       /* who waits for it */
    void               (*done)(nchat_db_conn_t *conn);
    ngx_msec_t           refreshed;
};


/* Adds an address, up to NCHAT_CONNINFO_ADDRS; more are not tried. */
void nchat_conninfo_add_addr(nchat_conninfo_host_t *host,
    struct sockaddr *sockaddr, socklen_t socklen);

/* Renders hosts, addresses and ports anew for libpq. */
void nchat_conninfo_rebuild(nchat_conninfo_t *info);


#endif /* _NCHAT_DB_CONNINFO_H_INCLUDED_ */
