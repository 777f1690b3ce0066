/* Directives of files, for the module. */

#ifndef _NCHAT_FILES_H_INCLUDED_
#define _NCHAT_FILES_H_INCLUDED_


#include "nchat_http.h"


/* NULL if memory is short. */
struct nchat_files_conf_s *nchat_files_create(ngx_conf_t *cf);

char *nchat_files_storage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_files_anonymous(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *nchat_files_lifetime(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* "nchat upload": bodies of this location stay beside the store's files. */
void nchat_files_location(ngx_conf_t *cf);

/* At the end of the configuration; NGX_ERROR has told the operator why. */
ngx_int_t nchat_files_init(ngx_conf_t *cf, nchat_main_conf_t *conf);


#endif /* _NCHAT_FILES_H_INCLUDED_ */
