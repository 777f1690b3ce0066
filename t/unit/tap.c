#include "tap.h"


static unsigned  tap_count;
static unsigned  tap_failed;


static int
tap_result(int good, const char *file, int line, const char *fmt,
    va_list args)
{
    tap_count++;

    printf("%sok %u - ", good ? "" : "not ", tap_count);
    vprintf(fmt, args);
    printf("\n");

    if (!good) {
        tap_failed++;
        printf("#   failed at %s line %d\n", file, line);
    }

    return good;
}


int
tap_ok(int good, const char *condition, const char *file, int line,
    const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) tap_result(good, file, line, fmt, args);
    va_end(args);

    if (!good) {
        printf("#   %s\n", condition);
    }

    return good;
}


int
tap_is(const void *data, size_t len, const char *expected, const char *file,
    int line, const char *fmt, ...)
{
    int      good;
    va_list  args;

    good = len == strlen(expected) && memcmp(data, expected, len) == 0;

    va_start(args, fmt);
    (void) tap_result(good, file, line, fmt, args);
    va_end(args);

    if (!good) {
        printf("#   got:      %.*s\n", (int) len, (const char *) data);
        printf("#   expected: %s\n", expected);
    }

    return good;
}


int
tap_done(void)
{
    printf("1..%u\n", tap_count);

    return tap_failed ? 1 : 0;
}
