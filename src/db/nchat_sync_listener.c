/*
 * The listener.  A statement that comes back proves that every notification
 * of an earlier commit has come back before it, so a small statement sent
 * every NCHAT_SYNC_TICK tells all workers of the node that what the zone knows
 * of sessions is the whole truth as of the moment it was sent.  When that
 * proof is older than NCHAT_SESSION_FRESH, everybody asks the database.  That
 * statement also asks whether this session listens at all: a standby, or a
 * pooler that shares sessions, would otherwise leave us deaf without a word.
 */

#include "nchat_sync_int.h"
#include "nchat_uuid.h"


/* a load that failed on a living connection is tried again after this */
#define NCHAT_SYNC_RETRY  1000        /* milliseconds */


static void nchat_sync_retry(nchat_sync_t *sync);
static void nchat_sync_ready(void *data);
static void nchat_sync_lost(void *data);
static void nchat_sync_notify(void *data, const char *payload);
static nchat_db_op_t *nchat_sync_send(nchat_sync_t *sync, nchat_stmt_t *stmt,
    nchat_db_done_pt done);
static void nchat_sync_ask_schema(nchat_sync_t *sync);
static void nchat_sync_schema_done(nchat_db_op_t *op);
static void nchat_sync_listen(nchat_sync_t *sync);
static void nchat_sync_listen_done(nchat_db_op_t *op);
static void nchat_sync_load_sessions(nchat_sync_t *sync);
static void nchat_sync_sessions_done(nchat_db_op_t *op);
static void nchat_sync_load_config(nchat_sync_t *sync);
static void nchat_sync_config_done(nchat_db_op_t *op);
static void nchat_sync_prove(nchat_sync_t *sync);
static void nchat_sync_proof_done(nchat_db_op_t *op);


static nchat_stmt_t  nchat_sync_listen_stmt = {
    "nchat_listen", "LISTEN nchat", 0, NCHAT_LANE_LISTEN, 0, 0, 0
};

static nchat_stmt_t  nchat_sync_schema_stmt = {
    "nchat_schema", "SELECT nchat_schema_version()", 0, NCHAT_LANE_LISTEN,
    1, 0, 0
};

static nchat_stmt_t  nchat_sync_sessions_stmt = {
    "nchat_sessions_changed",
    "SELECT id, CASE kind WHEN 'user' THEN ver ELSE 0 END"
    " FROM nchat_sessions_changed($1::int)",
    1, NCHAT_LANE_LISTEN, 1, 0, 0
};

static nchat_stmt_t  nchat_sync_config_stmt = {
    "nchat_config_get", "SELECT version, doc, open_doc FROM nchat_config_get()",
    0, NCHAT_LANE_LISTEN, 1, 0, 0
};

static nchat_stmt_t  nchat_sync_proof_stmt = {
    "nchat_proof",
    "SELECT 1 FROM pg_listening_channels() c WHERE c = 'nchat'",
    0, NCHAT_LANE_LISTEN, 0, 0, 0
};


void
nchat_sync_listener_init(nchat_sync_t *sync)
{
    sync->listener.ready = nchat_sync_ready;
    sync->listener.lost = nchat_sync_lost;
    sync->listener.notify = nchat_sync_notify;
    sync->listener.data = sync;
}


void
nchat_sync_listener_tick(nchat_sync_t *sync)
{
    if (sync->loaded) {
        nchat_sync_prove(sync);
    }

    nchat_sync_retry(sync);
}


/* A migration that was late, or a time limit: no reconnect will come. */

static void
nchat_sync_retry(nchat_sync_t *sync)
{
    if (!sync->up
        || (ngx_msec_int_t) (sync->retry_at - ngx_current_msec) > 0)
    {
        return;
    }

    sync->retry_at = ngx_current_msec + NCHAT_SYNC_RETRY;

    if (nchat_zone_schema(sync->zone) < sync->schema) {

        if (!sync->asking) {
            nchat_sync_ask_schema(sync);
        }

        return;
    }

    if (!sync->loaded && !sync->loading) {
        nchat_sync_listen(sync);
    }

    if (!sync->config_loaded && !sync->config_loading) {
        nchat_sync_load_config(sync);
    }
}


static nchat_db_op_t *
nchat_sync_send(nchat_sync_t *sync, nchat_stmt_t *stmt, nchat_db_done_pt done)
{
    nchat_db_op_t  *op;

    op = nchat_db_op(sync->db, stmt, done, sync);

    if (op == NULL) {
        ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                      "nchat: no memory for the listener");
    }

    return op;
}


static void
nchat_sync_ready(void *data)
{
    nchat_sync_t *sync = data;

    sync->up = 1;
    sync->retry_at = ngx_current_msec + NCHAT_SYNC_RETRY;
    sync->asking = 0;
    sync->proving = 0;
    sync->loading = 0;
    sync->config_loading = 0;
    sync->config_loaded = 0;

    /* an older version than the zone's means a restored database */

    sync->config_force = 1;

    nchat_sync_ask_schema(sync);
    nchat_sync_listen(sync);
    nchat_sync_load_config(sync);
}


/* Nothing is asked of a database that has less than the statements need. */

static void
nchat_sync_ask_schema(nchat_sync_t *sync)
{
    nchat_db_op_t  *op;

    op = nchat_sync_send(sync, &nchat_sync_schema_stmt,
                         nchat_sync_schema_done);
    if (op) {
        sync->asking = 1;
        nchat_db_send(op);
    }
}


static void
nchat_sync_schema_done(nchat_db_op_t *op)
{
    nchat_sync_t *sync = op->data;

    ngx_int_t   version;
    ngx_str_t   value;
    ngx_uint_t  before;

    sync->asking = 0;
    version = 0;

    if (op->status == NCHAT_DB_OK) {
        value = nchat_db_value(op->result, 0, 0);
        version = ngx_atoi(value.data, value.len);

    } else if (op->status != NCHAT_DB_FAILED) {
        return;
    }

    before = nchat_zone_schema(sync->zone);
    nchat_zone_schema_set(sync->zone, version == NGX_ERROR ? 0 : version);

    if ((ngx_uint_t) version < sync->schema && before >= sync->schema) {
        ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                      "nchat: the database has schema version %i, this build "
                      "needs %ui: run nchat-migrate; until then everything "
                      "that needs the database is answered with 503",
                      version, sync->schema);
    }

    if ((ngx_uint_t) version >= sync->schema && before < sync->schema) {
        ngx_log_error(NGX_LOG_NOTICE, sync->log, 0,
                      "nchat: the database has schema version %i now",
                      version);
    }
}


static void
nchat_sync_lost(void *data)
{
    nchat_sync_t *sync = data;

    sync->up = 0;
    sync->heard = 0;
    sync->loaded = 0;
}


/* First listen, then load: what changes in between comes twice. */

static void
nchat_sync_listen(nchat_sync_t *sync)
{
    nchat_db_op_t  *op;

    sync->heard = 0;
    sync->loaded = 0;

    op = nchat_sync_send(sync, &nchat_sync_listen_stmt,
                         nchat_sync_listen_done);
    if (op) {
        nchat_db_send(op);
        nchat_sync_load_sessions(sync);
    }
}


static void
nchat_sync_listen_done(nchat_db_op_t *op)
{
    nchat_sync_t *sync = op->data;

    sync->heard = (op->status == NCHAT_DB_OK);

    if (op->status == NCHAT_DB_FAILED) {
        ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                      "nchat: cannot listen for notifications; nchat_postgres "
                      "must lead to the primary itself, not through a pooler "
                      "in transaction mode");
    }
}


static void
nchat_sync_load_sessions(nchat_sync_t *sync)
{
    nchat_db_op_t  *op;

    op = nchat_sync_send(sync, &nchat_sync_sessions_stmt,
                         nchat_sync_sessions_done);
    if (op == NULL) {
        return;
    }

    if (nchat_db_set_int(op, 0, sync->keep / 1000) != NGX_OK) {
        nchat_db_discard(op);
        return;
    }

    sync->loading = 1;
    sync->proof_at = ngx_current_msec;
    nchat_db_send(op);
}


/*
 * Version 0 marks a session that ended.  What was in the zone before stays:
 * versions only rise.
 */

static void
nchat_sync_sessions_done(nchat_db_op_t *op)
{
    nchat_sync_t *sync = op->data;

    int         row;
    u_char      id[16];
    ngx_int_t   version;
    ngx_str_t   value;

    sync->loading = 0;

    if (op->status != NCHAT_DB_OK) {
        return;
    }

    for (row = 0; row < PQntuples(op->result); row++) {
        value = nchat_db_value(op->result, row, 0);

        if (nchat_uuid_parse(&value, id) != NGX_OK) {
            continue;
        }

        value = nchat_db_value(op->result, row, 1);
        version = ngx_atoi(value.data, value.len);

        nchat_session_put(sync->zone, id, version == NGX_ERROR ? 0 : version,
                          sync->keep);
    }

    /* who does not listen knows nothing; what failed is tried again */

    if (sync->heard) {
        sync->loaded = 1;
        nchat_session_fresh(sync->zone, sync->proof_at);
    }
}


static void
nchat_sync_load_config(nchat_sync_t *sync)
{
    nchat_db_op_t  *op;

    if (sync->config_loading) {
        sync->config_again = 1;
        return;
    }

    op = nchat_sync_send(sync, &nchat_sync_config_stmt,
                         nchat_sync_config_done);
    if (op) {
        sync->config_loading = 1;
        sync->config_again = 0;
        nchat_db_send(op);
    }
}


static void
nchat_sync_config_done(nchat_db_op_t *op)
{
    nchat_sync_t *sync = op->data;

    ngx_int_t  version;
    ngx_str_t  text, doc, open;

    sync->config_loading = 0;

    if (op->status != NCHAT_DB_OK) {
        return;
    }

    text = nchat_db_value(op->result, 0, 0);
    doc = nchat_db_value(op->result, 0, 1);
    open = nchat_db_value(op->result, 0, 2);
    version = ngx_atoi(text.data, text.len);

    if (version == NGX_ERROR || doc.len == 0
        || nchat_zone_config_set(sync->zone, version, &doc, &open,
                                 sync->config_force)
           != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                      "nchat: the configuration could not be stored in "
                      "nchat_zone; is the zone large enough?");
    }

    sync->config_force = 0;
    sync->config_loaded = 1;

    if (sync->config_again) {
        nchat_sync_load_config(sync);
    }
}


static void
nchat_sync_prove(nchat_sync_t *sync)
{
    nchat_db_op_t  *op;

    if (sync->proving) {
        return;
    }

    op = nchat_sync_send(sync, &nchat_sync_proof_stmt, nchat_sync_proof_done);

    if (op) {
        sync->proving = 1;
        sync->proof_at = ngx_current_msec;
        nchat_db_send(op);
    }
}


static void
nchat_sync_proof_done(nchat_db_op_t *op)
{
    nchat_sync_t *sync = op->data;

    sync->proving = 0;

    if (op->status != NCHAT_DB_OK || !sync->loaded) {
        return;
    }

    if (PQntuples(op->result) == 0) {
        ngx_log_error(NGX_LOG_ERR, sync->log, 0,
                      "nchat: the session that listens was exchanged; is "
                      "there a pooler in transaction mode?");
        sync->heard = 0;
        sync->loaded = 0;
        return;
    }

    nchat_session_fresh(sync->zone, sync->proof_at);
}


/* "config <version>", "user <uuid> <version>", "session <uuid>" */

static void
nchat_sync_notify(void *data, const char *payload)
{
    nchat_sync_t *sync = data;

    u_char       id[16], *p;
    ngx_int_t    version;
    ngx_str_t    text;

    if (ngx_strncmp(payload, "config ", 7) == 0) {
        nchat_sync_load_config(sync);
        return;
    }

    version = 0;

    if (ngx_strncmp(payload, "user ", 5) == 0) {
        text.data = (u_char *) payload + 5;
        text.len = ngx_strlen(text.data);

        p = ngx_strlchr(text.data, text.data + text.len, ' ');

        if (p == NULL) {
            return;
        }

        version = ngx_atoi(p + 1, text.data + text.len - (p + 1));
        text.len = p - text.data;

    } else if (ngx_strncmp(payload, "session ", 8) == 0) {
        text.data = (u_char *) payload + 8;
        text.len = ngx_strlen(text.data);

    } else {
        return;
    }

    if (version != NGX_ERROR && nchat_uuid_parse(&text, id) == NGX_OK) {
        nchat_session_put(sync->zone, id, version, sync->keep);
    }
}
