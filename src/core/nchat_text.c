/*
 * Cleaning text of strangers.
 */


#include "nchat_text.h"
#include "nchat_json.h"


static ngx_uint_t nchat_text_invisible(u_char *p, size_t n);


ngx_int_t
nchat_text_clean(ngx_pool_t *pool, ngx_str_t *src, size_t max, ngx_str_t *dst)
{
    size_t       n, count;
    u_char      *p, *last, *d;
    ngx_uint_t   space;

    d = ngx_pnalloc(pool, src->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    dst->data = d;

    p = src->data;
    last = p + src->len;
    space = 0;

    for (count = 0; p < last && count < max; p += n) {
        n = nchat_utf8_sequence(p, last);

        if (n == 0) {
            n = 1;
            continue;
        }

        if (*p == ' ' || (*p >= '\t' && *p <= '\r')
            || (n == 2 && p[0] == 0xc2 && (p[1] == 0x85 || p[1] == 0xa0))
            || (n == 3 && p[0] == 0xe2 && p[1] == 0x80
                && (p[2] == 0xa8 || p[2] == 0xa9)))
        {
            space = (d > dst->data);
            continue;
        }

        if (nchat_text_invisible(p, n)) {
            continue;
        }

        if (space) {
            *d++ = ' ';
            space = 0;

            if (++count == max) {
                d--;
                break;
            }
        }

        d = ngx_cpymem(d, p, n);
        count++;
    }

    dst->len = d - dst->data;

    return NGX_OK;
}


/* C0, DEL, C1, the bidirectional embeddings, overrides, isolates, and BOM */

static ngx_uint_t
nchat_text_invisible(u_char *p, size_t n)
{
    if (n == 1) {
        return *p < ' ' || *p == 0x7f;
    }

    if (n == 2) {
        return p[0] == 0xc2 && p[1] < 0xa0;
    }

    if (n == 3 && p[0] == 0xe2) {
        return (p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae)
               || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
    }

    return n == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf;
}
