/*
 * UUIDs (RFC 9562) as text.
 */


#ifndef _NCHAT_UUID_H_INCLUDED_
#define _NCHAT_UUID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NCHAT_UUID_LEN   36
#define NCHAT_UUID_SIZE  16


/*
 * Writes a new random UUID (version 4) as 36 lower-case characters, without
 * a NUL.  NGX_ERROR if there are no random bytes; event loop only.
 */
ngx_int_t nchat_uuid_v4(u_char out[NCHAT_UUID_LEN]);

/*
 * Reads the canonical form, 8-4-4-4-12 hexadecimal digits of any case and
 * any version.  "bin" may be NULL where only the form matters.
 * NGX_OK, or NGX_DECLINED with "bin" undefined.
 */
ngx_int_t nchat_uuid_parse(const ngx_str_t *text,
    u_char bin[NCHAT_UUID_SIZE]);

/*
 * Writes 16 bytes as 36 lower-case characters; returns the end.
 */
u_char *nchat_uuid_format(u_char *dst, const u_char bin[NCHAT_UUID_SIZE]);


#endif /* _NCHAT_UUID_H_INCLUDED_ */
