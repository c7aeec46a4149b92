/* SPDX-License-Identifier: Apache-2.0 */
/* One agent's connection: websocket, mux, and the liveness of both. Owned by the worker that
 * accepted it, for life. */
#ifndef RELAY_TUNNEL_TUNNEL_H
#define RELAY_TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/base/span.h"
#include "proto/io/conn.h"
#include "proto/wire/mux.h"
#include "relay/front/peers.h"
#include "relay/ref.h"
#include "relay/store/directory.h"

/* The mux is not pulled while more than this waits for the kernel. */
#define TUNNEL_PENDING_BYTES 65536
/* How long a tunnel that was replaced by a newer one may finish what is in flight on it, unless its
 * agent says goaway: then as long as a drain. */
#define TUNNEL_REPLACED_MS 5000

struct worker;
struct tunnel;

/* Takes an open connection whose websocket handshake was answered, in the name of an authenticated
 * server; `rest` is what came behind the handshake. `counted` is whom the connection counts for,
 * NULL for nobody. On failure (out of memory) the connection is
 * closed. The worker's lists hold the tunnel; it frees itself when its connection has closed. */
int tunnel_open(struct worker *w, struct conn *conn, const struct directory_server *server,
                const struct peer_address *counted, const char *address, struct span rest);

/* NULL if it is gone. Worker-local. */
struct tunnel *tunnel_find(struct worker *w, tunnel_ref ref);

/* As mux_request. Makes the tunnel dirty. */
int tunnel_request(struct tunnel *t, exchange_ref exchange, const struct head_request *head,
                   struct span body, uint32_t *stream);
void tunnel_reset(struct tunnel *t, uint32_t stream, enum head_reset reason);
void tunnel_consumed(struct tunnel *t, uint32_t stream, size_t len);
void tunnel_control_reply(struct tunnel *t, uint32_t call, uint16_t status, struct span body);

/* Says goaway and ends: with `at_once` now, else when nothing is in flight any more, at the latest
 * after `limit_ms`. */
void tunnel_retire(struct tunnel *t, enum head_goaway reason, bool at_once, uint32_t limit_ms);

/* Another tunnel of the same server is newer: this one finishes what is in flight. */
void tunnel_replace(struct tunnel *t);

/* In place of a server's id, which is 1 at least. */
#define TUNNEL_ANY_SERVER 0

/* The server was changed: its tunnels of this worker end at once if it is disabled or gone, or if
 * its agent's token is not the one any more that they were opened with. TUNNEL_ANY_SERVER: any may
 * have been. */
void tunnel_check_server(struct worker *w, int64_t server);

/* Ends now, without waiting for the peer. */
void tunnel_kill(struct tunnel *t);

/* The tunnel whose place in worker->tunnels this is. */
struct tunnel *tunnel_of(struct list *node);

/* Sends what all dirty tunnels of the worker have to send. True if some wait for more to go with it
 * (mux_expects_more): the loop is not to sleep then. */
bool tunnel_flush_dirty(struct worker *w);

#endif
