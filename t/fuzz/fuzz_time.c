/*
 * Whatever is read as a time can be written and read again, to the same.
 */


#include "nchat_time.h"
#include "nchat_uuid.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char      buf[NCHAT_TIME_LEN], bin[NCHAT_UUID_SIZE];
    u_char      text[NCHAT_UUID_LEN];
    int64_t     ms, upper, again;
    ngx_str_t   in, out;

    in.data = (u_char *) data;
    in.len = size;

    if (nchat_time_parse(&in, &ms, 0) == NGX_OK) {

        out.data = buf;
        out.len = nchat_time_format(buf, ms) - buf;

        if (nchat_time_parse(&out, &again, 0) != NGX_OK || again != ms
            || nchat_time_parse(&in, &upper, 1) != NGX_OK
            || upper - ms != (size == 10 ? 86399999 : 0))
        {
            abort();
        }
    }

    if (nchat_uuid_parse(&in, bin) == NGX_OK) {
        (void) nchat_uuid_format(text, bin);

        if (strncasecmp((char *) text, (char *) data, NCHAT_UUID_LEN) != 0) {
            abort();
        }
    }

    if (size >= sizeof(int64_t)) {
        memcpy(&ms, data, sizeof(int64_t));
        out.data = buf;
        out.len = nchat_time_format(buf, ms) - buf;

        if (out.len != NCHAT_TIME_LEN
            || nchat_time_parse(&out, &again, 0) != NGX_OK
            || again != ngx_max(NCHAT_TIME_MIN, ngx_min(ms, NCHAT_TIME_MAX)))
        {
            abort();
        }
    }

    return 0;
}
