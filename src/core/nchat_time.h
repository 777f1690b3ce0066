/*
 * The one place for time formats.  Times are milliseconds since the Unix
 * epoch, in UTC, and may be negative.
 */


#ifndef _NCHAT_TIME_H_INCLUDED_
#define _NCHAT_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NCHAT_TIME_LEN  24

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z */
#define NCHAT_TIME_MIN  INT64_C(-62167219200000)
#define NCHAT_TIME_MAX  INT64_C(253402300799999)


/*
 * Writes "2026-01-02T03:04:05.678Z", NCHAT_TIME_LEN characters without a
 * NUL, and returns their end.  A time outside of the years 0 to 9999, which
 * RFC 3339 cannot express, is written as the nearest one that it can.
 */
u_char *nchat_time_format(u_char *p, int64_t ms);

/*
 * Reads YYYY-MM-DD (midnight UTC; with "upper" the last millisecond of that
 * day) or an RFC 3339 date-time with its offset.  Digits beyond milliseconds
 * are cut off.  The date must exist; a leap second must be one in UTC and
 * counts as the second after it.
 * NGX_OK, or NGX_DECLINED with *ms unchanged.
 */
ngx_int_t nchat_time_parse(const ngx_str_t *text, int64_t *ms,
    ngx_uint_t upper);

/*
 * The wall clock now, exact where ngx_timeofday() is cached per event.
 */
int64_t nchat_time_now(void);


#endif /* _NCHAT_TIME_H_INCLUDED_ */
