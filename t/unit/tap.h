/*
 * A tiny harness for tests that speak TAP.
 */


#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* One assertion; returns its condition. */
#define ok(condition, ...)                                                    \
    tap_ok((condition) != 0, #condition, __FILE__, __LINE__, __VA_ARGS__)

/* Text of an ngx_str_t, or of two C strings, is the same. */
#define is_str(str, expected, ...)                                            \
    tap_is((str)->data, (str)->len, expected, __FILE__, __LINE__, __VA_ARGS__)
#define is(text, expected, ...)                                               \
    tap_is(text, strlen((const char *) text), expected, __FILE__, __LINE__,   \
           __VA_ARGS__)

/* An ngx_str_t of a literal that may hold NULs. */
#define str(literal)  ((ngx_str_t) ngx_string(literal))


int tap_ok(int good, const char *condition, const char *file, int line,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
int tap_is(const void *data, size_t len, const char *expected,
    const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Prints the plan; the exit code of main(). */
int tap_done(void);


#endif /* _TAP_H_INCLUDED_ */
