#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>

#include "nchat_json.h"


/* the longest number, and the longest exponent with its sign, in characters */
#define NCHAT_JSON_NUMBER    1000
#define NCHAT_JSON_EXPONENT  5

/* the same byte eight times */
#define NCHAT_JSON_EACH(c)   (UINT64_C(0x0101010101010101) * (c))


static ngx_int_t nchat_json_blank(const ngx_str_t *text, const char **why);
static ngx_int_t nchat_json_bounds(const ngx_str_t *text, const char **why);
static u_char *nchat_json_skip_string(u_char *p, u_char *last);
static u_char *nchat_json_skip_number(u_char *p, u_char *last);
static const char *nchat_json_why(ngx_pool_t *pool, const json_error_t *error);
static void nchat_json_cleanup(void *data);
static ngx_inline size_t nchat_json_plain(u_char *p, u_char *last);
static u_char *nchat_json_escape_control(u_char *dst, u_char c);


ngx_int_t
nchat_json_parse(ngx_pool_t *pool, const ngx_str_t *text, ngx_uint_t flags,
    json_t **out, const char **why)
{
    json_t        *json;
    json_error_t   error;

    *out = NULL;

    if (nchat_json_blank(text, why) != NGX_OK
        || nchat_json_bounds(text, why) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    json = json_loadb((char *) text->data, text->len,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);

    if (json == NULL) {

        if (json_error_code(&error) == json_error_out_of_memory) {
            return NGX_ERROR;
        }

        *why = nchat_json_why(pool, &error);

        return *why ? NGX_DECLINED : NGX_ERROR;
    }

    if (nchat_json_own(pool, json) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!json_is_object(json) && !(flags & NCHAT_JSON_ANY)) {
        *why = "The request body must be a JSON object";
        return NGX_DECLINED;
    }

    *out = json;

    return NGX_OK;
}


static ngx_int_t
nchat_json_blank(const ngx_str_t *text, const char **why)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
        p++;
    }

    if (p == last) {
        *why = "The request body must not be empty";
        return NGX_DECLINED;
    }

    /* jansson 2.14 ignores what follows a NUL after a literal */

    if (memchr(p, '\0', last - p) != NULL) {
        *why = "The request body has the character U+0000";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * jansson's own limit of depth is 2048, and it has none for the number of
 * values; both are counted here before it allocates anything.  Text that is
 * no JSON may be counted wrongly, which is left to jansson to refuse.
 */

static ngx_int_t
nchat_json_bounds(const ngx_str_t *text, const char **why)
{
    u_char      *p, *last;
    ngx_uint_t   depth, values;

    depth = 0;
    values = 1;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        switch (*p++) {

        case '"':
            p = nchat_json_skip_string(p, last);
            break;

        case '-': case '0': case '1': case '2': case '3': case '4': case '5':
        case '6': case '7': case '8': case '9':
            p = nchat_json_skip_number(p - 1, last);

            if (p == NULL) {
                *why = "The request body has a number that is out of range";
                return NGX_DECLINED;
            }

            break;

        case '{':
        case '[':
            depth++;
            values++;
            break;

        case '}':
        case ']':
            depth -= (depth > 0);
            break;

        case ',':
            values++;
            break;
        }

        if (depth > NCHAT_JSON_DEPTH) {
            *why = "The request body is nested more than "
                   ngx_value(NCHAT_JSON_DEPTH) " levels deep";
            return NGX_DECLINED;
        }

        if (values > NCHAT_JSON_VALUES) {
            *why = "The request body has more than "
                   ngx_value(NCHAT_JSON_VALUES) " values";
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* From behind a quote to behind the next one that is not escaped. */

static u_char *
nchat_json_skip_string(u_char *p, u_char *last)
{
    while (p < last) {

        if (*p == '"') {
            return p + 1;
        }

        p += (*p == '\\') ? 2 : 1;
    }

    return last;
}


/*
 * To what follows a number; NULL: it is longer than anybody needs.  jansson
 * takes 1e-20000 for 0, but Postgres keeps all digits of a jsonb number, and
 * refuses one that has more than 16383 behind the point.
 */

static u_char *
nchat_json_skip_number(u_char *p, u_char *last)
{
    u_char  *start, *exponent;

    start = p;
    exponent = NULL;

    for ( /* void */ ; p < last; p++) {

        if (*p == 'e' || *p == 'E') {
            exponent = p + 1;

        } else if ((*p < '0' || *p > '9') && *p != '.' && *p != '-'
                   && *p != '+')
        {
            break;
        }
    }

    if (p - start > NCHAT_JSON_NUMBER
        || (exponent && p - exponent > NCHAT_JSON_EXPONENT))
    {
        return NULL;
    }

    return p;
}


/*
 * jansson's own texts quote the input, which may hold a password.
 */

static const char *
nchat_json_why(ngx_pool_t *pool, const json_error_t *error)
{
    u_char      *buf;
    const char  *what;

    switch (json_error_code(error)) {

    case json_error_duplicate_key:
        what = "has a member twice";
        break;

    case json_error_null_character:
    case json_error_null_byte_in_key:
        what = "has the character U+0000";
        break;

    case json_error_invalid_utf8:
        what = "is not valid UTF-8";
        break;

    case json_error_numeric_overflow:
        what = "has a number that is too large";
        break;

    case json_error_premature_end_of_input:
        what = "ends too early";
        break;

    default:
        what = "is not valid JSON";
        break;
    }

    buf = ngx_pnalloc(pool, 128);
    if (buf == NULL) {
        return NULL;
    }

    (void) ngx_snprintf(buf, 128, "The request body %s (line %d, column %d)%Z",
                        what, error->line, error->column);

    return (const char *) buf;
}


ngx_int_t
nchat_json_own(ngx_pool_t *pool, json_t *json)
{
    ngx_pool_cleanup_t  *cln;

    if (json == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        json_decref(json);
        return NGX_ERROR;
    }

    cln->handler = nchat_json_cleanup;
    cln->data = json;

    return NGX_OK;
}


static void
nchat_json_cleanup(void *data)
{
    json_decref(data);
}


ngx_int_t
nchat_json_string(const json_t *object, const char *name, ngx_str_t *value)
{
    json_t  *json;

    json = json_object_get(object, name);

    if (!json_is_string(json)) {
        return NGX_DECLINED;
    }

    value->len = json_string_length(json);
    value->data = (u_char *) json_string_value(json);

    return NGX_OK;
}


/* How many bytes at the beginning are written as they are. */

static ngx_inline size_t
nchat_json_plain(u_char *p, u_char *last)
{
    u_char    *start;
    uint64_t   word, special;

    start = p;

    for ( /* void */ ; last - p >= 8; p += 8) {
        ngx_memcpy(&word, p, 8);

        /* gives the high bit of bytes that are special */

        special = word
                  | (word - NCHAT_JSON_EACH(0x20))
                  | ((word ^ NCHAT_JSON_EACH('"')) - NCHAT_JSON_EACH(1))
                  | ((word ^ NCHAT_JSON_EACH('\\')) - NCHAT_JSON_EACH(1));

        if (special & NCHAT_JSON_EACH(0x80)) {
            break;
        }
    }

    while (p < last && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p - start;
}


size_t
nchat_json_escape_len(const ngx_str_t *src)
{
    u_char  *p, *last;
    size_t   n, len;

    len = 0;
    p = src->data;
    last = p + src->len;

    for ( ;; ) {
        n = nchat_json_plain(p, last);
        len += n;
        p += n;

        if (p == last) {
            break;
        }

        if (*p < 0x80) {

            if (*p == '"' || *p == '\\'
                || *p == '\n' || *p == '\r' || *p == '\t')
            {
                len += 2;

            } else if (*p < 0x20) {
                len += 6;

            } else {
                len++;
            }

            p++;
            continue;
        }

        n = nchat_utf8_sequence(p, last);

        len += n ? n : 3;
        p += n ? n : 1;
    }

    return len;
}


u_char *
nchat_json_escape(u_char *dst, const ngx_str_t *src)
{
    u_char  *p, *last;
    size_t   n;

    p = src->data;
    last = p + src->len;

    for ( ;; ) {
        n = nchat_json_plain(p, last);

        if (n) {
            dst = ngx_cpymem(dst, p, n);
            p += n;
        }

        if (p == last) {
            break;
        }

        if (*p < 0x20) {
            dst = nchat_json_escape_control(dst, *p++);
            continue;
        }

        if (*p < 0x80) {

            if (*p == '"' || *p == '\\') {
                *dst++ = '\\';
            }

            *dst++ = *p++;
            continue;
        }

        n = nchat_utf8_sequence(p, last);

        if (n) {
            dst = ngx_cpymem(dst, p, n);
            p += n;

        } else {
            /* U+FFFD */
            dst = ngx_cpymem(dst, "\xef\xbf\xbd", 3);
            p++;
        }
    }

    return dst;
}


static u_char *
nchat_json_escape_control(u_char *dst, u_char c)
{
    static const u_char  hex[] = "0123456789abcdef";

    *dst++ = '\\';

    switch (c) {

    case '\n':
        *dst++ = 'n';
        break;

    case '\r':
        *dst++ = 'r';
        break;

    case '\t':
        *dst++ = 't';
        break;

    default:
        dst = ngx_cpymem(dst, "u00", 3);
        *dst++ = hex[c >> 4];
        *dst++ = hex[c & 0xf];
        break;
    }

    return dst;
}


/*
 * RFC 3629, section 4: neither overlong forms, nor surrogates, nor anything
 * above U+10FFFF.
 */

size_t
nchat_utf8_sequence(const u_char *p, const u_char *last)
{
    u_char  low, high;
    size_t  i, n;

    if (p >= last) {
        return 0;
    }

    if (*p < 0x80) {
        return 1;
    }

    low = 0x80;
    high = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        n = 3;

        if (*p == 0xe0) {
            low = 0xa0;

        } else if (*p == 0xed) {
            high = 0x9f;
        }

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;

        if (*p == 0xf0) {
            low = 0x90;

        } else if (*p == 0xf4) {
            high = 0x8f;
        }

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}


size_t
nchat_utf8_len(const ngx_str_t *text)
{
    size_t   n, len;
    u_char  *p, *last;

    len = 0;
    p = text->data;
    last = p + text->len;

    while (p < last) {
        n = nchat_utf8_sequence(p, last);
        p += n ? n : 1;
        len++;
    }

    return len;
}


ngx_uint_t
nchat_utf8_valid(const ngx_str_t *text)
{
    size_t   n;
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p == '\0') {
            return 0;
        }

        n = nchat_utf8_sequence(p, last);
        if (n == 0) {
            return 0;
        }

        p += n;
    }

    return 1;
}
