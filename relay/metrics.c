/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of one worker, and their text. */
#include "relay/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/error.h"

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static unsigned bucket_of(uint64_t duration_us)
{
    uint64_t bound_us = 1000;
    unsigned i = 0;
    while (i < METRICS_LATENCY_BUCKETS - 1 && duration_us > bound_us) {
        bound_us *= 2;
        i++;
    }
    return i;
}

void metrics_observe(struct metrics_histogram *h, uint64_t duration_us)
{
    metrics_add(&h->buckets[bucket_of(duration_us)], 1);
    metrics_add(&h->sum_us, duration_us);
    metrics_add(&h->count, 1);
}

void metrics_count_answer(struct metrics *m, unsigned status, uint64_t duration_us)
{
    if (status >= METRICS_STATUS_MIN && status < METRICS_STATUS_MIN + METRICS_STATUSES) {
        metrics_add(&m->answers[status - METRICS_STATUS_MIN], 1);
    }
    metrics_observe(&m->request, duration_us);
}

/* All members are counters of one type: they can be added as an array. */
void metrics_merge(struct metrics *sum, const struct metrics *from)
{
    _Atomic uint64_t *to = (_Atomic uint64_t *)(void *)sum;
    const _Atomic uint64_t *add = (const _Atomic uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
        metrics_add(&to[i], value_of(&add[i]));
    }
}

int metrics_append(struct buffer *out, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text)) {
        return ERROR_LIMIT;
    }
    return buffer_append(out, text, (size_t)len);
}

static int append_counter(struct buffer *out, const char *name, const char *help, uint64_t value)
{
    return metrics_append(out,
                          "# HELP thinknx_relay_%s %s\n# TYPE thinknx_relay_%s counter\n"
                          "thinknx_relay_%s %" PRIu64 "\n",
                          name, help, name, name, value);
}

static int append_gauge(struct buffer *out, const char *name, const char *help, uint64_t value)
{
    return metrics_append(out,
                          "# HELP thinknx_relay_%s %s\n# TYPE thinknx_relay_%s gauge\n"
                          "thinknx_relay_%s %" PRIu64 "\n",
                          name, help, name, name, value);
}

static int append_histogram(struct buffer *out, const char *name, const char *help,
                            const struct metrics_histogram *h)
{
    int err = metrics_append(out, "# HELP thinknx_relay_%s %s\n# TYPE thinknx_relay_%s histogram\n",
                             name, help, name);
    uint64_t n = 0;
    for (unsigned i = 0; i < METRICS_LATENCY_BUCKETS && err == 0; i++) {
        n += value_of(&h->buckets[i]);
        if (i < METRICS_LATENCY_BUCKETS - 1) {
            err = metrics_append(out, "thinknx_relay_%s_bucket{le=\"%.3f\"} %" PRIu64 "\n", name,
                                 0.001 * (double)(1U << i), n);
        } else {
            err =
                metrics_append(out, "thinknx_relay_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, n);
        }
    }
    return err == 0
               ? metrics_append(out,
                                "thinknx_relay_%s_sum %.6f\nthinknx_relay_%s_count %" PRIu64 "\n",
                                name, (double)value_of(&h->sum_us) / 1e6, name, n)
               : err;
}

static int append_answers(struct buffer *out, const struct metrics *m)
{
    int err = metrics_append(out, "# HELP thinknx_relay_requests_total Final answers by status.\n"
                                  "# TYPE thinknx_relay_requests_total counter\n");
    for (unsigned i = 0; i < METRICS_STATUSES && err == 0; i++) {
        uint64_t n = value_of(&m->answers[i]);
        if (n > 0) {
            err = metrics_append(out, "thinknx_relay_requests_total{status=\"%u\"} %" PRIu64 "\n",
                                 i + METRICS_STATUS_MIN, n);
        }
    }
    return err;
}

static int append_counters(struct buffer *out, const struct metrics *m)
{
    const struct {
        const char *name;
        const char *help;
        const _Atomic uint64_t *value;
    } rows[] = {
        {"connections_accepted_total", "Connections accepted.", &m->connections_accepted},
        {"connections_dropped_total", "Connections closed at once, over a limit.",
         &m->connections_dropped},
        {"accept_errors_total", "Connections turned away for want of descriptors.",
         &m->accept_errors},
        {"tls_handshakes_total", "TLS handshakes completed.", &m->tls_handshakes},
        {"tls_failures_total", "TLS handshakes failed.", &m->tls_failures},
        {"tunnels_opened_total", "Tunnels that came up.", &m->tunnels_opened},
        {"tunnels_closed_total", "Tunnels that ended.", &m->tunnels_lost},
        {"tunnels_refused_total", "Agents refused.", &m->tunnels_refused},
        {"tunnels_replaced_total", "Tunnels replaced by a newer one.", &m->tunnels_replaced},
        {"parked_total", "Requests that had to wait for a tunnel.", &m->parked},
        {"rate_limited_total", "Requests answered 429.", &m->rate_limited},
        {"keys_refused_total", "Requests with a key that is not accepted.", &m->keys_refused},
        {"handed_on_total", "Requests handed to the worker that has the tunnel.", &m->handed_on},
        {"client_gone_total", "Requests whose client went away.", &m->client_gone},
        {"sent_bytes_total", "Bytes of answers written to clients.", &m->bytes_to_clients},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && err == 0; i++) {
        err = append_counter(out, rows[i].name, rows[i].help, value_of(rows[i].value));
    }
    return err;
}

static int append_gauges(struct buffer *out, const struct metrics *m,
                         const struct metrics_gauges *g)
{
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"sessions", "Client connections open now.", value_of(&m->sessions_open)},
        {"tunnels", "Agents connected now.", value_of(&m->tunnels_open)},
        {"servers_online", "Buildings whose last end-to-end probe was answered.", g->n_online},
        {"servers", "Servers known.", g->n_servers},
        {"servers_enabled", "Servers that are not disabled.", g->n_enabled},
        {"keys", "Keys known.", g->n_keys},
        {"client_round_trip_samples", "Callers' round trips looked at in the last 5 minutes.",
         g->n_client_samples},
        {"workers", "Worker threads.", g->n_workers},
        {"start_time_seconds", "When the process started, seconds since 1970.", g->started_s},
        {"certificate_expiry_time_seconds", "Earliest end of a certificate, seconds since 1970.",
         g->certificate_expires_s},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && err == 0; i++) {
        err = append_gauge(out, rows[i].name, rows[i].help, rows[i].value);
    }
    return err;
}

int metrics_format(const struct metrics *m, const struct metrics_gauges *g, struct buffer *out)
{
    int err = append_answers(out, m);
    if (err == 0) {
        err =
            append_histogram(out, "request_duration_seconds",
                             "From a request's first byte to the end of its answer.", &m->request);
    }
    if (err == 0) {
        err = append_histogram(out, "server_duration_seconds",
                               "From handing a request to a building's server to its answer.",
                               &m->upstream);
    }
    if (err == 0) {
        err = append_counters(out, m);
    }
    if (err == 0) {
        err = append_counter(out, "store_failures_total", "Database operations that failed.",
                             g->store_failures);
    }
    if (err == 0) {
        err = append_counter(out, "store_dropped_total", "Database jobs dropped, queue full.",
                             g->store_dropped);
    }
    if (err == 0 && g->n_client_samples > 0) {
        err = metrics_append(out,
                             "# HELP thinknx_relay_client_round_trip_seconds "
                             "Median round trip to callers, of the last 5 minutes.\n"
                             "# TYPE thinknx_relay_client_round_trip_seconds gauge\n"
                             "thinknx_relay_client_round_trip_seconds %.6f\n",
                             (double)g->client_rtt_us / 1e6);
    }
    return err == 0 ? append_gauges(out, m, g) : err;
}
