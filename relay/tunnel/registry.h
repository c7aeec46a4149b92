/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns the tunnel of a server. Each worker has its own copy, kept equal by messages, so that
 * routing takes no lock; what it answers is a reference, which may be to a tunnel of another worker
 * (and later of another relay). */
#ifndef RELAY_TUNNEL_REGISTRY_H
#define RELAY_TUNNEL_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/map.h"
#include "relay/ref.h"

/* Servers whose tunnel is up, or was within living memory. */
#define REGISTRY_SERVERS_MAX 1000000
/* A server whose tunnel went away longer ago is not worth waiting for. */
#define REGISTRY_RECENT_MS 60000

struct registry {
    struct map servers; /* id → struct registry_entry, owned */
    size_t n_up;
    uint64_t started_ms;
};

void registry_init(struct registry *r, uint64_t now_ms);
void registry_close(struct registry *r);

/* The tunnel of the server, or 0. */
tunnel_ref registry_owner(const struct registry *r, int64_t server);

/* True if the server has no tunnel now but had one a moment ago, or the relay has only just
 * started: a request may wait for it. */
bool registry_is_expected(const struct registry *r, int64_t server, uint64_t now_ms);

/* A tunnel is up. The newest (largest number) wins: returns false if a newer one is or was up, for
 * messages of several workers may overtake each other; else true with `*replaced` the one before it
 * (0 = none). Out of memory counts as false. */
bool registry_up(struct registry *r, int64_t server, tunnel_ref tunnel, uint64_t now_ms,
                 tunnel_ref *replaced);

/* A tunnel is down; nothing happens if another one has taken its place. */
void registry_down(struct registry *r, int64_t server, tunnel_ref tunnel, uint64_t now_ms);

#endif
