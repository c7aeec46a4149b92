/* SPDX-License-Identifier: Apache-2.0 */
/* When to ask a building, through its tunnel, whether its server still answers: so that "online"
 * means that a call would be answered now. A real call that was answered lately makes a probe
 * needless. Pure: the tunnel sends the call and tells the outcome. */
#ifndef RELAY_TUNNEL_PROBE_H
#define RELAY_TUNNEL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* The call that is made: it reads, and every server has it. */
#define PROBE_PATH "/api/V1/system/serverStatus"
/* A probe without an answer has failed after this. */
#define PROBE_DEADLINE_MS 10000
/* Failing calls cause a probe at most so often. */
#define PROBE_SUSPECT_MS 1000

struct probe {
    uint32_t interval_ms; /* 0 = never */
    uint64_t due_ms;
    uint32_t stream; /* of the probe under way; 0 = none */
    uint64_t sent_ms;
};

/* The first one is due at once. */
void probe_init(struct probe *p, uint32_t interval_ms, uint64_t now_ms);

bool probe_is_due(const struct probe *p, uint64_t now_ms);
void probe_started(struct probe *p, uint32_t stream, uint64_t now_ms);
bool probe_is_late(const struct probe *p, uint64_t now_ms);

/* A real call failed: the next one is due at once, but not more often than PROBE_SUSPECT_MS. */
void probe_suspect(struct probe *p, uint64_t now_ms);

/* The server answered something (this probe or a real call), or the probe failed: the next one is
 * due an interval later; `random` spreads the probes of many tunnels over a quarter of it. */
void probe_ended(struct probe *p, uint64_t random, uint64_t now_ms);

#endif
