/*
 * The local store: a folder of this machine, or one that all nodes mount.
 *
 *     <dir>/uploads/2026/01/02/<id>.<ext>
 *     <dir>/incoming/…                      bodies on their way (nginx's)
 */

#include "nchat_store_local.h"

#include <dirent.h>


/* older ones were left behind by a worker that was killed */
#define NCHAT_LOCAL_STALE  (24 * 3600)


typedef struct {
    off_t                   size;
    nchat_store_result_e    result;
    nchat_file_t           *file;          /* not for the thread */
    nchat_store_checked_pt  done;
    char                    path[1];
} nchat_local_check_t;

typedef struct {
    nchat_sweep_t          *sweep;
    char                  **paths;
    ngx_uint_t              n;
    const char             *incoming;
} nchat_local_remove_t;


static const char *nchat_local_configure(ngx_conf_t *cf,
    nchat_files_conf_t *conf, ngx_str_t *words, ngx_uint_t n);
static ngx_int_t nchat_local_init(ngx_conf_t *cf, nchat_files_conf_t *conf);
static void nchat_local_check(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_checked_pt done);
static void nchat_local_check_thread(void *data);
static void nchat_local_sync_folders(const char *path);
static void nchat_local_check_done(nchat_ctx_t *ctx, void *data);
static void nchat_local_send(nchat_ctx_t *ctx, const nchat_file_t *file);
static ngx_int_t nchat_local_open(nchat_ctx_t *ctx, const nchat_file_t *file,
    ngx_str_t *path, ngx_open_file_info_t *of);
static ngx_buf_t *nchat_local_buf(ngx_http_request_t *r,
    const ngx_str_t *path, const ngx_open_file_info_t *of);
static void nchat_local_ready(nchat_ctx_t *ctx, nchat_store_ready_pt done);
static void nchat_local_remove(nchat_ctx_t *ctx, nchat_sweep_t *sweep);
static void nchat_local_remove_thread(void *data, ngx_log_t *log);
static void nchat_local_remove_stale(const char *incoming);
static void nchat_local_remove_done(ngx_event_t *ev);


const nchat_store_t  nchat_store_local = {
    ngx_string("local"),
    nchat_local_configure,
    nchat_local_init,
    nchat_local_target,
    nchat_local_check,
    nchat_local_send,
    nchat_local_ready,
    nchat_local_remove,
    1,
    nchat_local_early,
    nchat_local_receive
};


static const char *
nchat_local_configure(ngx_conf_t *cf, nchat_files_conf_t *conf,
    ngx_str_t *words, ngx_uint_t n)
{
    ngx_str_t       dir, *name;
    nchat_local_t  *local;

    if (n != 1 || words[0].len == 0) {
        return "\"local\" needs one folder";
    }

    dir = words[0];

    while (dir.len > 1 && dir.data[dir.len - 1] == '/') {
        dir.data[--dir.len] = '\0';
    }

    local = ngx_pcalloc(cf->pool, sizeof(nchat_local_t));

    if (local == NULL || ngx_conf_full_name(cf->cycle, &dir, 0) != NGX_OK) {
        return "out of memory";
    }

    local->root = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    name = &conf->incoming->name;
    name->data = ngx_pnalloc(cf->pool, dir.len + sizeof("/incoming"));

    if (local->root == NULL || name->data == NULL) {
        return "out of memory";
    }

    name->len = ngx_sprintf(name->data, "%V/incoming%Z", &dir) - name->data
                - 1;

    local->root->name = dir;
    local->root->conf_file = cf->conf_file->file.name.data;
    local->root->line = cf->conf_file->line;
    conf->incoming->conf_file = local->root->conf_file;
    conf->incoming->line = local->root->line;

    conf->data = local;
    ngx_str_set(&conf->bucket, "local");

    return NULL;
}


/* nginx makes both folders, and gives them to the workers' user. */

static ngx_int_t
nchat_local_init(ngx_conf_t *cf, nchat_files_conf_t *conf)
{
    nchat_local_t *local = conf->data;

    if (ngx_add_path(cf, &local->root) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_add_path(cf, &conf->incoming);
}


ngx_int_t
nchat_local_path(ngx_pool_t *pool, nchat_files_conf_t *conf,
    const ngx_str_t *key, ngx_str_t *path)
{
    ngx_str_t      *dir;
    nchat_local_t  *local;

    local = conf->data;
    dir = &local->root->name;

    path->data = ngx_pnalloc(pool, dir->len + key->len + 2);
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    path->len = ngx_sprintf(path->data, "%V/%V%Z", dir, key) - path->data - 1;

    return NGX_OK;
}


/*
 * A completed upload must outlive a power cut, so this is where the disk is
 * waited for: on a thread, and after the kernel had time to write.
 */

static void
nchat_local_check(nchat_ctx_t *ctx, nchat_file_t *file,
    nchat_store_checked_pt done)
{
    ngx_str_t             path;
    nchat_local_check_t  *check;

    if (file->etag.len == 0) {
        done(ctx, file, NCHAT_STORE_ABSENT);
        return;
    }

    if (nchat_local_path(ctx->request->pool, ctx->conf->files, &file->key,
                         &path)
        != NGX_OK)
    {
        done(ctx, file, NCHAT_STORE_FAILED);
        return;
    }

    check = nchat_task_make(ctx, ctx->conf->file_threads,
                            sizeof(nchat_local_check_t) + path.len);
    if (check == NULL) {
        return;
    }

    check->size = file->size;
    check->file = file;
    check->done = done;
    ngx_memcpy(check->path, path.data, path.len + 1);

    nchat_task_post(ctx, check, nchat_local_check_thread,
                    nchat_local_check_done);
}


static void
nchat_local_check_thread(void *data)
{
    nchat_local_check_t *check = data;

    int          fd;
    struct stat  st;

    fd = open(check->path, O_RDONLY|O_CLOEXEC|O_NOFOLLOW);

    if (fd == -1) {
        check->result = (errno == ENOENT) ? NCHAT_STORE_ABSENT
                                          : NCHAT_STORE_FAILED;
        return;
    }

    if (fstat(fd, &st) == -1 || fsync(fd) == -1) {
        check->result = NCHAT_STORE_FAILED;

    } else if (st.st_size != check->size) {
        check->result = NCHAT_STORE_OTHER_SIZE;

    } else {
        check->result = NCHAT_STORE_OK;
        nchat_local_sync_folders(check->path);
    }

    (void) close(fd);
}


/* The day's folder and, since it may be new, those of the month and year. */

static void
nchat_local_sync_folders(const char *path)
{
    int    fd, i;
    char   folder[PATH_MAX], *slash;

    ngx_cpystrn((u_char *) folder, (u_char *) path, sizeof(folder));

    for (i = 0; i < 4; i++) {
        slash = strrchr(folder, '/');

        if (slash == NULL || slash == folder) {
            return;
        }

        *slash = '\0';
        fd = open(folder, O_RDONLY|O_CLOEXEC|O_DIRECTORY);

        if (fd != -1) {
            (void) fsync(fd);
            (void) close(fd);
        }
    }
}


static void
nchat_local_check_done(nchat_ctx_t *ctx, void *data)
{
    nchat_local_check_t *check = data;

    check->done(ctx, check->file, check->result);
}


/* By sendfile, with ranges and conditions: nginx's filters do that. */

static void
nchat_local_send(nchat_ctx_t *ctx, const nchat_file_t *file)
{
    ngx_int_t              rc;
    ngx_str_t              path;
    ngx_chain_t            out;
    ngx_http_request_t    *r;
    ngx_open_file_info_t   of;

    r = ctx->request;

    if (nchat_local_open(ctx, file, &path, &of) != NGX_OK) {
        return;
    }

    out.buf = nchat_local_buf(r, &path, &of);
    out.next = NULL;

    if (out.buf == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = of.size;
    r->headers_out.last_modified_time = of.mtime;
    r->allow_ranges = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_HTTP_RANGE_NOT_SATISFIABLE) {
        nchat_file_unset(r);
        nchat_reply_status(ctx, rc);
        return;
    }

    ctx->replied = 1;

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    ngx_http_finalize_request(r, ngx_http_output_filter(r, &out));
}


/* All of the file; NULL if memory is short. */

static ngx_buf_t *
nchat_local_buf(ngx_http_request_t *r, const ngx_str_t *path,
    const ngx_open_file_info_t *of)
{
    ngx_buf_t  *b;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NULL;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    if (b->file == NULL) {
        return NULL;
    }

    b->file_last = of->size;
    b->in_file = b->file_last ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;
    b->sync = b->in_file ? 0 : 1;

    b->file->fd = of->fd;
    b->file->name = *path;
    b->file->log = r->connection->log;
    b->file->directio = of->is_directio;

    return b;
}


static ngx_int_t
nchat_local_open(nchat_ctx_t *ctx, const nchat_file_t *file, ngx_str_t *path,
    ngx_open_file_info_t *of)
{
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = ctx->request;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (nchat_local_path(r->pool, ctx->conf->files, &file->key, path)
        != NGX_OK)
    {
        nchat_reply_internal(ctx, "out of memory");
        return NGX_ERROR;
    }

    ngx_memzero(of, sizeof(ngx_open_file_info_t));

    of->read_ahead = clcf->read_ahead;
    of->directio = clcf->directio;
    of->valid = clcf->open_file_cache_valid;
    of->min_uses = clcf->open_file_cache_min_uses;
    of->errors = clcf->open_file_cache_errors;
    of->events = clcf->open_file_cache_events;

    if (ngx_open_cached_file(clcf->open_file_cache, path, of, r->pool)
        == NGX_OK && of->is_file)
    {
        return NGX_OK;
    }

    nchat_file_unset(r);

    if (of->err == NGX_ENOENT || of->err == NGX_ENOTDIR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "nchat: file \"%V\" is recorded, but not in the store",
                      path);
        nchat_reply_error(ctx, NCHAT_E_NOT_FOUND, "There is no such file");
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, of->err,
                  "nchat: cannot open file \"%V\"", path);
    nchat_reply_status(ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);

    return NGX_ERROR;
}


static void
nchat_local_ready(nchat_ctx_t *ctx, nchat_store_ready_pt done)
{
    nchat_local_t *local = ctx->conf->files->data;

    done(ctx, access((char *) local->root->name.data, R_OK|W_OK|X_OK) == 0
              && access((char *) ctx->conf->files->incoming->name.data,
                        R_OK|W_OK|X_OK) == 0);
}


static void
nchat_local_remove(nchat_ctx_t *ctx, nchat_sweep_t *sweep)
{
    ngx_str_t              path;
    ngx_uint_t             i;
    ngx_thread_task_t     *task;
    nchat_local_remove_t  *remove;

    task = ngx_thread_task_alloc(sweep->pool, sizeof(nchat_local_remove_t));
    if (task == NULL) {
        goto failed;
    }

    remove = task->ctx;
    remove->sweep = sweep;
    remove->n = sweep->n;
    remove->incoming = (char *) sweep->conf->files->incoming->name.data;
    remove->paths = ngx_palloc(sweep->pool, (sweep->n + 1) * sizeof(char *));

    if (remove->paths == NULL) {
        goto failed;
    }

    for (i = 0; i < sweep->n; i++) {
        if (nchat_local_path(sweep->pool, sweep->conf->files, &sweep->keys[i],
                             &path)
            != NGX_OK)
        {
            goto failed;
        }

        remove->paths[i] = (char *) path.data;
    }

    task->handler = nchat_local_remove_thread;
    task->event.handler = nchat_local_remove_done;
    task->event.data = sweep;
    task->event.log = ngx_cycle->log;

    if (ngx_thread_task_post(sweep->conf->file_threads, task) == NGX_OK) {
        return;
    }

failed:

    /* the claims run out, and the next turn comes */

    sweep->n = 0;
    nchat_sweep_done(sweep);
}


static void
nchat_local_remove_thread(void *data, ngx_log_t *log)
{
    nchat_local_remove_t *remove = data;

    ngx_uint_t  i;

    for (i = 0; i < remove->n; i++) {
        (void) unlink(remove->paths[i]);
    }

    nchat_local_remove_stale(remove->incoming);
}


static void
nchat_local_remove_stale(const char *incoming)
{
    DIR            *dir;
    time_t          now;
    struct stat     st;
    struct dirent  *entry;

    dir = opendir(incoming);
    if (dir == NULL) {
        return;
    }

    now = time(NULL);

    while ((entry = readdir(dir)) != NULL) {

        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
            && S_ISREG(st.st_mode) && st.st_mtime < now - NCHAT_LOCAL_STALE)
        {
            (void) unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }

    (void) closedir(dir);
}


static void
nchat_local_remove_done(ngx_event_t *ev)
{
    nchat_sweep_done(ev->data);
}
