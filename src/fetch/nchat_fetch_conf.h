/*
 * What the operator says about outbound requests.
 */

#ifndef _NCHAT_FETCH_CONF_H_INCLUDED_
#define _NCHAT_FETCH_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "nchat_url.h"


typedef enum {
    NCHAT_FETCH_PREVIEW = 0,
    NCHAT_FETCH_TRANSLATE,
    NCHAT_FETCH_GIF,
    NCHAT_FETCH_KINDS
} nchat_fetch_kind_e;


typedef enum {
    NCHAT_GIF_GIPHY = 0,
    NCHAT_GIF_TENOR
} nchat_gif_provider_e;


/* a service of the operator's choice */

typedef struct {
    ngx_flag_t     set;
    ngx_uint_t     provider;   /* nchat_gif_provider_e */
    ngx_str_t      base;       /* its URL without a slash at the end */
    ngx_str_t      authority;
    ngx_str_t      name;       /* the host, for TLS */
    ngx_str_t      key;        /* secret */
} nchat_service_t;


typedef struct {
    ngx_array_t      *allow;   /* of nchat_guard_allow_t, or NULL */
    nchat_service_t   translate;
    nchat_service_t   gif;
    ngx_str_t         locations[NCHAT_FETCH_KINDS];    /* empty: none */
} nchat_fetch_conf_t;


/* The configuration that a request sees; never NULL. */
nchat_fetch_conf_t *nchat_fetch_conf(ngx_http_request_t *r);

/* 1 if the request's location is one for fetches ("nchat_fetch"). */
ngx_uint_t nchat_location_fetches(ngx_http_request_t *r);


extern ngx_module_t  ngx_http_nchat_fetch_module;


#endif /* _NCHAT_FETCH_CONF_H_INCLUDED_ */
