/*
 * The SVG check: a scan of the text, then libxml2's push parser with the
 * allow-lists in its SAX callbacks; no tree is built.
 */


#include "nchat_svg_int.h"
#include "nchat_json.h"
#include "nchat_text.h"
#include <libxml/parser.h>
#include <libxml/SAX2.h>


#define NCHAT_SVG_NS     "http://www.w3.org/2000/svg"
#define NCHAT_XLINK_NS   "http://www.w3.org/1999/xlink"
#define NCHAT_XML_NS     "http://www.w3.org/XML/1998/namespace"

#define NCHAT_SVG_CHUNK  4096
#define NCHAT_SVG_DEPTH  100

/* characters of a reason */
#define NCHAT_SVG_REASON_MAX  200

/* bytes of a name in it */
#define NCHAT_SVG_SHOWN_MAX   40


typedef struct {
    ngx_pool_t          *pool;
    nchat_svg_error_t   *err;
    xmlParserCtxtPtr     parser;
    ngx_uint_t           depth;
    ngx_uint_t           style;      /* depth of an open <style> */
    ngx_str_t            css;        /* its text so far */
    size_t               size;       /* room for any text */

    unsigned             refused:1;
    unsigned             failed:1;   /* no memory */
} nchat_svg_t;


static ngx_int_t nchat_svg_parse(nchat_svg_t *ctx, ngx_str_t *svg);
static void nchat_svg_start(void *data, const xmlChar *name,
    const xmlChar *prefix, const xmlChar *uri, int nb_namespaces,
    const xmlChar **namespaces, int nb_attributes, int nb_defaulted,
    const xmlChar **attributes);
static void nchat_svg_end(void *data, const xmlChar *name,
    const xmlChar *prefix, const xmlChar *uri);
static void nchat_svg_attribute(nchat_svg_t *ctx, const char *element,
    const xmlChar **attribute);
static void nchat_svg_plain_attribute(nchat_svg_t *ctx, const char *element,
    const char *name, u_char *p, u_char *last);
static void nchat_svg_characters(void *data, const xmlChar *p, int len);
static void nchat_svg_subset(void *data, const xmlChar *name,
    const xmlChar *external, const xmlChar *system);
static void nchat_svg_instruction(void *data, const xmlChar *target,
    const xmlChar *text);
static void nchat_svg_error(void *data, xmlErrorPtr error);
static void nchat_svg_refuse(nchat_svg_t *ctx, const char *what,
    const char *name, const char *why);
static void nchat_svg_reason(nchat_svg_t *ctx, ngx_str_t *text);
static void nchat_svg_cleanup(void *data);


ngx_int_t
nchat_svg_check(ngx_pool_t *pool, ngx_str_t *svg, nchat_svg_error_t *err)
{
    ngx_int_t     rc;
    ngx_str_t     text;
    nchat_svg_t  *ctx;
    const char   *why;

    ngx_memzero(err, sizeof(nchat_svg_error_t));
    err->line = 1;

    why = NULL;

    if (svg->len == 0) {
        why = "the image is empty";

    } else if (svg->len > NCHAT_SVG_MAX) {
        why = "the image is larger than 256 KiB";

    } else if (!nchat_utf8_valid(svg)) {

        /* also keeps libxml2 from guessing another encoding */

        why = "the image is not UTF-8";

    } else {
        why = nchat_svg_scan(svg->data, svg->data + svg->len, &err->line);
    }

    if (why) {
        err->reason.data = (u_char *) why;
        err->reason.len = ngx_strlen(why);
        return NGX_DECLINED;
    }

    ctx = ngx_pcalloc(pool, sizeof(nchat_svg_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->pool = pool;
    ctx->err = err;
    ctx->size = svg->len;

    rc = nchat_svg_parse(ctx, svg);

    if (rc != NGX_OK || ctx->failed) {
        return NGX_ERROR;
    }

    if (!ctx->refused && !ctx->parser->wellFormed) {
        ngx_str_set(&text, "not well-formed");
        nchat_svg_reason(ctx, &text);
    }

    return ctx->failed ? NGX_ERROR : ctx->refused ? NGX_DECLINED : NGX_OK;
}


ngx_int_t
nchat_svg_name(ngx_pool_t *pool, ngx_str_t *filename, ngx_str_t *name)
{
    size_t   i;
    u_char  *p, c;

    p = ngx_pnalloc(pool, filename->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name->data = p;

    for (i = 0; i < filename->len; i++) {
        c = filename->data[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
            || (c >= 'A' && c <= 'Z') || c == '.' || c == '-')
        {
            *p++ = c;
        }
    }

    name->len = p - name->data;

    if (name->len < sizeof("a.svg") - 1 || name->len > NCHAT_SVG_NAME_MAX
        || name->data[0] == '.' || ngx_memcmp(p - 4, ".svg", 4) != 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
nchat_svg_parse(nchat_svg_t *ctx, ngx_str_t *svg)
{
    int                  rc;
    size_t               n, len;
    xmlSAXHandler        sax;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(ctx->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&sax, sizeof(xmlSAXHandler));

    sax.initialized = XML_SAX2_MAGIC;
    sax.startElementNs = nchat_svg_start;
    sax.endElementNs = nchat_svg_end;
    sax.characters = nchat_svg_characters;
    sax.cdataBlock = nchat_svg_characters;
    sax.internalSubset = nchat_svg_subset;
    sax.externalSubset = nchat_svg_subset;
    sax.processingInstruction = nchat_svg_instruction;
    sax.serror = nchat_svg_error;

    ctx->parser = xmlCreatePushParserCtxt(&sax, ctx, NULL, 0, NULL);
    if (ctx->parser == NULL) {
        return NGX_ERROR;
    }

    cln->handler = nchat_svg_cleanup;
    cln->data = ctx;

    (void) xmlCtxtUseOptions(ctx->parser, XML_PARSE_NONET);

    rc = 0;

    for (n = 0; n < svg->len && rc == 0 && !ctx->refused; n += len) {
        len = ngx_min(svg->len - n, NCHAT_SVG_CHUNK);
        rc = xmlParseChunk(ctx->parser, (char *) svg->data + n, len, 0);
    }

    if (rc == 0 && !ctx->refused) {
        rc = xmlParseChunk(ctx->parser, NULL, 0, 1);
    }

    return rc == XML_ERR_NO_MEMORY ? NGX_ERROR : NGX_OK;
}


static void
nchat_svg_start(void *data, const xmlChar *name, const xmlChar *prefix,
    const xmlChar *uri, int nb_namespaces, const xmlChar **namespaces,
    int nb_attributes, int nb_defaulted, const xmlChar **attributes)
{
    nchat_svg_t *ctx = data;

    int          i;
    const char  *element, *ns;

    if (ctx->refused) {
        return;
    }

    element = (const char *) name;
    ns = uri ? (const char *) uri : "";

    if (ctx->depth++ == 0
        && (ngx_strcmp(element, "svg") != 0
            || ngx_strcmp(ns, NCHAT_SVG_NS) != 0))
    {
        nchat_svg_refuse(ctx, "the top element", element,
                         "is not svg in the namespace " NCHAT_SVG_NS);
        return;
    }

    if (ctx->depth > NCHAT_SVG_DEPTH) {
        nchat_svg_refuse(ctx, "the element", element, "is nested too deep");
        return;
    }

    if (nchat_svg_inert_namespace(ns)) {
        element = "";

    } else if (ngx_strcmp(ns, NCHAT_SVG_NS) != 0
               || !nchat_svg_element_allowed(element) || ctx->style)
    {
        nchat_svg_refuse(ctx, "the element", element, "is not allowed");
        return;
    }

    if (ngx_strcmp(element, "style") == 0) {
        ctx->style = ctx->depth;
        ctx->css.len = 0;
    }

    for (i = 0; i < nb_attributes && !ctx->refused; i++) {
        nchat_svg_attribute(ctx, element, &attributes[5 * i]);
    }
}


static void
nchat_svg_end(void *data, const xmlChar *name, const xmlChar *prefix,
    const xmlChar *uri)
{
    nchat_svg_t *ctx = data;

    const char  *why;

    if (ctx->refused) {
        return;
    }

    if (ctx->style == ctx->depth) {
        ctx->style = 0;

        why = ctx->css.len ? nchat_svg_css(ctx->css.data,
                                           ctx->css.data + ctx->css.len, 1)
                           : NULL;

        if (why) {
            nchat_svg_refuse(ctx, "the element", "style", why);
        }
    }

    ctx->depth--;
}


/* libxml2 gives local name, prefix, namespace, begin and end of the value */

static void
nchat_svg_attribute(nchat_svg_t *ctx, const char *element,
    const xmlChar **attribute)
{
    u_char      *p, *last;
    const char  *name, *ns, *why;

    name = (const char *) attribute[0];
    ns = attribute[2] ? (const char *) attribute[2] : "";
    p = (u_char *) attribute[3];
    last = (u_char *) attribute[4];

    if (ngx_strncasecmp((u_char *) name, (u_char *) "on", 2) == 0) {
        nchat_svg_refuse(ctx, "the event handler", name, "is not allowed");
        return;
    }

    if (*ns == '\0') {

        /* attributes of a foreign element mean nothing to a browser */

        if (*element) {
            nchat_svg_plain_attribute(ctx, element, name, p, last);
        }

        return;
    }

    if (nchat_svg_inert_namespace(ns)) {
        return;
    }

    if (ngx_strcmp(ns, NCHAT_XML_NS) == 0 && ngx_strcmp(name, "base") != 0) {
        return;
    }

    if (ngx_strcmp(ns, NCHAT_XLINK_NS) == 0) {

        if (ngx_strcmp(name, "href") != 0) {
            return;
        }

        why = nchat_svg_href(p, last, ngx_strcmp(element, "image") == 0
                                      || ngx_strcmp(element, "feImage") == 0);
        if (why) {
            nchat_svg_refuse(ctx, "the attribute", "xlink:href", why);
        }

        return;
    }

    nchat_svg_refuse(ctx, "the attribute", name, "is not allowed");
}


static void
nchat_svg_plain_attribute(nchat_svg_t *ctx, const char *element,
    const char *name, u_char *p, u_char *last)
{
    const char  *why;

    if (ngx_strncmp(name, "aria-", 5) == 0
        || ngx_strncmp(name, "data-", 5) == 0)
    {
        return;
    }

    if (ngx_strcmp(name, "href") == 0) {
        why = nchat_svg_href(p, last, ngx_strcmp(element, "image") == 0
                                      || ngx_strcmp(element, "feImage") == 0);

    } else if (!nchat_svg_attribute_allowed(name)) {
        why = "is not allowed";

    } else if (ngx_strcmp(element, "style") == 0
               && ngx_strcmp(name, "type") == 0)
    {
        why = (last - p == 8 && ngx_memcmp(p, "text/css", 8) == 0)
              ? NULL : "must be text/css";

    } else {
        why = nchat_svg_css(p, last, ngx_strcmp(name, "style") == 0);
    }

    if (why) {
        nchat_svg_refuse(ctx, "the attribute", name, why);
    }
}


static void
nchat_svg_characters(void *data, const xmlChar *p, int len)
{
    nchat_svg_t *ctx = data;

    if (ctx->refused || !ctx->style) {
        return;
    }

    if (ctx->css.data == NULL) {
        ctx->css.data = ngx_pnalloc(ctx->pool, ctx->size);
        if (ctx->css.data == NULL) {
            ctx->failed = 1;
            ctx->refused = 1;
            return;
        }
    }

    /* decoded text is never longer than what it was written as */

    if (ctx->css.len + len > ctx->size) {
        nchat_svg_refuse(ctx, "the element", "style", "is too long");
        return;
    }

    ngx_memcpy(ctx->css.data + ctx->css.len, p, len);
    ctx->css.len += len;
}


/* the scan has refused both already; this is the second lock */

static void
nchat_svg_subset(void *data, const xmlChar *name, const xmlChar *external,
    const xmlChar *system)
{
    nchat_svg_refuse(data, "the document type", (const char *) name,
                     "is not allowed");
}


static void
nchat_svg_instruction(void *data, const xmlChar *target, const xmlChar *text)
{
    nchat_svg_refuse(data, "the processing instruction",
                     (const char *) target, "is not allowed");
}


static void
nchat_svg_error(void *data, xmlErrorPtr error)
{
    nchat_svg_t *ctx = data;

    u_char       buf[NCHAT_SVG_REASON_MAX + 1];
    ngx_int_t    line;
    ngx_str_t    text;
    const char  *message;

    if (error->code == XML_ERR_NO_MEMORY) {
        ctx->failed = 1;
    }

    /* an unbound prefix is none of "fatal", and a warning is not enough */

    if (ctx->refused || error->level < XML_ERR_ERROR) {
        return;
    }

    line = error->line;
    message = error->message ? error->message : "error";

    if (error->code == XML_ERR_DOCUMENT_END && ctx->depth > 0) {

        /* what libxml2 says of content behind the end would mislead */

        line = xmlSAX2GetLineNumber(ctx->parser);
        message = "it ends before its elements do";
    }

    ctx->err->line = line > 0 ? line : 1;

    text.data = buf;
    text.len = ngx_snprintf(buf, NCHAT_SVG_REASON_MAX,
                            "the image is not well-formed XML: %s", message)
               - buf;

    nchat_svg_reason(ctx, &text);
}


static void
nchat_svg_refuse(nchat_svg_t *ctx, const char *what, const char *name,
    const char *why)
{
    u_char     buf[NCHAT_SVG_REASON_MAX + 1];
    ngx_int_t  line;
    ngx_str_t  text, shown;

    if (ctx->refused) {
        return;
    }

    line = xmlSAX2GetLineNumber(ctx->parser);
    ctx->err->line = line > 0 ? line : 1;

    shown.data = (u_char *) name;
    shown.len = ngx_min(ngx_strlen(name), NCHAT_SVG_SHOWN_MAX);

    text.data = buf;
    text.len = ngx_snprintf(buf, NCHAT_SVG_REASON_MAX, "%s \"%V\" %s", what,
                            &shown, why)
               - buf;

    nchat_svg_reason(ctx, &text);
}


static void
nchat_svg_reason(nchat_svg_t *ctx, ngx_str_t *text)
{
    ctx->refused = 1;

    if (nchat_text_clean(ctx->pool, text, NCHAT_SVG_REASON_MAX,
                         &ctx->err->reason)
        != NGX_OK)
    {
        ctx->failed = 1;
    }
}


static void
nchat_svg_cleanup(void *data)
{
    nchat_svg_t *ctx = data;

    if (ctx->parser->myDoc) {
        xmlFreeDoc(ctx->parser->myDoc);
    }

    xmlFreeParserCtxt(ctx->parser);
}
