/*
 * What an SVG image may be made of.  Left out on purpose: scripts, links,
 * foreignObject, and animation elements, which can set what a static check has
 * approved.
 */


#include "nchat_svg_int.h"


static ngx_uint_t nchat_svg_find(const char **names, size_t n,
    const char *name);
static int ngx_libc_cdecl nchat_svg_compare(const void *one, const void *two);


/* sorted by byte */

static const char  *nchat_svg_elements[] = {
    "circle", "clipPath", "defs", "desc", "ellipse", "feBlend",
    "feColorMatrix", "feComponentTransfer", "feComposite", "feConvolveMatrix",
    "feDiffuseLighting", "feDisplacementMap", "feDistantLight",
    "feDropShadow", "feFlood", "feFuncA", "feFuncB", "feFuncG", "feFuncR",
    "feGaussianBlur", "feImage", "feMerge", "feMergeNode", "feMorphology",
    "feOffset", "fePointLight", "feSpecularLighting", "feSpotLight", "feTile",
    "feTurbulence", "filter", "g", "image", "line", "linearGradient",
    "marker", "mask", "metadata", "path", "pattern", "polygon", "polyline",
    "radialGradient", "rect", "stop", "style", "svg", "switch", "symbol",
    "text", "textPath", "title", "tspan", "use", "view"
};


/* sorted by byte */

static const char  *nchat_svg_attributes[] = {
    "alignment-baseline", "amplitude", "azimuth", "baseFrequency",
    "baseProfile", "baseline-shift", "bias", "class", "clip", "clip-path",
    "clip-rule", "clipPathUnits", "color", "color-interpolation",
    "color-interpolation-filters", "color-profile", "color-rendering",
    "contentScriptType", "contentStyleType", "cursor", "cx", "cy", "d",
    "diffuseConstant", "direction", "display", "divisor", "dominant-baseline",
    "dx", "dy", "edgeMode", "elevation", "enable-background", "exponent",
    "externalResourcesRequired", "fill", "fill-opacity", "fill-rule",
    "filter", "filterRes", "filterUnits", "flood-color", "flood-opacity",
    "font", "font-family", "font-feature-settings", "font-kerning",
    "font-optical-sizing", "font-size", "font-size-adjust", "font-stretch",
    "font-style", "font-variant", "font-variant-caps",
    "font-variant-ligatures", "font-variation-settings", "font-weight", "fr",
    "fx", "fy", "glyph-orientation-horizontal", "glyph-orientation-vertical",
    "gradientTransform", "gradientUnits", "height", "id", "image-rendering",
    "in", "in2", "inline-size", "intercept", "isolation", "k1", "k2", "k3",
    "k4", "kernelMatrix", "kernelUnitLength", "kerning", "lang",
    "lengthAdjust", "letter-spacing", "lighting-color", "limitingConeAngle",
    "line-height", "marker", "marker-end", "marker-mid", "marker-start",
    "markerHeight", "markerUnits", "markerWidth", "mask", "mask-type",
    "maskContentUnits", "maskUnits", "media", "method", "mix-blend-mode",
    "mode", "numOctaves", "offset", "opacity", "operator", "order", "orient",
    "overflow", "overflow-x", "overflow-y", "paint-order", "pathLength",
    "patternContentUnits", "patternTransform", "patternUnits",
    "pointer-events", "points", "pointsAtX", "pointsAtY", "pointsAtZ",
    "preserveAlpha", "preserveAspectRatio", "primitiveUnits", "r", "radius",
    "refX", "refY", "requiredExtensions", "requiredFeatures", "result",
    "role", "rotate", "rx", "ry", "scale", "seed", "shape-inside",
    "shape-margin", "shape-padding", "shape-rendering", "side", "slope",
    "solid-color", "solid-opacity", "spacing", "specularConstant",
    "specularExponent", "spreadMethod", "startOffset", "stdDeviation",
    "stitchTiles", "stop-color", "stop-opacity", "stroke", "stroke-dasharray",
    "stroke-dashoffset", "stroke-linecap", "stroke-linejoin",
    "stroke-miterlimit", "stroke-opacity", "stroke-width", "style",
    "surfaceScale", "systemLanguage", "tabindex", "tableValues", "targetX",
    "targetY", "text-align", "text-anchor", "text-decoration",
    "text-decoration-color", "text-decoration-line", "text-decoration-style",
    "text-indent", "text-orientation", "text-overflow", "text-rendering",
    "text-transform", "textLength", "title", "transform", "transform-origin",
    "type", "unicode-bidi", "values", "vector-effect", "version",
    "vertical-align", "viewBox", "visibility", "white-space", "width",
    "word-spacing", "writing-mode", "x", "x1", "x2", "xChannelSelector", "y",
    "y1", "y2", "yChannelSelector", "z", "zoomAndPan"
};


/* Inkscape, and the metadata that it and others write */

static const char  *nchat_svg_inert[] = {
    "http://www.inkscape.org/namespaces/inkscape",
    "http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "http://creativecommons.org/ns#",
    "http://web.resource.org/cc/",
    "http://purl.org/dc/elements/1.1/",
    "http://www.serif.com/",
    "http://www.bohemiancoding.com/sketch/ns"
};


ngx_uint_t
nchat_svg_element_allowed(const char *name)
{
    return nchat_svg_find(nchat_svg_elements,
                          sizeof(nchat_svg_elements) / sizeof(char *), name);
}


ngx_uint_t
nchat_svg_attribute_allowed(const char *name)
{
    return nchat_svg_find(nchat_svg_attributes,
                          sizeof(nchat_svg_attributes) / sizeof(char *), name);
}


ngx_uint_t
nchat_svg_inert_namespace(const char *uri)
{
    ngx_uint_t  i;

    for (i = 0; i < sizeof(nchat_svg_inert) / sizeof(char *); i++) {
        if (ngx_strcmp(nchat_svg_inert[i], uri) == 0) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
nchat_svg_find(const char **names, size_t n, const char *name)
{
    return bsearch(&name, names, n, sizeof(char *), nchat_svg_compare) != NULL;
}


static int ngx_libc_cdecl
nchat_svg_compare(const void *one, const void *two)
{
    return ngx_strcmp(*(const char **) one, *(const char **) two);
}
