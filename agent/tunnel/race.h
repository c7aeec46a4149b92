/* SPDX-License-Identifier: Apache-2.0 */
/* Which address of a host answers first: its name is resolved and its addresses, IPv6 and IPv4 in
 * turn, are connected to one after the other with a head start each (RFC 8305, kept simple). The
 * connections are only probes and closed again: libwebsockets makes its own to the winner, because
 * it cannot be given an open one. */
#ifndef AGENT_TUNNEL_RACE_H
#define AGENT_TUNNEL_RACE_H

#include <stdbool.h>
#include <uv.h>

#include "agent/tunnel/url.h"

/* Head start of each address (RFC 8305 section 8 recommends 250 ms). */
#define RACE_STAGGER_MS 250
/* From the first connection attempt to giving up. SYNs are repeated after 1, 3 and 7 s. */
#define RACE_DEADLINE_MS 10000
/* Addresses tried; further ones are left out. */
#define RACE_ADDRESSES_MAX 8

struct race;

/* `winner` has the port set and is borrowed during the call; NULL = none, and `reason` is one
 * sentence. The race is gone when this is called. */
typedef void (*race_done)(void *user, const struct sockaddr *winner, const char *reason);

/* Resolves and races. 0, or ERROR_NOMEM. */
int race_start(uv_loop_t *loop, const struct url *to, race_done on_done, void *user,
               struct race **r);

/* No callback follows. A name that is being resolved keeps the loop alive until the resolver
 * gives up. */
void race_cancel(struct race *r);

/* The name is still being resolved. */
bool race_resolving(const struct race *r);

#endif
