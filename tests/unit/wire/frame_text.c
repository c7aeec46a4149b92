/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from readable text. */
#include "tests/unit/wire/frame_text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

#include "proto/wire/frame.h"
#include "proto/wire/le.h"

/* One character of a quoted text, escapes undone. */
static uint8_t unescape(const char **p)
{
    if ((*p)[0] != '\\') {
        return (uint8_t) * (*p)++;
    }
    char kind = (*p)[1];
    if (kind == 'x') {
        char hex[3] = {(*p)[2], (*p)[3], '\0'};
        *p += 4;
        return (uint8_t)strtoul(hex, NULL, 16);
    }
    *p += 2;
    return (uint8_t)(kind == 'r' ? '\r' : kind == 'n' ? '\n' : kind);
}

static const char *read_word(const char *p, struct frame_text_word *w)
{
    w->key[0] = '\0';
    w->len = 0;
    size_t key_len = strspn(p, "abcdefghijklmnopqrstuvwxyz_");
    if (key_len > 0 && p[key_len] == '=' && key_len < sizeof(w->key)) {
        memcpy(w->key, p, key_len);
        w->key[key_len] = '\0';
        p += key_len + 1;
    }
    bool quoted = *p == '"';
    p += quoted ? 1 : 0;
    while (*p != '\0' && (quoted ? *p != '"' : *p != ' ')) {
        assert_true(w->len < FRAME_TEXT_WORD_BYTES - 1);
        w->value[w->len++] = quoted ? unescape(&p) : (uint8_t)*p++;
    }
    w->value[w->len] = '\0';
    return quoted && *p == '"' ? p + 1 : p;
}

void frame_text_split(const char *text, struct frame_text_line *line)
{
    line->n_words = 0;
    while (*text != '\0') {
        if (*text == ' ') {
            text++;
            continue;
        }
        assert_true(line->n_words < FRAME_TEXT_WORDS_MAX);
        text = read_word(text, &line->words[line->n_words++]);
    }
}

static const struct frame_text_word *plain_word(const struct frame_text_line *line, size_t i)
{
    for (size_t k = 0; k < line->n_words; k++) {
        if (line->words[k].key[0] == '\0' && i-- == 0) {
            return &line->words[k];
        }
    }
    return NULL;
}

static const struct frame_text_word *key_word(const struct frame_text_line *line, const char *key)
{
    for (size_t k = 0; k < line->n_words; k++) {
        if (strcmp(line->words[k].key, key) == 0) {
            return &line->words[k];
        }
    }
    return NULL;
}

static const char *text_of(const struct frame_text_word *w)
{
    return w == NULL ? "" : (const char *)w->value;
}

const char *frame_text_word(const struct frame_text_line *line, size_t i)
{
    return text_of(plain_word(line, i));
}

uint64_t frame_text_number(const struct frame_text_line *line, size_t i)
{
    return strtoull(frame_text_word(line, i), NULL, 10);
}

uint64_t frame_text_option(const struct frame_text_line *line, const char *key, uint64_t fallback)
{
    const struct frame_text_word *w = key_word(line, key);
    return w == NULL ? fallback : strtoull(text_of(w), NULL, 10);
}

struct span frame_text_span(const struct frame_text_line *line, const char *key,
                            const char *fallback)
{
    const struct frame_text_word *w = key_word(line, key);
    return w == NULL ? span_of(fallback) : (struct span){(const char *)w->value, w->len};
}

struct span frame_text_bytes(const struct frame_text_line *line, size_t i)
{
    static char many[65536];
    const struct frame_text_word *w = plain_word(line, i);
    if (w == NULL) {
        return (struct span){NULL, 0};
    }
    if (w->value[0] == '*' && isdigit(w->value[1])) {
        size_t len = strtoul(text_of(w) + 1, NULL, 10);
        assert_true(len <= sizeof(many));
        memset(many, 'x', sizeof(many));
        return (struct span){many, len};
    }
    return (struct span){(const char *)w->value, w->len};
}

static bool has_word(const struct frame_text_line *line, const char *word)
{
    for (size_t k = 0; k < line->n_words; k++) {
        if (line->words[k].key[0] == '\0' && strcmp(text_of(&line->words[k]), word) == 0) {
            return true;
        }
    }
    return false;
}

/* Every header="name: value". */
static size_t read_fields(const struct frame_text_line *line, struct head_field *fields)
{
    size_t n = 0;
    for (size_t k = 0; k < line->n_words; k++) {
        const struct frame_text_word *w = &line->words[k];
        if (strcmp(w->key, "header") == 0) {
            struct span rest = {(const char *)w->value, w->len};
            fields[n].name = span_cut(&rest, ':');
            fields[n].value = span_trim(rest);
            n++;
        }
    }
    return n;
}

struct head_request frame_text_request(const struct frame_text_line *line, size_t at,
                                       struct head_field *fields)
{
    struct head_request h = {.fields = fields};
    const char *method = frame_text_word(line, at);
    h.method = strcmp(method, "GET") == 0    ? HEAD_METHOD_GET
               : strcmp(method, "HEAD") == 0 ? HEAD_METHOD_HEAD
               : strcmp(method, "POST") == 0 ? HEAD_METHOD_POST
                                             : (enum head_method)strtoul(method, NULL, 10);
    struct span target = frame_text_bytes(line, at + 1);
    h.has_query = span_find(target, '?') < target.len;
    h.path = span_cut(&target, '?');
    h.query = h.has_query ? target : (struct span){NULL, 0};
    h.request_id = frame_text_span(line, "id", "");
    h.deadline_ms = (uint32_t)frame_text_option(line, "deadline", 10000);
    h.body_bytes = (uint32_t)frame_text_option(line, "body", 0);
    h.n_fields = read_fields(line, fields);
    return h;
}

struct head_response frame_text_response(const struct frame_text_line *line, size_t at,
                                         struct head_field *fields)
{
    struct head_response h = {.fields = fields};
    struct span body = frame_text_span(line, "body", "0");
    h.status = (uint16_t)frame_text_number(line, at);
    h.body_bytes =
        body.len > 0 && body.p[0] == '?' ? -1 : (int64_t)frame_text_option(line, "body", 0);
    h.server_us = (uint32_t)frame_text_option(line, "us", 0);
    h.n_fields = read_fields(line, fields);
    return h;
}

enum head_reset frame_text_reset(const char *word)
{
    for (int r = HEAD_RESET_INTERNAL; r <= HEAD_RESET_TUNNEL_LOST; r++) {
        if (strcmp(head_reset_name((uint16_t)r), word) == 0) {
            return (enum head_reset)r;
        }
    }
    return (enum head_reset)strtoul(word, NULL, 10);
}

enum head_goaway frame_text_goaway(const char *word)
{
    for (int r = HEAD_GOAWAY_SHUTDOWN; r <= HEAD_GOAWAY_EXHAUSTED; r++) {
        if (strcmp(head_goaway_name((uint16_t)r), word) == 0) {
            return (enum head_goaway)r;
        }
    }
    return (enum head_goaway)strtoul(word, NULL, 10);
}

uint8_t frame_text_delivered(const char *word)
{
    for (unsigned d = HEAD_DELIVERED_NO; d <= HEAD_DELIVERED_UNKNOWN; d++) {
        if (strcmp(event_log_delivered(d), word) == 0) {
            return (uint8_t)d;
        }
    }
    return (uint8_t)strtoul(word, NULL, 10);
}

static void pack_number(struct buffer *out, uint64_t value, size_t len)
{
    uint8_t bytes[8];
    le_pack_u64(bytes, value);
    assert_int_equal(buffer_append(out, bytes, len), 0);
}

static void pack_span(struct buffer *out, struct span s)
{
    assert_int_equal(buffer_append(out, s.p, s.len), 0);
}

static void pack_hello(struct buffer *out, const struct frame_text_line *line)
{
    struct head_hello h = {
        .version_min = (uint16_t)frame_text_option(line, "min", 1),
        .version_max = (uint16_t)frame_text_option(line, "max", 1),
        .software = frame_text_span(line, "software", "peer/1"),
        .capabilities = frame_text_option(line, "capabilities", 0),
        .max_streams = (uint32_t)frame_text_option(line, "streams", 512),
        .stream_window_bytes = (uint32_t)frame_text_option(line, "window", 65536),
        .tunnel_window_bytes = (uint32_t)frame_text_option(line, "tunnel", 33554432),
    };
    assert_int_equal(head_pack_hello(out, &h), 0);
}

static void pack_welcome(struct buffer *out, const struct frame_text_line *line)
{
    struct head_welcome h = {
        .version = (uint16_t)frame_text_option(line, "version", 1),
        .generation = frame_text_option(line, "generation", 1),
        .software = frame_text_span(line, "software", "peer/1"),
        .capabilities = frame_text_option(line, "capabilities", 0),
        .max_streams = (uint32_t)frame_text_option(line, "streams", 512),
        .stream_window_bytes = (uint32_t)frame_text_option(line, "window", 65536),
        .tunnel_window_bytes = (uint32_t)frame_text_option(line, "tunnel", 33554432),
        .ping_idle_ms = (uint32_t)frame_text_option(line, "idle", 20000),
        .reply_deadline_ms = (uint32_t)frame_text_option(line, "deadline", 10000),
    };
    assert_int_equal(head_pack_welcome(out, &h), 0);
}

static void pack_heads(struct buffer *out, const struct frame_text_line *line, uint8_t type,
                       size_t at)
{
    static struct head_field fields[HEAD_FIELDS_MAX];
    if (type == FRAME_REQUEST) {
        struct head_request h = frame_text_request(line, at, fields);
        assert_int_equal(head_pack_request(out, &h), 0);
    } else {
        struct head_response h = frame_text_response(line, at, fields);
        assert_int_equal(head_pack_response(out, &h), 0);
    }
}

/* The payload; `at` is the first word behind type and stream. */
static void pack_payload(struct buffer *out, const struct frame_text_line *line, uint8_t type,
                         size_t at)
{
    switch ((enum frame_type)type) {
    case FRAME_HELLO: pack_hello(out, line); break;
    case FRAME_WELCOME: pack_welcome(out, line); break;
    case FRAME_REQUEST:
    case FRAME_RESPONSE: pack_heads(out, line, type, at); break;
    case FRAME_HANDED: break;
    case FRAME_RESET:
        pack_number(out, frame_text_reset(frame_text_word(line, at)), 2);
        pack_number(out, frame_text_delivered(frame_text_word(line, at + 1)), 2);
        break;
    case FRAME_WINDOW: pack_number(out, frame_text_number(line, at), 4); break;
    case FRAME_GOAWAY:
        pack_number(out, frame_text_goaway(frame_text_word(line, at)), 4);
        pack_number(out, frame_text_number(line, at + 1), 4);
        break;
    case FRAME_CONTROL:
    case FRAME_CONTROL_REPLY:
        pack_number(out, frame_text_number(line, at), 4);
        pack_span(out, frame_text_bytes(line, at + 1));
        break;
    case FRAME_DATA:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_EVENT:
    default: pack_span(out, frame_text_bytes(line, at)); break;
    }
}

static uint8_t type_of(const char *word)
{
    for (int type = FRAME_HELLO; type <= FRAME_EVENT; type++) {
        if (strcmp(frame_type_name((uint8_t)type), word) == 0) {
            return (uint8_t)type;
        }
    }
    assert_true(isdigit(word[0]));
    return (uint8_t)strtoul(word, NULL, 10);
}

static bool of_tunnel(uint8_t type)
{
    return type == FRAME_HELLO || type == FRAME_WELCOME || type == FRAME_PING ||
           type == FRAME_PONG || type == FRAME_GOAWAY;
}

size_t frame_text_pack(const struct frame_text_line *line, size_t at, uint8_t *frame, size_t cap)
{
    uint8_t type = type_of(frame_text_word(line, at));
    bool has_stream = !of_tunnel(type);
    struct buffer payload;
    buffer_init(&payload, UINT16_MAX);
    pack_payload(&payload, line, type, at + (has_stream ? 2 : 1));
    payload.len -= frame_text_option(line, "cut", 0);
    pack_span(&payload, frame_text_span(line, "extra", ""));
    uint64_t stream = has_stream ? frame_text_number(line, at + 1) : 0;
    struct frame_header h = {
        .stream = (uint32_t)frame_text_option(line, "stream", stream),
        .type = type,
        .flags = (uint8_t)frame_text_option(line, "flags", has_word(line, "end") ? 1 : 0),
        .len = (uint16_t)payload.len,
    };
    size_t len = FRAME_HEADER_BYTES + payload.len;
    assert_true(len <= cap);
    frame_pack_header(frame, &h);
    if (payload.len > 0) {
        memcpy(frame + FRAME_HEADER_BYTES, buffer_bytes(&payload), payload.len);
    }
    buffer_close(&payload);
    return len;
}
