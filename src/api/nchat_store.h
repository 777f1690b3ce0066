/*
 * Where the bytes of files are.  A store is one row of nchat_stores, and one
 * file that has its functions; nothing outside of it knows which one is used.
 */

#ifndef _NCHAT_STORE_H_INCLUDED_
#define _NCHAT_STORE_H_INCLUDED_


#include "nchat_http.h"
#include "nchat_mime.h"


typedef struct nchat_files_conf_s  nchat_files_conf_t;
typedef struct nchat_store_s       nchat_store_t;


/* Strings live as long as the request. */

typedef struct {
    ngx_str_t            id;
    ngx_str_t            key;       /* uploads/2026/01/02/<id>.png */
    ngx_str_t            name;      /* as its uploader calls it */
    ngx_str_t            etag;      /* with quotes; empty: not known */
    off_t                size;
    const nchat_mime_t  *mime;
} nchat_file_t;


/* What a client needs to send a file. */

typedef struct {
    ngx_str_t            url;
    ngx_str_t            headers;   /* members of a JSON object */
} nchat_target_t;


typedef enum {
    NCHAT_STORE_OK = 0,
    NCHAT_STORE_ABSENT,
    NCHAT_STORE_OTHER_SIZE,
    NCHAT_STORE_FAILED
} nchat_store_result_e;


/* Files whose time is over.  The strings live as long as this. */

typedef struct {
    ngx_pool_t          *pool;
    nchat_main_conf_t   *conf;
    ngx_uint_t           n;
    ngx_str_t           *ids;
    ngx_str_t           *keys;
    ngx_uint_t           left;      /* for the store: still under way */
    void                *data;      /* for the store */
} nchat_sweep_t;


typedef void (*nchat_store_checked_pt)(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_result_e result);
typedef void (*nchat_store_ready_pt)(nchat_ctx_t *ctx, ngx_uint_t ready);


struct nchat_store_s {
    ngx_str_t            name;

    /*
     * Reads the words of the directive after the store's name.  NULL, or a
     * sentence for the operator in the configuration's memory.
     */
    const char        *(*configure)(ngx_conf_t *cf, nchat_files_conf_t *conf,
                                    ngx_str_t *words, ngx_uint_t n);

    /* At the end of the configuration; may be NULL. */
    ngx_int_t          (*init)(ngx_conf_t *cf, nchat_files_conf_t *conf);

    /*
     * Where to send the file, until then.  NGX_ERROR if memory is short;
     * NGX_DONE if it has answered.
     */
    ngx_int_t          (*target)(nchat_ctx_t *ctx, const nchat_file_t *file,
                                 time_t expires, nchat_target_t *target);

    /*
     * Whether all of the file is there, to stay.  Sets file->etag if it was
     * not known.  done() is called once, unless the request ends before.
     */
    void               (*check)(nchat_ctx_t *ctx, nchat_file_t *file,
                                nchat_store_checked_pt done);

    /* Answers with the file; Content-Disposition and such are set. */
    void               (*send)(nchat_ctx_t *ctx, const nchat_file_t *file);

    /* Whether files can be stored now; never waits for a disk. */
    void               (*ready)(nchat_ctx_t *ctx, nchat_store_ready_pt done);

    /*
     * Removes files, then calls nchat_sweep_done once.  With "background" it
     * is called by a timer and has no request, else with one that goes on
     * meanwhile.
     */
    void               (*remove)(nchat_ctx_t *ctx, nchat_sweep_t *sweep);
    unsigned             background:1;

    /*
     * The PUT, if it comes to this server: before its body is read (NGX_OK, or
     * it has answered), and after.  NULL if it goes elsewhere.
     */
    ngx_int_t          (*early)(nchat_ctx_t *ctx);
    void               (*receive)(nchat_ctx_t *ctx);
};


extern const nchat_store_t  nchat_store_local;
extern const nchat_store_t  nchat_store_s3;


#define NCHAT_ANONYMOUS_NO     (-1)
#define NCHAT_ANONYMOUS_ALL    (-2)

struct nchat_files_conf_s {
    const nchat_store_t *store;
    void                *data;      /* the store's own */
    ngx_str_t            bucket;

    off_t                anonymous; /* bytes a day, or one of the above */
    time_t               lifetime;  /* of an upload's URL, in seconds */
    ngx_array_t         *keys;      /* of ngx_str_t: signs PUTs; the first one
                                     * now, the others did before */

    /*
     * Where nginx leaves the bodies of PUTs: beside the store's files.  The
     * name is empty if the store does not take any.
     */
    ngx_path_t          *incoming;
};


/* Whether this caller may upload now; NGX_ERROR: answered. */
ngx_int_t nchat_upload_allowed(nchat_ctx_t *ctx);

/* 0 if the live configuration switches uploads off. */
ngx_uint_t nchat_upload_enabled(nchat_ctx_t *ctx);

/* Scheme and host for URLs; NGX_ERROR: answered. */
ngx_int_t nchat_files_base(nchat_ctx_t *ctx, ngx_str_t *base);

/*
 * The answer will not be the file after all: takes back what was said of it.
 * A Content-Range stays.
 */
void nchat_file_unset(ngx_http_request_t *r);

/* The bytes of files were removed (or are gone anyway): frees the sweep. */
void nchat_sweep_done(nchat_sweep_t *sweep);

/*
 * For stores without "background": if it is time, claims expired files, calls
 * done(), which must hand its result to nchat_sweep_run and go on, and returns
 * 1; else returns 0.
 */
ngx_uint_t nchat_sweep_with(nchat_ctx_t *ctx, nchat_result_pt done);
void nchat_sweep_run(nchat_ctx_t *ctx, PGresult *result);

/* In a worker: removes expired files from time to time. */
ngx_int_t nchat_sweep_start(ngx_cycle_t *cycle, nchat_main_conf_t *conf);


#endif /* _NCHAT_STORE_H_INCLUDED_ */
