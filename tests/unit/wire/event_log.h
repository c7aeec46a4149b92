/* SPDX-License-Identifier: Apache-2.0 */
/* The events of one mux as lines of text, so that a test says what happened by showing it:
 *
 *     ready version=1 software=agent/1
 *     request 1 GET /api/V1/power?a=1 body=0 end
 *     data 1 "hello" end
 *
 * Bodies longer than EVENT_LOG_QUOTE_BYTES are shown by their length. */
#ifndef TESTS_UNIT_WIRE_EVENT_LOG_H
#define TESTS_UNIT_WIRE_EVENT_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/wire/mux.h"

#define EVENT_LOG_BYTES       262144
#define EVENT_LOG_QUOTE_BYTES 64

struct event_log {
    char text[EVENT_LOG_BYTES]; /* NUL-terminated */
    size_t len;
    struct mux *mux;          /* set by the test after mux_new */
    bool consumes;            /* gives credit back at once; true after event_log_init */
    bool joins_data;          /* writes no line per DATA, only "body 1 LENGTH HASH" at its end */
    uint64_t body_hash[1024]; /* by stream id */
    size_t body_len[1024];
    size_t n_room; /* on_room events; they are not written down */
};

void event_log_init(struct event_log *log);

/* Events that write to the log; `user` is the struct event_log. */
struct mux_events event_log_events(void);

/* Appends a line. Fails the test when the log is full. */
void event_log_line(struct event_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Empties the log. */
void event_log_clear(struct event_log *log);

/* Writes `"bytes"`, with escapes, or `*LENGTH` if they are many. `text` holds QUOTE_TEXT_BYTES. */
#define EVENT_LOG_TEXT_BYTES (4 * EVENT_LOG_QUOTE_BYTES + 32)
const char *event_log_quote(const void *bytes, size_t len, char text[EVENT_LOG_TEXT_BYTES]);

/* "no", "yes", "unknown". */
const char *event_log_delivered(unsigned delivered);

#endif
