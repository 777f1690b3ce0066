#include "nchat_check.h"
#include "nchat_json.h"
#include "ngx_stubs.h"
#include "tap.h"


typedef struct {
    ngx_str_t    name;
    ngx_str_t    email;
    ngx_str_t    id;
    ngx_str_t    date;
    ngx_str_t    url;
    ngx_str_t    mode;
    ngx_str_t    color;
    ngx_int_t    age;
    double       scale;
    ngx_flag_t   on;
    json_t      *tags;
    json_t      *ids;
    json_t      *kinds;
    json_t      *list;
    json_t      *meta;
    ngx_str_t    app;
} target_t;


#define at(member)  offsetof(target_t, member)


static const ngx_str_t  modes[] = {
    ngx_string("light"), ngx_string("dark"), ngx_null_string
};


static const nchat_check_t  fields[] = {
    NCHAT_CHECK_STR("name", at(name), 2, 5, NCHAT_TRIM),
    NCHAT_CHECK_EMAIL("email", at(email), 0),
    NCHAT_CHECK_UUID("id", at(id), 0),
    NCHAT_CHECK_DATE("date", at(date), NCHAT_UPPER_DAY),
    NCHAT_CHECK_URL("url", at(url), 40, 0),
    NCHAT_CHECK_ENUM("mode", at(mode), modes, NCHAT_NULLABLE),
    NCHAT_CHECK_COLOR("color", at(color), 0),
    NCHAT_CHECK_INT("age", at(age), -1, 150, 0),
    NCHAT_CHECK_NUM("scale", at(scale), 0.5, 2.0, 0),
    NCHAT_CHECK_BOOL("on", at(on), 0),
    NCHAT_CHECK_STRS("tags", at(tags), 1, 3, 0),
    NCHAT_CHECK_UUIDS("ids", at(ids), 0, 0, 0),
    NCHAT_CHECK_ENUMS("kinds", at(kinds), modes, 0, 2, 0),
    NCHAT_CHECK_ARRAY("list", at(list), 0, 2, 0),
    NCHAT_CHECK_OBJECT("meta", at(meta), 0),
    NCHAT_CHECK_STR("branding.appName", at(app), 1, 50, 0),
    NCHAT_CHECK_BOOL("branding.deep.flag", NCHAT_CHECK_ONLY, 0),
    NCHAT_CHECK_END
};


static ngx_int_t
check(ngx_pool_t *pool, const nchat_check_t *table, const char *json,
    target_t *target, nchat_failures_t *failures)
{
    json_t      *object;
    ngx_str_t    text;
    const char  *why;

    memset(target, 0, sizeof(target_t));
    target->age = NGX_CONF_UNSET;
    target->on = NGX_CONF_UNSET;
    target->scale = -1;
    failures->list = NULL;

    text.len = strlen(json);
    text.data = (u_char *) json;

    if (nchat_json_parse(pool, &text, 0, &object, &why) != NGX_OK) {
        printf("# %s: %s\n", json, why);
        return NGX_ABORT;
    }

    return nchat_check(pool, table, object, target, failures);
}


static const char  *good[] = {
    "{}",
    "{\"unknown\":1}",
    "{\"name\":\"ab\"}",
    "{\"name\":\"  \\u00e9\\u00e9\\u00e9\\u00e9\\u00e9 \\n\"}",
    "{\"name\":\"\\u3000\\u00a0 ab\\u00a0bc\\t\\u3000\"}",
    "{\"mode\":null}",
    "{\"age\":-1}", "{\"age\":150}",
    "{\"scale\":0.5}", "{\"scale\":2}", "{\"scale\":1}",
    "{\"tags\":[\"\"]}", "{\"ids\":[]}", "{\"list\":[null,[1]]}",
    "{\"branding\":{}}", "{\"branding\":{\"deep\":{}}}",
    "{\"branding\":{\"deep\":{\"flag\":true}}}",
    "{\"url\":\"https://example.com/a?b#c\"}",
    "{\"url\":\"HTTP://x\"}",
    "{\"color\":\"#00aAfF\"}",
    "{\"email\":\" a@b.c \"}",
    "{\"date\":\"2026-01-02T03:04:05Z\"}"
};


static const struct {
    const char  *json;
    const char  *field;
    const char  *constraint;
    const char  *message;
} bad[] = {
    { "{\"name\":\"a\"}", "name", "length", "name must be 2-5 characters" },
    { "{\"name\":\"  a  \"}", "name", "length",
      "name must be 2-5 characters" },
    { "{\"name\":\"\\u00a0a\\u3000\"}", "name", "length",
      "name must be 2-5 characters" },
    { "{\"name\":\"\\u3000\\u3000\"}", "name", "length",
      "name must be 2-5 characters" },
    { "{\"name\":\"abcdef\"}", "name", "length",
      "name must be 2-5 characters" },
    { "{\"name\":1}", "name", "type", "name must be a string" },
    { "{\"name\":null}", "name", "type", "name must be a string" },
    { "{\"name\":[\"ab\"]}", "name", "type", "name must be a string" },
    { "{\"email\":\"x\"}", "email", "format",
      "email must be an email address" },
    { "{\"email\":false}", "email", "type", "email must be a string" },
    { "{\"id\":\"x\"}", "id", "format", "id must be a UUID" },
    { "{\"date\":\"2026-02-30\"}", "date", "format",
      "date must be a date (YYYY-MM-DD) or an RFC 3339 time" },
    { "{\"url\":\"ftp://x\"}", "url", "format",
      "url must be an http or https URL" },
    { "{\"url\":\"http://\"}", "url", "format",
      "url must be an http or https URL" },
    { "{\"url\":\"http:///x\"}", "url", "format",
      "url must be an http or https URL" },
    { "{\"url\":\"https://a b\"}", "url", "format",
      "url must be an http or https URL" },
    { "{\"url\":\"//x\"}", "url", "format",
      "url must be an http or https URL" },
    { "{\"url\":\"https://example.com/0123456789012345678901234\"}", "url",
      "length", "url must be at most 40 characters" },
    { "{\"mode\":\"Light\"}", "mode", "enum",
      "mode must be one of light, dark" },
    { "{\"mode\":\"\"}", "mode", "enum", "mode must be one of light, dark" },
    { "{\"mode\":\"lightx\"}", "mode", "enum",
      "mode must be one of light, dark" },
    { "{\"mode\":3}", "mode", "type", "mode must be a string" },
    { "{\"color\":\"#12345\"}", "color", "format",
      "color must be a colour such as #1A2B3C" },
    { "{\"color\":\"#12345g\"}", "color", "format",
      "color must be a colour such as #1A2B3C" },
    { "{\"color\":\"1234567\"}", "color", "format",
      "color must be a colour such as #1A2B3C" },
    { "{\"color\":\"red\"}", "color", "format",
      "color must be a colour such as #1A2B3C" },
    { "{\"age\":-2}", "age", "range", "age must be -1 to 150" },
    { "{\"age\":151}", "age", "range", "age must be -1 to 150" },
    { "{\"age\":9223372036854775807}", "age", "range",
      "age must be -1 to 150" },
    { "{\"age\":1.0}", "age", "type", "age must be an integer" },
    { "{\"age\":\"1\"}", "age", "type", "age must be an integer" },
    { "{\"age\":true}", "age", "type", "age must be an integer" },
    { "{\"age\":null}", "age", "type", "age must be an integer" },
    { "{\"scale\":0.49}", "scale", "range", "scale must be 0.5 to 2" },
    { "{\"scale\":2.01}", "scale", "range", "scale must be 0.5 to 2" },
    { "{\"scale\":\"1\"}", "scale", "type", "scale must be a number" },
    { "{\"on\":1}", "on", "type", "on must be true or false" },
    { "{\"on\":\"true\"}", "on", "type", "on must be true or false" },
    { "{\"tags\":[]}", "tags", "length", "tags must have 1-3 items" },
    { "{\"tags\":[\"\",\"\",\"\",\"\"]}", "tags", "length",
      "tags must have 1-3 items" },
    { "{\"tags\":\"x\"}", "tags", "type", "tags must be an array" },
    { "{\"tags\":{}}", "tags", "type", "tags must be an array" },
    { "{\"tags\":[\"a\",2,3]}", "tags.1", "type",
      "tags.1 must be a string" },
    { "{\"ids\":[\"x\"]}", "ids.0", "format", "ids.0 must be a UUID" },
    { "{\"kinds\":[\"dark\",\"x\"]}", "kinds.1", "enum",
      "kinds.1 must be one of light, dark" },
    { "{\"kinds\":[\"dark\",\"dark\",\"dark\"]}", "kinds", "length",
      "kinds must have at most 2 items" },
    { "{\"meta\":[]}", "meta", "type", "meta must be an object" },
    { "{\"meta\":null}", "meta", "type", "meta must be an object" },
    { "{\"branding\":{\"appName\":\"\"}}", "branding.appName", "length",
      "branding.appName must be 1-50 characters" },
    { "{\"branding\":{\"appName\":7}}", "branding.appName", "type",
      "branding.appName must be a string" },
    { "{\"branding\":7}", "branding", "type", "branding must be an object" },
    { "{\"branding\":null}", "branding", "type",
      "branding must be an object" },
    { "{\"branding\":{\"deep\":[]}}", "branding.deep", "type",
      "branding.deep must be an object" },
    { "{\"branding\":{\"deep\":{\"flag\":0}}}", "branding.deep.flag", "type",
      "branding.deep.flag must be true or false" }
};


static void
test_tables(ngx_pool_t *pool)
{
    size_t             i;
    target_t           t;
    ngx_str_t          error, details;
    char               expected[512];
    nchat_failures_t   failures;
    nchat_failure_t   *failure;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(check(pool, fields, good[i], &t, &failures) == NGX_OK
           && failures.list == NULL, "good: %s", good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {

        if (!ok(check(pool, fields, bad[i].json, &t, &failures)
                == NGX_DECLINED
                && failures.list && failures.list->nelts == 1,
                "one failure: %s", bad[i].json))
        {
            continue;
        }

        failure = failures.list->elts;
        is_str(&failure->field, bad[i].field, "its field");
        is_str(&failure->constraint, bad[i].constraint, "its constraint");

        ok(nchat_failures_render(pool, &failures, &error, &details) == NGX_OK,
           "rendered");

        snprintf(expected, sizeof(expected), "Validation failed: %s",
                 bad[i].message);
        is_str(&error, expected, "its sentence");

        snprintf(expected, sizeof(expected),
                 "{\"field\":\"%s\",\"constraint\":\"%s\"}", bad[i].field,
                 bad[i].constraint);
        is_str(&details, expected, "its details");
    }
}


static void
test_values(ngx_pool_t *pool)
{
    target_t           t;
    nchat_failures_t   failures;

    ok(check(pool, fields,
             "{\"name\":\" Abc \",\"email\":\" Some.One@Example.COM\","
             "\"id\":\"7F2C1F9E-1111-4222-8333-444455556666\","
             "\"date\":\"2026-01-02\",\"url\":\"https://x.y/Z\","
             "\"mode\":\"dark\",\"color\":\"#AbCdEf\",\"age\":42,"
             "\"scale\":1.25,\"on\":false,\"tags\":[\"a\",\"b\"],"
             "\"ids\":[\"7F2C1F9E-1111-4222-8333-444455556666\"],"
             "\"kinds\":[\"light\"],\"list\":[1,{}],\"meta\":{\"k\":1},"
             "\"branding\":{\"appName\":\"A\\u00e9\"}}",
             &t, &failures) == NGX_OK, "all of them at once");

    is_str(&t.name, "Abc", "a name, trimmed, its case kept");
    is_str(&t.email, "some.one@example.com", "an email, trimmed, lower");
    is_str(&t.id, "7f2c1f9e-1111-4222-8333-444455556666", "an id, lower");
    is_str(&t.date, "2026-01-02T23:59:59.999Z", "the end of a day");
    is_str(&t.url, "https://x.y/Z", "a URL as it came");
    is_str(&t.mode, "dark", "one of a list");
    is_str(&t.color, "#AbCdEf", "a colour");
    ok(t.age == 42 && t.scale == 1.25 && t.on == 0, "numbers");
    ok(json_array_size(t.tags) == 2 && json_array_size(t.ids) == 1
       && json_array_size(t.kinds) == 1 && json_array_size(t.list) == 2
       && json_object_size(t.meta) == 1, "arrays and objects");
    is_str(&t.app, "A\xc3\xa9", "a nested one");

    ok(check(pool, fields, "{\"mode\":null}", &t, &failures) == NGX_OK
       && t.name.data == NULL && t.name.len == 0 && t.mode.data == NULL
       && t.age == NGX_CONF_UNSET && t.on == NGX_CONF_UNSET && t.scale == -1
       && t.tags == NULL && t.meta == NULL, "what is absent stays as it was");
}


static const nchat_check_t  other_fields[] = {
    NCHAT_CHECK_STR("a", at(name), 0, 0, NCHAT_REQUIRED),
    NCHAT_CHECK_STR("b", at(email), 4, 4, NCHAT_BYTES|NCHAT_LOWER),
    NCHAT_CHECK_STR("c", at(id), 3, 0, 0),
    NCHAT_CHECK_INT("d", at(age), 1, 0, 0),
    NCHAT_CHECK_FIELD("e", NCHAT_CHECK_T_STR, at(url), 1, 2, NCHAT_REQUIRED,
                      NULL, "An e is needed"),
    NCHAT_CHECK_OBJECT("f", at(meta), NCHAT_REQUIRED|NCHAT_NULLABLE),
    NCHAT_CHECK_END
};


static void
test_flags(ngx_pool_t *pool)
{
    target_t           t;
    ngx_str_t          error, details;
    nchat_failures_t   failures;

    ok(check(pool, other_fields,
             "{\"a\":\"\",\"b\":\"\\u00e9AB\",\"c\":\"xyz\",\"d\":99999999,"
             "\"e\":\"e\",\"f\":{}}", &t, &failures) == NGX_OK, "good");
    ok(t.name.data != NULL && t.name.len == 0, "an empty string is there");
    is_str(&t.email, "\xc3\xa9" "ab", "bytes are counted, ASCII lowered");
    ok(t.age == 99999999, "no upper bound");

    ok(check(pool, other_fields,
             "{\"b\":\"\\u00e9ABC\",\"c\":\"xy\",\"d\":0,\"e\":\"long\","
             "\"f\":null}", &t, &failures) == NGX_DECLINED, "all bad");
    ok(nchat_failures_render(pool, &failures, &error, &details) == NGX_OK,
       "rendered");
    is_str(&error, "Validation failed: a is required", "the first one");
    is_str(&details,
           "{\"field\":\"a\",\"constraint\":\"required\",\"errors\":["
           "{\"field\":\"a\",\"constraint\":\"required\","
           "\"message\":\"a is required\"},"
           "{\"field\":\"b\",\"constraint\":\"length\","
           "\"message\":\"b must be 4 bytes\"},"
           "{\"field\":\"c\",\"constraint\":\"length\","
           "\"message\":\"c must be at least 3 characters\"},"
           "{\"field\":\"d\",\"constraint\":\"range\","
           "\"message\":\"d must be at least 1\"},"
           "{\"field\":\"e\",\"constraint\":\"length\","
           "\"message\":\"An e is needed\"},"
           "{\"field\":\"f\",\"constraint\":\"required\","
           "\"message\":\"f is required\"}]}", "and all of them");

    ok(check(pool, fields, "{\"branding\":1}", &t, &failures) == NGX_DECLINED
       && failures.list->nelts == 1, "a wrong section fails once");

    failures.list = NULL;
    ok(nchat_failures_render(pool, &failures, &error, &details) == NGX_ERROR,
       "nothing to render");
    ok(nchat_failures_add(pool, &failures, "x\"y", "unique", "It's \"taken\"")
       == NGX_OK
       && nchat_failures_render(pool, &failures, &error, &details) == NGX_OK,
       "one's own failure");
    is_str(&error, "Validation failed: It's \"taken\"", "its sentence");
    is_str(&details, "{\"field\":\"x\\\"y\",\"constraint\":\"unique\"}",
           "its details, escaped");
}


static void
test_rules(void)
{
    char        text[300];
    size_t      i;
    ngx_str_t   s;

    static const char  *emails[] = {
        "a@b.c", "some.one+tag@sub.example.com", "x_y-z@1.2",
        "\xc3\xa9@\xc3\xa9.fr", "'a'@b.c", ".a.@b.c"
    };

    static const char  *no_emails[] = {
        "", "a", "a@b", "@b.c", "a@", "a@.b", "a@b.", "a@b..c", "a@@b.c",
        "a@b@c.d", "a b@c.d", "a@b c.d", "a@b.c\n", "\ta@b.c", "a\x7f@b.c",
        "a@b\x01.c", "a.b", "@", "@."
    };

    static const char  *names[] = {
        "abc", "A_b-9", "---", "012345678901234567890123456789"
    };

    static const char  *no_names[] = {
        "", "ab", "a b", "abc!", "\xc3\xa9\xc3\xa9", "a.b", "abc\n",
        "0123456789012345678901234567890"
    };

    for (i = 0; i < sizeof(emails) / sizeof(emails[0]); i++) {
        s.data = (u_char *) emails[i];
        s.len = strlen(emails[i]);
        ok(nchat_check_email(&s), "an email: %s", emails[i]);
    }

    for (i = 0; i < sizeof(no_emails) / sizeof(no_emails[0]); i++) {
        s.data = (u_char *) no_emails[i];
        s.len = strlen(no_emails[i]);
        ok(!nchat_check_email(&s), "no email: number %zu", i);
    }

    memset(text, 'a', sizeof(text));
    (void) stpcpy(text + 250, "@b.c");
    s.data = (u_char *) text;
    s.len = 254;
    ok(nchat_check_email(&s), "254 characters");
    (void) stpcpy(text + 250, "a@b.c");
    s.len = 255;
    ok(!nchat_check_email(&s), "255 characters");

    s = str("a\0@b.c");
    ok(!nchat_check_email(&s), "a NUL");

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        s.data = (u_char *) names[i];
        s.len = strlen(names[i]);
        ok(nchat_check_username(&s), "a username: %s", names[i]);
    }

    for (i = 0; i < sizeof(no_names) / sizeof(no_names[0]); i++) {
        s.data = (u_char *) no_names[i];
        s.len = strlen(no_names[i]);
        ok(!nchat_check_username(&s), "no username: number %zu", i);
    }
}


static void
test_memory(void)
{
    target_t           t;
    json_t            *object;
    ngx_int_t          n, rc;
    ngx_str_t          text, error, details;
    ngx_pool_t        *pool, *mine;
    ngx_uint_t         wrong;
    const char        *why;
    nchat_failures_t   failures;

    pool = ngx_create_pool(1024, NULL);
    text = str("{\"name\":\"abcdef\",\"email\":\"A@B.C\",\"kinds\":[\"x\"],"
               "\"date\":\"2026-01-01\",\"id\":"
               "\"7F2C1F9E-1111-4222-8333-444455556666\",\"mode\":\"x\"}");
    ok(nchat_json_parse(pool, &text, 0, &object, &why) == NGX_OK, "parsed");

    wrong = 0;

    for (n = 0; n < 1000; n++) {
        mine = ngx_create_pool(1024, NULL);
        failures.list = NULL;

        stubs_fail_at(n);
        rc = nchat_check(mine, fields, object, &t, &failures);

        if (rc == NGX_DECLINED) {
            rc = nchat_failures_render(mine, &failures, &error, &details);
        }

        ngx_destroy_pool(mine);

        if (!stubs_failed()) {
            break;
        }

        wrong += rc != NGX_ERROR;
    }

    stubs_fail_at(-1);

    ok(n > 8 && n < 1000 && rc == NGX_OK && wrong == 0,
       "each of %d allocations may fail", (int) n);

    ngx_destroy_pool(pool);
}


int
main(void)
{
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    test_tables(pool);
    test_values(pool);
    test_flags(pool);
    test_rules();

    ngx_destroy_pool(pool);

    test_memory();

    return tap_done();
}
