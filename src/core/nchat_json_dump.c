#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>

#include "nchat_json.h"


/* enough for most answers */
#define NCHAT_JSON_GUESS  1024


#define NCHAT_JSON_DIGITS_MIN  15
#define NCHAT_JSON_DIGITS_MAX  17

/* 2^53: integers up to it are exact as doubles */
#define NCHAT_JSON_EXACT  9007199254740992.0


typedef struct {
    ngx_pool_t  *pool;
    ngx_str_t    text;
    size_t       size;
} nchat_json_dump_t;


static int nchat_json_append(const char *text, size_t len, void *data);
static int nchat_json_digits(const json_t *json, int most);
static ngx_uint_t nchat_json_fits(double number, int digits);
static ngx_int_t nchat_json_scale(double number, int digits);


ngx_int_t
nchat_json_dump(ngx_pool_t *pool, const json_t *json, size_t flags,
    ngx_str_t *out)
{
    nchat_json_dump_t  dump;

    flags |= JSON_COMPACT | JSON_ENCODE_ANY;

    if ((flags & JSON_REAL_PRECISION(31)) == 0) {
        flags |= JSON_REAL_PRECISION(json ? nchat_json_digits(json,
                                                   NCHAT_JSON_DIGITS_MIN)
                                          : NCHAT_JSON_DIGITS_MIN);
    }

    dump.pool = pool;
    dump.size = NCHAT_JSON_GUESS;
    dump.text.len = 0;
    dump.text.data = ngx_pnalloc(pool, dump.size);

    if (dump.text.data == NULL
        || json_dump_callback(json, nchat_json_append, &dump, flags) != 0)
    {
        return NGX_ERROR;
    }

    *out = dump.text;

    return NGX_OK;
}


/* jansson's callback: 0, or -1 if memory is short. */

static int
nchat_json_append(const char *text, size_t len, void *data)
{
    nchat_json_dump_t *dump = data;

    u_char  *room;

    if (len > dump->size - dump->text.len) {
        dump->size = 2 * (dump->text.len + len);

        room = ngx_pnalloc(dump->pool, dump->size);
        if (room == NULL) {
            return -1;
        }

        ngx_memcpy(room, dump->text.data, dump->text.len);
        (void) ngx_pfree(dump->pool, dump->text.data);

        dump->text.data = room;
    }

    ngx_memcpy(dump->text.data + dump->text.len, text, len);
    dump->text.len += len;

    return 0;
}


/*
 * As many digits as the number needs that needs the most, from "most" to 17,
 * which are enough for all.
 */

static int
nchat_json_digits(const json_t *json, int most)
{
    void    *iter;
    size_t   i;

    switch (json_typeof(json)) {

    case JSON_REAL:
        while (most < NCHAT_JSON_DIGITS_MAX
               && !nchat_json_fits(json_real_value(json), most))
        {
            most++;
        }

        break;

    case JSON_ARRAY:
        for (i = 0; i < json_array_size(json); i++) {
            if (most == NCHAT_JSON_DIGITS_MAX) {
                break;
            }

            most = nchat_json_digits(json_array_get(json, i), most);
        }

        break;

    case JSON_OBJECT:
        iter = json_object_iter((json_t *) json);

        while (iter && most < NCHAT_JSON_DIGITS_MAX) {
            most = nchat_json_digits(json_object_iter_value(iter), most);
            iter = json_object_iter_next((json_t *) json, iter);
        }

        break;

    default:
        break;
    }

    return most;
}


/* Whether a number can be written with so many digits and read back. */

static ngx_uint_t
nchat_json_fits(double number, int digits)
{
    char       buf[32];
    ngx_int_t  rc;

    rc = nchat_json_scale(number < 0 ? -number : number, digits);

    if (rc != NGX_DECLINED) {
        return rc == NGX_OK;
    }

    (void) snprintf(buf, sizeof(buf), "%.*g", digits, number);

    return strtod(buf, NULL) == number;
}


/*
 * The same by arithmetic, a tenth of the time, for the numbers that people
 * use.  An integer of so many digits, divided or multiplied by a power of ten,
 * is what reading it would give if both are exact as doubles: up to 2^53 and
 * 10^22 (Clinger, "How to read floating point numbers accurately", 1990).  The
 * product that leads to the integer is off by less than 1.5.
 *
 * NGX_OK or NGX_ERROR, or NGX_DECLINED: not to be told in this way.
 */

static ngx_int_t
nchat_json_scale(double number, int digits)
{
    int        decimals, exponent;
    double     scaled;
    int64_t    n, i;
    uint64_t   bits;

    static const double  tens[] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
        1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
    };

    if (number < 1e15 && number == (double) (int64_t) number) {
        return NGX_OK;
    }

    ngx_memcpy(&bits, &number, sizeof(double));
    exponent = (int) (bits >> 52) - 1023;

    /* 1233 / 4096 is the logarithm of two */

    decimals = digits - 1 - ((exponent * 1233) >> 12);

    if (decimals < 1 || decimals > 22) {
        return NGX_DECLINED;
    }

    scaled = number * tens[decimals];

    if (scaled >= tens[digits]) {
        scaled = number * tens[--decimals];
    }

    if (scaled < tens[digits - 1] || scaled > NCHAT_JSON_EXACT - 2) {
        return NGX_DECLINED;
    }

    n = (int64_t) scaled;

    for (i = n - 1; i <= n + 2; i++) {
        if ((double) i / tens[decimals] == number) {
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


ngx_int_t
nchat_json_members(ngx_pool_t *pool, const json_t *json, size_t flags,
    ngx_str_t *out)
{
    return nchat_json_dump(pool, json, flags | JSON_EMBED, out);
}
