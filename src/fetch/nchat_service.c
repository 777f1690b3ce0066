/* Services: the answer is collected, bounded, and parsed when it is whole. */

#include "nchat_service.h"
#include "nchat_json.h"


#define NCHAT_SERVICE_ROOM  8192


static void nchat_service_fail(nchat_ask_t *ask, nchat_fetch_result_e result);
static ngx_int_t nchat_service_header(nchat_fetch_t *f);
static ngx_int_t nchat_service_body(nchat_fetch_t *f, u_char *p, size_t len);
static void nchat_service_done(nchat_fetch_t *f);


static const nchat_fetch_taker_t  nchat_service_taker = {
    nchat_service_header, nchat_service_body, nchat_service_done
};


void
nchat_service_ask(ngx_http_request_t *r, nchat_ask_t *ask)
{
    u_char              *p;
    nchat_fetch_t       *f;
    nchat_fetch_conf_t  *fcf;

    ask->request = r;
    ask->status = 0;
    ask->answer = NULL;
    ask->text.len = 0;
    ask->text.data = NULL;
    ask->room = 0;

    fcf = nchat_fetch_conf(r);

    if (fcf->locations[ask->kind].len == 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "nchat: no location has the nchat_fetch directive for "
                      "this service");
        nchat_service_fail(ask, NCHAT_FETCH_FAILED);
        return;
    }

    p = ngx_pnalloc(r->pool, ask->service->base.len + ask->path.len);
    f = nchat_fetch_create(r);

    if (p == NULL || f == NULL) {
        nchat_service_fail(ask, NCHAT_FETCH_MEMORY);
        return;
    }

    f->target.data = p;
    p = ngx_cpymem(p, ask->service->base.data, ask->service->base.len);
    p = ngx_cpymem(p, ask->path.data, ask->path.len);
    f->target.len = p - f->target.data;

    f->location = fcf->locations[ask->kind];
    f->host = ask->service->authority;
    f->name = ask->service->name;
    f->body = ask->body;
    f->taker = &nchat_service_taker;
    f->data = ask;
    f->timeout = ask->timeout;
    f->cap = NCHAT_SERVICE_ANSWER;

    nchat_fetch_start(f);
}


static void
nchat_service_fail(nchat_ask_t *ask, nchat_fetch_result_e result)
{
    ask->result = result;
    ask->done(ask);
}


static ngx_int_t
nchat_service_header(nchat_fetch_t *f)
{
    return NGX_OK;
}


static ngx_int_t
nchat_service_body(nchat_fetch_t *f, u_char *p, size_t len)
{
    nchat_ask_t *ask = f->data;

    size_t   room;
    u_char  *text;

    if (ask->text.len + len > NCHAT_SERVICE_ANSWER) {
        return NGX_DECLINED;
    }

    if (ask->text.len + len > ask->room) {
        room = ngx_max(2 * ask->room, NCHAT_SERVICE_ROOM);
        room = ngx_max(room, ask->text.len + len);

        text = ngx_pnalloc(f->request->pool, room);
        if (text == NULL) {
            return NGX_ERROR;
        }

        if (ask->text.len) {
            ngx_memcpy(text, ask->text.data, ask->text.len);
            (void) ngx_pfree(f->request->pool, ask->text.data);
        }

        ask->text.data = text;
        ask->room = room;
    }

    ngx_memcpy(ask->text.data + ask->text.len, p, len);
    ask->text.len += len;

    return NGX_AGAIN;
}


static void
nchat_service_done(nchat_fetch_t *f)
{
    nchat_ask_t *ask = f->data;

    const char  *why;

    ask->status = f->status;
    ask->result = f->result;

    if (ask->result == NCHAT_FETCH_OK) {

        if (!f->whole) {
            why = "the answer broke off";
            ask->result = NCHAT_FETCH_FAILED;

        } else {
            switch (nchat_json_parse(f->request->pool, &ask->text, 0,
                                     &ask->answer, &why))
            {
            case NGX_OK:
                break;

            case NGX_DECLINED:
                ask->result = NCHAT_FETCH_FAILED;
                break;

            default:
                ask->result = NCHAT_FETCH_MEMORY;
            }
        }

        if (ask->result == NCHAT_FETCH_FAILED) {
            ngx_log_error(NGX_LOG_ERR, f->request->connection->log, 0,
                          "nchat: the service's answer is of no use");
        }
    }

    ask->done(ask);
}
