/*
 * The first byte chooses what the rest is: a whole token, which must never be
 * accepted; a header with a good signature; or claims with a good signature,
 * of our own or of an identity service.
 */


#include "../unit/jwt_tools.h"
#include "nchat_jwt.h"
#include "nchat_uuid.h"


static ngx_array_t  *keys;
static ngx_str_t     ours = ngx_string(JWT_SECRET);
static ngx_str_t     theirs = ngx_string(JWT_SECRET2);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    ngx_pool_t        *pool;
    static ngx_str_t   args[] = {
        ngx_string("env:NCHAT_FUZZ_OURS"), ngx_string("env:NCHAT_FUZZ_THEIRS"),
        ngx_string("iss=i"), ngx_string("aud=a"), ngx_string("roles=b:admin")
    };

    setenv("NCHAT_FUZZ_OURS", JWT_SECRET, 1);
    setenv("NCHAT_FUZZ_THEIRS", JWT_SECRET2, 1);

    pool = ngx_create_pool(1024, NULL);
    keys = ngx_array_create(pool, 2, sizeof(nchat_jwt_key_t));

    if (nchat_jwt_key_load(pool, keys, &args[0], 1, NULL)
        || nchat_jwt_key_load(pool, keys, &args[1], 4, NULL))
    {
        abort();
    }

    return 0;
}


static void
check(const nchat_claims_t *claims)
{
    if (claims->exp + NCHAT_JWT_SKEW <= JWT_NOW || claims->key == NULL
        || claims->sub.len == 0)
    {
        abort();
    }

    if (claims->external) {

        if (claims->typ != NCHAT_JWT_FOREIGN || claims->sid.len
            || (claims->role.len
                && (claims->role.len != 5
                    || memcmp(claims->role.data, "admin", 5) != 0)))
        {
            abort();
        }

    } else if (nchat_uuid_parse(&claims->sub, NULL) != NGX_OK
               || nchat_uuid_parse(&claims->sid, NULL) != NGX_OK
               || claims->jti.len == 0 || claims->ver < 0)
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char            *text;
    ngx_int_t        rc;
    ngx_str_t        token;
    ngx_pool_t      *pool;
    nchat_claims_t   claims;

    if (size == 0) {
        return 0;
    }

    text = strndup((char *) data + 1, size - 1);

    switch (data[0] % 4) {

    case 0:
        token.data = malloc(size);
        token.len = size - 1;
        memcpy(token.data, data + 1, size - 1);
        break;

    case 1:
        token = jwt_make(text, JWT_ACCESS, &ours, NULL);
        break;

    case 2:
        token = jwt_make(JWT_HS256, text, &ours, NULL);
        break;

    default:
        token = jwt_make(JWT_HS256, text, &theirs, NULL);
        break;
    }

    pool = ngx_create_pool(1024, NULL);
    rc = nchat_jwt_verify(keys, &token, pool, JWT_NOW, &claims);

    if (rc == NGX_OK) {

        if (data[0] % 4 == 0
            || claims.external != (data[0] % 4 == 3))
        {
            abort();
        }

        check(&claims);

    } else if (rc != NGX_DECLINED || claims.reason == NULL) {
        abort();
    }

    ngx_destroy_pool(pool);
    free(token.data);
    free(text);

    return 0;
}
