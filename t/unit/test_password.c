#include <pthread.h>

#include "nchat_password.h"
#include "ngx_stubs.h"
#include "tap.h"


/*
 * Vectors of the bcrypt reference implementation's self tests
 * (crypt_blowfish, wrapper.c) and of jBCrypt.
 */

static const struct {
    const char  *hash;
    const char  *password;
} vectors[] = {
    { "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U" },
    { "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
      "U*U*" },
    { "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
      "U*U*U" },
    { "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
      "0123456789abcdefghijklmnopqrstuvwxyz"
      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored" },
    { "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", "" },
    { "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
      "\xff\xff\xa3" },
    { "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
      "\xff\xff\xa3" },
    { "$2y$05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq",
      "\xa3" },
    { "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC",
      "abcdefghijklmnopqrstuvwxyz" },
    { "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "a" },
    { "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i", "abc" }
};


static const struct {
    const char  *hash;
    const char  *name;
} strangers[] = {
    { "", "nothing" },
    { "x", "one character" },
    { "*0", "libxcrypt's failure token" },
    { "$1$salt$qJH7.N4xYta3aEG/dfqo/0", "MD5" },
    { "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8"
      "wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/", "SHA-512" },
    { "$2x$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
      "$2x$, which has a known fault" },
    { "$2$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3ee",
      "$2$" },
    { "$2b$03$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
      "cost 3" },
    { "$2b$32$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
      "cost 32" },
    { "$2b$5$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3ee",
      "one digit of cost" },
    { "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3",
      "59 characters" },
    { "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3ee",
      "61 characters" },
    { "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXS:3e",
      "a colon" },
    { "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXS\xff" "3e",
      "a byte above 127" }
};


static void
test_verify(void)
{
    char         text[64];
    size_t       i;
    const char  *hash;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        hash = vectors[i].hash;

        ok(nchat_password_verify(hash, vectors[i].password) == NGX_OK,
           "vector %zu: %.7s", i, hash);
        ok(nchat_password_verify(hash, "another") == NGX_DECLINED,
           "vector %zu, another password", i);

        /* a single wrong character at the end of the digest */

        (void) stpcpy(text, hash);
        text[59] = text[59] == 'e' ? 'f' : 'e';
        ok(nchat_password_verify(text, vectors[i].password) == NGX_DECLINED,
           "vector %zu, another digest", i);
    }

    for (i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        ok(nchat_password_verify(strangers[i].hash, "x") == NGX_ERROR
           && nchat_password_cost(strangers[i].hash) == 0,
           "no hash of ours: %s", strangers[i].name);
    }

    hash = "$2b$17$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e";
    ok(nchat_password_cost(hash) == 17
       && nchat_password_verify(hash, "x") == NGX_ERROR,
       "a cost that would hold a thread for seconds");
}


static void
test_hash(void)
{
    char         longest[74];
    u_char       one[NCHAT_PASSWORD_HASH_SIZE + 1];
    u_char       two[NCHAT_PASSWORD_HASH_SIZE];
    u_char      *password;

    password = (u_char *) "Correct horse 1";
    one[NCHAT_PASSWORD_HASH_SIZE] = '!';

    ok(nchat_password_hash(one, password, 4) == NGX_OK, "hashed");
    ok(nchat_password_hash(two, password, 4) == NGX_OK, "twice");
    ok(strncmp((char *) one, "$2b$04$", 7) == 0 && strlen((char *) one) == 60
       && one[NCHAT_PASSWORD_HASH_SIZE] == '!', "as $2b$, 60 characters");
    ok(strcmp((char *) one, (char *) two) != 0, "with another salt");
    ok(nchat_password_cost((char *) one) == 4, "of cost 4");
    ok(nchat_password_verify((char *) one, (char *) password) == NGX_OK
       && nchat_password_verify((char *) two, (char *) password) == NGX_OK,
       "verified");
    ok(nchat_password_verify((char *) one, "correct horse 1")
       == NGX_DECLINED, "case matters");

    memset(longest, 'x', 73);
    longest[73] = '\0';
    ok(nchat_password_hash(one, (u_char *) longest, 4) == NGX_DECLINED,
       "73 bytes, of which bcrypt would ignore one");
    longest[72] = '\0';
    ok(nchat_password_hash(one, (u_char *) longest, 4) == NGX_OK, "72 bytes");
    longest[71] = 'y';
    ok(nchat_password_verify((char *) one, longest) == NGX_DECLINED,
       "all of which count");

    ok(nchat_password_hash(one, password, 3) == NGX_DECLINED, "cost 3");
    ok(nchat_password_hash(one, password, 17) == NGX_DECLINED, "cost 17");

    ok(nchat_password_dummy(one, 10) == NGX_OK
       && nchat_password_cost((char *) one) == 10, "a dummy of cost 10");
    ok(nchat_password_dummy(one, 4) == NGX_OK
       && nchat_password_verify((char *) one, "x") == NGX_DECLINED,
       "a dummy is verified like any hash, and never right");
    ok(nchat_password_dummy(one, 99) == NGX_DECLINED, "cost 99");
}


static void *
in_thread(void *data)
{
    u_char     hash[NCHAT_PASSWORD_HASH_SIZE];
    intptr_t   i, wrong;

    wrong = 0;

    for (i = 0; i < 20; i++) {
        wrong += nchat_password_hash(hash, data, 4) != NGX_OK;
        wrong += nchat_password_verify((char *) hash, data) != NGX_OK;
        wrong += nchat_password_verify((char *) hash, "x") != NGX_DECLINED;
    }

    return (void *) wrong;
}


static void
test_threads(void)
{
    void       *wrong;
    size_t      i;
    intptr_t    sum;
    pthread_t   threads[4];
    char       *names[] = { "one", "two", "three", "four" };

    sum = 0;

    for (i = 0; i < 4; i++) {
        sum += pthread_create(&threads[i], NULL, in_thread, names[i]);
    }

    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], &wrong);
        sum += (intptr_t) wrong;
    }

    ok(sum == 0, "four threads hash at once");
}


static const char *
check(const nchat_password_policy_t *policy, const char *text,
    const char **constraint)
{
    ngx_str_t    password;
    static char  buf[80];

    password.len = strlen(text);
    password.data = (u_char *) text;

    return nchat_password_check(policy, &password, buf, constraint);
}


static void
test_policy(void)
{
    char                      text[80];
    const char               *constraint;
    nchat_password_policy_t   policy = { 8, 1, 1, 1, 0 };

    ok(check(&policy, "Passw0rd", &constraint) == NULL && constraint == NULL,
       "good");

    is(check(&policy, "Passw0r", &constraint), "must be 8-72 bytes", "short");
    is(constraint, "length", "its constraint");

    memset(text, 'a', 80);
    memcpy(text, "A1", 2);
    text[72] = '\0';
    ok(check(&policy, text, &constraint) == NULL, "72 bytes");
    text[72] = 'a';
    text[73] = '\0';
    is(check(&policy, text, &constraint), "must be 8-72 bytes", "73 bytes");

    is(check(&policy, "passw0rd", &constraint),
       "must contain an upper-case letter", "no upper-case letter");
    is(constraint, "format", "its constraint");
    is(check(&policy, "PASSW0RD", &constraint),
       "must contain a lower-case letter", "no lower-case letter");
    is(check(&policy, "Password", &constraint),
       "must contain a digit", "no digit");

    policy.symbol = 1;
    is(check(&policy, "Passw0rd", &constraint),
       "must contain a symbol", "no symbol");
    ok(check(&policy, "Passw0r!", &constraint) == NULL, "a symbol");
    ok(check(&policy, "Passw0r d", &constraint) == NULL, "a blank");
    ok(check(&policy, "Passw0r\xc3\xa9", &constraint) == NULL, "an accent");

    memset(&policy, 0, sizeof(policy));
    ok(check(&policy, "x", &constraint) == NULL, "no policy");
    is(check(&policy, "", &constraint), "must be 1-72 bytes", "but not empty");

    policy.min_length = 500;
    is(check(&policy, "x", &constraint), "must be 72-72 bytes",
       "a policy beyond bcrypt's limit can be met");
}


int
main(void)
{
    test_verify();
    test_hash();
    test_threads();
    test_policy();

    return tap_done();
}
