#include <sys/wait.h>

#include "nchat_crypto.h"
#include "ngx_stubs.h"
#include "tap.h"


static void
hex_is(const u_char *data, size_t len, const char *expected,
    const char *name)
{
    u_char     text[128];
    ngx_str_t  got;

    got.data = text;
    got.len = nchat_hex_encode(text, data, len) - text;

    is_str(&got, expected, "%s", name);
}


/* FIPS 180-2, appendix B, and NIST's long vector */

static void
test_sha256(void)
{
    u_char   out[32];
    u_char  *million;

    ok(nchat_sha256(out, "", 0) == NGX_OK, "SHA-256 of nothing");
    hex_is(out, 32, "e3b0c44298fc1c149afbf4c8996fb924"
                    "27ae41e4649b934ca495991b7852b855", "empty");

    ok(nchat_sha256(out, "abc", 3) == NGX_OK, "SHA-256 of abc");
    hex_is(out, 32, "ba7816bf8f01cfea414140de5dae2223"
                    "b00361a396177a9cb410ff61f20015ad", "abc");

    million = malloc(1000000);
    memset(million, 'a', 1000000);
    ok(nchat_sha256(out, million, 1000000) == NGX_OK, "SHA-256 of 1 MB");
    hex_is(out, 32, "cdc76e5c9914fb9281a1c7e284d73e67"
                    "f1809a48a497200e046d39ccc7112cd0", "a million a");
    free(million);
}


/* RFC 4231 and RFC 2202 */

static void
test_hmac(void)
{
    u_char     out[32], big[131], bytes[20];
    ngx_str_t  key, data, none = ngx_null_string;

    memset(bytes, 0x0b, sizeof(bytes));
    memset(big, 0xaa, sizeof(big));

    key.data = bytes;
    key.len = 20;
    data = str("Hi There");

    ok(nchat_hmac_sha256(out, &key, &data) == NGX_OK, "HMAC-SHA-256");
    hex_is(out, 32, "b0344c61d8db38535ca8afceaf0bf12b"
                    "881dc200c9833da726e9376c2e32cff7", "RFC 4231 case 1");

    ok(nchat_hmac_sha1(out, &key, &data) == NGX_OK, "HMAC-SHA-1");
    hex_is(out, 20, "b617318655057264e28bc0b6fb378c8ef146be00",
           "RFC 2202 case 1");

    key = str("Jefe");
    data = str("what do ya want for nothing?");

    ok(nchat_hmac_sha256(out, &key, &data) == NGX_OK, "a second key");
    hex_is(out, 32, "5bdcc146bf60754e6a042426089575c7"
                    "5a003f089d2739839dec58b964ec3843", "RFC 4231 case 2");

    ok(nchat_hmac_sha1(out, &key, &data) == NGX_OK, "a second key, SHA-1");
    hex_is(out, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
           "RFC 2202 case 2");

    key.data = big;
    key.len = 131;
    data = str("Test Using Larger Than Block-Size Key - Hash Key First");

    ok(nchat_hmac_sha256(out, &key, &data) == NGX_OK, "a long key");
    hex_is(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f"
                    "8e0bc6213728c5140546040f0ee37f54", "RFC 4231 case 6");

    /* an empty key must not be taken for the last one */

    ok(nchat_hmac_sha256(out, &none, &none) == NGX_OK, "an empty key");
    hex_is(out, 32, "b613679a0814d9ec772f95d778c35fc5"
                    "ff1697c493715653c6c712144292c5ad", "empty key and text");
}


static void
test_hex(void)
{
    u_char     out[4];
    ngx_str_t  text;

    text = str("00fFaB7e");
    ok(nchat_hex_decode(out, 4, &text) == NGX_OK, "both cases decode");
    hex_is(out, 4, "00ffab7e", "and give these bytes");

    text = str("00ffab7");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED, "too short");
    ok(nchat_hex_decode(out, 3, &text) == NGX_DECLINED, "odd");

    text = str("00ffab7e00");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED, "too long");

    text = str("00ffab7g");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED, "g is no digit");
    text = str("00ffab7:");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED, ": is no digit");
    text = str("00ffab7@");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED, "@ is no digit");
    text = str("00ffab7\x10");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED,
       "a control character that looks like a digit with bit 5 set");
    text = str("00ffab7`");
    ok(nchat_hex_decode(out, 4, &text) == NGX_DECLINED, "` is no digit");

    text = str("");
    ok(nchat_hex_decode(out, 0, &text) == NGX_OK, "nothing from nothing");
}


static void
test_equal(void)
{
    ok(nchat_equal((u_char *) "abcd", (u_char *) "abcd", 4), "equal");
    ok(!nchat_equal((u_char *) "abcd", (u_char *) "abce", 4), "the last");
    ok(!nchat_equal((u_char *) "abcd", (u_char *) "bbcd", 4), "the first");
    ok(nchat_equal((u_char *) "abcd", (u_char *) "abce", 3), "the length");
}


/* Parent and child must not draw the same bytes from one stock. */

static void
test_fork(void)
{
    int     fds[2], status;
    pid_t   pid;
    u_char  ours[32], theirs[32];

    ngx_pid = getpid();

    ok(nchat_random(ours, 32) == NGX_OK, "the stock is filled");
    ok(pipe(fds) == 0, "a pipe");

    (void) fflush(stdout);
    pid = fork();

    if (pid == 0) {
        ngx_pid = getpid();
        _exit(nchat_random(theirs, 32) != NGX_OK
              || write(fds[1], theirs, 32) != 32);
    }

    ok(nchat_random(ours, 32) == NGX_OK, "the parent draws");
    ok(read(fds[0], theirs, 32) == 32, "the child drew");
    ok(waitpid(pid, &status, 0) == pid && status == 0, "and left");
    ok(memcmp(ours, theirs, 32) != 0, "something else");
}


static void
test_random(void)
{
    size_t       i, n, bits;
    u_char       first[16], buf[20000], zero[20000];
    ngx_uint_t   same, failed;

    memset(zero, 0, sizeof(zero));
    same = 0;
    failed = 0;

    ok(nchat_random(first, 16) == NGX_OK, "16 random bytes");

    for (i = 0; i < 2000; i++) {
        failed += nchat_random(buf, 16) != NGX_OK;
        same += memcmp(first, buf, 16) == 0;
    }

    ok(failed == 0 && same == 0, "never the same again in 2000 draws");

    memset(buf, 0, sizeof(buf));
    ok(nchat_random(buf, 20000) == NGX_OK, "more than the stock at once");

    bits = 0;

    for (n = 0; n < sizeof(buf); n++) {
        bits += __builtin_popcount(buf[n]);
    }

    ok(bits > 79000 && bits < 81000, "half of the bits are set (%zu)", bits);

    /* every size over the stock's end, with guards around */

    failed = 0;

    for (n = 1; n <= 1100; n++) {
        memset(buf, 0x55, n + 2);
        failed += nchat_random(buf + 1, n) != NGX_OK;
        failed += buf[0] != 0x55 || buf[n + 1] != 0x55;
    }

    ok(failed == 0, "all sizes to 1100 stay inside of their buffer");
    ok(nchat_random(buf, 0) == NGX_OK, "nothing at all");
}


int
main(void)
{
    u_char  secret[8];

    test_sha256();
    test_hmac();
    test_hex();
    test_equal();
    test_random();
    test_fork();

    memset(secret, 1, 8);
    nchat_wipe(secret, 8);
    ok(memcmp(secret, "\0\0\0\0\0\0\0\0", 8) == 0, "wiped");

    return tap_done();
}
