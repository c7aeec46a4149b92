/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/tcp_line.h on a connection over loopback. That the kernel's questions are
 * answered, and what a line without answers does, is in tests/blackbox/test_tunnel_outage.py. */
#include "proto/io/tcp_line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif

#define IDLE_S        7
#define MESSAGE_BYTES 200
/* The kernel counts in its own ticks, of up to 10 ms. */
#define TICK_MS 10

static int near_end;
static int far_end;

static int connect_ends(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(listener, 1), 0);
    near_end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(near_end, (struct sockaddr *)&address, len), 0);
    far_end = accept(listener, NULL, NULL);
    assert_true(far_end >= 0);
    close(listener);
    return 0;
}

static int close_ends(void **state)
{
    (void)state;
    close(near_end);
    close(far_end);
    return 0;
}

static void pass(int from, int to)
{
    char byte = 'x';
    assert_int_equal(send(from, &byte, 1, 0), 1);
    assert_int_equal(recv(to, &byte, 1, 0), 1);
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int option(int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(near_end, level, name, &value, &len), 0);
    return value;
}

/* Not where an emulated system call has a part of it only (qemu-user, deploy/cross). */
static void need_whole_tcp_info(void)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(near_end, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || len < sizeof(info)) {
        skip();
    }
}

static void test_tcp_line_silence_grows_until_the_peer_is_heard(void **state)
{
    (void)state;
    need_whole_tcp_info();
    pass(far_end, near_end);
    uint32_t before_ms = tcp_line_silence_ms(near_end);
    assert_int_equal(poll(NULL, 0, 20 * TICK_MS), 0);
    uint32_t after_ms = tcp_line_silence_ms(near_end);
    assert_true(after_ms >= before_ms + 10 * TICK_MS);
    pass(far_end, near_end);
    assert_true(tcp_line_silence_ms(near_end) < after_ms);
}

/* Where something always waits to be read, the kernel takes data that acknowledges nothing new by a
 * shorter way, on which it does not count it as an acknowledgement. */
static void test_tcp_line_is_not_silent_while_data_comes_one_way(void **state)
{
    (void)state;
    need_whole_tcp_info();
    char bytes[MESSAGE_BYTES] = {0};
    for (int i = 0; i < 5; i++) {
        pass(near_end, far_end);
        pass(far_end, near_end);
    }
    assert_int_equal(send(far_end, bytes, sizeof(bytes), 0), sizeof(bytes));
    for (int i = 0; i < 14; i++) {
        int64_t sent_ms = monotonic_ms();
        assert_int_equal(send(far_end, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_int_equal(poll(NULL, 0, TICK_MS / 2), 0);
        assert_int_equal(recv(near_end, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_int_equal(poll(NULL, 0, 6 * TICK_MS), 0);
        uint32_t silence_ms = tcp_line_silence_ms(near_end);
        assert_true(silence_ms <= (uint32_t)(monotonic_ms() - sent_ms) + TICK_MS);
    }
}

static void test_tcp_line_knows_the_round_trip_of_what_was_sent(void **state)
{
    (void)state;
    need_whole_tcp_info();
    pass(near_end, far_end);
    pass(far_end, near_end);
    assert_in_range(tcp_line_rtt_us(near_end), 1, 1000000);
}

static void test_tcp_line_asks_and_repeats_as_it_was_told(void **state)
{
    (void)state;
    tcp_line_repeat(near_end);
    assert_int_equal(option(IPPROTO_TCP, TCP_USER_TIMEOUT), TCP_LINE_PATIENCE_MS);
    assert_int_equal(option(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), 1);
    int longest_ms = 0;
    socklen_t len = sizeof(longest_ms);
    if (getsockopt(near_end, IPPROTO_TCP, TCP_RTO_MAX_MS, &longest_ms, &len) == 0) {
        assert_int_equal(longest_ms, TCP_LINE_REPEAT_MS);
    } else {
        assert_int_equal(errno, ENOPROTOOPT); /* before Linux 6.15 */
    }
    assert_int_equal(option(SOL_SOCKET, SO_KEEPALIVE), 0);
    tcp_line_ask(near_end, IDLE_S);
    assert_int_equal(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(IPPROTO_TCP, TCP_KEEPIDLE), IDLE_S);
    assert_int_equal(option(IPPROTO_TCP, TCP_KEEPINTVL), TCP_LINE_ASK_S);
}

static void test_tcp_line_of_what_is_no_connection_is_not_known(void **state)
{
    (void)state;
    assert_int_equal(tcp_line_silence_ms(-1), 0);
    assert_int_equal(tcp_line_rtt_us(-1), 0);
    tcp_line_repeat(-1);
    tcp_line_ask(-1, IDLE_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tcp_line_silence_grows_until_the_peer_is_heard,
                                        connect_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_tcp_line_is_not_silent_while_data_comes_one_way,
                                        connect_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_tcp_line_knows_the_round_trip_of_what_was_sent,
                                        connect_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_tcp_line_asks_and_repeats_as_it_was_told, connect_ends,
                                        close_ends),
        cmocka_unit_test(test_tcp_line_of_what_is_no_connection_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
