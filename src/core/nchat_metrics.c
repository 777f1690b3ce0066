#include "nchat_metrics.h"


typedef struct {
    const char  *name;
    const char  *labels;           /* "" for none */
    const char  *help;             /* NULL: as the row above */
} nchat_metric_row_t;


/* growing text in a pool */

typedef struct {
    ngx_pool_t  *pool;
    u_char      *data;
    size_t       len;
    size_t       size;
} nchat_text_t;


static ngx_int_t nchat_text_add(nchat_text_t *text, const char *fmt, ...);
static ngx_int_t nchat_metrics_counters(nchat_text_t *text,
    nchat_metrics_t *metrics);
static ngx_int_t nchat_metrics_requests(nchat_text_t *text,
    nchat_metrics_t *metrics, const nchat_metrics_route_t *routes,
    ngx_uint_t n);
static ngx_int_t nchat_metrics_latency(nchat_text_t *text,
    nchat_metrics_t *metrics, const nchat_metrics_route_t *routes,
    ngx_uint_t n);
static ngx_int_t nchat_metrics_histogram(nchat_text_t *text, const char *name,
    const char *label, const ngx_str_t *value, const ngx_str_t *method,
    nchat_histogram_t *histogram);
static ngx_uint_t nchat_metrics_sum(const nchat_gauges_t *gauges,
    nchat_gauges_t *sum);
static ngx_int_t nchat_metrics_gauges(nchat_text_t *text,
    nchat_gauges_t *gauges);


/* upper bounds in microseconds; the last bucket has none */

static const uint64_t  nchat_bounds[NCHAT_METRICS_BUCKETS - 1] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
    1000000, 5000000
};

static const char  *nchat_bound_names[NCHAT_METRICS_BUCKETS] = {
    "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
    "0.1", "0.25", "0.5", "1", "5", "+Inf"
};

static const char  *nchat_lane_labels[NCHAT_METRICS_LANES] = {
    "fast", "batch", "lock", "slow", "replica", "listen"
};


/* The order is nchat_counter_e's. */

static const nchat_metric_row_t  nchat_counters[NCHAT_M_COUNTERS] = {
    { "nchat_signins_total", "outcome=\"ok\"", "Sign-ins by outcome." },
    { "nchat_signins_total", "outcome=\"failed\"", NULL },
    { "nchat_signins_total", "outcome=\"limited\"", NULL },
    { "nchat_signins_total", "outcome=\"refused\"", NULL },
    { "nchat_signups_total", "", "Accounts created." },
    { "nchat_rate_limited_total", "class=\"default\"",
      "Requests refused by a rate limit." },
    { "nchat_rate_limited_total", "class=\"upload\"", NULL },
    { "nchat_rate_limited_total", "class=\"search\"", NULL },
    { "nchat_rate_limited_total", "class=\"webhook\"", NULL },
    { "nchat_rate_limited_total", "class=\"probe\"", NULL },
    { "nchat_rate_limited_total", "class=\"coarse\"", NULL },
    { "nchat_db_connects_total", "", "Database connections made." },
    { "nchat_db_lost_total", "", "Database connections lost." },
    { "nchat_db_refused_total", "reason=\"queue\"",
      "Statements refused without being sent." },
    { "nchat_db_refused_total", "reason=\"down\"", NULL },
    { "nchat_db_timeouts_total", "", "Statements that took too long." },
    { "nchat_db_retries_total", "", "Statements sent a second time." },
    { "nchat_hashes_total", "outcome=\"done\"",
      "Password hashes computed or refused." },
    { "nchat_hashes_total", "outcome=\"refused\"", NULL },
    { "nchat_zone_evicted_total", "kind=\"rate\"",
      "Entries evicted from the full shared zone before their time." },
    { "nchat_zone_evicted_total", "kind=\"signin\"", NULL },
    { "nchat_zone_evicted_total", "kind=\"session\"", NULL },
    { "nchat_zone_uncounted_total", "",
      "Requests that the full shared zone could not count." },
    { "nchat_cache_total", "cache=\"config\",result=\"hit\"",
      "Cache look-ups by result." },
    { "nchat_cache_total", "cache=\"config\",result=\"miss\"", NULL },
    { "nchat_cache_total", "cache=\"session\",result=\"hit\"", NULL },
    { "nchat_cache_total", "cache=\"session\",result=\"miss\"", NULL },
    { "nchat_cache_total", "cache=\"preview\",result=\"hit\"", NULL },
    { "nchat_cache_total", "cache=\"preview\",result=\"miss\"", NULL },
    { "nchat_cache_total", "cache=\"translate\",result=\"hit\"", NULL },
    { "nchat_cache_total", "cache=\"translate\",result=\"miss\"", NULL },
    { "nchat_cache_total", "cache=\"gif\",result=\"hit\"", NULL },
    { "nchat_cache_total", "cache=\"gif\",result=\"miss\"", NULL },
    { "nchat_messages_total", "", "Messages stored." },
    { "nchat_uploads_total", "", "Uploads completed." },
    { "nchat_upload_bytes_total", "", "Bytes of completed uploads." },
    { "nchat_webhook_deliveries_total", "outcome=\"ok\"",
      "Webhook deliveries by outcome." },
    { "nchat_webhook_deliveries_total", "outcome=\"refused\"", NULL }
};


void
nchat_histogram_add(nchat_histogram_t *histogram, uint64_t us)
{
    ngx_uint_t  i;

    for (i = 0; i < NCHAT_METRICS_BUCKETS - 1; i++) {
        if (us <= nchat_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&histogram->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&histogram->sum, (ngx_atomic_int_t) us);
}


uint64_t
nchat_monotonic_us(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


ngx_int_t
nchat_metrics_render(ngx_pool_t *pool, const char *version,
    nchat_metrics_t *metrics, nchat_gauges_t *gauges,
    const nchat_metrics_route_t *routes, ngx_uint_t nroutes, ngx_str_t *out)
{
    nchat_text_t  text;

    text.pool = pool;
    text.len = 0;
    text.size = 32768;
    text.data = ngx_pnalloc(pool, text.size);

    if (text.data == NULL
        || nchat_text_add(&text,
                          "# HELP process_start_time_seconds Start of this "
                          "node's shared zone, Unix seconds.\n"
                          "# TYPE process_start_time_seconds gauge\n"
                          "process_start_time_seconds %uA\n"
                          "# HELP nchat_build_info The version of this "
                          "server.\n# TYPE nchat_build_info gauge\n"
                          "nchat_build_info{version=\"%s\"} 1\n",
                          metrics->started, version) != NGX_OK
        || nchat_metrics_requests(&text, metrics, routes, nroutes) != NGX_OK
        || nchat_metrics_latency(&text, metrics, routes, nroutes) != NGX_OK
        || nchat_metrics_counters(&text, metrics) != NGX_OK
        || nchat_metrics_gauges(&text, gauges) != NGX_OK)
    {
        return NGX_ERROR;
    }

    out->data = text.data;
    out->len = text.len;

    return NGX_OK;
}


static ngx_int_t
nchat_text_add(nchat_text_t *text, const char *fmt, ...)
{
    u_char   *p;
    size_t    size;
    va_list   args;

    for ( ;; ) {
        va_start(args, fmt);
        p = ngx_vslprintf(text->data + text->len, text->data + text->size,
                          fmt, args);
        va_end(args);

        if (p < text->data + text->size) {
            text->len = p - text->data;
            return NGX_OK;
        }

        size = text->size * 2;
        p = ngx_pnalloc(text->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, text->data, text->len);
        text->data = p;
        text->size = size;
    }
}


static ngx_int_t
nchat_metrics_counters(nchat_text_t *text, nchat_metrics_t *metrics)
{
    ngx_uint_t                 i;
    const nchat_metric_row_t  *row;

    for (i = 0; i < NCHAT_M_COUNTERS; i++) {
        row = &nchat_counters[i];

        if (row->help
            && nchat_text_add(text, "# HELP %s %s\n# TYPE %s counter\n",
                              row->name, row->help, row->name) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (nchat_text_add(text, row->labels[0] ? "%s{%s} %uA\n"
                                                : "%s%s %uA\n",
                           row->name, row->labels, metrics->counters[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
nchat_metrics_requests(nchat_text_t *text, nchat_metrics_t *metrics,
    const nchat_metrics_route_t *routes, ngx_uint_t n)
{
    ngx_uint_t     i, class;
    ngx_atomic_t   count;

    if (nchat_text_add(text, "# HELP nchat_http_requests_total Requests by "
                       "endpoint, method and status class.\n"
                       "# TYPE nchat_http_requests_total counter\n") != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        for (class = 1; class < 6; class++) {
            count = metrics->requests[i][class];

            if (count == 0) {
                continue;
            }

            if (nchat_text_add(text, "nchat_http_requests_total{endpoint="
                               "\"%V\",method=\"%V\",status=\"%uixx\"} %uA\n",
                               &routes[i].endpoint, &routes[i].method, class,
                               count) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
nchat_metrics_latency(nchat_text_t *text, nchat_metrics_t *metrics,
    const nchat_metrics_route_t *routes, ngx_uint_t n)
{
    ngx_uint_t  i;
    ngx_str_t   lane;

    if (nchat_text_add(text, "# HELP nchat_http_request_duration_seconds Time "
                       "from the request's headers to its end.\n"
                       "# TYPE nchat_http_request_duration_seconds "
                       "histogram\n") != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (nchat_metrics_histogram(text,
                                    "nchat_http_request_duration_seconds",
                                    "endpoint", &routes[i].endpoint,
                                    &routes[i].method, &metrics->latency[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (nchat_text_add(text, "# HELP nchat_db_query_duration_seconds Time "
                       "from sending a statement to its result.\n"
                       "# TYPE nchat_db_query_duration_seconds histogram\n")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NCHAT_METRICS_LANES; i++) {
        lane.data = (u_char *) nchat_lane_labels[i];
        lane.len = ngx_strlen(lane.data);

        if (nchat_metrics_histogram(text, "nchat_db_query_duration_seconds",
                                    "lane", &lane, NULL, &metrics->queries[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
nchat_metrics_histogram(nchat_text_t *text, const char *name,
    const char *label, const ngx_str_t *value, const ngx_str_t *method,
    nchat_histogram_t *histogram)
{
    u_char         labels[256];
    ngx_str_t      l;
    ngx_uint_t     i;
    ngx_atomic_t   total;

    total = 0;

    for (i = 0; i < NCHAT_METRICS_BUCKETS; i++) {
        total += histogram->buckets[i];
    }

    if (total == 0) {
        return NGX_OK;
    }

    l.data = labels;

    if (method) {
        l.len = ngx_snprintf(labels, sizeof(labels), "%s=\"%V\",method=\"%V\"",
                             label, value, method) - labels;
    } else {
        l.len = ngx_snprintf(labels, sizeof(labels), "%s=\"%V\"", label,
                             value) - labels;
    }

    total = 0;

    for (i = 0; i < NCHAT_METRICS_BUCKETS; i++) {
        total += histogram->buckets[i];

        if (nchat_text_add(text, "%s_bucket{%V,le=\"%s\"} %uA\n", name, &l,
                           nchat_bound_names[i], total) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return nchat_text_add(text, "%s_sum{%V} %uA.%06uA\n%s_count{%V} %uA\n",
                          name, &l, histogram->sum / 1000000,
                          histogram->sum % 1000000, name, &l, total);
}


/* Adds up the gauges of the workers that live; returns how many they are. */

static ngx_uint_t
nchat_metrics_sum(const nchat_gauges_t *gauges, nchat_gauges_t *sum)
{
    ngx_uint_t             i, lane, workers;
    const nchat_gauges_t  *g;

    ngx_memzero(sum, sizeof(nchat_gauges_t));
    workers = 0;

    for (i = 0; i < NCHAT_METRICS_WORKERS; i++) {
        g = &gauges[i];

        if (g->pid == 0 || (kill((ngx_pid_t) g->pid, 0) == -1
                            && ngx_errno == ESRCH))
        {
            continue;
        }

        workers++;
        sum->hashing += g->hashing;

        for (lane = 0; lane < NCHAT_METRICS_LANES; lane++) {
            sum->ready[lane] += g->ready[lane];
            sum->connecting[lane] += g->connecting[lane];
            sum->down[lane] += g->down[lane];
            sum->inflight[lane] += g->inflight[lane];
            sum->waiting[lane] += g->waiting[lane];
        }
    }

    return workers;
}


static ngx_int_t
nchat_metrics_gauges(nchat_text_t *text, nchat_gauges_t *gauges)
{
    ngx_uint_t      n, lane, workers;
    nchat_gauges_t  sum;

    const struct {
        const char          *name;
        const char          *state;
        const char          *help;
        const ngx_atomic_t  *values;
    } rows[] = {
        { "nchat_db_connections", ",state=\"ready\"",
          "Database connections by lane and state.", sum.ready },
        { "nchat_db_connections", ",state=\"connecting\"", NULL,
          sum.connecting },
        { "nchat_db_connections", ",state=\"down\"", NULL, sum.down },
        { "nchat_db_inflight", "", "Statements sent and not yet answered.",
          sum.inflight },
        { "nchat_db_waiting", "", "Statements waiting for a connection.",
          sum.waiting }
    };

    workers = nchat_metrics_sum(gauges, &sum);

    for (n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {

        if (rows[n].help
            && nchat_text_add(text, "# HELP %s %s\n# TYPE %s gauge\n",
                              rows[n].name, rows[n].help, rows[n].name)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (lane = 0; lane < NCHAT_METRICS_LANES; lane++) {
            if (nchat_text_add(text, "%s{lane=\"%s\"%s} %uA\n", rows[n].name,
                               nchat_lane_labels[lane], rows[n].state,
                               rows[n].values[lane]) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return nchat_text_add(text, "# HELP nchat_hashing Passwords being hashed "
                          "or waiting for a thread.\n"
                          "# TYPE nchat_hashing gauge\nnchat_hashing %uA\n"
                          "# HELP nchat_workers Worker processes alive.\n"
                          "# TYPE nchat_workers gauge\nnchat_workers %ui\n",
                          sum.hashing, workers);
}
