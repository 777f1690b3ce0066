/* The endpoints.  Nobody includes this but the table and the module. */

#ifndef _NCHAT_API_H_INCLUDED_
#define _NCHAT_API_H_INCLUDED_


#include "nchat_http.h"
#include "nchat_sync.h"


#define NCHAT_VERSION         "0.1.0"

/* the newest migration of sql/ that this build calls functions of */
#define NCHAT_SCHEMA_VERSION  14


extern const nchat_job_t  nchat_jobs[];


void nchat_api_health(nchat_ctx_t *ctx);
void nchat_api_ready(nchat_ctx_t *ctx);
void nchat_api_metrics(nchat_ctx_t *ctx);

void nchat_api_config_get(nchat_ctx_t *ctx);
void nchat_api_config_history(nchat_ctx_t *ctx);
void nchat_api_config_update(nchat_ctx_t *ctx);

void nchat_api_signup(nchat_ctx_t *ctx);
void nchat_api_signin(nchat_ctx_t *ctx);
void nchat_api_me(nchat_ctx_t *ctx);
void nchat_api_verify_password(nchat_ctx_t *ctx);
void nchat_api_change_password(nchat_ctx_t *ctx);
void nchat_api_refresh(nchat_ctx_t *ctx);
void nchat_api_signout(nchat_ctx_t *ctx);

void nchat_api_upload_status(nchat_ctx_t *ctx);
void nchat_api_upload_init(nchat_ctx_t *ctx);
void nchat_api_upload_complete(nchat_ctx_t *ctx);
ngx_int_t nchat_api_upload_early(nchat_ctx_t *ctx);
void nchat_api_upload_put(nchat_ctx_t *ctx);
void nchat_api_file(nchat_ctx_t *ctx);

void nchat_api_webhook_get(nchat_ctx_t *ctx);
void nchat_api_webhook_post(nchat_ctx_t *ctx);

void nchat_api_search_get(nchat_ctx_t *ctx);
void nchat_api_search_post(nchat_ctx_t *ctx);

void nchat_api_audit_create(nchat_ctx_t *ctx);
void nchat_api_audit_list(nchat_ctx_t *ctx);
void nchat_api_audit_delete(nchat_ctx_t *ctx);
void nchat_api_audit_verify(nchat_ctx_t *ctx);

void nchat_api_export_get(nchat_ctx_t *ctx);
void nchat_api_export_post(nchat_ctx_t *ctx);

void nchat_api_preview(nchat_ctx_t *ctx);
void nchat_api_translate(nchat_ctx_t *ctx);
void nchat_api_gif_get(nchat_ctx_t *ctx);
void nchat_api_gif_post(nchat_ctx_t *ctx);
void nchat_api_svg_save(nchat_ctx_t *ctx);
void nchat_api_svg_get(nchat_ctx_t *ctx);


#endif /* _NCHAT_API_H_INCLUDED_ */
