#include "nchat_sigv4.h"
#include "nchat_crypto.h"
#include "nchat_time.h"


#define NCHAT_SIGV4_DATE   8       /* 20130524 */
#define NCHAT_SIGV4_TIME   16      /* 20130524T000000Z */
#define NCHAT_SIGV4_ARGS   16      /* most arguments of a presigned URL */
#define NCHAT_SIGV4_OWN    6       /* those of them about the signature */


static int nchat_sigv4_compare(const void *one, const void *two);
static int nchat_sigv4_compare_str(const ngx_str_t *one,
    const ngx_str_t *two);
static nchat_sigv4_pair_t *nchat_sigv4_sorted(ngx_pool_t *pool,
    const nchat_sigv4_pair_t *pairs, ngx_uint_t n, ngx_uint_t encode);
static ngx_int_t nchat_sigv4_query(ngx_pool_t *pool,
    const nchat_sigv4_request_t *request, ngx_str_t *query);
static ngx_int_t nchat_sigv4_headers(ngx_pool_t *pool,
    const nchat_sigv4_request_t *request, ngx_str_t *headers,
    ngx_str_t *names);
static ngx_int_t nchat_sigv4_signing_key(u_char out[NCHAT_SHA256_LEN],
    ngx_pool_t *pool, const nchat_sigv4_key_t *key, const u_char *date);
static void nchat_sigv4_time(u_char out[NCHAT_SIGV4_TIME], time_t time);
static ngx_int_t nchat_sigv4_scope(ngx_pool_t *pool,
    const nchat_sigv4_key_t *key, const u_char *date, ngx_str_t *scope);
static ngx_int_t nchat_sigv4_own_args(ngx_pool_t *pool,
    const nchat_sigv4_key_t *key, const nchat_sigv4_request_t *request,
    ngx_uint_t life, const ngx_str_t *names,
    nchat_sigv4_pair_t arg[NCHAT_SIGV4_OWN]);


u_char *
nchat_sigv4_encode(u_char *dst, const ngx_str_t *src, ngx_uint_t slash)
{
    u_char  ch;
    size_t  i;

    static const u_char  hex[] = "0123456789ABCDEF";

    for (i = 0; i < src->len; i++) {
        ch = src->data[i];

        if ((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
            || (ch >= '0' && ch <= '9')
            || ch == '-' || ch == '.' || ch == '_' || ch == '~'
            || (ch == '/' && slash))
        {
            *dst++ = ch;
            continue;
        }

        *dst++ = '%';
        *dst++ = hex[ch >> 4];
        *dst++ = hex[ch & 0xf];
    }

    return dst;
}


static int
nchat_sigv4_compare_str(const ngx_str_t *one, const ngx_str_t *two)
{
    int  rc;

    rc = ngx_memcmp(one->data, two->data, ngx_min(one->len, two->len));

    return rc ? rc : (one->len > two->len) - (one->len < two->len);
}


/* By name, then by value, both as they are sent. */

static int
nchat_sigv4_compare(const void *one, const void *two)
{
    int                        rc;
    const nchat_sigv4_pair_t  *a, *b;

    a = one;
    b = two;
    rc = nchat_sigv4_compare_str(&a->name, &b->name);

    return rc ? rc : nchat_sigv4_compare_str(&a->value, &b->value);
}


static nchat_sigv4_pair_t *
nchat_sigv4_sorted(ngx_pool_t *pool, const nchat_sigv4_pair_t *pairs,
    ngx_uint_t n, ngx_uint_t encode)
{
    u_char              *p;
    ngx_uint_t           i;
    nchat_sigv4_pair_t  *copy;

    copy = ngx_palloc(pool, ngx_max(n, 1) * sizeof(nchat_sigv4_pair_t));
    if (copy == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        copy[i] = pairs[i];

        if (!encode) {
            continue;
        }

        p = ngx_pnalloc(pool, 3 * (pairs[i].name.len + pairs[i].value.len)
                              + 1);
        if (p == NULL) {
            return NULL;
        }

        copy[i].name.data = p;
        p = nchat_sigv4_encode(p, &pairs[i].name, 0);
        copy[i].name.len = p - copy[i].name.data;

        copy[i].value.data = p;
        p = nchat_sigv4_encode(p, &pairs[i].value, 0);
        copy[i].value.len = p - copy[i].value.data;
    }

    qsort(copy, n, sizeof(nchat_sigv4_pair_t), nchat_sigv4_compare);

    return copy;
}


static ngx_int_t
nchat_sigv4_query(ngx_pool_t *pool, const nchat_sigv4_request_t *request,
    ngx_str_t *query)
{
    size_t               len;
    u_char              *p;
    ngx_uint_t           i;
    nchat_sigv4_pair_t  *args;

    args = nchat_sigv4_sorted(pool, request->args, request->nargs, 1);
    if (args == NULL) {
        return NGX_ERROR;
    }

    len = 0;

    for (i = 0; i < request->nargs; i++) {
        len += args[i].name.len + args[i].value.len + 2;
    }

    query->data = ngx_pnalloc(pool, len + 1);
    if (query->data == NULL) {
        return NGX_ERROR;
    }

    p = query->data;

    for (i = 0; i < request->nargs; i++) {
        p = ngx_sprintf(p, "%s%V=%V", i ? "&" : "", &args[i].name,
                        &args[i].value);
    }

    query->len = p - query->data;

    return NGX_OK;
}


/* Values lose the space around them; runs of spaces inside become one. */

static ngx_int_t
nchat_sigv4_headers(ngx_pool_t *pool, const nchat_sigv4_request_t *request,
    ngx_str_t *headers, ngx_str_t *names)
{
    size_t               len, n;
    u_char              *h, *s;
    ngx_str_t           *value;
    ngx_uint_t           i;
    nchat_sigv4_pair_t  *list;

    list = nchat_sigv4_sorted(pool, request->headers, request->nheaders, 0);
    if (list == NULL) {
        return NGX_ERROR;
    }

    len = 0;

    for (i = 0; i < request->nheaders; i++) {
        len += list[i].name.len + list[i].value.len + 2;
    }

    headers->data = ngx_pnalloc(pool, len + 1);
    names->data = ngx_pnalloc(pool, len + 1);

    if (headers->data == NULL || names->data == NULL) {
        return NGX_ERROR;
    }

    h = headers->data;
    s = names->data;

    for (i = 0; i < request->nheaders; i++) {
        s = ngx_sprintf(s, "%s%V", i ? ";" : "", &list[i].name);
        h = ngx_sprintf(h, "%V:", &list[i].name);

        value = &list[i].value;

        for (n = 0; n < value->len; n++) {
            if (value->data[n] != ' ') {
                *h++ = value->data[n];

            } else if (h[-1] != ' ' && h[-1] != ':') {
                *h++ = ' ';
            }
        }

        if (h[-1] == ' ') {
            h--;
        }

        *h++ = '\n';
    }

    headers->len = h - headers->data;
    names->len = s - names->data;

    return NGX_OK;
}


static ngx_int_t
nchat_sigv4_signing_key(u_char out[NCHAT_SHA256_LEN], ngx_pool_t *pool,
    const nchat_sigv4_key_t *key, const u_char *date)
{
    ngx_str_t   secret, text[4], step;
    ngx_uint_t  i;

    secret.len = key->secret_key.len + 4;
    secret.data = ngx_pnalloc(pool, secret.len);
    if (secret.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(secret.data, "AWS4", 4), key->secret_key.data,
               key->secret_key.len);

    text[0].data = (u_char *) date;
    text[0].len = NCHAT_SIGV4_DATE;
    text[1] = key->region;
    text[2] = key->service;
    ngx_str_set(&text[3], "aws4_request");

    step = secret;

    for (i = 0; i < 4; i++) {
        if (nchat_hmac_sha256(out, &step, &text[i]) != NGX_OK) {
            nchat_wipe(secret.data, secret.len);
            return NGX_ERROR;
        }

        step.data = out;
        step.len = NCHAT_SHA256_LEN;
    }

    nchat_wipe(secret.data, secret.len);

    return NGX_OK;
}


/* RFC 3339 without its punctuation and milliseconds. */

static void
nchat_sigv4_time(u_char out[NCHAT_SIGV4_TIME], time_t time)
{
    u_char  *p, text[NCHAT_TIME_LEN];
    size_t   i;

    nchat_time_format(text, (int64_t) time * 1000);

    p = out;

    for (i = 0; i < sizeof("2013-05-24T00:00:00") - 1; i++) {
        if (text[i] != '-' && text[i] != ':') {
            *p++ = text[i];
        }
    }

    *p = 'Z';
}


static ngx_int_t
nchat_sigv4_scope(ngx_pool_t *pool, const nchat_sigv4_key_t *key,
    const u_char *date, ngx_str_t *scope)
{
    u_char  *p;

    p = ngx_pnalloc(pool, NCHAT_SIGV4_DATE + key->region.len
                          + key->service.len + sizeof("///aws4_request"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    scope->data = p;
    p = ngx_cpymem(p, date, NCHAT_SIGV4_DATE);
    p = ngx_sprintf(p, "/%V/%V/aws4_request", &key->region, &key->service);
    scope->len = p - scope->data;

    return NGX_OK;
}


ngx_int_t
nchat_sigv4_sign(ngx_pool_t *pool, const nchat_sigv4_key_t *key,
    const nchat_sigv4_request_t *request, u_char signature[64],
    ngx_str_t *query, ngx_str_t *names)
{
    u_char     *p, hash[NCHAT_SHA256_LEN], secret[NCHAT_SHA256_LEN];
    u_char      time[NCHAT_SIGV4_TIME];
    ngx_int_t   rc;
    ngx_str_t   headers, scope, text, signer;

    nchat_sigv4_time(time, request->time);

    if (nchat_sigv4_query(pool, request, query) != NGX_OK
        || nchat_sigv4_headers(pool, request, &headers, names) != NGX_OK
        || nchat_sigv4_scope(pool, key, time, &scope) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the canonical request; then, in the same memory, the string to sign */

    text.data = ngx_pnalloc(pool, request->method.len + 3 * request->path.len
                                  + query->len + headers.len + names->len
                                  + request->payload.len + scope.len + 128);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(text.data, "%V\n", &request->method);
    p = nchat_sigv4_encode(p, &request->path, 1);
    p = ngx_sprintf(p, "\n%V\n%V\n%V\n%V", query, &headers, names,
                    &request->payload);

    if (nchat_sha256(hash, text.data, p - text.data) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(text.data, "AWS4-HMAC-SHA256\n");
    p = ngx_cpymem(p, time, NCHAT_SIGV4_TIME);
    p = ngx_sprintf(p, "\n%V\n", &scope);
    p = nchat_hex_encode(p, hash, NCHAT_SHA256_LEN);
    text.len = p - text.data;

    if (nchat_sigv4_signing_key(secret, pool, key, time) != NGX_OK) {
        return NGX_ERROR;
    }

    signer.data = secret;
    signer.len = NCHAT_SHA256_LEN;

    rc = nchat_hmac_sha256(hash, &signer, &text);
    nchat_wipe(secret, NCHAT_SHA256_LEN);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    nchat_hex_encode(signature, hash, NCHAT_SHA256_LEN);

    return NGX_OK;
}


ngx_int_t
nchat_sigv4_presign(ngx_pool_t *pool, const nchat_sigv4_key_t *key,
    const nchat_sigv4_request_t *request, ngx_uint_t life, ngx_str_t *uri)
{
    u_char                 *p, signature[64];
    ngx_str_t               query, headers, names;
    ngx_uint_t              n;
    nchat_sigv4_pair_t      args[NCHAT_SIGV4_ARGS];
    nchat_sigv4_request_t   r;

    if (request->nargs + NCHAT_SIGV4_OWN > NCHAT_SIGV4_ARGS) {
        return NGX_ERROR;
    }

    for (n = 0; n < request->nargs; n++) {
        args[n] = request->args[n];
    }

    r = *request;
    r.args = args;
    r.nargs = n + NCHAT_SIGV4_OWN - (key->token.len ? 0 : 1);
    ngx_str_set(&r.payload, "UNSIGNED-PAYLOAD");

    if (nchat_sigv4_headers(pool, request, &headers, &names) != NGX_OK
        || nchat_sigv4_own_args(pool, key, request, life, &names, &args[n])
           != NGX_OK
        || nchat_sigv4_sign(pool, key, &r, signature, &query, &names)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    uri->data = ngx_pnalloc(pool, 3 * request->path.len + query.len + 64
                                  + sizeof("?&X-Amz-Signature="));
    if (uri->data == NULL) {
        return NGX_ERROR;
    }

    p = nchat_sigv4_encode(uri->data, &request->path, 1);
    p = ngx_sprintf(p, "?%V&X-Amz-Signature=", &query);
    p = ngx_cpymem(p, signature, 64);
    uri->len = p - uri->data;

    return NGX_OK;
}


/* What a presigned URL says of its signature; the last is for a token only. */

static ngx_int_t
nchat_sigv4_own_args(ngx_pool_t *pool, const nchat_sigv4_key_t *key,
    const nchat_sigv4_request_t *request, ngx_uint_t life,
    const ngx_str_t *names, nchat_sigv4_pair_t arg[NCHAT_SIGV4_OWN])
{
    u_char     *p, time[NCHAT_SIGV4_TIME];
    ngx_str_t   scope;

    nchat_sigv4_time(time, request->time);

    if (nchat_sigv4_scope(pool, key, time, &scope) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, key->access_key.len + sizeof("/") + scope.len
                          + NCHAT_SIGV4_TIME + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&arg[0].name, "X-Amz-Algorithm");
    ngx_str_set(&arg[0].value, "AWS4-HMAC-SHA256");

    ngx_str_set(&arg[1].name, "X-Amz-Credential");
    arg[1].value.data = p;
    p = ngx_sprintf(p, "%V/%V", &key->access_key, &scope);
    arg[1].value.len = p - arg[1].value.data;

    ngx_str_set(&arg[2].name, "X-Amz-Date");
    arg[2].value.data = p;
    p = ngx_cpymem(p, time, NCHAT_SIGV4_TIME);
    arg[2].value.len = NCHAT_SIGV4_TIME;

    ngx_str_set(&arg[3].name, "X-Amz-Expires");
    arg[3].value.data = p;
    arg[3].value.len = ngx_sprintf(p, "%ui", life) - p;

    ngx_str_set(&arg[4].name, "X-Amz-SignedHeaders");
    arg[4].value = *names;

    ngx_str_set(&arg[5].name, "X-Amz-Security-Token");
    arg[5].value = key->token;

    return NGX_OK;
}
