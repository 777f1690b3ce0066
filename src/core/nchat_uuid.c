#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_crypto.h"
#include "nchat_uuid.h"


ngx_int_t
nchat_uuid_v4(u_char out[NCHAT_UUID_LEN])
{
    u_char  bin[NCHAT_UUID_SIZE];

    if (nchat_random(bin, NCHAT_UUID_SIZE) != NGX_OK) {
        return NGX_ERROR;
    }

    /* RFC 9562, section 5.4: version 4, variant 10 */

    bin[6] = (bin[6] & 0x0f) | 0x40;
    bin[8] = (bin[8] & 0x3f) | 0x80;

    (void) nchat_uuid_format(out, bin);

    return NGX_OK;
}


ngx_int_t
nchat_uuid_parse(const ngx_str_t *text, u_char bin[NCHAT_UUID_SIZE])
{
    u_char      *dst, scratch[NCHAT_UUID_SIZE];
    ngx_str_t    hex;
    ngx_uint_t   i;

    static const size_t  groups[] = { 4, 2, 2, 2, 6 };       /* bytes */

    if (text->len != NCHAT_UUID_LEN) {
        return NGX_DECLINED;
    }

    dst = bin ? bin : scratch;
    hex.data = text->data;

    for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {

        if (i > 0 && *hex.data++ != '-') {
            return NGX_DECLINED;
        }

        hex.len = 2 * groups[i];

        if (nchat_hex_decode(dst, groups[i], &hex) != NGX_OK) {
            return NGX_DECLINED;
        }

        hex.data += hex.len;
        dst += groups[i];
    }

    return NGX_OK;
}


u_char *
nchat_uuid_format(u_char *dst, const u_char bin[NCHAT_UUID_SIZE])
{
    dst = nchat_hex_encode(dst, bin, 4);
    *dst++ = '-';

    dst = nchat_hex_encode(dst, bin + 4, 2);
    *dst++ = '-';

    dst = nchat_hex_encode(dst, bin + 6, 2);
    *dst++ = '-';

    dst = nchat_hex_encode(dst, bin + 8, 2);
    *dst++ = '-';

    return nchat_hex_encode(dst, bin + 10, 6);
}
