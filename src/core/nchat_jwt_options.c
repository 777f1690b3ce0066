#include <ngx_config.h>
#include <ngx_core.h>

#include "nchat_json.h"
#include "nchat_jwt.h"
#include "nchat_jwt_int.h"


#define NCHAT_JWT_KID_MAX  128


static ngx_uint_t nchat_jwt_option(const ngx_str_t *arg, const char *name,
    ngx_str_t *value);
static const char *nchat_jwt_option_alg(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *value);
static const char *nchat_jwt_option_roles(ngx_pool_t *pool,
    nchat_jwt_key_t *key, const ngx_str_t *value);
static ngx_uint_t nchat_jwt_is_role(const ngx_str_t *role);
static const char *nchat_jwt_audience(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source);


const char *
nchat_jwt_options(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *args, ngx_uint_t nargs)
{
    ngx_str_t    value;
    ngx_uint_t   i;
    const char  *error;

    /* the first one is the source */

    for (i = 1; i < nargs; i++) {

        if (nchat_jwt_option(&args[i], "kid=", &value)) {

            if (value.len == 0 || value.len > NCHAT_JWT_KID_MAX
                || !nchat_utf8_valid(&value))
            {
                return "kid= needs 1 to " ngx_value(NCHAT_JWT_KID_MAX)
                       " bytes of UTF-8";
            }

            key->kid = value;

        } else if (nchat_jwt_option(&args[i], "alg=", &value)) {
            error = nchat_jwt_option_alg(pool, key, &value);
            if (error) {
                return error;
            }

        } else if (nchat_jwt_option(&args[i], "iss=", &value)) {
            key->iss = value;
            key->external = 1;

        } else if (nchat_jwt_option(&args[i], "aud=", &value)) {
            key->aud = value;

        } else if (nchat_jwt_option(&args[i], "roles=", &value)) {
            error = nchat_jwt_option_roles(pool, key, &value);
            if (error) {
                return error;
            }

        } else {
            return nchat_jwt_error(pool, "unknown option \"%V\" of a JWT "
                                       "key; known are kid=, alg=, iss=, aud= "
                                       "and roles=", &args[i]);
        }
    }

    return nchat_jwt_audience(pool, key, &args[0]);
}


static ngx_uint_t
nchat_jwt_option(const ngx_str_t *arg, const char *name, ngx_str_t *value)
{
    size_t  len;

    len = ngx_strlen(name);

    if (arg->len < len || ngx_strncmp(arg->data, name, len) != 0) {
        return 0;
    }

    value->len = arg->len - len;
    value->data = arg->data + len;

    return 1;
}


static const char *
nchat_jwt_option_alg(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *value)
{
    ngx_uint_t  i;

    static const struct {
        ngx_str_t   name;
        jwt_alg_t   alg;
    } algs[] = {
        { ngx_string("HS256"), JWT_ALG_HS256 },
        { ngx_string("RS256"), JWT_ALG_RS256 },
        { ngx_string("ES256"), JWT_ALG_ES256 }
    };

    for (i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {

        if (nchat_jwt_same(value, &algs[i].name)) {
            key->alg = algs[i].alg;
            return NULL;
        }
    }

    return nchat_jwt_error(pool, "unknown algorithm \"%V\" of a JWT key; "
                               "known are HS256, RS256 and ES256", value);
}


/* theirs:ours,theirs:ours */

static const char *
nchat_jwt_option_roles(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *value)
{
    u_char        *p, *last, *comma, *colon;
    ngx_keyval_t  *pair;

    key->roles = ngx_array_create(pool, 4, sizeof(ngx_keyval_t));
    if (key->roles == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    p = value->data;
    last = p + value->len;

    for ( ;; ) {
        comma = ngx_strlchr(p, last, ',');
        if (comma == NULL) {
            comma = last;
        }

        /* the claim may have colons of its own, our roles have none */

        for (colon = comma; colon > p && *colon != ':'; colon--) { /* void */ }

        if (colon == p || colon == comma) {
            return "roles= is a list such as roles=administrator:admin,"
                   "staff:moderator (claim:role)";
        }

        pair = ngx_array_push(key->roles);
        if (pair == NULL) {
            return NCHAT_JWT_NO_MEMORY;
        }

        pair->key.data = p;
        pair->key.len = colon - p;
        pair->value.data = colon + 1;
        pair->value.len = comma - colon - 1;

        if (!nchat_jwt_is_role(&pair->value)) {
            return nchat_jwt_error(pool, "roles= maps to \"%V\", but only to "
                                   "admin, moderator, member and guest it may",
                                   &pair->value);
        }

        if (comma == last) {
            return NULL;
        }

        p = comma + 1;
    }
}


/* There is one owner, whom no other service can make. */

static ngx_uint_t
nchat_jwt_is_role(const ngx_str_t *role)
{
    ngx_uint_t  i;

    static const ngx_str_t  roles[] = {
        ngx_string("admin"), ngx_string("moderator"), ngx_string("member"),
        ngx_string("guest")
    };

    for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {

        if (nchat_jwt_same(role, &roles[i])) {
            return 1;
        }
    }

    return 0;
}


static const char *
nchat_jwt_audience(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source)
{
    if (key->external && key->iss.len && key->aud.len) {
        return NULL;
    }

    if (key->alg != JWT_ALG_HS256) {
        return nchat_jwt_error(pool, "the public key \"%V\" of an identity "
                                   "service needs iss= and aud=, or tokens "
                                   "made for others would be accepted",
                                   source);
    }

    if (key->external || key->aud.len) {
        return "a JWT key with iss= or aud= needs both of them, and a key of "
               "this server's own has neither";
    }

    if (key->roles) {
        return "roles= is for keys of an identity service, which have iss= "
               "and aud=";
    }

    return NULL;
}


const char *
nchat_jwt_error(ngx_pool_t *pool, const char *fmt, ...)
{
    u_char   *buf, *p;
    va_list   args;

    buf = ngx_pnalloc(pool, NGX_MAX_ERROR_STR);
    if (buf == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_MAX_ERROR_STR - 1, fmt, args);
    va_end(args);

    *p = '\0';

    return (const char *) buf;
}
