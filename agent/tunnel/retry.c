/* SPDX-License-Identifier: Apache-2.0 */
/* The classes of failure and their waits. */
#include "agent/tunnel/retry.h"

#include <stdbool.h>

void retry_init(struct retry *r)
{
    backoff_init(&r->backoff, RETRY_MIN_MS, RETRY_MAX_MS);
    backoff_init(&r->eager, RETRY_MIN_MS, RETRY_EAGER_MS);
    backoff_init(&r->proxy, RETRY_MIN_MS, RETRY_PROXY_MAX_MS);
    r->n_eager = RETRY_EAGER;
}

static uint32_t next_ms(struct retry *r, uint64_t random)
{
    if (r->n_eager > 0) {
        r->n_eager--;
        return backoff_next_ms(&r->eager, random);
    }
    return backoff_next_ms(&r->backoff, random);
}

static uint32_t slow_ms(struct retry *r, uint64_t random)
{
    r->n_eager = 0;
    return backoff_slow_ms(&r->backoff, random);
}

static uint32_t up_to_ms(uint32_t most_ms, uint64_t random)
{
    return (uint32_t)(random % ((uint64_t)most_ms + 1));
}

static uint32_t unreachable_ms(uint64_t random)
{
    return RETRY_MIN_MS / 2 + up_to_ms(RETRY_UNREACHABLE_MS - RETRY_MIN_MS / 2, random);
}

static uint32_t class_ms(struct retry *r, enum retry_class class, bool lived, uint64_t random)
{
    switch (class) {
    case RETRY_REFUSED:
    case RETRY_REPLACED: return slow_ms(r, random);
    case RETRY_MOVED: return lived ? 0 : next_ms(r, random);
    case RETRY_DROPPED: return lived ? up_to_ms(RETRY_FAST_MS, random) : next_ms(r, random);
    case RETRY_UNREACHABLE: return unreachable_ms(random);
    case RETRY_PROXY: return backoff_next_ms(&r->proxy, random);
    case RETRY_FAILED:
    default: return next_ms(r, random);
    }
}

uint32_t retry_wait_ms(struct retry *r, enum retry_class class, uint64_t lived_ms,
                       uint32_t advice_ms, uint64_t random)
{
    if (lived_ms >= RETRY_STABLE_MS) {
        retry_init(r);
    }
    uint32_t ms = class_ms(r, class, lived_ms >= RETRY_LIVED_MS, random);
    uint32_t pause_ms = advice_ms < RETRY_ADVICE_MAX_MS ? advice_ms : RETRY_ADVICE_MAX_MS;
    if (ms >= pause_ms) {
        return ms;
    }
    /* Many are told the same: they come back spread over the half of it. */
    return pause_ms + up_to_ms(pause_ms / 2, random);
}

const char *retry_class_name(enum retry_class class)
{
    switch (class) {
    case RETRY_UNREACHABLE: return "unreachable";
    case RETRY_PROXY: return "proxy";
    case RETRY_FAILED: return "failed";
    case RETRY_REFUSED: return "refused";
    case RETRY_DROPPED: return "dropped";
    case RETRY_REPLACED: return "replaced";
    case RETRY_MOVED: return "moved";
    default: return "unknown";
    }
}
