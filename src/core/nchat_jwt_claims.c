#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_crypto.h"
#include "nchat_json.h"
#include "nchat_jwt.h"
#include "nchat_jwt_int.h"
#include "nchat_uuid.h"


/* longest subject and issuer of an identity service, in bytes */
#define NCHAT_JWT_SUB_MAX     255

/* far beyond any date, and exact as a double */
#define NCHAT_JWT_NUMBER_MAX  1e15


static jwt_t *nchat_jwt_decode(const nchat_jwt_key_t *key,
    const nchat_jwt_token_t *token);
static const char *nchat_jwt_claims_times(jwt_t *jwt, time_t now,
    nchat_claims_t *claims);
static const char *nchat_jwt_claims_own(jwt_t *jwt, nchat_claims_t *claims);
static const char *nchat_jwt_claims_external(jwt_t *jwt,
    const nchat_jwt_key_t *key);
static ngx_int_t nchat_jwt_claims_copy(jwt_t *jwt, ngx_pool_t *pool,
    nchat_claims_t *claims);
static ngx_int_t nchat_jwt_claims_role(jwt_t *jwt, ngx_pool_t *pool,
    nchat_claims_t *claims);
static ngx_uint_t nchat_jwt_audience_is(jwt_t *jwt, const ngx_str_t *aud);
static ngx_int_t nchat_jwt_number(jwt_t *jwt, const char *name,
    ngx_uint_t external, int64_t *value);
static ngx_int_t nchat_jwt_copy(jwt_t *jwt, ngx_pool_t *pool,
    const char *name, ngx_str_t *value);
static ngx_uint_t nchat_jwt_is_uuid(jwt_t *jwt, const char *name);


ngx_int_t
nchat_jwt_claims(const nchat_jwt_key_t *key, const nchat_jwt_token_t *token,
    ngx_pool_t *pool, time_t now, nchat_claims_t *claims)
{
    jwt_t      *jwt;
    ngx_int_t   rc;

    claims->key = key;
    claims->external = key->external;

    jwt = nchat_jwt_decode(key, token);

    if (jwt == NULL) {
        claims->reason = "malformed claims";
        return NGX_DECLINED;
    }

    claims->reason = nchat_jwt_claims_times(jwt, now, claims);

    if (claims->reason == NULL) {

        claims->reason = key->external
                             ? nchat_jwt_claims_external(jwt, key)
                             : nchat_jwt_claims_own(jwt, claims);
    }

    if (claims->reason) {
        rc = NGX_DECLINED;

    } else {
        rc = nchat_jwt_claims_copy(jwt, pool, claims);
    }

    jwt_free(jwt);

    return rc;
}


/*
 * Without a key libjwt decodes only; the signature was verified before, and
 * is left out.  The token's header must say the key's algorithm here too.
 */

static jwt_t *
nchat_jwt_decode(const nchat_jwt_key_t *key, const nchat_jwt_token_t *token)
{
    int               rc;
    jwt_t            *jwt;
    u_char           *p, buf[NCHAT_JWT_MAX + 3];
    const char       *alg;
    const ngx_str_t  *head;

    /* RFC 9068 has a "typ" that libjwt refuses */

    head = token->access ? &key->header : &token->head;

    if (head->len + token->body.len > NCHAT_JWT_MAX) {
        return NULL;
    }

    p = ngx_cpymem(buf, head->data, head->len);
    *p++ = '.';
    p = ngx_cpymem(p, token->body.data, token->body.len);
    *p++ = '.';
    *p++ = '\0';

    rc = jwt_decode(&jwt, (char *) buf, NULL, 0);

    nchat_wipe(buf, p - buf);

    if (rc != 0) {
        return NULL;
    }

    /* jwt_get_alg() says "none" where no key was given */

    alg = jwt_get_header(jwt, "alg");

    if (alg == NULL || ngx_strcmp(alg, jwt_alg_str(key->alg)) != 0) {
        jwt_free(jwt);
        return NULL;
    }

    return jwt;
}


static const char *
nchat_jwt_claims_times(jwt_t *jwt, time_t now, nchat_claims_t *claims)
{
    int64_t     nbf;
    ngx_int_t   rc;
    ngx_uint_t  external;

    external = claims->external;

    if (nchat_jwt_number(jwt, "exp", external, &claims->exp) != NGX_OK) {
        return "no expiry";
    }

    if (claims->exp + NCHAT_JWT_SKEW <= (int64_t) now) {
        return "expired";
    }

    rc = nchat_jwt_number(jwt, "nbf", external, &nbf);

    if (rc == NGX_ERROR
        || (rc == NGX_OK && nbf - NCHAT_JWT_SKEW > (int64_t) now))
    {
        return "not valid yet";
    }

    rc = nchat_jwt_number(jwt, "iat", external, &claims->iat);

    if (rc == NGX_ERROR || (rc == NGX_DECLINED && !external)
        || (rc == NGX_OK && claims->iat - NCHAT_JWT_SKEW > (int64_t) now))
    {
        return "issued in the future";
    }

    return NULL;
}


static const char *
nchat_jwt_claims_own(jwt_t *jwt, nchat_claims_t *claims)
{
    const char  *typ, *jti;

    typ = jwt_get_grant(jwt, "typ");

    if (typ == NULL) {
        return "no typ";
    }

    if (ngx_strcmp(typ, "access") == 0) {
        claims->typ = NCHAT_JWT_ACCESS;

    } else if (ngx_strcmp(typ, "refresh") == 0) {
        claims->typ = NCHAT_JWT_REFRESH;

    } else {
        return "unknown typ";
    }

    if (!nchat_jwt_is_uuid(jwt, "sub") || !nchat_jwt_is_uuid(jwt, "sid")) {
        return "no sub or sid";
    }

    jti = jwt_get_grant(jwt, "jti");

    if (jti == NULL || *jti == '\0') {
        return "no jti";
    }

    /* a session begins with version 1 */

    if (nchat_jwt_number(jwt, "ver", 0, &claims->ver) != NGX_OK
        || claims->ver < 1)
    {
        return "no ver";
    }

    return NULL;
}


static const char *
nchat_jwt_claims_external(jwt_t *jwt, const nchat_jwt_key_t *key)
{
    size_t       len;
    const char  *text;

    text = jwt_get_grant(jwt, "iss");

    if (text == NULL || ngx_strlen(text) != key->iss.len
        || ngx_memcmp(text, key->iss.data, key->iss.len) != 0)
    {
        return "another issuer";
    }

    if (!nchat_jwt_audience_is(jwt, &key->aud)) {
        return "another audience";
    }

    text = jwt_get_grant(jwt, "sub");
    len = text ? ngx_strlen(text) : 0;

    if (len == 0 || len > NCHAT_JWT_SUB_MAX) {
        return "no sub";
    }

    return NULL;
}


static ngx_int_t
nchat_jwt_claims_copy(jwt_t *jwt, ngx_pool_t *pool, nchat_claims_t *claims)
{
    if (nchat_jwt_copy(jwt, pool, "sub", &claims->sub) != NGX_OK
        || nchat_jwt_copy(jwt, pool, "email", &claims->email) != NGX_OK
        || nchat_jwt_copy(jwt, pool, "username", &claims->username) != NGX_OK
        || nchat_jwt_copy(jwt, pool, "displayName", &claims->display_name)
           != NGX_OK
        || nchat_jwt_copy(jwt, pool, "jti", &claims->jti) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!claims->external) {

        if (nchat_jwt_copy(jwt, pool, "sid", &claims->sid) != NGX_OK
            || nchat_jwt_copy(jwt, pool, "role", &claims->role) != NGX_OK)
        {
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    claims->typ = NCHAT_JWT_FOREIGN;
    claims->iss = claims->key->iss;

    /* the names that OpenID Connect Core, section 5.1, has for them */

    if (claims->username.len == 0
        && nchat_jwt_copy(jwt, pool, "preferred_username", &claims->username)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (claims->display_name.len == 0
        && nchat_jwt_copy(jwt, pool, "name", &claims->display_name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return nchat_jwt_claims_role(jwt, pool, claims);
}


/* A role of theirs counts only as what the operator made of it. */

static ngx_int_t
nchat_jwt_claims_role(jwt_t *jwt, ngx_pool_t *pool, nchat_claims_t *claims)
{
    ngx_str_t      role;
    ngx_uint_t     i;
    ngx_keyval_t  *map;

    ngx_str_null(&role);

    if (nchat_jwt_copy(jwt, pool, "role", &role) != NGX_OK) {
        return NGX_ERROR;
    }

    if (claims->key->roles == NULL || role.len == 0) {
        return NGX_OK;
    }

    map = claims->key->roles->elts;

    for (i = 0; i < claims->key->roles->nelts; i++) {

        if (nchat_jwt_same(&map[i].key, &role)) {
            claims->role = map[i].value;
            break;
        }
    }

    return NGX_OK;
}


/* RFC 7519, section 4.1.3: one string, or an array of them. */

static ngx_uint_t
nchat_jwt_audience_is(jwt_t *jwt, const ngx_str_t *aud)
{
    char        *text;
    size_t       i;
    json_t      *list, *item;
    ngx_uint_t   found;
    const char  *single;

    single = jwt_get_grant(jwt, "aud");

    if (single) {
        return ngx_strlen(single) == aud->len
               && ngx_memcmp(single, aud->data, aud->len) == 0;
    }

    text = jwt_get_grants_json(jwt, "aud");
    if (text == NULL) {
        return 0;
    }

    list = json_loads(text, 0, NULL);
    free(text);

    found = 0;

    json_array_foreach(list, i, item) {

        if (json_is_string(item)
            && json_string_length(item) == aud->len
            && ngx_memcmp(json_string_value(item), aud->data, aud->len) == 0)
        {
            found = 1;
        }
    }

    json_decref(list);

    return found;
}


/*
 * NGX_DECLINED if the claim is absent, NGX_ERROR if it is not a number from 0
 * to NCHAT_JWT_NUMBER_MAX.  Our own are integers; RFC 7519 lets other services
 * write times with fractions of a second, which are cut off.
 */

static ngx_int_t
nchat_jwt_number(jwt_t *jwt, const char *name, ngx_uint_t external,
    int64_t *value)
{
    char      *text, *end;
    double     number;
    ngx_int_t  rc;

    *value = jwt_get_grant_int(jwt, name);

    if (*value > 0 && *value <= (int64_t) NCHAT_JWT_NUMBER_MAX) {
        return NGX_OK;
    }

    /* libjwt 1.10 gives 0 without an error for anything but an integer */

    *value = 0;

    text = jwt_get_grants_json(jwt, name);
    if (text == NULL) {
        return NGX_DECLINED;
    }

    rc = NGX_ERROR;

    if (ngx_strcmp(text, "0") == 0) {
        rc = NGX_OK;

    } else if (external) {
        number = strtod(text, &end);

        if (end != text && *end == '\0'
            && number >= 0 && number <= NCHAT_JWT_NUMBER_MAX)
        {
            *value = (int64_t) number;
            rc = NGX_OK;
        }
    }

    free(text);

    return rc;
}


/* An absent claim, or one that is no string, leaves the value as it is. */

static ngx_int_t
nchat_jwt_copy(jwt_t *jwt, ngx_pool_t *pool, const char *name,
    ngx_str_t *value)
{
    size_t       len;
    u_char      *p;
    const char  *text;

    text = jwt_get_grant(jwt, name);

    if (text == NULL) {
        return NGX_OK;
    }

    len = ngx_strlen(text);

    p = ngx_pnalloc(pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, text, len + 1);

    value->data = p;
    value->len = len;

    return NGX_OK;
}


static ngx_uint_t
nchat_jwt_is_uuid(jwt_t *jwt, const char *name)
{
    ngx_str_t    text;
    const char  *value;

    value = jwt_get_grant(jwt, name);

    if (value == NULL) {
        return 0;
    }

    text.data = (u_char *) value;
    text.len = ngx_strlen(value);

    return nchat_uuid_parse(&text, NULL) == NGX_OK;
}
