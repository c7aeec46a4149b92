/* SPDX-License-Identifier: Apache-2.0 */
/* What a mux allocates, and what happens when it cannot. The program is linked so that every
 * allocation passes here. */
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/pipe.h"

static size_t n_allocations;
static size_t live_bytes;
static size_t fail_at; /* the allocation that fails, counted from 1; 0 = none */
static bool fail_on;   /* and all after it */

/* The names are the linker's. NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
 */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static bool refused(void)
{
    n_allocations++;
    return fail_at != 0 && (n_allocations == fail_at || (fail_on && n_allocations > fail_at));
}

static void *count(void *p)
{
    live_bytes += p == NULL ? 0 : malloc_usable_size(p);
    return p;
}

void *__wrap_malloc(size_t size)
{
    return refused() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : count(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
    if (refused()) {
        return NULL;
    }
    live_bytes -= p == NULL ? 0 : malloc_usable_size(p);
    return count(__real_realloc(p, size));
}

void __wrap_free(void *p)
{
    live_bytes -= p == NULL ? 0 : malloc_usable_size(p);
    __real_free(p);
}

static struct mux_settings settings_of(enum mux_role role)
{
    return mux_default_settings(role, "software/1");
}

/* A message from one mux to the other. The first error, or 0. */
static int move(struct mux *from, struct mux *to, uint64_t now_ms)
{
    static uint8_t message[PIPE_MESSAGE_BYTES];
    size_t len;
    while ((len = mux_pull(from, message, sizeof(message), now_ms)) > 0) {
        /* In two pieces, so that a frame is put together. */
        size_t cut = len / 2;
        int rc = mux_recv(to, message, cut, now_ms);
        if (rc == 0) {
            rc = mux_recv(to, message + cut, len - cut, now_ms);
        }
        if (rc == 0) {
            rc = mux_recv_end(to, now_ms);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int settle(struct mux *relay, struct mux *agent)
{
    while (mux_wants_send(relay) || mux_wants_send(agent)) {
        int rc = move(agent, relay, 0);
        if (rc == 0) {
            rc = move(relay, agent, 0);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void idle_tunnel_is_small(void **state)
{
    (void)state;
    struct mux_settings settings = settings_of(MUX_RELAY);
    struct mux_settings agent_settings = settings_of(MUX_AGENT);
    struct mux_events events = {0};
    size_t before = live_bytes;
    struct mux *relay = mux_new(&settings, &events, NULL, 0);
    size_t fresh = live_bytes - before;
    struct mux *agent = mux_new(&agent_settings, &events, NULL, 0);
    assert_int_equal(settle(relay, agent), 0);
    struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/")};
    uint32_t id;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(mux_request(relay, &head, NULL, NULL, &id, 0), 0);
    }
    assert_int_equal(settle(relay, agent), 0);
    for (id = 1; id <= 200; id++) {
        struct head_response answer = {.status = 200, .body_bytes = 5};
        assert_int_equal(mux_respond(agent, id, &answer, false), 0);
        assert_int_equal(mux_send_data(agent, id, "hello", 5, true), 0);
    }
    assert_int_equal(settle(relay, agent), 0);
    mux_free(agent);
    assert_int_equal(mux_tick(relay, 1), 0);
    print_message("idle relay mux: %zu bytes\n", live_bytes - before);
    assert_true(fresh <= 1200);
    assert_int_equal(live_bytes - before, fresh);
    mux_free(relay);
    assert_int_equal(live_bytes, before);
}

static void warm_tunnel_answers_without_allocating(void **state)
{
    (void)state;
    struct mux_settings relay_settings = settings_of(MUX_RELAY);
    struct mux_settings agent_settings = settings_of(MUX_AGENT);
    struct mux_events events = {0};
    struct mux *relay = mux_new(&relay_settings, &events, NULL, 0);
    struct mux *agent = mux_new(&agent_settings, &events, NULL, 0);
    assert_int_equal(settle(relay, agent), 0);
    struct head_request head = {
        .method = HEAD_METHOD_GET, .path = span_of("/api/V1/power"), .request_id = span_of("id")};
    struct head_response answer = {.status = 200, .body_bytes = 120};
    static const char body[120];
    size_t warm = 0;
    for (int round = 0; round < 20; round++) {
        warm = round == 10 ? n_allocations : warm;
        uint32_t ids[20];
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(mux_request(relay, &head, NULL, NULL, &ids[i], 0), 0);
        }
        assert_int_equal(move(relay, agent, 0), 0);
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(mux_respond(agent, ids[i], &answer, false), 0);
            assert_int_equal(mux_send_data(agent, ids[i], body, sizeof(body), true), 0);
        }
        assert_int_equal(move(agent, relay, 0), 0);
        mux_consume(relay, 1, 0);
        assert_int_equal(mux_n_streams(relay), 0);
    }
    assert_int_equal(n_allocations - warm, 0);
    mux_free(relay);
    mux_free(agent);
}

static void large_request_is_not_kept_once_it_has_left(void **state)
{
    (void)state;
    static const char body[60000];
    struct pipe *p = pipe_new_ready();
    size_t before = live_bytes;
    pipe_post(p, "/", body, sizeof(body));
    assert_true(live_bytes - before >= sizeof(body));
    while (pipe_to_agent(p)) {
    }
    assert_int_equal(mux_tick(p->agent, p->now_ms), 0);
    assert_int_equal(mux_tick(p->relay, p->now_ms), 0);
    assert_true(live_bytes - before < 2000);
    pipe_free(p);
}

static void header_alone_makes_nobody_hold_memory(void **state)
{
    (void)state;
    struct mux_settings settings = settings_of(MUX_RELAY);
    struct mux_events events = {0};
    struct mux *relay = mux_new(&settings, &events, NULL, 0);
    static const uint8_t header[FRAME_HEADER_BYTES] = {[4] = 99, [7] = 0x70};
    size_t before = live_bytes;
    assert_int_equal(mux_recv(relay, header, sizeof(header), 0), 0);
    assert_true(live_bytes - before <= 300); /* what malloc makes of 256 */
    mux_free(relay);
}

/* The agent of a hostile relay: it opens all streams there are, sends all it may, and reads
 * nothing. */
static void hostile_peer_holds_no_more_than_the_named_maxima(void **state)
{
    (void)state;
    struct pipe *p = pipe_new_ready();
    p->agent_log->consumes = false;
    p->agent->events = (struct mux_events){0};
    size_t before = live_bytes;
    static const uint8_t request[] = "\3\0\0\0\0\0\0\0\0\0\1\0\1\0\0\0/";
    static const uint8_t data[FRAME_DATA_MAX];
    for (uint32_t id = 1; id <= MUX_MAX_STREAMS; id++) {
        assert_int_equal(pipe_feed(p, p->agent, id, FRAME_REQUEST, 0, request, 17), 0);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pipe_feed(p, p->agent, id, FRAME_DATA, 0, data, sizeof(data)), 0);
        }
    }
    /* Bodies are the owner's to hold, up to the windows; here nobody does. */
    assert_true(live_bytes - before < MUX_MAX_STREAMS * 512);
    pipe_free(p);
}

/* The main scenario: handshake, requests with and without bodies, answers of all kinds, resets,
 * calls, drain. Errors are taken as an owner takes them. Returns the first. */
struct scenario {
    struct mux *relay;
    struct mux *agent;
    uint32_t ids[4];
};

static int run_requests(struct scenario *s)
{
    static const char body[3000];
    struct head_request get = {.method = HEAD_METHOD_GET, .path = span_of("/api/V1/power")};
    struct head_request post = {
        .method = HEAD_METHOD_POST, .path = span_of("/"), .body_bytes = sizeof(body)};
    for (size_t i = 0; i < 4; i++) {
        int rc = i % 2 == 0 ? mux_request(s->relay, &get, NULL, NULL, &s->ids[i], 0)
                            : mux_request(s->relay, &post, body, NULL, &s->ids[i], 0);
        if (rc != 0) {
            return rc;
        }
    }
    return settle(s->relay, s->agent);
}

static int run_answers(struct scenario *s)
{
    static const char body[60000];
    struct head_response head = {.status = 200, .body_bytes = -1};
    mux_handed(s->agent, s->ids[0], 0);
    int rc = mux_tick(s->agent, MUX_HANDED_DELAY_MS);
    for (size_t i = 0; i < 3 && rc == 0; i++) {
        rc = mux_respond(s->agent, s->ids[i], &head, false);
        if (rc == 0) {
            rc = mux_send_data(s->agent, s->ids[i], body, i == 0 ? 100 : sizeof(body), true);
        }
    }
    mux_reset(s->agent, s->ids[3], HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    return rc != 0 ? rc : settle(s->relay, s->agent);
}

static int run_drain(struct scenario *s)
{
    uint32_t id;
    int rc = mux_control(s->agent, 1, span_of("{}"), &id);
    if (rc != 0) {
        return rc;
    }
    rc = mux_tick(s->relay, MUX_PING_IDLE_MS);
    mux_goaway(s->agent, HEAD_GOAWAY_SHUTDOWN, 0);
    return rc != 0 ? rc : settle(s->relay, s->agent);
}

static void consume_all(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                        size_t len, bool end)
{
    struct mux **owner = user;
    (void)stream_user;
    (void)bytes;
    (void)end;
    mux_consume(*owner, stream, len);
}

static int run_scenario(void)
{
    struct scenario s = {0};
    struct mux_settings relay = settings_of(MUX_RELAY);
    struct mux_settings agent = settings_of(MUX_AGENT);
    struct mux_events events = {.on_data = consume_all};
    relay.stream_window_bytes = 20000; /* so that WINDOW frames are needed */
    s.relay = mux_new(&relay, &events, &s.relay, 0);
    s.agent = s.relay == NULL ? NULL : mux_new(&agent, &events, &s.agent, 0);
    int rc = s.agent == NULL ? ERROR_NOMEM : settle(s.relay, s.agent);
    rc = rc != 0 ? rc : run_requests(&s);
    rc = rc != 0 ? rc : run_answers(&s);
    rc = rc != 0 ? rc : run_drain(&s);
    if (s.agent != NULL) {
        mux_close(s.relay);
        mux_close(s.agent);
    }
    mux_free(s.relay);
    mux_free(s.agent);
    return rc;
}

static void every_failing_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    n_allocations = 0;
    assert_int_equal(run_scenario(), 0);
    size_t total = n_allocations;
    for (int on = 0; on < 2; on++) {
        for (size_t at = 1; at <= total; at++) {
            size_t before = live_bytes;
            n_allocations = 0;
            fail_at = at;
            fail_on = on != 0;
            int rc = run_scenario();
            fail_at = 0;
            assert_int_equal(live_bytes, before);
            assert_true(rc == ERROR_NOMEM);
        }
    }
    print_message("%zu allocations refused in turn\n", total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_tunnel_is_small),
        cmocka_unit_test(warm_tunnel_answers_without_allocating),
        cmocka_unit_test(large_request_is_not_kept_once_it_has_left),
        cmocka_unit_test(header_alone_makes_nobody_hold_memory),
        cmocka_unit_test(hostile_peer_holds_no_more_than_the_named_maxima),
        cmocka_unit_test(every_failing_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
