#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_time.h"


#define NCHAT_DAY_MS    INT64_C(86400000)

/* days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar */
#define NCHAT_DAY_EPOCH  719468

/* days in 400, 100 and 4 years that begin in March, without odd leap days */
#define NCHAT_DAYS_400   146097
#define NCHAT_DAYS_100   36524
#define NCHAT_DAYS_4     1461


typedef struct {
    ngx_int_t    year;
    ngx_int_t    month;
    ngx_int_t    day;
} nchat_date_t;


static int64_t nchat_time_days(const nchat_date_t *date);
static void nchat_time_date(int64_t days, nchat_date_t *date);
static ngx_int_t nchat_time_parse_date(u_char **p, u_char *last,
    int64_t *days);
static ngx_int_t nchat_time_parse_clock(u_char **p, u_char *last, int64_t *ms,
    ngx_uint_t *leap);
static ngx_int_t nchat_time_parse_fraction(u_char **p, u_char *last,
    int64_t *ms);
static ngx_int_t nchat_time_parse_offset(u_char **p, u_char *last,
    int64_t *ms);
static ngx_int_t nchat_time_digits(u_char **p, u_char *last, ngx_uint_t n);
static u_char *nchat_time_put(u_char *p, ngx_int_t value, ngx_uint_t n);


u_char *
nchat_time_format(u_char *p, int64_t ms)
{
    int64_t       days, rest;
    nchat_date_t  date;

    if (ms < NCHAT_TIME_MIN) {
        ms = NCHAT_TIME_MIN;

    } else if (ms > NCHAT_TIME_MAX) {
        ms = NCHAT_TIME_MAX;
    }

    days = ms / NCHAT_DAY_MS;
    rest = ms % NCHAT_DAY_MS;

    if (rest < 0) {
        days--;
        rest += NCHAT_DAY_MS;
    }

    nchat_time_date(days, &date);

    p = nchat_time_put(p, date.year, 4);
    *p++ = '-';
    p = nchat_time_put(p, date.month, 2);
    *p++ = '-';
    p = nchat_time_put(p, date.day, 2);
    *p++ = 'T';
    p = nchat_time_put(p, (ngx_int_t) (rest / 3600000), 2);
    *p++ = ':';
    p = nchat_time_put(p, (ngx_int_t) (rest / 60000 % 60), 2);
    *p++ = ':';
    p = nchat_time_put(p, (ngx_int_t) (rest / 1000 % 60), 2);
    *p++ = '.';
    p = nchat_time_put(p, (ngx_int_t) (rest % 1000), 3);
    *p++ = 'Z';

    return p;
}


ngx_int_t
nchat_time_parse(const ngx_str_t *text, int64_t *ms, ngx_uint_t upper)
{
    u_char      *p, *last;
    int64_t      days, clock, offset, result;
    ngx_uint_t   leap;

    p = text->data;
    last = p + text->len;

    if (nchat_time_parse_date(&p, last, &days) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (p == last) {
        *ms = days * NCHAT_DAY_MS + (upper ? NCHAT_DAY_MS - 1 : 0);
        return NGX_OK;
    }

    if (*p != 'T' && *p != 't') {
        return NGX_DECLINED;
    }

    p++;

    if (nchat_time_parse_clock(&p, last, &clock, &leap) != NGX_OK
        || nchat_time_parse_offset(&p, last, &offset) != NGX_OK
        || p != last)
    {
        return NGX_DECLINED;
    }

    result = days * NCHAT_DAY_MS + clock - offset;

    /* leap seconds are inserted at the end of a UTC day only */

    if (leap && (result / 1000) % 86400 != 0) {
        return NGX_DECLINED;
    }

    if (result < NCHAT_TIME_MIN || result > NCHAT_TIME_MAX) {
        return NGX_DECLINED;
    }

    *ms = result;

    return NGX_OK;
}


int64_t
nchat_time_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


/*
 * Both conversions count from 1 March of the year 0, so that a leap day is
 * the last day of a year and of a cycle of 4 and of 400 years.
 */

static int64_t
nchat_time_days(const nchat_date_t *date)
{
    ngx_int_t  year, month;

    /* one cycle more keeps the year positive in January of the year 0 */

    year = date->year + 400;
    month = date->month - 3;

    if (month < 0) {
        month += 12;
        year--;
    }

    /* (153 * m + 2) / 5 days precede month m, counted from March as 0 */

    return (int64_t) year * 365 + year / 4 - year / 100 + year / 400
           + (153 * month + 2) / 5 + date->day - 1
           - NCHAT_DAY_EPOCH - NCHAT_DAYS_400;
}


static void
nchat_time_date(int64_t days, nchat_date_t *date)
{
    ngx_int_t  cycle, century, four, year, day, month;

    /* one cycle more keeps every quotient positive from the year 0 on */

    day = (ngx_int_t) (days + NCHAT_DAY_EPOCH + NCHAT_DAYS_400);

    cycle = day / NCHAT_DAYS_400;
    day %= NCHAT_DAYS_400;

    /* the last century, and the last of four years, is one day longer */

    century = ngx_min(day / NCHAT_DAYS_100, 3);
    day -= century * NCHAT_DAYS_100;

    four = day / NCHAT_DAYS_4;
    day %= NCHAT_DAYS_4;

    year = ngx_min(day / 365, 3);
    day -= year * 365;

    month = (5 * day + 2) / 153;

    date->day = day - (153 * month + 2) / 5 + 1;
    date->year = (cycle - 1) * 400 + century * 100 + four * 4 + year;
    date->month = month + 3;

    if (date->month > 12) {
        date->month -= 12;
        date->year++;
    }
}


static ngx_int_t
nchat_time_parse_date(u_char **p, u_char *last, int64_t *days)
{
    ngx_int_t         length;
    nchat_date_t      date;
    static ngx_int_t  lengths[] = { 31, 28, 31, 30, 31, 30,
                                    31, 31, 30, 31, 30, 31 };

    date.year = nchat_time_digits(p, last, 4);
    if (date.year < 0 || *p == last || *(*p)++ != '-') {
        return NGX_DECLINED;
    }

    date.month = nchat_time_digits(p, last, 2);
    if (date.month < 1 || date.month > 12
        || *p == last || *(*p)++ != '-')
    {
        return NGX_DECLINED;
    }

    date.day = nchat_time_digits(p, last, 2);

    length = lengths[date.month - 1];

    if (date.month == 2 && date.year % 4 == 0
        && (date.year % 100 != 0 || date.year % 400 == 0))
    {
        length++;
    }

    if (date.day < 1 || date.day > length) {
        return NGX_DECLINED;
    }

    *days = nchat_time_days(&date);

    return NGX_OK;
}


static ngx_int_t
nchat_time_parse_clock(u_char **p, u_char *last, int64_t *ms,
    ngx_uint_t *leap)
{
    ngx_int_t  hour, minute, second;

    hour = nchat_time_digits(p, last, 2);
    if (hour < 0 || hour > 23 || *p == last || *(*p)++ != ':') {
        return NGX_DECLINED;
    }

    minute = nchat_time_digits(p, last, 2);
    if (minute < 0 || minute > 59 || *p == last || *(*p)++ != ':') {
        return NGX_DECLINED;
    }

    second = nchat_time_digits(p, last, 2);
    if (second < 0 || second > 60) {
        return NGX_DECLINED;
    }

    *leap = (second == 60);

    *ms = ((int64_t) hour * 3600 + minute * 60 + second) * 1000;

    return nchat_time_parse_fraction(p, last, ms);
}


static ngx_int_t
nchat_time_parse_fraction(u_char **p, u_char *last, int64_t *ms)
{
    u_char     *start;
    ngx_int_t   scale;

    if (*p == last || **p != '.') {
        return NGX_OK;
    }

    start = ++(*p);
    scale = 100;

    while (*p < last && **p >= '0' && **p <= '9') {
        *ms += (**p - '0') * scale;
        scale /= 10;
        (*p)++;
    }

    return *p > start ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
nchat_time_parse_offset(u_char **p, u_char *last, int64_t *ms)
{
    u_char     sign;
    ngx_int_t  hour, minute;

    *ms = 0;

    if (*p == last) {
        return NGX_DECLINED;
    }

    sign = *(*p)++;

    if (sign == 'Z' || sign == 'z') {
        return NGX_OK;
    }

    if (sign != '+' && sign != '-') {
        return NGX_DECLINED;
    }

    hour = nchat_time_digits(p, last, 2);
    if (hour < 0 || hour > 23 || *p == last || *(*p)++ != ':') {
        return NGX_DECLINED;
    }

    minute = nchat_time_digits(p, last, 2);
    if (minute < 0 || minute > 59) {
        return NGX_DECLINED;
    }

    *ms = ((int64_t) hour * 60 + minute) * 60000;

    if (sign == '-') {
        *ms = -*ms;
    }

    return NGX_OK;
}


/* Exactly n digits; -1 if there are fewer. */

static ngx_int_t
nchat_time_digits(u_char **p, u_char *last, ngx_uint_t n)
{
    ngx_int_t  value;

    value = 0;

    while (n--) {

        if (*p == last || **p < '0' || **p > '9') {
            return -1;
        }

        value = value * 10 + (*(*p)++ - '0');
    }

    return value;
}


static u_char *
nchat_time_put(u_char *p, ngx_int_t value, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = n; i > 0; i--) {
        p[i - 1] = (u_char) ('0' + value % 10);
        value /= 10;
    }

    return p + n;
}
