/* Arguments, paging and the body's members. */

#include "nchat_http.h"
#include "nchat_headers.h"
#include "nchat_json.h"


#define NCHAT_PAGE_LIMIT      20
#define NCHAT_PAGE_LIMIT_MAX  100


static ngx_int_t nchat_arg_int(nchat_ctx_t *ctx, const char *name,
    ngx_uint_t min, ngx_uint_t *value);
static void nchat_page_settle(nchat_page_t *page, ngx_uint_t by_offset);


ngx_str_t *
nchat_header(ngx_http_request_t *r, const char *name)
{
    return nchat_headers_find(&r->headers_in.headers, name);
}


ngx_int_t
nchat_arg(nchat_ctx_t *ctx, const char *name, ngx_str_t *value)
{
    u_char     *dst, *src, *p;
    ngx_str_t   raw;

    if (ngx_http_arg(ctx->request, (u_char *) name, ngx_strlen(name), &raw)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    dst = ngx_pnalloc(ctx->request->pool, raw.len + 1);
    if (dst == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    ngx_memcpy(dst, raw.data, raw.len);

    /* a query string is a form's: plus means space */

    for (p = dst; p < dst + raw.len; p++) {
        if (*p == '+') {
            *p = ' ';
        }
    }

    src = dst;
    p = dst;
    ngx_unescape_uri(&p, &src, raw.len, 0);

    value->data = dst;
    value->len = p - dst;

    if (!nchat_utf8_valid(value)) {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "The query string must be UTF-8 without NUL");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
nchat_arg_page(nchat_ctx_t *ctx, nchat_page_t *page)
{
    ngx_int_t  rc;

    page->page = 1;
    page->limit = NCHAT_PAGE_LIMIT;
    page->offset = 0;

    if (nchat_arg_int(ctx, "page", 1, &page->page) == NGX_ERROR
        || nchat_arg_int(ctx, "limit", 1, &page->limit) == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    rc = nchat_arg_int(ctx, "offset", 0, &page->offset);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    nchat_page_settle(page, rc == NGX_OK);

    return NGX_OK;
}


static ngx_int_t
nchat_arg_int(nchat_ctx_t *ctx, const char *name, ngx_uint_t min,
    ngx_uint_t *value)
{
    u_char      text[128], *p;
    ngx_int_t   n, rc;
    ngx_str_t   arg, message;

    rc = nchat_arg(ctx, name, &arg);

    if (rc != NGX_OK) {
        return rc;
    }

    n = ngx_atoi(arg.data, arg.len);

    if (n == NGX_ERROR || n < (ngx_int_t) min || n > NCHAT_PAGE_MAX) {
        p = ngx_snprintf(text, sizeof(text),
                         "%s must be an integer of at least %ui", name, min);
        message.data = text;
        message.len = p - text;
        nchat_reply_error_details(ctx, NCHAT_E_BAD_REQUEST, &message, NULL);
        return NGX_ERROR;
    }

    *value = n;

    return NGX_OK;
}


static void
nchat_page_settle(nchat_page_t *page, ngx_uint_t by_offset)
{
    page->limit = ngx_min(page->limit, NCHAT_PAGE_LIMIT_MAX);

    if (by_offset) {
        page->page = page->offset / page->limit + 1;

    } else {
        page->offset = (page->page - 1) * page->limit;
    }
}


void
nchat_page_make(nchat_page_t *made, ngx_int_t page, ngx_int_t limit,
    ngx_int_t offset)
{
    made->page = page == NGX_CONF_UNSET ? 1 : page;
    made->limit = limit == NGX_CONF_UNSET ? NCHAT_PAGE_LIMIT : limit;
    made->offset = offset == NGX_CONF_UNSET ? 0 : offset;

    nchat_page_settle(made, offset != NGX_CONF_UNSET);
}


ngx_int_t
nchat_body_check(nchat_ctx_t *ctx, const nchat_check_t *fields, void *out)
{
    return nchat_object_check(ctx, fields, ctx->json, out);
}


ngx_int_t
nchat_object_check(nchat_ctx_t *ctx, const nchat_check_t *fields,
    json_t *object, void *out)
{
    nchat_failures_t  failures;

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    switch (nchat_check(ctx->request->pool, fields, object, out, &failures)) {

    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        nchat_reply_failures(ctx, &failures);
        return NGX_ERROR;

    default:
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }
}


void
nchat_reply_failures(nchat_ctx_t *ctx, nchat_failures_t *failures)
{
    ngx_str_t  message, details;

    if (nchat_failures_render(ctx->request->pool, failures, &message, &details)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_reply_error_details(ctx, NCHAT_E_VALIDATION, &message, &details);
}


void
nchat_reply_invalid(nchat_ctx_t *ctx, const char *field,
    const char *constraint, const char *message)
{
    nchat_failures_t  failures;

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    if (nchat_failures_add(ctx->request->pool, &failures, field, constraint,
                           message)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_reply_failures(ctx, &failures);
}
