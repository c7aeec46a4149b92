/* SPDX-License-Identifier: Apache-2.0 */
/* The events of one mux as lines of text. */
#include "tests/unit/wire/event_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* FNV-1a, 64 bits. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

void event_log_init(struct event_log *log)
{
    memset(log, 0, sizeof(*log));
    log->consumes = true;
}

void event_log_line(struct event_log *log, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(log->text + log->len, sizeof(log->text) - log->len, format, args);
    va_end(args);
    assert_true(n >= 0 && log->len + (size_t)n + 2 < sizeof(log->text));
    log->len += (size_t)n;
    log->text[log->len++] = '\n';
    log->text[log->len] = '\0';
}

void event_log_clear(struct event_log *log)
{
    log->len = 0;
    log->text[0] = '\0';
}

const char *event_log_quote(const void *bytes, size_t len, char text[EVENT_LOG_TEXT_BYTES])
{
    if (len > EVENT_LOG_QUOTE_BYTES) {
        (void)snprintf(text, EVENT_LOG_TEXT_BYTES, "*%zu", len);
        return text;
    }
    const unsigned char *p = bytes;
    size_t n = 0;
    text[n++] = '"';
    for (size_t i = 0; i < len; i++) {
        if (p[i] >= 0x20 && p[i] <= 0x7e && p[i] != '"' && p[i] != '\\') {
            text[n++] = (char)p[i];
        } else {
            n += (size_t)snprintf(text + n, EVENT_LOG_TEXT_BYTES - n, "\\x%02x", p[i]);
        }
    }
    text[n++] = '"';
    text[n] = '\0';
    return text;
}

const char *event_log_delivered(unsigned delivered)
{
    static const char *const names[] = {"no", "yes", "unknown"};
    return delivered < 3 ? names[delivered] : "invalid";
}

static void add_fields(struct event_log *log, const struct head_field *fields, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        event_log_line(log, "    %.*s: %.*s", (int)fields[i].name.len, fields[i].name.p,
                       (int)fields[i].value.len, fields[i].value.p);
    }
}

static const char *end_text(bool end)
{
    return end ? " end" : "";
}

static void on_ready(void *user, const struct mux_peer *peer)
{
    struct event_log *log = user;
    char capabilities[40] = "";
    if (peer->capabilities != 0) {
        (void)snprintf(capabilities, sizeof(capabilities), " capabilities=%llu",
                       (unsigned long long)peer->capabilities);
    }
    event_log_line(log, "ready version=%u generation=%llu software=%s%s", peer->version,
                   (unsigned long long)peer->generation, peer->software, capabilities);
}

static void on_request(void *user, uint32_t stream, const struct head_request *head, bool end,
                       void **stream_user)
{
    static const char *const methods[] = {"", "GET", "HEAD", "POST"};
    struct event_log *log = user;
    event_log_line(log, "request %u %s %.*s%s%.*s body=%u%s%.*s%s", stream, methods[head->method],
                   (int)head->path.len, head->path.p, head->has_query ? "?" : "",
                   (int)head->query.len, head->query.p, head->body_bytes,
                   head->request_id.len > 0 ? " id=" : "", (int)head->request_id.len,
                   head->request_id.p, end_text(end));
    add_fields(log, head->fields, head->n_fields);
    *stream_user = log;
}

static void on_handed(void *user, uint32_t stream, void *stream_user)
{
    (void)stream_user;
    event_log_line(user, "handed %u", stream);
}

static void start_body(struct event_log *log, uint32_t stream)
{
    if (stream < 1024) {
        log->body_hash[stream] = HASH_START;
        log->body_len[stream] = 0;
    }
}

static void on_response(void *user, uint32_t stream, void *stream_user,
                        const struct head_response *head, bool end)
{
    (void)stream_user;
    struct event_log *log = user;
    char body[32] = "?";
    if (head->body_bytes >= 0) {
        (void)snprintf(body, sizeof(body), "%lld", (long long)head->body_bytes);
    }
    event_log_line(log, "response %u %u body=%s%s", stream, head->status, body, end_text(end));
    add_fields(log, head->fields, head->n_fields);
    start_body(log, stream);
}

static void join(struct event_log *log, uint32_t stream, const uint8_t *bytes, size_t len, bool end)
{
    assert_true(stream < 1024);
    if (log->body_len[stream] == 0) {
        start_body(log, stream);
    }
    for (size_t i = 0; i < len; i++) {
        log->body_hash[stream] = (log->body_hash[stream] ^ bytes[i]) * HASH_PRIME;
    }
    log->body_len[stream] += len;
    if (end) {
        event_log_line(log, "body %u %zu %016llx", stream, log->body_len[stream],
                       (unsigned long long)log->body_hash[stream]);
        log->body_len[stream] = 0;
    }
}

static void on_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end)
{
    (void)stream_user;
    struct event_log *log = user;
    char quoted[EVENT_LOG_TEXT_BYTES];
    if (log->joins_data) {
        join(log, stream, bytes, len, end);
    } else {
        event_log_line(log, "data %u %s%s", stream, event_log_quote(bytes, len, quoted),
                       end_text(end));
    }
    if (log->consumes) {
        mux_consume(log->mux, stream, len);
    }
}

static void on_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered)
{
    (void)stream_user;
    event_log_line(user, "reset %u %s delivered=%s", stream, head_reset_name((uint16_t)reason),
                   event_log_delivered(delivered));
}

static void on_room(void *user, uint32_t stream, void *stream_user, size_t room)
{
    (void)stream;
    (void)stream_user;
    (void)room;
    struct event_log *log = user;
    log->n_room++;
}

static void on_done(void *user, uint32_t stream, void *stream_user)
{
    (void)stream_user;
    event_log_line(user, "done %u", stream);
}

static void on_goaway(void *user, enum head_goaway reason, uint32_t retry_after_ms)
{
    event_log_line(user, "goaway %s %u", head_goaway_name((uint16_t)reason), retry_after_ms);
}

static void on_control(void *user, uint32_t id, uint16_t op, struct span body)
{
    char quoted[EVENT_LOG_TEXT_BYTES];
    event_log_line(user, "control %u %u %s", id, op, event_log_quote(body.p, body.len, quoted));
}

static void on_control_reply(void *user, uint32_t id, uint16_t status, struct span body)
{
    char quoted[EVENT_LOG_TEXT_BYTES];
    event_log_line(user, "control_reply %u %u %s", id, status,
                   event_log_quote(body.p, body.len, quoted));
}

struct mux_events event_log_events(void)
{
    return (struct mux_events){
        .on_ready = on_ready,
        .on_request = on_request,
        .on_handed = on_handed,
        .on_response = on_response,
        .on_data = on_data,
        .on_reset = on_reset,
        .on_room = on_room,
        .on_done = on_done,
        .on_goaway = on_goaway,
        .on_control = on_control,
        .on_control_reply = on_control_reply,
    };
}
