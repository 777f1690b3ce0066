/* A request waits for a pool thread. */

#include "nchat_http.h"
#include "nchat_crypto.h"

#include <sys/resource.h>
#include <sys/syscall.h>


/* how far the threads stand back behind the event loop */
#define NCHAT_TASK_NICE  10

/* milliseconds; while it is armed, a leaving worker stays */
#define NCHAT_TASK_TIMER  60000


struct nchat_task_s {
    ngx_thread_task_t    task;        /* first: what the thread pool knows */
    nchat_ctx_t         *ctx;         /* NULL: the request is gone */
    nchat_main_conf_t   *conf;
    nchat_task_pt        run;
    nchat_task_done_pt   done;
    size_t               size;
};


static void nchat_task_thread(void *data, ngx_log_t *log);
static void nchat_task_event(ngx_event_t *ev);
static void nchat_task_free(nchat_task_t *task);


#define nchat_task_data(task)  ((void *) ((nchat_task_t *) (task) + 1))


/* Its own memory from malloc(): the request may end before the thread does. */

void *
nchat_task_make(nchat_ctx_t *ctx, size_t size)
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
    task->ctx = ctx;

    return nchat_task_data(task);
}


void
nchat_task_post(nchat_ctx_t *ctx, void *data, nchat_task_pt run,
    nchat_task_done_pt done)
{
    nchat_task_t  *task;

    task = (nchat_task_t *) data - 1;

    task->run = run;
    task->done = done;
    task->task.ctx = task;
    task->task.handler = nchat_task_thread;
    task->task.event.handler = nchat_task_event;
    task->task.event.data = task;
    task->task.event.log = ngx_cycle->log;

    if (ngx_thread_task_post(ctx->conf->threads, &task->task) != NGX_OK) {
        nchat_count(ctx->conf->metrics, NCHAT_M_HASH_REFUSED);
        nchat_task_free(task);
        nchat_reply_error(ctx, NCHAT_E_UNAVAILABLE,
                          "The server is too busy right now");
        return;
    }

    if (ctx->conf->gauges) {
        ctx->conf->gauges->hashing++;
    }

    /* a worker leaves when no timer is left: it must wait for the thread */

    ngx_add_timer(&task->task.event, NCHAT_TASK_TIMER);

    ctx->task = task;
    nchat_ctx_wait(ctx);
}


/* On a pool thread: nothing of nginx may be used. */

static void
nchat_task_thread(void *data, ngx_log_t *log)
{
    nchat_task_t *task = data;

    static __thread int  settled;

    /* on Linux a thread has its own priority; the event loop comes first */

    if (!settled) {
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

    nchat_ctx_t       *ctx;
    ngx_connection_t  *c;

    if (!ev->complete) {

        /* only the timer; the thread is still at it */

        ev->timedout = 0;
        ngx_add_timer(ev, NCHAT_TASK_TIMER);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    nchat_count(task->conf->metrics, NCHAT_M_HASH_DONE);

    if (task->conf->gauges) {
        task->conf->gauges->hashing--;
    }

    ctx = task->ctx;

    if (ctx) {
        c = ctx->request->connection;
        ctx->task = NULL;

        ngx_http_set_log_request(c->log, ctx->request);

        task->done(ctx, nchat_task_data(task));

        ngx_http_run_posted_requests(c);
    }

    nchat_task_free(task);
}


void
nchat_task_forget(nchat_ctx_t *ctx)
{
    if (ctx->task->task.event.timer_set) {
        ngx_del_timer(&ctx->task->task.event);
    }

    ctx->task->ctx = NULL;
    ctx->task = NULL;
}


static void
nchat_task_free(nchat_task_t *task)
{
    /* it held passwords */

    nchat_wipe(nchat_task_data(task), task->size);
    ngx_free(task);
}
