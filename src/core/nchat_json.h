/*
 * JSON from outside and to outside, over jansson.  jansson allocates with
 * malloc, so everything here ties what it gives to a pool.
 */


#ifndef _NCHAT_JSON_H_INCLUDED_
#define _NCHAT_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <jansson.h>


/* contract, section 1, Requests */
#define NCHAT_JSON_DEPTH   32

/*
 * An empty object of two characters costs jansson some 230 bytes: without a
 * bound on their number, 1 MiB of text would take 80 MiB of memory.  With it,
 * the worst text takes some 10 MiB.
 */
#define NCHAT_JSON_VALUES  65536

/* nchat_json_parse(): any value may stand at the top, not objects only */
#define NCHAT_JSON_ANY     1


/*
 * Parses "text", which needs no NUL.  Refused are: anything but an object at
 * the top (see NCHAT_JSON_ANY), more than NCHAT_JSON_DEPTH levels or
 * NCHAT_JSON_VALUES values, duplicate members, numbers that neither a double
 * nor Postgres can hold, invalid UTF-8, lone surrogates and U+0000, escaped or
 * not.  The caller limits the length.
 *
 * *out belongs to the pool (a cleanup drops the reference): nobody decrefs
 * it, and strings in it live as long as the pool.
 * NGX_OK; NGX_DECLINED with *why a sentence for people about "the request
 * body", in static or pool memory, without a part of the text (it may hold a
 * password); NGX_ERROR out of memory.
 */
ngx_int_t nchat_json_parse(ngx_pool_t *pool, const ngx_str_t *text,
    ngx_uint_t flags, json_t **out, const char **why);

/*
 * Gives a reference that the caller owns to the pool.  On NGX_ERROR (no
 * memory) the reference is dropped at once.  "json" may be NULL: NGX_ERROR,
 * so that the result of a jansson call can be passed as it is.
 */
ngx_int_t nchat_json_own(ngx_pool_t *pool, json_t *json);

/*
 * Renders "json" compactly into pool memory; "flags" are further ones of
 * jansson's, such as JSON_SORT_KEYS.  Numbers that are not integers are
 * written with 15 digits, more if one of them would not be the same then, or as
 * JSON_REAL_PRECISION() says: with 17, jansson's default, 0.1 would become
 * 0.10000000000000001.
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t nchat_json_dump(ngx_pool_t *pool, const json_t *json, size_t flags,
    ngx_str_t *out);

/*
 * The same without the outer braces or brackets: {"a":1,"b":2} becomes
 * "a":1,"b":2 and {} the empty string.
 */
ngx_int_t nchat_json_members(ngx_pool_t *pool, const json_t *json,
    size_t flags, ngx_str_t *out);

/*
 * The string member "name" of an object as an ngx_str_t into jansson's
 * memory.  NGX_OK, or NGX_DECLINED if it is absent or no string.
 */
ngx_int_t nchat_json_string(const json_t *object, const char *name,
    ngx_str_t *value);

/*
 * Escapes "src" as the inside of a JSON string (RFC 8259, section 7),
 * without the quotes.  Any bytes may be given: each byte that is not part of
 * valid UTF-8 becomes U+FFFD.  nchat_json_escape_len() gives the exact length
 * of what nchat_json_escape() writes; the latter returns its end.
 */
size_t nchat_json_escape_len(const ngx_str_t *src);
u_char *nchat_json_escape(u_char *dst, const ngx_str_t *src);

/*
 * The length in bytes of the valid UTF-8 sequence (RFC 3629) at "p", or 0 if
 * there is none before "last".
 */
size_t nchat_utf8_sequence(const u_char *p, const u_char *last);

/*
 * The number of code points of valid UTF-8; in other text each wrong byte
 * counts as one.
 */
size_t nchat_utf8_len(const ngx_str_t *text);

/* 1 if the text is valid UTF-8 without U+0000. */
ngx_uint_t nchat_utf8_valid(const ngx_str_t *text);


#endif /* _NCHAT_JSON_H_INCLUDED_ */
