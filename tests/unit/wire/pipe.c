/* SPDX-License-Identifier: Apache-2.0 */
/* Two muxes joined over memory. */
#include "tests/unit/wire/pipe.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct event_log *new_log(void)
{
    struct event_log *log = malloc(sizeof(*log));
    assert_non_null(log);
    event_log_init(log);
    return log;
}

struct pipe *pipe_new(const struct mux_settings *relay, const struct mux_settings *agent)
{
    struct pipe *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    struct mux_events events = event_log_events();
    p->now_ms = 1000;
    p->relay_log = new_log();
    p->agent_log = new_log();
    p->relay = mux_new(relay, &events, p->relay_log, p->now_ms);
    p->agent = mux_new(agent, &events, p->agent_log, p->now_ms);
    assert_non_null(p->relay);
    assert_non_null(p->agent);
    p->relay_log->mux = p->relay;
    p->agent_log->mux = p->agent;
    return p;
}

struct pipe *pipe_new_ready_with(const struct mux_settings *relay, const struct mux_settings *agent)
{
    struct pipe *p = pipe_new(relay, agent);
    pipe_settle(p);
    assert_true(mux_ready(p->relay) && mux_ready(p->agent));
    event_log_clear(p->relay_log);
    event_log_clear(p->agent_log);
    return p;
}

struct pipe *pipe_new_ready(void)
{
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "relay/1");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "agent/1");
    return pipe_new_ready_with(&relay, &agent);
}

void pipe_free(struct pipe *p)
{
    mux_free(p->relay);
    mux_free(p->agent);
    free(p->relay_log);
    free(p->agent_log);
    free(p);
}

/* splitmix64 */
uint64_t pipe_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t next_cut(struct pipe *p)
{
    size_t cut = p->cut_bytes == 0 ? PIPE_MESSAGE_BYTES : p->cut_bytes;
    return p->random == 0 ? cut : 1 + (size_t)pipe_random(&p->random) % cut;
}

/* Feeds p->message in pieces, each in memory of its own, so that the sanitizer sees every read
 * beyond. 0 or the first error. */
static int feed(struct pipe *p, struct mux *to)
{
    for (size_t at = 0; at < p->message_len;) {
        size_t cut = next_cut(p);
        size_t n = p->message_len - at < cut ? p->message_len - at : cut;
        uint8_t *piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, p->message + at, n);
        int rc = mux_recv(to, piece, n, p->now_ms);
        free(piece);
        if (rc != 0) {
            return rc;
        }
        at += n;
    }
    return mux_recv_end(to, p->now_ms);
}

static bool move(struct pipe *p, struct mux *from, struct mux *to)
{
    bool wanted = mux_wants_send(from);
    p->message_len = mux_pull(from, p->message, sizeof(p->message), p->now_ms);
    if (wanted) {
        assert_true(p->message_len > 0);
    }
    if (p->message_len == 0) {
        return false;
    }
    p->n_messages++;
    assert_int_equal(feed(p, to), 0);
    return true;
}

bool pipe_to_agent(struct pipe *p)
{
    return move(p, p->relay, p->agent);
}

bool pipe_to_relay(struct pipe *p)
{
    return move(p, p->agent, p->relay);
}

void pipe_settle(struct pipe *p)
{
    bool moved = true;
    while (moved) {
        moved = pipe_to_relay(p);
        moved = pipe_to_agent(p) || moved;
    }
}

size_t pipe_drop(struct pipe *p, struct mux *m)
{
    return mux_pull(m, p->message, sizeof(p->message), p->now_ms);
}

int pipe_feed(struct pipe *p, struct mux *m, uint32_t stream, enum frame_type type, uint8_t flags,
              const void *payload, size_t len)
{
    uint8_t frame[FRAME_HEADER_BYTES + UINT16_MAX];
    assert_true(len <= UINT16_MAX);
    struct frame_header h = {stream, (uint8_t)type, flags, (uint16_t)len};
    frame_pack_header(frame, &h);
    if (len > 0) {
        memcpy(frame + FRAME_HEADER_BYTES, payload, len);
    }
    int rc = mux_recv(m, frame, FRAME_HEADER_BYTES + len, p->now_ms);
    return rc != 0 ? rc : mux_recv_end(m, p->now_ms);
}

uint32_t pipe_get(struct pipe *p, const char *path)
{
    uint32_t id = 0;
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of(path)};
    assert_int_equal(mux_request(p->relay, &head, NULL, NULL, &id, p->now_ms), 0);
    return id;
}

uint32_t pipe_post(struct pipe *p, const char *path, const void *body, size_t len)
{
    uint32_t id = 0;
    struct head_request head = {
        .method = HEAD_METHOD_POST, .path = span_of(path), .body_bytes = (uint32_t)len};
    assert_int_equal(mux_request(p->relay, &head, body, NULL, &id, p->now_ms), 0);
    return id;
}

void pipe_respond(struct pipe *p, uint32_t stream, uint16_t status, const void *body, size_t len)
{
    struct head_response head = {.status = status, .body_bytes = (int64_t)len};
    assert_int_equal(mux_respond(p->agent, stream, &head, len == 0), 0);
    if (len > 0) {
        assert_int_equal(mux_send_data(p->agent, stream, body, len, true), 0);
    }
}

void pipe_expect_relay(struct pipe *p, const char *text)
{
    assert_string_equal(p->relay_log->text, text);
    event_log_clear(p->relay_log);
}

void pipe_expect_agent(struct pipe *p, const char *text)
{
    assert_string_equal(p->agent_log->text, text);
    event_log_clear(p->agent_log);
}
