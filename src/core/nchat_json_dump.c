#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>

#include "nchat_json.h"


/* enough for most answers, so that they are rendered once only */
#define NCHAT_JSON_GUESS  1024


static int nchat_json_digits(const json_t *json);


ngx_int_t
nchat_json_dump(ngx_pool_t *pool, const json_t *json, size_t flags,
    ngx_str_t *out)
{
    size_t   size, len;
    u_char  *buf;

    flags |= JSON_COMPACT | JSON_ENCODE_ANY;

    if ((flags & JSON_REAL_PRECISION(31)) == 0) {
        flags |= JSON_REAL_PRECISION(json ? nchat_json_digits(json) : 15);
    }

    size = NCHAT_JSON_GUESS;

    for ( ;; ) {
        buf = ngx_pnalloc(pool, size);
        if (buf == NULL) {
            return NGX_ERROR;
        }

        len = json_dumpb(json, (char *) buf, size, flags);

        if (len <= size) {
            break;
        }

        (void) ngx_pfree(pool, buf);
        size = len;
    }

    /* 0 is an error, but also the inside of an empty object */

    if (len == 0 && !((flags & JSON_EMBED)
                      && json_object_size(json) == 0
                      && json_array_size(json) == 0))
    {
        return NGX_ERROR;
    }

    out->len = len;
    out->data = buf;

    return NGX_OK;
}


/* As many digits as the number needs that needs the most: 15 to 17. */

static int
nchat_json_digits(const json_t *json)
{
    int      n, most;
    char     buf[32];
    void    *iter;
    size_t   i;
    double   number;

    most = 15;

    switch (json_typeof(json)) {

    case JSON_REAL:
        number = json_real_value(json);

        for (n = most; n < 17; n++) {
            (void) snprintf(buf, sizeof(buf), "%.*g", n, number);

            if (strtod(buf, NULL) == number) {
                break;
            }
        }

        return n;

    case JSON_ARRAY:
        for (i = 0; i < json_array_size(json); i++) {
            n = nchat_json_digits(json_array_get(json, i));
            most = ngx_max(most, n);
        }

        return most;

    case JSON_OBJECT:
        iter = json_object_iter((json_t *) json);

        while (iter) {
            n = nchat_json_digits(json_object_iter_value(iter));
            most = ngx_max(most, n);
            iter = json_object_iter_next((json_t *) json, iter);
        }

        return most;

    default:
        return most;
    }
}


ngx_int_t
nchat_json_members(ngx_pool_t *pool, const json_t *json, size_t flags,
    ngx_str_t *out)
{
    return nchat_json_dump(pool, json, flags | JSON_EMBED, out);
}
