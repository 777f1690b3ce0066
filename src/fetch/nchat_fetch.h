/*
 * Outbound HTTP: an API request asks a server through subrequests to internal
 * locations with proxy_pass, so that connections, TLS, timeouts and buffers are
 * nginx's own and the operator's to tune (conf/nchat.conf).
 */

#ifndef _NCHAT_FETCH_H_INCLUDED_
#define _NCHAT_FETCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "nchat_guard.h"
#include "nchat_inflate.h"
#include "nchat_url.h"


typedef enum {
    NCHAT_FETCH_OK = 0,        /* a good status, and its body was taken */
    NCHAT_FETCH_BLOCKED,       /* the guard: before or after resolving */
    NCHAT_FETCH_NOT_FOUND,     /* the server said 404 or 410 */
    NCHAT_FETCH_FAILED,        /* no answer, a bad one, too many redirects */
    NCHAT_FETCH_TIMEOUT,
    NCHAT_FETCH_REFUSED,       /* the consumer wants nothing of it */
    NCHAT_FETCH_MEMORY
} nchat_fetch_result_e;


typedef struct nchat_fetch_s  nchat_fetch_t;

/*
 * What the caller takes.  "header" is called when a final, good status and
 * its headers are there: NGX_OK asks for the body, NGX_DONE for no body,
 * NGX_DECLINED refuses the answer (REFUSED).  "body" gets decoded bytes:
 * NGX_AGAIN asks for more, NGX_DONE for no more, NGX_DECLINED refuses.  Both:
 * NGX_ERROR means no memory.  "done" is called exactly once unless the request
 * ends first; nothing of the fetch may be touched afterwards.
 */

typedef struct {
    ngx_int_t  (*header)(nchat_fetch_t *f);
    ngx_int_t  (*body)(nchat_fetch_t *f, u_char *p, size_t len);
    void       (*done)(nchat_fetch_t *f);
} nchat_fetch_taker_t;


struct nchat_fetch_s {

    /* set by the caller */

    ngx_str_t                    location;   /* of the internal proxy_pass */
    nchat_url_t                 *url;        /* NULL: see "target" */
    ngx_array_t                 *allow;      /* of nchat_guard_allow_t */
    const nchat_fetch_taker_t   *taker;
    void                        *data;
    ngx_msec_t                   timeout;    /* for everything together */
    size_t                       cap;        /* bytes of body on the wire */
    ngx_str_t                    body;       /* with data: a POST of JSON */
    ngx_str_t                    target;     /* an operator's URL: as it is */
    ngx_str_t                    host;       /* its authority */
    ngx_str_t                    name;       /* its host, for TLS */

    /* for the caller to read */

    ngx_http_request_t          *request;    /* the API's */
    nchat_fetch_result_e         result;
    const char                  *why;        /* a static sentence */
    ngx_uint_t                   status;     /* of the last answer, or 0 */
    ngx_str_t                    content_type;
    unsigned                     whole:1;    /* the body came to its end */

    /* inside */

    nchat_url_t                  hop;        /* the URL that is asked now */
    ngx_uint_t                   redirects;
    ngx_resolver_ctx_t          *resolving;
    struct sockaddr_storage     *addrs;
    ngx_uint_t                   naddrs;
    ngx_uint_t                   next_addr;
    ngx_event_t                  deadline;
    ngx_http_request_t          *sub;
    nchat_inflate_t             *inflate;
    ngx_str_t                    redirect;   /* the Location header */
    size_t                       taken;      /* bytes on the wire */
    unsigned                     answered:1; /* a header came on this hop */
    unsigned                     ended:1;    /* the subrequest is over */
    unsigned                     expired:1;
    unsigned                     decided:1;  /* "result" stands */
};


/*
 * Makes a fetch in the request's pool; whatever it needs goes away with the
 * request, at any moment.  A request has one fetch at a time.  NULL: no memory.
 */
nchat_fetch_t *nchat_fetch_create(ngx_http_request_t *r);

/*
 * Begins.  With "url", every hop is guarded, resolved here and connected to by
 * the address that was checked, and up to NCHAT_FETCH_REDIRECTS redirects are
 * followed.  With "target" the operator has named the server: no guard, no
 * redirects.  done() may be called before this returns.
 */
void nchat_fetch_start(nchat_fetch_t *f);

#define NCHAT_FETCH_REDIRECTS  5


/* nchat_fetch_filter.c */

/* The fetch that a subrequest belongs to, or NULL. */
nchat_fetch_t *nchat_fetch_of(ngx_http_request_t *r);

/* The variables $nchat_fetch_*; before any configuration is read. */
ngx_int_t nchat_fetch_variables(ngx_conf_t *cf);

/* Filters, and the phase handler that keeps subrequests where they belong. */
ngx_int_t nchat_fetch_init(ngx_conf_t *cf);

/* nchat_fetch_subrequest.c */

/*
 * Writes the hop's URL, with its next checked address in the name's place, as
 * "target".  NGX_ERROR: no memory.
 */
ngx_int_t nchat_fetch_target(nchat_fetch_t *f);

/*
 * Makes the subrequest for "target", with "body" a POST.  NGX_ERROR: nothing
 * was made, for want of memory.
 */
ngx_int_t nchat_fetch_subrequest(nchat_fetch_t *f);

/* nchat_fetch.c: a subrequest's own end, by which the filter knows it, too. */
ngx_int_t nchat_fetch_ended(ngx_http_request_t *sr, void *data, ngx_int_t rc);


#endif /* _NCHAT_FETCH_H_INCLUDED_ */
