/*
 * Decoding of pages.  UTF-8 and windows-1252 are decoded here, the other
 * encodings of the WHATWG Encoding standard by iconv.  Only encodings from the
 * table below ever reach iconv_open(): the name comes from a stranger.
 */


#include "nchat_charset.h"
#include "nchat_json.h"


typedef struct {
    const char  *label;
    ngx_uint_t   mode;             /* NCHAT_CHARSET_* */
    const char  *name;             /* for iconv_open() */
} nchat_charset_label_t;


static nchat_charset_label_t *nchat_charset_lookup(u_char *p, size_t len);
static u_char *nchat_charset_decode_utf8(nchat_charset_t *cs, u_char **in,
    u_char *in_last, u_char *out, u_char *out_last);
static size_t nchat_charset_next(nchat_charset_t *cs, u_char *p,
    u_char *last);
static size_t nchat_charset_sequence(u_char *p, size_t len);
static u_char *nchat_charset_decode_iconv(nchat_charset_t *cs, u_char **in,
    u_char *in_last, u_char *out, u_char *out_last);
static size_t nchat_charset_convert(nchat_charset_t *cs, u_char *p,
    size_t len, u_char **out, u_char *out_last);
static u_char *nchat_charset_put(u_char *out, uint32_t c);
static void nchat_charset_cleanup(void *data);


#define NCHAT_CHARSET_REPLACEMENT  0xfffd
#define NCHAT_CHARSET_PARTIAL      ((size_t) -1)


static nchat_charset_label_t  nchat_charset_labels[] = {
    { "utf-8",             NCHAT_CHARSET_UTF8,   NULL },
    { "utf8",              NCHAT_CHARSET_UTF8,   NULL },
    { "866",               NCHAT_CHARSET_ICONV,  "CP866" },
    { "ansi_x3.4-1968",    NCHAT_CHARSET_CP1252, NULL },
    { "ascii",             NCHAT_CHARSET_CP1252, NULL },
    { "big5",              NCHAT_CHARSET_ICONV,  "BIG5-HKSCS" },
    { "big5-hkscs",        NCHAT_CHARSET_ICONV,  "BIG5-HKSCS" },
    { "cn-big5",           NCHAT_CHARSET_ICONV,  "BIG5-HKSCS" },
    { "cp1250",            NCHAT_CHARSET_ICONV,  "CP1250" },
    { "cp1251",            NCHAT_CHARSET_ICONV,  "CP1251" },
    { "cp1252",            NCHAT_CHARSET_CP1252, NULL },
    { "cp1253",            NCHAT_CHARSET_ICONV,  "CP1253" },
    { "cp1254",            NCHAT_CHARSET_ICONV,  "CP1254" },
    { "cp1255",            NCHAT_CHARSET_ICONV,  "CP1255" },
    { "cp1256",            NCHAT_CHARSET_ICONV,  "CP1256" },
    { "cp1257",            NCHAT_CHARSET_ICONV,  "CP1257" },
    { "cp1258",            NCHAT_CHARSET_ICONV,  "CP1258" },
    { "cp819",             NCHAT_CHARSET_CP1252, NULL },
    { "cp866",             NCHAT_CHARSET_ICONV,  "CP866" },
    { "csshiftjis",        NCHAT_CHARSET_ICONV,  "CP932" },
    { "dos-874",           NCHAT_CHARSET_ICONV,  "CP874" },
    { "euc-jp",            NCHAT_CHARSET_ICONV,  "EUC-JP" },
    { "euc-kr",            NCHAT_CHARSET_ICONV,  "UHC" },
    { "gb18030",           NCHAT_CHARSET_ICONV,  "GB18030" },
    { "gb2312",            NCHAT_CHARSET_ICONV,  "GB18030" },
    { "gb_2312-80",        NCHAT_CHARSET_ICONV,  "GB18030" },
    { "gbk",               NCHAT_CHARSET_ICONV,  "GB18030" },
    { "ibm866",            NCHAT_CHARSET_ICONV,  "CP866" },
    { "iso-2022-jp",       NCHAT_CHARSET_ICONV,  "ISO-2022-JP" },
    { "iso-8859-1",        NCHAT_CHARSET_CP1252, NULL },
    { "iso-8859-10",       NCHAT_CHARSET_ICONV,  "ISO-8859-10" },
    { "iso-8859-11",       NCHAT_CHARSET_ICONV,  "CP874" },
    { "iso-8859-13",       NCHAT_CHARSET_ICONV,  "ISO-8859-13" },
    { "iso-8859-14",       NCHAT_CHARSET_ICONV,  "ISO-8859-14" },
    { "iso-8859-15",       NCHAT_CHARSET_ICONV,  "ISO-8859-15" },
    { "iso-8859-16",       NCHAT_CHARSET_ICONV,  "ISO-8859-16" },
    { "iso-8859-2",        NCHAT_CHARSET_ICONV,  "ISO-8859-2" },
    { "iso-8859-3",        NCHAT_CHARSET_ICONV,  "ISO-8859-3" },
    { "iso-8859-4",        NCHAT_CHARSET_ICONV,  "ISO-8859-4" },
    { "iso-8859-5",        NCHAT_CHARSET_ICONV,  "ISO-8859-5" },
    { "iso-8859-6",        NCHAT_CHARSET_ICONV,  "ISO-8859-6" },
    { "iso-8859-7",        NCHAT_CHARSET_ICONV,  "ISO-8859-7" },
    { "iso-8859-8",        NCHAT_CHARSET_ICONV,  "ISO-8859-8" },
    { "iso-8859-8-i",      NCHAT_CHARSET_ICONV,  "ISO-8859-8" },
    { "iso-8859-9",        NCHAT_CHARSET_ICONV,  "CP1254" },
    { "iso8859-1",         NCHAT_CHARSET_CP1252, NULL },
    { "iso8859-15",        NCHAT_CHARSET_ICONV,  "ISO-8859-15" },
    { "iso8859-2",         NCHAT_CHARSET_ICONV,  "ISO-8859-2" },
    { "iso88591",          NCHAT_CHARSET_CP1252, NULL },
    { "iso_8859-1",        NCHAT_CHARSET_CP1252, NULL },
    { "koi",               NCHAT_CHARSET_ICONV,  "KOI8-R" },
    { "koi8",              NCHAT_CHARSET_ICONV,  "KOI8-R" },
    { "koi8-r",            NCHAT_CHARSET_ICONV,  "KOI8-R" },
    { "koi8-u",            NCHAT_CHARSET_ICONV,  "KOI8-U" },
    { "korean",            NCHAT_CHARSET_ICONV,  "UHC" },
    { "ks_c_5601-1987",    NCHAT_CHARSET_ICONV,  "UHC" },
    { "l1",                NCHAT_CHARSET_CP1252, NULL },
    { "latin1",            NCHAT_CHARSET_CP1252, NULL },
    { "latin2",            NCHAT_CHARSET_ICONV,  "ISO-8859-2" },
    { "latin5",            NCHAT_CHARSET_ICONV,  "CP1254" },
    { "latin9",            NCHAT_CHARSET_ICONV,  "ISO-8859-15" },
    { "mac",               NCHAT_CHARSET_ICONV,  "MACINTOSH" },
    { "macintosh",         NCHAT_CHARSET_ICONV,  "MACINTOSH" },
    { "ms932",             NCHAT_CHARSET_ICONV,  "CP932" },
    { "ms_kanji",          NCHAT_CHARSET_ICONV,  "CP932" },
    { "shift-jis",         NCHAT_CHARSET_ICONV,  "CP932" },
    { "shift_jis",         NCHAT_CHARSET_ICONV,  "CP932" },
    { "sjis",              NCHAT_CHARSET_ICONV,  "CP932" },
    { "tis-620",           NCHAT_CHARSET_ICONV,  "CP874" },
    { "us-ascii",          NCHAT_CHARSET_CP1252, NULL },
    { "utf-16",            NCHAT_CHARSET_ICONV,  "UTF-16LE" },
    { "utf-16be",          NCHAT_CHARSET_ICONV,  "UTF-16BE" },
    { "utf-16le",          NCHAT_CHARSET_ICONV,  "UTF-16LE" },
    { "windows-1250",      NCHAT_CHARSET_ICONV,  "CP1250" },
    { "windows-1251",      NCHAT_CHARSET_ICONV,  "CP1251" },
    { "windows-1252",      NCHAT_CHARSET_CP1252, NULL },
    { "windows-1253",      NCHAT_CHARSET_ICONV,  "CP1253" },
    { "windows-1254",      NCHAT_CHARSET_ICONV,  "CP1254" },
    { "windows-1255",      NCHAT_CHARSET_ICONV,  "CP1255" },
    { "windows-1256",      NCHAT_CHARSET_ICONV,  "CP1256" },
    { "windows-1257",      NCHAT_CHARSET_ICONV,  "CP1257" },
    { "windows-1258",      NCHAT_CHARSET_ICONV,  "CP1258" },
    { "windows-31j",       NCHAT_CHARSET_ICONV,  "CP932" },
    { "windows-874",       NCHAT_CHARSET_ICONV,  "CP874" },
    { "windows-949",       NCHAT_CHARSET_ICONV,  "UHC" },
    { "x-cp1250",          NCHAT_CHARSET_ICONV,  "CP1250" },
    { "x-cp1251",          NCHAT_CHARSET_ICONV,  "CP1251" },
    { "x-cp1252",          NCHAT_CHARSET_CP1252, NULL },
    { "x-euc-jp",          NCHAT_CHARSET_ICONV,  "EUC-JP" },
    { "x-gbk",             NCHAT_CHARSET_ICONV,  "GB18030" },
    { "x-mac-roman",       NCHAT_CHARSET_ICONV,  "MACINTOSH" },
    { "x-sjis",            NCHAT_CHARSET_ICONV,  "CP932" }
};


/* what windows-1252 has at 0x80 to 0x9f (WHATWG index) */

static uint16_t  nchat_charset_cp1252[] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
    0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008d, 0x017d, 0x008f,
    0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178
};


ngx_int_t
nchat_charset_find(u_char *p, size_t len, ngx_str_t *label)
{
    u_char  *last, quote;

    last = p + len;

    for ( ;; ) {
        if (last - p < 8) {
            return NGX_DECLINED;
        }

        if (ngx_strncasecmp(p, (u_char *) "charset", 7) != 0) {
            p++;
            continue;
        }

        p += 7;

        while (p < last && (*p == ' ' || (*p >= '\t' && *p <= '\r'))) {
            p++;
        }

        if (p < last && *p == '=') {
            p++;
            break;
        }
    }

    while (p < last && (*p == ' ' || (*p >= '\t' && *p <= '\r'))) {
        p++;
    }

    quote = 0;

    if (p < last && (*p == '"' || *p == '\'')) {
        quote = *p++;
    }

    label->data = p;

    while (p < last && *p != quote
           && (quote || (*p > ' ' && *p != ';' && *p != '"' && *p != '>')))
    {
        p++;
    }

    label->len = p - label->data;

    return label->len ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
nchat_charset_init(nchat_charset_t *cs, ngx_pool_t *pool, ngx_str_t *label)
{
    size_t                  len;
    u_char                 *p;
    ngx_pool_cleanup_t     *cln;
    nchat_charset_label_t  *cl;

    ngx_memzero(cs, sizeof(nchat_charset_t));
    cs->mode = NCHAT_CHARSET_GUESS;

    p = label->data;
    len = label->len;

    while (len && *p <= ' ') {
        p++;
        len--;
    }

    while (len && p[len - 1] <= ' ') {
        len--;
    }

    if (len == 0) {
        return NGX_OK;
    }

    cl = nchat_charset_lookup(p, len);

    if (cl == NULL) {
        return NGX_DECLINED;
    }

    if (cl->mode != NCHAT_CHARSET_ICONV) {
        cs->mode = cl->mode;
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cs->cd = iconv_open("UTF-8", cl->name);

    if (cs->cd == (iconv_t) -1) {
        return NGX_DECLINED;
    }

    cs->mode = NCHAT_CHARSET_ICONV;

    cln->handler = nchat_charset_cleanup;
    cln->data = cs;

    return NGX_OK;
}


static nchat_charset_label_t *
nchat_charset_lookup(u_char *p, size_t len)
{
    ngx_uint_t              i, n;
    nchat_charset_label_t  *cl;

    cl = nchat_charset_labels;
    n = sizeof(nchat_charset_labels) / sizeof(nchat_charset_label_t);

    for (i = 0; i < n; i++) {
        if (ngx_strlen(cl[i].label) == len
            && ngx_strncasecmp(p, (u_char *) cl[i].label, len) == 0)
        {
            return &cl[i];
        }
    }

    return NULL;
}


u_char *
nchat_charset_decode(nchat_charset_t *cs, u_char **in, u_char *in_last,
    u_char *out, u_char *out_last)
{
    u_char  *p, *last, *dst;

    if (cs->mode == NCHAT_CHARSET_ICONV) {
        last = nchat_charset_decode_iconv(cs, in, in_last, out, out_last);

    } else {
        last = nchat_charset_decode_utf8(cs, in, in_last, out, out_last);
    }

    dst = out;

    for (p = out; p < last; p++) {
        if (*p >= ' ') {
            *dst++ = *p;

        } else if (*p == '\t' || *p == '\n' || *p == '\f' || *p == '\r') {
            *dst++ = *p;

        } else if (*p != '\0') {
            *dst++ = ' ';
        }
    }

    return dst;
}


static u_char *
nchat_charset_decode_utf8(nchat_charset_t *cs, u_char **in, u_char *in_last,
    u_char *out, u_char *out_last)
{
    u_char  *p, c;
    size_t   n;

    p = *in;

    while (p < in_last && out_last - out >= 4) {

        c = cs->ncarry ? cs->carry[0] : *p;

        if (c < 0x80) {
            *out++ = c;
            p++;
            continue;
        }

        n = nchat_charset_next(cs, p, in_last);

        if (n == NCHAT_CHARSET_PARTIAL) {
            p = in_last;
            break;
        }

        if (n) {
            out = ngx_cpymem(out, cs->carry, n);
            p += n - cs->ncarry;
            cs->ncarry = 0;
            continue;
        }

        /* the byte stands for itself, those behind it are looked at again */

        if (cs->ncarry) {
            cs->ncarry--;
            ngx_memmove(cs->carry, cs->carry + 1, cs->ncarry);

        } else {
            p++;
        }

        if (cs->mode == NCHAT_CHARSET_UTF8) {
            out = nchat_charset_put(out, NCHAT_CHARSET_REPLACEMENT);

        } else {
            out = nchat_charset_put(out, c < 0xa0
                                         ? nchat_charset_cp1252[c - 0x80] : c);
        }
    }

    *in = p;

    return out;
}


/*
 * Puts the carried bytes and input behind them together in "carry", without
 * taking the input yet, and returns the length of the sequence there.  A
 * partial one has taken all there is.
 */

static size_t
nchat_charset_next(nchat_charset_t *cs, u_char *p, u_char *last)
{
    size_t  n, len;

    if (cs->mode == NCHAT_CHARSET_CP1252) {
        return 0;
    }

    len = cs->ncarry;

    while (len < 4 && p < last) {
        cs->carry[len++] = *p++;
    }

    n = nchat_charset_sequence(cs->carry, len);

    if (n == NCHAT_CHARSET_PARTIAL) {
        cs->ncarry = len;
    }

    return n;
}


/*
 * The length of the UTF-8 sequence at p, zero if it is none, and
 * NCHAT_CHARSET_PARTIAL if it is the beginning of one.
 */

static size_t
nchat_charset_sequence(u_char *p, size_t len)
{
    size_t      n;
    u_char      full[4];
    ngx_uint_t  i;

    n = nchat_utf8_sequence(p, p + len);

    if (n || len >= 4) {
        return n;
    }

    /* after each first byte the second may be 0x80 or 0xa0 */

    for (i = 0; i < 2; i++) {
        ngx_memset(full, 0x80, 4);

        if (len == 1 && i == 1) {
            full[1] = 0xa0;
        }

        ngx_memcpy(full, p, len);

        if (nchat_utf8_sequence(full, full + 4) > len) {
            return NCHAT_CHARSET_PARTIAL;
        }
    }

    return 0;
}


static u_char *
nchat_charset_decode_iconv(nchat_charset_t *cs, u_char **in, u_char *in_last,
    u_char *out, u_char *out_last)
{
    u_char  *p;
    size_t   n, len;

    p = *in;

    while (p < in_last && out_last - out >= 16) {

        if (cs->ncarry == 0) {
            n = nchat_charset_convert(cs, p, in_last - p, &out, out_last);
            p += n;

            if (n == 0) {
                len = in_last - p;

                /* an incomplete sequence is short */

                if (len >= NCHAT_CHARSET_CARRY) {
                    break;
                }

                ngx_memcpy(cs->carry, p, len);
                cs->ncarry = len;
                p = in_last;
            }

            continue;
        }

        /* some input behind the carried bytes, not taken yet */

        len = ngx_min(NCHAT_CHARSET_CARRY - cs->ncarry,
                      (size_t) (in_last - p));

        ngx_memcpy(cs->carry + cs->ncarry, p, len);
        len += cs->ncarry;

        n = nchat_charset_convert(cs, cs->carry, len, &out, out_last);

        if (n >= cs->ncarry) {
            p += n - cs->ncarry;
            cs->ncarry = 0;

        } else if (n) {
            cs->ncarry -= n;
            ngx_memmove(cs->carry, cs->carry + n, cs->ncarry);

        } else if (len < NCHAT_CHARSET_CARRY) {
            cs->ncarry = len;
            p = in_last;

        } else {
            cs->ncarry = 0;
        }
    }

    *in = p;

    return out;
}


/* the number of bytes taken; zero: all of them are an incomplete sequence */

static size_t
nchat_charset_convert(nchat_charset_t *cs, u_char *p, size_t len,
    u_char **out, u_char *out_last)
{
    char    *src, *dst;
    size_t   n, src_len, dst_len;

    src = (char *) p;
    src_len = len;

    /* room for a replacement character stays */

    dst = (char *) *out;
    dst_len = out_last - *out - 4;

    n = iconv(cs->cd, &src, &src_len, &dst, &dst_len);

    *out = (u_char *) dst;

    if (n == (size_t) -1 && ngx_errno == EILSEQ) {
        *out = nchat_charset_put(*out, NCHAT_CHARSET_REPLACEMENT);
        src++;
    }

    return (u_char *) src - p;
}


static u_char *
nchat_charset_put(u_char *out, uint32_t c)
{
    if (c < 0x800) {
        *out++ = (u_char) (0xc0 | c >> 6);

    } else {
        *out++ = (u_char) (0xe0 | c >> 12);
        *out++ = (u_char) (0x80 | (c >> 6 & 0x3f));
    }

    *out++ = (u_char) (0x80 | (c & 0x3f));

    return out;
}


static void
nchat_charset_cleanup(void *data)
{
    nchat_charset_t  *cs = data;

    (void) iconv_close(cs->cd);
}
