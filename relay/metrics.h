/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of one worker. Written by its thread, read by whoever shows them; relaxed atomics, so
 * that reading costs the writer nothing. */
#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "proto/base/buffer.h"

/* Statuses are counted from 100 to 599. */
#define METRICS_STATUS_MIN 100
#define METRICS_STATUSES   500
/* Upper bounds of the latency buckets are 1 ms * 2^i, i = 0..15; one more holds the rest. */
#define METRICS_LATENCY_BUCKETS 17

struct metrics_histogram {
    _Atomic uint64_t buckets[METRICS_LATENCY_BUCKETS];
    _Atomic uint64_t sum_us;
    _Atomic uint64_t count;
};

struct metrics {
    _Atomic uint64_t answers[METRICS_STATUSES];
    struct metrics_histogram request;  /* from the whole request to the whole answer */
    struct metrics_histogram upstream; /* as the agent measured its server */
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_dropped; /* over a limit, before TLS */
    _Atomic uint64_t accept_errors;
    _Atomic uint64_t tls_handshakes;
    _Atomic uint64_t tls_failures;
    _Atomic uint64_t sessions_open;
    _Atomic uint64_t tunnels_open;
    _Atomic uint64_t tunnels_opened;
    _Atomic uint64_t tunnels_lost;
    _Atomic uint64_t tunnels_refused;
    _Atomic uint64_t tunnels_replaced;
    _Atomic uint64_t parked;
    _Atomic uint64_t rate_limited;
    _Atomic uint64_t keys_refused;
    _Atomic uint64_t client_gone;
    _Atomic uint64_t handed_on; /* to the worker that has the tunnel */
    _Atomic uint64_t bytes_to_clients;
};

static inline void metrics_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static inline void metrics_subtract(_Atomic uint64_t *counter, uint64_t n)
{
    metrics_add(counter, (uint64_t)0 - n);
}

void metrics_count_answer(struct metrics *m, unsigned status, uint64_t duration_us);
void metrics_observe(struct metrics_histogram *h, uint64_t duration_us);

/* Adds all of `from` to `sum`. */
void metrics_merge(struct metrics *sum, const struct metrics *from);

/* What is not counted by a worker. */
struct metrics_gauges {
    uint64_t n_online; /* buildings whose last probe was answered */
    uint64_t n_servers;
    uint64_t n_enabled; /* of them */
    uint64_t n_keys;
    uint64_t store_failures;
    uint64_t store_dropped;
    uint64_t certificate_expires_s;
    uint64_t started_s;
    uint64_t n_workers;
    uint64_t n_client_samples;
    uint32_t client_rtt_us; /* median of those */
};

/* The Prometheus text format. 0, ERROR_LIMIT, ERROR_NOMEM. */
int metrics_format(const struct metrics *m, const struct metrics_gauges *g, struct buffer *out);

/* Adds lines of at most 511 bytes. 0, ERROR_LIMIT, ERROR_NOMEM. */
int metrics_append(struct buffer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
