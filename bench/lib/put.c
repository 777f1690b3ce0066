/*
 * A client for the benchmark: PUTs bodies of one size to many paths of a server
 * on this machine, over as many connections as shall work at once. A body is
 * one block of random bytes again and again, so that the client takes little of
 * the processors that the server needs; curl, which reads a file, takes more
 * than half of them.
 *
 *     bench-put CONNECTIONS BYTES CONTENT-TYPE PORT PATH...
 *
 * Prints one line for each path: the milliseconds until its answer was
 * complete. Exit status 1 if an answer is not 2xx.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>


#define BLOCK  (64 * 1024)


static const char  *type;
static char         block[BLOCK];
static long long    size;
static int          port, npaths;
static char       **paths;
static double      *took;
static atomic_int   next_path;


static void
die(const char *what)
{
    fprintf(stderr, "bench-put: %s: ", what);
    perror(NULL);
    exit(1);
}


static double
now_ms(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}


static int
dial(void)
{
    int                 fd, on = 1;
    struct sockaddr_in  sin = { .sin_family = AF_INET };

    sin.sin_port = htons(port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1 || connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
    {
        die("connect");
    }

    return fd;
}


static void
put(int fd, const char *path)
{
    int        n;
    char       header[4096];
    ssize_t    sent;
    long long  at;

    n = snprintf(header, sizeof(header),
                 "PUT %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\n"
                 "Content-Length: %lld\r\n\r\n", path, type, size);

    if (n >= (int) sizeof(header) || send(fd, header, n, MSG_MORE) != n) {
        die("header");
    }

    for (at = 0; at < size; at += sent) {
        n = at % BLOCK;
        sent = send(fd, block + n, size - at < BLOCK - n ? size - at : BLOCK - n,
                    0);
        if (sent == -1) {
            die(path);
        }
    }
}


/* 1 if the connection can be used again. */

static int
answer(int fd, const char *path)
{
    char     text[65536], *end = NULL, *field;
    size_t   len = 0, whole = 0;
    ssize_t  n;

    while (end == NULL || len < whole) {
        n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (n <= 0) {
            die(path);
        }

        len += n;
        text[len] = '\0';

        if (end == NULL && (end = strstr(text, "\r\n\r\n"))) {
            field = strcasestr(text, "\r\nContent-Length:");
            whole = end + 4 - text;
            whole += field && field < end ? strtoul(field + 17, NULL, 10) : 0;
        }
    }

    if (strncmp(text, "HTTP/1.1 2", 10) != 0) {
        fprintf(stderr, "bench-put: %s: %s\n", path, text);
        exit(1);
    }

    field = strcasestr(text, "\r\nConnection: close");

    return field == NULL || field > end;
}


static void *
work(void *unused)
{
    int     fd = -1, i;
    double  start;

    while ((i = atomic_fetch_add(&next_path, 1)) < npaths) {
        start = now_ms();

        if (fd == -1) {
            fd = dial();
        }

        put(fd, paths[i]);

        if (!answer(fd, paths[i])) {
            close(fd);
            fd = -1;
        }

        took[i] = now_ms() - start;
    }

    return unused;
}


int
main(int argc, char **argv)
{
    int         i, n;
    pthread_t  *threads;

    if (argc < 6 || (n = atoi(argv[1])) < 1) {
        fprintf(stderr, "usage: bench-put CONNECTIONS BYTES CONTENT-TYPE PORT "
                        "PATH...\n");
        return 2;
    }

    size = atoll(argv[2]);
    type = argv[3];
    port = atoi(argv[4]);
    paths = argv + 5;
    npaths = argc - 5;

    took = calloc(npaths, sizeof(double));
    threads = calloc(n, sizeof(pthread_t));

    if (took == NULL || threads == NULL
        || getentropy(block, 256) == -1)
    {
        die("no memory");
    }

    for (i = 256; i < BLOCK; i++) {
        block[i] = block[i - 256] + 1;
    }

    for (i = 0; i < n; i++) {
        if (pthread_create(&threads[i], NULL, work, NULL) != 0) {
            die("pthread_create");
        }
    }

    for (i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }

    for (i = 0; i < npaths; i++) {
        printf("%.3f\n", took[i]);
    }

    return 0;
}
