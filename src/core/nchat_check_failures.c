#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_check.h"
#include "nchat_check_int.h"
#include "nchat_json.h"


#define NCHAT_FAILURE_PREFIX  "Validation failed: "

/* words about bounds: two doubles and what is between them */
#define NCHAT_FAILURE_BOUNDS  96


static ngx_int_t nchat_failures_push(ngx_pool_t *pool,
    nchat_failures_t *failures, const ngx_str_t *field,
    const char *constraint, const ngx_str_t *message);
static ngx_int_t nchat_failures_sentence(ngx_pool_t *pool,
    const nchat_check_t *field, const ngx_str_t *name,
    const char *constraint, ngx_str_t *message);
static const char *nchat_failures_type(const nchat_check_t *field);
static const char *nchat_failures_form(const nchat_check_t *field);
static void nchat_failures_bounds(const nchat_check_t *field,
    ngx_uint_t length, char buf[NCHAT_FAILURE_BOUNDS]);
static ngx_int_t nchat_failures_values(ngx_pool_t *pool,
    const ngx_str_t *values, const ngx_str_t *name, ngx_str_t *message);
static size_t nchat_failures_item_len(const nchat_failure_t *failure);
static u_char *nchat_failures_item(u_char *p, const nchat_failure_t *failure,
    ngx_uint_t message);
static u_char *nchat_failures_string(u_char *p, const char *name,
    const ngx_str_t *value);


ngx_int_t
nchat_failures_add(ngx_pool_t *pool, nchat_failures_t *failures,
    const char *field, const char *constraint, const char *message)
{
    ngx_str_t  name, text;

    name.len = ngx_strlen(field);
    name.data = (u_char *) field;

    text.len = ngx_strlen(message);
    text.data = (u_char *) message;

    return nchat_failures_push(pool, failures, &name, constraint, &text);
}


ngx_int_t
nchat_check_failed(ngx_pool_t *pool, nchat_failures_t *failures,
    const nchat_check_t *field, const ngx_str_t *name,
    const char *constraint)
{
    ngx_str_t  message;

    if (field->message) {
        message.len = ngx_strlen(field->message);
        message.data = (u_char *) field->message;

    } else if (nchat_failures_sentence(pool, field, name, constraint, &message)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_strcmp(constraint, "parent") == 0
        || ngx_strcmp(constraint, "item") == 0)
    {
        constraint = "type";
    }

    if (nchat_failures_push(pool, failures, name, constraint, &message)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_int_t
nchat_failures_push(ngx_pool_t *pool, nchat_failures_t *failures,
    const ngx_str_t *field, const char *constraint, const ngx_str_t *message)
{
    ngx_uint_t        i;
    nchat_failure_t  *failure;

    if (failures->list == NULL) {

        failures->list = ngx_array_create(pool, 4, sizeof(nchat_failure_t));
        if (failures->list == NULL) {
            return NGX_ERROR;
        }
    }

    /* a section that is no object fails once, not once for each member */

    failure = failures->list->elts;

    for (i = 0; i < failures->list->nelts; i++) {

        if (failure[i].field.len == field->len
            && ngx_memcmp(failure[i].field.data, field->data, field->len) == 0
            && ngx_strcmp(failure[i].constraint.data, constraint) == 0)
        {
            return NGX_OK;
        }
    }

    failure = ngx_array_push(failures->list);
    if (failure == NULL) {
        return NGX_ERROR;
    }

    failure->field = *field;
    failure->constraint.len = ngx_strlen(constraint);
    failure->constraint.data = (u_char *) constraint;
    failure->message = *message;

    return NGX_OK;
}


static ngx_int_t
nchat_failures_sentence(ngx_pool_t *pool, const nchat_check_t *field,
    const ngx_str_t *name, const char *constraint, ngx_str_t *message)
{
    char         bounds[NCHAT_FAILURE_BOUNDS];
    size_t       len;
    const char  *words;

    if (ngx_strcmp(constraint, "enum") == 0) {
        return nchat_failures_values(pool, field->values, name, message);
    }

    if (ngx_strcmp(constraint, "required") == 0) {
        words = "is required";

    } else if (ngx_strcmp(constraint, "parent") == 0) {
        words = "must be an object";

    } else if (ngx_strcmp(constraint, "item") == 0) {
        words = "must be a string";

    } else if (ngx_strcmp(constraint, "type") == 0) {
        words = nchat_failures_type(field);

    } else if (ngx_strcmp(constraint, "format") == 0) {
        words = nchat_failures_form(field);

    } else {
        nchat_failures_bounds(field, ngx_strcmp(constraint, "length") == 0,
                              bounds);
        words = bounds;
    }

    len = name->len + 1 + ngx_strlen(words);

    message->data = ngx_pnalloc(pool, len);
    if (message->data == NULL) {
        return NGX_ERROR;
    }

    message->len = ngx_sprintf(message->data, "%V %s", name, words)
                   - message->data;

    return NGX_OK;
}


static const char *
nchat_failures_type(const nchat_check_t *field)
{
    switch (field->type) {

    case NCHAT_CHECK_T_INT:
        return "must be an integer";

    case NCHAT_CHECK_T_NUM:
        return "must be a number";

    case NCHAT_CHECK_T_BOOL:
        return "must be true or false";

    case NCHAT_CHECK_T_OBJECT:
        return "must be an object";

    case NCHAT_CHECK_T_STRS:
    case NCHAT_CHECK_T_UUIDS:
    case NCHAT_CHECK_T_ENUMS:
    case NCHAT_CHECK_T_ARRAY:
        return "must be an array";

    default:
        return "must be a string";
    }
}


static const char *
nchat_failures_form(const nchat_check_t *field)
{
    switch (field->type) {

    case NCHAT_CHECK_T_UUID:
    case NCHAT_CHECK_T_UUIDS:
        return "must be a UUID";

    case NCHAT_CHECK_T_EMAIL:
        return "must be an email address";

    case NCHAT_CHECK_T_DATE:
        return "must be a date (YYYY-MM-DD) or an RFC 3339 time";

    case NCHAT_CHECK_T_URL:
        return "must be an http or https URL";

    case NCHAT_CHECK_T_COLOR:
        return "must be a colour such as #1A2B3C";

    default:
        return "has a wrong format";
    }
}


static void
nchat_failures_bounds(const nchat_check_t *field, ngx_uint_t length,
    char buf[NCHAT_FAILURE_BOUNDS])
{
    double       min, max;
    const char  *verb, *unit, *join;

    min = field->min;
    max = field->max;

    verb = "be ";
    unit = "";
    join = " to ";

    if (length) {
        join = "-";

        switch (field->type) {

        case NCHAT_CHECK_T_STRS:
        case NCHAT_CHECK_T_UUIDS:
        case NCHAT_CHECK_T_ENUMS:
        case NCHAT_CHECK_T_ARRAY:
            verb = "have ";
            unit = (max == 1) ? " item" : " items";
            break;

        case NCHAT_CHECK_T_EMAIL:
            if (max == 0) {
                max = NCHAT_EMAIL_MAX;
            }

            /* fall through */

        default:
            unit = (field->flags & NCHAT_BYTES) ? " bytes" : " characters";
            break;
        }
    }

    if (length && max == 0) {
        max = -1;
    }

    if (max < min) {
        (void) snprintf(buf, NCHAT_FAILURE_BOUNDS, "must %sat least %.15g%s",
                        verb, min, unit);

    } else if (length && min == 0) {
        (void) snprintf(buf, NCHAT_FAILURE_BOUNDS, "must %sat most %.15g%s",
                        verb, max, unit);

    } else if (min == max) {
        (void) snprintf(buf, NCHAT_FAILURE_BOUNDS, "must %s%.15g%s", verb, min,
                        unit);

    } else {
        (void) snprintf(buf, NCHAT_FAILURE_BOUNDS, "must %s%.15g%s%.15g%s",
                        verb, min, join, max, unit);
    }
}


static ngx_int_t
nchat_failures_values(ngx_pool_t *pool, const ngx_str_t *values,
    const ngx_str_t *name, ngx_str_t *message)
{
    size_t            len;
    u_char           *p;
    const ngx_str_t  *value;

    len = name->len + sizeof(" must be one of ") - 1;

    for (value = values; value->len; value++) {
        len += value->len + 2;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    message->data = p;

    p = ngx_sprintf(p, "%V must be one of ", name);

    for (value = values; value->len; value++) {

        if (value != values) {
            *p++ = ',';
            *p++ = ' ';
        }

        p = ngx_cpymem(p, value->data, value->len);
    }

    message->len = p - message->data;

    return NGX_OK;
}


ngx_int_t
nchat_failures_render(ngx_pool_t *pool, const nchat_failures_t *failures,
    ngx_str_t *error, ngx_str_t *details)
{
    size_t            len;
    u_char           *p;
    ngx_uint_t        i, n;
    nchat_failure_t  *failure;

    if (failures->list == NULL || failures->list->nelts == 0) {
        return NGX_ERROR;
    }

    n = failures->list->nelts;
    failure = failures->list->elts;

    p = ngx_pnalloc(pool, sizeof(NCHAT_FAILURE_PREFIX) - 1
                          + failure->message.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    error->data = p;
    error->len = ngx_sprintf(p, NCHAT_FAILURE_PREFIX "%V", &failure->message)
                 - p;

    len = nchat_failures_item_len(failure) + sizeof(",\"errors\":[]") - 1;

    for (i = 0; i < n; i++) {
        len += nchat_failures_item_len(&failure[i]) + 1;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    details->data = p;

    p = nchat_failures_item(p, failure, 0);

    if (n > 1) {
        p--;
        p = ngx_cpymem(p, ",\"errors\":[", sizeof(",\"errors\":[") - 1);

        for (i = 0; i < n; i++) {

            if (i) {
                *p++ = ',';
            }

            p = nchat_failures_item(p, &failure[i], 1);
        }

        *p++ = ']';
        *p++ = '}';
    }

    details->len = p - details->data;

    return NGX_OK;
}


static size_t
nchat_failures_item_len(const nchat_failure_t *failure)
{
    return sizeof("{\"field\":\"\",\"constraint\":\"\",\"message\":\"\"}") - 1
           + nchat_json_escape_len(&failure->field)
           + nchat_json_escape_len(&failure->constraint)
           + nchat_json_escape_len(&failure->message);
}


static u_char *
nchat_failures_item(u_char *p, const nchat_failure_t *failure,
    ngx_uint_t message)
{
    *p++ = '{';
    p = nchat_failures_string(p, "field", &failure->field);
    *p++ = ',';
    p = nchat_failures_string(p, "constraint", &failure->constraint);

    if (message) {
        *p++ = ',';
        p = nchat_failures_string(p, "message", &failure->message);
    }

    *p++ = '}';

    return p;
}


static u_char *
nchat_failures_string(u_char *p, const char *name, const ngx_str_t *value)
{
    p = ngx_sprintf(p, "\"%s\":\"", name);
    p = nchat_json_escape(p, value);
    *p++ = '"';

    return p;
}
