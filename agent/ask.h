/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the running agent through its status socket. Blocks: for commands, not for the agent. */
#ifndef AGENT_ASK_H
#define AGENT_ASK_H

#include <jansson.h>

#include "proto/base/error.h"

/* Longest answer. A list of keys is bounded by the tunnel's largest frame. */
#define ASK_ANSWER_BYTES 262144
/* For connecting, and for each piece of the answer. */
#define ASK_TIMEOUT_S 20

/* Takes `question`. 0 with the answer (owned); ERROR_CLOSED (no agent runs there), ERROR_IO,
 * ERROR_SYNTAX, ERROR_NOMEM; ERROR_REFUSED with the sentence of an answer {"error": ...}. */
int ask(const char *socket_path, json_t *question, json_t **answer, struct error_text *e);

#endif
