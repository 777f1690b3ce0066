#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_crypto.h"
#include "nchat_json.h"
#include "nchat_jwt.h"
#include "nchat_jwt_int.h"


typedef struct {
    const char  *name;
    size_t       offset;
} nchat_jwt_member_t;


static char *nchat_jwt_payload(ngx_pool_t *pool, const nchat_claims_t *claims);
static char *nchat_jwt_encode(const nchat_jwt_key_t *key, ngx_pool_t *pool,
    const char *payload);


static const nchat_jwt_member_t  nchat_jwt_members[] = {
    { "sub",         offsetof(nchat_claims_t, sub) },
    { "email",       offsetof(nchat_claims_t, email) },
    { "username",    offsetof(nchat_claims_t, username) },
    { "displayName", offsetof(nchat_claims_t, display_name) },
    { "role",        offsetof(nchat_claims_t, role) },
    { "sid",         offsetof(nchat_claims_t, sid) },
    { "jti",         offsetof(nchat_claims_t, jti) },
    { NULL, 0 }
};


ngx_int_t
nchat_jwt_sign(const nchat_jwt_key_t *key, ngx_pool_t *pool,
    const nchat_claims_t *claims, ngx_str_t *token)
{
    char  *payload, *text;

    if (key->external || key->alg != JWT_ALG_HS256
        || key->key.len < NCHAT_JWT_MIN
        || claims->typ == NCHAT_JWT_FOREIGN)
    {
        return NGX_ERROR;
    }

    payload = nchat_jwt_payload(pool, claims);
    if (payload == NULL) {
        return NGX_ERROR;
    }

    text = nchat_jwt_encode(key, pool, payload);
    if (text == NULL) {
        return NGX_ERROR;
    }

    token->len = ngx_strlen(text);
    token->data = ngx_pnalloc(pool, token->len);

    if (token->data) {
        ngx_memcpy(token->data, text, token->len);
    }

    nchat_wipe(text, token->len);
    free(text);

    return token->data ? NGX_OK : NGX_ERROR;
}


/* The claims as one JSON text, which libjwt takes in one call. */

static char *
nchat_jwt_payload(ngx_pool_t *pool, const nchat_claims_t *claims)
{
    size_t                     len;
    u_char                    *p, *payload;
    const ngx_str_t           *value;
    const nchat_jwt_member_t  *member;

    len = sizeof("{\"typ\":\"refresh\",\"ver\":,\"iat\":,\"exp\":}")
          + 3 * NGX_INT64_LEN;

    for (member = nchat_jwt_members; member->name; member++) {
        value = (ngx_str_t *) ((u_char *) claims + member->offset);

        len += ngx_strlen(member->name) + sizeof(",\"\":\"\"")
               + nchat_json_escape_len(value);
    }

    payload = ngx_pnalloc(pool, len);
    if (payload == NULL) {
        return NULL;
    }

    p = ngx_sprintf(payload,
                    "{\"typ\":\"%s\",\"ver\":%L,\"iat\":%L,\"exp\":%L",
                    claims->typ == NCHAT_JWT_ACCESS ? "access" : "refresh",
                    claims->ver, claims->iat, claims->exp);

    for (member = nchat_jwt_members; member->name; member++) {
        value = (ngx_str_t *) ((u_char *) claims + member->offset);

        if (value->len) {
            p = ngx_sprintf(p, ",\"%s\":\"", member->name);
            p = nchat_json_escape(p, value);
            *p++ = '"';
        }
    }

    *p++ = '}';
    *p = '\0';

    return (char *) payload;
}


/* The result is malloc'ed. */

static char *
nchat_jwt_encode(const nchat_jwt_key_t *key, ngx_pool_t *pool,
    const char *payload)
{
    char    *text;
    jwt_t   *jwt;
    u_char  *kid;

    if (jwt_new(&jwt) != 0) {
        return NULL;
    }

    text = NULL;

    if (jwt_set_alg(jwt, key->alg, key->key.data, (int) key->key.len) != 0
        || jwt_add_grants_json(jwt, payload) != 0)
    {
        goto done;
    }

    if (key->kid.len) {
        kid = ngx_pnalloc(pool, key->kid.len + 1);
        if (kid == NULL) {
            goto done;
        }

        (void) ngx_cpystrn(kid, key->kid.data, key->kid.len + 1);

        if (jwt_add_header(jwt, "kid", (char *) kid) != 0) {
            goto done;
        }
    }

    text = jwt_encode_str(jwt);

done:

    jwt_free(jwt);

    return text;
}
