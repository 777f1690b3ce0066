/*
 * Random bytes, digests and comparison of secrets, over OpenSSL 3.
 *
 * The digest functions keep one context per thread, so they may be called on
 * the event loop and on pool threads alike; nchat_random() belongs to the
 * event loop alone.
 */


#ifndef _NCHAT_CRYPTO_H_INCLUDED_
#define _NCHAT_CRYPTO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NCHAT_SHA256_LEN  32
#define NCHAT_SHA1_LEN    20


/*
 * Fills "buf" with "len" bytes of a cryptographically secure generator.
 * Small requests are served from a 4 KiB stock of this process, which is
 * never used on both sides of a fork and is wiped as it is used.
 * NGX_OK, or NGX_ERROR when OpenSSL has no entropy: "buf" is then zeroed and
 * the caller must give up.
 */
ngx_int_t nchat_random(u_char *buf, size_t len);

/*
 * SHA-256 of "len" bytes.  NGX_ERROR (no memory, no provider) leaves "out"
 * zeroed.
 */
ngx_int_t nchat_sha256(u_char out[NCHAT_SHA256_LEN], const void *data,
    size_t len);

/*
 * HMAC (RFC 2104).  A key of any length, also empty.  NGX_ERROR leaves "out"
 * zeroed; compare results with nchat_equal() only.
 */
ngx_int_t nchat_hmac_sha256(u_char out[NCHAT_SHA256_LEN],
    const ngx_str_t *key, const ngx_str_t *data);
ngx_int_t nchat_hmac_sha1(u_char out[NCHAT_SHA1_LEN], const ngx_str_t *key,
    const ngx_str_t *data);

/*
 * 1 if the "len" bytes are the same, in a time that depends on "len" only.
 */
ngx_uint_t nchat_equal(const u_char *a, const u_char *b, size_t len);

/*
 * Lower-case hexadecimal text of "len" bytes: 2 * len characters, no NUL.
 * Returns the end of what was written.
 */
u_char *nchat_hex_encode(u_char *dst, const u_char *src, size_t len);

/*
 * Decodes hexadecimal text of either case into "dst", which takes exactly
 * "len" bytes.  NGX_DECLINED if the text is not 2 * len hexadecimal digits;
 * "dst" is then undefined.
 */
ngx_int_t nchat_hex_decode(u_char *dst, size_t len, const ngx_str_t *text);

/*
 * Overwrites memory so that the compiler cannot leave it out.
 */
void nchat_wipe(void *data, size_t len);


#endif /* _NCHAT_CRYPTO_H_INCLUDED_ */
