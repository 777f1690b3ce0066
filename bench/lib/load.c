/*
 * A client for the benchmark: many connections to a server on this machine,
 * each sends a request, waits for the answer, and sends the next one. Unlike
 * wrk it tells refusals (429 and 503 with Retry-After) from other answers, with
 * their own latencies, can keep connections idle, and can pause.
 *
 *     bench-load [-c connections] [-n requests | -t seconds] [-p pause in ms]
 *                [-i] PORT < REQUESTS
 *
 * REQUESTS: each as its length in bytes, LF, and the bytes; they are sent in
 * turns. -i: every connection sends one request and stays idle, see idle().
 *
 * Prints one JSON object; times are milliseconds.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>


#define HEADER   4096
#define PATIENCE 30             /* seconds without any answer */


typedef struct {
    char      *data;
    size_t     len;
} request_t;

typedef struct {
    uint32_t  *us;
    size_t     n;
    size_t     room;
} samples_t;

typedef struct {
    int               fd;
    const request_t  *request;
    size_t            sent;
    int64_t           started;  /* microseconds; 0: nothing is on its way */
    int64_t           due;      /* when to send the next one, if it pauses */
    char              header[HEADER];
    size_t            header_len;
    int               status;   /* 0: the header is not complete yet */
    int               retry_after;
    int               last;     /* the server closes */
    int64_t           rest;     /* of the body, in bytes */
} conn_t;


static struct {
    int         connections;
    long        requests;       /* to send; -1: as many as fit */
    double      seconds;
    double      pause;
    int         idle;
    int         port;
} opt = { 1, -1, 3, 0, 0, 0 };

static request_t  *requests;
static size_t      nrequests, turn;
static long        started, finished, broken, others;
static int         other_status;
static samples_t   answered, refused;
static conn_t     *conns;
static int         ep;


__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format, ...)
{
    va_list  args;

    va_start(args, format);
    fputs("bench-load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);

    exit(1);
}


static void *
grow(void *p, size_t size)
{
    p = realloc(p, size);
    if (p == NULL) {
        die("out of memory");
    }

    return p;
}


static int64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}


static void
read_requests(void)
{
    char       line[32];
    size_t     len;
    request_t  *r;

    while (fgets(line, sizeof(line), stdin)) {
        len = strtoul(line, NULL, 10);

        requests = grow(requests, (nrequests + 1) * sizeof(request_t));
        r = &requests[nrequests++];
        r->len = len;
        r->data = grow(NULL, len);

        if (len == 0 || fread(r->data, 1, len, stdin) != len) {
            die("request %zu is cut off", nrequests);
        }
    }

    if (nrequests == 0) {
        die("no requests");
    }
}


static void
add_sample(samples_t *samples, int64_t us)
{
    if (samples->n == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 4096;
        samples->us = grow(samples->us, samples->room * sizeof(uint32_t));
    }

    samples->us[samples->n++] = us;
}


static void
open_connection(conn_t *c)
{
    int                 one = 1;
    struct epoll_event  event;
    struct sockaddr_in  to;

    memset(&to, 0, sizeof(to));
    to.sin_family = AF_INET;
    to.sin_port = htons(opt.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) {
        die("socket: %s", strerror(errno));
    }

    if (connect(c->fd, (struct sockaddr *) &to, sizeof(to)) < 0) {
        die("connect: %s", strerror(errno));
    }

    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        die("epoll_ctl: %s", strerror(errno));
    }

    c->started = 0;
    c->last = 0;
}


static void
close_connection(conn_t *c)
{
    if (c->started) {
        broken++;
        finished++;
        c->started = 0;
    }

    close(c->fd);
    c->fd = -1;
}


/* Requests are small: what a socket does not take at once counts as broken. */

static void
send_next(conn_t *c)
{
    ssize_t  n;

    c->request = &requests[turn++ % nrequests];
    c->header_len = 0;
    c->status = 0;
    c->started = now();
    started++;

    n = send(c->fd, c->request->data, c->request->len, MSG_NOSIGNAL);

    if (n != (ssize_t) c->request->len) {
        close_connection(c);
        open_connection(c);
    }
}


/* The value of a header line, or NULL. */

static const char *
header(const conn_t *c, const char *name)
{
    const char  *p;
    size_t       len = strlen(name);

    for (p = strstr(c->header, "\r\n"); p; p = strstr(p, "\r\n")) {
        p += 2;

        if (strncasecmp(p, name, len) == 0 && p[len] == ':') {
            p += len + 1;
            return p + strspn(p, " ");
        }
    }

    return NULL;
}


/* Takes the bytes that belong to the header; returns how many, -1 if bad. */

static ssize_t
read_header(conn_t *c, const char *data, size_t len)
{
    char        *end;
    size_t       n, before;
    const char  *value;

    before = c->header_len;
    n = len < HEADER - 1 - before ? len : HEADER - 1 - before;
    memcpy(c->header + before, data, n);
    c->header_len += n;
    c->header[c->header_len] = '\0';

    end = strstr(c->header, "\r\n\r\n");
    if (end == NULL) {
        return c->header_len < HEADER - 1 ? (ssize_t) n : -1;
    }

    end[2] = '\0';
    c->status = atoi(c->header + sizeof("HTTP/1.1"));
    c->retry_after = header(c, "Retry-After") != NULL;

    value = header(c, "Connection");
    c->last = value && strncasecmp(value, "close", 5) == 0;

    value = header(c, "Content-Length");
    c->rest = value ? strtoll(value, NULL, 10) : 0;

    if (c->status < 200 || (value == NULL && c->status != 304)) {
        return -1;
    }

    return end + 4 - c->header - before;
}


static void
answer_done(conn_t *c)
{
    int64_t  us;

    us = now() - c->started;
    c->started = 0;
    c->due = now() + opt.pause * 1000;
    finished++;

    if (c->status < 400) {
        add_sample(&answered, us);

    } else if (c->retry_after && (c->status == 503 || c->status == 429)) {
        add_sample(&refused, us);

    } else {
        others++;
        other_status = c->status;
    }
}


/* 0: the connection is of no use any more. */

static int
take(conn_t *c, const char *data, size_t len)
{
    size_t   n;
    ssize_t  used;

    if (!c->started) {
        return 0;
    }

    /* of the body only its length matters */

    if (c->status == 0) {
        used = read_header(c, data, len);
        if (used < 0) {
            return 0;
        }

        len -= used;
    }

    if (c->status == 0) {
        return 1;
    }

    n = (int64_t) len < c->rest ? len : (size_t) c->rest;
    c->rest -= n;

    if (n != len) {
        return 0;
    }

    if (c->rest == 0) {
        answer_done(c);
        return !c->last;
    }

    return 1;
}


static void
readable(conn_t *c)
{
    static char  buffer[1 << 16];
    ssize_t      n;

    n = recv(c->fd, buffer, sizeof(buffer), 0);

    if (n < 0 && errno == EAGAIN) {
        return;
    }

    if (n <= 0 || !take(c, buffer, n)) {
        close_connection(c);
        open_connection(c);
    }
}


static int
may_send(int64_t end)
{
    return opt.requests >= 0 ? started < opt.requests : now() < end;
}


/* Sends where nothing is on its way; milliseconds until the next is due. */

static int
send_due(int64_t end)
{
    int      i;
    int64_t  t, next;

    t = now();
    next = t + 100000;

    for (i = 0; i < opt.connections; i++) {

        if (conns[i].started) {
            continue;
        }

        if (conns[i].due <= t && may_send(end)) {
            send_next(&conns[i]);

        } else if (conns[i].due < next && conns[i].due > t) {
            next = conns[i].due;
        }
    }

    return (next - t + 999) / 1000;
}


static void
run(int64_t end)
{
    int                 i, n, wait;
    long                before;
    conn_t             *c;
    int64_t             progress;
    struct epoll_event  events[256];

    progress = now();

    while (may_send(end) || finished < started) {

        wait = 100;
        before = finished;

        if (started - finished < opt.connections && may_send(end)) {
            wait = send_due(end);
        }

        n = epoll_wait(ep, events, 256, wait < 100 ? wait : 100);

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;
            readable(c);

            if (opt.pause == 0 && !c->started && may_send(end)) {
                send_next(c);
            }
        }

        if (finished > before) {
            progress = now();

        } else if (now() - progress > PATIENCE * 1000000LL) {
            broken += started - finished;
            return;
        }
    }
}


/*
 * Says that all connections are there and idle, and waits until the reader of
 * that closes its end. Then counts those that the server closed meanwhile.
 */

static int
idle(void)
{
    int            i, closed;
    char           byte;
    struct pollfd  out = { STDOUT_FILENO, 0, 0 };

    printf("ready\n");
    fflush(stdout);
    (void) poll(&out, 1, 120 * 1000);

    closed = 0;

    for (i = 0; i < opt.connections; i++) {
        closed += recv(conns[i].fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
    }

    return closed;
}


static int
compare(const void *one, const void *two)
{
    uint32_t  a = *(const uint32_t *) one, b = *(const uint32_t *) two;

    return (a > b) - (a < b);
}


/* In milliseconds; null if there is none. */

static void
print_percentile(const char *name, const samples_t *samples, double part)
{
    size_t  i;

    if (samples->n == 0) {
        printf(",\"%s\":null", name);
        return;
    }

    i = part * samples->n;
    i = i < samples->n ? i : samples->n - 1;

    printf(",\"%s\":%.3f", name, samples->us[i] / 1000.0);
}


static void
print_result(double seconds)
{
    qsort(answered.us, answered.n, sizeof(uint32_t), compare);
    qsort(refused.us, refused.n, sizeof(uint32_t), compare);

    printf("{\"answered\":%zu,\"refused\":%zu,\"others\":%ld,"
           "\"other_status\":%d,\"broken\":%ld,\"rate\":%.1f",
           answered.n, refused.n, others, other_status, broken,
           answered.n / seconds);

    print_percentile("p50", &answered, 0.5);
    print_percentile("p95", &answered, 0.95);
    print_percentile("p99", &answered, 0.99);
    print_percentile("max", &answered, 1);
    print_percentile("refused_p50", &refused, 0.5);
    print_percentile("refused_p99", &refused, 0.99);
    printf("}\n");
}


static void
read_options(int argc, char **argv)
{
    int            o;
    struct rlimit  files;

    while ((o = getopt(argc, argv, "c:n:t:p:i")) != -1) {
        switch (o) {
        case 'c': opt.connections = atoi(optarg); break;
        case 'n': opt.requests = atol(optarg); break;
        case 't': opt.seconds = atof(optarg); break;
        case 'p': opt.pause = atof(optarg); break;
        case 'i': opt.idle = 1; break;
        default:  die("see the head of load.c");
        }
    }

    if (optind != argc - 1 || opt.connections < 1) {
        die("see the head of load.c");
    }

    opt.port = atoi(argv[optind]);

    if (opt.idle) {
        opt.requests = opt.connections;
    }

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    if (files.rlim_cur < (rlim_t) opt.connections + 16) {
        die("only %lu open files are allowed", (unsigned long) files.rlim_cur);
    }
}


int
main(int argc, char **argv)
{
    int      i;
    int64_t  begin;

    read_options(argc, argv);
    read_requests();

    ep = epoll_create1(0);
    if (ep < 0) {
        die("epoll_create1: %s", strerror(errno));
    }

    conns = grow(NULL, opt.connections * sizeof(conn_t));
    memset(conns, 0, opt.connections * sizeof(conn_t));

    for (i = 0; i < opt.connections; i++) {
        open_connection(&conns[i]);

        /* a pause is spread, so that they do not all send at once */

        conns[i].due = now() + opt.pause * 1000 * i / opt.connections;
    }

    begin = now();
    run(begin + opt.seconds * 1000000);

    if (opt.idle) {
        return idle() ? 3 : 0;
    }

    print_result((now() - begin) / 1e6);

    return 0;
}
