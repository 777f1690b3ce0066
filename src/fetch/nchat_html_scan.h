/*
 * The scanner in front of the HTML parser: finds the few tags of a page's head
 * that say something about it, and ends where the head ends.
 */


#ifndef _NCHAT_HTML_SCAN_H_INCLUDED_
#define _NCHAT_HTML_SCAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* one tag with the attributes that count; long values are cut */
#define NCHAT_HTML_FRAGMENT_MAX  8192
#define NCHAT_HTML_NAME_MAX      16

/* bits of "seen": the attributes of a <meta> that declare an encoding */
#define NCHAT_HTML_HTTP_EQUIV    0x0008
#define NCHAT_HTML_CHARSET       0x0020


typedef struct nchat_html_scan_s  nchat_html_scan_t;

/*
 * Gets one fragment of clean markup: <meta>, <link> and <base> with their
 * known attributes, each once and in double quotes, or <title> with its text.
 * The memory is good during the call only.
 */
typedef void (*nchat_html_fragment_pt)(void *data, u_char *p, size_t len);

/* takes bytes and returns how far it came, or changes the state, or both */
typedef u_char *(nchat_html_state_t)(nchat_html_scan_t *hs, u_char *p,
    u_char *last);


struct nchat_html_scan_s {
    nchat_html_state_t      *state;
    nchat_html_fragment_pt   handler;
    void                    *data;

    u_char                  *pos;          /* in buf */
    u_char                  *limit;        /* for what is written now */
    ngx_uint_t               seen;         /* attributes of this tag */
    ngx_uint_t               count;        /* in a run, or matched */
    u_char                   quote;

    u_char                   name[NCHAT_HTML_NAME_MAX];
    size_t                   name_len;
    const char              *raw;          /* name of a raw text element */

    unsigned                 end_tag:1;
    unsigned                 keep:1;       /* the tag goes into buf */
    unsigned                 keep_attr:1;
    unsigned                 full:1;       /* the limit is reached */
    unsigned                 titled:1;
    unsigned                 done:1;

    u_char                   buf[NCHAT_HTML_FRAGMENT_MAX];
};


/* prepares *hs; fragments go to handler(data, …) */
void nchat_html_scan_init(nchat_html_scan_t *hs,
    nchat_html_fragment_pt handler, void *data);

/*
 * Scans bytes of an encoding that has ASCII as ASCII.  Linear, with no memory
 * but *hs.  NGX_AGAIN: give more.  NGX_DONE: a </head>, <body> or <frameset>
 * tag has come; nothing more will.
 */
ngx_int_t nchat_html_scan(nchat_html_scan_t *hs, u_char *p, size_t len);

/* at the end of the input: hands on a title that was not closed */
void nchat_html_scan_finish(nchat_html_scan_t *hs);


/*
 * What the scanner reports to nchat_html_fragment.c: the name of a tag is
 * complete; a value begins, the name of its attribute is in hs->name; text of
 * a value or a title; the value is over; the tag is over; the title is over.
 */
void nchat_html_fragment_start(nchat_html_scan_t *hs);
void nchat_html_fragment_attr(nchat_html_scan_t *hs);
void nchat_html_fragment_text(nchat_html_scan_t *hs, u_char *p, size_t len);
void nchat_html_fragment_value_end(nchat_html_scan_t *hs);
void nchat_html_fragment_end(nchat_html_scan_t *hs);
void nchat_html_fragment_title(nchat_html_scan_t *hs);


#endif /* _NCHAT_HTML_SCAN_H_INCLUDED_ */
