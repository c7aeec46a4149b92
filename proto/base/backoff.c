/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential waits with jitter. */
#include "proto/base/backoff.h"

/* 2^32 times any minimum is past any maximum; counting on would only overflow the shift. */
#define FAILURES_ENOUGH 32

/* Stands for "slow until a reset" in n_failures. */
#define FAILURES_SLOW UINT32_MAX

void backoff_init(struct backoff *b, uint32_t min_ms, uint32_t max_ms)
{
    *b = (struct backoff){.min_ms = min_ms, .max_ms = max_ms < min_ms ? min_ms : max_ms};
}

static uint32_t draw(uint32_t from_ms, uint32_t to_ms, uint64_t random)
{
    return from_ms + (uint32_t)(random % ((uint64_t)to_ms - from_ms + 1));
}

uint32_t backoff_next_ms(struct backoff *b, uint64_t random)
{
    if (b->n_failures == FAILURES_SLOW) {
        return backoff_slow_ms(b, random);
    }
    uint64_t ceiling_ms = (uint64_t)b->min_ms << b->n_failures;
    if (ceiling_ms > b->max_ms) {
        ceiling_ms = b->max_ms;
    }
    if (b->n_failures < FAILURES_ENOUGH) {
        b->n_failures++;
    }
    return draw(b->min_ms / 2, (uint32_t)ceiling_ms, random);
}

uint32_t backoff_slow_ms(struct backoff *b, uint64_t random)
{
    b->n_failures = FAILURES_SLOW;
    return draw(b->max_ms / 2, b->max_ms, random);
}

void backoff_reset(struct backoff *b)
{
    b->n_failures = 0;
}
