/* SPDX-License-Identifier: Apache-2.0 */
/* Which address of a host answers first: its name is resolved and its addresses, IPv6 and IPv4 in
 * turn, are connected to one after the other with a head start each (RFC 8305, kept simple). The
 * connections are only probes and closed again: libwebsockets makes its own to the winner, because
 * it cannot be given an open one.
 *
 * While nobody answers, all addresses are connected to once more every RACE_ROUND_MS, beside those
 * of the rounds before: the kernel repeats a SYN only after 1, 3 and 7 s, and a line that returns
 * should not have to wait for that; nor should a slow line be given up early.
 *
 * A resolver that is silent for RACE_RESOLVE_MS, or fails, does not hold the race up if the host
 * has been resolved before: it begins with the addresses of then, and those of a late answer join.
 */
#ifndef AGENT_TUNNEL_RACE_H
#define AGENT_TUNNEL_RACE_H

#include <stdbool.h>
#include <uv.h>

#include "agent/tunnel/lookup.h"
#include "agent/tunnel/url.h"

/* Head start of each address (RFC 8305 section 8 recommends 250 ms). */
#define RACE_STAGGER_MS 250
/* From the last address of a round to the first of the next. */
#define RACE_ROUND_MS 1500
/* From the first connection attempt to giving up. */
#define RACE_DEADLINE_MS 10000
/* Patience with the resolver. One with a cache answers in a few ms, any other in two round trips.
 */
#define RACE_RESOLVE_MS 250
/* Those of the last answer, and as many of a late one. */
#define RACE_ADDRESSES_MAX (2 * LOOKUP_ADDRESSES_MAX)
/* Connections of one race: all rounds of a host with up to four addresses. */
#define RACE_ATTEMPTS_MAX 24

struct race;

/* `winner` has the port set and is borrowed during the call; NULL = none, and `reason` is one
 * sentence. The race is gone when this is called. */
typedef void (*race_done)(void *user, const struct sockaddr *winner, const char *reason);

/* Resolves by `lookup`, which is borrowed until the race is gone, and races. 0, or ERROR_NOMEM. */
int race_start(uv_loop_t *loop, struct lookup *lookup, const struct url *to, race_done on_done,
               void *user, struct race **r);

/* No callback follows. */
void race_cancel(struct race *r);

/* No address is connected to yet: the name is being resolved. */
bool race_resolving(const struct race *r);

#endif
