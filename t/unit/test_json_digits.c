/* The digits of numbers that are written. */

#include <math.h>

#include "nchat_json.h"
#include "ngx_stubs.h"
#include "tap.h"


static void
test_most(ngx_pool_t *pool)
{
    json_t      *item, *again;
    ngx_str_t    text, out;
    const char  *why;

    text = str("{\"n\":[1795393344.1234567,0.30000000000000004]}");
    ok(nchat_json_parse(pool, &text, 0, &item, &why) == NGX_OK
       && nchat_json_dump(pool, item, 0, &out) == NGX_OK
       && nchat_json_parse(pool, &out, 0, &again, &why) == NGX_OK
       && json_equal(item, again), "numbers keep all of their digits");

    text = str("{\"n\":[1795393344.123456,2.5]}");
    ok(nchat_json_parse(pool, &text, 0, &item, &why) == NGX_OK
       && nchat_json_dump(pool, item, 0, &out) == NGX_OK, "16 digits");
    is_str(&out, "{\"n\":[1795393344.123456,2.5]}", "are written as 16");

    text = str("[{\"a\":0.1,\"b\":[0.30000000000000004]},0.2]");
    ok(nchat_json_parse(pool, &text, NCHAT_JSON_ANY, &item, &why) == NGX_OK
       && nchat_json_dump(pool, item, 0, &out) == NGX_OK, "17 digits");
    is_str(&out, "[{\"a\":0.10000000000000001,\"b\":[0.30000000000000004]},"
                 "0.20000000000000001]", "are of all numbers then");
}


static double
some_number(int i)
{
    char  buf[64];

    switch (i % 3) {

    case 0:
        /* a decimal of 1 to 17 digits */

        (void) snprintf(buf, sizeof(buf), "%09ld%08ld",
                        100000000 + random() % 900000000,
                        random() % 100000000);
        (void) sprintf(buf + 1 + random() % 17, "e%ld", random() % 60 - 40);

        return strtod(buf, NULL) * (i % 2 ? -1 : 1);

    case 1:
        /* seconds or milliseconds with a fraction */

        return (1795393344 + random() % 1000000 + (random() % 1000000) / 1e6)
               * (i % 2 ? 1 : 1000);

    default:
        /* a power of two or a neighbour of it */

        return ldexp(1, random() % 200 - 100)
               * (1 + (random() % 5 - 2) * 0x1p-53);
    }
}


/* As few digits as libc needs, for numbers of all kinds. */

static void
test_fewest(void)
{
    int          i, digits, wrong, found[18];
    char         buf[64];
    double       number;
    json_t      *json;
    ngx_str_t    out, expected;
    ngx_pool_t  *pool;

    srandom(1);
    wrong = 0;
    memset(found, 0, sizeof(found));

    for (i = 0; i < 100000; i++) {
        pool = ngx_create_pool(1024, NULL);
        number = some_number(i);

        for (digits = 15; digits < 17; digits++) {
            (void) snprintf(buf, sizeof(buf), "%.*g", digits, number);

            if (strtod(buf, NULL) == number) {
                break;
            }
        }

        found[digits]++;
        json = json_real(number);

        if (json == NULL || nchat_json_dump(pool, json, 0, &out) != NGX_OK
            || nchat_json_dump(pool, json, JSON_REAL_PRECISION(digits),
                               &expected) != NGX_OK
            || out.len != expected.len
            || memcmp(out.data, expected.data, out.len) != 0)
        {
            printf("# %.17g needs %d digits\n", number, digits);
            wrong++;
        }

        json_decref(json);
        ngx_destroy_pool(pool);
    }

    ok(wrong == 0, "%d numbers of 15 digits, %d of 16, %d of 17: no more "
       "digits than libc needs", found[15], found[16], found[17]);
}


int
main(void)
{
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    test_most(pool);
    test_fewest();

    ngx_destroy_pool(pool);

    return tap_done();
}
