/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the tunnel: what tunnel.c (the connection) and tunnel_events.c (the mux on it) share.
 */
#ifndef RELAY_TUNNEL_TUNNEL_INTERNAL_H
#define RELAY_TUNNEL_TUNNEL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/io/wheel.h"
#include "proto/websocket/websocket.h"
#include "proto/wire/mux.h"
#include "relay/front/peers.h"
#include "relay/ref.h"
#include "relay/store/directory.h"
#include "relay/tunnel/probe.h"

/* Longest address text: an IPv6 address with port. */
#define TUNNEL_ADDRESS_BYTES 64

struct conn;
struct worker;

enum tunnel_state {
    TUNNEL_GREETING, /* waits for HELLO */
    TUNNEL_UP,       /* registered: requests are routed to it */
    TUNNEL_RETIRING, /* not registered any more, finishes what is in flight */
    TUNNEL_ENDED     /* the connection is closing */
};

struct tunnel {
    struct worker *worker;
    struct conn *conn; /* owned */
    struct websocket *websocket;
    struct mux *mux;
    tunnel_ref ref;
    uint64_t number;
    int64_t server;
    enum tunnel_state state;
    uint16_t doomed; /* close code to end with; 0 = live */
    const char *doom_reason;
    bool dirty;
    bool feeding;  /* inside mux_recv */
    bool retiring; /* tunnel_retire was called */
    bool replaced; /* by a newer tunnel of its server */
    uint64_t opened_ms;
    uint64_t up_ms;
    uint64_t retire_by_ms;
    struct list node;       /* worker->tunnels */
    struct list dirty_node; /* worker->dirty_tunnels */
    struct wheel_timer tick;
    struct probe probe;
    struct peer_address counted; /* whom the connection counts for */
    bool is_counted;
    uint8_t token_hash[DIRECTORY_HASH_BYTES]; /* of the token it was opened with */
    char serial[DIRECTORY_SERIAL_BYTES];
    char address[TUNNEL_ADDRESS_BYTES];
    char software[64];
};

extern const struct mux_events tunnel_mux_events;

/* An exchange's reference is kept in the stream's user pointer: nothing to allocate or free. */
static inline void *tunnel_pointer_of(exchange_ref ref)
{
    return (void *)(uintptr_t)ref;
}

static inline exchange_ref tunnel_ref_of(void *stream_user)
{
    return (exchange_ref)(uintptr_t)stream_user;
}

_Static_assert(sizeof(void *) >= sizeof(exchange_ref), "the relay needs 64-bit pointers");

/* NULL if the tunnel may stand; else why not, with what its agent is to be told in `goaway`. */
const char *tunnel_objection(const struct tunnel *t, enum head_goaway *goaway);

/* It has something to send. */
void tunnel_mark_dirty(struct tunnel *t);

/* It is to be ended with this close code as soon as no event of its mux is running. */
void tunnel_doom(struct tunnel *t, uint16_t code, const char *reason);

/* Nothing new is routed to it any more. */
void tunnel_unregister(struct tunnel *t, const char *reason);

/* Sends a probe if one is due, and gives a late one up. */
void tunnel_tick_probe(struct tunnel *t, uint64_t now_ms);

#endif
