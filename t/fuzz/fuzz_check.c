/*
 * A table with each type, over whatever JSON: it neither crashes nor accepts
 * what the contract refuses, and its answer is JSON.
 */


#include "nchat_check.h"
#include "nchat_json.h"


typedef struct {
    ngx_str_t    text[7];
    ngx_int_t    number;
    double       real;
    ngx_flag_t   flag;
    json_t      *json[5];
} target_t;


#define at(member)  offsetof(target_t, member)


static const ngx_str_t  values[] = {
    ngx_string("x"), ngx_string("yy"), ngx_null_string
};


static const nchat_check_t  fields[] = {
    NCHAT_CHECK_STR("a", at(text[0]), 1, 3, NCHAT_TRIM),
    NCHAT_CHECK_EMAIL("b", at(text[1]), 0),
    NCHAT_CHECK_UUID("c", at(text[2]), 0),
    NCHAT_CHECK_DATE("d", at(text[3]), 0),
    NCHAT_CHECK_URL("e", at(text[4]), 10, 0),
    NCHAT_CHECK_ENUM("f", at(text[5]), values, NCHAT_NULLABLE),
    NCHAT_CHECK_COLOR("g", at(text[6]), 0),
    NCHAT_CHECK_INT("h", at(number), -3, 3, 0),
    NCHAT_CHECK_NUM("i", at(real), -1, 1, 0),
    NCHAT_CHECK_BOOL("j.a", at(flag), 0),
    NCHAT_CHECK_STRS("j.b", at(json[0]), 0, 2, 0),
    NCHAT_CHECK_UUIDS("j.c", at(json[1]), 0, 0, 0),
    NCHAT_CHECK_ENUMS("k.a.b", at(json[2]), values, 1, 2, 0),
    NCHAT_CHECK_ARRAY("k.a.c", at(json[3]), 0, 1, 0),
    NCHAT_CHECK_OBJECT("k.d", at(json[4]), 0),
    NCHAT_CHECK_END
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t            *json;
    target_t           t;
    ngx_int_t          rc;
    ngx_str_t          text, error, details;
    ngx_pool_t        *pool;
    const char        *why;
    nchat_failures_t   failures;

    pool = ngx_create_pool(1024, NULL);

    text.data = (u_char *) data;
    text.len = size;

    if (nchat_json_parse(pool, &text, 0, &json, &why) != NGX_OK) {
        goto done;
    }

    memset(&t, 0, sizeof(t));
    failures.list = NULL;

    rc = nchat_check(pool, fields, json, &t, &failures);

    if (rc == NGX_OK) {

        if (failures.list
            || nchat_utf8_len(&t.text[0]) > 3
            || (t.text[1].data && !nchat_check_email(&t.text[1]))
            || t.number < -3 || t.number > 3 || t.real < -1 || t.real > 1
            || json_array_size(t.json[0]) > 2
            || (t.json[4] && !json_is_object(t.json[4])))
        {
            abort();
        }

    } else if (rc != NGX_DECLINED
               || nchat_failures_render(pool, &failures, &error, &details)
                  != NGX_OK
               || nchat_json_parse(pool, &details, 0, &json, &why) != NGX_OK
               || json_object_get(json, "field") == NULL)
    {
        abort();
    }

done:

    ngx_destroy_pool(pool);

    return 0;
}
