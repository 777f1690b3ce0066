#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>

#include "nchat_check.h"
#include "nchat_check_int.h"
#include "nchat_json.h"
#include "nchat_time.h"
#include "nchat_uuid.h"


typedef struct {
    ngx_pool_t            *pool;
    const nchat_check_t   *field;
    ngx_str_t              name;        /* of what is looked at now */
    u_char                *out;
    nchat_failures_t      *failures;
} nchat_check_ctx_t;


static ngx_int_t nchat_check_field(nchat_check_ctx_t *ctx, json_t *object);
static ngx_int_t nchat_check_find(nchat_check_ctx_t *ctx, json_t *object,
    json_t **value);
static ngx_int_t nchat_check_value(nchat_check_ctx_t *ctx, json_t *value);
static ngx_int_t nchat_check_text(nchat_check_ctx_t *ctx, json_t *value);
static ngx_int_t nchat_check_form(nchat_check_ctx_t *ctx, ngx_str_t *text);
static ngx_int_t nchat_check_number(nchat_check_ctx_t *ctx, json_t *value);
static ngx_int_t nchat_check_array(nchat_check_ctx_t *ctx, json_t *value);
static const char *nchat_check_item(const nchat_check_t *field, json_t *item);
static ngx_int_t nchat_check_length(nchat_check_ctx_t *ctx, size_t len);
static ngx_int_t nchat_check_store(nchat_check_ctx_t *ctx, const void *value,
    size_t size);
static ngx_int_t nchat_check_fail(nchat_check_ctx_t *ctx,
    const char *constraint);


ngx_int_t
nchat_check(ngx_pool_t *pool, const nchat_check_t *fields, json_t *object,
    void *out, nchat_failures_t *failures)
{
    ngx_int_t          rc, result;
    nchat_check_ctx_t  ctx;

    ctx.pool = pool;
    ctx.out = out;
    ctx.failures = failures;

    result = NGX_OK;

    for (ctx.field = fields; ctx.field->type != NCHAT_CHECK_T_END; ctx.field++)
    {
        rc = nchat_check_field(&ctx, object);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            result = NGX_DECLINED;
        }
    }

    return result;
}


static ngx_int_t
nchat_check_field(nchat_check_ctx_t *ctx, json_t *object)
{
    json_t     *value;
    ngx_int_t   rc;

    rc = nchat_check_find(ctx, object, &value);

    if (rc != NGX_OK) {
        return rc;
    }

    if (json_is_null(value) && (ctx->field->flags & NCHAT_NULLABLE)) {
        value = NULL;
    }

    if (value == NULL) {

        if (ctx->field->flags & NCHAT_REQUIRED) {
            return nchat_check_fail(ctx, "required");
        }

        return NGX_OK;
    }

    return nchat_check_value(ctx, value);
}


/*
 * Follows a dotted path.  *value is NULL if any part of it is absent; a part
 * on the way that is no object is a failure of that part.
 */

static ngx_int_t
nchat_check_find(nchat_check_ctx_t *ctx, json_t *object, json_t **value)
{
    u_char            *p, *dot, *last;
    const ngx_str_t   *path;

    *value = NULL;

    path = &ctx->field->name;
    p = path->data;
    last = p + path->len;

    for ( ;; ) {
        dot = ngx_strlchr(p, last, '.');

        if (dot == NULL) {
            break;
        }

        object = json_object_getn(object, (char *) p, dot - p);

        if (object == NULL) {
            ctx->name = *path;
            return NGX_OK;
        }

        if (!json_is_object(object)) {
            ctx->name.data = path->data;
            ctx->name.len = dot - path->data;
            return nchat_check_fail(ctx, "parent");
        }

        p = dot + 1;
    }

    *value = json_object_getn(object, (char *) p, last - p);
    ctx->name = *path;

    return NGX_OK;
}


static ngx_int_t
nchat_check_value(nchat_check_ctx_t *ctx, json_t *value)
{
    ngx_flag_t  flag;

    switch (ctx->field->type) {

    case NCHAT_CHECK_T_INT:
    case NCHAT_CHECK_T_NUM:
        return nchat_check_number(ctx, value);

    case NCHAT_CHECK_T_BOOL:
        if (!json_is_boolean(value)) {
            return nchat_check_fail(ctx, "type");
        }

        flag = json_is_true(value);

        return nchat_check_store(ctx, &flag, sizeof(ngx_flag_t));

    case NCHAT_CHECK_T_OBJECT:
        if (!json_is_object(value)) {
            return nchat_check_fail(ctx, "type");
        }

        return nchat_check_store(ctx, &value, sizeof(json_t *));

    case NCHAT_CHECK_T_STRS:
    case NCHAT_CHECK_T_UUIDS:
    case NCHAT_CHECK_T_ENUMS:
    case NCHAT_CHECK_T_ARRAY:
        return nchat_check_array(ctx, value);

    default:
        return nchat_check_text(ctx, value);
    }
}


static ngx_int_t
nchat_check_text(nchat_check_ctx_t *ctx, json_t *value)
{
    size_t      len;
    ngx_int_t   rc;
    ngx_str_t   text;
    ngx_uint_t  flags;

    if (!json_is_string(value)) {
        return nchat_check_fail(ctx, "type");
    }

    text.len = json_string_length(value);
    text.data = (u_char *) json_string_value(value);

    flags = ctx->field->flags;

    if (ctx->field->type == NCHAT_CHECK_T_EMAIL) {
        flags |= NCHAT_TRIM | NCHAT_LOWER;

    } else if (ctx->field->type == NCHAT_CHECK_T_UUID) {
        flags |= NCHAT_LOWER;
    }

    if (flags & NCHAT_TRIM) {
        nchat_check_trim(&text);
    }

    len = (flags & NCHAT_BYTES) ? text.len : nchat_utf8_len(&text);

    rc = nchat_check_length(ctx, len);
    if (rc != NGX_OK) {
        return rc;
    }

    if (text.len || (flags & NCHAT_EMPTY) == 0) {
        rc = nchat_check_form(ctx, &text);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if ((flags & NCHAT_LOWER)
        && nchat_check_lower(ctx->pool, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return nchat_check_store(ctx, &text, sizeof(ngx_str_t));
}


/* What a string has to look like; a date is replaced by its usual form. */

static ngx_int_t
nchat_check_form(nchat_check_ctx_t *ctx, ngx_str_t *text)
{
    int64_t      ms;
    ngx_uint_t   good, upper;

    good = 1;

    switch (ctx->field->type) {

    case NCHAT_CHECK_T_UUID:
        good = nchat_uuid_parse(text, NULL) == NGX_OK;
        break;

    case NCHAT_CHECK_T_EMAIL:
        if (nchat_utf8_len(text) > NCHAT_EMAIL_MAX) {
            return nchat_check_fail(ctx, "length");
        }

        good = nchat_check_email(text);
        break;

    case NCHAT_CHECK_T_URL:
        good = nchat_check_url(text);
        break;

    case NCHAT_CHECK_T_COLOR:
        good = nchat_check_color(text);
        break;

    case NCHAT_CHECK_T_ENUM:
        if (nchat_check_member(ctx->field->values, text) == NULL) {
            return nchat_check_fail(ctx, "enum");
        }

        break;

    case NCHAT_CHECK_T_DATE:
        upper = ctx->field->flags & NCHAT_UPPER_DAY;

        if (nchat_time_parse(text, &ms, upper) != NGX_OK) {
            good = 0;
            break;
        }

        text->data = ngx_pnalloc(ctx->pool, NCHAT_TIME_LEN);
        if (text->data == NULL) {
            return NGX_ERROR;
        }

        text->len = NCHAT_TIME_LEN;
        (void) nchat_time_format(text->data, ms);
        break;

    default: /* NCHAT_CHECK_T_STR */
        break;
    }

    return good ? NGX_OK : nchat_check_fail(ctx, "format");
}


static ngx_int_t
nchat_check_number(nchat_check_ctx_t *ctx, json_t *value)
{
    double                number;
    ngx_int_t             integer;
    json_int_t            wide;
    const nchat_check_t  *field;

    field = ctx->field;

    if (field->type == NCHAT_CHECK_T_INT) {

        if (!json_is_integer(value)) {
            return nchat_check_fail(ctx, "type");
        }

        wide = json_integer_value(value);
        integer = (ngx_int_t) wide;
        number = (double) wide;

        if (integer != wide) {
            return nchat_check_fail(ctx, "range");
        }

    } else {

        if (!json_is_number(value)) {
            return nchat_check_fail(ctx, "type");
        }

        integer = 0;
        number = json_number_value(value);
    }

    if (number < field->min
        || (field->max >= field->min && number > field->max))
    {
        return nchat_check_fail(ctx, "range");
    }

    if (field->type == NCHAT_CHECK_T_INT) {
        return nchat_check_store(ctx, &integer, sizeof(ngx_int_t));
    }

    return nchat_check_store(ctx, &number, sizeof(double));
}


static ngx_int_t
nchat_check_array(nchat_check_ctx_t *ctx, json_t *value)
{
    size_t       i;
    json_t      *item;
    u_char      *name;
    ngx_int_t    rc;
    const char  *constraint;

    if (!json_is_array(value)) {
        return nchat_check_fail(ctx, "type");
    }

    rc = nchat_check_length(ctx, json_array_size(value));
    if (rc != NGX_OK) {
        return rc;
    }

    json_array_foreach(value, i, item) {

        constraint = nchat_check_item(ctx->field, item);

        if (constraint == NULL) {
            continue;
        }

        /* the first wrong item is enough */

        name = ngx_pnalloc(ctx->pool, ctx->name.len + 1 + NGX_SIZE_T_LEN);
        if (name == NULL) {
            return NGX_ERROR;
        }

        ctx->name.len = ngx_sprintf(name, "%V.%uz", &ctx->name, i) - name;
        ctx->name.data = name;

        return nchat_check_fail(ctx, constraint);
    }

    return nchat_check_store(ctx, &value, sizeof(json_t *));
}


static const char *
nchat_check_item(const nchat_check_t *field, json_t *item)
{
    ngx_str_t  text;

    if (field->type == NCHAT_CHECK_T_ARRAY) {
        return NULL;
    }

    if (!json_is_string(item)) {
        return "item";
    }

    text.len = json_string_length(item);
    text.data = (u_char *) json_string_value(item);

    if (field->type == NCHAT_CHECK_T_UUIDS
        && nchat_uuid_parse(&text, NULL) != NGX_OK)
    {
        return "format";
    }

    if (field->type == NCHAT_CHECK_T_ENUMS
        && nchat_check_member(field->values, &text) == NULL)
    {
        return "enum";
    }

    return NULL;
}


static ngx_int_t
nchat_check_length(nchat_check_ctx_t *ctx, size_t len)
{
    const nchat_check_t  *field;

    field = ctx->field;

    if ((double) len < field->min
        || (field->max > 0 && (double) len > field->max))
    {
        return nchat_check_fail(ctx, "length");
    }

    return NGX_OK;
}


static ngx_int_t
nchat_check_store(nchat_check_ctx_t *ctx, const void *value, size_t size)
{
    if (ctx->field->offset != NCHAT_CHECK_ONLY) {
        ngx_memcpy(ctx->out + ctx->field->offset, value, size);
    }

    return NGX_OK;
}


static ngx_int_t
nchat_check_fail(nchat_check_ctx_t *ctx, const char *constraint)
{
    return nchat_check_failed(ctx->pool, ctx->failures, ctx->field,
                              &ctx->name, constraint);
}
