/*
 * One request on its way: route, identity, limit, access, body, handler,
 * reply.  Each step passes the request on or ends it with one reply.
 */

#ifndef _NCHAT_HTTP_H_INCLUDED_
#define _NCHAT_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>

#include "nchat_check.h"
#include "nchat_db.h"
#include "nchat_jwt.h"
#include "nchat_live.h"
#include "nchat_metrics.h"
#include "nchat_zone.h"


typedef struct nchat_ctx_s    nchat_ctx_t;
typedef struct nchat_route_s  nchat_route_t;
typedef struct nchat_task_s   nchat_task_t;


typedef enum {
    NCHAT_LIMIT_DEFAULT = 0,
    NCHAT_LIMIT_UPLOAD,
    NCHAT_LIMIT_SEARCH,
    NCHAT_LIMIT_WEBHOOK,
    NCHAT_LIMIT_PROBE,
    NCHAT_LIMIT_NONE,              /* downloads and documents */
    NCHAT_LIMITS = NCHAT_LIMIT_NONE
} nchat_limit_e;


typedef enum {
    NCHAT_ANYONE = 0,              /* a token is not looked at */
    NCHAT_OPTIONAL,                /* a bad token is refused */
    NCHAT_TOKEN,
    NCHAT_MEMBER,                  /* a token, and not a guest's */
    NCHAT_ADMIN                    /* admin or owner */
} nchat_access_e;


typedef enum {
    NCHAT_BODY_NONE = 0,
    NCHAT_BODY_JSON,               /* an object: ctx->json */
    NCHAT_BODY_MAYBE,              /* an object or nothing at all */
    NCHAT_BODY_RAW,                /* its bytes only: ctx->body */
    NCHAT_BODY_FILE                /* left as nginx stored it */
} nchat_body_e;


typedef enum {
    NCHAT_ROLE_NONE = 0,
    NCHAT_ROLE_GUEST,
    NCHAT_ROLE_MEMBER,
    NCHAT_ROLE_MODERATOR,
    NCHAT_ROLE_ADMIN,
    NCHAT_ROLE_OWNER
} nchat_role_e;


typedef enum {
    NCHAT_ENVELOPE_BOTH = 0,
    NCHAT_ENVELOPE_DATA,
    NCHAT_ENVELOPE_FLAT
} nchat_envelope_e;


/* The directives, and what a worker makes of them. */

typedef struct {
    nchat_zone_t        *zone;
    nchat_db_conf_t      db_conf;
    ngx_array_t         *keys;             /* of nchat_jwt_key_t */
    const nchat_jwt_key_t  *signer;

    time_t               access_life;      /* seconds */
    time_t               refresh_life;
    ngx_uint_t           bcrypt_cost;
    ngx_str_t            pool_name;
    ngx_thread_pool_t   *threads;          /* for passwords */
    ngx_thread_pool_t   *file_threads;     /* nginx's default */

    ngx_uint_t           limits[NCHAT_LIMITS];
    ngx_flag_t           limits_off;
    ngx_msec_t           window;
    ngx_uint_t           signin_address;
    ngx_uint_t           signin_email;
    ngx_msec_t           signin_window;

    ngx_uint_t           envelope;
    ngx_array_t         *origins;          /* of ngx_str_t */
    ngx_str_t            environment;
    ngx_str_t            public_url;
    ngx_str_t            cookie;
    ngx_str_t            cookie_flags;

    struct nchat_files_conf_s  *files;     /* src/api, uploads */
    struct nchat_fetch_conf_s  *fetch;     /* src/fetch */

    ngx_uint_t           schema;           /* the version that we need */
    nchat_db_t          *db;               /* this worker's pool */
    nchat_gauges_t      *gauges;
    nchat_metrics_t     *metrics;
    ngx_resolver_t      *resolver;
} nchat_main_conf_t;


typedef struct {
    ngx_flag_t           enabled;          /* some location has "nchat" */
} nchat_srv_conf_t;


/* Who asks.  Strings are empty where a claim is absent. */

typedef struct {
    nchat_role_e         role;             /* NONE: anonymous */
    u_char               user[16];
    nchat_claims_t       claims;
    unsigned             valid:1;          /* the token's signature and times */
    unsigned             bad:1;            /* there was a token, and it isn't */
    unsigned             cookie:1;         /* it came as a cookie */
} nchat_caller_t;


typedef void (*nchat_handler_pt)(nchat_ctx_t *ctx);
typedef ngx_int_t (*nchat_early_pt)(nchat_ctx_t *ctx);
typedef void (*nchat_result_pt)(nchat_ctx_t *ctx, PGresult *result);

struct nchat_route_s {
    ngx_str_t            path;             /* {name} stands for one segment */
    ngx_uint_t           method;           /* NGX_HTTP_… */
    nchat_access_e       access;
    nchat_limit_e        limit;
    nchat_body_e         body;
    nchat_handler_pt     handler;
    const char          *when;             /* only with this argument=value */
    nchat_early_pt       early;            /* before the body is read: NGX_OK,
                                            * or it has answered */
    size_t               fixed;            /* of the path, before any {…} */
};


/* A webhook as it is presented, see nchat_limit_webhook. */

typedef enum {
    NCHAT_WEBHOOK_RIGHT = 0,
    NCHAT_WEBHOOK_WRONG,           /* the token is */
    NCHAT_WEBHOOK_UNKNOWN          /* the id is */
} nchat_webhook_e;

typedef struct {
    ngx_str_t            id;               /* lower case; empty: no UUID */
    u_char               token_hash[64];   /* SHA-256 in hex */
    nchat_key_t          own;
    nchat_key_t          wrong;
    nchat_window_t       wrong_window;
    ngx_uint_t           trusted;          /* seconds that it still is */
    unsigned             reserved:1;       /* counted as wrong so far */
} nchat_webhook_t;


struct nchat_ctx_s {
    ngx_http_request_t  *request;          /* the main one */
    nchat_main_conf_t   *conf;
    const nchat_route_t *route;            /* NULL: none matched */
    ngx_str_t            uri;              /* before any internal redirect */
    ngx_uint_t           method;
    ngx_str_t            params[2];        /* what {…} matched */

    ngx_str_t            request_id;
    nchat_caller_t       caller;

    nchat_limit_e        limit;
    nchat_window_t       window;

    ngx_str_t            body;
    json_t              *json;

    nchat_db_op_t       *op;               /* what is waited for, if anything */
    nchat_result_pt      op_done;
    nchat_task_t        *task;
    nchat_handler_pt     arriving;         /* some of the body is in its file */

    nchat_webhook_t     *webhook;          /* in the limit class webhook */
    struct nchat_stream_s  *stream;        /* nchat_stream.h */
    void                *data;             /* the endpoint's own */
    void                *sub;              /* of a subrequest it waits for */
    uint64_t             started;          /* nchat_monotonic_us */
    ngx_uint_t           retry_after;      /* seconds; 0: the window's end */

    unsigned             routed:1;
    unsigned             counted:1;        /* in its window */
    unsigned             checked:1;        /* access was decided */
    unsigned             replied:1;
    unsigned             api:1;            /* under /api/ */
    unsigned             challenge:1;      /* 401: with error="invalid_token" */
};


extern ngx_module_t  ngx_http_nchat_module;


/* nchat_ctx.c */

/* The context of a request, also after an internal redirect; or NULL. */
nchat_ctx_t *nchat_ctx_get(ngx_http_request_t *r);

/* Phase handlers. */
ngx_int_t nchat_post_read_handler(ngx_http_request_t *r);
ngx_int_t nchat_preaccess_handler(ngx_http_request_t *r);
ngx_int_t nchat_access_handler(ngx_http_request_t *r);
ngx_int_t nchat_content_handler(ngx_http_request_t *r);
ngx_int_t nchat_error_handler(ngx_http_request_t *r);
ngx_int_t nchat_log_handler(ngx_http_request_t *r);

/*
 * The path that the client asked for, as nginx understands it, whatever nginx
 * made of it since.  Empty if there was none, or none that could be read.
 */
void nchat_ctx_path(ngx_http_request_t *r, ngx_str_t *path);

/* The context, made if there is none yet; NULL if memory is short. */
nchat_ctx_t *nchat_ctx_make(ngx_http_request_t *r);

/* The context, if the request's location says "nchat api"; else NULL. */
nchat_ctx_t *nchat_location(ngx_http_request_t *r);

/* While the request waits: notices a client that leaves. */
void nchat_ctx_wait(nchat_ctx_t *ctx);

/* The live configuration, as long as the request; NULL: answered, with 503. */
nchat_live_t *nchat_ctx_live(nchat_ctx_t *ctx);


/* nchat_route.c */

extern nchat_route_t  nchat_routes[];
extern ngx_uint_t     nchat_nroutes;

/* Prepares the table, for the module's postconfiguration. */
void nchat_route_init(void);

/* Finds the route, or sets ctx->route to NULL. */
void nchat_route_find(nchat_ctx_t *ctx);

/* The name of a route's method, static. */
void nchat_route_method(const nchat_route_t *route, ngx_str_t *name);

/* The methods of the request's path, for Allow; NULL if the path is unknown. */
ngx_str_t *nchat_route_allow(nchat_ctx_t *ctx);


/* nchat_identity.c */

void nchat_identity(nchat_ctx_t *ctx);
nchat_role_e nchat_role_parse(const ngx_str_t *name);


/* nchat_access.c */

/*
 * Decides by role and session, maybe after asking the database.  A phase
 * handler's answer: NGX_DECLINED passes the request on, NGX_AGAIN waits,
 * NGX_DONE has refused it.
 */
ngx_int_t nchat_access(nchat_ctx_t *ctx);

/* The caller is known: decides by the role, as nchat_access() answers. */
ngx_int_t nchat_access_role(nchat_ctx_t *ctx);

/* The same after waiting, and goes on with the request. */
void nchat_access_resume(nchat_ctx_t *ctx);

/* Whose page made a browser send this request. */

typedef enum {
    NCHAT_ORIGIN_UNSAID = 0,       /* no browser, or a very old one */
    NCHAT_ORIGIN_SAME,
    NCHAT_ORIGIN_OTHER
} nchat_origin_e;

nchat_origin_e nchat_access_origin(nchat_ctx_t *ctx);


/* nchat_external.c */

/* Access with an identity service's token, as nchat_access() answers. */
ngx_int_t nchat_external(nchat_ctx_t *ctx);


/* nchat_limit.c */

/* Counts the request; NGX_DECLINED passes it on, NGX_DONE has refused it. */
ngx_int_t nchat_limit(nchat_ctx_t *ctx);

/*
 * Answers 429 if ctx->window holds more than that many times the limit of the
 * request's class: NGX_DONE, else NGX_DECLINED.
 */
ngx_int_t nchat_limit_over(nchat_ctx_t *ctx, ngx_uint_t times);

/*
 * Webhooks (contract, "Rate limits") have three windows:
 *
 *     (id, token)     the webhook's own, as nobody else has its token; counted
 *                     before it is known to be right
 *     (id, address)   wrong tokens
 *     address         unknown ids
 *
 * nchat_limit_webhook is nchat_limit for this class; the id and the token are
 * the route's parameters, or the token is an argument.  What it found is in
 * ctx->webhook.  Once the handler knows more it says so, once, by
 * nchat_limit_webhook_settle: NGX_DECLINED, or NGX_DONE after having answered
 * 429.
 */
ngx_int_t nchat_limit_webhook(nchat_ctx_t *ctx);
ngx_int_t nchat_limit_webhook_settle(nchat_ctx_t *ctx, nchat_webhook_e what);

/* Only looks, for the headers of answers that count against no limit. */
void nchat_limit_peek(nchat_ctx_t *ctx);

/* Counts a request that was refused before the phase that counts. */
void nchat_limit_uncounted(nchat_ctx_t *ctx);

/* The client's address as text: IPv4, or an IPv6 address (whole). */
ngx_str_t nchat_limit_address(nchat_ctx_t *ctx);

/* What counts as one client: the address, of IPv6 its /64; binary. */
ngx_str_t nchat_limit_prefix(nchat_ctx_t *ctx);


/* nchat_query.c */

/*
 * Runs one statement; params with data NULL are SQL NULL.  done() is called
 * with its result if the request still lives; every failure is answered here
 * (503, 504, 500).  The result lives as long as the request.
 */
void nchat_query(nchat_ctx_t *ctx, nchat_stmt_t *stmt, const ngx_str_t *params,
    ngx_uint_t n, nchat_result_pt done);

/* Answers with what became of a statement that failed; name: of that. */
void nchat_query_refuse(nchat_ctx_t *ctx, nchat_db_status_e status,
    const char *name);

/* The usual done(): columns status and body become the answer. */
void nchat_query_reply(nchat_ctx_t *ctx, PGresult *result);

/* The row's status column; 0 and an answer of 500 if there is no row. */
ngx_uint_t nchat_query_status(nchat_ctx_t *ctx, PGresult *result);

/* NGX_OK if the row has this status; else NGX_ERROR, and the row is answered. */
ngx_int_t nchat_query_expect(nchat_ctx_t *ctx, PGresult *result,
    ngx_uint_t status);

/* A column of row 0 by its name; empty if it is NULL or absent. */
ngx_str_t nchat_query_column(PGresult *result, const char *name);

/* The text of an integer, in memory of the request. */
ngx_str_t nchat_query_int(nchat_ctx_t *ctx, int64_t value);


/* nchat_task.c */

/*
 * Work for the thread pool.  run() gets size bytes of zeroed memory that
 * belong to the task, uses nothing of nginx, and done() is called with it in
 * the event loop if the request still lives; then it is wiped and freed.
 * nchat_task_make returns NULL after having answered (503 if the queue is
 * full).  A task that was made must be posted, or kept.
 */
typedef void (*nchat_task_pt)(void *data);
typedef void (*nchat_task_done_pt)(nchat_ctx_t *ctx, void *data);

void *nchat_task_make(nchat_ctx_t *ctx, ngx_thread_pool_t *pool, size_t size);
void nchat_task_post(nchat_ctx_t *ctx, void *data, nchat_task_pt run,
    nchat_task_done_pt done);

/*
 * A task that begins before the request waits for it, as while the body still
 * arrives.  nchat_task_keep: from now on it goes with the request; release()
 * is called in the event loop before its memory is freed.  nchat_task_ahead
 * has a thread run() once: NGX_OK; NGX_BUSY if it still does so for the last
 * time; NGX_ERROR if the queue is full, and nothing was answered.  From
 * then on the task's memory is the thread's.  nchat_task_post is the last
 * step, whether a thread is at it or not.
 */
void nchat_task_keep(nchat_ctx_t *ctx, void *data, nchat_task_pt release);
ngx_int_t nchat_task_ahead(void *data, nchat_task_pt run);

/* The request ends: done() will not be called. */
void nchat_task_forget(nchat_ctx_t *ctx);


/* nchat_body.c */

/* Reads the body as the route says, then calls the route's handler. */
ngx_int_t nchat_body_read(nchat_ctx_t *ctx);

/* The filter behind ctx->arriving, which must not answer. */
void nchat_body_filter_init(void);

/*
 * The checks of other bodies, for handlers that get the bytes (NCHAT_BODY_RAW)
 * and refuse in their own way.  refused: a sentence for a 415, or NULL.  json:
 * parses ctx->body into ctx->json; NGX_OK, NGX_DECLINED with a sentence for a
 * 400, or NGX_ERROR (no memory).
 */
const char *nchat_body_refused(nchat_ctx_t *ctx);
ngx_int_t nchat_body_json(nchat_ctx_t *ctx, const char **why);


/* nchat_args.c */

#define NCHAT_PAGE_MAX  1000000000

typedef struct {
    ngx_uint_t           page;
    ngx_uint_t           limit;
    ngx_uint_t           offset;
} nchat_page_t;

/* A request header's value, or NULL; the first one if there are several. */
ngx_str_t *nchat_header(ngx_http_request_t *r, const char *name);

/*
 * An argument of the query string, decoded, in memory of the request.
 * NGX_OK; NGX_DECLINED if there is none; NGX_ERROR after having answered 400
 * (not UTF-8, or a NUL).
 */
ngx_int_t nchat_arg(nchat_ctx_t *ctx, const char *name, ngx_str_t *value);

/* page, limit and offset (contract, "Requests"); NGX_ERROR: answered. */
ngx_int_t nchat_arg_page(nchat_ctx_t *ctx, nchat_page_t *page);

/*
 * The same from members of a body, each checked to be at most NCHAT_PAGE_MAX;
 * NGX_CONF_UNSET stands for an absent one.
 */
void nchat_page_make(nchat_page_t *made, ngx_int_t page, ngx_int_t limit,
    ngx_int_t offset);

/*
 * Checks the body by a table of fields; NGX_OK, or NGX_ERROR after having
 * answered.
 */
ngx_int_t nchat_body_check(nchat_ctx_t *ctx, const nchat_check_t *fields,
    void *out);

/* The same with another object than the body's. */
ngx_int_t nchat_object_check(nchat_ctx_t *ctx, const nchat_check_t *fields,
    json_t *object, void *out);

/* Answers 400 VALIDATION_ERROR with one failure. */
void nchat_reply_invalid(nchat_ctx_t *ctx, const char *field,
    const char *constraint, const char *message);

/* Answers 400 VALIDATION_ERROR with the list. */
void nchat_reply_failures(nchat_ctx_t *ctx, nchat_failures_t *failures);


/* nchat_filter.c */

ngx_int_t nchat_filter_init(ngx_conf_t *cf);


#include "nchat_reply.h"


#endif /* _NCHAT_HTTP_H_INCLUDED_ */
