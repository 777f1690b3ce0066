/* The URL of the local store's PUT: signed, and verified. */

#include "nchat_store_local.h"
#include "nchat_crypto.h"
#include "nchat_sigv4.h"
#include "nchat_uuid.h"


#define NCHAT_PUT_PATH  "/api/upload/content/"


static ngx_int_t nchat_put_sign(ngx_pool_t *pool, const ngx_str_t *key,
    const nchat_file_t *file, const ngx_str_t *type, time_t expires,
    u_char out[NCHAT_SHA256_LEN]);
static ngx_uint_t nchat_put_verify_keys(nchat_ctx_t *ctx,
    const nchat_file_t *file, const ngx_str_t *type, time_t expires,
    const ngx_str_t *signature);


/* HMAC over what the URL says; none of it may hold a line feed but by us. */

static ngx_int_t
nchat_put_sign(ngx_pool_t *pool, const ngx_str_t *key,
    const nchat_file_t *file, const ngx_str_t *type, time_t expires,
    u_char out[NCHAT_SHA256_LEN])
{
    ngx_str_t  text;

    text.data = ngx_pnalloc(pool, file->id.len + file->key.len + type->len
                                  + NGX_OFF_T_LEN + NGX_TIME_T_LEN + 4);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    text.len = ngx_sprintf(text.data, "%V\n%V\n%V\n%O\n%T", &file->id,
                           &file->key, type, file->size, expires)
               - text.data;

    return nchat_hmac_sha256(out, key, &text);
}


ngx_int_t
nchat_local_target(nchat_ctx_t *ctx, const nchat_file_t *file, time_t expires,
    nchat_target_t *target)
{
    u_char      *p, hash[NCHAT_SHA256_LEN];
    ngx_str_t    base, *keys;
    ngx_pool_t  *pool;

    pool = ctx->request->pool;
    keys = ctx->conf->files->keys->elts;

    if (nchat_files_base(ctx, &base) != NGX_OK) {
        return NGX_DONE;
    }

    p = ngx_pnalloc(pool, base.len + file->id.len + file->key.len
                          + 3 * file->mime->type.len + NGX_OFF_T_LEN
                          + NGX_TIME_T_LEN + 2 * NCHAT_SHA256_LEN
                          + sizeof(NCHAT_PUT_PATH "?key=&type=&size=&expires="
                                   "&signature="));
    target->headers.data = ngx_pnalloc(pool, sizeof("\"Content-Type\":\"\"")
                                             + file->mime->type.len);

    if (p == NULL || target->headers.data == NULL
        || nchat_put_sign(pool, &keys[0], file, &file->mime->type, expires,
                          hash)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    target->headers.len = ngx_sprintf(target->headers.data,
                                      "\"Content-Type\":\"%V\"",
                                      &file->mime->type)
                          - target->headers.data;

    target->url.data = p;
    p = ngx_sprintf(p, "%V" NCHAT_PUT_PATH "%V?key=%V&type=", &base,
                    &file->id, &file->key);
    p = nchat_sigv4_encode(p, &file->mime->type, 0);
    p = ngx_sprintf(p, "&size=%O&expires=%T&signature=", file->size, expires);
    p = nchat_hex_encode(p, hash, NCHAT_SHA256_LEN);
    target->url.len = p - target->url.data;

    return NGX_OK;
}


ngx_int_t
nchat_local_verify(nchat_ctx_t *ctx, nchat_file_t *file)
{
    ngx_int_t   expires, size;
    ngx_str_t   text[5];
    ngx_uint_t  i;

    static const char  *names[] = {
        "key", "type", "size", "expires", "signature"
    };

    for (i = 0; i < 5; i++) {
        switch (nchat_arg(ctx, names[i], &text[i])) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            ngx_str_null(&text[i]);
            break;

        default:
            return NGX_ERROR;
        }
    }

    size = ngx_atoi(text[2].data, text[2].len);
    expires = ngx_atoi(text[3].data, text[3].len);

    file->id = ctx->params[0];
    file->key = text[0];
    file->mime = nchat_mime_find(&text[1]);
    file->size = size;

    if (nchat_uuid_parse(&file->id, NULL) != NGX_OK
        || file->mime == NULL || size == NGX_ERROR || expires == NGX_ERROR
        || !nchat_put_verify_keys(ctx, file, &text[1], expires,
                                  &text[4]))
    {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN,
                          "The signature of this URL is wrong");
        return NGX_ERROR;
    }

    if (expires <= ngx_time()) {
        nchat_reply_error(ctx, NCHAT_E_FORBIDDEN, "This URL has expired");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
nchat_put_verify_keys(nchat_ctx_t *ctx, const nchat_file_t *file,
    const ngx_str_t *type, time_t expires, const ngx_str_t *signature)
{
    u_char       given[NCHAT_SHA256_LEN], hash[NCHAT_SHA256_LEN];
    ngx_str_t   *keys;
    ngx_uint_t   i;

    if (nchat_hex_decode(given, NCHAT_SHA256_LEN, signature) != NGX_OK) {
        return 0;
    }

    keys = ctx->conf->files->keys->elts;

    for (i = 0; i < ctx->conf->files->keys->nelts; i++) {

        if (nchat_put_sign(ctx->request->pool, &keys[i], file, type, expires,
                           hash)
            == NGX_OK
            && nchat_equal(hash, given, NCHAT_SHA256_LEN))
        {
            return 1;
        }
    }

    return 0;
}
