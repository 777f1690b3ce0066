#include "nchat_json.h"
#include "ngx_stubs.h"
#include "tap.h"


static const struct {
    ngx_str_t     text;
    const char   *why;          /* part of it; NULL if good */
    const char   *name;
} cases[] = {
    { ngx_string("{}"), NULL, "an empty object" },
    { ngx_string(" \t\r\n{\"a\":1}\n "), NULL, "white space around" },
    { ngx_string("{\"a\":\"\\u00e9\\ud83d\\ude00\"}"), NULL, "a pair" },
    { ngx_string("{\"a\":\"\xc3\xa9\xf0\x9f\x98\x80\"}"), NULL, "UTF-8" },
    { ngx_string("{\"a\":\"\xf4\x8f\xbf\xbf\"}"), NULL, "U+10FFFF" },
    { ngx_string("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"}"),
      NULL, "brackets in a string are no levels" },
    { ngx_string("{\"a\":{\"b\":1},\"c\":{\"b\":1}}"), NULL,
      "the same name in two objects" },

    { ngx_string(""), "empty", "nothing" },
    { ngx_string(" \n"), "empty", "white space" },
    { ngx_string("[]"), "object", "an array" },
    { ngx_string("[{}]"), "object", "an array of an object" },
    { ngx_string("\"x\""), "object", "a string" },
    { ngx_string("1"), "object", "a number" },
    { ngx_string("null"), "object", "null" },
    { ngx_string("{"), "early", "half an object" },
    { ngx_string("{\"a\":\"b"), "early", "half a string" },
    { ngx_string("{\"a\":1,}"), "JSON", "a comma too many" },
    { ngx_string("{\"a\":1}}"), "JSON", "a brace too many" },
    { ngx_string("{\"a\":1} {}"), "JSON", "two objects" },
    { ngx_string("{a:1}"), "JSON", "no quotes" },
    { ngx_string("{'a':1}"), "JSON", "wrong quotes" },
    { ngx_string("{\"a\":01}"), "JSON", "a leading zero" },
    { ngx_string("{\"a\":NaN}"), "JSON", "NaN" },
    { ngx_string("{\"a\":+1}"), "JSON", "a plus" },
    { ngx_string("{\"a\":1 /* c */}"), "JSON", "a comment" },
    { ngx_string("{\"a\":\"\n\"}"), "JSON", "a line break in a string" },
    { ngx_string("{\"a\":\"\\x\"}"), "JSON", "an unknown escape" },
    { ngx_string("\xef\xbb\xbf{}"), "JSON", "a byte order mark" },
    { ngx_string("{\"a\":1,\"a\":2}"), "twice", "a name twice" },
    { ngx_string("{\"x\":{\"a\":1,\"\\u0061\":2}}"), "twice",
      "a name twice, once escaped" },
    { ngx_string("{\"a\":\"\\u0000\"}"), "U+0000", "an escaped NUL" },
    { ngx_string("{\"a\\u0000\":1}"), "U+0000", "an escaped NUL in a name" },
    { ngx_string("{\"a\":\"x\0y\"}"), "U+0000", "a NUL in a string" },
    { ngx_string("{\"a\":1}\0"), "U+0000", "a NUL after it" },
    { ngx_string("true\0 false"), "U+0000", "a NUL after a literal" },
    { ngx_string("{}\0{}"), "U+0000", "a NUL between" },
    { ngx_string("{\"a\":\"\\ud800\"}"), "(line", "a lone high surrogate" },
    { ngx_string("{\"a\":\"\\udc00\"}"), "(line", "a lone low surrogate" },
    { ngx_string("{\"a\":\"\\ud800\\ud800\"}"), "(line", "two high ones" },
    { ngx_string("{\"a\":\"\xed\xa0\x80\"}"), "UTF-8", "a raw surrogate" },
    { ngx_string("{\"a\":\"\xc0\xaf\"}"), "UTF-8", "an overlong slash" },
    { ngx_string("{\"a\":\"\xc0\x80\"}"), "UTF-8", "an overlong NUL" },
    { ngx_string("{\"a\":\"\xe0\x80\xaf\"}"), "UTF-8", "overlong in three" },
    { ngx_string("{\"a\":\"\xf0\x80\x80\xaf\"}"), "UTF-8", "in four" },
    { ngx_string("{\"a\":\"\xf4\x90\x80\x80\"}"), "UTF-8", "above U+10FFFF" },
    { ngx_string("{\"a\":\"\xff\"}"), "UTF-8", "a byte that never occurs" },
    { ngx_string("{\"a\":\"\xe2\x82\"}"), "UTF-8", "a sequence cut off" },
    { ngx_string("{\"a\":\"\x80\"}"), "UTF-8", "a stray continuation" },
    { ngx_string("{\"\xff\":1}"), "UTF-8", "in a name" },
    { ngx_string("{\"a\":1e999}"), "too large", "a number beyond doubles" },
    { ngx_string("{\"a\":99999999999999999999}"), "too large",
      "an integer beyond 64 bits" },
    { ngx_string("{\"a\":[-1.5E-9999,0e+999,\"1e99999\"]}"), NULL,
      "exponents of four digits, and text" },
    { ngx_string("{\"a\":1e-20000}"), "range", "a number close to nothing" },
    { ngx_string("{\"a\":0.0e-99999}"), "range", "no number with so many digits" },
    { ngx_string("{\"password\":\"s3cret"), "early", "half a secret" }
};


/* Texts are copied so that a read beyond their end is noticed. */

static ngx_int_t
parse(ngx_pool_t *pool, const ngx_str_t *text, ngx_uint_t flags,
    json_t **json, const char **why)
{
    ngx_int_t  rc;
    ngx_str_t  copy;

    copy.len = text->len;
    copy.data = malloc(text->len + !text->len);
    memcpy(copy.data, text->data, text->len);

    rc = nchat_json_parse(pool, &copy, flags, json, why);

    free(copy.data);

    return rc;
}


static void
test_cases(ngx_pool_t *pool)
{
    size_t       i;
    json_t      *json;
    ngx_int_t    rc;
    const char  *why;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        why = "";
        rc = parse(pool, &cases[i].text, 0, &json, &why);

        if (cases[i].why == NULL) {
            ok(rc == NGX_OK && json_is_object(json), "good: %s",
               cases[i].name);
            continue;
        }

        if (!ok(rc == NGX_DECLINED && json == NULL
                && strstr(why, cases[i].why) != NULL,
                "refused: %s", cases[i].name))
        {
            printf("# %d: %s\n", (int) rc, why);
        }

        ok(strncmp(why, "The request body ", 17) == 0
           && strstr(why, "s3cret") == NULL, "in words: %s", why);
    }
}


static ngx_int_t
nested(ngx_pool_t *pool, ngx_uint_t depth, const char *open, const char *core,
    const char *close)
{
    char        *p, *text;
    json_t      *json;
    ngx_int_t    rc;
    ngx_str_t    value;
    ngx_uint_t   i;
    const char  *why;

    text = malloc(depth * (strlen(open) + strlen(close)) + strlen(core) + 1);
    p = text;

    for (i = 0; i < depth; i++) {
        p = stpcpy(p, open);
    }

    p = stpcpy(p, core);

    for (i = 0; i < depth; i++) {
        p = stpcpy(p, close);
    }

    value.data = (u_char *) text;
    value.len = p - text;

    rc = nchat_json_parse(pool, &value, NCHAT_JSON_ANY, &json, &why);
    free(text);

    return rc;
}


static void
test_bounds(ngx_pool_t *pool)
{
    char        *text, *p;
    json_t      *json;
    ngx_str_t    value;
    ngx_uint_t   i;
    const char  *why;

    ok(nested(pool, 32, "[", "", "]") == NGX_OK, "32 arrays");
    ok(nested(pool, 33, "[", "", "]") == NGX_DECLINED, "33 arrays");
    ok(nested(pool, 31, "[[],", "[]", "]") == NGX_OK, "32 with siblings");
    ok(nested(pool, 32, "[[],", "[]", "]") == NGX_DECLINED,
       "33 with siblings");
    ok(nested(pool, 31, "{\"a\":", "{}", "}") == NGX_OK, "32 objects");
    ok(nested(pool, 32, "{\"a\":", "{}", "}") == NGX_DECLINED, "33 objects");
    ok(nested(pool, 500000, "[", "", "") == NGX_DECLINED, "half a million");
    ok(nested(pool, 500000, "{\"a\":", "", "") == NGX_DECLINED,
       "half a million objects");

    text = malloc(4 * NCHAT_JSON_VALUES);
    p = stpcpy(text, "{\"a\":[0");

    /* the top, the array and its first item are three values already */

    for (i = 3; i < NCHAT_JSON_VALUES; i++) {
        p = stpcpy(p, ",0");
    }

    (void) stpcpy(p, "]}");
    value.data = (u_char *) text;
    value.len = strlen(text);
    ok(nchat_json_parse(pool, &value, 0, &json, &why) == NGX_OK,
       "as many values as are allowed");

    (void) stpcpy(p, ",0,0]}");
    value.len = strlen(text);
    ok(nchat_json_parse(pool, &value, 0, &json, &why) == NGX_DECLINED
       && strstr(why, "65536 values"), "more values than that");

    free(text);

    value = str("[1,\"x\"]");
    ok(nchat_json_parse(pool, &value, NCHAT_JSON_ANY, &json, &why) == NGX_OK
       && json_array_size(json) == 2, "an array, where any value may stand");
    value = str("\"x\"");
    ok(nchat_json_parse(pool, &value, NCHAT_JSON_ANY, &json, &why) == NGX_OK
       && json_is_string(json), "a string");
}


static void
test_dump(ngx_pool_t *pool)
{
    size_t       i;
    json_t      *json, *item;
    ngx_str_t    text, out, back;
    const char  *why;

    text = str("{ \"b\" : [1, 2.5, 0.1, true, null], \"a\" : \"\\u00e9/\" }");
    ok(nchat_json_parse(pool, &text, 0, &json, &why) == NGX_OK, "parsed");

    ok(nchat_json_dump(pool, json, 0, &out) == NGX_OK, "dumped");
    is_str(&out, "{\"b\":[1,2.5,0.1,true,null],\"a\":\"\xc3\xa9/\"}",
           "compact, in order, 0.1 as it was");

    ok(nchat_json_dump(pool, json, JSON_SORT_KEYS, &out) == NGX_OK, "sorted");
    is_str(&out, "{\"a\":\"\xc3\xa9/\",\"b\":[1,2.5,0.1,true,null]}",
           "by name");

    ok(nchat_json_dump(pool, json, JSON_REAL_PRECISION(17), &out) == NGX_OK
       && strstr((char *) out.data, "0.10000000000000001"),
       "the caller's precision wins");

    ok(nchat_json_members(pool, json, 0, &out) == NGX_OK, "members");
    is_str(&out, "\"b\":[1,2.5,0.1,true,null],\"a\":\"\xc3\xa9/\"",
           "without braces");

    json = json_object();
    ok(nchat_json_own(pool, json) == NGX_OK, "owned by the pool");
    ok(nchat_json_members(pool, json, 0, &out) == NGX_OK && out.len == 0,
       "the members of an empty object are nothing");
    ok(nchat_json_dump(pool, json, 0, &out) == NGX_OK, "an empty object");
    is_str(&out, "{}", "is {}");

    /* around the first guess of the size, and far beyond */

    for (i = 1000; i < 1050; i++) {
        item = json_stringn("", 0);
        text.data = malloc(i);
        text.len = i;
        memset(text.data, 'x', i);
        json_string_setn(item, (char *) text.data, i);
        json_object_set_new(json, "a", item);

        ok(nchat_json_dump(pool, json, 0, &out) == NGX_OK
           && out.len == i + 8
           && nchat_json_parse(pool, &out, 0, &item, &why) == NGX_OK
           && nchat_json_string(item, "a", &back) == NGX_OK
           && back.len == i && memcmp(back.data, text.data, i) == 0,
           "a string of %zu comes back", i);
        free(text.data);
    }

    ok(nchat_json_own(pool, NULL) == NGX_ERROR, "NULL cannot be owned");

    ok(nchat_json_string(json, "b", &back) == NGX_DECLINED, "absent");
    json_object_set_new(json, "b", json_integer(1));
    ok(nchat_json_string(json, "b", &back) == NGX_DECLINED, "no string");
}


static const struct {
    ngx_str_t    in;
    const char  *out;
} escapes[] = {
    { ngx_string(""), "" },
    { ngx_string("plain"), "plain" },
    { ngx_string("\"\\/"), "\\\"\\\\/" },
    { ngx_string("\n\r\t\b\f"), "\\n\\r\\t\\u0008\\u000c" },
    { ngx_string("\0\x01\x1f\x7f"), "\\u0000\\u0001\\u001f\x7f" },
    { ngx_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
      "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
    { ngx_string("a\xff" "b"), "a\xef\xbf\xbd" "b" },
    { ngx_string("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd" },
    { ngx_string("\xe2\x82\xac\xe2"), "\xe2\x82\xac\xef\xbf\xbd" },
    { ngx_string("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd" },
    { ngx_string("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    { ngx_string("\xf4\x90\x80\x80"),
      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }
};


static void
test_escape(ngx_pool_t *pool)
{
    size_t       i, j, n;
    u_char       bytes[24], quoted[24 * 6 + 2];
    json_t      *json;
    ngx_str_t    in, out;
    ngx_uint_t   wrong;
    const char  *why;

    for (i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        n = nchat_json_escape_len(&escapes[i].in);
        out.data = malloc(n + !n);
        out.len = nchat_json_escape(out.data, &escapes[i].in) - out.data;

        ok(out.len == n, "escape %zu has the length foretold", i);
        is_str(&out, escapes[i].out, "escape %zu", i);
        free(out.data);
    }

    /* whatever the bytes, but for NUL, the result is a JSON string */

    srand(1);
    wrong = 0;

    for (i = 0; i < 20000; i++) {
        in.data = bytes;
        in.len = rand() % sizeof(bytes);

        for (j = 0; j < in.len; j++) {
            bytes[j] = (rand() % 3) ? 0x80 + rand() % 128 : 1 + rand() % 127;
        }

        n = nchat_json_escape_len(&in);
        quoted[0] = '"';
        out.data = quoted;
        out.len = nchat_json_escape(quoted + 1, &in) - quoted;
        wrong += out.len != n + 1;
        quoted[out.len++] = '"';

        wrong += nchat_json_parse(pool, &out, NCHAT_JSON_ANY, &json, &why)
                 != NGX_OK;
    }

    ok(wrong == 0, "20000 random texts become JSON strings");
}


/* One character among others, at every place: it comes back. */

static void
test_escape_places(ngx_pool_t *pool)
{
    size_t       i, j, n;
    u_char       bytes[20], quoted[20 * 6 + 2];
    json_t      *json;
    ngx_str_t    in, out;
    ngx_uint_t   wrong;
    const char  *why;

    wrong = 0;

    for (i = 1; i < 128; i++) {
        for (j = 0; j < sizeof(bytes); j++) {
            in.data = bytes;
            in.len = sizeof(bytes);
            memset(bytes, 'a' + (int) j, in.len);
            bytes[j] = i;

            n = nchat_json_escape_len(&in);
            quoted[0] = '"';
            out.data = quoted;
            out.len = nchat_json_escape(quoted + 1, &in) - quoted;
            wrong += out.len != n + 1;
            quoted[out.len++] = '"';

            wrong += nchat_json_parse(pool, &out, NCHAT_JSON_ANY, &json, &why)
                     != NGX_OK
                     || json_string_length(json) != in.len
                     || memcmp(json_string_value(json), bytes, in.len) != 0;
        }
    }

    ok(wrong == 0, "every character at every place comes back");
}


static void
test_utf8(void)
{
    size_t      i, j, n;
    u_char      buf[4];
    json_t     *json;
    ngx_str_t   text;
    ngx_uint_t  wrong;

    text = str("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    ok(nchat_utf8_len(&text) == 4, "four code points of four lengths");
    ok(nchat_utf8_valid(&text), "are valid");

    text = str("a\xff\xfe");
    ok(nchat_utf8_len(&text) == 3, "wrong bytes count as one each");
    ok(!nchat_utf8_valid(&text), "are not valid");

    text = str("a\0b");
    ok(!nchat_utf8_valid(&text), "neither is a NUL");

    text = str("");
    ok(nchat_utf8_len(&text) == 0 && nchat_utf8_valid(&text), "nothing");

    /* against jansson, for every text of two bytes and many of four */

    wrong = 0;

    for (i = 0x0100; i < 0x10000 + 400000; i++) {
        n = i < 0x10000 ? 2 : 4;

        for (j = 0; j < 4; j++) {
            buf[j] = i < 0x10000 ? (u_char) (i >> (8 * (j & 1)))
                                 : (u_char) (rand() >> 8);
        }

        if (n == 4) {
            /* mostly lead bytes first, continuations behind */
            buf[0] |= 0xc0;
            buf[1] = 0x80 | (buf[1] & 0x7f);
            buf[2] = (buf[2] & 0x40) ? buf[2] : (0x80 | (buf[2] & 0x3f));
            buf[3] = (buf[3] & 0x20) ? buf[3] : (0x80 | (buf[3] & 0x3f));
        }

        text.data = buf;
        text.len = n;

        json = json_stringn((char *) buf, n);
        wrong += (json != NULL && memchr(buf, 0, n) == NULL)
                 != (nchat_utf8_valid(&text) == 1);
        json_decref(json);
    }

    ok(wrong == 0, "the rules for UTF-8 are jansson's");
}


/* Each allocation fails once: an error, no leak and no crash. */

static void
test_memory(void)
{
    json_t      *json;
    ngx_int_t    n, rc;
    ngx_str_t    text, out;
    ngx_pool_t  *pool;
    ngx_uint_t   wrong;
    const char  *why;

    text = str("{\"a\":[1,2.5,{\"b\":\"text\"}],\"c\":\"\\u00e9\"}");
    wrong = 0;

    for (n = 0; n < 1000; n++) {
        pool = ngx_create_pool(1024, NULL);

        stubs_fail_at(n);
        rc = nchat_json_parse(pool, &text, 0, &json, &why);

        if (rc == NGX_OK) {
            rc = nchat_json_dump(pool, json, 0, &out);
        }

        ngx_destroy_pool(pool);

        if (!stubs_failed()) {
            break;
        }

        wrong += rc == NGX_OK;
    }

    stubs_fail_at(-1);

    ok(n > 10 && n < 1000 && rc == NGX_OK && wrong == 0,
       "each of %d allocations may fail", (int) n);
}


int
main(void)
{
    ngx_pool_t  *pool;

    stubs_fail_jansson(1);

    pool = ngx_create_pool(1024, NULL);

    test_cases(pool);
    test_bounds(pool);
    test_dump(pool);
    test_escape(pool);
    test_escape_places(pool);
    test_utf8();

    ngx_destroy_pool(pool);

    test_memory();

    return tap_done();
}
