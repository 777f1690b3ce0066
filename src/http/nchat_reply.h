/*
 * The one way out: envelopes and error codes (contract, "Answers").  Each
 * function answers and finalizes the request; nothing may follow it.
 */

#ifndef _NCHAT_REPLY_H_INCLUDED_
#define _NCHAT_REPLY_H_INCLUDED_


typedef enum {
    NCHAT_E_BAD_REQUEST = 0,
    NCHAT_E_VALIDATION,
    NCHAT_E_FILE_TOO_LARGE,
    NCHAT_E_FILE_TYPE,
    NCHAT_E_UNAUTHORIZED,
    NCHAT_E_INVALID_TOKEN,
    NCHAT_E_FORBIDDEN,
    NCHAT_E_NOT_FOUND,
    NCHAT_E_METHOD,
    NCHAT_E_CONFLICT,
    NCHAT_E_TOO_LARGE,
    NCHAT_E_MEDIA_TYPE,
    NCHAT_E_RATE_LIMIT,
    NCHAT_E_INTERNAL,
    NCHAT_E_UPSTREAM,
    NCHAT_E_UNAVAILABLE,
    NCHAT_E_TIMEOUT
} nchat_error_e;


/*
 * Success.  members is the payload without its braces; it must live as long
 * as the request.  hidden (may be NULL) are further members that stand only
 * under data, since the envelope has their names.
 */
void nchat_reply_ok(nchat_ctx_t *ctx, ngx_uint_t status,
    const ngx_str_t *members, const ngx_str_t *hidden);

/* Failure with a sentence for people; details is a JSON object or NULL. */
void nchat_reply_error(nchat_ctx_t *ctx, nchat_error_e error,
    const char *message);
void nchat_reply_error_details(nchat_ctx_t *ctx, nchat_error_e error,
    const ngx_str_t *message, const ngx_str_t *details);

/* The sentence and code that belong to a status of nginx's own. */
void nchat_reply_status(nchat_ctx_t *ctx, ngx_uint_t status);

/*
 * Out of memory and other failures of ours: 500 without a reason; the reason
 * goes to the log.
 */
void nchat_reply_internal(nchat_ctx_t *ctx, const char *why);

/* A whole body as it is; type and body live as long as the request. */
void nchat_reply_raw(nchat_ctx_t *ctx, ngx_uint_t status,
    const char *type, const ngx_str_t *body);

/* Without a body: 204 and 304. */
void nchat_reply_empty(nchat_ctx_t *ctx, ngx_uint_t status);

/*
 * Adds a response header; name is static, value lives as long as the request.
 * NGX_ERROR if memory is short.
 */
ngx_int_t nchat_reply_header(ngx_http_request_t *r, const char *name,
    const ngx_str_t *value);

/* A JSON body that is not in the envelope (SQL's error bodies, ready 503). */
void nchat_reply_json(nchat_ctx_t *ctx, ngx_uint_t status, ngx_str_t *parts,
    ngx_uint_t n);


#endif /* _NCHAT_REPLY_H_INCLUDED_ */
