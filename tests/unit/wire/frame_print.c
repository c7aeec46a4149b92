/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of a message as lines of text. */
#include "tests/unit/wire/frame_print.h"

#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/wire/frame.h"
#include "proto/wire/head.h"
#include "proto/wire/le.h"

static void print_heads(const struct frame_header *h, const uint8_t *payload, char *text,
                        size_t cap)
{
    static const char *const methods[] = {"", "GET", "HEAD", "POST"};
    static struct head_field fields[HEAD_FIELDS_MAX];
    struct head_request request;
    struct head_response response;
    if (h->type == FRAME_REQUEST) {
        assert_int_equal(head_unpack_request(payload, h->len, &request, fields), 0);
        (void)snprintf(text, cap, " %s %.*s%s%.*s body=%u", methods[request.method],
                       (int)request.path.len, request.path.p, request.has_query ? "?" : "",
                       (int)request.query.len, request.query.p, request.body_bytes);
    } else {
        assert_int_equal(head_unpack_response(payload, h->len, &response, fields), 0);
        char body[24] = "?";
        if (response.body_bytes >= 0) {
            (void)snprintf(body, sizeof(body), "%lld", (long long)response.body_bytes);
        }
        (void)snprintf(text, cap, " %u body=%s", response.status, body);
    }
}

static void print_handshake(const struct frame_header *h, const uint8_t *payload, char *text,
                            size_t cap)
{
    struct head_hello hello;
    struct head_welcome welcome;
    uint64_t capabilities = 0;
    if (h->type == FRAME_HELLO) {
        assert_int_equal(head_unpack_hello(payload, h->len, &hello), 0);
        (void)snprintf(text, cap, " min=%u max=%u streams=%u window=%u tunnel=%u",
                       hello.version_min, hello.version_max, hello.max_streams,
                       hello.stream_window_bytes, hello.tunnel_window_bytes);
        capabilities = hello.capabilities;
    } else {
        assert_int_equal(head_unpack_welcome(payload, h->len, &welcome), 0);
        (void)snprintf(text, cap, " version=%u generation=%llu streams=%u window=%u tunnel=%u",
                       welcome.version, (unsigned long long)welcome.generation, welcome.max_streams,
                       welcome.stream_window_bytes, welcome.tunnel_window_bytes);
        capabilities = welcome.capabilities;
    }
    if (capabilities != 0) {
        size_t len = strlen(text);
        (void)snprintf(text + len, cap - len, " capabilities=%llu",
                       (unsigned long long)capabilities);
    }
}

static void print_payload(const struct frame_header *h, const uint8_t *payload, char *text,
                          size_t cap)
{
    char quoted[EVENT_LOG_TEXT_BYTES];
    text[0] = '\0';
    switch ((enum frame_type)h->type) {
    case FRAME_HELLO:
    case FRAME_WELCOME: print_handshake(h, payload, text, cap); break;
    case FRAME_REQUEST:
    case FRAME_RESPONSE: print_heads(h, payload, text, cap); break;
    case FRAME_HANDED: break;
    case FRAME_RESET:
        (void)snprintf(text, cap, " %s delivered=%s", head_reset_name(le_unpack_u16(payload)),
                       event_log_delivered(payload[2]));
        break;
    case FRAME_WINDOW: (void)snprintf(text, cap, " %u", le_unpack_u32(payload)); break;
    case FRAME_GOAWAY:
        (void)snprintf(text, cap, " %s %u", head_goaway_name(le_unpack_u16(payload)),
                       le_unpack_u32(payload + 4));
        break;
    case FRAME_CONTROL:
    case FRAME_CONTROL_REPLY:
        (void)snprintf(text, cap, " %u %s", le_unpack_u16(payload),
                       event_log_quote(payload + 4, h->len - 4u, quoted));
        break;
    case FRAME_DATA:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_EVENT:
        (void)snprintf(text, cap, " %s", event_log_quote(payload, h->len, quoted));
        break;
    default: fail_msg("frame of type %u sent", h->type);
    }
}

void frame_print(struct event_log *log, const uint8_t *message, size_t len)
{
    size_t at = 0;
    while (at < len) {
        struct frame_header h;
        char text[1024];
        char stream[16] = "";
        frame_unpack_header(message + at, &h);
        const uint8_t *payload = message + at + FRAME_HEADER_BYTES;
        at += FRAME_HEADER_BYTES + (size_t)h.len;
        assert_true(at <= len);
        if (h.type != FRAME_PING && h.type != FRAME_PONG && h.type != FRAME_GOAWAY &&
            h.type > FRAME_WELCOME) {
            (void)snprintf(stream, sizeof(stream), " %u", h.stream);
        }
        print_payload(&h, payload, text, sizeof(text));
        event_log_line(log, "> %s%s%s%s", frame_type_name(h.type), stream, text,
                       (h.flags & FRAME_FLAG_END) != 0 ? " end" : "");
    }
}
