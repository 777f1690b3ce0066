/* Contract, "Uploads": the PUT and the downloads. */

#include "nchat_api.h"
#include "nchat_store.h"
#include "nchat_uuid.h"


static void nchat_file_found(nchat_ctx_t *ctx, PGresult *result);
static ngx_int_t nchat_file_headers(nchat_ctx_t *ctx,
    const nchat_file_t *file, PGresult *result);
static ngx_int_t nchat_file_type(ngx_http_request_t *r,
    const nchat_mime_t *mime);
static ngx_int_t nchat_file_caching(nchat_ctx_t *ctx,
    const nchat_file_t *file, PGresult *result);


static nchat_stmt_t  nchat_file_get_stmt = {
    "nchat_file_get",
    "SELECT status, body, key, mime_type, filename, size, etag, seconds"
    " FROM nchat_file_get($1::uuid, $2::bigint, $3)",
    3, NCHAT_LANE_FAST, 1, 0, 0
};


ngx_int_t
nchat_api_upload_early(nchat_ctx_t *ctx)
{
    const nchat_store_t  *store;

    store = ctx->conf->files->store;

    if (store->early == NULL) {
        nchat_reply_status(ctx, NGX_HTTP_NOT_FOUND);
        return NGX_DONE;
    }

    return store->early(ctx);
}


void
nchat_api_upload_put(nchat_ctx_t *ctx)
{
    ctx->conf->files->store->receive(ctx);
}


void
nchat_api_file(nchat_ctx_t *ctx)
{
    ngx_int_t  expires;
    ngx_str_t  params[3];

    params[0] = ctx->params[0];

    if (nchat_uuid_parse(&params[0], NULL) != NGX_OK) {
        nchat_reply_error(ctx, NCHAT_E_NOT_FOUND, "There is no such file");
        return;
    }

    ngx_str_null(&params[1]);
    ngx_str_null(&params[2]);

    if (nchat_arg(ctx, "expires", &params[1]) == NGX_ERROR
        || nchat_arg(ctx, "signature", &params[2]) == NGX_ERROR)
    {
        return;
    }

    expires = ngx_atoi(params[1].data, params[1].len);

    if (expires == NGX_ERROR) {
        ngx_str_null(&params[1]);

    } else {

        /* without leading zeros: as it was signed */

        params[1] = nchat_query_int(ctx, expires);
    }

    nchat_query(ctx, &nchat_file_get_stmt, params, 3, nchat_file_found);
}


static void
nchat_file_found(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t      size, type;
    nchat_file_t  *file;

    if (nchat_query_expect(ctx, result, NGX_HTTP_OK) != NGX_OK) {
        return;
    }

    file = ngx_pcalloc(ctx->request->pool, sizeof(nchat_file_t));
    if (file == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    size = nchat_query_column(result, "size");
    type = nchat_query_column(result, "mime_type");

    file->id = ctx->params[0];
    file->key = nchat_query_column(result, "key");
    file->name = nchat_query_column(result, "filename");
    file->etag = nchat_query_column(result, "etag");
    file->size = ngx_atoof(size.data, size.len);
    file->mime = nchat_mime_find(&type);

    if (file->mime == NULL) {
        nchat_reply_internal(ctx, "a file is of a type that nobody knows");
        return;
    }

    if (nchat_file_headers(ctx, file, result) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ctx->conf->files->store->send(ctx, file);
}


/*
 * A file is somebody else's document on our origin.  It is never sniffed, its
 * scripts never run, and what a browser would run it saves instead.
 */

static ngx_int_t
nchat_file_headers(nchat_ctx_t *ctx, const nchat_file_t *file,
    PGresult *result)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    value.data = ngx_pnalloc(r->pool,
                             NCHAT_MIME_DISPOSITION_MAX(file->name.len));
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = nchat_mime_disposition(value.data, !file->mime->shown,
                                       &file->name)
                - value.data;

    if (nchat_reply_header(r, "Content-Disposition", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "default-src 'none'; img-src 'self' data:; "
                        "media-src 'self'; style-src 'unsafe-inline'; "
                        "sandbox");

    if (nchat_reply_header(r, "Content-Security-Policy", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "nosniff");

    if (nchat_reply_header(r, "X-Content-Type-Options", &value) != NGX_OK
        || nchat_file_type(r, file->mime) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return nchat_file_caching(ctx, file, result);
}


void
nchat_file_unset(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;

    do {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (&h[i] != r->headers_out.content_range) {
                h[i].hash = 0;
            }
        }

        part = part->next;

    } while (part);

    r->headers_out.etag = NULL;
    r->headers_out.last_modified = NULL;
    r->headers_out.last_modified_time = -1;
    r->headers_out.accept_ranges = NULL;
    r->allow_ranges = 0;
}


static ngx_int_t
nchat_file_type(ngx_http_request_t *r, const nchat_mime_t *mime)
{
    ngx_str_t  *type;

    type = &r->headers_out.content_type;
    *type = mime->type;

    if (mime->text) {
        type->data = ngx_pnalloc(r->pool, mime->type.len
                                          + sizeof("; charset=utf-8"));
        if (type->data == NULL) {
            return NGX_ERROR;
        }

        type->len = ngx_sprintf(type->data, "%V; charset=utf-8", &mime->type)
                    - type->data;
    }

    r->headers_out.content_type_len = mime->type.len;

    return NGX_OK;
}


/*
 * The bytes behind a link never change, but who may read them does: a message
 * is deleted, a channel becomes private.
 */

static ngx_int_t
nchat_file_caching(nchat_ctx_t *ctx, const nchat_file_t *file,
    PGresult *result)
{
    ngx_str_t            value, seconds;
    ngx_table_elt_t     *etag;
    ngx_http_request_t  *r;

    r = ctx->request;
    seconds = nchat_query_column(result, "seconds");

    value.data = ngx_pnalloc(r->pool, sizeof("private, max-age=")
                                      + ngx_max(seconds.len, 8));
    etag = ngx_list_push(&r->headers_out.headers);

    if (value.data == NULL || etag == NULL) {
        return NGX_ERROR;
    }

    if (seconds.len) {
        value.len = ngx_sprintf(value.data, "private, max-age=%V", &seconds)
                    - value.data;

    } else {
        value.len = ngx_sprintf(value.data, "public, max-age=300")
                    - value.data;
    }

    ngx_memzero(etag, sizeof(ngx_table_elt_t));
    etag->hash = file->etag.len ? 1 : 0;
    ngx_str_set(&etag->key, "ETag");
    etag->value = file->etag;

    /* nginx's filters compare it with If-None-Match and If-Range */

    r->headers_out.etag = file->etag.len ? etag : NULL;

    return nchat_reply_header(r, "Cache-Control", &value);
}
