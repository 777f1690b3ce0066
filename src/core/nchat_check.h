/*
 * The declarative validator: an endpoint has a table of its body's members
 * and a struct that they land in.
 *
 *     typedef struct {
 *         ngx_str_t   email;
 *         ngx_str_t   name;
 *         ngx_int_t   age;
 *     } signup_t;
 *
 *     static const nchat_check_t  signup_fields[] = {
 *         NCHAT_CHECK_EMAIL("email", offsetof(signup_t, email),
 *                           NCHAT_REQUIRED),
 *         NCHAT_CHECK_STR("name", offsetof(signup_t, name), 1, 50,
 *                         NCHAT_TRIM),
 *         NCHAT_CHECK_INT("age", offsetof(signup_t, age), 0, 150, 0),
 *         NCHAT_CHECK_END
 *     };
 *
 * The target of an absent optional member is left as the caller initialised
 * it: { 0, NULL } for strings, NGX_CONF_UNSET for integers and booleans.
 */


#ifndef _NCHAT_CHECK_H_INCLUDED_
#define _NCHAT_CHECK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>


typedef enum {
    NCHAT_CHECK_T_END = 0,
    NCHAT_CHECK_T_STR,          /* ngx_str_t */
    NCHAT_CHECK_T_INT,          /* ngx_int_t */
    NCHAT_CHECK_T_NUM,          /* double */
    NCHAT_CHECK_T_BOOL,         /* ngx_flag_t */
    NCHAT_CHECK_T_UUID,         /* ngx_str_t, in lower case */
    NCHAT_CHECK_T_EMAIL,        /* ngx_str_t, trimmed, in lower case */
    NCHAT_CHECK_T_DATE,         /* ngx_str_t, as nchat_time_format() writes */
    NCHAT_CHECK_T_URL,          /* ngx_str_t, absolute http or https */
    NCHAT_CHECK_T_ENUM,         /* ngx_str_t, one of "values" */
    NCHAT_CHECK_T_COLOR,        /* ngx_str_t, #RRGGBB */
    NCHAT_CHECK_T_STRS,         /* json_t *, an array of strings */
    NCHAT_CHECK_T_UUIDS,        /* json_t *, an array of UUIDs, any case */
    NCHAT_CHECK_T_ENUMS,        /* json_t *, an array out of "values" */
    NCHAT_CHECK_T_ARRAY,        /* json_t *, an array of anything */
    NCHAT_CHECK_T_OBJECT        /* json_t * */
} nchat_check_type_t;


#define NCHAT_REQUIRED  0x01    /* absent: constraint "required" */
#define NCHAT_NULLABLE  0x02    /* null counts as absent, not as a wrong type */
#define NCHAT_TRIM      0x04    /* white space around it is cut off */
#define NCHAT_LOWER     0x08    /* ASCII letters become lower case (a copy) */
#define NCHAT_BYTES     0x10    /* min and max count bytes, not code points */
#define NCHAT_UPPER_DAY 0x20    /* dates: a day means its end */
#define NCHAT_EMPTY     0x40    /* an empty string has no format to keep */


/* "offset" of a member that is checked but not stored */
#define NCHAT_CHECK_ONLY  ((size_t) -1)


typedef struct {
    ngx_str_t             name;     /* dotted path, such as "setup.step" */
    nchat_check_type_t    type;
    size_t                offset;   /* into the endpoint's struct */

    /*
     * Strings: length in code points; arrays: number of items; integers and
     * numbers: value.  max < min means that there is no upper bound, and
     * strings and arrays with max 0 have none either.
     */
    double                min;
    double                max;

    ngx_uint_t            flags;
    const ngx_str_t      *values;   /* enumerations; ends with an empty one */
    const char           *message;  /* own sentence instead of the usual */
} nchat_check_t;


#define NCHAT_CHECK_FIELD(name, type, offset, min, max, flags, values, msg)   \
    { ngx_string(name), type, offset, min, max, flags, values, msg }

#define NCHAT_CHECK_STR(name, offset, min, max, flags)                        \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_STR, offset, min, max, flags,       \
                      NULL, NULL)
#define NCHAT_CHECK_INT(name, offset, min, max, flags)                        \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_INT, offset, min, max, flags,       \
                      NULL, NULL)
#define NCHAT_CHECK_NUM(name, offset, min, max, flags)                        \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_NUM, offset, min, max, flags,       \
                      NULL, NULL)
#define NCHAT_CHECK_BOOL(name, offset, flags)                                 \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_BOOL, offset, 0, 0, flags,          \
                      NULL, NULL)
#define NCHAT_CHECK_UUID(name, offset, flags)                                 \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_UUID, offset, 0, 0, flags,          \
                      NULL, NULL)
#define NCHAT_CHECK_EMAIL(name, offset, flags)                                \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_EMAIL, offset, 0, 0, flags,         \
                      NULL, NULL)
#define NCHAT_CHECK_DATE(name, offset, flags)                                 \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_DATE, offset, 0, 0, flags,          \
                      NULL, NULL)
#define NCHAT_CHECK_URL(name, offset, max, flags)                             \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_URL, offset, 0, max, flags,         \
                      NULL, NULL)
#define NCHAT_CHECK_ENUM(name, offset, values, flags)                         \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_ENUM, offset, 0, 0, flags,          \
                      values, NULL)
#define NCHAT_CHECK_COLOR(name, offset, flags)                                \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_COLOR, offset, 0, 0, flags,         \
                      NULL, NULL)
#define NCHAT_CHECK_STRS(name, offset, min, max, flags)                       \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_STRS, offset, min, max, flags,      \
                      NULL, NULL)
#define NCHAT_CHECK_UUIDS(name, offset, min, max, flags)                      \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_UUIDS, offset, min, max, flags,     \
                      NULL, NULL)
#define NCHAT_CHECK_ENUMS(name, offset, values, min, max, flags)              \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_ENUMS, offset, min, max, flags,     \
                      values, NULL)
#define NCHAT_CHECK_ARRAY(name, offset, min, max, flags)                      \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_ARRAY, offset, min, max, flags,     \
                      NULL, NULL)
#define NCHAT_CHECK_OBJECT(name, offset, flags)                               \
    NCHAT_CHECK_FIELD(name, NCHAT_CHECK_T_OBJECT, offset, 0, 0, flags,        \
                      NULL, NULL)
#define NCHAT_CHECK_END                                                       \
    { ngx_null_string, NCHAT_CHECK_T_END, 0, 0, 0, 0, NULL, NULL }


typedef struct {
    ngx_str_t             field;
    ngx_str_t             constraint;
    ngx_str_t             message;
} nchat_failure_t;


/* Zeroed memory is an empty list. */
typedef struct {
    ngx_array_t          *list;     /* of nchat_failure_t; NULL if none */
} nchat_failures_t;


/*
 * Checks the members of "object" by a table that ends with NCHAT_CHECK_END,
 * and stores them in the struct at "out".  Strings and json_t pointers stay
 * in jansson's memory, so "object" has to live as long as they are used.
 * A string that was there, also an empty one, has data that is not NULL.
 *
 * NGX_OK; NGX_DECLINED with every failure appended to "failures"; NGX_ERROR
 * out of memory.
 */
ngx_int_t nchat_check(ngx_pool_t *pool, const nchat_check_t *fields,
    json_t *object, void *out, nchat_failures_t *failures);

/*
 * Appends a failure that a table cannot express.  "message" is a sentence
 * such as "newPassword must contain a digit"; all three must outlive the
 * rendering.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t nchat_failures_add(ngx_pool_t *pool, nchat_failures_t *failures,
    const char *field, const char *constraint, const char *message);

/*
 * Renders a list that is not empty as the contract's error sentence,
 * "Validation failed: <first message>" as plain text, and its details, a JSON
 * object with its braces.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t nchat_failures_render(ngx_pool_t *pool,
    const nchat_failures_t *failures, ngx_str_t *error, ngx_str_t *details);

/*
 * The contract's rule for addresses (Accounts): one @, something before it,
 * a dot inside of the domain, at most 254 characters, no blanks or control
 * characters.  1 or 0.
 */
ngx_uint_t nchat_check_email(const ngx_str_t *email);

/* The contract's rule for names: ^[A-Za-z0-9_-]{3,30}$.  1 or 0. */
ngx_uint_t nchat_check_username(const ngx_str_t *name);


#endif /* _NCHAT_CHECK_H_INCLUDED_ */
