/* POST /api/save-svg and what it serves (contract, "Outbound"). */

#include "nchat_api.h"
#include "nchat_cache.h"
#include "nchat_svg.h"


/* how long a file is served from the shared zone without a look */
#define NCHAT_SVG_LIFE     1000

/* an ETag: a digest in hex and two quotes */
#define NCHAT_SVG_ETAG     (64 + 2)

#define NCHAT_SVG_MESSAGE  512


typedef struct {
    ngx_str_t   svg;
    ngx_str_t   filename;

    ngx_str_t   name;
} nchat_svg_save_t;


static ngx_uint_t nchat_svg_may_save(nchat_ctx_t *ctx);
static ngx_int_t nchat_svg_checked(nchat_ctx_t *ctx, nchat_svg_save_t *save);
static void nchat_svg_saved(nchat_ctx_t *ctx, PGresult *result);
static void nchat_svg_key(nchat_key_t *key, ngx_str_t *name);
static ngx_str_t nchat_svg_file_name(nchat_ctx_t *ctx);
static void nchat_svg_found(nchat_ctx_t *ctx, PGresult *result);
static void nchat_svg_send(nchat_ctx_t *ctx, ngx_str_t *file);


static nchat_stmt_t  nchat_svg_save_stmt = {
    "nchat_svg_save",
    "SELECT status, body"
    " FROM nchat_svg_save($1, $2, $3::uuid, $4, $5, $6, $7, $8)",
    8, NCHAT_LANE_LOCK, 0, 0, 0
};

static nchat_stmt_t  nchat_svg_get_stmt = {
    "nchat_svg_get",
    "SELECT status, body, etag, svg FROM nchat_svg_get($1)",
    1, NCHAT_LANE_FAST, 1, 0, 0
};


static const nchat_check_t  nchat_svg_fields[] = {
    NCHAT_CHECK_STR("svg", offsetof(nchat_svg_save_t, svg), 1, NCHAT_SVG_MAX,
                    NCHAT_REQUIRED|NCHAT_BYTES),
    NCHAT_CHECK_STR("filename", offsetof(nchat_svg_save_t, filename), 1, 0,
                    NCHAT_REQUIRED),
    NCHAT_CHECK_END
};


void
nchat_api_svg_save(nchat_ctx_t *ctx)
{
    ngx_str_t          params[8];
    nchat_svg_save_t  *save;

    if (!nchat_svg_may_save(ctx)) {
        return;
    }

    save = ngx_pcalloc(ctx->request->pool, sizeof(nchat_svg_save_t));
    if (save == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (nchat_body_check(ctx, nchat_svg_fields, save) != NGX_OK
        || nchat_svg_checked(ctx, save) != NGX_OK)
    {
        return;
    }

    ngx_memzero(params, sizeof(params));

    params[0] = save->name;
    params[1] = save->svg;

    if (ctx->caller.valid) {
        params[2] = ctx->caller.claims.sub;
        params[3] = ctx->caller.claims.role;
        params[4] = ctx->caller.claims.email;
        params[5] = ctx->caller.claims.username;
    }

    params[6] = nchat_limit_address(ctx);
    params[7] = ctx->request_id;

    ctx->data = save;

    nchat_query(ctx, &nchat_svg_save_stmt, params, 8, nchat_svg_saved);
}


/* What the configuration says now; the statement decides.  0: answered. */

static ngx_uint_t
nchat_svg_may_save(nchat_ctx_t *ctx)
{
    nchat_live_t  *live;

    if (ctx->caller.role >= NCHAT_ROLE_ADMIN) {
        return 1;
    }

    if (ctx->caller.role == NCHAT_ROLE_GUEST) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "Guests may not save SVG files");
        return 0;
    }

    live = nchat_live_keep(ctx->conf->zone, ctx->request->pool);

    if (live == NULL || !nchat_live_flag(live, "setup.isCompleted", 0)) {
        return 1;
    }

    if (ctx->caller.valid) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN, "Only admins save SVG files "
                          "once the setup is completed");

    } else {
        nchat_reply_error(ctx, NCHAT_E_UNAUTHORIZED,
                          "Authentication required");
    }

    return 0;
}


/* NGX_ERROR: answered */

static ngx_int_t
nchat_svg_checked(nchat_ctx_t *ctx, nchat_svg_save_t *save)
{
    u_char              *p;
    ngx_int_t            rc;
    ngx_pool_t          *pool;
    nchat_svg_error_t    err;

    pool = ctx->request->pool;

    rc = nchat_svg_name(pool, &save->filename, &save->name);

    if (rc == NGX_DECLINED) {
        nchat_reply_invalid(ctx, "filename", "format",
                            "filename must be letters, digits, \"-\" and "
                            "\".\", end in .svg, begin with no dot, and have "
                            "at most 100 characters");
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        rc = nchat_svg_check(pool, &save->svg, &err);
    }

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NCHAT_SVG_MESSAGE + 1);

    if (rc != NGX_DECLINED || p == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    *ngx_snprintf(p, NCHAT_SVG_MESSAGE, "svg is refused in line %ui: %V",
                  err.line, &err.reason)
        = '\0';

    nchat_reply_invalid(ctx, "svg", "format", (char *) p);

    return NGX_ERROR;
}


static void
nchat_svg_saved(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_svg_save_t *save = ctx->data;

    nchat_key_t  key;

    nchat_svg_key(&key, &save->name);
    nchat_cache_drop(ctx->conf->zone, &key);

    nchat_query_reply(ctx, result);
}


static void
nchat_svg_key(nchat_key_t *key, ngx_str_t *name)
{
    nchat_key(key, 'S', name, 1);
}


/* of "/{name}.svg" the last segment, whole */

static ngx_str_t
nchat_svg_file_name(nchat_ctx_t *ctx)
{
    ngx_str_t  name;

    name.data = ctx->params[0].data;
    name.len = ctx->params[0].len + sizeof(".svg") - 1;

    return name;
}


void
nchat_api_svg_get(nchat_ctx_t *ctx)
{
    ngx_int_t    rc;
    ngx_str_t    name, file;
    nchat_key_t  key;

    name = nchat_svg_file_name(ctx);

    if (name.len > NCHAT_SVG_NAME_MAX) {
        nchat_reply_error(ctx, NCHAT_E_NOT_FOUND, "There is no such file");
        return;
    }

    nchat_svg_key(&key, &name);

    rc = nchat_cache_get(ctx->conf->zone, &key, ctx->request->pool, &file);

    if (rc == NGX_OK) {
        nchat_svg_send(ctx, &file);
        return;
    }

    if (rc == NGX_ERROR) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_query(ctx, &nchat_svg_get_stmt, &name, 1, nchat_svg_found);
}


/* In the zone a file is its ETag and itself. */

static void
nchat_svg_found(nchat_ctx_t *ctx, PGresult *result)
{
    u_char       *p;
    ngx_str_t     etag, svg, file, name;
    nchat_key_t   key;

    if (nchat_query_expect(ctx, result, NGX_HTTP_OK) != NGX_OK) {
        return;
    }

    etag = nchat_query_column(result, "etag");
    svg = nchat_query_column(result, "svg");

    if (etag.len != NCHAT_SVG_ETAG - 2) {
        nchat_reply_internal(ctx, "an SVG file has no digest");
        return;
    }

    file.len = NCHAT_SVG_ETAG + svg.len;
    file.data = ngx_pnalloc(ctx->request->pool, file.len);

    if (file.data == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    p = file.data;
    *p++ = '"';
    p = ngx_cpymem(p, etag.data, etag.len);
    *p++ = '"';
    ngx_memcpy(p, svg.data, svg.len);

    name = nchat_svg_file_name(ctx);
    nchat_svg_key(&key, &name);
    nchat_cache_put(ctx->conf->zone, &key, &file, NCHAT_SVG_LIFE);

    nchat_svg_send(ctx, &file);
}


/*
 * It was checked when it was saved; should that have missed something, the
 * browser runs no script of it and loads nothing for it.
 */

static void
nchat_svg_send(nchat_ctx_t *ctx, ngx_str_t *file)
{
    ngx_str_t            body;
    ngx_uint_t           i;
    ngx_table_elt_t     *etag;
    ngx_http_request_t  *r;

    static const struct {
        const char  *name;
        ngx_str_t    value;
    } headers[] = {
        { "Content-Security-Policy",
          ngx_string("default-src 'none'; style-src 'unsafe-inline'; "
                     "img-src data:; sandbox") },
        { "X-Content-Type-Options", ngx_string("nosniff") },
        { "Cache-Control", ngx_string("public, max-age=60") }
    };

    r = ctx->request;

    for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (nchat_reply_header(r, headers[i].name, &headers[i].value)
            != NGX_OK)
        {
            nchat_reply_internal(ctx, "out of memory");
            return;
        }
    }

    etag = ngx_list_push(&r->headers_out.headers);
    if (etag == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    ngx_memzero(etag, sizeof(ngx_table_elt_t));
    etag->hash = 1;
    ngx_str_set(&etag->key, "ETag");
    etag->value.data = file->data;
    etag->value.len = NCHAT_SVG_ETAG;

    /* nginx's not_modified filter compares it with If-None-Match */

    r->headers_out.etag = etag;

    body.data = file->data + NCHAT_SVG_ETAG;
    body.len = file->len - NCHAT_SVG_ETAG;

    nchat_reply_raw(ctx, NGX_HTTP_OK, "image/svg+xml", &body);
}
