#include "nchat_mime.h"
#include "nchat_json.h"


#define NCHAT_MIME_MB  (1024 * 1024)


typedef struct {
    ngx_str_t    type;
    size_t       offset;
    ngx_str_t    bytes;
} nchat_mime_magic_t;


static ngx_uint_t nchat_mime_is_svg(const u_char *head, size_t len);


const nchat_mime_category_t  nchat_mime_categories[] = {
    { ngx_string("image"), ngx_string("images"), ngx_string("10 MB"),
      10 * NCHAT_MIME_MB },
    { ngx_string("video"), ngx_string("videos"), ngx_string("100 MB"),
      100 * NCHAT_MIME_MB },
    { ngx_string("audio"), ngx_string("audio"), ngx_string("50 MB"),
      50 * NCHAT_MIME_MB },
    { ngx_string("document"), ngx_string("documents"), ngx_string("50 MB"),
      50 * NCHAT_MIME_MB },
    { ngx_string("archive"), ngx_string("archives"), ngx_string("100 MB"),
      100 * NCHAT_MIME_MB },
    { ngx_string("code"), ngx_string("code"), ngx_string("10 MB"),
      10 * NCHAT_MIME_MB }
};


/*
 * Shown in place is what a browser renders without running it.  Not Markdown
 * and CSV, for which browsers have no view, nor office documents.
 */

#define shown(type, category)   { ngx_string(type), category, 1, 0 }
#define saved(type, category)   { ngx_string(type), category, 0, 0 }
#define text(type, category, shown)                                           \
    { ngx_string(type), category, shown, 1 }

static const nchat_mime_t  nchat_mime_types[] = {
    shown("image/jpeg", NCHAT_MIME_IMAGE),
    shown("image/png", NCHAT_MIME_IMAGE),
    shown("image/gif", NCHAT_MIME_IMAGE),
    shown("image/webp", NCHAT_MIME_IMAGE),
    saved("image/svg+xml", NCHAT_MIME_IMAGE),
    shown("image/bmp", NCHAT_MIME_IMAGE),
    shown("image/tiff", NCHAT_MIME_IMAGE),

    shown("video/mp4", NCHAT_MIME_VIDEO),
    shown("video/webm", NCHAT_MIME_VIDEO),
    shown("video/ogg", NCHAT_MIME_VIDEO),
    shown("video/quicktime", NCHAT_MIME_VIDEO),
    shown("video/x-msvideo", NCHAT_MIME_VIDEO),

    shown("audio/mpeg", NCHAT_MIME_AUDIO),
    shown("audio/wav", NCHAT_MIME_AUDIO),
    shown("audio/ogg", NCHAT_MIME_AUDIO),
    shown("audio/webm", NCHAT_MIME_AUDIO),
    shown("audio/aac", NCHAT_MIME_AUDIO),
    shown("audio/flac", NCHAT_MIME_AUDIO),

    shown("application/pdf", NCHAT_MIME_DOCUMENT),
    saved("application/msword", NCHAT_MIME_DOCUMENT),
    saved("application/vnd.openxmlformats-officedocument.wordprocessingml"
          ".document", NCHAT_MIME_DOCUMENT),
    saved("application/vnd.ms-excel", NCHAT_MIME_DOCUMENT),
    saved("application/vnd.openxmlformats-officedocument.spreadsheetml"
          ".sheet", NCHAT_MIME_DOCUMENT),
    saved("application/vnd.ms-powerpoint", NCHAT_MIME_DOCUMENT),
    saved("application/vnd.openxmlformats-officedocument.presentationml"
          ".presentation", NCHAT_MIME_DOCUMENT),
    text("text/plain", NCHAT_MIME_DOCUMENT, 1),
    text("text/markdown", NCHAT_MIME_DOCUMENT, 0),
    text("text/csv", NCHAT_MIME_DOCUMENT, 0),

    saved("application/zip", NCHAT_MIME_ARCHIVE),
    saved("application/x-rar-compressed", NCHAT_MIME_ARCHIVE),
    saved("application/x-7z-compressed", NCHAT_MIME_ARCHIVE),
    saved("application/gzip", NCHAT_MIME_ARCHIVE),
    saved("application/x-tar", NCHAT_MIME_ARCHIVE),

    text("text/javascript", NCHAT_MIME_CODE, 0),
    text("application/javascript", NCHAT_MIME_CODE, 0),
    text("text/typescript", NCHAT_MIME_CODE, 0),
    saved("application/json", NCHAT_MIME_CODE),
    text("text/html", NCHAT_MIME_CODE, 0),
    text("text/css", NCHAT_MIME_CODE, 0),
    text("text/xml", NCHAT_MIME_CODE, 0),
    saved("application/xml", NCHAT_MIME_CODE),
    text("text/x-python", NCHAT_MIME_CODE, 0),
    text("text/x-java", NCHAT_MIME_CODE, 0),
    text("text/x-c", NCHAT_MIME_CODE, 0),
    text("text/x-cpp", NCHAT_MIME_CODE, 0)
};

#define NCHAT_MIME_TYPES                                                      \
    (sizeof(nchat_mime_types) / sizeof(nchat_mime_types[0]))


/*
 * What each kind of image begins with (WHATWG MIME Sniffing, section 6.1; for
 * TIFF, Adobe's TIFF 6.0 and BigTIFF).  One of a type's rows must match.
 */

static const nchat_mime_magic_t  nchat_mime_magic[] = {
    { ngx_string("image/jpeg"), 0, ngx_string("\xff\xd8\xff") },
    { ngx_string("image/png"), 0, ngx_string("\x89PNG\r\n\x1a\n") },
    { ngx_string("image/gif"), 0, ngx_string("GIF87a") },
    { ngx_string("image/gif"), 0, ngx_string("GIF89a") },
    { ngx_string("image/webp"), 8, ngx_string("WEBPVP8") },
    { ngx_string("image/bmp"), 0, ngx_string("BM") },
    { ngx_string("image/tiff"), 0, ngx_string("II*\0") },
    { ngx_string("image/tiff"), 0, ngx_string("MM\0*") },
    { ngx_string("image/tiff"), 0, ngx_string("II+\0") },
    { ngx_string("image/tiff"), 0, ngx_string("MM\0+") },
};

#define NCHAT_MIME_MAGIC                                                      \
    (sizeof(nchat_mime_magic) / sizeof(nchat_mime_magic[0]))


const nchat_mime_t *
nchat_mime_find(const ngx_str_t *type)
{
    size_t               len;
    ngx_uint_t           i;
    const nchat_mime_t  *mime;

    for (len = 0; len < type->len && type->data[len] != ';'; len++) {
        /* void */
    }

    while (len && (type->data[len - 1] == ' ' || type->data[len - 1] == '\t'))
    {
        len--;
    }

    for (i = 0; i < NCHAT_MIME_TYPES; i++) {
        mime = &nchat_mime_types[i];

        if (mime->type.len == len
            && ngx_strncasecmp(mime->type.data, type->data, len) == 0)
        {
            return mime;
        }
    }

    return NULL;
}


ngx_uint_t
nchat_mime_agrees(const nchat_mime_t *mime, const u_char *head, size_t len)
{
    ngx_uint_t                 i;
    const nchat_mime_magic_t  *m;

    if (mime->category != NCHAT_MIME_IMAGE) {
        return 1;
    }

    if (mime->type.len == sizeof("image/svg+xml") - 1) {
        return nchat_mime_is_svg(head, len);
    }

    for (i = 0; i < NCHAT_MIME_MAGIC; i++) {
        m = &nchat_mime_magic[i];

        if (m->type.len == mime->type.len
            && ngx_memcmp(m->type.data, mime->type.data, m->type.len) == 0
            && m->offset + m->bytes.len <= len
            && ngx_memcmp(head + m->offset, m->bytes.data, m->bytes.len) == 0)
        {
            return m->offset == 0 || ngx_memcmp(head, "RIFF", 4) == 0;
        }
    }

    return 0;
}


/*
 * Text that begins with markup and, unless it goes on for longer than what is
 * looked at, has an <svg> element.
 */

static ngx_uint_t
nchat_mime_is_svg(const u_char *head, size_t len)
{
    size_t  i, start;

    i = (len >= 3 && ngx_memcmp(head, "\xef\xbb\xbf", 3) == 0) ? 3 : 0;

    while (i < len && (head[i] == ' ' || head[i] == '\t' || head[i] == '\r'
                       || head[i] == '\n'))
    {
        i++;
    }

    if (i == len || head[i] != '<') {
        return 0;
    }

    for (start = i; i < len; i++) {

        if (head[i] == '\0') {
            return 0;
        }

        if (head[i] != '<') {
            continue;
        }

        if (len - i >= 5
            && ngx_strncasecmp((u_char *) head + i, (u_char *) "<html", 5)
               == 0)
        {
            return 0;
        }

        if (len - i >= 4 && ngx_memcmp(head + i, "<svg", 4) == 0) {
            return 1;
        }
    }

    /* an introduction of comments and declarations, or something else */

    return len >= NCHAT_MIME_HEAD && start + 1 < len
           && (head[start + 1] == '?' || head[start + 1] == '!');
}


size_t
nchat_mime_extension(u_char dst[10], const ngx_str_t *filename)
{
    u_char  ch;
    size_t  i, n;

    for (i = filename->len; i > 0 && filename->data[i - 1] != '.'; i--) {
        /* void */
    }

    n = filename->len - i;

    if (i < 2 || n == 0 || n > 10) {
        return 0;
    }

    for (n = 0; i < filename->len; i++) {
        ch = ngx_tolower(filename->data[i]);

        if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9'))) {
            return 0;
        }

        dst[n++] = ch;
    }

    return n;
}


u_char *
nchat_mime_disposition(u_char *dst, ngx_uint_t attachment,
    const ngx_str_t *filename)
{
    u_char        ch;
    size_t        i, n;

    static const u_char  hex[] = "0123456789ABCDEF";

    dst = ngx_sprintf(dst, "%s; filename=\"",
                      attachment ? "attachment" : "inline");

    /*
     * The form for old clients: one underscore for each character that
     * RFC 6266, appendix D, advises against.
     */

    for (i = 0; i < filename->len; i += n) {
        ch = filename->data[i];
        n = nchat_utf8_sequence(filename->data + i,
                                filename->data + filename->len);
        n = ngx_max(n, 1);

        *dst++ = (ch < ' ' || ch > '~' || ch == '"' || ch == '\\'
                  || ch == '/' || ch == '%')
                 ? '_' : ch;
    }

    dst = ngx_sprintf(dst, "\"; filename*=UTF-8''");

    for (i = 0; i < filename->len; i++) {
        ch = filename->data[i];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9')
            || ch == '-' || ch == '.' || ch == '_' || ch == '~' || ch == '!'
            || ch == '#' || ch == '$' || ch == '&' || ch == '+' || ch == '^'
            || ch == '`' || ch == '|')
        {
            *dst++ = ch;
            continue;
        }

        *dst++ = '%';
        *dst++ = hex[ch >> 4];
        *dst++ = hex[ch & 0xf];
    }

    return dst;
}
