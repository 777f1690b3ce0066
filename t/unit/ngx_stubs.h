/*
 * The few functions of nginx's core that our core libraries call, written
 * anew for tests: nginx-dev has headers and no sources.  Every allocation
 * from a pool is a malloc of its own, so that AddressSanitizer sees each
 * overflow and each use after the pool's end.
 */


#ifndef _NGX_STUBS_H_INCLUDED_
#define _NGX_STUBS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Makes the n-th allocation from now on fail, counted from 0 over pools and
 * (after stubs_fail_jansson()) jansson; -1 for none.
 */
void stubs_fail_at(ngx_int_t n);

/* 1 if an allocation was made to fail since stubs_fail_at(). */
ngx_uint_t stubs_failed(void);

/* Whether jansson, and libjwt over it, allocates through the counter too. */
void stubs_fail_jansson(ngx_uint_t on);


#endif /* _NGX_STUBS_H_INCLUDED_ */
