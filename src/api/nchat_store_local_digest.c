/*
 * The digest of an upload's body: what is in the file, read by pool threads
 * behind nginx, which still writes it.  Done afterwards it would make the
 * client wait for half as long again as its upload took.
 */

#include "nchat_store_local.h"
#include "nchat_crypto.h"

#include <openssl/core_names.h>
#include <openssl/params.h>


#define NCHAT_DIGEST_KEY    "nchat file etag."
#define NCHAT_DIGEST_IV     "nchat files."

/* a thread is worth its while from here on */
#define NCHAT_DIGEST_PIECE  (1024 * 1024)

/* on the thread's stack: it stays in its core's cache */
#define NCHAT_DIGEST_BUF    (64 * 1024)


static void nchat_digest_release(void *data);
static void nchat_digest_open(nchat_digest_t *digest,
    const ngx_temp_file_t *tf);
static void nchat_digest_piece(void *data);
static void nchat_digest_rest(void *data);
static void nchat_digest_run(nchat_digest_t *digest, ngx_uint_t last);
static int nchat_digest_begin(nchat_digest_t *digest);
static int nchat_digest_end(nchat_digest_t *digest);


nchat_digest_t *
nchat_digest_make(nchat_ctx_t *ctx, const nchat_file_t *file)
{
    nchat_digest_t  *digest;

    digest = nchat_task_make(ctx, ctx->conf->file_threads,
                             sizeof(nchat_digest_t));
    if (digest == NULL) {
        return NULL;
    }

    digest->mime = file->mime;
    digest->size = file->size;
    digest->fd = -1;

    nchat_task_keep(ctx, digest, nchat_digest_release);

    return digest;
}


static void
nchat_digest_release(void *data)
{
    nchat_digest_t *digest = data;

    EVP_MAC_CTX_free(digest->mac);

    if (digest->fd != -1) {
        (void) close(digest->fd);
    }
}


/* What cannot be done now is left for later. */

void
nchat_digest_ahead(nchat_digest_t *digest, const ngx_temp_file_t *tf)
{
    if (tf->offset - digest->seen < NCHAT_DIGEST_PIECE) {
        return;
    }

    nchat_digest_open(digest, tf);

    if (nchat_task_ahead(digest, nchat_digest_piece) != NGX_BUSY) {
        digest->seen = tf->offset;
    }
}


void
nchat_digest_finish(nchat_ctx_t *ctx, nchat_digest_t *digest,
    const ngx_temp_file_t *tf, nchat_task_done_pt done)
{
    nchat_digest_open(digest, tf);

    nchat_task_post(ctx, digest, nchat_digest_rest, done);
}


/* A thread may still read when the client has left and nginx closed its own. */

static void
nchat_digest_open(nchat_digest_t *digest, const ngx_temp_file_t *tf)
{
    if (digest->seen) {
        return;
    }

    digest->fd = fcntl(tf->file.fd, F_DUPFD_CLOEXEC, 0);

    if (digest->fd == -1) {
        digest->err = errno;
    }
}


/* The thread's two steps. */

static void
nchat_digest_piece(void *data)
{
    nchat_digest_run(data, 0);
}


static void
nchat_digest_rest(void *data)
{
    nchat_digest_run(data, 1);
}


/*
 * As far as the file goes: nginx appends to it meanwhile, so that this is far
 * more than the piece that was there at first.  A buffer that is not full is
 * read again later, unless it is the last one.
 */

static void
nchat_digest_run(nchat_digest_t *digest, ngx_uint_t last)
{
    ssize_t  n;
    u_char   buf[NCHAT_DIGEST_BUF];

    if (digest->mac == NULL && digest->err == 0) {
        digest->err = nchat_digest_begin(digest);
    }

    while (digest->err == 0 && !digest->other) {

        n = pread(digest->fd, buf, NCHAT_DIGEST_BUF, digest->at);

        if (n == -1) {
            digest->err = errno;
            return;
        }

        if (n < NCHAT_DIGEST_BUF && !last) {
            return;
        }

        if (n == 0) {
            digest->err = nchat_digest_end(digest);
            return;
        }

        if (digest->at == 0
            && !nchat_mime_agrees(digest->mime, buf,
                                  ngx_min(n, NCHAT_MIME_HEAD)))
        {
            digest->other = 1;
            return;
        }

        if (!EVP_MAC_update(digest->mac, buf, n)) {
            digest->err = EIO;
            return;
        }

        digest->at += n;
    }
}


/* 0, or an errno. */

static int
nchat_digest_begin(nchat_digest_t *digest)
{
    EVP_MAC     *gmac;
    OSSL_PARAM   params[3];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER,
                                                 "AES-128-GCM", 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV,
                                                  NCHAT_DIGEST_IV,
                                                  sizeof(NCHAT_DIGEST_IV) - 1);
    params[2] = OSSL_PARAM_construct_end();

    gmac = EVP_MAC_fetch(NULL, "GMAC", NULL);
    digest->mac = gmac ? EVP_MAC_CTX_new(gmac) : NULL;

    EVP_MAC_free(gmac);

    if (digest->mac == NULL
        || !EVP_MAC_init(digest->mac, (u_char *) NCHAT_DIGEST_KEY,
                         sizeof(NCHAT_DIGEST_KEY) - 1, params))
    {
        return ENOMEM;
    }

    return 0;
}


static int
nchat_digest_end(nchat_digest_t *digest)
{
    size_t  len;
    u_char  mac[NCHAT_DIGEST_LEN];

    if (digest->at != digest->size
        || !EVP_MAC_final(digest->mac, mac, &len, sizeof(mac)))
    {
        return EIO;
    }

    digest->etag[0] = '"';
    *nchat_hex_encode(digest->etag + 1, mac, NCHAT_DIGEST_LEN) = '"';

    return 0;
}
