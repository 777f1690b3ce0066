/* A request waits for a pool thread. */

#include "nchat_http.h"
#include "nchat_crypto.h"

#include <sys/resource.h>
#include <sys/syscall.h>


/* how far the threads for passwords stand back behind the event loop */
#define NCHAT_TASK_NICE  10

/* milliseconds; while it is armed, a leaving worker stays */
#define NCHAT_TASK_TIMER  60000


struct nchat_task_s {
    ngx_thread_task_t    task;        /* first: what the thread pool knows */
    nchat_ctx_t         *ctx;         /* NULL: the request is gone */
    nchat_main_conf_t   *conf;
    ngx_thread_pool_t   *pool;
    nchat_task_pt        run;         /* the thread's, while it runs */
    nchat_task_pt        last;        /* what is to follow it, or NULL */
    nchat_task_done_pt   done;        /* NULL: nobody waits for it yet */
    nchat_task_pt        release;     /* may be NULL */
    size_t               size;
    unsigned             running:1;   /* or queued */
};


static ngx_int_t nchat_task_start(nchat_task_t *task, nchat_task_pt run);
static void nchat_task_refused(nchat_task_t *task);
static void nchat_task_thread(void *data, ngx_log_t *log);
static void nchat_task_event(ngx_event_t *ev);
static void nchat_task_done(nchat_task_t *task);
static void nchat_task_free(nchat_task_t *task);


#define nchat_task_data(task)  ((void *) ((nchat_task_t *) (task) + 1))


/* Its own memory from malloc(): the request may end before the thread does. */

void *
nchat_task_make(nchat_ctx_t *ctx, ngx_thread_pool_t *pool, size_t size)
{
    nchat_task_t  *task;

    task = ngx_calloc(sizeof(nchat_task_t) + size,
                      ctx->request->connection->log);

    if (task == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return NULL;
    }

    task->size = size;
    task->conf = ctx->conf;
    task->pool = pool;
    task->ctx = ctx;

    task->task.ctx = task;
    task->task.handler = nchat_task_thread;
    task->task.event.handler = nchat_task_event;
    task->task.event.data = task;
    task->task.event.log = ngx_cycle->log;

    return nchat_task_data(task);
}


void
nchat_task_keep(nchat_ctx_t *ctx, void *data, nchat_task_pt release)
{
    nchat_task_t  *task;

    task = (nchat_task_t *) data - 1;

    task->release = release;
    ctx->task = task;
}


/* No timer here: the request that goes on has its own. */

ngx_int_t
nchat_task_ahead(void *data, nchat_task_pt run)
{
    nchat_task_t  *task;

    task = (nchat_task_t *) data - 1;

    return task->running ? NGX_BUSY : nchat_task_start(task, run);
}


void
nchat_task_post(nchat_ctx_t *ctx, void *data, nchat_task_pt run,
    nchat_task_done_pt done)
{
    nchat_task_t  *task;

    task = (nchat_task_t *) data - 1;

    task->done = done;

    if (task->running) {
        task->last = run;

    } else if (nchat_task_start(task, run) != NGX_OK) {
        nchat_task_refused(task);
        return;
    }

    /* a worker leaves when no timer is left: it must wait for the thread */

    ngx_add_timer(&task->task.event, NCHAT_TASK_TIMER);

    ctx->task = task;
    nchat_ctx_wait(ctx);
}


static ngx_int_t
nchat_task_start(nchat_task_t *task, nchat_task_pt run)
{
    task->run = run;
    task->task.event.complete = 0;

    if (ngx_thread_task_post(task->pool, &task->task) != NGX_OK) {
        return NGX_ERROR;
    }

    task->running = 1;

    if (task->conf->gauges) {
        task->conf->gauges->hashing++;
    }

    return NGX_OK;
}


static void
nchat_task_refused(nchat_task_t *task)
{
    nchat_ctx_t  *ctx;

    ctx = task->ctx;
    ctx->task = NULL;

    nchat_count(task->conf->metrics, NCHAT_M_HASH_REFUSED);
    nchat_task_free(task);

    nchat_reply_error(ctx, NCHAT_E_UNAVAILABLE,
                      "The server is too busy right now");
}


/* On a pool thread: nothing of nginx may be used. */

static void
nchat_task_thread(void *data, ngx_log_t *log)
{
    nchat_task_t *task = data;

    static __thread int  settled;

    /*
     * On Linux a thread has its own priority; the event loop comes first.  What
     * is done for files is short, and makes clients wait.
     */

    if (!settled && task->pool == task->conf->threads) {
        settled = 1;
        (void) setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid),
                           NCHAT_TASK_NICE);
    }

    task->run(nchat_task_data(task));
}


static void
nchat_task_event(ngx_event_t *ev)
{
    nchat_task_t *task = ev->data;

    if (!ev->complete) {

        /* only the timer; the thread is still at it */

        ev->timedout = 0;
        ngx_add_timer(ev, NCHAT_TASK_TIMER);
        return;
    }

    task->running = 0;

    if (task->conf->gauges) {
        task->conf->gauges->hashing--;
    }

    if (task->ctx == NULL) {
        nchat_task_free(task);

    } else if (task->done) {
        nchat_task_done(task);
    }

    /* else it was a step ahead */
}


static void
nchat_task_done(nchat_task_t *task)
{
    nchat_ctx_t       *ctx;
    nchat_task_pt      run;
    ngx_connection_t  *c;

    run = task->last;
    task->last = NULL;

    if (run && nchat_task_start(task, run) == NGX_OK) {
        return;
    }

    ngx_del_timer(&task->task.event);

    ctx = task->ctx;
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    if (run) {
        nchat_task_refused(task);

    } else {
        nchat_count(task->conf->metrics, NCHAT_M_HASH_DONE);

        ctx->task = NULL;
        task->done(ctx, nchat_task_data(task));
        nchat_task_free(task);
    }

    ngx_http_run_posted_requests(c);
}


void
nchat_task_forget(nchat_ctx_t *ctx)
{
    nchat_task_t  *task;

    task = ctx->task;

    if (task->task.event.timer_set) {
        ngx_del_timer(&task->task.event);
    }

    ctx->task = NULL;
    task->ctx = NULL;

    if (!task->running) {
        nchat_task_free(task);
    }
}


static void
nchat_task_free(nchat_task_t *task)
{
    if (task->release) {
        task->release(nchat_task_data(task));
    }

    /* it held passwords */

    nchat_wipe(nchat_task_data(task), task->size);
    ngx_free(task);
}
