/* Directives with more to say than a slot, and the checks of all of them. */

#ifndef _NCHAT_DIRECTIVES_H_INCLUDED_
#define _NCHAT_DIRECTIVES_H_INCLUDED_


#include "nchat_http.h"


char *nchat_directive_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_directive_pool(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_directive_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_directive_jwt_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_directive_lifetime(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *nchat_directive_rate_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *nchat_directive_signin_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *nchat_directive_origin(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_directive_environment(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *nchat_directive_public_url(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *nchat_directive_cookie(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* Looks at a time that ngx_conf_set_msec_slot has read. */
char *nchat_directive_window(ngx_conf_t *cf, void *post, void *data);

/* Defaults, and what can be checked before any location was read. */
char *nchat_directives_init(ngx_conf_t *cf, nchat_main_conf_t *conf);

/* Some location says "nchat": what it needs must be there. */
void nchat_directives_used(ngx_conf_t *cf);

/* At the end of the configuration; NGX_ERROR has told the operator why. */
ngx_int_t nchat_directives_check(ngx_conf_t *cf);


#endif /* _NCHAT_DIRECTIVES_H_INCLUDED_ */
