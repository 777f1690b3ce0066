/*
 * Filters and order of the audit log.  Arguments become an object like the
 * body that POST has, so that both are checked by one table.
 */

#include "nchat_audit.h"
#include "nchat_json.h"


typedef struct {
    ngx_str_t    q;
    json_t      *categories;
    json_t      *severities;
    ngx_str_t    actor;
    ngx_str_t    resource;
    ngx_str_t    since;
    ngx_str_t    until;
    ngx_flag_t   success;
    ngx_str_t    sort;
    ngx_str_t    order;
} nchat_audit_given_t;


static ngx_int_t nchat_audit_arg(nchat_ctx_t *ctx, json_t *object,
    const char *name);
static ngx_int_t nchat_audit_filter(nchat_ctx_t *ctx, json_t *object,
    nchat_audit_filter_t *filter);
static ngx_int_t nchat_audit_split(json_t *object, const char *name);
static ngx_int_t nchat_audit_join(ngx_pool_t *pool, json_t *list,
    ngx_str_t *text);


const ngx_str_t  nchat_audit_categories[] = {
    ngx_string("auth"),
    ngx_string("config"),
    ngx_string("message"),
    ngx_string("channel"),
    ngx_string("user"),
    ngx_string("file"),
    ngx_string("attachment"),
    ngx_string("admin"),
    ngx_string("moderation"),
    ngx_string("security"),
    ngx_string("integration"),
    ngx_null_string
};

const ngx_str_t  nchat_audit_severities[] = {
    ngx_string("debug"),
    ngx_string("info"),
    ngx_string("warning"),
    ngx_string("error"),
    ngx_string("critical"),
    ngx_null_string
};

static const ngx_str_t  nchat_audit_sorts[] = {
    ngx_string("timestamp"),
    ngx_string("category"),
    ngx_string("action"),
    ngx_string("severity"),
    ngx_string("actor"),
    ngx_null_string
};

static const ngx_str_t  nchat_audit_orders[] = {
    ngx_string("asc"),
    ngx_string("desc"),
    ngx_null_string
};


static const nchat_check_t  nchat_audit_filter_fields[] = {
    NCHAT_CHECK_STR("q", offsetof(nchat_audit_given_t, q), 0, 200, 0),
    NCHAT_CHECK_ENUMS("categories", offsetof(nchat_audit_given_t, categories),
                      nchat_audit_categories, 0, 100, 0),
    NCHAT_CHECK_ENUMS("severities", offsetof(nchat_audit_given_t, severities),
                      nchat_audit_severities, 0, 100, 0),
    NCHAT_CHECK_STR("actor", offsetof(nchat_audit_given_t, actor), 0, 255, 0),
    NCHAT_CHECK_STR("resource", offsetof(nchat_audit_given_t, resource), 0,
                    400, 0),
    NCHAT_CHECK_DATE("from", offsetof(nchat_audit_given_t, since), 0),
    NCHAT_CHECK_DATE("to", offsetof(nchat_audit_given_t, until),
                     NCHAT_UPPER_DAY),
    NCHAT_CHECK_BOOL("success", offsetof(nchat_audit_given_t, success), 0),
    NCHAT_CHECK_ENUM("sort", offsetof(nchat_audit_given_t, sort),
                     nchat_audit_sorts, 0),
    NCHAT_CHECK_ENUM("order", offsetof(nchat_audit_given_t, order),
                     nchat_audit_orders, 0),
    NCHAT_CHECK_END
};


ngx_int_t
nchat_audit_filter_args(nchat_ctx_t *ctx, nchat_audit_filter_t *filter)
{
    json_t               *object;
    const nchat_check_t  *field;

    object = json_object();

    if (nchat_json_own(ctx->request->pool, object) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    for (field = nchat_audit_filter_fields; field->name.len; field++) {

        if (nchat_audit_arg(ctx, object, (char *) field->name.data) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return nchat_audit_filter(ctx, object, filter);
}


/* An empty argument is a field of a form that was left empty. */

static ngx_int_t
nchat_audit_arg(nchat_ctx_t *ctx, json_t *object, const char *name)
{
    json_t     *value;
    ngx_int_t   rc;
    ngx_str_t   arg;

    rc = nchat_arg(ctx, name, &arg);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED || arg.len == 0) {
        return NGX_OK;
    }

    if (ngx_strcmp(name, "success") == 0
        && ((arg.len == 4 && ngx_strncmp(arg.data, "true", 4) == 0)
            || (arg.len == 5 && ngx_strncmp(arg.data, "false", 5) == 0)))
    {
        value = json_boolean(arg.len == 4);

    } else {
        value = json_stringn((char *) arg.data, arg.len);
    }

    if (value == NULL || json_object_set_new(object, name, value) != 0) {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
nchat_audit_filter_body(nchat_ctx_t *ctx, json_t *body,
    nchat_audit_filter_t *filter)
{
    return nchat_audit_filter(ctx, body, filter);
}


static ngx_int_t
nchat_audit_filter(nchat_ctx_t *ctx, json_t *object,
    nchat_audit_filter_t *filter)
{
    ngx_str_t            *params;
    ngx_pool_t           *pool;
    nchat_audit_given_t   given;

    pool = ctx->request->pool;

    ngx_memzero(&given, sizeof(nchat_audit_given_t));
    given.success = NGX_CONF_UNSET;

    if (nchat_audit_split(object, "categories") != NGX_OK
        || nchat_audit_split(object, "severities") != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    if (nchat_object_check(ctx, nchat_audit_filter_fields, object, &given)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    params = filter->params;
    ngx_memzero(params, sizeof(filter->params));

    params[0] = given.q;
    params[3] = given.actor;
    params[4] = given.resource;
    params[5] = given.since;
    params[6] = given.until;
    params[8] = given.sort;
    params[9] = given.order;

    if (given.success == 1) {
        ngx_str_set(&params[7], "t");

    } else if (given.success == 0) {
        ngx_str_set(&params[7], "f");
    }

    if (nchat_audit_join(pool, given.categories, &params[1]) != NGX_OK
        || nchat_audit_join(pool, given.severities, &params[2]) != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* "a,b" becomes ["a","b"]; anything but a string stays as it is. */

static ngx_int_t
nchat_audit_split(json_t *object, const char *name)
{
    json_t      *value, *list;
    const char  *p, *last, *comma;

    value = json_object_get(object, name);

    if (!json_is_string(value)) {
        return NGX_OK;
    }

    list = json_array();
    if (list == NULL) {
        return NGX_ERROR;
    }

    p = json_string_value(value);
    last = p + json_string_length(value);

    while (p <= last && json_string_length(value)) {
        comma = memchr(p, ',', last - p);

        if (comma == NULL) {
            comma = last;
        }

        if (json_array_append_new(list, json_stringn(p, comma - p)) != 0) {
            json_decref(list);
            return NGX_ERROR;
        }

        p = comma + 1;
    }

    return json_object_set_new(object, name, list) == 0 ? NGX_OK : NGX_ERROR;
}


/* Known values only, so none has a comma. */

static ngx_int_t
nchat_audit_join(ngx_pool_t *pool, json_t *list, ngx_str_t *text)
{
    u_char  *p;
    size_t   i, len;
    json_t  *item;

    len = 0;

    json_array_foreach(list, i, item) {
        len += json_string_length(item) + 1;
    }

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = len - 1;

    json_array_foreach(list, i, item) {
        p = ngx_cpymem(p, json_string_value(item), json_string_length(item));
        *p++ = ',';
    }

    return NGX_OK;
}
