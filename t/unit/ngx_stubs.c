#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>

#include "ngx_stubs.h"


ngx_uint_t  ngx_pagesize = 4096;
ngx_pid_t   ngx_pid;

static ngx_int_t   stub_countdown = -1;
static ngx_uint_t  stub_failure;


void
stubs_fail_at(ngx_int_t n)
{
    stub_countdown = n;
    stub_failure = 0;
}


ngx_uint_t
stubs_failed(void)
{
    return stub_failure;
}


static void *
stub_malloc(size_t size)
{
    if (stub_countdown == 0) {
        stub_countdown = -1;
        stub_failure = 1;
        return NULL;
    }

    if (stub_countdown > 0) {
        stub_countdown--;
    }

    return malloc(size);
}


void
stubs_fail_jansson(ngx_uint_t on)
{
    json_set_alloc_funcs(on ? stub_malloc : malloc, free);
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    ngx_pool_t  *pool;

    pool = calloc(1, sizeof(ngx_pool_t));
    if (pool) {
        pool->log = log;
    }

    return pool;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_large_t    *l, *next;
    ngx_pool_cleanup_t  *c;

    for (c = pool->cleanup; c; c = c->next) {
        if (c->handler) {
            c->handler(c->data);
        }
    }

    for (l = pool->large; l; l = next) {
        next = l->next;
        free(l->alloc);
        free(l);
    }

    free(pool);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    void              *p;
    ngx_pool_large_t  *l;

    p = stub_malloc(size);
    if (p == NULL) {
        return NULL;
    }

    l = malloc(sizeof(ngx_pool_large_t));
    if (l == NULL) {
        abort();
    }

    l->alloc = p;
    l->next = pool->large;
    pool->large = l;

    return p;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_palloc(pool, size);
    if (p) {
        memset(p, 0, size);
    }

    return p;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    ngx_pool_large_t  *l;

    for (l = pool->large; l; l = l->next) {
        if (l->alloc == p) {
            free(p);
            l->alloc = NULL;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *c;

    c = ngx_pcalloc(pool, sizeof(ngx_pool_cleanup_t));
    if (c == NULL) {
        return NULL;
    }

    if (size) {
        c->data = ngx_palloc(pool, size);
        if (c->data == NULL) {
            return NULL;
        }
    }

    c->next = pool->cleanup;
    pool->cleanup = c;

    return c;
}


ngx_array_t *
ngx_array_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_palloc(pool, sizeof(ngx_array_t));

    if (a == NULL || ngx_array_init(a, pool, n, size) != NGX_OK) {
        return NULL;
    }

    return a;
}


/* Moves at every push, so that no pointer into an array can be kept. */

void *
ngx_array_push(ngx_array_t *a)
{
    void  *elts;

    elts = ngx_palloc(a->pool, (a->nelts + 1) * a->size);
    if (elts == NULL) {
        return NULL;
    }

    memcpy(elts, a->elts, a->nelts * a->size);
    (void) ngx_pfree(a->pool, a->elts);

    a->elts = elts;

    return (u_char *) elts + a->nelts++ * a->size;
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    for ( /* void */ ; n; n--, src++) {
        *dst++ = ngx_tolower(*src);
    }
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_int_t
ngx_strcasecmp(u_char *s1, u_char *s2)
{
    return strcasecmp((char *) s1, (char *) s2);
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    if (n == 0) {
        return dst;
    }

    while (--n && *src) {
        *dst++ = *src++;
    }

    *dst = '\0';

    return dst;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n; n--, line++) {

        if (*line < '0' || *line > '9'
            || __builtin_mul_overflow(value, 10, &value)
            || __builtin_add_overflow(value, *line - '0', &value))
        {
            return NGX_ERROR;
        }
    }

    return value;
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    char  byte[3];

    while (len--) {
        (void) snprintf(byte, sizeof(byte), "%02x", *src++);
        *dst++ = byte[0];
        *dst++ = byte[1];
    }

    return dst;
}


void
ngx_encode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    size_t       i;
    u_char      *p;
    uint32_t     bits;
    ngx_uint_t   n;

    static const char  alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    p = dst->data;
    bits = 0;
    n = 0;

    for (i = 0; i < src->len; i++) {
        bits = (bits << 8) | src->data[i];
        n += 8;

        while (n >= 6) {
            n -= 6;
            *p++ = alphabet[(bits >> n) & 0x3f];
        }
    }

    if (n) {
        *p++ = alphabet[(bits << (6 - n)) & 0x3f];
    }

    dst->len = p - dst->data;
}


ngx_int_t
ngx_decode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    size_t       i;
    u_char       c, *p;
    uint32_t     bits;
    ngx_uint_t   n;

    p = dst->data;
    bits = 0;
    n = 0;

    for (i = 0; i < src->len && src->data[i] != '='; i++) {
        c = src->data[i];

        if (c >= 'A' && c <= 'Z') {
            c -= 'A';
        } else if (c >= 'a' && c <= 'z') {
            c -= 'a' - 26;
        } else if (c >= '0' && c <= '9') {
            c += 52 - '0';
        } else if (c == '-') {
            c = 62;
        } else if (c == '_') {
            c = 63;
        } else {
            return NGX_ERROR;
        }

        bits = (bits << 6) | c;
        n += 6;

        if (n >= 8) {
            n -= 8;
            *p++ = (u_char) (bits >> n);
        }
    }

    if (i % 4 == 1) {
        return NGX_ERROR;
    }

    dst->len = p - dst->data;

    return NGX_OK;
}


/* %d %i %ui %uz %L; the text's length, 0 for other formats. */

static size_t
stubs_number(char text[32], const char **fmt, va_list *args)
{
    if ((*fmt)[0] == 'u' && ((*fmt)[1] == 'z' || (*fmt)[1] == 'i')) {
        (*fmt)++;
        return snprintf(text, 32, "%zu", va_arg(*args, size_t));
    }

    switch (**fmt) {

    case 'i':
        return snprintf(text, 32, "%zd", va_arg(*args, ngx_int_t));

    case 'd':
        return snprintf(text, 32, "%d", va_arg(*args, int));

    case 'L':
        return snprintf(text, 32, "%lld", (long long) va_arg(*args, int64_t));

    default:
        return 0;
    }
}


/*
 * nginx's own formats, those that are used: %V %s %Z %% and, in decimal,
 * %d %i %ui %uz %L.
 */

u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    char         text[32];
    size_t       len;
    va_list      list;
    ngx_str_t   *v;
    const char  *s;

    va_copy(list, args);

    while (*fmt && buf < last) {

        if (*fmt != '%') {
            *buf++ = *fmt++;
            continue;
        }

        s = text;
        fmt++;

        len = stubs_number(text, &fmt, &list);

        if (len) {
            /* a number */

        } else if (*fmt == 's') {
            s = va_arg(list, const char *);
            len = strlen(s);

        } else if (*fmt == 'V') {
            v = va_arg(list, ngx_str_t *);
            s = (char *) v->data;
            len = v->len;

        } else if (*fmt == 'Z') {
            text[0] = '\0';
            len = 1;

        } else if (*fmt == '%') {
            text[0] = '%';
            len = 1;

        } else {
            fprintf(stderr, "no stub for the format %%%c\n", *fmt);
            abort();
        }

        fmt++;
        len = ngx_min(len, (size_t) (last - buf));

        if (len) {
            memcpy(buf, s, len);
        }

        buf += len;
    }

    va_end(list);

    return buf;
}


u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    buf = ngx_vslprintf(buf, (u_char *) -1, fmt, args);
    va_end(args);

    return buf;
}


u_char *
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    buf = ngx_vslprintf(buf, buf + max, fmt, args);
    va_end(args);

    return buf;
}
