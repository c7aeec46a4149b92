/* SPDX-License-Identifier: Apache-2.0 */
/* Private to agent/upstream: one request and its answer on a connection. */
#ifndef AGENT_UPSTREAM_EXCHANGE_H
#define AGENT_UPSTREAM_EXCHANGE_H

#include "agent/upstream/call.h"
#include "agent/upstream/connection.h"
#include "proto/wire/head.h"

/* Sends the request of `call` on a connection that is up and has no other call. The call's
 * callbacks may fire before this returns. */
void exchange_send(struct connection *c, struct upstream_call *call);

/* The socket of a connection that is up can be read or written (UV_READABLE, UV_WRITABLE). */
void exchange_on_ready(struct connection *c, int events);

/* Ends the exchange without an answer: closes the connection and fails the call. `why` is kept for
 * the statistics. */
void exchange_fail(struct connection *c, enum head_reset reason, const char *why);

/* What is known of the call's delivery, if it fails now for `reason`: NO as long as nothing was
 * written or if the server said 401, YES once a byte of the answer has come, or if the deadline
 * passed after all was written, else UNKNOWN. */
enum head_delivered exchange_delivered(const struct connection *c, enum head_reset reason);

#endif
