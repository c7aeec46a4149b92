/* SPDX-License-Identifier: Apache-2.0 */
/* Answers the questions at the status socket:
 * {"op": "status"}; {"op": "key_enable" | "key_list" | "key_revoke", "body": {...}, "relay":
 * "wss://…"}, which go to the relay as control calls. */
#ifndef AGENT_ANSWER_H
#define AGENT_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/console.h"
#include "agent/forward.h"
#include "agent/relays.h"

/* What is asked about. Borrowed. */
struct answer_about {
    const struct config *config;
    const struct relays *relays;
    struct forward *forward;
    int64_t started_s; /* wall clock */
    bool ending;
};

/* What `status` shows; owned. NULL when out of memory. */
json_t *answer_status(const struct answer_about *about);

/* Answers `call`, now or when the relay has. */
void answer(const struct answer_about *about, struct console_call *call, const json_t *question);

#endif
