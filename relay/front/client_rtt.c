/* SPDX-License-Identifier: Apache-2.0 */
/* How far away the callers are. */
#include "relay/front/client_rtt.h"

#include <stdlib.h>

void client_rtt_note(struct client_rtt *c, uint32_t us, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000 + 1;
    c->due_ms = now_ms + CLIENT_RTT_EVERY_MS;
    if (us == 0) {
        return;
    }
    atomic_store_explicit(&c->samples[c->next], second << 32 | us, memory_order_relaxed);
    c->next = (c->next + 1) % CLIENT_RTT_SAMPLES_MAX;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Adds one worker's to the times and the summary. */
static void collect(const struct client_rtt *c, uint64_t now_second, uint32_t *times_us,
                    struct client_rtt_summary *sum)
{
    for (size_t i = 0; i < CLIENT_RTT_SAMPLES_MAX; i++) {
        uint64_t sample = atomic_load_explicit(&c->samples[i], memory_order_relaxed);
        /* A worker may have noted one in the second that begins just now. */
        uint64_t age_s = now_second > sample >> 32 ? now_second - (sample >> 32) : 0;
        if (sample == 0) {
            continue;
        }
        if (!sum->has_latest || age_s <= sum->latest_age_s) {
            sum->has_latest = true;
            sum->latest_age_s = (uint32_t)age_s;
            sum->latest_us = (uint32_t)sample;
        }
        if (age_s <= CLIENT_RTT_WINDOW_S) {
            times_us[sum->n_samples++] = (uint32_t)sample;
        }
    }
}

struct client_rtt_summary client_rtt_summarize(const struct client_rtt *const *all, size_t n,
                                               uint64_t now_ms)
{
    struct client_rtt_summary sum = {.n_samples = 0};
    uint32_t *times_us = calloc(n * CLIENT_RTT_SAMPLES_MAX, sizeof(*times_us));
    if (times_us == NULL) {
        return sum;
    }
    for (size_t i = 0; i < n; i++) {
        collect(all[i], now_ms / 1000 + 1, times_us, &sum);
    }
    if (sum.n_samples > 0) {
        qsort(times_us, sum.n_samples, sizeof(*times_us), by_value);
        sum.median_us = times_us[sum.n_samples / 2];
    }
    free(times_us);
    return sum;
}
