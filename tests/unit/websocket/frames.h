/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of proto/websocket/websocket.h: a stream of a client's frames, and the log of what
 * it gives, which must be the same for every way of cutting the stream.
 *
 * The log has bytes as they are, "|" for the end of a message, "(…)" for a ping, "<code>" for a
 * close, and at the end "=result" of the last feed. */
#ifndef TESTS_UNIT_WEBSOCKET_FRAMES_H
#define TESTS_UNIT_WEBSOCKET_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/websocket/websocket.h"

#define FRAMES_BYTES_MAX ((size_t)300 * 1024)

/* What a client puts between length and payload: zeros, which leave the payload readable. */
#define MASK "\0\0\0\0"

/* Who takes the frames; the server unless a test says otherwise. */
extern enum websocket_role frames_role;

/* What the websocket's owner does. */
extern bool frames_stop_at_bytes;
extern bool frames_stop_at_end;
extern const struct websocket_callbacks frames_callbacks;

/* cmocka's. */
int frames_set_up(void **state);
int frames_tear_down(void **state);

/* Feeds the stream in one piece of `first` bytes and others of `step`; returns the log, with a NUL,
 * valid until the next call; `*log_len` without it. */
const char *frames_run(const void *frames, size_t len, size_t first, size_t step, size_t *log_len);

/* The log of what was fed by other means; once per test. */
const char *frames_log(void);

/* Asserts that the log is `expected`, in one piece, in two, and byte by byte. */
void frames_expect(const void *frames, size_t len, const char *expected);

/* As above, of what was collected in `frames`; the log is `n_fill` times 'x', and then `end`. */
void frames_expect_fill(const struct buffer *frames, size_t n_fill, const char *end);

#define EXPECT(frames, expected) frames_expect(frames, sizeof(frames) - 1, expected)

/* Appends a frame that begins with the byte `first`, has a mask of zeros, and as payload `len`
 * times 'x', its length in the shortest form. */
void frames_add(struct buffer *frames, uint8_t first, size_t len);

#endif
