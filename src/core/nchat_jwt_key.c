#include <ngx_config.h>
#include <ngx_core.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "nchat_crypto.h"
#include "nchat_json.h"
#include "nchat_jwt.h"
#include "nchat_jwt_int.h"


#define NCHAT_JWT_KEY_FILE_MAX  65536

/* RFC 7518, section 3.3 */
#define NCHAT_JWT_RSA_BITS      2048


static const char *nchat_jwt_key_source(ngx_pool_t *pool,
    nchat_jwt_key_t *key, const ngx_str_t *source, const ngx_str_t *prefix);
static const char *nchat_jwt_key_file(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source, const ngx_str_t *prefix);
static const char *nchat_jwt_key_env(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source);
static const char *nchat_jwt_key_secret(ngx_pool_t *pool,
    nchat_jwt_key_t *key, const ngx_str_t *source);
static const char *nchat_jwt_key_public(ngx_pool_t *pool,
    nchat_jwt_key_t *key, const ngx_str_t *source);
static const char *nchat_jwt_key_twice(ngx_pool_t *pool,
    const ngx_array_t *keys, const nchat_jwt_key_t *key);
static const char *nchat_jwt_key_store(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const u_char *data, size_t len);
static ngx_int_t nchat_jwt_header(ngx_pool_t *pool, nchat_jwt_key_t *key);
static void nchat_jwt_key_wipe(void *data);
static void nchat_jwt_key_free(void *data);


const char *
nchat_jwt_key_load(ngx_pool_t *pool, ngx_array_t *keys, const ngx_str_t *args,
    ngx_uint_t nargs, const ngx_str_t *prefix)
{
    const char       *error;
    nchat_jwt_key_t   key, *slot;

    ngx_memzero(&key, sizeof(nchat_jwt_key_t));

    key.alg = JWT_ALG_HS256;

    if (nargs == 0) {
        return "a JWT key needs a source: file:<path> or env:<NAME>";
    }

    error = nchat_jwt_options(pool, &key, args, nargs);
    if (error) {
        return error;
    }

    error = nchat_jwt_key_source(pool, &key, &args[0], prefix);
    if (error) {
        return error;
    }

    if (key.alg == JWT_ALG_HS256) {
        error = nchat_jwt_key_secret(pool, &key, &args[0]);

    } else {
        error = nchat_jwt_key_public(pool, &key, &args[0]);
    }

    if (error == NULL) {
        error = nchat_jwt_key_twice(pool, keys, &key);
    }

    if (error) {
        return error;
    }

    if (nchat_jwt_header(pool, &key) != NGX_OK) {
        return NCHAT_JWT_NO_MEMORY;
    }

    slot = ngx_array_push(keys);
    if (slot == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    *slot = key;

    return NULL;
}


static const char *
nchat_jwt_key_source(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source, const ngx_str_t *prefix)
{
    if (source->len > 5 && ngx_strncmp(source->data, "file:", 5) == 0) {
        return nchat_jwt_key_file(pool, key, source, prefix);
    }

    if (source->len > 4 && ngx_strncmp(source->data, "env:", 4) == 0) {
        return nchat_jwt_key_env(pool, key, source);
    }

    /* this may be a secret typed in by mistake: it is not repeated */

    return "a JWT key is read from file:<path> or env:<NAME>, it is never "
           "written into the configuration";
}


static const char *
nchat_jwt_key_file(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source, const ngx_str_t *prefix)
{
    int          fd;
    u_char      *name, *p, buf[NCHAT_JWT_KEY_FILE_MAX + 1];
    size_t       len;
    ssize_t      n;
    const char  *error;

    name = ngx_pnalloc(pool, (prefix ? prefix->len : 0) + source->len);
    if (name == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    p = name;

    if (prefix && source->data[5] != '/') {
        p = ngx_cpymem(p, prefix->data, prefix->len);
    }

    p = ngx_cpymem(p, source->data + 5, source->len - 5);
    *p = '\0';

    fd = open((char *) name, O_RDONLY|O_CLOEXEC|O_NONBLOCK);
    if (fd == -1) {
        return nchat_jwt_error(pool, "cannot open the JWT key file "
                                   "\"%s\": %s", name, strerror(errno));
    }

    len = 0;

    do {
        n = read(fd, buf + len, sizeof(buf) - len);

        if (n > 0) {
            len += n;
        }

    } while (n > 0 && len < sizeof(buf));

    if (n < 0) {
        error = nchat_jwt_error(pool, "cannot read the JWT key file "
                                    "\"%s\": %s", name, strerror(errno));

    } else if (len > NCHAT_JWT_KEY_FILE_MAX) {
        error = nchat_jwt_error(pool, "the JWT key file \"%s\" is larger "
                                    "than 64 KiB", name);

    } else {
        error = nchat_jwt_key_store(pool, key, buf, len);
    }

    (void) close(fd);
    nchat_wipe(buf, len);

    return error;
}


static const char *
nchat_jwt_key_env(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source)
{
    char    *value;
    u_char  *name;

    name = ngx_pnalloc(pool, source->len);
    if (name == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    (void) ngx_cpystrn(name, source->data + 4, source->len - 3);

    value = getenv((char *) name);

    if (value == NULL) {
        return nchat_jwt_error(pool, "the environment variable \"%s\", "
                                   "which should hold a JWT key, is not set; "
                                   "set it for nginx's master process", name);
    }

    return nchat_jwt_key_store(pool, key, (u_char *) value,
                               ngx_strlen(value));
}


static const char *
nchat_jwt_key_secret(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source)
{
    if (key->key.len >= 10
        && ngx_strncmp(key->key.data, "-----BEGIN", 10) == 0)
    {
        return nchat_jwt_error(pool, "the JWT key \"%V\" is a PEM file; "
                                   "say alg=RS256 or alg=ES256 for a public "
                                   "key", source);
    }

    if (key->key.len < NCHAT_JWT_MIN) {
        return nchat_jwt_error(pool, "the HS256 key \"%V\" has %uz bytes, "
                                   "but at least %d are needed; make one with "
                                   "\"openssl rand -hex 32\"", source,
                                   key->key.len, NCHAT_JWT_MIN);
    }

    return NULL;
}


static const char *
nchat_jwt_key_public(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const ngx_str_t *source)
{
    BIO                 *bio;
    char                 curve[32];
    ngx_pool_cleanup_t  *cln;

    bio = BIO_new_mem_buf(key->key.data, (int) key->key.len);
    cln = ngx_pool_cleanup_add(pool, 0);

    if (bio == NULL || cln == NULL) {
        BIO_free(bio);
        return NCHAT_JWT_NO_MEMORY;
    }

    key->pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);

    BIO_free(bio);
    ERR_clear_error();

    if (key->pkey == NULL) {
        return nchat_jwt_error(pool, "\"%V\" is no public key in PEM form; "
                                   "take it out of a private key with "
                                   "\"openssl pkey -in key.pem -pubout\", or "
                                   "of a certificate with \"openssl x509 -in "
                                   "cert.pem -pubkey -noout\"", source);
    }

    cln->handler = nchat_jwt_key_free;
    cln->data = key->pkey;

    if (key->alg == JWT_ALG_RS256) {

        if (!EVP_PKEY_is_a(key->pkey, "RSA")) {
            return nchat_jwt_error(pool, "\"%V\" is no RSA key, which "
                                       "alg=RS256 needs", source);
        }

        if (EVP_PKEY_get_bits(key->pkey) < NCHAT_JWT_RSA_BITS) {
            return nchat_jwt_error(pool, "the RSA key \"%V\" has %d bits, "
                                       "but at least %d are needed", source,
                                       EVP_PKEY_get_bits(key->pkey),
                                       NCHAT_JWT_RSA_BITS);
        }

        return NULL;
    }

    if (!EVP_PKEY_is_a(key->pkey, "EC")
        || EVP_PKEY_get_group_name(key->pkey, curve, sizeof(curve), NULL) != 1
        || ngx_strcmp(curve, "prime256v1") != 0)
    {
        return nchat_jwt_error(pool, "\"%V\" is no key on the curve P-256 "
                                   "(prime256v1), which alg=ES256 needs",
                                   source);
    }

    return NULL;
}


static const char *
nchat_jwt_key_twice(ngx_pool_t *pool, const ngx_array_t *keys,
    const nchat_jwt_key_t *key)
{
    ngx_uint_t              i;
    const nchat_jwt_key_t  *other;

    other = keys->elts;

    for (i = 0; i < keys->nelts; i++) {

        if (key->kid.len
            && key->external == other[i].external
            && nchat_jwt_same(&key->kid, &other[i].kid)
            && nchat_jwt_same(&key->iss, &other[i].iss))
        {
            return nchat_jwt_error(pool, "two JWT keys have kid=%V",
                                       &key->kid);
        }

        /*
         * RFC 8725, section 3.15: who may sign for a service elsewhere must
         * not be able to sign as this server.
         */

        if (key->alg == JWT_ALG_HS256 && other[i].alg == JWT_ALG_HS256
            && key->external != other[i].external
            && key->key.len == other[i].key.len
            && nchat_equal(key->key.data, other[i].key.data, key->key.len))
        {
            return "a JWT key of this server's own must not be shared with an "
                   "identity service";
        }
    }

    return NULL;
}


/* Without the newline that an editor or echo leaves at the end. */

static const char *
nchat_jwt_key_store(ngx_pool_t *pool, nchat_jwt_key_t *key,
    const u_char *data, size_t len)
{
    ngx_str_t           *copy;
    ngx_pool_cleanup_t  *cln;

    if (len && data[len - 1] == '\n') {
        len--;

        if (len && data[len - 1] == '\r') {
            len--;
        }
    }

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_str_t));
    if (cln == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    key->key.data = ngx_pnalloc(pool, len + 1);
    if (key->key.data == NULL) {
        return NCHAT_JWT_NO_MEMORY;
    }

    ngx_memcpy(key->key.data, data, len);
    key->key.data[len] = '\0';
    key->key.len = len;

    copy = cln->data;
    *copy = key->key;

    cln->handler = nchat_jwt_key_wipe;

    return NULL;
}


static void
nchat_jwt_key_wipe(void *data)
{
    ngx_str_t  *key;

    key = data;

    nchat_wipe(key->data, key->len);
}


static void
nchat_jwt_key_free(void *data)
{
    EVP_PKEY_free(data);
}


/*
 * The encoded first part of the tokens that libjwt signs with this algorithm
 * and kid; it sorts the members too.
 */

static ngx_int_t
nchat_jwt_header(ngx_pool_t *pool, nchat_jwt_key_t *key)
{
    json_t     *header;
    ngx_int_t   rc;
    ngx_str_t   text;

    header = json_pack("{ss, ss}", "alg", jwt_alg_str(key->alg), "typ", "JWT");

    if (header && key->kid.len
        && json_object_set_new(header, "kid",
                               json_stringn((char *) key->kid.data,
                                            key->kid.len))
           != 0)
    {
        json_decref(header);
        return NGX_ERROR;
    }

    if (header == NULL) {
        return NGX_ERROR;
    }

    rc = nchat_json_dump(pool, header, JSON_SORT_KEYS, &text);

    json_decref(header);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    key->header.data = ngx_pnalloc(pool, ngx_base64_encoded_length(text.len));
    if (key->header.data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64url(&key->header, &text);

    return NGX_OK;
}


const nchat_jwt_key_t *
nchat_jwt_signer(const ngx_array_t *keys)
{
    ngx_uint_t              i;
    const nchat_jwt_key_t  *key;

    key = keys->elts;

    for (i = 0; i < keys->nelts; i++) {

        if (!key[i].external) {
            return &key[i];
        }
    }

    return NULL;
}
