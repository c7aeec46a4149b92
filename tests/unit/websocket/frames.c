/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of frames, and their logs over all ways of cutting a stream. */
#include "tests/unit/websocket/frames.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Streams up to here are cut at every place, longer ones near their beginning. */
#define EVERY_CUT_BYTES 600
#define NEAR_BYTES      64

enum websocket_role frames_role;
bool frames_stop_at_bytes;
bool frames_stop_at_end;

static struct buffer log_text;

int frames_set_up(void **state)
{
    (void)state;
    buffer_init(&log_text, FRAMES_BYTES_MAX);
    frames_role = WEBSOCKET_SERVER;
    frames_stop_at_bytes = false;
    frames_stop_at_end = false;
    return 0;
}

int frames_tear_down(void **state)
{
    (void)state;
    buffer_close(&log_text);
    return 0;
}

static void note(const void *bytes, size_t len)
{
    assert_int_equal(buffer_append(&log_text, bytes, len), 0);
}

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    assert_null(user);
    assert_true(len > 0);
    note(bytes, len);
    return frames_stop_at_bytes ? 1 : 0;
}

static int on_message_end(void *user)
{
    assert_null(user);
    note("|", 1);
    return frames_stop_at_end ? -5 : 0;
}

static void on_ping(void *user, const uint8_t *payload, size_t len)
{
    assert_null(user);
    note("(", 1);
    note(payload, len);
    note(")", 1);
}

static void on_close(void *user, uint16_t code)
{
    char text[16];
    assert_null(user);
    note(text, (size_t)snprintf(text, sizeof(text), "<%u>", code));
}

const struct websocket_callbacks frames_callbacks = {
    .on_bytes = on_bytes,
    .on_message_end = on_message_end,
    .on_ping = on_ping,
    .on_close = on_close,
};

/* A copy of exact size, so that the sanitizer finds a byte too far. */
static int feed(struct websocket *w, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int result = websocket_feed(w, copy, len);
    free(copy);
    return result;
}

const char *frames_run(const void *frames, size_t len, size_t first, size_t step, size_t *log_len)
{
    const uint8_t *bytes = frames;
    char text[16];
    struct websocket_parser *spare = NULL;
    struct websocket *w = websocket_new(frames_role, &frames_callbacks, NULL, &spare);
    assert_non_null(w);
    buffer_clear(&log_text);
    int result = 0;
    for (size_t at = 0, n = first; result == 0 && at < len; at += n, n = step) {
        n = n < len - at ? n : len - at;
        result = feed(w, bytes + at, n);
    }
    note(text, (size_t)snprintf(text, sizeof(text), "=%d", result) + 1);
    websocket_free(w);
    websocket_parser_free(spare);
    *log_len = log_text.len - 1;
    return (const char *)buffer_bytes(&log_text);
}

const char *frames_log(void)
{
    note("", 1);
    return (const char *)buffer_bytes(&log_text);
}

static void compare(const uint8_t *bytes, size_t len, size_t first, size_t step,
                    const char *expected)
{
    size_t log_len = 0;
    const char *got = frames_run(bytes, len, first, step, &log_len);
    if (strcmp(got, expected) != 0) {
        fail_msg("frames %02x %02x %02x…, cut at %zu, then every %zu: got \"%.100s\", expected "
                 "\"%.100s\"",
                 bytes[0], bytes[1], len > 2 ? bytes[2] : 0, first, step, got, expected);
    }
}

void frames_expect(const void *frames, size_t len, const char *expected)
{
    compare(frames, len, len, len, expected);
    compare(frames, len, 1, 1, expected);
    size_t n_cuts = len <= EVERY_CUT_BYTES ? len : NEAR_BYTES;
    for (size_t at = 1; at < n_cuts; at++) {
        compare(frames, len, at, len, expected);
    }
}

void frames_add(struct buffer *frames, uint8_t first, size_t len)
{
    uint8_t *payload = malloc(WEBSOCKET_HEADER_BYTES_MAX + len);
    size_t frame_len = 0;
    assert_non_null(payload);
    memset(payload + WEBSOCKET_HEADER_BYTES_MAX, 'x', len);
    uint8_t *frame = websocket_wrap(payload + WEBSOCKET_HEADER_BYTES_MAX, len, WEBSOCKET_BINARY,
                                    (const uint8_t *)MASK, &frame_len);
    frame[0] = first;
    assert_int_equal(buffer_append(frames, frame, frame_len), 0);
    free(payload);
}

void frames_expect_fill(const struct buffer *frames, size_t n_fill, const char *end)
{
    char *expected = malloc(n_fill + strlen(end) + 1);
    assert_non_null(expected);
    memset(expected, 'x', n_fill);
    memcpy(expected + n_fill, end, strlen(end) + 1);
    frames_expect(buffer_bytes(frames), frames->len, expected);
    free(expected);
}
