/* SPDX-License-Identifier: Apache-2.0 */
/* A random but repeatable life of many tunnels, watched by a model that knows what must hold:
 *
 * - no event for a stream before it opens or after it ended, on either side;
 * - bodies arrive in order, and whole if they end;
 * - a request that the relay took back before it left never reaches the agent;
 * - `delivered` NO means that the server was not given it, YES that it was;
 * - neither end queues more than the named maxima, no credit is exceeded (that would be a fault).
 *
 * The seed is printed; run one alone with TNX_SEED. */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/life.h"

#define N_SEEDS 60
#define N_STEPS 3000

/* A stream that is open on this side, or 0. */
static uint32_t pick_open(struct life *l, bool on_agent)
{
    while (l->first_open < l->n_streams && !l->streams[l->first_open].on_relay &&
           !l->streams[l->first_open].on_agent) {
        l->first_open++;
    }
    for (int tries = 0; tries < 8 && l->first_open <= l->n_streams; tries++) {
        uint32_t id = l->first_open + (uint32_t)life_pick(l, l->n_streams - l->first_open + 1);
        if (on_agent ? l->streams[id].on_agent : l->streams[id].on_relay) {
            return id;
        }
    }
    return 0;
}

/* Steps. */

static void step_request(struct life *l)
{
    uint8_t body[LIFE_WINDOW];
    uint32_t id = l->n_streams + 1;
    size_t len = life_pick(l, 3) == 0 ? life_pick(l, LIFE_WINDOW) : 0;
    for (size_t i = 0; i < len; i++) {
        body[i] = life_pattern(id, i, false);
    }
    struct head_request head = {
        .method = HEAD_METHOD_POST, .path = span_of("/x"), .body_bytes = (uint32_t)len};
    size_t n_before = mux_n_streams(l->relay);
    uint32_t given = 0;
    int rc = mux_request(l->relay, &head, body, &l->streams[id], &given, l->now_ms);
    if (rc == 0) {
        assert_int_equal(given, id);
        l->n_streams = id;
        l->streams[id].on_relay = true;
        l->streams[id].request_bytes = len;
    } else {
        assert_true(rc == ERROR_LIMIT && n_before == LIFE_OPEN_MAX);
    }
}

static void step_take_back(struct life *l)
{
    uint32_t id = pick_open(l, false);
    if (id == 0) {
        return;
    }
    enum head_delivered delivered = mux_delivered(l->relay, id);
    life_check_delivered(&l->streams[id], delivered);
    l->streams[id].taken_back = delivered == HEAD_DELIVERED_NO;
    l->streams[id].on_relay = false;
    l->n_finals++;
    mux_reset(l->relay, id, HEAD_RESET_CLIENT_GONE, delivered);
}

static void step_hand(struct life *l)
{
    uint32_t id = pick_open(l, true);
    if (id != 0 && l->streams[id].request_seen == l->streams[id].request_bytes) {
        l->streams[id].handed = true;
        mux_handed(l->agent, id, l->now_ms);
    }
}

static void step_respond(struct life *l)
{
    uint32_t id = pick_open(l, true);
    if (id == 0 || l->streams[id].answered || !l->streams[id].handed) {
        return;
    }
    struct life_stream *s = &l->streams[id];
    size_t kind = life_pick(l, 3);
    struct head_response head = {.status = 200};
    head.body_bytes = kind == 0 ? 0 : kind == 1 ? -1 : (int64_t)life_pick(l, 3 * LIFE_WINDOW) + 1;
    s->announced = head.body_bytes;
    s->answered = true;
    s->answer_ended = kind == 0;
    assert_int_equal(mux_respond(l->agent, id, &head, kind == 0), 0);
}

static void step_send(struct life *l)
{
    static uint8_t bytes[LIFE_WINDOW];
    uint32_t id = pick_open(l, true);
    if (id == 0 || !l->streams[id].answered || l->streams[id].answer_ended) {
        return;
    }
    struct life_stream *s = &l->streams[id];
    size_t room = mux_send_room(l->agent, id);
    size_t len = room == 0 ? 0 : life_pick(l, room + 1);
    bool end = life_pick(l, 4) == 0;
    if (s->announced >= 0) {
        size_t left = (size_t)s->announced - s->answer_sent;
        len = len < left ? len : left;
        end = len == left;
        if (life_pick(l, 40) == 0 && len < left) { /* a home server that breaks off, badly told */
            s->cut = true;
            end = true;
        }
    }
    for (size_t i = 0; i < len; i++) {
        bytes[i] = life_pattern(id, s->answer_sent + i, true);
    }
    assert_int_equal(mux_send_data(l->agent, id, bytes, len, end), 0);
    s->answer_sent += len;
    s->answer_ended = end;
}

static void step_agent_reset(struct life *l)
{
    uint32_t id = pick_open(l, true);
    if (id != 0) {
        l->streams[id].on_agent = false;
        mux_reset(l->agent, id, HEAD_RESET_DEADLINE,
                  l->streams[id].handed ? HEAD_DELIVERED_YES : HEAD_DELIVERED_NO);
    }
}

/* Gives back some of what some stream holds; it may be over by now. */
static void step_consume(struct life *l)
{
    if (l->n_streams == 0) {
        return;
    }
    uint32_t first = l->n_streams > 100 ? l->n_streams - 100 : 1;
    uint32_t id = first + (uint32_t)life_pick(l, l->n_streams - first + 1);
    struct life_stream *s = &l->streams[id];
    size_t n_relay = life_pick(l, s->relay_held + 1);
    size_t n_agent = life_pick(l, s->agent_held + 1);
    mux_consume(l->relay, id, n_relay);
    mux_consume(l->agent, id, n_agent);
    s->relay_held -= n_relay;
    l->relay_held -= n_relay;
    s->agent_held -= n_agent;
    l->agent_held -= n_agent;
}

static void consume_all(struct life *l)
{
    for (uint32_t id = 1; id <= l->n_streams; id++) {
        struct life_stream *s = &l->streams[id];
        mux_consume(l->relay, id, s->relay_held);
        mux_consume(l->agent, id, s->agent_held);
        l->relay_held -= s->relay_held;
        l->agent_held -= s->agent_held;
        s->relay_held = s->agent_held = 0;
    }
}

static void step_time(struct life *l)
{
    l->now_ms += life_pick(l, 50);
    assert_int_equal(mux_tick(l->relay, l->now_ms), 0);
    assert_int_equal(mux_tick(l->agent, l->now_ms), 0);
    assert_true(mux_next_ms(l->relay) != UINT64_MAX && mux_next_ms(l->agent) != UINT64_MAX);
}

static void step(struct life *l)
{
    switch (life_pick(l, 20)) {
    case 0:
    case 1:
    case 2: step_request(l); break;
    case 3: step_take_back(l); break;
    case 4:
    case 5: step_hand(l); break;
    case 6:
    case 7: step_respond(l); break;
    case 8:
    case 9:
    case 10: step_send(l); break;
    case 11:
        if (life_pick(l, 4) == 0) {
            step_agent_reset(l);
        }
        break;
    case 12:
    case 13:
    case 14: step_consume(l); break;
    case 15: step_time(l); break;
    case 16:
    case 17: life_move(l, l->relay, l->agent); break;
    default: life_move(l, l->agent, l->relay); break;
    }
    assert_true(mux_queued_bytes(l->relay) <= LIFE_OPEN_MAX * (LIFE_WINDOW + 64) + 4096);
    assert_true(mux_queued_bytes(l->agent) <=
                LIFE_OPEN_MAX * LIFE_WINDOW + FRAME_MESSAGE_BYTES + 65536);
}

/* Half of the lives end in a cut, half in a drain that answers what is open. */
static void finish(struct life *l, uint64_t seed)
{
    if (seed % 2 == 0) {
        mux_goaway(l->relay, HEAD_GOAWAY_SHUTDOWN, 0);
        for (int i = 0; i < 20000 && mux_n_streams(l->relay) > 0; i++) {
            step_hand(l);
            step_respond(l);
            step_send(l);
            consume_all(l);
            life_move(l, l->relay, l->agent);
            life_move(l, l->agent, l->relay);
        }
        assert_int_equal(mux_n_streams(l->relay), 0);
    }
    mux_close(l->relay);
    mux_close(l->agent);
    assert_int_equal(l->n_finals, l->n_streams);
    for (uint32_t id = 1; id <= l->n_streams; id++) {
        assert_false(l->streams[id].on_relay || l->streams[id].on_agent);
    }
    mux_free(l->relay);
    mux_free(l->agent);
}

static uint64_t current_seed;

static int print_seed(void **state)
{
    (void)state;
    print_message("last seed %llu\n", (unsigned long long)current_seed);
    return 0;
}

static void random_lives_keep_every_promise(void **state)
{
    (void)state;
    struct life *l = malloc(sizeof(*l));
    assert_non_null(l);
    const char *only = getenv("TNX_SEED");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    uint64_t last = only == NULL ? N_SEEDS : first;
    size_t n_streams = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        current_seed = seed;
        life_begin(l, seed);
        for (int i = 0; i < N_STEPS; i++) {
            step(l);
        }
        finish(l, seed);
        n_streams += l->n_streams;
    }
    print_message("%zu streams lived\n", n_streams);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(random_lives_keep_every_promise, print_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
