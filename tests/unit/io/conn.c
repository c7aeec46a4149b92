/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/conn.h that hold with TLS and without: reading, writing and back-pressure.
 * Every case runs twice. Ways to end a connection: conn_end.c. What TLS alone has: conn_tls.c. */
#include "proto/io/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"
#include "tests/unit/io/ends.h"

/* Enough turns for anything that could still happen. */
#define QUIET_TURNS 50

/* ---- reading and writing ---- */

static void test_conn_tells_of_its_handshake_once_and_of_none_without_tls(void **state)
{
    struct ends *e = *state;
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_open, e->ssl != NULL ? 1 : 0);
    assert_true(conn_is_open(&e->conn));
    assert_int_equal(e->n_ends + e->n_reads + e->n_drains + e->n_closed, 0);
}

static void echo(struct ends *e)
{
    assert_int_equal(conn_write(&e->conn, buffer_bytes(&e->got), e->got.len), 0);
    buffer_clear(&e->got);
}

static void test_conn_echoes(void **state)
{
    struct ends *e = *state;
    e->do_on_read = echo;
    far_send(e, "hello", 5);
    ends_until_far_got(e, 5);
    far_send(e, " again", 6);
    ends_until_far_got(e, 11);
    assert_memory_equal(buffer_bytes(&e->far_got), "hello again", 11);
}

/* qemu-user, under which tests for other machines run, knows the beginning of TCP_INFO only. */
static bool kernel_tells(const struct conn *c)
{
    char info[256];
    socklen_t len = sizeof(info);
    return getsockopt(c->socket.fd, IPPROTO_TCP, TCP_INFO, info, &len) == 0 && len >= 152;
}

static void test_conn_knows_how_far_away_its_peer_is(void **state)
{
    struct ends *e = *state;
    if (!kernel_tells(&e->conn)) {
        assert_int_equal(conn_rtt_us(&e->conn), 0);
        skip();
    }
    e->do_on_read = echo;
    far_send(e, "hello", 5);
    ends_until_far_got(e, 5);
    assert_in_range(conn_rtt_us(&e->conn), 1, 1000000);
    conn_close(&e->conn);
    assert_int_equal(conn_rtt_us(&e->conn), 0);
}

static void test_conn_reads_byte_by_byte(void **state)
{
    struct ends *e = *state;
    e->send_bytes = 1;
    far_send(e, ends_pattern(0, 600), 600);
    ends_until_got(e, 600);
    ends_assert_got(e, 600);
}

static void test_conn_reads_more_than_its_buffers_hold(void **state)
{
    struct ends *e = *state;
    far_send(e, ends_pattern(0, ENDS_BIG_BYTES), ENDS_BIG_BYTES);
    ends_until_got(e, ENDS_BIG_BYTES);
    ends_assert_got(e, ENDS_BIG_BYTES);
    assert_true(e->n_reads > 1);
}

static void test_conn_writes_of_no_bytes_do_nothing(void **state)
{
    struct ends *e = *state;
    assert_int_equal(conn_write(&e->conn, "", 0), 0);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->far_got.len, 0);
    assert_int_equal(e->n_ends, 0);
}

static void test_conn_big_write_arrives_whole_and_in_order(void **state)
{
    struct ends *e = *state;
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    assert_int_equal(ends_write(e, 10), 0);
    assert_true(conn_pending(&e->conn) > 0);
    ends_until_far_got(e, ENDS_BIG_BYTES + 10);
    ends_assert_far_got(e, ENDS_BIG_BYTES + 10);
    assert_int_equal(conn_pending(&e->conn), 0);
}

static void test_conn_both_directions_at_once(void **state)
{
    struct ends *e = *state;
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    far_send(e, ends_pattern(0, ENDS_BIG_BYTES), ENDS_BIG_BYTES);
    ends_until_got(e, ENDS_BIG_BYTES);
    ends_until_far_got(e, ENDS_BIG_BYTES);
    ends_assert_got(e, ENDS_BIG_BYTES);
    ends_assert_far_got(e, ENDS_BIG_BYTES);
}

static void test_conn_others_on_the_loop_keep_their_bytes_apart(void **state)
{
    struct ends *first = *state;
    struct ends *ends[4] = {first};
    for (size_t i = 1; i < 4; i++) {
        ends[i] = ends_new();
        ends_connect(ends[i], first->ssl != NULL);
        if (first->ssl != NULL) {
            ends_shake_hands(ends[i]);
        }
    }
    for (size_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < 4; i++) {
            size_t len = 1 + round * 731 * (i + 1) % 40000;
            assert_int_equal(ends_write(ends[i], len), 0);
            far_send(ends[i], ends_pattern(ends[i]->got.len, len), len);
            ends_until_got(ends[i], ends[i]->n_written);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        ends_until_far_got(ends[i], ends[i]->n_written);
        ends_assert_got(ends[i], ends[i]->n_written);
        ends_assert_far_got(ends[i], ends[i]->n_written);
    }
}

/* ---- back-pressure ---- */

static void test_conn_keeps_what_a_slow_peer_does_not_take(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    size_t pending = conn_pending(&e->conn);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(conn_pending(&e->conn), pending);
    e->deaf = false;
    ends_until_far_got(e, e->n_written);
    ends_assert_far_got(e, e->n_written);
    assert_int_equal(conn_pending(&e->conn), 0);
}

static void test_conn_drain_is_told_once_after_much_waited(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    assert_int_equal(ends_write(e, 10 * CONN_PENDING_LOW_BYTES), 0);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_drains, 0);
    e->deaf = false;
    ends_until_far_got(e, e->n_written);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_drains, 1);
}

static void test_conn_drain_is_not_told_after_little_waited(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    assert_in_range(conn_pending(&e->conn), 1, CONN_PENDING_LOW_BYTES - 1);
    e->deaf = false;
    ends_until_far_got(e, e->n_written);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_drains, 0);
}

/* As a producer does: until something waits, and on in on_drain. */
static void produce(struct ends *e)
{
    while (e->n_written < 3 * ENDS_BIG_BYTES && conn_pending(&e->conn) < 65536) {
        assert_int_equal(ends_write(e, 20000), 0);
    }
}

static void test_conn_drain_lets_a_producer_go_on_without_memory_growing(void **state)
{
    struct ends *e = *state;
    e->do_on_drain = produce;
    produce(e);
    while (e->far_got.len < 3 * ENDS_BIG_BYTES) {
        ends_until_far_got(e, e->far_got.len + 1);
        assert_in_range(conn_pending(&e->conn), 0, 65536 + 21000);
    }
    ends_until_far_got(e, e->n_written);
    ends_assert_far_got(e, e->n_written);
    assert_true(e->n_drains > 1);
}

static void test_conn_that_too_much_waits_for_is_closed(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    int err = 0;
    while (err == 0) {
        assert_in_range(conn_pending(&e->conn), 1, CONN_PENDING_BYTES_MAX);
        err = ends_write(e, 10000);
    }
    assert_int_equal(err, ERROR_LIMIT);
    assert_false(conn_is_open(&e->conn));
    assert_int_equal(e->n_closed, 0);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 0);
}

static void test_conn_write_larger_than_may_wait_closes_it(void **state)
{
    struct ends *e = *state;
    e->deaf = true;
    assert_int_equal(ends_write(e, 3 * CONN_PENDING_BYTES_MAX), ERROR_LIMIT);
    assert_false(conn_is_open(&e->conn));
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_write_without_memory_closes_it(void **state)
{
    struct ends *e = *state;
    e->deaf = true;
    /* Without TLS memory is needed for what waits; with it, for what is encrypted. */
    allocator_refuse_after(0);
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), ERROR_NOMEM);
    assert_true(allocator_reset());
    assert_false(conn_is_open(&e->conn));
    ends_until(e, &e->n_closed, 1);
}

/* ---- pausing ---- */

static void pause_it(struct ends *e)
{
    conn_pause(&e->conn);
}

static void test_conn_paused_reads_nothing_until_resumed(void **state)
{
    struct ends *e = *state;
    e->do_on_read = pause_it;
    far_send(e, ends_pattern(0, 1000), 1000);
    ends_until_got(e, 1000);
    far_send(e, ends_pattern(1000, 9000), 9000);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->got.len, 1000);
    conn_pause(&e->conn);
    e->do_on_read = NULL;
    conn_resume(&e->conn);
    conn_resume(&e->conn);
    ends_until_got(e, 10000);
    ends_assert_got(e, 10000);
}

static void resume_it(struct ends *e)
{
    conn_pause(&e->conn);
    conn_resume(&e->conn);
}

static void test_conn_may_be_paused_and_resumed_while_it_reads(void **state)
{
    struct ends *e = *state;
    e->do_on_read = resume_it;
    far_send(e, ends_pattern(0, ENDS_BIG_BYTES), ENDS_BIG_BYTES);
    ends_until_got(e, ENDS_BIG_BYTES);
    ends_assert_got(e, ENDS_BIG_BYTES);
}

static void test_conn_paused_still_writes(void **state)
{
    struct ends *e = *state;
    conn_pause(&e->conn);
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    ends_until_far_got(e, ENDS_BIG_BYTES);
    ends_assert_far_got(e, ENDS_BIG_BYTES);
}

static void test_conn_paused_learns_of_the_end_when_resumed(void **state)
{
    struct ends *e = *state;
    conn_pause(&e->conn);
    far_send(e, "last", 4);
    far_end(e);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_ends, 0);
    conn_resume(&e->conn);
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->got.len, 4);
    assert_int_equal(e->end, CONN_END_CLEAN);
}

/* ---- taking over ---- */

static struct ends *successor;

static void on_read_by_successor(struct conn *c, const uint8_t *bytes, size_t len)
{
    assert_ptr_equal(c->user, successor);
    assert_int_equal(buffer_append(&successor->got, bytes, len), 0);
}

static void on_closed_by_successor(struct conn *c)
{
    assert_ptr_equal(c->user, successor);
    successor->n_closed++;
}

static const struct conn_callbacks successor_callbacks = {
    .on_read = on_read_by_successor,
    .on_closed = on_closed_by_successor,
};

static void take_over(struct ends *e)
{
    conn_take_over(&e->conn, &successor_callbacks, successor);
}

static void test_conn_taken_over_while_it_reads_calls_its_new_owner(void **state)
{
    struct ends *e = *state;
    successor = ends_new();
    e->do_on_read = take_over;
    far_send(e, "old", 3);
    ends_until_got(e, 3);
    far_send(e, "new", 3);
    ends_until_got(successor, 3);
    conn_close(&e->conn);
    ends_until(e, &successor->n_closed, 1);
    assert_int_equal(e->n_closed, 0);
    assert_int_equal(e->got.len, 3);
}

/* ---- opening ---- */

static void test_conn_with_a_socket_that_cannot_be_used_is_none(void **state)
{
    struct ends *e = ends_new();
    (void)state;
    /* A descriptor that is not open. */
    int fd = dup(STDERR_FILENO);
    assert_int_equal(close(fd), 0);
    assert_int_equal(conn_open(&e->conn, ends_shared(), fd, NULL, &ends_callbacks, e), ERROR_IO);
    assert_int_equal(conn_open(&e->conn, ends_shared(), fd, ends_tls(), &ends_callbacks, e),
                     ERROR_IO);
    ends_turns(e, 2);
    assert_int_equal(e->n_closed, 0);
}

#define CASE(name)                                                                                 \
    {#name, name, ends_set_up, ends_tear_down, NULL},                                              \
    {                                                                                              \
#name " (TLS)", name, ends_set_up_tls, ends_tear_down, NULL                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conn_tells_of_its_handshake_once_and_of_none_without_tls),
        CASE(test_conn_echoes),
        CASE(test_conn_knows_how_far_away_its_peer_is),
        CASE(test_conn_reads_byte_by_byte),
        CASE(test_conn_reads_more_than_its_buffers_hold),
        CASE(test_conn_writes_of_no_bytes_do_nothing),
        CASE(test_conn_big_write_arrives_whole_and_in_order),
        CASE(test_conn_both_directions_at_once),
        CASE(test_conn_others_on_the_loop_keep_their_bytes_apart),
        CASE(test_conn_keeps_what_a_slow_peer_does_not_take),
        CASE(test_conn_drain_is_told_once_after_much_waited),
        CASE(test_conn_drain_is_not_told_after_little_waited),
        CASE(test_conn_drain_lets_a_producer_go_on_without_memory_growing),
        CASE(test_conn_that_too_much_waits_for_is_closed),
        CASE(test_conn_write_larger_than_may_wait_closes_it),
        CASE(test_conn_write_without_memory_closes_it),
        CASE(test_conn_paused_reads_nothing_until_resumed),
        CASE(test_conn_may_be_paused_and_resumed_while_it_reads),
        CASE(test_conn_paused_still_writes),
        CASE(test_conn_paused_learns_of_the_end_when_resumed),
        CASE(test_conn_taken_over_while_it_reads_calls_its_new_owner),
        CASE(test_conn_with_a_socket_that_cannot_be_used_is_none),
    };
    return cmocka_run_group_tests(tests, ends_group_set_up, ends_group_tear_down);
}
