/* The words after "nchat_storage s3", and the file with its key. */

#include "nchat_store_s3.h"


#define NCHAT_S3_KEY_FILE_MAX  4096


static const char *nchat_s3_words(ngx_conf_t *cf, nchat_s3_t *s3,
    ngx_str_t *words, ngx_uint_t n, ngx_str_t *bucket, ngx_str_t *key_file);
static const char *nchat_s3_endpoint(ngx_conf_t *cf, nchat_s3_t *s3,
    const ngx_str_t *bucket);
static ngx_uint_t nchat_s3_has_only(const ngx_str_t *text,
    const ngx_str_t *others);
static const char *nchat_s3_read_keys(ngx_conf_t *cf, nchat_s3_t *s3,
    ngx_str_t *name);
static void nchat_s3_key_line(nchat_s3_t *s3, u_char *line, u_char *last);


const char *
nchat_s3_configure(ngx_conf_t *cf, nchat_files_conf_t *conf, ngx_str_t *words,
    ngx_uint_t n)
{
    ngx_str_t    key_file;
    nchat_s3_t  *s3;
    const char  *why;

    s3 = ngx_pcalloc(cf->pool, sizeof(nchat_s3_t));
    if (s3 == NULL) {
        return "out of memory";
    }

    conf->data = s3;
    ngx_str_null(&key_file);
    ngx_str_set(&s3->key.service, "s3");

    why = nchat_s3_words(cf, s3, words, n, &conf->bucket, &key_file);
    if (why) {
        return why;
    }

    if (s3->endpoint.len == 0 || conf->bucket.len == 0
        || s3->key.region.len == 0 || key_file.len == 0)
    {
        return "\"s3\" needs endpoint=, bucket=, region= and key_file=";
    }

    why = nchat_s3_endpoint(cf, s3, &conf->bucket);

    return why ? why : nchat_s3_read_keys(cf, s3, &key_file);
}


static const char *
nchat_s3_words(ngx_conf_t *cf, nchat_s3_t *s3, ngx_str_t *words, ngx_uint_t n,
    ngx_str_t *bucket, ngx_str_t *key_file)
{
    size_t       len;
    ngx_uint_t   i, j;
    ngx_str_t    style, once;

    const struct {
        const char  *name;
        ngx_str_t   *target;
    } known[] = {
        { "endpoint=", &s3->endpoint },
        { "bucket=", bucket },
        { "region=", &s3->key.region },
        { "key_file=", key_file },
        { "style=", &style },
        { "once=", &once },
        { NULL, NULL }
    };

    ngx_str_set(&style, "path");
    ngx_str_set(&once, "off");

    for (i = 0; i < n; i++) {
        for (j = 0; known[j].name; j++) {
            len = ngx_strlen(known[j].name);

            if (words[i].len >= len
                && ngx_strncmp(words[i].data, known[j].name, len) == 0)
            {
                known[j].target->data = words[i].data + len;
                known[j].target->len = words[i].len - len;
                break;
            }
        }

        if (known[j].name == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "nchat_storage: unknown parameter \"%V\"",
                               &words[i]);
            return "\"s3\" knows endpoint=, bucket=, region=, style=, once= "
                   "and key_file=";
        }
    }

    if (style.len == 7 && ngx_strncmp(style.data, "virtual", 7) == 0) {
        s3->virtual_host = 1;

    } else if (style.len != 4 || ngx_strncmp(style.data, "path", 4) != 0) {
        return "style= must be \"path\" or \"virtual\"";
    }

    if (once.len == 2 && ngx_strncmp(once.data, "on", 2) == 0) {
        s3->once = 1;

    } else if (once.len != 3 || ngx_strncmp(once.data, "off", 3) != 0) {
        return "once= must be \"on\" or \"off\"";
    }

    return NULL;
}


/* Splits the URL, and puts the bucket where the style wants it. */

static const char *
nchat_s3_endpoint(ngx_conf_t *cf, nchat_s3_t *s3, const ngx_str_t *bucket)
{
    ngx_str_t  *url;

    static const ngx_str_t  of_url = ngx_string(".-:[]");
    static const ngx_str_t  of_bucket = ngx_string(".-_");

    url = &s3->endpoint;

    if (url->len > 8 && ngx_strncmp(url->data, "https://", 8) == 0) {
        ngx_str_set(&s3->scheme, "https://");

    } else if (url->len > 7 && ngx_strncmp(url->data, "http://", 7) == 0) {
        ngx_str_set(&s3->scheme, "http://");

    } else {
        return "endpoint= must begin with http:// or https://";
    }

    url->data += s3->scheme.len;
    url->len -= s3->scheme.len;

    if (url->len && url->data[url->len - 1] == '/') {
        url->len--;
    }

    if (!nchat_s3_has_only(url, &of_url)) {
        return "endpoint= must be a host and, maybe, a port";
    }

    if (!nchat_s3_has_only(bucket, &of_bucket)) {
        return "bucket= may only have letters, digits, \".\", \"-\" and "
               "\"_\"";
    }

    s3->host = *url;
    s3->prefix.len = s3->virtual_host ? 0 : bucket->len + 1;
    s3->prefix.data = ngx_pnalloc(cf->pool, bucket->len + 1);

    if (s3->prefix.data == NULL) {
        return "out of memory";
    }

    ngx_sprintf(s3->prefix.data, "/%V", bucket);

    if (s3->virtual_host) {
        s3->host.data = ngx_pnalloc(cf->pool, bucket->len + url->len + 1);
        if (s3->host.data == NULL) {
            return "out of memory";
        }

        s3->host.len = ngx_sprintf(s3->host.data, "%V.%V", bucket, url)
                       - s3->host.data;
    }

    return NULL;
}


/* 1 if the text has letters, digits and these others only. */

static ngx_uint_t
nchat_s3_has_only(const ngx_str_t *text, const ngx_str_t *others)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (!isalnum(text->data[i])
            && ngx_strlchr(others->data, others->data + others->len,
                           text->data[i])
               == NULL)
        {
            return 0;
        }
    }

    return 1;
}


/* The format of ~/.aws/credentials; sections make no difference. */

static const char *
nchat_s3_read_keys(ngx_conf_t *cf, nchat_s3_t *s3, ngx_str_t *name)
{
    u_char    *p, *buf, *last, *line;
    ssize_t    n;
    ngx_fd_t   fd;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return "out of memory";
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "cannot open \"%V\"", name);
        return "key_file= cannot be opened";
    }

    buf = ngx_palloc(cf->pool, NCHAT_S3_KEY_FILE_MAX + 1);
    n = buf ? ngx_read_fd(fd, buf, NCHAT_S3_KEY_FILE_MAX) : -1;
    (void) ngx_close_file(fd);

    if (n < 0) {
        return "key_file= cannot be read";
    }

    last = buf + n;
    *last = '\n';

    for (line = buf; line < last; line = p + 1) {
        for (p = line; *p != '\n'; p++) { /* void */ }

        nchat_s3_key_line(s3, line, p);
    }

    if (s3->key.access_key.len == 0 || s3->key.secret_key.len == 0) {
        return "key_file= needs lines \"aws_access_key_id = …\" and "
               "\"aws_secret_access_key = …\"";
    }

    return NULL;
}


static void
nchat_s3_key_line(nchat_s3_t *s3, u_char *line, u_char *last)
{
    u_char      *equal, *end;
    size_t       len;
    ngx_uint_t   i;

    const struct {
        const char  *name;
        ngx_str_t   *target;
    } known[] = {
        { "aws_access_key_id", &s3->key.access_key },
        { "aws_secret_access_key", &s3->key.secret_key },
        { "aws_session_token", &s3->key.token }
    };

    while (line < last && isspace(*line)) {
        line++;
    }

    while (last > line && isspace(last[-1])) {
        last--;
    }

    equal = ngx_strlchr(line, last, '=');
    if (equal == NULL) {
        return;
    }

    for (end = equal; end > line && isspace(end[-1]); end--) { /* void */ }

    do {
        equal++;
    } while (equal < last && isspace(*equal));

    for (i = 0; i < 3; i++) {
        len = ngx_strlen(known[i].name);

        if ((size_t) (end - line) == len
            && ngx_strncmp(line, known[i].name, len) == 0)
        {
            known[i].target->data = equal;
            known[i].target->len = last - equal;
        }
    }
}
