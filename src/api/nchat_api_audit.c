/* Contract, "Audit": entries, lists, deletion, verification. */

#include "nchat_api.h"
#include "nchat_audit.h"
#include "nchat_json.h"


typedef struct {
    json_t      *ids;
    ngx_str_t    older_than;
    ngx_str_t    category;
    json_t      *severity;
} nchat_audit_deletion_t;


static ngx_int_t nchat_audit_check(nchat_ctx_t *ctx);
static ngx_int_t nchat_audit_render(nchat_ctx_t *ctx, ngx_str_t *text);
static void nchat_audit_created(nchat_ctx_t *ctx, PGresult *result);
static ngx_int_t nchat_audit_page(nchat_ctx_t *ctx, nchat_page_t *page);


/* The entry as the payload: success belongs to the envelope's own members. */

static nchat_stmt_t  nchat_audit_create_stmt = {
    "nchat_audit_create",
    "SELECT a.status, m.members, m.hidden"
    " FROM nchat_audit_create($1::uuid, $2, $3, $4::bool, $5::jsonb, $6, $7)"
    " a, LATERAL (SELECT"
    " string_agg(to_json(e.key) || ':' || e.value, ',' ORDER BY e.n)"
    " FILTER (WHERE e.key <> 'success') AS members,"
    " string_agg(to_json(e.key) || ':' || e.value, ',')"
    " FILTER (WHERE e.key = 'success') AS hidden"
    " FROM json_each(a.body::json) WITH ORDINALITY AS e(key, value, n)) m",
    7, NCHAT_LANE_FAST, 0, 0, 0
};

static nchat_stmt_t  nchat_audit_list_stmt = {
    "nchat_audit_list",
    "SELECT * FROM nchat_audit_list($1::uuid, $2, $3, $4, $5, $6,"
    " $7::timestamptz, $8::timestamptz, $9::bool, $10, $11, $12::int,"
    " $13::bigint)",
    13, NCHAT_LANE_SLOW, 1, 0, 0
};

static nchat_stmt_t  nchat_audit_delete_stmt = {
    "nchat_audit_delete",
    "SELECT * FROM nchat_audit_delete($1::uuid, $2, $3, $4::jsonb,"
    " $5::timestamptz, $6, (SELECT string_agg(s, ',')"
    " FROM json_array_elements_text($7::json) s), $8, $9)",
    9, NCHAT_LANE_SLOW, 0, 0, 0
};

static nchat_stmt_t  nchat_audit_verify_stmt = {
    "nchat_audit_verify", "SELECT * FROM nchat_audit_verify()", 0,
    NCHAT_LANE_SLOW, 1, 0, 0
};


/* The members of an entry; only these are stored. */

static const nchat_check_t  nchat_audit_entry_fields[] = {
    NCHAT_CHECK_ENUM("category", NCHAT_CHECK_ONLY, nchat_audit_categories,
                     NCHAT_REQUIRED),
    NCHAT_CHECK_STR("action", NCHAT_CHECK_ONLY, 1, 100, NCHAT_REQUIRED),
    NCHAT_CHECK_ENUM("severity", NCHAT_CHECK_ONLY, nchat_audit_severities, 0),
    NCHAT_CHECK_OBJECT("actor", NCHAT_CHECK_ONLY, 0),
    NCHAT_CHECK_OBJECT("resource", NCHAT_CHECK_ONLY, 0),
    NCHAT_CHECK_OBJECT("target", NCHAT_CHECK_ONLY, 0),
    NCHAT_CHECK_STR("description", NCHAT_CHECK_ONLY, 1, 2000, NCHAT_REQUIRED),
    NCHAT_CHECK_BOOL("success", NCHAT_CHECK_ONLY, 0),
    NCHAT_CHECK_STR("errorMessage", NCHAT_CHECK_ONLY, 0, 2000, 0),
    NCHAT_CHECK_OBJECT("metadata", NCHAT_CHECK_ONLY, 0),
    NCHAT_CHECK_STR("ipAddress", NCHAT_CHECK_ONLY, 1, 64, 0),
    NCHAT_CHECK_STR("requestId", NCHAT_CHECK_ONLY, 1, 128, 0),
    NCHAT_CHECK_STR("correlationId", NCHAT_CHECK_ONLY, 1, 128, 0),
    NCHAT_CHECK_END
};

static const nchat_check_t  nchat_audit_actor_fields[] = {
    NCHAT_CHECK_STR("actor.id", NCHAT_CHECK_ONLY, 1, 255, 0),
    NCHAT_CHECK_STR("actor.type", NCHAT_CHECK_ONLY, 1, 50, 0),
    NCHAT_CHECK_STR("actor.email", NCHAT_CHECK_ONLY, 1, 254, 0),
    NCHAT_CHECK_STR("actor.username", NCHAT_CHECK_ONLY, 1, 255, 0),
    NCHAT_CHECK_END
};

static const nchat_check_t  nchat_audit_resource_fields[] = {
    NCHAT_CHECK_STR("resource.type", NCHAT_CHECK_ONLY, 1, 100, NCHAT_REQUIRED),
    NCHAT_CHECK_STR("resource.id", NCHAT_CHECK_ONLY, 1, 255, NCHAT_REQUIRED),
    NCHAT_CHECK_STR("resource.name", NCHAT_CHECK_ONLY, 1, 255, 0),
    NCHAT_CHECK_END
};

static const nchat_check_t  nchat_audit_deletion_fields[] = {
    NCHAT_CHECK_STRS("ids", offsetof(nchat_audit_deletion_t, ids), 1, 10000,
                     0),
    NCHAT_CHECK_DATE("olderThan", offsetof(nchat_audit_deletion_t, older_than),
                     0),
    NCHAT_CHECK_ENUM("category", offsetof(nchat_audit_deletion_t, category),
                     nchat_audit_categories, 0),
    NCHAT_CHECK_ENUMS("severity", offsetof(nchat_audit_deletion_t, severity),
                      nchat_audit_severities, 1, 5, 0),
    NCHAT_CHECK_END
};


void
nchat_api_audit_create(nchat_ctx_t *ctx)
{
    ngx_str_t        params[7];
    nchat_caller_t  *caller;

    if (nchat_audit_check(ctx) != NGX_OK) {
        return;
    }

    if (nchat_audit_render(ctx, &params[4]) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    caller = &ctx->caller;
    params[0] = caller->claims.sub;
    params[1] = caller->claims.email;
    params[2] = caller->claims.username;

    if (caller->role >= NCHAT_ROLE_ADMIN) {
        ngx_str_set(&params[3], "t");

    } else {
        ngx_str_set(&params[3], "f");
    }

    params[5] = nchat_limit_address(ctx);
    params[6] = ctx->request_id;

    nchat_query(ctx, &nchat_audit_create_stmt, params, 7, nchat_audit_created);
}


static ngx_int_t
nchat_audit_check(nchat_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_uint_t         i;
    nchat_failures_t   failures;

    const struct {
        const char           *member;
        const nchat_check_t  *fields;
    } parts[] = {
        { NULL, nchat_audit_entry_fields },
        { "actor", nchat_audit_actor_fields },
        { "resource", nchat_audit_resource_fields }
    };

    ngx_memzero(&failures, sizeof(nchat_failures_t));

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {

        /* one that is no object was found to be so by the first table */

        if (parts[i].member
            && !json_is_object(json_object_get(ctx->json, parts[i].member)))
        {
            continue;
        }

        rc = nchat_check(ctx->request->pool, parts[i].fields, ctx->json, NULL,
                         &failures);
        if (rc == NGX_ERROR) {
            nchat_reply_internal(ctx, "out of memory");
            return NGX_ERROR;
        }
    }

    if (failures.list) {
        nchat_reply_failures(ctx, &failures);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The entry with the members that it may have, and no others. */

static ngx_int_t
nchat_audit_render(nchat_ctx_t *ctx, ngx_str_t *text)
{
    json_t               *entry, *value;
    const nchat_check_t  *field;

    entry = json_object();

    if (nchat_json_own(ctx->request->pool, entry) != NGX_OK) {
        return NGX_ERROR;
    }

    for (field = nchat_audit_entry_fields; field->name.len; field++) {
        value = json_object_get(ctx->json, (char *) field->name.data);

        if (value
            && json_object_set(entry, (char *) field->name.data, value) != 0)
        {
            return NGX_ERROR;
        }
    }

    return nchat_json_dump(ctx->request->pool, entry, 0, text);
}


static void
nchat_audit_created(nchat_ctx_t *ctx, PGresult *result)
{
    ngx_str_t   members, hidden;
    ngx_uint_t  status;

    status = nchat_query_status(ctx, result);
    if (status == 0) {
        return;
    }

    members = nchat_query_column(result, "members");
    hidden = nchat_query_column(result, "hidden");

    nchat_reply_ok(ctx, status, &members, &hidden);
}


void
nchat_api_audit_list(nchat_ctx_t *ctx)
{
    ngx_str_t              params[13];
    nchat_page_t           page;
    nchat_caller_t        *caller;
    nchat_audit_filter_t   filter;

    if (nchat_audit_page(ctx, &page) != NGX_OK
        || nchat_audit_filter_args(ctx, &filter) != NGX_OK)
    {
        return;
    }

    caller = &ctx->caller;

    if (caller->role >= NCHAT_ROLE_ADMIN) {
        ngx_str_null(&params[0]);

    } else {
        params[0] = caller->claims.sub;
    }

    ngx_memcpy(&params[1], filter.params, sizeof(filter.params));
    params[11] = nchat_query_int(ctx, page.limit);
    params[12] = nchat_query_int(ctx, page.offset);

    nchat_query(ctx, &nchat_audit_list_stmt, params, 13, nchat_query_reply);
}


/* pageSize is what existing clients call limit. */

static ngx_int_t
nchat_audit_page(nchat_ctx_t *ctx, nchat_page_t *page)
{
    ngx_int_t  n, rc;
    ngx_str_t  arg;

    if (nchat_arg_page(ctx, page) != NGX_OK) {
        return NGX_ERROR;
    }

    if (nchat_arg(ctx, "limit", &arg) == NGX_OK) {
        return NGX_OK;
    }

    rc = nchat_arg(ctx, "pageSize", &arg);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    n = ngx_atoi(arg.data, arg.len);

    if (n < 1) {
        nchat_reply_error(ctx, NCHAT_E_BAD_REQUEST,
                          "pageSize must be an integer of at least 1");
        return NGX_ERROR;
    }

    page->limit = ngx_min(n, 100);

    if (nchat_arg(ctx, "offset", &arg) != NGX_OK) {
        page->offset = (page->page - 1) * page->limit;
    }

    return NGX_OK;
}


void
nchat_api_audit_delete(nchat_ctx_t *ctx)
{
    ngx_str_t                params[9];
    ngx_pool_t              *pool;
    nchat_audit_deletion_t   deletion;

    ngx_memzero(&deletion, sizeof(nchat_audit_deletion_t));

    if (nchat_body_check(ctx, nchat_audit_deletion_fields, &deletion)
        != NGX_OK)
    {
        return;
    }

    if (deletion.ids == NULL && deletion.older_than.data == NULL) {
        nchat_reply_invalid(ctx, "ids", "required",
                            "ids or olderThan is required");
        return;
    }

    ngx_memzero(params, sizeof(params));
    pool = ctx->request->pool;

    if ((deletion.ids
         && nchat_json_dump(pool, deletion.ids, 0, &params[3]) != NGX_OK)
        || (deletion.severity
            && nchat_json_dump(pool, deletion.severity, 0, &params[6])
               != NGX_OK))
    {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    params[0] = ctx->caller.claims.sub;
    params[1] = ctx->caller.claims.email;
    params[2] = ctx->caller.claims.username;
    params[4] = deletion.older_than;
    params[5] = deletion.category;
    params[7] = nchat_limit_address(ctx);
    params[8] = ctx->request_id;

    nchat_query(ctx, &nchat_audit_delete_stmt, params, 9, nchat_query_reply);
}


void
nchat_api_audit_verify(nchat_ctx_t *ctx)
{
    nchat_query(ctx, &nchat_audit_verify_stmt, NULL, 0, nchat_query_reply);
}
