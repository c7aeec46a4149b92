/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of agent/upstream: servers that cannot be reached, say nothing, or read slowly. */
#include "tests/unit/upstream/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a server that cannot be reached ---- */

static void a_refused_connection_is_unreachable(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    fake_stop_listening(&f->server);
    start(f);
    for (int i = 0; i < 10; i++) {
        get(f, COMMAND);
    }
    for (int i = 0; i < 10; i++) {
        until_done(&f->calls[i]);
        expect_failure(&f->calls[i], HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
        assert_int_equal(f->calls[i].n_handed, 0);
    }
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_failed, 10);
    assert_non_null(strstr(stats.last_error, "connection refused"));
    until_open(f, 0);
}

static void a_silent_server_is_unreachable_for_all_who_wait(void **state)
{
    struct fixture *f = *state;
    struct fake_hole hole;
    fake_hole_open(&hole);
    f->settings.url = hole.url;
    f->settings.connect_timeout_ms = 150;
    f->settings.answer_timeout_ms = 5000;
    f->settings.max_connections = 2;
    start(f);
    for (int i = 0; i < 60; i++) {
        get(f, COMMAND);
    }
    /* One after the other, they would wait 30 times. */
    uint64_t start_ms = uv_now(&f->loop);
    for (int i = 0; i < 60; i++) {
        until_done(&f->calls[i]);
        expect_failure(&f->calls[i], HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    }
    assert_in_range(uv_now(&f->loop) - start_ms, 100, 3000);
    fake_hole_close(&hole);
}

static void answer(int fd)
{
    assert_int_equal(write(fd, OK, sizeof(OK) - 1), sizeof(OK) - 1);
}

/* It takes one connection and is silent to all others: those who wait get their turn on that one.
 */
static void a_busy_server_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    char url[64];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 0), 0); /* its queue has room for one */
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(address.sin_port));
    f->settings.url = url;
    f->settings.connect_timeout_ms = 150;
    f->settings.answer_timeout_ms = 5000;
    f->settings.max_connections = 2;
    start(f);
    struct call *busy = get(f, COMMAND);
    until_handed(busy);
    struct call *unlucky = get(f, COMMAND);
    struct call *next = get(f, COMMAND);
    struct call *last = get(f, COMMAND);
    until_done(unlucky);
    expect_failure(unlucky, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    assert_int_equal(next->n_fails + last->n_fails, 0);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    answer(fd);
    until_done(busy);
    until_handed(last);
    answer(fd);
    until_done(last);
    expect_answer(busy, 200, "ok");
    expect_answer(last, 200, "ok");
    close(fd);
    close(listener);
}

static void a_deadline_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct fake_hole hole;
    fake_hole_open(&hole);
    f->settings.url = hole.url;
    start(f);
    struct call *call = request(f, HEAD_METHOD_GET, COMMAND, NULL, 0, NULL, 0, 150);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    fake_hole_close(&hole);
}

static void names_are_resolved(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME);
    start(f);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_non_null(strstr(f->server.requests[0].text, "Host: " FAKE_NAME ":"));
}

static void all_addresses_of_a_name_are_tried(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME_TWO);
    f->settings.max_connections = 1;
    start(f);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
    assert_int_equal(call->n_handed, 1);
    until_done(get(f, COMMAND));
    assert_int_equal(f->server.n_peers, 1);
}

static void an_address_that_is_refused_at_once_leads_to_the_next(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME_NOWHERE);
    start(f);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
}

/* With as many descriptors open as there may be. */
static void without_a_socket(struct fixture *f)
{
    struct rlimit all;
    struct upstream_stats stats;
    start(f);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    int next = dup(STDERR_FILENO);
    assert_int_equal(close(next), 0);
    struct rlimit none = {(rlim_t)next, all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct call *call = get(f, COMMAND);
    until_done(call);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    upstream_read_stats(f->u, &stats);
    assert_non_null(strstr(stats.last_error, "too many open files"));
    call = get(f, COMMAND);
    until_done(call);
    expect_answer(call, 200, "ok");
}

static void without_a_socket_for_an_address_the_server_is_unreachable(void **state)
{
    without_a_socket(*state);
}

static void without_a_socket_for_a_name_the_server_is_unreachable(void **state)
{
    struct fixture *f = *state;
    f->settings.url = fake_url(&f->server, FAKE_NAME_TWO);
    without_a_socket(f);
}

static void a_name_without_a_living_address(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.url = fake_url(&f->server, FAKE_NAME_DEAD);
    start(f);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    upstream_read_stats(f->u, &stats);
    assert_non_null(strstr(stats.last_error, "cannot connect to dead.test"));
}

static void a_name_that_nobody_knows(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.url = "http://unknown.test";
    start(f);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    upstream_read_stats(f->u, &stats);
    assert_non_null(strstr(stats.last_error, "cannot resolve unknown.test:5051"));
    until_open(f, 0);
}

static void a_resolver_that_takes_too_long(void **state)
{
    struct fixture *f = *state;
    struct upstream_stats stats;
    f->settings.url = fake_url(&f->server, FAKE_NAME_SLOW);
    f->settings.connect_timeout_ms = 150;
    start(f);
    struct call *call = get(f, COMMAND);
    until_done(call);
    expect_failure(call, HEAD_RESET_SERVER_UNREACHABLE, HEAD_DELIVERED_NO);
    /* It cannot be stopped, so it keeps its place. */
    upstream_read_stats(f->u, &stats);
    assert_int_equal(stats.n_open, 1);
    fake_resolve_slow();
    until_open(f, 0);
    assert_int_equal(f->server.n_peers, 0);
}

/* ---- deadlines ---- */

static void a_server_that_says_nothing(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "", FAKE_KEEP);
    fake_reply(&f->server, "HTTP/1.1 200 OK\r\n", FAKE_KEEP);
    start(f);
    for (int i = 0; i < 2; i++) {
        struct call *call = get(f, STATUS);
        uint64_t start_ms = uv_now(&f->loop);
        until_done(call);
        expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
        assert_in_range(uv_now(&f->loop) - start_ms, 300, 10000);
    }
    assert_int_equal(f->server.n_requests, 2);
    until_open(f, 0);
}

static void a_loop_that_was_held_up_looks_before_it_gives_up(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "", FAKE_KEEP);
    start(f);
    struct call *call = get(f, COMMAND);
    until_requests(f, 1);
    fake_send(&f->server, 0, OK);
    uv_sleep(500); /* the hold-up, past the deadline; the answer lies in the socket */
    until_done(call);
    expect_answer(call, 200, "ok");
}

static void feedback_may_take_longer(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "", FAKE_KEEP);
    fake_reply(&f->server, "", FAKE_KEEP);
    start(f);
    struct call *in_query = get(f, COMMAND "&fb");
    struct call *in_body =
        request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, "guid=1&fb&cmd=1", 15, 0);
    uint64_t start_ms = uv_now(&f->loop);
    until_done(in_query);
    until_done(in_body);
    assert_in_range(uv_now(&f->loop) - start_ms, 900, 10000);
    expect_failure(in_query, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    expect_failure(in_body, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
}

static void the_callers_deadline_counts_from_the_start(void **state)
{
    struct fixture *f = *state;
    f->settings.max_connections = 1;
    f->settings.answer_timeout_ms = 5000;
    fake_reply(&f->server, "", FAKE_KEEP);
    start(f);
    struct call *first = request(f, HEAD_METHOD_GET, COMMAND, NULL, 0, NULL, 0, 600);
    struct call *queued = request(f, HEAD_METHOD_GET, COMMAND, NULL, 0, NULL, 0, 200);
    until_done(queued);
    expect_failure(queued, HEAD_RESET_DEADLINE, HEAD_DELIVERED_NO);
    assert_int_equal(first->n_fails, 0);
    until_done(first);
    expect_failure(first, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    assert_int_equal(f->server.n_requests, 1);
}

static void a_body_that_stops_coming(void **state)
{
    struct fixture *f = *state;
    fake_reply(&f->server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", FAKE_KEEP);
    start(f);
    struct call *call = get(f, STATUS);
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
    assert_int_equal(call->n_heads, 1);
}

/* ---- a request that does not fit into the socket ---- */

static struct call *send_too_much(struct fixture *f, char *body, size_t len)
{
    fake_be_deaf(&f->server);
    for (size_t i = 0; i < len; i++) {
        body[i] = (char)('a' + i % 23);
    }
    start(f);
    struct call *call = request(f, HEAD_METHOD_POST, "/api/v1/power", NULL, 0, body, len, 0);
    until_peers(f, 1);
    run_turns(f, 5);
    assert_int_equal(call->n_handed, 0);
    return call;
}

static char too_much[120 * 1024];

static void a_slow_server_gets_the_rest_later(void **state)
{
    struct fixture *f = *state;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    fake_listen_again(&f->server);
    until_handed(call);
    until_done(call);
    expect_answer(call, 200, "ok");
    const char *body = strstr(f->server.requests[0].text, "\r\n\r\n") + 4;
    assert_int_equal(strlen(body), sizeof(too_much));
    assert_memory_equal(body, too_much, sizeof(too_much));
    until_done(get(f, COMMAND));
    assert_int_equal(f->server.n_peers, 1);
}

static void a_partly_written_request_is_unknown(void **state)
{
    struct fixture *f = *state;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    until_done(call);
    expect_failure(call, HEAD_RESET_DEADLINE, HEAD_DELIVERED_UNKNOWN);
    assert_int_equal(call->n_handed, 0);
}

static void an_early_answer_costs_the_connection(void **state)
{
    struct fixture *f = *state;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    fake_send(&f->server, 0, "HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno");
    until_done(call);
    expect_answer(call, 413, "no");
    assert_int_equal(call->n_handed, 0);
    until_open(f, 0);
}

static void an_early_answer_is_told_though_the_rest_cannot_leave(void **state)
{
    struct fixture *f = *state;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    fake_send(&f->server, 0, "HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno");
    fake_reset(&f->server, 0);
    until_done(call);
    expect_answer(call, 413, "no");
    until_open(f, 0);
}

static void an_early_answer_up_to_a_reset_is_none(void **state)
{
    struct fixture *f = *state;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    fake_send(&f->server, 0, "HTTP/1.1 413 Too much\r\n\r\nno");
    fake_reset(&f->server, 0);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    until_open(f, 0);
}

/* Nobody reads while the call is paused, so the write is the first to learn of the reset, and takes
 * the socket's error along: what is read then looks orderly. */
static void an_early_answer_up_to_a_reset_that_the_write_learns_of_is_none(void **state)
{
    struct fixture *f = *state;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    call->on_head = ACT_PAUSE;
    fake_send(&f->server, 0, "HTTP/1.1 413 Too much\r\n\r\nno");
    while (call->n_heads == 0) {
        run_turns(f, 1);
    }
    fake_reset(&f->server, 0);
    run_turns(f, 10);
    upstream_resume(call->call);
    until_done(call);
    expect_failure(call, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
}

static void take_all_that_came(struct fixture *f)
{
    static char bytes[65536];
    int fd = -1;
    assert_int_equal(uv_fileno((uv_handle_t *)&f->server.peers[0].tcp, &fd), 0);
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
}

/* In each turn the socket takes more of the request and has more of an answer, so also in the one
 * in which the last of it leaves. */
static void ended_from_on_handed(struct fixture *f, enum act act)
{
    f->settings.answer_timeout_ms = 5000;
    struct call *call = send_too_much(f, too_much, sizeof(too_much));
    assert_int_equal(uv_tcp_nodelay(&f->server.peers[0].tcp, 1), 0);
    call->on_handed = act;
    for (size_t i = 0; call->n_handed == 0 && call->n_fails == 0; i++) {
        take_all_that_came(f);
        fake_send(&f->server, 0, i == 0 ? "HTTP/1.1 413 T" : "o");
        run_turns(f, 1);
    }
    assert_int_equal(call->n_handed, 1);
    assert_int_equal(call->n_heads, 0);
}

static void a_call_is_cancelled_when_its_rest_has_left(void **state)
{
    struct fixture *f = *state;
    ended_from_on_handed(f, ACT_CANCEL);
    until_open(f, 0);
}

static void an_upstream_is_closed_when_the_rest_of_a_request_has_left(void **state)
{
    struct fixture *f = *state;
    ended_from_on_handed(f, ACT_CLOSE);
    until_closed(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_refused_connection_is_unreachable),
        CASE(a_silent_server_is_unreachable_for_all_who_wait),
        CASE(a_busy_server_is_waited_for),
        CASE(a_deadline_while_connecting),
        CASE(names_are_resolved),
        CASE(all_addresses_of_a_name_are_tried),
        CASE(an_address_that_is_refused_at_once_leads_to_the_next),
        CASE(without_a_socket_for_an_address_the_server_is_unreachable),
        CASE(without_a_socket_for_a_name_the_server_is_unreachable),
        CASE(a_name_without_a_living_address),
        CASE(a_name_that_nobody_knows),
        CASE(a_resolver_that_takes_too_long),
        CASE(a_server_that_says_nothing),
        CASE(a_loop_that_was_held_up_looks_before_it_gives_up),
        CASE(feedback_may_take_longer),
        CASE(the_callers_deadline_counts_from_the_start),
        CASE(a_body_that_stops_coming),
        CASE(a_slow_server_gets_the_rest_later),
        CASE(a_partly_written_request_is_unknown),
        CASE(an_early_answer_costs_the_connection),
        CASE(an_early_answer_is_told_though_the_rest_cannot_leave),
        CASE(an_early_answer_up_to_a_reset_is_none),
        CASE(an_early_answer_up_to_a_reset_that_the_write_learns_of_is_none),
        CASE(a_call_is_cancelled_when_its_rest_has_left),
        CASE(an_upstream_is_closed_when_the_rest_of_a_request_has_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
