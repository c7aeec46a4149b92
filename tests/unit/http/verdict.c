/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts on streams of requests, and their comparison over all ways of cutting a stream. */
#include "tests/unit/http/verdict.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "proto/http/request.h"

/* Streams up to here are cut at every place; longer ones near both ends and at every 97th byte. */
#define EVERY_CUT_BYTES 2048
#define NEAR_BYTES      40
#define CUT_STRIDE      97

static void note(struct buffer *log, const void *bytes, size_t len)
{
    assert_int_equal(buffer_append(log, bytes, len), 0);
}

static void note_text(struct buffer *log, const char *text)
{
    note(log, text, strlen(text));
}

static void note_span(struct buffer *log, struct span s)
{
    note(log, s.p, s.len);
}

static void note_complete(struct buffer *log, const struct request *r)
{
    note_span(log, r->method_name);
    note_text(log, " ");
    note_span(log, r->path);
    note_text(log, r->has_query ? "?" : "");
    note_span(log, r->query);
    note_text(log, r->minor == 1 ? " 1.1" : " 1.0");
    note_text(log, r->keep_alive ? " keep" : " close");
    note_text(log, r->expects_continue ? " continue" : "");
    note_text(log, r->wants_websocket ? " websocket" : "");
    if (r->id.len > 0) {
        note_text(log, " id=");
        note_span(log, r->id);
    }
    if (r->body.len > 0) {
        note_text(log, " <");
        note(log, buffer_bytes(&r->body), r->body.len);
        note_text(log, ">");
    }
    note_text(log, ";");
}

static void note_refused(struct buffer *log, const struct request *r)
{
    char text[16];
    assert_non_null(r->why);
    assert_false(r->keep_alive);
    (void)snprintf(text, sizeof(text), "!%d;", (int)r->refusal);
    note_text(log, text);
}

static void note_end(struct buffer *log, const struct request *r)
{
    assert_int_equal(r->refusal, REQUEST_OK);
    if (r->state == REQUEST_FIELDS) {
        note_text(log, "~fields;");
    } else if (r->state == REQUEST_BODY) {
        note_text(log, "~body;");
    } else if (!request_is_untouched(r)) {
        note_text(log, "~line;");
    }
}

/* False when the connection would read no more. */
static bool feed(struct buffer *log, struct request *r, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t used = SIZE_MAX;
        enum request_state before = r->state;
        enum request_state state = request_feed(r, bytes + at, len - at, &used);
        assert_int_equal(state, r->state);
        assert_in_range(used, 0, len - at);
        assert_true(used > 0 || state != before);
        at += used;
        if (state == REQUEST_REFUSED) {
            note_refused(log, r);
            return false;
        }
        if (state == REQUEST_COMPLETE) {
            note_complete(log, r);
            request_reset(r);
            assert_true(request_is_untouched(r));
        }
    }
    return true;
}

/* A copy of exact size: reading past it is found by the sanitizer, and so is a span that is used
 * after its input has gone. */
static bool feed_copy(struct buffer *log, struct request *r, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    bool open = feed(log, r, copy, len);
    free(copy);
    return open;
}

void verdict_write(struct buffer *log, const void *bytes, size_t len, size_t first, size_t step)
{
    static struct request r;
    const uint8_t *p = bytes;
    request_init(&r);
    buffer_clear(log);
    bool open = true;
    for (size_t at = 0, n = first; open && at < len; at += n, n = step) {
        n = n < len - at ? n : len - at;
        open = feed_copy(log, &r, p + at, n);
    }
    if (open) {
        note_end(log, &r);
    }
    note(log, "", 1);
    request_close(&r);
}

static void compare(struct buffer *log, const void *bytes, size_t len, size_t first, size_t step,
                    const char *expected)
{
    verdict_write(log, bytes, len, first, step);
    const char *got = (const char *)buffer_bytes(log);
    if (strcmp(got, expected) != 0) {
        fail_msg("\"%.*s\"\ncut at %zu, then every %zu\ngot      \"%.300s\"\nexpected \"%.300s\"",
                 (int)(len < 300 ? len : 300), (const char *)bytes, first, step, got, expected);
    }
}

static bool is_cut_here(size_t at, size_t len)
{
    return len <= EVERY_CUT_BYTES || at < NEAR_BYTES || at + NEAR_BYTES > len ||
           at % CUT_STRIDE == 0;
}

void verdict_expect(const void *bytes, size_t len, const char *expected)
{
    struct buffer log;
    buffer_init(&log, VERDICT_BYTES_MAX);
    compare(&log, bytes, len, len, len, expected);
    compare(&log, bytes, len, 1, 1, expected);
    for (size_t at = 1; at < len; at++) {
        if (is_cut_here(at, len)) {
            compare(&log, bytes, len, at, len, expected);
        }
    }
    buffer_close(&log);
}
