#include "nchat_mime.h"
#include "ngx_stubs.h"
#include "tap.h"


static const nchat_mime_t *
find(const char *type)
{
    ngx_str_t  text;

    text.data = (u_char *) type;
    text.len = strlen(type);

    return nchat_mime_find(&text);
}


/* The contract's lists, by category; limits in bytes. */

static void
test_types(void)
{
    size_t               i;
    const nchat_mime_t  *mime;

    static const struct {
        const char              *type;
        nchat_mime_category_e    category;
        off_t                    limit;
    } rows[] = {
        { "image/png", NCHAT_MIME_IMAGE, 10485760 },
        { "image/svg+xml", NCHAT_MIME_IMAGE, 10485760 },
        { "video/quicktime", NCHAT_MIME_VIDEO, 104857600 },
        { "audio/flac", NCHAT_MIME_AUDIO, 52428800 },
        { "application/pdf", NCHAT_MIME_DOCUMENT, 52428800 },
        { "text/csv", NCHAT_MIME_DOCUMENT, 52428800 },
        { "application/x-tar", NCHAT_MIME_ARCHIVE, 104857600 },
        { "text/x-cpp", NCHAT_MIME_CODE, 10485760 },
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        mime = find(rows[i].type);
        ok(mime && mime->category == rows[i].category
           && nchat_mime_categories[mime->category].limit == rows[i].limit,
           "%s", rows[i].type);
    }

    ok(find("IMAGE/Png") == find("image/png"), "case does not matter");
    ok(find("text/plain; charset=utf-8") == find("text/plain"),
       "parameters do not matter");
    ok(find("text/plain ;x") == find("text/plain"), "nor space before them");

    ok(find("application/x-msdownload") == NULL, "programs are refused");
    ok(find("") == NULL, "an empty type is refused");
    ok(find(";") == NULL, "parameters alone are refused");
    ok(find("image/pngx") == NULL && find("image/pn") == NULL,
       "types are compared whole");

    ok(find("image/png")->shown && find("text/plain")->shown,
       "images and plain text are shown in place");
    ok(!find("text/html")->shown && !find("image/svg+xml")->shown
       && !find("application/xml")->shown && !find("text/javascript")->shown
       && !find("text/xml")->shown && !find("application/javascript")->shown,
       "what a browser would run is not");
}


static ngx_uint_t
agrees(const char *type, ngx_str_t head)
{
    return nchat_mime_agrees(find(type), head.data, head.len);
}


static void
test_first_bytes(void)
{
    u_char     long_head[NCHAT_MIME_HEAD];
    ngx_str_t  head;

    ok(agrees("image/png", str("\x89PNG\r\n\x1a\n\0\0")), "a PNG");
    ok(!agrees("image/png", str("<!doctype html><script>")),
       "HTML is no PNG");
    ok(!agrees("image/png", str("GIF89a")), "a GIF is no PNG");
    ok(!agrees("image/png", str("\x89PN")), "a PNG that ends too early");
    ok(!agrees("image/png", str("")), "nothing is no PNG");
    ok(agrees("image/jpeg", str("\xff\xd8\xff\xe0")), "a JPEG");
    ok(agrees("image/gif", str("GIF87a.")), "an old GIF");
    ok(agrees("image/webp", str("RIFF\x1a\0\0\0WEBPVP8 ")), "a WebP");
    ok(!agrees("image/webp", str("RIFF\x1a\0\0\0WAVEfmt ")),
       "sound is no WebP");
    ok(!agrees("image/webp", str("<!--xxxxWEBPVP8 ")),
       "a WebP is a RIFF file");
    ok(agrees("image/bmp", str("BM\x46\0\0\0")), "a BMP");
    ok(agrees("image/tiff", str("II*\0")), "a TIFF, little-endian");
    ok(agrees("image/tiff", str("MM\0*")), "a TIFF, big-endian");

    ok(agrees("image/svg+xml", str("<svg xmlns='…'/>")), "an SVG");
    ok(agrees("image/svg+xml",
              str("\xef\xbb\xbf<?xml version='1.0'?>\n<svg/>")),
       "an SVG with a byte order mark and a declaration");
    ok(!agrees("image/svg+xml", str("<html><svg>")), "HTML is no SVG");
    ok(!agrees("image/svg+xml", str("hello <svg>")), "text is no SVG");
    ok(!agrees("image/svg+xml", str("<p>")), "other markup is no SVG");
    ok(!agrees("image/svg+xml", str("  ")), "space is no SVG");

    memset(long_head, ' ', sizeof(long_head));
    memcpy(long_head, "<!--", 4);
    head.data = long_head;
    head.len = sizeof(long_head);
    ok(agrees("image/svg+xml", head), "an SVG may begin with a long comment");

    ok(agrees("text/plain", str("\x89PNG")), "only images are looked into");
    ok(agrees("application/pdf", str("")), "of other types nothing is asked");
}


static void
extension_is(const char *name, const char *expected)
{
    u_char     text[10];
    ngx_str_t  src, got;

    src.data = (u_char *) name;
    src.len = strlen(name);

    got.data = text;
    got.len = nchat_mime_extension(text, &src);

    is_str(&got, expected, "the extension of \"%s\"", name);
}


static void
test_extensions(void)
{
    extension_is("photo.png", "png");
    extension_is("PHOTO.JPG", "jpg");
    extension_is("archive.tar.gz", "gz");
    extension_is("a.abcdefghij", "abcdefghij");
    extension_is("a.abcdefghijk", "");
    extension_is("none", "");
    extension_is("dot.", "");
    extension_is(".hidden", "");
    extension_is("a.p/ng", "");
    extension_is("..", "");
    extension_is("a.\xc3\xa4", "");
    extension_is("a.p g", "");
    extension_is("", "");
}


static void
disposition_is(ngx_str_t name, const char *expected)
{
    size_t      len;
    u_char     *text;
    ngx_str_t   got;

    /* exactly as much memory as is promised to be enough */

    len = NCHAT_MIME_DISPOSITION_MAX(name.len);
    text = malloc(len);

    got.data = text;
    got.len = nchat_mime_disposition(text, 1, &name) - text;

    is_str(&got, expected, "%s", expected);
    free(text);
}


static void
test_disposition(void)
{
    u_char     text[128], *p;
    ngx_str_t  name, got;

    name = str("a.png");
    got.data = text;
    p = nchat_mime_disposition(text, 0, &name);
    got.len = p - text;
    is_str(&got, "inline; filename=\"a.png\"; filename*=UTF-8''a.png",
           "a plain name");

    disposition_is(str("a b.txt"), "attachment; filename=\"a b.txt\"; "
                   "filename*=UTF-8''a%20b.txt");
    disposition_is(str("q\"\\.txt"), "attachment; filename=\"q__.txt\"; "
                   "filename*=UTF-8''q%22%5C.txt");
    disposition_is(str("\r\nSet-Cookie: x"), "attachment; "
                   "filename=\"__Set-Cookie: x\"; "
                   "filename*=UTF-8''%0D%0ASet-Cookie%3A%20x");
    disposition_is(str("../../etc"), "attachment; filename=\".._.._etc\"; "
                   "filename*=UTF-8''..%2F..%2Fetc");
    disposition_is(str("na\xc3\xafve.txt"), "attachment; "
                   "filename=\"na_ve.txt\"; filename*=UTF-8''na%C3%AFve.txt");
    disposition_is(str("gpj.\xe2\x80\xae.exe"), "attachment; "
                   "filename=\"gpj._.exe\"; "
                   "filename*=UTF-8''gpj.%E2%80%AE.exe");
    disposition_is(str("100%.txt"), "attachment; filename=\"100_.txt\"; "
                   "filename*=UTF-8''100%25.txt");
    disposition_is(str("\xff\xfe"), "attachment; filename=\"__\"; "
                   "filename*=UTF-8''%FF%FE");
    disposition_is(str(""), "attachment; filename=\"\"; filename*=UTF-8''");
}


int
main(void)
{
    test_types();
    test_first_bytes();
    test_extensions();
    test_disposition();

    return tap_done();
}
