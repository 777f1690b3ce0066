/* A question for GIFs, of either method. */

#ifndef _NCHAT_GIF_REQUEST_H_INCLUDED_
#define _NCHAT_GIF_REQUEST_H_INCLUDED_


#include "nchat_http.h"
#include "nchat_gif.h"
#include "nchat_service.h"


#define NCHAT_GIF_LIMIT_MAX  50


typedef struct {
    nchat_ctx_t        *ctx;
    nchat_ask_t         ask;
    nchat_gif_query_t   query;         /* what the client wants */
    nchat_gif_query_t   step;          /* what the provider is asked now */
    nchat_key_t         key;
    ngx_uint_t          hops;
    ngx_msec_t          begin;

    /* as the client wrote them */
    ngx_str_t           action;
    ngx_int_t           limit;
    ngx_int_t           offset;

    unsigned            nothing:1;     /* a GET without action and query */
} nchat_gif_request_t;


/* Reads and checks the arguments or the body; NULL: answered. */
nchat_gif_request_t *nchat_gif_request_get(nchat_ctx_t *ctx);
nchat_gif_request_t *nchat_gif_request_post(nchat_ctx_t *ctx);


#endif /* _NCHAT_GIF_REQUEST_H_INCLUDED_ */
