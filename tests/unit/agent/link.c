/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/link.h: the ends that the races of a real relay do not bring about at will.
 * The rest is in tests/blackbox/test_agent.py. */
#include "agent/tunnel/link.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/base/allocator.h"

static uv_loop_t loop;
static struct link_set *set;
static struct link_lane *lane;
static struct url relay;
static struct sockaddr_in address; /* of `listener` */
static uv_tcp_t listener;
static uv_timer_t limit;

static unsigned n_closed;
static char reason[256];

static void on_open(void *user)
{
    (void)user;
    fail(); /* nobody here can answer an upgrade */
}

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    (void)len;
    fail();
    return -1;
}

static int on_message_end(void *user)
{
    (void)user;
    fail();
    return -1;
}

static void on_turn(void *user)
{
    (void)user;
    fail();
}

static void on_closed(void *user, const struct link_end *end)
{
    assert_ptr_equal(user, &loop);
    assert_false(end->was_open);
    assert_int_equal(end->failure, LINK_UNREACHED); /* a kernel at most has heard of it */
    n_closed++;
    (void)snprintf(reason, sizeof(reason), "%s", end->reason);
    uv_stop(&loop);
}

static const struct link_callbacks link_callbacks = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_message_end = on_message_end,
    .on_turn = on_turn,
    .on_closed = on_closed,
};

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    uv_stop(&loop);
}

static void on_connection(uv_stream_t *server, int status)
{
    (void)server; /* stays in the backlog, silent */
    (void)status;
}

static void bind_listener(void)
{
    int len = sizeof(address);
    assert_int_equal(uv_tcp_init(&loop, &listener), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len), 0);
}

static void listen_now(void)
{
    assert_int_equal(uv_listen((uv_stream_t *)&listener, 16, on_connection), 0);
}

static int set_up(void **state)
{
    struct error_text e;
    (void)state;
    n_closed = 0;
    reason[0] = '\0';
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &limit), 0);
    bind_listener();
    assert_int_equal(link_set_new(&loop, &set, &e), 0);
    assert_int_equal(url_parse_relay("wss://relay.example", &relay, NULL), 0);
    const struct trust_settings trust = {.relay = &relay};
    assert_int_equal(link_lane_open(set, &trust, &lane, &e), 0);
    return 0;
}

/* As the agent ends: links first, then the context, then the loop. */
static int tear_down(void **state)
{
    (void)state;
    link_lane_close(lane);
    while (link_set_n_links(set) > 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&listener, NULL);
    uv_close((uv_handle_t *)&limit, NULL);
    link_set_stop(set);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    link_set_free(set);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static int open_link(struct link **l, struct error_text *e)
{
    const struct link_target target = {
        .relay = &relay,
        .address = (const struct sockaddr *)&address,
        .serial = "TNX-0001",
        .token = "token",
    };
    return link_open(lane, &target, &link_callbacks, &loop, l, e);
}

/* Until on_closed, or for `ms`. */
static void run_for(uint64_t ms)
{
    assert_int_equal(uv_timer_start(&limit, on_limit, ms, 0), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_timer_stop(&limit);
}

static void test_link_refused_is_an_error_or_an_end_but_not_both(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) { /* libwebsockets loses a handle each time */
        struct link *l = NULL;
        struct error_text e = {""};
        unsigned before = n_closed;
        int rc = open_link(&l, &e);
        assert_int_equal(n_closed, before); /* never from inside */
        if (rc != 0) {
            assert_int_equal(rc, ERROR_CLOSED);
            assert_string_equal(e.text, "cannot connect to relay.example");
        } else {
            run_for(5000);
            assert_int_equal(n_closed, before + 1);
            assert_non_null(strstr(reason, "relay.example"));
        }
    }
}

static void test_link_abort_right_after_open(void **state)
{
    struct link *l = NULL;
    struct error_text e;
    (void)state;
    listen_now();
    assert_int_equal(open_link(&l, &e), 0);
    link_abort(l);
    run_for(50);
    assert_int_equal(n_closed, 0);
    assert_int_equal(link_set_n_links(set), 0);
}

static void test_link_abort_in_the_tls_handshake(void **state)
{
    struct link *l = NULL;
    struct error_text e;
    (void)state;
    listen_now();
    assert_int_equal(open_link(&l, &e), 0);
    while (!link_reached(l)) { /* connected, and waiting for the server's hello */
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    link_abort(l);
    run_for(50);
    assert_int_equal(n_closed, 0);
    assert_int_equal(link_set_n_links(set), 0);
}

static void test_link_of_a_lane_that_is_used_again(void **state)
{
    struct link *l = NULL;
    struct error_text e;
    const struct trust_settings trust = {.relay = &relay};
    (void)state;
    listen_now();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_link(&l, &e), 0);
        link_abort(l);
        link_lane_close(lane);
        struct link_lane *again = NULL;
        assert_int_equal(link_lane_open(set, &trust, &again, &e), 0);
        assert_ptr_equal(again, lane);
    }
    run_for(50);
    assert_int_equal(n_closed, 0);
}

static void test_link_serial_and_token_at_their_limits(void **state)
{
    char serial[LINK_SERIAL_BYTES];
    char token[SECRET_BYTES];
    struct link *l = NULL;
    struct error_text e;
    (void)state;
    listen_now();
    memset(serial, 's', sizeof(serial));
    memset(token, 't', sizeof(token));
    serial[sizeof(serial) - 1] = '\0';
    token[sizeof(token) - 1] = '\0';
    const struct link_target target = {
        .relay = &relay,
        .address = (const struct sockaddr *)&address,
        .serial = serial,
        .token = token,
    };
    assert_int_equal(link_open(lane, &target, &link_callbacks, &loop, &l, &e), 0);
    link_abort(l);
}

static void test_link_set_ends_without_links(void **state)
{
    (void)state;
}

/* In a process of its own, for that is what ends: its exit code. */
static int start_without(size_t nth)
{
    pid_t child = fork();
    if (child == 0) {
        struct error_text e = {""};
        uv_loop_t own;
        struct link_set *made = NULL;
        if (uv_loop_init(&own) != 0) {
            _exit(3);
        }
        allocator_refuse_after(nth);
        int rc = link_set_new(&own, &made, &e);
        _exit(rc == 0 ? (allocator_reset() ? 5 : 0) : 2);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_link_set_without_memory_is_an_error_or_the_end_of_the_program(void **state)
{
    (void)state;
    size_t n_ended = 0;
    int code;

    assert_int_equal(start_without(0), 2);
    for (size_t n = 1; (code = start_without(n)) != 0; n++) {
        assert_int_equal(code, 1);
        n_ended++;
    }
    assert_true(n_ended > 1); /* the context, and what is in it */
}

/* libwebsockets 4.1.6 does not look whether it got what a vhost is made of. */
static void test_link_of_a_lane_that_was_made_when_memory_ended(void **state)
{
    static struct link_lane *lanes[256];
    const struct trust_settings trust = {.relay = &relay};
    size_t n = 0;
    (void)state;
    for (bool refused = true; refused; n++) {
        struct error_text e = {""};
        assert_true(n < sizeof(lanes) / sizeof(lanes[0]));
        allocator_refuse_after(n);
        int rc = link_lane_open(set, &trust, &lanes[n], &e);
        refused = allocator_reset();
        assert_true(rc == 0 ? lanes[n] != NULL : refused && e.text[0] != '\0');
        if (rc == 0) {
            const struct link_target target = {
                .relay = &relay,
                .address = (const struct sockaddr *)&address,
                .serial = "TNX-0001",
                .token = "token",
            };
            struct link *l = NULL;
            if (link_open(lanes[n], &target, &link_callbacks, &loop, &l, &e) == 0) {
                link_abort(l);
            }
        }
    }
    assert_true(n > 5); /* ours, and those of the vhost */
    while (n-- > 0) {
        if (lanes[n] != NULL) {
            link_lane_close(lanes[n]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_link_refused_is_an_error_or_an_end_but_not_both,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_abort_right_after_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_abort_in_the_tls_handshake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_of_a_lane_that_is_used_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_serial_and_token_at_their_limits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_link_set_ends_without_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_link_of_a_lane_that_was_made_when_memory_ended, set_up,
                                        tear_down),
        cmocka_unit_test(test_link_set_without_memory_is_an_error_or_the_end_of_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
