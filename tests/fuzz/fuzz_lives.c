/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a tunnel, joined over memory, driven by the input and watched by the model of the
 * unit tests (tests/unit/wire/life.h): nothing is lost, doubled, mixed up or told wrongly, whatever
 * the order in which owners act, messages move and time passes.
 *
 * Two bytes seed the random part (how messages are cut); then two bytes a step: what happens, and
 * to which stream or how much. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/life.h"

#define STEPS_MAX 3000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

/* The stream that an argument chooses among the newest; NULL if there is none. */
static struct life_stream *choose(struct life *l, uint8_t argument, uint32_t *id)
{
    if (l->n_streams == 0) {
        return NULL;
    }
    uint32_t span = l->n_streams < 32 ? l->n_streams : 32;
    *id = l->n_streams - argument % span;
    return &l->streams[*id];
}

static void open_stream(struct life *l, uint8_t argument)
{
    static uint8_t body[LIFE_WINDOW];
    uint32_t id = l->n_streams + 1;
    size_t len = argument % 4 == 0 ? 0 : (size_t)argument * 19;
    size_t n_before = mux_n_streams(l->relay);
    uint32_t given = 0;
    if (id >= LIFE_STREAMS) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        body[i] = life_pattern(id, i, false);
    }
    struct head_request head = {
        .method = HEAD_METHOD_POST, .path = span_of("/x"), .body_bytes = (uint32_t)len};
    int rc = mux_request(l->relay, &head, body, &l->streams[id], &given, l->now_ms);
    if (rc == 0) {
        require(given == id);
        l->n_streams = id;
        l->streams[id].on_relay = true;
        l->streams[id].request_bytes = len;
        return;
    }
    require(rc == ERROR_STATE || (rc == ERROR_LIMIT && n_before == LIFE_OPEN_MAX));
}

static void take_back(struct life *l, struct life_stream *s, uint32_t id)
{
    if (!s->on_relay) {
        return;
    }
    enum head_delivered delivered = mux_delivered(l->relay, id);
    life_check_delivered(s, delivered);
    s->taken_back = delivered == HEAD_DELIVERED_NO;
    s->on_relay = false;
    l->n_finals++;
    mux_reset(l->relay, id, HEAD_RESET_CLIENT_GONE, delivered);
}

static void hand(struct life *l, struct life_stream *s, uint32_t id)
{
    if (s->on_agent && s->request_seen == s->request_bytes) {
        s->handed = true;
        mux_handed(l->agent, id, l->now_ms);
    }
}

static void respond(struct life *l, struct life_stream *s, uint32_t id, uint8_t argument)
{
    if (!s->on_agent || s->answered || !s->handed) {
        return;
    }
    struct head_response head = {.status = 200};
    head.body_bytes = argument % 3 == 0 ? 0 : argument % 3 == 1 ? -1 : (int64_t)argument * 61 + 1;
    s->announced = head.body_bytes;
    s->answered = true;
    s->answer_ended = argument % 3 == 0;
    require(mux_respond(l->agent, id, &head, s->answer_ended) == 0);
}

static void send_body(struct life *l, struct life_stream *s, uint32_t id, uint8_t argument)
{
    static uint8_t bytes[LIFE_WINDOW];
    if (!s->on_agent || !s->answered || s->answer_ended) {
        return;
    }
    size_t room = mux_send_room(l->agent, id);
    size_t len = room * argument / 255;
    bool end = argument % 4 == 0;
    if (s->announced >= 0) {
        size_t left = (size_t)s->announced - s->answer_sent;
        len = len < left ? len : left;
        s->cut = s->cut || (argument % 64 == 0 && len < left);
        end = len == left || (argument % 64 == 0 && len < left);
    }
    for (size_t i = 0; i < len; i++) {
        bytes[i] = life_pattern(id, s->answer_sent + i, true);
    }
    require(mux_send_data(l->agent, id, bytes, len, end) == 0);
    s->answer_sent += len;
    s->answer_ended = end;
}

static void agent_reset(struct life *l, struct life_stream *s, uint32_t id)
{
    if (s->on_agent) {
        s->on_agent = false;
        mux_reset(l->agent, id, HEAD_RESET_DEADLINE,
                  s->handed ? HEAD_DELIVERED_YES : HEAD_DELIVERED_NO);
    }
}

static void consume(struct life *l, struct life_stream *s, uint32_t id, uint8_t argument)
{
    size_t relay = s->relay_held * argument / 255;
    size_t agent = s->agent_held * argument / 255;
    mux_consume(l->relay, id, relay);
    mux_consume(l->agent, id, agent);
    s->relay_held -= relay;
    l->relay_held -= relay;
    s->agent_held -= agent;
    l->agent_held -= agent;
}

/* False when a ping was left without its answer for too long: such a tunnel is closed. */
static bool pass_time(struct life *l, uint8_t argument)
{
    l->now_ms += argument;
    int relay = mux_tick(l->relay, l->now_ms);
    int agent = mux_tick(l->agent, l->now_ms);
    require(relay == 0 || (relay == ERROR_TIMEOUT && mux_fault(l->relay) == MUX_FAULT_TIMEOUT));
    require(agent == 0 || (agent == ERROR_TIMEOUT && mux_fault(l->agent) == MUX_FAULT_TIMEOUT));
    return relay == 0 && agent == 0;
}

static void act_on_stream(struct life *l, uint8_t step, uint8_t argument)
{
    uint32_t id = 0;
    struct life_stream *s = choose(l, argument >> 3, &id);
    if (s == NULL) {
        return;
    }
    switch (step % 8) {
    case 0: take_back(l, s, id); break;
    case 1: agent_reset(l, s, id); break;
    case 2:
    case 3: hand(l, s, id); break;
    case 4: respond(l, s, id, argument); break;
    case 5:
    case 6: send_body(l, s, id, argument); break;
    default: consume(l, s, id, argument); break;
    }
}

/* False when the tunnel has died. */
static bool step(struct life *l, uint8_t what, uint8_t argument)
{
    switch (what % 8) {
    case 0:
    case 1: open_stream(l, argument); break;
    case 2: life_move(l, l->relay, l->agent); break;
    case 3: life_move(l, l->agent, l->relay); break;
    case 4:
        if (argument < 250) {
            return pass_time(l, argument);
        }
        if (argument == 250) {
            mux_goaway(l->relay, HEAD_GOAWAY_SHUTDOWN, 0);
        } else if (argument == 251) {
            mux_goaway(l->agent, HEAD_GOAWAY_SHUTDOWN, 0);
        }
        break;
    default: act_on_stream(l, what >> 3, argument); break;
    }
    require(mux_queued_bytes(l->relay) <= LIFE_OPEN_MAX * (LIFE_WINDOW + 64) + 4096);
    require(mux_queued_bytes(l->agent) <=
            LIFE_OPEN_MAX * LIFE_WINDOW + FRAME_MESSAGE_BYTES + 65536);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct life l;
    if (size < 2) {
        return 0;
    }
    life_begin(&l, (uint64_t)data[0] << 8 | data[1]);
    bool alive = true;
    for (size_t at = 2; alive && at + 1 < size && at < 2 * STEPS_MAX; at += 2) {
        alive = step(&l, data[at], data[at + 1]);
    }
    mux_close(l.relay);
    mux_close(l.agent);
    require(l.n_finals == l.n_streams);
    for (uint32_t id = 1; id <= l.n_streams; id++) {
        require(!l.streams[id].on_relay && !l.streams[id].on_agent);
    }
    mux_free(l.relay);
    mux_free(l.agent);
    return 0;
}
