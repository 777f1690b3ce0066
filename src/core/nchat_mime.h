/*
 * The types of files that may be uploaded, how large they may be, and how they
 * may be shown (contract, "Uploads").
 */


#ifndef _NCHAT_MIME_H_INCLUDED_
#define _NCHAT_MIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NCHAT_MIME_IMAGE = 0,
    NCHAT_MIME_VIDEO,
    NCHAT_MIME_AUDIO,
    NCHAT_MIME_DOCUMENT,
    NCHAT_MIME_ARCHIVE,
    NCHAT_MIME_CODE,
    NCHAT_MIME_CATEGORIES
} nchat_mime_category_e;


typedef struct {
    ngx_str_t              type;       /* in lower case, without parameters */
    nchat_mime_category_e  category;
    unsigned               shown:1;    /* a browser may show it in place */
    unsigned               text:1;     /* sent with charset=utf-8 */
} nchat_mime_t;


typedef struct {
    ngx_str_t              name;       /* "image" */
    ngx_str_t              group;      /* "images" */
    ngx_str_t              label;      /* "10 MB" */
    off_t                  limit;      /* bytes */
} nchat_mime_category_t;


/* By nchat_mime_category_e. */
extern const nchat_mime_category_t  nchat_mime_categories[];


/* Enough of a file's beginning for nchat_mime_agrees. */
#define NCHAT_MIME_HEAD  1024


/*
 * The row of a media type, of any case, with or without parameters ("; …").
 * NULL if it may not be uploaded.
 */
const nchat_mime_t *nchat_mime_find(const ngx_str_t *type);

/*
 * Whether a file that begins with these bytes may be of that type: 0 if the
 * bytes contradict it.  Images only; everything else agrees.  "len" is less
 * than NCHAT_MIME_HEAD only if the file is.
 */
ngx_uint_t nchat_mime_agrees(const nchat_mime_t *mime, const u_char *head,
    size_t len);

/*
 * The extension that a file's key gets: the part of the name behind its last
 * dot, in lower case, if it is [a-z0-9]{1,10} and something stands before the
 * dot.  Writes to "dst" (10 bytes) and returns its length, or 0.
 */
size_t nchat_mime_extension(u_char dst[10], const ngx_str_t *filename);

/*
 * A Content-Disposition (RFC 6266) with the name in both forms, the second by
 * RFC 8187, whatever bytes the name holds.  dst has room for
 * NCHAT_MIME_DISPOSITION_MAX(filename->len); returns the end.
 */
#define NCHAT_MIME_DISPOSITION_MAX(len)                                       \
    (sizeof("attachment; filename=\"\"; filename*=UTF-8''") + 4 * (len))

u_char *nchat_mime_disposition(u_char *dst, ngx_uint_t attachment,
    const ngx_str_t *filename);


#endif /* _NCHAT_MIME_H_INCLUDED_ */
