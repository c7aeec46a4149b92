/* SPDX-License-Identifier: Apache-2.0 */
/* Two muxes joined over memory, a relay and an agent, with a log of events on each side. Time is
 * a number; nothing moves but by these verbs. */
#ifndef TESTS_UNIT_WIRE_PIPE_H
#define TESTS_UNIT_WIRE_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/mux.h"
#include "tests/unit/wire/event_log.h"

#define PIPE_MESSAGE_BYTES (FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX)

struct pipe {
    struct mux *relay;
    struct mux *agent;
    struct event_log *relay_log; /* owned */
    struct event_log *agent_log;
    uint64_t now_ms;
    size_t cut_bytes;  /* messages are received in pieces of so many bytes; 0 = whole */
    uint64_t random;   /* if not 0: in pieces of random lengths up to that */
    size_t n_messages; /* moved so far, both ways */
    uint8_t message[PIPE_MESSAGE_BYTES];
    size_t message_len; /* of the last one moved */
};

/* The next number of a repeatable series. */
uint64_t pipe_random(uint64_t *state);

/* Fresh muxes that have said nothing yet. */
struct pipe *pipe_new(const struct mux_settings *relay, const struct mux_settings *agent);

/* As pipe_new with default settings, and past the handshake, logs emptied. */
struct pipe *pipe_new_ready(void);
struct pipe *pipe_new_ready_with(const struct mux_settings *relay,
                                 const struct mux_settings *agent);

void pipe_free(struct pipe *p);

/* One message, if there is one. False if there was none. A receiver's error fails the test. */
bool pipe_to_agent(struct pipe *p);
bool pipe_to_relay(struct pipe *p);

/* Both ways until nothing moves. */
void pipe_settle(struct pipe *p);

/* Pulls from `m` and drops it, as a transport that died. The number of bytes. */
size_t pipe_drop(struct pipe *p, struct mux *m);

/* Feeds one frame to `m` as a message; returns mux_recv's result, or else mux_recv_end's. */
int pipe_feed(struct pipe *p, struct mux *m, uint32_t stream, enum frame_type type, uint8_t flags,
              const void *payload, size_t len);

/* Opens a GET (or a POST with a body) of `path` and returns its id. Must succeed. */
uint32_t pipe_get(struct pipe *p, const char *path);
uint32_t pipe_post(struct pipe *p, const char *path, const void *body, size_t len);

/* Answers with a status and a body of known length. */
void pipe_respond(struct pipe *p, uint32_t stream, uint16_t status, const void *body, size_t len);

/* The text of the log must be this; the log is emptied. */
void pipe_expect_relay(struct pipe *p, const char *text);
void pipe_expect_agent(struct pipe *p, const char *text);

#endif
