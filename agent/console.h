/* SPDX-License-Identifier: Apache-2.0 */
/* The unix socket through which commands ask the running agent: one JSON object on one line in, one
 * out, then the connection is closed. Whoever may open the socket (mode 0600) may ask everything.
 */
#ifndef AGENT_CONSOLE_H
#define AGENT_CONSOLE_H

#include <jansson.h>
#include <uv.h>

#include "proto/base/error.h"

/* Connections at once; one more is closed. */
#define CONSOLE_CLIENTS_MAX 8
/* Longest question, and what a client may take for it and for reading the answer. */
#define CONSOLE_LINE_BYTES 4096
#define CONSOLE_CLIENT_MS  15000

struct console;
struct console_call;

/* A question has come. Answer it once by console_reply, now or later. `question` is borrowed. */
typedef void (*console_question)(void *user, struct console_call *call, const json_t *question);

/* Makes the socket and listens. A socket that nobody listens on any more is replaced.
 * 0, ERROR_IO, ERROR_EXISTS (another agent listens there), ERROR_NOMEM. */
int console_open(uv_loop_t *loop, const char *path, console_question on_question, void *user,
                 struct console **c, struct error_text *e);

/* Takes `answer` (NULL: out of memory). The client may be gone; then nothing happens. */
void console_reply(struct console_call *call, json_t *answer);

/* Removes the socket, cuts the clients. Calls without an answer must still get one, before the
 * console can go; `on_closed` fires afterwards. */
void console_close(struct console *c, void (*on_closed)(void *user), void *user);

#endif
