/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/link_wire.c: an open link whose line and whose relay do what they seldom
 * do. The link is made by hand; in libwebsockets' place is line_lws.c. */
#include "agent/tunnel/link_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "proto/base/span.h"
#include "tests/unit/agent/line.h"

/* Messages of a few bytes, and what a frame and a record add to each (RFC 8446 5.2). OpenSSL reads
 * 17 kB at once, in which there is room for fewer than N_TINY_READ. */
#define N_TINY            1300
#define TINY_BYTES        4
#define TINY_RECORD_BYTES (TINY_BYTES + 2 + 5 + 1 + 16)
#define N_TINY_READ       (17000 / TINY_RECORD_BYTES)

#define TOLD_BYTES 8192

/* Turns after which whatever the line allows has happened. */
#define TURNS 20

/* A loop that sleeps turns a few times in so long, one that spins thousands of times. */
#define WATCH_MS   100
#define TURNS_CALM 10

static struct link_set set;
static struct link_lane lane;
static struct link *l;
static struct line line;
static uv_loop_t loop;
static uv_prepare_t counter;
static uv_timer_t watch;
static unsigned n_turns;
static uint64_t passed_ms; /* beside what has really passed */

static char told[TOLD_BYTES]; /* to the owner */
static size_t told_len;
static unsigned n_messages;
static unsigned n_closed;
static struct link_end end;
static bool abort_in_bytes;
static bool abort_in_end;

/* ---- the clock ---- */

/* The linker's --wrap option asks for these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
uint64_t __wrap_uv_now(const uv_loop_t *of);
uint64_t __real_uv_now(const uv_loop_t *of);

uint64_t __wrap_uv_now(const uv_loop_t *of)
{
    return __real_uv_now(of) + passed_ms;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* ---- the owner ---- */

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    assert_ptr_equal(user, &loop);
    assert_true(told_len + len < sizeof(told));
    memcpy(told + told_len, bytes, len);
    told_len += len;
    if (abort_in_bytes) {
        link_abort(l);
    }
    return 0;
}

static int on_message_end(void *user)
{
    assert_ptr_equal(user, &loop);
    n_messages++;
    if (abort_in_end) {
        link_abort(l);
    }
    return 0;
}

static void on_closed(void *user, const struct link_end *how)
{
    assert_ptr_equal(user, &loop);
    n_closed++;
    end = *how;
    end.reason = NULL; /* was borrowed */
}

static const struct link_callbacks callbacks = {
    .on_bytes = on_bytes,
    .on_message_end = on_message_end,
    .on_closed = on_closed,
};

/* ---- the loop ---- */

static void on_turn(uv_prepare_t *prepare)
{
    (void)prepare;
    n_turns++;
}

static void on_watch(uv_timer_t *timer)
{
    (void)timer;
}

static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void settle(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        turn();
    }
}

static void assert_calm(void)
{
    n_turns = 0;
    assert_int_equal(uv_timer_start(&watch, on_watch, WATCH_MS, 0), 0);
    while (uv_is_active((uv_handle_t *)&watch)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_in_range(n_turns, 1, TURNS_CALM);
}

/* ---- the relay ---- */

static void say(uint8_t opcode, const char *payload)
{
    line_say(&line, opcode, payload);
    line_deliver(&line);
    settle();
}

static void assert_hears(uint8_t opcode, const char *payload)
{
    settle();
    line_assert_hears(&line, opcode, payload);
}

static void assert_silence(void)
{
    settle();
    line_assert_silent(&line);
}

/* ---- the agent ---- */

static void send_message(const char *text)
{
    const struct span bytes = span_of(text);
    size_t cap = 0;
    uint8_t *buffer = link_buffer(&set, &cap);
    assert_true(link_can_send(l));
    assert_true(bytes.len <= cap);
    memcpy(buffer, bytes.p, bytes.len);
    assert_int_equal(link_send(l, bytes.len), 0);
}

static void assert_told(const char *text)
{
    settle();
    told[told_len] = '\0';
    assert_string_equal(told, text);
}

/* By a close frame with 1001. */
static void assert_peer_closed(void)
{
    assert_int_equal(n_closed, 1);
    assert_int_equal(end.failure, LINK_PEER_CLOSED);
    assert_int_equal(end.close_code, LINK_CLOSE_GOING_AWAY);
}

/* ---- fixture ---- */

/* As link.c has it when the upgrade is done. */
static void make_link(void)
{
    l = calloc(1, sizeof(*l));
    assert_non_null(l);
    l->set = &set;
    l->lane = &lane;
    l->wsi = (struct lws *)(void *)&line; /* line_lws.c */
    l->state = LINK_OPEN;
    l->was_open = true;
    l->callbacks = callbacks;
    l->user = &loop;
    list_push(&set.links, &l->node);
    set.n_links++;
    while (l->wire == NULL) {
        assert_true(link_prepare(l));
    }
    settle(); /* libuv asks the kernel in the next turn only */
}

static int set_up(void **state)
{
    (void)state;
    told_len = 0;
    n_messages = n_closed = 0;
    passed_ms = 0;
    abort_in_bytes = abort_in_end = false;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &watch), 0);
    assert_int_equal(uv_prepare_init(&loop, &counter), 0);
    assert_int_equal(uv_prepare_start(&counter, on_turn), 0);
    line_open(&line);
    memset(&set, 0, sizeof(set));
    set.loop = &loop;
    list_init(&set.links);
    make_link();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    link_free(l); /* libwebsockets says that the connection is gone */
    assert_int_equal(set.n_links, 0);
    websocket_parser_free(set.spare_parser);
    uv_close((uv_handle_t *)&watch, NULL);
    uv_close((uv_handle_t *)&counter, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    line_close(&line);
    return 0;
}

/* ---- cases ---- */

static void test_messages_go_both_ways(void **state)
{
    (void)state;
    send_message("hello");
    say(WEBSOCKET_BINARY, "good day");
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_told("good day");
    assert_int_equal(n_messages, 1);
    assert_calm();
}

static void test_a_message_behind_half_a_session_ticket_waits_for_the_rest_and_does_not_spin(
    void **state)
{
    (void)state;
    line_say_ticket(&line);
    line_deliver_record(&line);
    settle();
    send_message("hello");
    assert_false(link_can_send(l));
    assert_calm();
    assert_silence();
    line_deliver(&line);
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_true(link_can_send(l));
    assert_calm();
    assert_int_equal(n_closed, 0);
}

/* OpenSSL answers a KeyUpdate with the next message, and reads no further until it has. */
static void test_a_message_behind_a_key_update_waits_for_a_full_line_and_does_not_spin(void **state)
{
    (void)state;
    line_fill(&line);
    line_say_key_update(&line);
    say(WEBSOCKET_BINARY, "one ");
    send_message("hello");
    assert_false(link_can_send(l));
    say(WEBSOCKET_BINARY, "two");
    assert_calm();
    line_drain(&line);
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_told("one two");
    assert_calm();
    assert_int_equal(n_closed, 0);
}

static void test_a_key_update_behind_a_message_that_waits_does_not_spin(void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    assert_false(link_can_send(l));
    line_say_key_update(&line);
    say(WEBSOCKET_BINARY, "one ");
    say(WEBSOCKET_BINARY, "two");
    assert_calm();
    line_drain(&line);
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_told("one two");
    send_message("again");
    assert_hears(WEBSOCKET_BINARY, "again");
    assert_calm();
    assert_int_equal(n_closed, 0);
}

/* One of `lead` bytes, and tiny ones behind it; `all` is what they say. */
static void say_records(int lead, char *all)
{
    size_t len = (size_t)snprintf(all, TOLD_BYTES, "%0*d", lead, 0);
    line_say(&line, WEBSOCKET_BINARY, all);
    for (int i = 0; i < N_TINY; i++) {
        (void)snprintf(all + len, TOLD_BYTES - len, "%0*d", TINY_BYTES, i);
        line_say(&line, WEBSOCKET_BINARY, all + len);
        len += TINY_BYTES;
    }
    line_deliver(&line);
}

/* Where in a record one read ends decides whether OpenSSL would read ahead once more: the first
 * record moves that from byte to byte. */
static void test_thousands_of_tiny_records_do_not_keep_the_loop_and_come_in_order(void **state)
{
    static char all[TOLD_BYTES];
    (void)state;
    for (int lead = 1; lead <= TINY_RECORD_BYTES; lead++) {
        told_len = n_messages = 0;
        say_records(lead, all);
        turn();
        assert_in_range(n_messages, 1, N_TINY_READ);
        assert_told(all);
        assert_int_equal(n_messages, 1 + N_TINY);
    }
}

/* Frames in one record, and more in a record that comes along with it. */
static void say_much_at_once(void)
{
    uint8_t frames[64];
    size_t len = line_pack(frames, WEBSOCKET_BINARY, "one");
    len += line_pack(frames + len, WEBSOCKET_BINARY, "two");
    len += line_pack(frames + len, LINE_PING, "ping");
    line_say_bytes(&line, frames, len);
    say(WEBSOCKET_BINARY, "three");
}

static void test_a_link_ended_inside_on_bytes_tells_nothing_more(void **state)
{
    (void)state;
    abort_in_bytes = true;
    say_much_at_once();
    assert_told("one");
    assert_int_equal(n_messages, 0);
    assert_silence();
    assert_int_equal(n_closed, 0);
}

static void test_a_link_ended_inside_on_message_end_tells_nothing_more(void **state)
{
    (void)state;
    abort_in_end = true;
    say_much_at_once();
    assert_told("one");
    assert_int_equal(n_messages, 1);
    assert_silence();
    assert_int_equal(n_closed, 0);
}

static void test_a_link_ended_while_a_message_waits_sends_and_tells_nothing_more(void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    assert_false(link_can_send(l));
    link_abort(l);
    say(WEBSOCKET_BINARY, "late");
    line_drain(&line);
    assert_silence();
    assert_told("");
    assert_int_equal(n_closed, 0);
}

static void test_only_the_last_of_the_pings_that_came_while_the_line_was_full_is_answered(
    void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    for (char ping[] = "1"; ping[0] <= '3'; ping[0]++) {
        say(LINE_PING, ping);
    }
    line_drain(&line);
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_hears(WEBSOCKET_PONG, "3");
    assert_silence();
    assert_true(link_can_send(l));
}

static void test_a_pong_goes_before_our_close_and_nothing_behind_it(void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    say(LINE_PING, "early");
    link_finish(l, LINK_CLOSE_GOING_AWAY);
    line_drain(&line);
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_hears(WEBSOCKET_PONG, "early");
    assert_hears(WEBSOCKET_CLOSE, "\x03\xe9"); /* 1001 */
    say(LINE_PING, "late");
    assert_silence();
    assert_int_equal(n_closed, 0); /* until the relay has answered, or time is up */
}

static void test_a_ping_before_the_relays_close_is_answered_before_it(void **state)
{
    (void)state;
    uint8_t frames[64];
    size_t len = line_pack(frames, LINE_PING, "early");
    len += line_pack(frames + len, WEBSOCKET_CLOSE, "\x03\xe9");
    len += line_pack(frames + len, LINE_PING, "late");
    line_say_bytes(&line, frames, len);
    line_deliver(&line);
    assert_hears(WEBSOCKET_PONG, "early");
    assert_hears(WEBSOCKET_CLOSE, "\x03\xe8"); /* 1000 */
    assert_silence();
    assert_peer_closed();
}

static void test_a_relays_close_while_the_line_is_full_ends_the_link_in_time(void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    say(WEBSOCKET_CLOSE, "\x03\xe9");
    assert_calm();
    assert_true(link_prepare(l)); /* there is time for the answer to go out */
    assert_int_equal(n_closed, 0);
    passed_ms = LINK_FINISH_MS;
    assert_false(link_prepare(l));
    assert_peer_closed();
}

static void test_a_relays_close_while_the_line_is_full_is_answered_when_there_is_room(void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    say(WEBSOCKET_CLOSE, "\x03\xe9");
    line_drain(&line);
    assert_hears(WEBSOCKET_BINARY, "hello");
    assert_hears(WEBSOCKET_CLOSE, "\x03\xe8");
    assert_peer_closed();
}

static void test_a_relay_that_is_gone_while_a_message_waits_ends_the_link_once(void **state)
{
    (void)state;
    line_fill(&line);
    send_message("hello");
    assert_int_equal(shutdown(line.relay_fd, SHUT_RDWR), 0);
    settle();
    assert_int_equal(n_closed, 1);
    assert_int_equal(end.failure, LINK_LOST);
    assert_true(end.was_open);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_messages_go_both_ways),
        CASE(test_a_message_behind_half_a_session_ticket_waits_for_the_rest_and_does_not_spin),
        CASE(test_a_message_behind_a_key_update_waits_for_a_full_line_and_does_not_spin),
        CASE(test_a_key_update_behind_a_message_that_waits_does_not_spin),
        CASE(test_thousands_of_tiny_records_do_not_keep_the_loop_and_come_in_order),
        CASE(test_a_link_ended_inside_on_bytes_tells_nothing_more),
        CASE(test_a_link_ended_inside_on_message_end_tells_nothing_more),
        CASE(test_a_link_ended_while_a_message_waits_sends_and_tells_nothing_more),
        CASE(test_only_the_last_of_the_pings_that_came_while_the_line_was_full_is_answered),
        CASE(test_a_pong_goes_before_our_close_and_nothing_behind_it),
        CASE(test_a_ping_before_the_relays_close_is_answered_before_it),
        CASE(test_a_relays_close_while_the_line_is_full_ends_the_link_in_time),
        CASE(test_a_relays_close_while_the_line_is_full_is_answered_when_there_is_room),
        CASE(test_a_relay_that_is_gone_while_a_message_waits_ends_the_link_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
