/*
 * Whatever is parsed can be written and parsed again, to the same value; and
 * whatever bytes are escaped make a JSON string.
 */


#include "nchat_json.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char      *buf;
    json_t      *json, *again;
    ngx_int_t    rc;
    ngx_str_t    text, out;
    ngx_pool_t  *pool;
    const char  *why;

    pool = ngx_create_pool(1024, NULL);

    text.data = (u_char *) data;
    text.len = size;

    why = NULL;
    rc = nchat_json_parse(pool, &text, NCHAT_JSON_ANY, &json, &why);

    if (rc == NGX_OK) {

        if (!nchat_utf8_valid(&text)
            || nchat_json_dump(pool, json, JSON_REAL_PRECISION(17), &out)
               != NGX_OK
            || nchat_json_parse(pool, &out, NCHAT_JSON_ANY, &again, &why)
               != NGX_OK
            || !json_equal(json, again))
        {
            abort();
        }

    } else if (rc != NGX_DECLINED || why == NULL) {
        abort();
    }

    out.len = nchat_json_escape_len(&text) + 2;
    buf = malloc(out.len);
    out.data = buf;

    *buf++ = '"';
    buf = nchat_json_escape(buf, &text);
    *buf++ = '"';

    if ((size_t) (buf - out.data) != out.len
        || (memchr(data, '\0', size) == NULL
            && nchat_json_parse(pool, &out, NCHAT_JSON_ANY, &json, &why)
               != NGX_OK))
    {
        abort();
    }

    free(out.data);
    ngx_destroy_pool(pool);

    return 0;
}
