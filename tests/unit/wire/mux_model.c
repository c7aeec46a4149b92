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
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/pipe.h"

#define N_SEEDS   60
#define N_STEPS   3000
#define N_STREAMS 4096 /* more than a life opens */
#define WINDOW    5000
#define TUNNEL    12000
#define STREAMS   16

/* One stream as the model sees it. */
struct shadow {
    size_t request_bytes; /* of the request's body */
    size_t request_seen;  /* by the agent */
    size_t answer_sent;   /* given to mux_send_data */
    size_t answer_seen;   /* by the relay */
    size_t relay_held;    /* body bytes received and not given back */
    size_t agent_held;
    int64_t announced; /* length of the answer's body, -1 = unknown */
    bool on_relay;     /* open there */
    bool on_agent;
    bool reached_agent; /* on_request was fired */
    bool handed;        /* the server was given it */
    bool answered;      /* mux_respond was called */
    bool answer_ended;  /* with end */
    bool said_handed;   /* on_handed was fired */
    bool taken_back;    /* reset by the relay before it was pulled */
    bool cut;           /* the answer's length was made wrong on purpose */
};

struct life {
    struct mux *relay;
    struct mux *agent;
    struct shadow streams[N_STREAMS];
    size_t relay_held; /* body bytes of all streams received and not given back */
    size_t agent_held;
    uint32_t first_open; /* all before it are over */
    uint32_t n_streams;  /* highest id */
    uint64_t random;
    uint64_t now_ms;
    size_t n_finals;
};

static size_t pick(struct life *l, size_t n)
{
    return (size_t)(pipe_random(&l->random) % n);
}

/* What stands at `at` of a body. */
static uint8_t pattern(uint32_t stream, size_t at, bool answer)
{
    return (uint8_t)(stream * 31 + at * 7 + (answer ? 128 : 0));
}

static struct shadow *shadow(struct life *l, uint32_t stream)
{
    assert_true(stream >= 1 && stream < N_STREAMS);
    return &l->streams[stream];
}

static void check_bytes(uint32_t stream, size_t at, bool answer, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(bytes[i], pattern(stream, at + i, answer));
    }
}

/* The relay's events. */

static void relay_handed(void *user, uint32_t stream, void *stream_user)
{
    struct shadow *s = shadow(user, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay && s->handed && !s->said_handed);
    s->said_handed = true;
}

static void relay_response(void *user, uint32_t stream, void *stream_user,
                           const struct head_response *head, bool end)
{
    struct shadow *s = shadow(user, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay && s->answered && s->answer_seen == 0);
    assert_true(head->body_bytes == s->announced);
    assert_true(!end || s->answer_sent == 0);
}

static void relay_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                       size_t len, bool end)
{
    struct life *l = user;
    struct shadow *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay);
    check_bytes(stream, s->answer_seen, true, bytes, len);
    s->answer_seen += len;
    s->relay_held += len;
    l->relay_held += len;
    assert_true(l->relay_held <= TUNNEL);
    if (end) {
        assert_true(s->answer_ended && s->answer_seen == s->answer_sent && !s->cut);
    }
}

static void check_delivered(const struct shadow *s, enum head_delivered delivered)
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
    struct shadow *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay);
    check_delivered(s, delivered);
    if (reason == HEAD_RESET_BAD_ANSWER) {
        assert_true(s->cut);
    }
    s->on_relay = false;
    l->n_finals++;
}

static void relay_done(void *user, uint32_t stream, void *stream_user)
{
    struct life *l = user;
    struct shadow *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_relay && s->answer_ended && s->answer_seen == s->answer_sent);
    s->on_relay = false;
    l->n_finals++;
}

/* The agent's events. */

static void agent_request(void *user, uint32_t stream, const struct head_request *head, bool end,
                          void **stream_user)
{
    struct shadow *s = shadow(user, stream);
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
    struct shadow *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent);
    check_bytes(stream, s->request_seen, false, bytes, len);
    s->request_seen += len;
    assert_int_equal(end, s->request_seen == s->request_bytes);
    s->agent_held += len;
    l->agent_held += len;
    assert_true(l->agent_held <= TUNNEL);
}

static void agent_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                        enum head_delivered delivered)
{
    struct shadow *s = shadow(user, stream);
    (void)reason;
    (void)delivered;
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent);
    s->on_agent = false;
}

static void agent_done(void *user, uint32_t stream, void *stream_user)
{
    struct shadow *s = shadow(user, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent && s->answer_ended && s->request_seen == s->request_bytes);
    s->on_agent = false;
}

static void agent_room(void *user, uint32_t stream, void *stream_user, size_t room)
{
    struct life *l = user;
    struct shadow *s = shadow(l, stream);
    assert_ptr_equal(s, stream_user);
    assert_true(s->on_agent && !s->answer_ended);
    assert_int_equal(room, mux_send_room(l->agent, stream));
}

/* A stream that is open on this side, or 0. */
static uint32_t pick_open(struct life *l, bool on_agent)
{
    while (l->first_open < l->n_streams && !l->streams[l->first_open].on_relay &&
           !l->streams[l->first_open].on_agent) {
        l->first_open++;
    }
    for (int tries = 0; tries < 8 && l->first_open <= l->n_streams; tries++) {
        uint32_t id = l->first_open + (uint32_t)pick(l, l->n_streams - l->first_open + 1);
        if (on_agent ? l->streams[id].on_agent : l->streams[id].on_relay) {
            return id;
        }
    }
    return 0;
}

/* Steps. */

static void step_request(struct life *l)
{
    uint8_t body[WINDOW];
    uint32_t id = l->n_streams + 1;
    size_t len = pick(l, 3) == 0 ? pick(l, WINDOW) : 0;
    for (size_t i = 0; i < len; i++) {
        body[i] = pattern(id, i, false);
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
        assert_true(rc == ERROR_LIMIT && n_before == STREAMS);
    }
}

static void step_take_back(struct life *l)
{
    uint32_t id = pick_open(l, false);
    if (id == 0) {
        return;
    }
    enum head_delivered delivered = mux_delivered(l->relay, id);
    check_delivered(&l->streams[id], delivered);
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
    struct shadow *s = &l->streams[id];
    size_t kind = pick(l, 3);
    struct head_response head = {.status = 200};
    head.body_bytes = kind == 0 ? 0 : kind == 1 ? -1 : (int64_t)pick(l, 3 * WINDOW) + 1;
    s->announced = head.body_bytes;
    s->answered = true;
    s->answer_ended = kind == 0;
    assert_int_equal(mux_respond(l->agent, id, &head, kind == 0), 0);
}

static void step_send(struct life *l)
{
    static uint8_t bytes[WINDOW];
    uint32_t id = pick_open(l, true);
    if (id == 0 || !l->streams[id].answered || l->streams[id].answer_ended) {
        return;
    }
    struct shadow *s = &l->streams[id];
    size_t room = mux_send_room(l->agent, id);
    size_t len = room == 0 ? 0 : pick(l, room + 1);
    bool end = pick(l, 4) == 0;
    if (s->announced >= 0) {
        size_t left = (size_t)s->announced - s->answer_sent;
        len = len < left ? len : left;
        end = len == left;
        if (pick(l, 40) == 0 && len < left) { /* a home server that breaks off, badly told */
            s->cut = true;
            end = true;
        }
    }
    for (size_t i = 0; i < len; i++) {
        bytes[i] = pattern(id, s->answer_sent + i, true);
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
    uint32_t id = first + (uint32_t)pick(l, l->n_streams - first + 1);
    struct shadow *s = &l->streams[id];
    size_t n_relay = pick(l, s->relay_held + 1);
    size_t n_agent = pick(l, s->agent_held + 1);
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
        struct shadow *s = &l->streams[id];
        mux_consume(l->relay, id, s->relay_held);
        mux_consume(l->agent, id, s->agent_held);
        l->relay_held -= s->relay_held;
        l->agent_held -= s->agent_held;
        s->relay_held = s->agent_held = 0;
    }
}

static void move(struct life *l, struct mux *from, struct mux *to)
{
    static uint8_t message[PIPE_MESSAGE_BYTES];
    size_t len = mux_pull(from, message, sizeof(message), l->now_ms);
    for (size_t at = 0; at < len;) {
        size_t n = 1 + pick(l, pick(l, 2) == 0 ? 16 : len);
        n = n < len - at ? n : len - at;
        assert_int_equal(mux_recv(to, message + at, n, l->now_ms), 0);
        at += n;
    }
    assert_int_equal(mux_recv_end(to, l->now_ms), 0);
}

static void step_time(struct life *l)
{
    l->now_ms += pick(l, 50);
    assert_int_equal(mux_tick(l->relay, l->now_ms), 0);
    assert_int_equal(mux_tick(l->agent, l->now_ms), 0);
    assert_true(mux_next_ms(l->relay) != UINT64_MAX && mux_next_ms(l->agent) != UINT64_MAX);
}

static void step(struct life *l)
{
    switch (pick(l, 20)) {
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
        if (pick(l, 4) == 0) {
            step_agent_reset(l);
        }
        break;
    case 12:
    case 13:
    case 14: step_consume(l); break;
    case 15: step_time(l); break;
    case 16:
    case 17: move(l, l->relay, l->agent); break;
    default: move(l, l->agent, l->relay); break;
    }
    assert_true(mux_queued_bytes(l->relay) <= STREAMS * (WINDOW + 64) + 4096);
    assert_true(mux_queued_bytes(l->agent) <= STREAMS * WINDOW + FRAME_MESSAGE_BYTES + 65536);
}

static void begin(struct life *l, uint64_t seed)
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
    relay.stream_window_bytes = agent.stream_window_bytes = WINDOW;
    relay.tunnel_window_bytes = agent.tunnel_window_bytes = TUNNEL;
    relay.max_streams = agent.max_streams = STREAMS;
    memset(l, 0, sizeof(*l));
    l->random = seed;
    l->now_ms = 1000;
    l->first_open = 1;
    l->relay = mux_new(&relay, &relay_events, l, l->now_ms);
    l->agent = mux_new(&agent, &agent_events, l, l->now_ms);
    move(l, l->agent, l->relay);
    move(l, l->relay, l->agent);
    assert_true(mux_ready(l->relay) && mux_ready(l->agent));
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
            move(l, l->relay, l->agent);
            move(l, l->agent, l->relay);
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
        begin(l, seed);
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
