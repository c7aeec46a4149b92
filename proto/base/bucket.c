/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual scheduling form of the generic cell rate algorithm (ITU-T I.371, annex A). */
#include "proto/base/bucket.h"

#include <assert.h>
#include <stddef.h>

#define US_PER_S 1000000U

/* More than the clocks of two threads can differ: a loop reads its clock once per turn. */
#define SKEW_US US_PER_S

/* A rate in microseconds. Rounded up: a limit is never exceeded, at worst not quite reached. */
struct pace {
    uint64_t token_us; /* time that one token takes to come */
    uint64_t depth_us; /* time from empty to full */
};

static struct pace pace_of(struct bucket_rate rate)
{
    uint64_t burst = rate.burst == 0 ? 1 : rate.burst;
    uint64_t token_us = (US_PER_S - 1) / rate.per_s + 1;
    assert(token_us > 0);
    return (struct pace){.token_us = token_us, .depth_us = burst * token_us};
}

/* Time until full. A little more than the depth is seen by a thread whose `now_us` is older than
 * that of the last taker. Much more is left from before the rate was changed, and counts as just
 * empty, lest the old rate outlive its change. */
static uint64_t debt_at(uint64_t full_at_us, uint64_t now_us, struct pace pace)
{
    uint64_t debt_us = full_at_us > now_us ? full_at_us - now_us : 0;
    return debt_us > pace.depth_us + SKEW_US ? pace.depth_us : debt_us;
}

static bool has_token(uint64_t debt_us, struct pace pace)
{
    return debt_us + pace.token_us <= pace.depth_us;
}

static void describe(struct bucket_state *state, uint64_t debt_us, struct pace pace)
{
    if (state == NULL) {
        return;
    }
    uint64_t room_us = debt_us < pace.depth_us ? pace.depth_us - debt_us : 0;
    state->remaining = (uint32_t)(room_us / pace.token_us);
    state->retry_after_us = has_token(debt_us, pace) ? 0 : debt_us + pace.token_us - pace.depth_us;
    state->reset_us = debt_us;
}

static void describe_unlimited(struct bucket_state *state)
{
    if (state != NULL) {
        *state = (struct bucket_state){.remaining = UINT32_MAX};
    }
}

bool bucket_take(struct bucket *b, struct bucket_rate rate, uint64_t now_us,
                 struct bucket_state *state)
{
    if (rate.per_s == 0) {
        describe_unlimited(state);
        return true;
    }
    struct pace pace = pace_of(rate);
    /* Relaxed: the number stands for itself and publishes nothing else. */
    uint64_t full_at_us = atomic_load_explicit(&b->full_at_us, memory_order_relaxed);
    for (;;) {
        uint64_t debt_us = debt_at(full_at_us, now_us, pace);
        bool taken = has_token(debt_us, pace);
        if (taken) {
            debt_us += pace.token_us;
        }
        uint64_t next_us = now_us + debt_us;
        /* A refusal writes only to forget what an old rate left. */
        if ((!taken && next_us == full_at_us) ||
            atomic_compare_exchange_weak_explicit(&b->full_at_us, &full_at_us, next_us,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            describe(state, debt_us, pace);
            return taken;
        }
    }
}

void bucket_peek(struct bucket *b, struct bucket_rate rate, uint64_t now_us,
                 struct bucket_state *state)
{
    if (rate.per_s == 0) {
        describe_unlimited(state);
        return;
    }
    struct pace pace = pace_of(rate);
    uint64_t full_at_us = atomic_load_explicit(&b->full_at_us, memory_order_relaxed);
    describe(state, debt_at(full_at_us, now_us, pace), pace);
}
