/* SPDX-License-Identifier: Apache-2.0 */
/* When to ask a building whether its server still answers. */
#include "relay/tunnel/probe.h"

void probe_init(struct probe *p, uint32_t interval_ms, uint64_t now_ms)
{
    *p = (struct probe){.interval_ms = interval_ms, .due_ms = now_ms};
}

bool probe_is_due(const struct probe *p, uint64_t now_ms)
{
    return p->interval_ms > 0 && p->stream == 0 && now_ms >= p->due_ms;
}

void probe_started(struct probe *p, uint32_t stream, uint64_t now_ms)
{
    p->stream = stream;
    p->sent_ms = now_ms;
}

bool probe_is_late(const struct probe *p, uint64_t now_ms)
{
    return p->stream != 0 && now_ms - p->sent_ms >= PROBE_DEADLINE_MS;
}

void probe_ended(struct probe *p, uint64_t random, uint64_t now_ms)
{
    p->stream = 0;
    p->due_ms = now_ms + p->interval_ms - random % (p->interval_ms / 4 + 1);
}

void probe_suspect(struct probe *p, uint64_t now_ms)
{
    uint64_t soonest_ms = p->sent_ms + PROBE_SUSPECT_MS;
    uint64_t due_ms = soonest_ms > now_ms ? soonest_ms : now_ms;
    if (p->stream == 0 && due_ms < p->due_ms) {
        p->due_ms = due_ms;
    }
}
