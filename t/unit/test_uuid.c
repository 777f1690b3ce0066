#include "nchat_uuid.h"
#include "ngx_stubs.h"
#include "tap.h"


static const struct {
    ngx_str_t     text;
    ngx_int_t     rc;
    const char   *name;
} cases[] = {
    { ngx_string("7f2c1f9e-1111-4222-8333-444455556666"), NGX_OK, "lower" },
    { ngx_string("7F2C1F9E-1111-4222-8333-44445555AAFF"), NGX_OK, "upper" },
    { ngx_string("00000000-0000-0000-0000-000000000000"), NGX_OK, "nil" },
    { ngx_string("ffffffff-ffff-ffff-ffff-ffffffffffff"), NGX_OK, "max" },
    { ngx_string("7f2c1f9e-1111-4222-8333-44445555666"), NGX_DECLINED,
      "35 characters" },
    { ngx_string("7f2c1f9e-1111-4222-8333-4444555566667"), NGX_DECLINED,
      "37 characters" },
    { ngx_string(""), NGX_DECLINED, "nothing" },
    { ngx_string("7f2c1f9e11114222833344445555666600000"), NGX_DECLINED,
      "no hyphens" },
    { ngx_string("7f2c1f9e-1111-4222-8333-44445555666g"), NGX_DECLINED,
      "a letter beyond f" },
    { ngx_string("7f2c1f9e-1111-4222-8333_444455556666"), NGX_DECLINED,
      "an underscore" },
    { ngx_string("7f2c1f9-e1111-4222-8333-444455556666"), NGX_DECLINED,
      "a hyphen too early" },
    { ngx_string("{f2c1f9e-1111-4222-8333-44445555666}"), NGX_DECLINED,
      "braces" },
    { ngx_string("7f2c1f9e-1111-4222-8333-4444555\0 666"), NGX_DECLINED,
      "a NUL" },
    { ngx_string("-f2c1f9e-1111-4222-8333-444455556666"), NGX_DECLINED,
      "a hyphen for a digit" },
    { ngx_string(" f2c1f9e-1111-4222-8333-444455556666"), NGX_DECLINED,
      "a blank" }
};


int
main(void)
{
    size_t      i;
    u_char      bin[16], text[37], other[36];
    ngx_str_t   uuid;
    ngx_uint_t  wrong;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(nchat_uuid_parse(&cases[i].text, bin) == cases[i].rc,
           "parse: %s", cases[i].name);
        ok(nchat_uuid_parse(&cases[i].text, NULL) == cases[i].rc,
           "the form only: %s", cases[i].name);
    }

    ok(nchat_uuid_parse(&cases[1].text, bin) == NGX_OK, "upper case");
    ok(bin[0] == 0x7f && bin[3] == 0x9e && bin[4] == 0x11 && bin[6] == 0x42
       && bin[8] == 0x83 && bin[15] == 0xff, "gives its bytes");

    uuid.data = text;
    uuid.len = nchat_uuid_format(text, bin) - text;
    is_str(&uuid, "7f2c1f9e-1111-4222-8333-44445555aaff",
           "which are written in lower case");

    wrong = 0;
    text[36] = '!';

    for (i = 0; i < 1000; i++) {
        memcpy(other, text, 36);

        wrong += nchat_uuid_v4(text) != NGX_OK;
        wrong += memcmp(other, text, 36) == 0;
        wrong += nchat_uuid_parse(&uuid, bin) != NGX_OK;
        wrong += (bin[6] >> 4) != 4 || (bin[8] >> 6) != 2;
    }

    ok(wrong == 0, "1000 new ones are different, of version 4, variant 1");
    ok(text[36] == '!', "and 36 characters long");

    return tap_done();
}
