#include "nchat_http.h"
#include "nchat_json.h"


#define NCHAT_REPLY_PARTS  8
#define NCHAT_REPLY_COPY   2048


typedef struct {
    ngx_uint_t   status;
    ngx_str_t    code;
} nchat_error_row_t;

typedef struct {
    ngx_uint_t     status;
    nchat_error_e  error;
    const char    *message;
} nchat_status_row_t;


static void nchat_reply_send(nchat_ctx_t *ctx, ngx_uint_t status,
    ngx_str_t *parts, ngx_uint_t n, const char *type);
static void nchat_reply_prepare(ngx_http_request_t *r, ngx_uint_t status,
    size_t len, const char *type);
static ngx_chain_t *nchat_reply_chain(ngx_http_request_t *r, ngx_str_t *parts,
    ngx_uint_t n, size_t *len);
static ngx_int_t nchat_reply_status_headers(nchat_ctx_t *ctx,
    ngx_uint_t status);


/* By nchat_error_e (contract, "Answers"). */

static nchat_error_row_t  nchat_errors[] = {
    { 400, ngx_string("BAD_REQUEST") },
    { 400, ngx_string("VALIDATION_ERROR") },
    { 400, ngx_string("FILE_TOO_LARGE") },
    { 400, ngx_string("INVALID_FILE_TYPE") },
    { 401, ngx_string("UNAUTHORIZED") },
    { 401, ngx_string("INVALID_TOKEN") },
    { 403, ngx_string("FORBIDDEN") },
    { 404, ngx_string("NOT_FOUND") },
    { 405, ngx_string("METHOD_NOT_ALLOWED") },
    { 409, ngx_string("CONFLICT") },
    { 413, ngx_string("PAYLOAD_TOO_LARGE") },
    { 415, ngx_string("UNSUPPORTED_MEDIA_TYPE") },
    { 429, ngx_string("RATE_LIMIT_EXCEEDED") },
    { 500, ngx_string("INTERNAL_ERROR") },
    { 502, ngx_string("UPSTREAM_ERROR") },
    { 503, ngx_string("SERVICE_UNAVAILABLE") },
    { 504, ngx_string("UPSTREAM_TIMEOUT") }
};


/* What nginx refuses by itself; 0 ends the table and is the default. */

static nchat_status_row_t  nchat_statuses[] = {
    { 400, NCHAT_E_BAD_REQUEST, "The request is malformed" },
    { 401, NCHAT_E_UNAUTHORIZED, "Authentication required" },
    { 403, NCHAT_E_FORBIDDEN, "Access is forbidden" },
    { 404, NCHAT_E_NOT_FOUND, "There is nothing at this path" },
    { 405, NCHAT_E_METHOD, "This method is not allowed here" },
    { 412, NCHAT_E_BAD_REQUEST,
      "If-Match or If-Unmodified-Since does not hold" },
    { 413, NCHAT_E_TOO_LARGE, "The request body is too large" },
    { 414, NCHAT_E_BAD_REQUEST, "The request line is too long" },
    { 415, NCHAT_E_MEDIA_TYPE, "This media type is not supported" },
    { 429, NCHAT_E_RATE_LIMIT,
      "Rate limit exceeded. Please try again later." },
    { 494, NCHAT_E_BAD_REQUEST, "The request headers are too large" },
    { 500, NCHAT_E_INTERNAL, "Something went wrong on our side" },
    { 502, NCHAT_E_UPSTREAM, "A service that this needs gave a bad answer" },
    { 503, NCHAT_E_UNAVAILABLE, "The service is temporarily unavailable" },
    { 504, NCHAT_E_TIMEOUT, "A service that this needs took too long" },
    { 0, NCHAT_E_BAD_REQUEST, "The request cannot be served" }
};


void
nchat_reply_ok(nchat_ctx_t *ctx, ngx_uint_t status, const ngx_str_t *members,
    const ngx_str_t *hidden)
{
    ngx_str_t   parts[NCHAT_REPLY_PARTS];
    ngx_uint_t  n, envelope;

    n = 0;
    envelope = ctx->conf->envelope;

    if (envelope == NCHAT_ENVELOPE_FLAT) {
        ngx_str_set(&parts[n], "{\"success\":true");
        n++;

    } else {
        ngx_str_set(&parts[n], "{\"success\":true,\"data\":{");
        n++;

        parts[n++] = *members;

        if (hidden && hidden->len) {

            if (members->len) {
                ngx_str_set(&parts[n], ",");
                n++;
            }

            parts[n++] = *hidden;
        }

        ngx_str_set(&parts[n], "}");
        n++;
    }

    if (envelope != NCHAT_ENVELOPE_DATA && members->len) {
        ngx_str_set(&parts[n], ",");
        n++;
        parts[n++] = *members;
    }

    ngx_str_set(&parts[n], "}");
    n++;

    nchat_reply_send(ctx, status, parts, n, NULL);
}


void
nchat_reply_error(nchat_ctx_t *ctx, nchat_error_e error, const char *message)
{
    ngx_str_t  text;

    text.data = (u_char *) message;
    text.len = ngx_strlen(message);

    nchat_reply_error_details(ctx, error, &text, NULL);
}


void
nchat_reply_error_details(nchat_ctx_t *ctx, nchat_error_e error,
    const ngx_str_t *message, const ngx_str_t *details)
{
    u_char     *p;
    ngx_str_t   parts[7];

    parts[1].len = nchat_json_escape_len(message);
    parts[1].data = ngx_pnalloc(ctx->request->pool, parts[1].len + 1);

    if (parts[1].data == NULL) {
        ctx->replied = 1;
        ngx_http_finalize_request(ctx->request, NGX_ERROR);
        return;
    }

    p = nchat_json_escape(parts[1].data, message);
    parts[1].len = p - parts[1].data;

    ngx_str_set(&parts[0], "{\"success\":false,\"error\":\"");
    ngx_str_set(&parts[2], "\",\"code\":\"");
    parts[3] = nchat_errors[error].code;
    ngx_str_set(&parts[4], "\",\"details\":");

    if (details) {
        parts[5] = *details;

    } else {
        ngx_str_set(&parts[5], "{}");
    }

    ngx_str_set(&parts[6], "}");

    if (error == NCHAT_E_INVALID_TOKEN) {
        ctx->challenge = 1;
    }

    nchat_reply_send(ctx, nchat_errors[error].status, parts, 7, NULL);
}


void
nchat_reply_status(nchat_ctx_t *ctx, ngx_uint_t status)
{
    u_char               *p;
    ngx_str_t             parts[1];
    nchat_status_row_t   *row;
    nchat_error_row_t    *error;

    for (row = nchat_statuses; row->status; row++) {
        if (row->status == status) {
            break;
        }
    }

    if (status == 494) {
        status = 400;
    }

    error = &nchat_errors[(row->status == 0 && status >= 500)
                          ? NCHAT_E_INTERNAL : row->error];

    parts[0].data = ngx_pnalloc(ctx->request->pool, 256);

    if (parts[0].data == NULL) {
        ctx->replied = 1;
        ngx_http_finalize_request(ctx->request, NGX_ERROR);
        return;
    }

    p = ngx_snprintf(parts[0].data, 256,
                     "{\"success\":false,\"error\":\"%s\",\"code\":\"%V\","
                     "\"details\":{}}", row->message, &error->code);
    parts[0].len = p - parts[0].data;

    nchat_reply_send(ctx, status, parts, 1, NULL);
}


void
nchat_reply_internal(nchat_ctx_t *ctx, const char *why)
{
    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "nchat: internal error: %s", why);

    nchat_reply_status(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
}


void
nchat_reply_raw(nchat_ctx_t *ctx, ngx_uint_t status, const char *type,
    const ngx_str_t *body)
{
    ngx_str_t  part;

    part = *body;

    nchat_reply_send(ctx, status, &part, 1, type);
}


void
nchat_reply_json(nchat_ctx_t *ctx, ngx_uint_t status, ngx_str_t *parts,
    ngx_uint_t n)
{
    nchat_reply_send(ctx, status, parts, n, NULL);
}


void
nchat_reply_empty(nchat_ctx_t *ctx, ngx_uint_t status)
{
    nchat_reply_send(ctx, status, NULL, 0, NULL);
}


static void
nchat_reply_send(nchat_ctx_t *ctx, ngx_uint_t status, ngx_str_t *parts,
    ngx_uint_t n, const char *type)
{
    size_t               len;
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = ctx->request;
    ctx->replied = 1;

    /* a body that cannot be skipped: this answer is the connection's last */

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    if (nchat_reply_status_headers(ctx, status) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    len = 0;
    out = nchat_reply_chain(r, parts, n, &len);

    if (len && out == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    nchat_reply_prepare(r, status, len, type);

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    ngx_http_finalize_request(r, ngx_http_output_filter(r, out));
}


/* What nginx is to say of an answer of so many bytes. */

static void
nchat_reply_prepare(ngx_http_request_t *r, ngx_uint_t status, size_t len,
    const char *type)
{
    r->headers_out.status = status;
    r->headers_out.content_length_n = len;
    r->err_status = 0;

    /*
     * nginx compares If-Match and its like with the answer: what has been done
     * must not be called refused then, and what has no ETag changes all the
     * time (RFC 9110, sections 13.1.1 and 13.2.1).
     */

    if (r->headers_out.etag == NULL
        || !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
    {
        r->disable_not_modified = 1;
    }

    if (len == 0) {
        r->header_only = 1;

    } else if (type) {
        r->headers_out.content_type.data = (u_char *) type;
        r->headers_out.content_type.len = ngx_strlen(type);
        r->headers_out.content_type_len = r->headers_out.content_type.len;

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "application/json; charset=utf-8");

        /* what gzip_types compares with */

        r->headers_out.content_type_len = sizeof("application/json") - 1;
    }
}


/*
 * Large parts are referred to where they are.  Copying a short answer into
 * one buffer costs less than taking eight through every filter.
 */

static ngx_chain_t *
nchat_reply_chain(ngx_http_request_t *r, ngx_str_t *parts, ngx_uint_t n,
    size_t *len)
{
    u_char       *p;
    ngx_buf_t    *b;
    ngx_str_t     whole;
    ngx_uint_t    i;
    ngx_chain_t  *links;

    for (i = 0; i < n; i++) {
        *len += parts[i].len;
    }

    if (*len == 0) {
        return NULL;
    }

    if (n > 1 && *len <= NCHAT_REPLY_COPY) {
        whole.len = *len;
        whole.data = ngx_pnalloc(r->pool, *len);
        if (whole.data == NULL) {
            return NULL;
        }

        for (p = whole.data, i = 0; i < n; i++) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);
        }

        parts = &whole;
        n = 1;
    }

    links = ngx_palloc(r->pool, n * (sizeof(ngx_chain_t) + sizeof(ngx_buf_t)));
    if (links == NULL) {
        return NULL;
    }

    b = (ngx_buf_t *) &links[n];
    ngx_memzero(b, n * sizeof(ngx_buf_t));

    for (i = 0; n; n--, parts++) {

        if (parts->len == 0) {
            continue;
        }

        b[i].pos = parts->data;
        b[i].last = parts->data + parts->len;
        b[i].memory = 1;

        links[i].buf = &b[i];
        links[i].next = &links[i + 1];
        i++;
    }

    b[i - 1].last_buf = 1;
    b[i - 1].last_in_chain = 1;
    links[i - 1].next = NULL;

    return links;
}


/* The headers that a status always has. */

static ngx_int_t
nchat_reply_status_headers(nchat_ctx_t *ctx, ngx_uint_t status)
{
    ngx_str_t            value, *allow;
    ngx_uint_t           after;
    ngx_http_request_t  *r;

    r = ctx->request;

    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:

        if (ctx->challenge) {
            ngx_str_set(&value, "Bearer error=\"invalid_token\"");

        } else {
            ngx_str_set(&value, "Bearer");
        }

        return nchat_reply_header(r, "WWW-Authenticate", &value);

    case NGX_HTTP_NOT_ALLOWED:

        allow = nchat_route_allow(ctx);

        return allow ? nchat_reply_header(r, "Allow", allow) : NGX_OK;

    case NGX_HTTP_TOO_MANY_REQUESTS:

        value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        after = ctx->retry_after ? ctx->retry_after : ctx->window.left;
        value.len = ngx_sprintf(value.data, "%ui", ngx_max(after, 1))
                    - value.data;

        return nchat_reply_header(r, "Retry-After", &value);

    case NGX_HTTP_SERVICE_UNAVAILABLE:

        ngx_str_set(&value, "1");

        return nchat_reply_header(r, "Retry-After", &value);

    default:
        return NGX_OK;
    }
}


ngx_int_t
nchat_reply_header(ngx_http_request_t *r, const char *name,
    const ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}
