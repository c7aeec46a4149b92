/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each building's connection, for people and monitors: both of its legs (relay to
 * agent, agent to server), since when, and why not. Shared by all workers under a lock, touched
 * when a tunnel comes or goes and when a probe ends, never per request. Comings and goings are
 * handed to the store thread, which keeps them. */
#ifndef RELAY_TUNNEL_BOARD_H
#define RELAY_TUNNEL_BOARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"
#include "proto/wire/mux.h"
#include "relay/store/store.h"

/* Buildings kept; those beyond are served, and not shown. */
#define BOARD_SERVERS_MAX 100000
/* Text of a reason, with NUL. */
#define BOARD_REASON_BYTES 48
/* Comings and goings of one building that are kept: per second, and at once. An agent that connects
 * again and again must not fill the store thread's day; how many were left out is kept, and what it
 * came to follows with the next probe. */
#define BOARD_NOTES_PER_S 1
#define BOARD_NOTES_BURST 30

struct board;

enum board_leg {
    BOARD_LEG_UNKNOWN, /* not tried yet */
    BOARD_LEG_OK,
    BOARD_LEG_BROKEN
};

/* NULL when out of memory. */
struct board *board_new(void);
void board_free(struct board *b);

/* Where comings and goings are noted from now on (borrows); before, and with NULL, nowhere. Called
 * while there is one thread. */
void board_set_store(struct board *b, struct store *store);

/* What the building's last row of the history says, before its first tunnel comes. One that was up
 * then is down since now: the relay was restarted. */
void board_recall(struct board *b, const char *serial, const struct history_row *row);

/* A tunnel is up. All is copied. A newer tunnel takes the place of an older one. */
void board_tunnel_up(struct board *b, int64_t server, const char *serial, uint64_t tunnel,
                     const char *address, const struct mux_peer *peer);

/* The tunnel is down; ignored if another one has taken its place. */
void board_tunnel_down(struct board *b, int64_t server, uint64_t tunnel, const char *reason);

/* A probe (or a real call) through the tunnel ended: answered by the server after `server_us`, or
 * not, for a reason. `rtt_us` is the last round trip to the agent, 0 = none yet. */
void board_probe(struct board *b, int64_t server, uint64_t tunnel, bool answered,
                 uint32_t server_us, uint32_t rtt_us, const char *reason);

/* The server was removed. */
void board_forget(struct board *b, int64_t server);

/* True if the building's tunnel is up and its last probe was answered. */
bool board_is_online(struct board *b, struct span serial);

/* One building's, as it is now: all zeroes if nothing is known of it. */
struct board_state {
    bool is_up;         /* its tunnel */
    bool is_online;     /* and its last probe was answered */
    uint32_t rtt_us;    /* to its agent, 0 = not known */
    uint32_t server_us; /* what its server took for the last answer, 0 = not known */
};
struct board_state board_read(struct board *b, int64_t server);

/* True if the building's tunnel is up and its agent can be asked for a device file. */
bool board_gives_devices(struct board *b, int64_t server);

struct board_counts {
    size_t n_up;     /* tunnels */
    size_t n_online; /* of those, last probe answered */
};
struct board_counts board_count(struct board *b);

/* The building's object as it stands in board_format_json, or JSON null; owned. */
json_t *board_describe(struct board *b, struct span serial);

/* All of them, by serial: owned. NULL when out of memory. */
json_t *board_describe_all(struct board *b);

/* One JSON text of all buildings, owned by the caller (free); NULL when out of memory. Times are
 * seconds since 1970. `relay` (takes; NULL = out of memory) stands beside them: the leg from the
 * clients to the relay. */
char *board_format_json(struct board *b, json_t *relay);

#endif
