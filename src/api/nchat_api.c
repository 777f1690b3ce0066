/* The API at a glance: every method of every path. */

#include "nchat_api.h"


#define route(path, method, access, limit, body, handler)                     \
    { ngx_string(path), NGX_HTTP_##method, NCHAT_##access,                    \
      NCHAT_LIMIT_##limit, NCHAT_BODY_##body, handler, NULL, NULL, 0 }

#define route_early(path, method, access, limit, body, handler, early)        \
    { ngx_string(path), NGX_HTTP_##method, NCHAT_##access,                    \
      NCHAT_LIMIT_##limit, NCHAT_BODY_##body, handler, NULL, early, 0 }

#define route_when(path, method, access, limit, body, handler, when)          \
    { ngx_string(path), NGX_HTTP_##method, NCHAT_##access,                    \
      NCHAT_LIMIT_##limit, NCHAT_BODY_##body, handler, when, NULL, 0 }


nchat_route_t  nchat_routes[] = {

    /* health and monitoring */

    route("/api/health", GET, ANYONE, PROBE, NONE, nchat_api_health),
    route("/api/ready", GET, ANYONE, PROBE, NONE, nchat_api_ready),
    route("/api/metrics", GET, ANYONE, PROBE, NONE, nchat_api_metrics),

    /* configuration */

    route_when("/api/config", GET, ADMIN, DEFAULT, NONE,
               nchat_api_config_history, "history=true"),
    route("/api/config", GET, ANYONE, DEFAULT, NONE, nchat_api_config_get),
    route("/api/config", POST, ADMIN, DEFAULT, JSON, nchat_api_config_update),
    route("/api/config", PATCH, ADMIN, DEFAULT, JSON, nchat_api_config_update),

    /* accounts */

    route("/api/auth/signup", POST, ANYONE, DEFAULT, JSON, nchat_api_signup),
    route("/api/auth/signin", POST, ANYONE, DEFAULT, JSON, nchat_api_signin),
    route("/api/auth/refresh", POST, ANYONE, DEFAULT, JSON, nchat_api_refresh),
    route("/api/auth/me", GET, TOKEN, DEFAULT, NONE, nchat_api_me),
    route("/api/auth/verify-password", POST, TOKEN, DEFAULT, JSON,
          nchat_api_verify_password),
    route("/api/auth/change-password", POST, TOKEN, DEFAULT, JSON,
          nchat_api_change_password),
    route("/api/auth/signout", POST, TOKEN, DEFAULT, MAYBE, nchat_api_signout),

    /* files */

    route("/api/upload", GET, ANYONE, UPLOAD, NONE, nchat_api_upload_status),
    route("/api/upload", POST, OPTIONAL, UPLOAD, JSON, nchat_api_upload_init),
    route("/api/upload/complete", POST, OPTIONAL, UPLOAD, JSON,
          nchat_api_upload_complete),
    route_early("/api/upload/content/{id}", PUT, ANYONE, UPLOAD, FILE,
                nchat_api_upload_put, nchat_api_upload_early),
    route("/files/{id}", GET, ANYONE, NONE, NONE, nchat_api_file),

    /* webhooks; the token may be the argument "token" instead */

    route("/api/webhook/{id}/{token}", GET, ANYONE, WEBHOOK, NONE,
          nchat_api_webhook_get),
    route("/api/webhook/{id}/{token}", POST, ANYONE, WEBHOOK, RAW,
          nchat_api_webhook_post),
    route("/api/webhook/{id}", GET, ANYONE, WEBHOOK, NONE,
          nchat_api_webhook_get),
    route("/api/webhook/{id}", POST, ANYONE, WEBHOOK, RAW,
          nchat_api_webhook_post),

    /* search */

    route("/api/search", GET, OPTIONAL, SEARCH, NONE, nchat_api_search_get),
    route("/api/search", POST, OPTIONAL, SEARCH, JSON, nchat_api_search_post),

    /* audit */

    route("/api/audit", GET, TOKEN, DEFAULT, NONE, nchat_api_audit_list),
    route("/api/audit", POST, MEMBER, DEFAULT, JSON, nchat_api_audit_create),
    route("/api/audit", DELETE, ADMIN, DEFAULT, JSON, nchat_api_audit_delete),
    route("/api/audit/verify", GET, ADMIN, DEFAULT, NONE,
          nchat_api_audit_verify),
    route("/api/audit/export", GET, ADMIN, DEFAULT, NONE,
          nchat_api_export_get),
    route("/api/audit/export", POST, ADMIN, DEFAULT, MAYBE,
          nchat_api_export_post),

    /* outbound */

    route("/api/link-preview", GET, OPTIONAL, DEFAULT, NONE,
          nchat_api_preview),
    route("/api/translate", POST, OPTIONAL, DEFAULT, JSON,
          nchat_api_translate),
    route("/api/gif", GET, OPTIONAL, DEFAULT, NONE, nchat_api_gif_get),
    route("/api/gif", POST, OPTIONAL, DEFAULT, JSON, nchat_api_gif_post),
    route("/api/save-svg", POST, OPTIONAL, DEFAULT, JSON, nchat_api_svg_save),
    route("/{name}.svg", GET, ANYONE, NONE, NONE, nchat_api_svg_get),
};


ngx_uint_t  nchat_nroutes = sizeof(nchat_routes) / sizeof(nchat_routes[0]);


/* one more row in the tables of the metrics: paths that nobody knows */

typedef char  nchat_routes_fit[
    sizeof(nchat_routes) / sizeof(nchat_routes[0]) < NCHAT_METRICS_ROUTES
    ? 1 : -1];


/* What one node of all runs from time to time; in milliseconds. */

static nchat_stmt_t  nchat_job_seal = {
    "nchat_audit_seal", "SELECT nchat_audit_seal()", 0, NCHAT_LANE_SLOW,
    0, 0, 0
};

static nchat_stmt_t  nchat_job_prune = {
    "nchat_sessions_prune", "SELECT nchat_sessions_prune()", 0,
    NCHAT_LANE_SLOW, 0, 0, 0
};


static nchat_stmt_t  nchat_job_keys = {
    "nchat_webhook_prune", "SELECT nchat_webhook_prune()", 0,
    NCHAT_LANE_SLOW, 0, 0, 0
};


static nchat_stmt_t  nchat_job_floor = {
    "nchat_search_floor_check", "SELECT nchat_search_floor_check()", 0,
    NCHAT_LANE_SLOW, 0, 0, 0
};


const nchat_job_t  nchat_jobs[] = {
    { &nchat_job_seal, 5 * 1000 },
    { &nchat_job_prune, 10 * 60 * 1000 },
    { &nchat_job_keys, 60 * 60 * 1000 },
    { &nchat_job_floor, 60 * 60 * 1000 },
    { NULL, 0 }
};
