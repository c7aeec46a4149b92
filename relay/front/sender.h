/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends on a session's connection, and whose the current request is: the peer itself, or whom
 * a trusted proxy names (proxy.h, forwarded.h). Also whom the connection is counted for. */
#ifndef RELAY_FRONT_SENDER_H
#define RELAY_FRONT_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "relay/front/peers.h"
#include "relay/front/proxy.h"

struct session;

/* Of a new connection from `address`. `peer` is whom it is counted for, NULL for a trusted proxy.
 * True if a PROXY header must come first. */
bool sender_init(struct session *s, const struct sockaddr *address,
                 const struct peer_address *peer);

/* Takes bytes of the PROXY header. On PROXY_COMPLETE the first `*used` of them belonged to it, and
 * the connection is counted for the client. PROXY_BAD (malformed, which is logged; or the client
 * has too many connections): it is to be closed. */
enum proxy_state sender_read_header(struct session *s, const uint8_t *bytes, size_t len,
                                    size_t *used);

/* Until more is known, a request is the sender's. */
void sender_begin_request(struct session *s);
/* The head of the request is complete: its fields may say more. */
void sender_find_client(struct session *s);

/* Gives the count back. */
void sender_forget(struct session *s);

#endif
