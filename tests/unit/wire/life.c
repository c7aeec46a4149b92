/* SPDX-License-Identifier: Apache-2.0 */
/* A tunnel's life and the model that watches it. */
#include "tests/unit/wire/life.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/pipe.h"

size_t life_pick(struct life *l, size_t n)
{
    return (size_t)(pipe_random(&l->random) % n);
}

uint8_t life_pattern(uint32_t stream, size_t at, bool answer)
{
    return (uint8_t)(stream * 31 + at * 7 + (answer ? 128 : 0));
}

static struct life_stream *shadow(struct life *l, uint32_t stream)
{
    assert_true(stream >= 1 && stream < LIFE_STREAMS);
    return &l->streams[stream];
}

static void check_bytes(uint32_t stream, size_t at, bool answer, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(bytes[i], life_pattern(stream, at + i, answer));
    }
}

/* The relay's events. */

static void relay_handed(void *user, uint32_t stream, void *stream_user)
{
    struct life_stream *s = shadow(user, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay && s->handed && !s->said_handed);
    s->said_handed = true;
}

static void relay_response(void *user, uint32_t stream, void *stream_user,
                           const struct head_response *head, bool end)
{
    struct life_stream *s = shadow(user, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay && s->answered && s->answer_seen == 0);
    assert_true(head->body_bytes == s->announced);
    assert_true(!end || s->answer_sent == 0);
}

static void relay_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                       size_t len, bool end)
{
    struct life *l = user;
    struct life_stream *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay);
    check_bytes(stream, s->answer_seen, true, bytes, len);
    s->answer_seen += len;
    s->relay_held += len;
    l->relay_held += len;
    assert_true(l->relay_held <= LIFE_TUNNEL);
    if (end) {
        assert_true(s->answer_ended && s->answer_seen == s->answer_sent && !s->cut);
    }
}

void life_check_delivered(const struct life_stream *s, enum head_delivered delivered)
{
    if (delivered == HEAD_DELIVERED_NO) {
        assert_false(s->handed);
    } else if (delivered == HEAD_DELIVERED_YES) {
        assert_true(s->handed);
    }
}

static void relay_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                        enum head_delivered delivered)
{
    struct life *l = user;
    struct life_stream *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay);
    life_check_delivered(s, delivered);
    if (reason == HEAD_RESET_BAD_ANSWER) {
        assert_true(s->cut);
    }
    s->on_relay = false;
    l->n_finals++;
}

static void relay_done(void *user, uint32_t stream, void *stream_user)
{
    struct life *l = user;
    struct life_stream *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay && s->answer_ended && s->answer_seen == s->answer_sent);
    s->on_relay = false;
    l->n_finals++;
}

/* The agent's events. */

static void agent_request(void *user, uint32_t stream, const struct head_request *head, bool end,
                          void **stream_user)
{
    struct life_stream *s = shadow(user, stream);
    assert_false(s->taken_back || s->reached_agent);
    assert_int_equal(head->body_bytes, s->request_bytes);
    assert_int_equal(end, s->request_bytes == 0);
    s->reached_agent = true;
    s->on_agent = true;
    *stream_user = s;
}

static void agent_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                       size_t len, bool end)
{
    struct life *l = user;
    struct life_stream *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent);
    check_bytes(stream, s->request_seen, false, bytes, len);
    s->request_seen += len;
    assert_int_equal(end, s->request_seen == s->request_bytes);
    s->agent_held += len;
    l->agent_held += len;
    assert_true(l->agent_held <= LIFE_TUNNEL);
}

static void agent_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                        enum head_delivered delivered)
{
    struct life_stream *s = shadow(user, stream);
    (void)reason;
    (void)delivered;
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent);
    s->on_agent = false;
}

static void agent_done(void *user, uint32_t stream, void *stream_user)
{
    struct life_stream *s = shadow(user, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent && s->answer_ended && s->request_seen == s->request_bytes);
    s->on_agent = false;
}

static void agent_room(void *user, uint32_t stream, void *stream_user, size_t room)
{
    struct life *l = user;
    struct life_stream *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent && !s->answer_ended);
    assert_int_equal(room, mux_send_room(l->agent, stream));
}

void life_move(struct life *l, struct mux *from, struct mux *to)
{
    static uint8_t message[PIPE_MESSAGE_BYTES];
    size_t len = mux_pull(from, message, sizeof(message), l->now_ms);
    for (size_t at = 0; at < len;) {
        size_t n = 1 + life_pick(l, life_pick(l, 2) == 0 ? 16 : len);
        n = n < len - at ? n : len - at;
        assert_int_equal(mux_recv(to, message + at, n, l->now_ms), 0);
        at += n;
    }
    assert_int_equal(mux_recv_end(to, l->now_ms), 0);
}

void life_begin(struct life *l, uint64_t seed)
{
    static const struct mux_events relay_events = {
        .on_handed = relay_handed,
        .on_response = relay_response,
        .on_data = relay_data,
        .on_reset = relay_reset,
        .on_done = relay_done,
    };
    static const struct mux_events agent_events = {
        .on_request = agent_request,
        .on_data = agent_data,
        .on_reset = agent_reset,
        .on_done = agent_done,
        .on_room = agent_room,
    };
    struct mux_settings relay = mux_default_settings(MUX_RELAY, "r");
    struct mux_settings agent = mux_default_settings(MUX_AGENT, "a");
    relay.stream_window_bytes = agent.stream_window_bytes = LIFE_WINDOW;
    relay.tunnel_window_bytes = agent.tunnel_window_bytes = LIFE_TUNNEL;
    relay.max_streams = agent.max_streams = LIFE_OPEN_MAX;
    memset(l, 0, sizeof(*l));
    l->random = seed;
    l->now_ms = 1000;
    l->first_open = 1;
    l->relay = mux_new(&relay, &relay_events, l, l->now_ms);
    l->agent = mux_new(&agent, &agent_events, l, l->now_ms);
    life_move(l, l->agent, l->relay);
    life_move(l, l->relay, l->agent);
    assert_true(mux_ready(l->relay) && mux_ready(l->agent));
}
