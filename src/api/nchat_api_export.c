/* Contract, "Audit": the log as a download, row by row in constant memory. */

#include "nchat_api.h"
#include "nchat_audit.h"
#include "nchat_db_copy.h"
#include "nchat_stream.h"


#define NCHAT_EXPORT_PIECES  3
#define NCHAT_EXPORT_PARAMS  (3 + 1 + NCHAT_AUDIT_FILTERS + 2)


typedef struct {
    ngx_str_t    name;
    const char  *type;
    ngx_str_t    before;           /* the first row */
    ngx_str_t    between;
    ngx_str_t    behind;           /* each row, in place of its LF */
    ngx_str_t    end;              /* behind the last one */
    ngx_str_t    empty;            /* all there is if there are no rows */
} nchat_export_format_t;

typedef struct {
    nchat_ctx_t                  *ctx;
    nchat_db_copy_t              *copy;
    nchat_stream_t               *stream;
    const nchat_export_format_t  *format;

    ngx_str_t                     pieces[NCHAT_EXPORT_PIECES];  /* a row */
    ngx_uint_t                    piece;
    unsigned                      rows:1;      /* there was one */
} nchat_export_t;


static void nchat_export_open(nchat_ctx_t *ctx, const ngx_str_t *format,
    nchat_audit_filter_t *filter);
static const nchat_export_format_t *nchat_export_format(
    const ngx_str_t *name);
static nchat_export_t *nchat_export_make(nchat_ctx_t *ctx,
    const nchat_export_format_t *format);
static void nchat_export_recorded(nchat_ctx_t *ctx, PGresult *result);
static void nchat_export_cleanup(void *data);
static ngx_int_t nchat_export_header(nchat_stream_t *stream, off_t length);
static void nchat_export_rows(nchat_db_copy_t *copy);
static ngx_int_t nchat_export_pump(nchat_export_t *export);
static ngx_int_t nchat_export_next(nchat_export_t *export);
static void nchat_export_room(nchat_stream_t *stream);
static void nchat_export_done(nchat_db_copy_t *copy, nchat_db_status_e status);
static void nchat_export_failed(nchat_export_t *export,
    nchat_db_status_e status);


static nchat_stmt_t  nchat_export_stmt = {
    "nchat_audit_export",
    "SELECT * FROM nchat_audit_export($1::uuid, $2, $3, $4, $5, $6, $7, $8,"
    " $9, $10::timestamptz, $11::timestamptz, $12::bool, $13, $14, $15, $16)",
    NCHAT_EXPORT_PARAMS, NCHAT_LANE_SLOW, 0, 0, 0
};


static const nchat_export_format_t  nchat_export_formats[] = {
    { ngx_string("json"), "application/json; charset=utf-8",
      ngx_string("[\n"), ngx_string(",\n"), ngx_null_string,
      ngx_string("\n]\n"), ngx_string("[]\n") },
    { ngx_string("ndjson"), "application/x-ndjson; charset=utf-8",
      ngx_null_string, ngx_null_string, ngx_string("\n"),
      ngx_null_string, ngx_null_string },
    { ngx_string("csv"), "text/csv; charset=utf-8; header=present",
      ngx_null_string, ngx_null_string, ngx_string("\r\n"),
      ngx_null_string, ngx_null_string },
    { ngx_null_string, NULL, ngx_null_string, ngx_null_string,
      ngx_null_string, ngx_null_string, ngx_null_string }
};


void
nchat_api_export_get(nchat_ctx_t *ctx)
{
    ngx_str_t             format;
    nchat_audit_filter_t  filter;

    ngx_str_null(&format);

    if (nchat_arg(ctx, "format", &format) == NGX_ERROR
        || nchat_audit_filter_args(ctx, &filter) != NGX_OK)
    {
        return;
    }

    nchat_export_open(ctx, &format, &filter);
}


void
nchat_api_export_post(nchat_ctx_t *ctx)
{
    json_t                *body;
    ngx_str_t              format;
    nchat_audit_filter_t   filter;

    const nchat_check_t  fields[] = {
        NCHAT_CHECK_STR("format", 0, 0, 0, 0),
        NCHAT_CHECK_END
    };

    ngx_str_null(&format);
    ngx_memzero(&filter, sizeof(nchat_audit_filter_t));
    body = ctx->json;

    if (body
        && (nchat_body_check(ctx, fields, &format) != NGX_OK
            || nchat_audit_filter_body(ctx, body, &filter) != NGX_OK))
    {
        return;
    }

    nchat_export_open(ctx, &format, &filter);
}


/* The export is recorded first, and that says how to read the rows. */

static void
nchat_export_open(nchat_ctx_t *ctx, const ngx_str_t *name,
    nchat_audit_filter_t *filter)
{
    ngx_str_t                     params[NCHAT_EXPORT_PARAMS];
    nchat_export_t               *export;
    const nchat_export_format_t  *format;

    format = nchat_export_format(name);

    if (format == NULL) {
        nchat_reply_invalid(ctx, "format", "enum",
                            "format must be json, csv or ndjson");
        return;
    }

    export = nchat_export_make(ctx, format);

    if (export == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    if (ctx->request->method == NGX_HTTP_HEAD) {
        ngx_http_finalize_request(ctx->request,
                                  nchat_stream_head(export->stream));
        return;
    }

    params[0] = ctx->caller.claims.sub;
    params[1] = ctx->caller.claims.email;
    params[2] = ctx->caller.claims.username;
    params[3] = format->name;
    ngx_memcpy(&params[4], filter->params, sizeof(filter->params));
    params[14] = nchat_limit_address(ctx);
    params[15] = ctx->request_id;

    nchat_query(ctx, &nchat_export_stmt, params, NCHAT_EXPORT_PARAMS,
                nchat_export_recorded);
}


/* The first one by default; NULL: there is none of that name. */

static const nchat_export_format_t *
nchat_export_format(const ngx_str_t *name)
{
    const nchat_export_format_t  *format;

    format = nchat_export_formats;

    if (name->data == NULL) {
        return format;
    }

    for ( /* void */ ; format->name.len; format++) {
        if (format->name.len == name->len
            && ngx_strncmp(format->name.data, name->data, name->len) == 0)
        {
            return format;
        }
    }

    return NULL;
}


static nchat_export_t *
nchat_export_make(nchat_ctx_t *ctx, const nchat_export_format_t *format)
{
    nchat_export_t      *export;
    ngx_http_cleanup_t  *cln;

    cln = ngx_http_cleanup_add(ctx->request, sizeof(nchat_export_t));
    if (cln == NULL) {
        return NULL;
    }

    export = cln->data;
    ngx_memzero(export, sizeof(nchat_export_t));

    export->ctx = ctx;
    export->format = format;
    export->piece = NCHAT_EXPORT_PIECES;
    export->stream = nchat_stream(ctx, nchat_export_header, nchat_export_room,
                                  export);
    if (export->stream == NULL) {
        return NULL;
    }

    cln->handler = nchat_export_cleanup;
    ctx->data = export;

    return export;
}


static void
nchat_export_recorded(nchat_ctx_t *ctx, PGresult *result)
{
    nchat_export_t *export = ctx->data;

    ngx_str_t        sql;
    nchat_db_copy_t  *copy;

    if (nchat_query_expect(ctx, result, NGX_HTTP_OK) != NGX_OK) {
        return;
    }

    sql = nchat_query_column(result, "copy");
    copy = nchat_db_copy(ctx->conf->db, &sql, nchat_export_rows,
                         nchat_export_done, export);

    if (copy == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    export->copy = copy;

    nchat_ctx_wait(ctx);
    nchat_db_copy_send(copy);
}


/* The request ends: so does the copy, if it still runs. */

static void
nchat_export_cleanup(void *data)
{
    nchat_export_t *export = data;

    if (export->copy) {
        nchat_db_copy_cancel(export->copy);
        export->copy = NULL;
    }
}


static ngx_int_t
nchat_export_header(nchat_stream_t *stream, off_t length)
{
    nchat_export_t *export = stream->data;

    u_char                  *p;
    ngx_tm_t                 tm;
    ngx_str_t                value;
    const char              *type;
    ngx_http_request_t      *r;
    ngx_http_headers_out_t  *headers;

    r = stream->request;
    headers = &r->headers_out;
    type = export->format->type;

    headers->content_type.data = (u_char *) type;
    headers->content_type.len = ngx_strlen(type);

    /* what gzip_types compares with */

    headers->content_type_len = strchr(type, ';') - type;

    p = ngx_pnalloc(r->pool, sizeof("attachment; filename=\"audit-logs-"
                                    "2026-01-02T03-04-05Z.ndjson\""));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_gmtime(ngx_time(), &tm);

    value.data = p;
    value.len = ngx_sprintf(p, "attachment; filename=\"audit-logs-"
                            "%4d-%02d-%02dT%02d-%02d-%02dZ.%V\"",
                            tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                            tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                            &export->format->name)
                - p;

    if (nchat_reply_header(r, "Content-Disposition", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "no-store");

    return nchat_reply_header(r, "Cache-Control", &value);
}


/* From the database: there may be rows. */

static void
nchat_export_rows(nchat_db_copy_t *copy)
{
    nchat_export_t *export = copy->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = export->ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    switch (nchat_export_pump(export)) {

    case NGX_OK:
        break;

    case NGX_AGAIN:
        nchat_db_copy_pause(copy);
        break;

    default:
        ngx_http_finalize_request(r, NGX_ERROR);
    }

    ngx_http_run_posted_requests(c);
}


/* Moves rows on; NGX_OK: there are none now, NGX_AGAIN: there is no room. */

static ngx_int_t
nchat_export_pump(nchat_export_t *export)
{
    ngx_int_t  rc;

    for ( ;; ) {

        if (export->piece == NCHAT_EXPORT_PIECES
            && nchat_export_next(export) == NGX_AGAIN)
        {
            return NGX_OK;
        }

        rc = nchat_stream_put(export->stream, &export->pieces[export->piece]);

        if (rc != NGX_OK) {
            return rc;
        }

        export->piece++;
    }
}


/* The next row, as pieces; NGX_AGAIN if there is none now. */

static ngx_int_t
nchat_export_next(nchat_export_t *export)
{
    ngx_str_t                     row;
    const nchat_export_format_t  *format;

    if (nchat_db_copy_row(export->copy, &row) != NGX_OK) {
        return NGX_AGAIN;
    }

    format = export->format;

    export->pieces[0] = export->rows ? format->between : format->before;
    export->pieces[1] = row;
    export->pieces[1].len--;               /* its LF */
    export->pieces[2] = format->behind;

    export->piece = 0;
    export->rows = 1;

    return NGX_OK;
}


/* From the client: it took something. */

static void
nchat_export_room(nchat_stream_t *stream)
{
    nchat_export_t *export = stream->data;

    nchat_db_copy_resume(export->copy);
}


/* From the database: those were all, or it failed. */

static void
nchat_export_done(nchat_db_copy_t *copy, nchat_db_status_e status)
{
    nchat_export_t *export = copy->data;

    ngx_int_t                     rc;
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    const nchat_export_format_t  *format;

    r = export->ctx->request;
    c = r->connection;
    export->copy = NULL;

    ngx_http_set_log_request(c->log, r);

    if (status == NCHAT_DB_OK) {
        format = export->format;
        rc = nchat_stream_end(export->stream, export->rows ? &format->end
                                                           : &format->empty);
        ngx_http_finalize_request(r, rc);

    } else {
        nchat_export_failed(export, status);
    }

    ngx_http_run_posted_requests(c);
}


/*
 * An error like others, as long as nothing was sent; after that the connection
 * is closed, without the chunk that would say that this is the end.
 */

static void
nchat_export_failed(nchat_export_t *export, nchat_db_status_e status)
{
    ngx_http_request_t  *r;

    if (!export->stream->started) {
        nchat_query_refuse(export->ctx, status, "copy");
        return;
    }

    r = export->ctx->request;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "nchat: an export was cut off by the database");

    ngx_http_finalize_request(r, NGX_ERROR);
}
