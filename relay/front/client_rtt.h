/* SPDX-License-Identifier: Apache-2.0 */
/* How far away the callers are: round-trip times of their connections as the kernel has measured
 * them anyway, so that nothing is sent for it. One worker's, of the last minutes. Written by the
 * worker, read from any thread without a lock. */
#ifndef RELAY_FRONT_CLIENT_RTT_H
#define RELAY_FRONT_CLIENT_RTT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At most one sample in so long: what it costs (a system call) does not grow with the load. */
#define CLIENT_RTT_EVERY_MS 1000
/* Older samples are not looked at any more. */
#define CLIENT_RTT_WINDOW_S 300
/* What that makes at most. */
#define CLIENT_RTT_SAMPLES_MAX 300

/* All zeroes when new. */
struct client_rtt {
    /* Second of the clock, counted from 1, in the upper half; microseconds in the lower. */
    _Atomic uint64_t samples[CLIENT_RTT_SAMPLES_MAX];
    /* The worker's alone. */
    unsigned next;
    uint64_t due_ms;
};

/* Is it time for another sample? `now_ms` is monotonic, and the same clock for all workers. */
static inline bool client_rtt_is_due(const struct client_rtt *c, uint64_t now_ms)
{
    return now_ms >= c->due_ms;
}

/* Keeps what the kernel says of a connection (conn_rtt_us); 0 is not known, and not kept. */
void client_rtt_note(struct client_rtt *c, uint32_t us, uint64_t now_ms);

struct client_rtt_summary {
    size_t n_samples; /* within the window */
    uint32_t median_us;
    uint32_t latest_us;
    bool has_latest;
    uint32_t latest_age_s; /* how long ago that was; it may be outside the window */
};

/* What several workers have, together. Out of memory: no samples. */
struct client_rtt_summary client_rtt_summarize(const struct client_rtt *const *all, size_t n,
                                               uint64_t now_ms);

#endif
