#define _GNU_SOURCE
#include <time.h>

#include "nchat_time.h"
#include "ngx_stubs.h"
#include "tap.h"


#define NOT  INT64_MIN      /* is refused */


static const struct {
    ngx_str_t   text;
    int64_t     ms;
} cases[] = {
    { ngx_string("1970-01-01"), 0 },
    { ngx_string("1970-01-01T00:00:00Z"), 0 },
    { ngx_string("1970-01-01T00:00:00.001Z"), 1 },
    { ngx_string("1969-12-31T23:59:59.999Z"), -1 },
    { ngx_string("2026-01-02T03:04:05.678Z"), INT64_C(1767323045678) },
    { ngx_string("2026-01-02t03:04:05.678z"), INT64_C(1767323045678) },
    { ngx_string("2026-01-02T05:04:05.678+02:00"), INT64_C(1767323045678) },
    { ngx_string("2026-01-01T21:34:05.678-05:30"), INT64_C(1767323045678) },
    { ngx_string("2026-01-02T03:04:05.678-00:00"), INT64_C(1767323045678) },
    { ngx_string("2026-01-02T03:04:05.67Z"), INT64_C(1767323045670) },
    { ngx_string("2026-01-02T03:04:05.6Z"), INT64_C(1767323045600) },
    { ngx_string("2026-01-02T03:04:05.6789999999999999Z"),
      INT64_C(1767323045678) },
    { ngx_string("2000-02-29"), INT64_C(951782400000) },
    { ngx_string("2024-02-29"), INT64_C(1709164800000) },
    { ngx_string("0000-01-01"), NCHAT_TIME_MIN },
    { ngx_string("0000-02-29"), NCHAT_TIME_MIN + 59 * INT64_C(86400000) },
    { ngx_string("9999-12-31T23:59:59.999Z"), NCHAT_TIME_MAX },
    { ngx_string("2016-12-31T23:59:60Z"), INT64_C(1483228800000) },
    { ngx_string("2017-01-01T01:59:60.5+02:00"), INT64_C(1483228800500) },

    { ngx_string("2023-02-29"), NOT },
    { ngx_string("1900-02-29"), NOT },
    { ngx_string("2100-02-29"), NOT },
    { ngx_string("2026-00-01"), NOT },
    { ngx_string("2026-13-01"), NOT },
    { ngx_string("2026-01-00"), NOT },
    { ngx_string("2026-01-32"), NOT },
    { ngx_string("2026-04-31"), NOT },
    { ngx_string("2026-1-1"), NOT },
    { ngx_string("26-01-01"), NOT },
    { ngx_string("12026-01-01"), NOT },
    { ngx_string("+026-01-01"), NOT },
    { ngx_string("-026-01-01"), NOT },
    { ngx_string("2026/01/01"), NOT },
    { ngx_string("2026-01-01 "), NOT },
    { ngx_string(" 2026-01-01"), NOT },
    { ngx_string("2026-01"), NOT },
    { ngx_string("2026-01-"), NOT },
    { ngx_string("2026"), NOT },
    { ngx_string(""), NOT },
    { ngx_string("now"), NOT },
    { ngx_string("2026-01-02T"), NOT },
    { ngx_string("2026-01-02T03:04Z"), NOT },
    { ngx_string("2026-01-02T03:04:05"), NOT },
    { ngx_string("2026-01-02 03:04:05Z"), NOT },
    { ngx_string("2026-01-02T24:00:00Z"), NOT },
    { ngx_string("2026-01-02T03:60:00Z"), NOT },
    { ngx_string("2026-01-02T03:04:61Z"), NOT },
    { ngx_string("2026-01-02T03:04:60Z"), NOT },
    { ngx_string("2026-01-02T23:59:60+01:00"), NOT },
    { ngx_string("2026-01-02T03:04:05.Z"), NOT },
    { ngx_string("2026-01-02T03:04:05,5Z"), NOT },
    { ngx_string("2026-01-02T03:04:05.5"), NOT },
    { ngx_string("2026-01-02T03:04:05ZZ"), NOT },
    { ngx_string("2026-01-02T03:04:05+0200"), NOT },
    { ngx_string("2026-01-02T03:04:05+24:00"), NOT },
    { ngx_string("2026-01-02T03:04:05+02:60"), NOT },
    { ngx_string("2026-01-02T03:04:05 02:00"), NOT },
    { ngx_string("2026-01-02T03:04:05+02"), NOT },
    { ngx_string("2026-01-02\0"), NOT },
    { ngx_string("0000-01-01T00:00:00+00:01"), NOT },
    { ngx_string("9999-12-31T23:59:59-00:01"), NOT }
};


/* Against the C library, over all the years that can be written. */

static void
test_calendar(void)
{
    u_char      buf[NCHAT_TIME_LEN + 1];
    time_t      sec;
    int64_t     ms, back;
    ngx_str_t   text;
    ngx_uint_t  wrong, days;
    struct tm   tm;
    char        expected[64];

    wrong = 0;
    days = 0;
    buf[NCHAT_TIME_LEN] = '!';
    text.data = buf;

    for (ms = NCHAT_TIME_MIN + 12345678; ms < NCHAT_TIME_MAX;
         ms += INT64_C(86400000))
    {
        text.len = nchat_time_format(buf, ms) - buf;

        sec = ms / 1000 - (ms % 1000 < 0);
        gmtime_r(&sec, &tm);
        snprintf(expected, sizeof(expected),
                 "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                 tm.tm_min, tm.tm_sec, (int) (ms - (int64_t) sec * 1000));

        wrong += text.len != NCHAT_TIME_LEN
                 || memcmp(buf, expected, NCHAT_TIME_LEN) != 0
                 || nchat_time_parse(&text, &back, 0) != NGX_OK
                 || back != ms;
        days++;
    }

    ok(days == 3652425 && wrong == 0,
       "every day of 10000 years is as gmtime() says, and comes back");
    ok(buf[NCHAT_TIME_LEN] == '!', "without writing beyond 24 characters");
}


static void
test_cases(void)
{
    size_t      i;
    u_char     *copy;
    int64_t     ms;
    ngx_int_t   rc;
    ngx_str_t   text;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        /* a copy of its own, so that reading beyond it is noticed */

        copy = malloc(cases[i].text.len + !cases[i].text.len);
        memcpy(copy, cases[i].text.data, cases[i].text.len);
        text.data = copy;
        text.len = cases[i].text.len;

        ms = 42;
        rc = nchat_time_parse(&text, &ms, 0);

        if (cases[i].ms == NOT) {
            ok(rc == NGX_DECLINED && ms == 42, "refused: '%s'",
               cases[i].text.data);
        } else {
            ok(rc == NGX_OK && ms == cases[i].ms, "'%s' is %lld (%lld)",
               cases[i].text.data, (long long) cases[i].ms, (long long) ms);
        }

        free(copy);
    }
}


static void
test_bounds(void)
{
    u_char      buf[NCHAT_TIME_LEN];
    int64_t     ms;
    ngx_str_t   text;

    text = str("2026-01-02");
    ok(nchat_time_parse(&text, &ms, 1) == NGX_OK
       && ms == INT64_C(1767398399999), "a day as upper bound is its end");
    text = str("9999-12-31");
    ok(nchat_time_parse(&text, &ms, 1) == NGX_OK && ms == NCHAT_TIME_MAX,
       "also the last one");
    text = str("2026-01-02T00:00:00Z");
    ok(nchat_time_parse(&text, &ms, 1) == NGX_OK
       && ms == INT64_C(1767312000000), "a time as upper bound is itself");

    text.data = buf;
    text.len = nchat_time_format(buf, INT64_MAX) - buf;
    is_str(&text, "9999-12-31T23:59:59.999Z", "beyond the year 9999");
    text.len = nchat_time_format(buf, INT64_MIN) - buf;
    is_str(&text, "0000-01-01T00:00:00.000Z", "before the year 0");
    text.len = nchat_time_format(buf, -1) - buf;
    is_str(&text, "1969-12-31T23:59:59.999Z", "a millisecond before 1970");
}


/* No prefix of a time is one, but for the day. */

static void
test_prefixes(void)
{
    size_t      i;
    u_char      exact[64];
    int64_t     ms;
    ngx_str_t   text;

    for (i = 0; i < sizeof("2026-01-02T03:04:05.678Z") - 1; i++) {
        memcpy(exact, "2026-01-02T03:04:05.678Z", i);
        text.data = exact;
        text.len = i;
        ok(nchat_time_parse(&text, &ms, 0) == (i == 10 ? NGX_OK
                                                       : NGX_DECLINED),
           "the first %zu characters", i);
    }
}


int
main(void)
{
    int64_t  ms;

    test_cases();
    test_bounds();
    test_prefixes();
    test_calendar();

    ms = nchat_time_now();
    ok(ms / 1000 - time(NULL) <= 1 && time(NULL) - ms / 1000 <= 1,
       "now is now");

    return tap_done();
}
