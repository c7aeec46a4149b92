/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket as one number (the generic cell rate algorithm, ITU-T I.371): the time at which
 * it will be full again. There is nothing to refill, so an untouched bucket costs nothing and a
 * zeroed one is full. Safe to use from several threads at once. */
#ifndef PROTO_BASE_BUCKET_H
#define PROTO_BASE_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bucket {
    _Atomic uint64_t full_at_us; /* monotonic clock; in the past = full */
};

struct bucket_rate {
    uint32_t per_s; /* tokens per second; 0 = no limit. One token's time is rounded up to whole
                     * microseconds, so that the rate is never exceeded; 10^6 is the fastest */
    uint32_t burst; /* tokens it holds; 0 counts as 1 */
};

struct bucket_state {
    uint32_t remaining;      /* whole tokens left now */
    uint64_t retry_after_us; /* until one token is there; 0 if there is one */
    uint64_t reset_us;       /* until the bucket is full */
};

/* Takes one token at `now_us` (monotonic). True if there was one. `state` may be NULL; it is
 * written in either case. With rate.per_s == 0 always true, remaining UINT32_MAX. */
bool bucket_take(struct bucket *b, struct bucket_rate rate, uint64_t now_us,
                 struct bucket_state *state);

/* The state at `now_us`, taking nothing. */
void bucket_peek(struct bucket *b, struct bucket_rate rate, uint64_t now_us,
                 struct bucket_state *state);

#endif
