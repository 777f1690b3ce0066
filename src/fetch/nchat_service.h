/*
 * A question to a service of the operator's, answered in JSON.
 */

#ifndef _NCHAT_SERVICE_H_INCLUDED_
#define _NCHAT_SERVICE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>

#include "nchat_fetch.h"
#include "nchat_fetch_conf.h"


typedef struct nchat_ask_s  nchat_ask_t;

struct nchat_ask_s {

    /* set by the caller */

    nchat_service_t       *service;
    nchat_fetch_kind_e     kind;
    ngx_str_t              path;       /* with its query; may hold the key */
    ngx_str_t              body;       /* with data: a POST of this JSON */
    ngx_msec_t             timeout;
    void                 (*done)(nchat_ask_t *ask);
    void                  *data;

    /* for the caller to read */

    ngx_http_request_t    *request;
    nchat_fetch_result_e   result;     /* OK: there is an answer */
    ngx_uint_t             status;     /* of the service, or 0 */
    json_t                *answer;     /* an object of the request's pool */

    /* inside */

    ngx_str_t              text;
    size_t                 room;
};


/*
 * Asks.  done() is called once, maybe before this returns, unless the request
 * ends first.  An answer that is not whole, larger than NCHAT_SERVICE_ANSWER or
 * no JSON object is FAILED.
 */
void nchat_service_ask(ngx_http_request_t *r, nchat_ask_t *ask);

#define NCHAT_SERVICE_ANSWER  (1024 * 1024)


#endif /* _NCHAT_SERVICE_H_INCLUDED_ */
