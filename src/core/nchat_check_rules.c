#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_check.h"
#include "nchat_check_int.h"
#include "nchat_json.h"


static size_t nchat_check_space(const ngx_str_t *text, ngx_uint_t end);


ngx_int_t
nchat_check_lower(ngx_pool_t *pool, ngx_str_t *text)
{
    size_t   i;
    u_char  *copy;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] >= 'A' && text->data[i] <= 'Z') {
            break;
        }
    }

    if (i == text->len) {
        return NGX_OK;
    }

    copy = ngx_pnalloc(pool, text->len);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(copy, text->data, text->len);
    text->data = copy;

    return NGX_OK;
}


ngx_uint_t
nchat_check_email(const ngx_str_t *email)
{
    u_char  *p, *at, *dot, *last;

    at = NULL;
    dot = NULL;
    last = email->data + email->len;

    for (p = email->data; p < last; p++) {

        if (*p <= ' ' || *p == 0x7f) {
            return 0;
        }

        if (*p == '@') {

            if (at || p == email->data) {
                return 0;
            }

            at = p;

        } else if (*p == '.' && at) {

            /* no label of the domain is empty */

            if (p == at + 1 || p == last - 1 || p[-1] == '.') {
                return 0;
            }

            dot = p;
        }
    }

    return dot != NULL && nchat_utf8_len(email) <= NCHAT_EMAIL_MAX;
}


ngx_uint_t
nchat_check_username(const ngx_str_t *name)
{
    size_t  i;
    u_char  c;

    if (name->len < 3 || name->len > 30) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '_' && c != '-')
        {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
nchat_check_url(const ngx_str_t *url)
{
    u_char  *p, *last;

    p = url->data;
    last = p + url->len;

    if (url->len > 7 && ngx_strncasecmp(p, (u_char *) "http://", 7) == 0) {
        p += 7;

    } else if (url->len > 8
               && ngx_strncasecmp(p, (u_char *) "https://", 8) == 0)
    {
        p += 8;

    } else {
        return 0;
    }

    if (*p == '/' || *p == '?' || *p == '#' || *p == ':') {
        return 0;
    }

    while (p < last) {
        if (*p <= ' ' || *p == 0x7f || *p == '\\') {
            return 0;
        }

        p++;
    }

    return 1;
}


ngx_uint_t
nchat_check_color(const ngx_str_t *color)
{
    size_t  i;

    if (color->len != 7 || color->data[0] != '#') {
        return 0;
    }

    for (i = 1; i < 7; i++) {
        if (!isxdigit(color->data[i])) {
            return 0;
        }
    }

    return 1;
}


const ngx_str_t *
nchat_check_member(const ngx_str_t *values, const ngx_str_t *text)
{
    for ( /* void */ ; values->len; values++) {

        if (values->len == text->len
            && ngx_memcmp(values->data, text->data, text->len) == 0)
        {
            return values;
        }
    }

    return NULL;
}


void
nchat_check_trim(ngx_str_t *text)
{
    size_t  n;

    while ((n = nchat_check_space(text, 0)) != 0) {
        text->data += n;
        text->len -= n;
    }

    while ((n = nchat_check_space(text, 1)) != 0) {
        text->len -= n;
    }
}


/* How many bytes of white space it begins, or ends, with. */

static size_t
nchat_check_space(const ngx_str_t *text, ngx_uint_t end)
{
    ngx_uint_t  i;

    static const ngx_str_t  spaces[] = {
        ngx_string(" "), ngx_string("\t"), ngx_string("\n"),
        ngx_string("\v"), ngx_string("\f"), ngx_string("\r"),
        ngx_string("\xc2\xa0"), ngx_string("\xe3\x80\x80")
    };

    for (i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {

        if (text->len >= spaces[i].len
            && ngx_memcmp(text->data + (end ? text->len - spaces[i].len : 0),
                          spaces[i].data, spaces[i].len)
               == 0)
        {
            return spaces[i].len;
        }
    }

    return 0;
}
