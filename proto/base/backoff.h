/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before the next attempt: exponential with full jitter, so that many agents
 * that lost their relay at the same moment do not come back at the same moment. */
#ifndef PROTO_BASE_BACKOFF_H
#define PROTO_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t min_ms;     /* ceiling of the first wait */
    uint32_t max_ms;     /* ceiling that doubling ends at */
    uint32_t n_failures; /* since the last reset; UINT32_MAX = slow until a reset */
};

void backoff_init(struct backoff *b, uint32_t min_ms, uint32_t max_ms);

/* The next wait in ms, between min_ms / 2 and the ceiling min(max_ms, min_ms * 2^n_failures),
 * drawn with `random` (any 64 random bits). Counts one failure. */
uint32_t backoff_next_ms(struct backoff *b, uint64_t random);

/* The next wait at the slow end: between max_ms / 2 and max_ms. Later calls of backoff_next_ms
 * stay at the slow end until a reset. */
uint32_t backoff_slow_ms(struct backoff *b, uint64_t random);

/* After a success that lasted. */
void backoff_reset(struct backoff *b);

#endif
