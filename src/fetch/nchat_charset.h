/*
 * From the character encodings of the web to UTF-8, in steps of any size.
 */


#ifndef _NCHAT_CHARSET_H_INCLUDED_
#define _NCHAT_CHARSET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <iconv.h>


#define NCHAT_CHARSET_GUESS   0    /* UTF-8, stray bytes are windows-1252 */
#define NCHAT_CHARSET_UTF8    1
#define NCHAT_CHARSET_CP1252  2
#define NCHAT_CHARSET_ICONV   3

/* an incomplete sequence at the end of a chunk; 4 bytes are the longest */
#define NCHAT_CHARSET_CARRY   8


typedef struct {
    ngx_uint_t   mode;             /* NCHAT_CHARSET_* */
    iconv_t      cd;               /* NCHAT_CHARSET_ICONV */
    size_t       ncarry;
    u_char       carry[NCHAT_CHARSET_CARRY];
} nchat_charset_t;


/*
 * Finds the value of a "charset=" in a Content-Type header or in the content
 * of a <meta>, as the HTML standard's "extracting a character encoding from a
 * meta element" does.  NGX_OK: *label points into the text.  NGX_DECLINED:
 * there is none.
 */
ngx_int_t nchat_charset_find(u_char *p, size_t len, ngx_str_t *label);

/*
 * Prepares *cs for the encoding with this label, by the labels of the WHATWG
 * Encoding standard; an empty label means NCHAT_CHARSET_GUESS.  Descriptors of
 * iconv close with "pool".  NGX_OK; NGX_DECLINED: no such encoding here, *cs
 * guesses; NGX_ERROR: no memory.
 */
ngx_int_t nchat_charset_init(nchat_charset_t *cs, ngx_pool_t *pool,
    ngx_str_t *label);

/*
 * Decodes from *in up to "in_last" into "out", as far as "out_last" allows
 * (at least 16 bytes), moves *in behind what was read, and returns the end of
 * what was written.  The result is valid UTF-8 without zero bytes; controls
 * but tab, LF, FF and CR become spaces; what cannot be decoded becomes U+FFFD.
 * It is a fixed amount of work for each byte.  An incomplete sequence at the
 * end of the input is kept for the next call.
 */
u_char *nchat_charset_decode(nchat_charset_t *cs, u_char **in,
    u_char *in_last, u_char *out, u_char *out_last);


#endif /* _NCHAT_CHARSET_H_INCLUDED_ */
