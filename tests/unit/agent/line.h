/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of an open link: the line between an agent and a relay, TLS 1.3 over a pair of sockets.
 * The agent's end is the test's. What the relay says is kept until it is put, whole or in part, on
 * the line; and the line can be full in the agent's direction. */
#ifndef TESTS_UNIT_AGENT_LINE_H
#define TESTS_UNIT_AGENT_LINE_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

/* A relay's, which the agent never sends. */
#define LINE_PING 0x9

/* Of a session ticket; its records are LINE_RECORD_BYTES long at the most. */
#define LINE_TICKET_BYTES 3000
#define LINE_RECORD_BYTES 512

/* What the relay has heard and the test has not asked for. */
#define LINE_HEARD_BYTES 4096

struct line {
    SSL *agent;
    int agent_fd;
    SSL *relay;
    int relay_fd;
    BIO *said;       /* by the relay; not on the line yet; `relay` owns it */
    size_t n_filler; /* bytes */
    uint8_t heard[LINE_HEARD_BYTES];
    size_t heard_len;
};

/* The handshake is done, and no session ticket was sent. */
void line_open(struct line *line);
void line_close(struct line *line);

/* The agent's socket takes nothing more until line_drain. */
void line_fill(struct line *line);
void line_drain(struct line *line);

/* Appends one unmasked frame with a short payload to `out`; its length. */
size_t line_pack(uint8_t *out, uint8_t opcode, const char *payload);

/* In one TLS record: these bytes, or one frame. */
void line_say_bytes(struct line *line, const uint8_t *bytes, size_t len);
void line_say(struct line *line, uint8_t opcode, const char *payload);
void line_say_ticket(struct line *line);
/* Asks the agent for one, too. */
void line_say_key_update(struct line *line);

/* Puts on the line what was said: all of it, or the first record. */
void line_deliver(struct line *line);
void line_deliver_record(struct line *line);

/* The next frame from the agent is this one; there is none. */
void line_assert_hears(struct line *line, uint8_t opcode, const char *payload);
void line_assert_silent(struct line *line);

#endif
