/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's websocket handshake (RFC 6455 4.2), checked and answered by the front: the websocket
 * code sees only connections of authenticated agents. */
#ifndef RELAY_FRONT_UPGRADE_H
#define RELAY_FRONT_UPGRADE_H

#include <stdbool.h>

#include "proto/base/span.h"

struct session;

#define UPGRADE_PATH        "/tunnel"
#define UPGRADE_SUBPROTOCOL "thinknx-tunnel.v1"

/* True if the session's request is a GET of /tunnel that asks for a websocket. */
bool upgrade_is_wanted(const struct session *s);

/* Answers it: 101 and the session becomes a tunnel, or a refusal. */
void upgrade_answer(struct session *s);

#endif
