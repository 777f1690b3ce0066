/*
 * POST /api/translate (contract, "Outbound"): through a service with
 * LibreTranslate's API.  Whatever goes wrong, the text comes back as it came.
 */

#include "nchat_api.h"
#include "nchat_cache.h"
#include "nchat_json.h"
#include "nchat_service.h"


#define NCHAT_TRANSLATE_TIMEOUT   10000
#define NCHAT_TRANSLATE_LIFE      (24 * 60 * 60 * 1000)
#define NCHAT_TRANSLATE_TEXT_MAX  5000
#define NCHAT_TRANSLATE_LANG_MAX  35


typedef struct {
    nchat_ctx_t  *ctx;
    nchat_ask_t   ask;
    nchat_key_t   key;

    ngx_str_t     text;            /* trimmed */
    ngx_str_t     target;
    ngx_str_t     source;          /* "auto" if it is not known */
} nchat_translate_t;


static ngx_uint_t nchat_translate_language(ngx_str_t *lang);
static void nchat_translate_look(nchat_translate_t *tr);
static ngx_int_t nchat_translate_body(nchat_translate_t *tr);
static void nchat_translate_done(nchat_ask_t *ask);
static void nchat_translate_reply(nchat_translate_t *tr, ngx_str_t *members,
    ngx_uint_t cached);
static void nchat_translate_as_it_came(nchat_translate_t *tr);


static const nchat_check_t  nchat_translate_fields[] = {
    NCHAT_CHECK_STR("text", offsetof(nchat_translate_t, text), 1,
                    NCHAT_TRANSLATE_TEXT_MAX, NCHAT_REQUIRED|NCHAT_TRIM),
    NCHAT_CHECK_STR("targetLanguage", offsetof(nchat_translate_t, target), 2,
                    NCHAT_TRANSLATE_LANG_MAX, NCHAT_REQUIRED),
    NCHAT_CHECK_STR("sourceLanguage", offsetof(nchat_translate_t, source), 2,
                    NCHAT_TRANSLATE_LANG_MAX, NCHAT_NULLABLE),
    NCHAT_CHECK_END
};


void
nchat_api_translate(nchat_ctx_t *ctx)
{
    nchat_translate_t  *tr;

    tr = ngx_pcalloc(ctx->request->pool, sizeof(nchat_translate_t));
    if (tr == NULL) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    tr->ctx = ctx;
    tr->ask.service = &nchat_fetch_conf(ctx->request)->translate;

    if (nchat_body_check(ctx, nchat_translate_fields, tr) != NGX_OK) {
        return;
    }

    if (tr->source.data == NULL) {
        ngx_str_set(&tr->source, "auto");
    }

    if (!nchat_translate_language(&tr->target)) {
        nchat_reply_invalid(ctx, "targetLanguage", "format",
                            "targetLanguage must be a language such as \"en\" "
                            "or \"pt-BR\"");
        return;
    }

    if (!nchat_translate_language(&tr->source)) {
        nchat_reply_invalid(ctx, "sourceLanguage", "format",
                            "sourceLanguage must be a language such as \"en\", "
                            "or \"auto\"");
        return;
    }

    if (!tr->ask.service->set
        || (tr->source.len == tr->target.len
            && ngx_strncasecmp(tr->source.data, tr->target.data,
                               tr->source.len)
               == 0))
    {
        nchat_translate_as_it_came(tr);
        return;
    }

    nchat_translate_look(tr);
}


static void
nchat_translate_look(nchat_translate_t *tr)
{
    ngx_int_t     rc;
    ngx_str_t     parts[4], cached;
    nchat_ctx_t  *ctx;

    ctx = tr->ctx;

    parts[0] = tr->text;
    parts[1] = tr->source;
    parts[2] = tr->target;
    parts[3] = tr->ask.service->base;
    nchat_key(&tr->key, 'T', parts, 4);

    rc = nchat_cache_get(ctx->conf->zone, &tr->key, ctx->request->pool,
                         &cached);

    if (rc == NGX_OK) {
        nchat_count(ctx->conf->metrics, NCHAT_M_TRANSLATE_HIT);
        nchat_translate_reply(tr, &cached, 1);
        return;
    }

    if (rc == NGX_ERROR || nchat_translate_body(tr) != NGX_OK) {
        nchat_reply_internal(ctx, "out of memory");
        return;
    }

    nchat_count(ctx->conf->metrics, NCHAT_M_TRANSLATE_MISS);

    tr->ask.kind = NCHAT_FETCH_TRANSLATE;
    tr->ask.timeout = NCHAT_TRANSLATE_TIMEOUT;
    tr->ask.done = nchat_translate_done;
    tr->ask.data = tr;
    ngx_str_set(&tr->ask.path, "/translate");

    nchat_service_ask(ctx->request, &tr->ask);
}


/* letters, then subtags (RFC 5646); the service knows which ones exist */

static ngx_uint_t
nchat_translate_language(ngx_str_t *lang)
{
    u_char  c;
    size_t  i, tag;

    tag = 0;

    for (i = 0; i < lang->len; i++) {
        c = lang->data[i];

        if (c == '-') {
            if (tag < 2) {
                return 0;
            }

            tag = 0;
            continue;
        }

        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            && !(c >= '0' && c <= '9' && i > 2))
        {
            return 0;
        }

        if (++tag > 8) {
            return 0;
        }
    }

    return tag >= 2;
}


static ngx_int_t
nchat_translate_body(nchat_translate_t *tr)
{
    json_t           *json;
    nchat_service_t  *service;

    service = tr->ask.service;

    json = json_pack("{s:s%, s:s%, s:s%, s:s}",
                     "q", tr->text.data, tr->text.len,
                     "source", tr->source.data, tr->source.len,
                     "target", tr->target.data, tr->target.len,
                     "format", "text");

    if (nchat_json_own(tr->ctx->request->pool, json) != NGX_OK) {
        return NGX_ERROR;
    }

    if (service->key.len
        && json_object_set_new(json, "api_key",
                               json_stringn((char *) service->key.data,
                                            service->key.len))
           != 0)
    {
        return NGX_ERROR;
    }

    return nchat_json_dump(tr->ctx->request->pool, json, 0, &tr->ask.body);
}


static void
nchat_translate_done(nchat_ask_t *ask)
{
    nchat_translate_t *tr = ask->data;

    json_t       *json, *detected;
    ngx_str_t     text, members;
    ngx_pool_t   *pool;

    pool = tr->ctx->request->pool;

    if (ask->result != NCHAT_FETCH_OK
        || nchat_json_string(ask->answer, "translatedText", &text) != NGX_OK)
    {
        nchat_translate_as_it_came(tr);
        return;
    }

    detected = json_object_get(ask->answer, "detectedLanguage");

    if (detected) {
        (void) nchat_json_string(detected, "language", &tr->source);
    }

    json = json_pack("{s:s%, s:s%, s:s%, s:b, s:s}",
                     "translatedText", text.data, text.len,
                     "sourceLanguage", tr->source.data, tr->source.len,
                     "targetLanguage", tr->target.data, tr->target.len,
                     "translated", 1, "provider", "libretranslate");

    if (nchat_json_own(pool, json) != NGX_OK
        || nchat_json_members(pool, json, 0, &members) != NGX_OK)
    {
        nchat_reply_internal(tr->ctx, "out of memory");
        return;
    }

    nchat_cache_put(tr->ctx->conf->zone, &tr->key, &members,
                    NCHAT_TRANSLATE_LIFE);

    nchat_translate_reply(tr, &members, 0);
}


static void
nchat_translate_reply(nchat_translate_t *tr, ngx_str_t *members,
    ngx_uint_t cached)
{
    u_char            *p;
    ngx_str_t          text;

    static ngx_str_t   flags[] = {
        ngx_string(",\"cached\":false"), ngx_string(",\"cached\":true")
    };

    p = ngx_pnalloc(tr->ctx->request->pool, members->len + flags[cached].len);
    if (p == NULL) {
        nchat_reply_internal(tr->ctx, "out of memory");
        return;
    }

    text.data = p;
    p = ngx_cpymem(p, members->data, members->len);
    p = ngx_cpymem(p, flags[cached].data, flags[cached].len);
    text.len = p - text.data;

    nchat_reply_ok(tr->ctx, NGX_HTTP_OK, &text, NULL);
}


/* Also with the white space that was trimmed. */

static void
nchat_translate_as_it_came(nchat_translate_t *tr)
{
    json_t       *json, *text;
    ngx_str_t     members;
    ngx_pool_t   *pool;

    pool = tr->ctx->request->pool;
    text = json_object_get(tr->ctx->json, "text");

    json = json_pack("{s:O, s:s%, s:s%, s:b}", "translatedText", text,
                     "sourceLanguage", tr->source.data, tr->source.len,
                     "targetLanguage", tr->target.data, tr->target.len,
                     "translated", 0);

    if (nchat_json_own(pool, json) != NGX_OK
        || nchat_json_members(pool, json, 0, &members) != NGX_OK)
    {
        nchat_reply_internal(tr->ctx, "out of memory");
        return;
    }

    nchat_reply_ok(tr->ctx, NGX_HTTP_OK, &members, NULL);
}
