/*
 * What the SVG check lets through is looked at again, as a tree, by a shorter
 * list of what must never be there.
 */


#include <libxml/parser.h>
#include <libxml/tree.h>

#include "nchat_json.h"
#include "nchat_svg.h"
#include "ngx_stubs.h"


static int
same(const xmlChar *one, const char *two)
{
    return xmlStrcasecmp(one, (const xmlChar *) two) == 0;
}


static void
check_attribute(xmlDocPtr doc, xmlAttrPtr attr)
{
    xmlChar  *value, *p;

    if (xmlStrncasecmp(attr->name, (const xmlChar *) "on", 2) == 0) {
        abort();
    }

    if (attr->ns && same(attr->ns->prefix, "xml")
        && same(attr->name, "base"))
    {
        abort();
    }

    value = xmlNodeListGetString(doc, attr->children, 1);

    if (value == NULL) {
        return;
    }

    for (p = value; *p && *p <= ' '; p++) { /* void */ }

    if (same(attr->name, "href") && *p && *p != '#'
        && xmlStrncasecmp(p, (const xmlChar *) "data:image/", 11) != 0)
    {
        abort();
    }

    if (same(attr->name, "style") || same(attr->name, "fill")) {
        p = (xmlChar *) xmlStrcasestr(value, (const xmlChar *) "url(");

        if (p && xmlStrchr(p, '#') == NULL) {
            abort();
        }
    }

    xmlFree(value);
}


static void
check_tree(xmlDocPtr doc, xmlNodePtr node)
{
    xmlAttrPtr  attr;

    static const char   *never[] = {
        "script", "foreignObject", "iframe", "a", "animate", "set", "handler",
        "object", "embed", "image-set"
    };

    size_t  i;

    for ( /* void */ ; node; node = node->next) {

        if (node->type == XML_PI_NODE || node->type == XML_ENTITY_REF_NODE
            || node->type == XML_DTD_NODE)
        {
            abort();
        }

        if (node->type != XML_ELEMENT_NODE) {
            continue;
        }

        if (node->ns
            && same(node->ns->href, "http://www.w3.org/1999/xhtml"))
        {
            abort();
        }

        if (node->ns == NULL
            || same(node->ns->href, "http://www.w3.org/2000/svg"))
        {
            for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
                if (same(node->name, never[i])) {
                    abort();
                }
            }
        }

        for (attr = node->properties; attr; attr = attr->next) {
            check_attribute(doc, attr);
        }

        check_tree(doc, node->children);
    }
}


static void
quiet(void *data, const char *fmt, ...)
{
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t           rc;
    ngx_str_t           svg, name;
    xmlDocPtr           doc;
    ngx_pool_t         *pool;
    nchat_svg_error_t   err;

    pool = ngx_create_pool(1024, NULL);

    svg.data = (u_char *) data;
    svg.len = size;

    rc = nchat_svg_check(pool, &svg, &err);

    if (rc == NGX_OK) {
        doc = xmlReadMemory((const char *) data, size, "", NULL,
                            XML_PARSE_NONET|XML_PARSE_NOERROR
                            |XML_PARSE_NOWARNING);
        if (doc == NULL) {
            abort();
        }

        check_tree(doc, doc->children);
        xmlFreeDoc(doc);

    } else if (rc != NGX_DECLINED || err.reason.len == 0 || err.line == 0
               || !nchat_utf8_valid(&err.reason))
    {
        abort();
    }

    if (nchat_svg_name(pool, &svg, &name) == NGX_OK
        && (name.len > NCHAT_SVG_NAME_MAX || name.data[0] == '.'
            || memchr(name.data, '/', name.len)))
    {
        abort();
    }

    ngx_destroy_pool(pool);

    return 0;
}


int LLVMFuzzerInitialize(int *argc, char ***argv);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    xmlInitParser();
    xmlSetGenericErrorFunc(NULL, quiet);

    return 0;
}
