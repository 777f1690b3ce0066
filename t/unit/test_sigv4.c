/*
 * AWS's published vectors: the examples of the Amazon S3 API Reference
 * ("Authenticating Requests", with headers and with query parameters) and the
 * AWS Signature Version 4 test suite.
 */

#include "nchat_sigv4.h"
#include "ngx_stubs.h"
#include "tap.h"


#define NOTHING                                                               \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define pair(name, value)  { ngx_string(name), ngx_string(value) }
#define count(array)       (sizeof(array) / sizeof(array[0]))


typedef struct {
    const char           *name;
    const char           *method;
    const char           *path;
    nchat_sigv4_pair_t   *args;
    ngx_uint_t            nargs;
    nchat_sigv4_pair_t   *headers;
    ngx_uint_t            nheaders;
    const char           *payload;
    const char           *signature;
} vector_t;


static const nchat_sigv4_key_t  s3_key = {
    ngx_string("AKIAIOSFODNN7EXAMPLE"),
    ngx_string("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ngx_null_string, ngx_string("us-east-1"), ngx_string("s3")
};

static const nchat_sigv4_key_t  suite_key = {
    ngx_string("AKIDEXAMPLE"),
    ngx_string("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ngx_null_string, ngx_string("us-east-1"), ngx_string("service")
};

#define S3_TIME     1369353600     /* 20130524T000000Z */
#define SUITE_TIME  1440938160     /* 20150830T123600Z */

#define S3_HOST     pair("host", "examplebucket.s3.amazonaws.com")
#define S3_DATE     pair("x-amz-date", "20130524T000000Z")


/* S3: GET of a range, PUT of an object, GET of lifecycle and of a list */

static nchat_sigv4_pair_t  get_headers[] = {
    pair("x-amz-content-sha256", NOTHING), S3_DATE,
    pair("range", "bytes=0-9"), S3_HOST
};

static nchat_sigv4_pair_t  put_headers[] = {
    S3_HOST, pair("date", "Fri, 24 May 2013 00:00:00 GMT"), S3_DATE,
    pair("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    pair("x-amz-content-sha256",
         "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
};

static nchat_sigv4_pair_t  plain_headers[] = {
    S3_HOST, S3_DATE, pair("x-amz-content-sha256", NOTHING)
};

static nchat_sigv4_pair_t  lifecycle_args[] = { pair("lifecycle", "") };

static nchat_sigv4_pair_t  list_args[] = {
    pair("prefix", "J"), pair("max-keys", "2")
};

/* the suite */

static nchat_sigv4_pair_t  suite_headers[] = {
    pair("host", "example.amazonaws.com"),
    pair("x-amz-date", "20150830T123600Z")
};

static nchat_sigv4_pair_t  order_args[] = {
    pair("Param2", "value2"), pair("Param1", "value1")
};

static nchat_sigv4_pair_t  value_args[] = {
    pair("Param1", "value2"), pair("Param1", "value1")
};

static nchat_sigv4_pair_t  utf8_args[] = { pair("\xe1\x88\xb4", "bar") };

static nchat_sigv4_pair_t  trim_headers[] = {
    pair("host", "example.amazonaws.com"), pair("my-header1", " value1"),
    pair("my-header2", " \"a   b   c\""),
    pair("x-amz-date", "20150830T123600Z")
};


static vector_t  s3_vectors[] = {
    { "GET object", "GET", "/test.txt", NULL, 0, get_headers,
      count(get_headers), NOTHING,
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
    { "PUT object", "PUT", "/test$file.text", NULL, 0, put_headers,
      count(put_headers),
      "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
    { "GET bucket lifecycle", "GET", "/", lifecycle_args,
      count(lifecycle_args), plain_headers, count(plain_headers), NOTHING,
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
    { "GET bucket", "GET", "/", list_args, count(list_args), plain_headers,
      count(plain_headers), NOTHING,
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
    { NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL }
};

static vector_t  suite_vectors[] = {
    { "get-vanilla", "GET", "/", NULL, 0, suite_headers,
      count(suite_headers), NOTHING,
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    { "post-vanilla", "POST", "/", NULL, 0, suite_headers,
      count(suite_headers), NOTHING,
      "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "get-vanilla-query-order-key-case", "GET", "/", order_args,
      count(order_args), suite_headers, count(suite_headers), NOTHING,
      "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    { "get-vanilla-query-order-value", "GET", "/", value_args,
      count(value_args), suite_headers, count(suite_headers), NOTHING,
      "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694" },
    { "get-vanilla-utf8-query", "GET", "/", utf8_args, count(utf8_args),
      suite_headers, count(suite_headers), NOTHING,
      "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
    { "get-utf8", "GET", "/\xe1\x88\xb4", NULL, 0, suite_headers,
      count(suite_headers), NOTHING,
      "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
    { "get-header-value-trim", "GET", "/", NULL, 0, trim_headers,
      count(trim_headers), NOTHING,
      "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
    { NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL }
};


static void
test_vectors(const vector_t *v, const nchat_sigv4_key_t *key, time_t time)
{
    u_char                  signature[64];
    ngx_str_t               query, names, got;
    ngx_pool_t             *pool;
    nchat_sigv4_request_t   r;

    for ( /* void */ ; v->name; v++) {
        pool = ngx_create_pool(1024, NULL);

        r.method.data = (u_char *) v->method;
        r.method.len = strlen(v->method);
        r.path.data = (u_char *) v->path;
        r.path.len = strlen(v->path);
        r.args = v->args;
        r.nargs = v->nargs;
        r.headers = v->headers;
        r.nheaders = v->nheaders;
        r.payload.data = (u_char *) v->payload;
        r.payload.len = strlen(v->payload);
        r.time = time;

        ok(nchat_sigv4_sign(pool, key, &r, signature, &query, &names)
           == NGX_OK, "%s is signed", v->name);

        got.data = signature;
        got.len = sizeof(signature);
        is_str(&got, v->signature, "%s", v->name);

        ngx_destroy_pool(pool);
    }
}


static nchat_sigv4_pair_t  host[] = { S3_HOST };

static nchat_sigv4_request_t  presigned = {
    ngx_string("GET"), ngx_string("/test.txt"), NULL, 0, host, 1,
    ngx_null_string, S3_TIME
};


static void
test_presign(void)
{
    ngx_str_t           uri;
    ngx_pool_t         *pool;
    nchat_sigv4_key_t   key;

    pool = ngx_create_pool(1024, NULL);

    ok(nchat_sigv4_presign(pool, &s3_key, &presigned, 86400, &uri) == NGX_OK,
       "a presigned GET");
    is_str(&uri, "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
           "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1"
           "%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
           "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
           "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
           "is AWS's own example");

    key = s3_key;
    key.token = str("a/token+=");

    ok(nchat_sigv4_presign(pool, &key, &presigned, 60, &uri) == NGX_OK,
       "with temporary credentials");
    ok(ngx_strstr(uri.data, "&X-Amz-Security-Token=a%2Ftoken%2B%3D&") != NULL,
       "the token is part of the query");

    ngx_destroy_pool(pool);
}


static void
test_encode(void)
{
    u_char     text[64];
    ngx_str_t  got, src;

    src = str("az AZ09-._~/+%\xc3\xa4");

    got.data = text;
    got.len = nchat_sigv4_encode(text, &src, 1) - text;
    is_str(&got, "az%20AZ09-._~/%2B%25%C3%A4", "a path keeps its slashes");

    got.len = nchat_sigv4_encode(text, &src, 0) - text;
    is_str(&got, "az%20AZ09-._~%2F%2B%25%C3%A4", "an argument does not");
}


/* Whatever allocation fails, the call says so, and nothing leaks. */

static void
test_memory(void)
{
    ngx_int_t    n, rc;
    ngx_str_t    uri;
    ngx_uint_t   wrong;
    ngx_pool_t  *pool;

    wrong = 0;

    for (n = 0; n < 100; n++) {
        pool = ngx_create_pool(1024, NULL);

        stubs_fail_at(n);
        rc = nchat_sigv4_presign(pool, &s3_key, &presigned, 60, &uri);
        wrong += (rc == NGX_OK) == (stubs_failed() != 0);
        stubs_fail_at(-1);

        ngx_destroy_pool(pool);

        if (rc == NGX_OK) {
            break;
        }
    }

    ok(n > 5 && n < 100 && wrong == 0, "%d allocations may fail", (int) n);
}


int
main(void)
{
    test_vectors(s3_vectors, &s3_key, S3_TIME);
    test_vectors(suite_vectors, &suite_key, SUITE_TIME);
    test_presign();
    test_encode();
    test_memory();

    return tap_done();
}
