/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/conn.h: the ways in which a connection ends, with TLS and without: the peer's,
 * clean and abrupt, and ours, conn_close and conn_abort. The gentle one: conn_finish.c. */
#include "proto/io/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "tests/unit/io/ends.h"

#define QUIET_TURNS 50

static void close_it(struct ends *e)
{
    conn_close(&e->conn);
}

static void finish(struct ends *e)
{
    conn_finish(&e->conn);
}

static void expect_end(struct ends *e, enum conn_end end)
{
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->end, end);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_ends, 1);
    assert_int_equal(e->n_closed, 0);
}

/* The far end gets all of it, and then learns that this was all. */
static void expect_whole(struct ends *e, size_t len)
{
    e->deaf = false;
    ends_until_far(e, &e->saw_fin);
    ends_assert_far_got(e, len);
    assert_int_equal(e->saw_close_notify, e->ssl != NULL);
    assert_false(e->saw_tls_error);
}

/* So much waits that on_drain is due once it has left. */
static void owe_a_drain(struct ends *e)
{
    ends_fill(e);
    assert_int_equal(ends_write(e, (size_t)2 * CONN_PENDING_LOW_BYTES), 0);
}

/* ---- the peer ends it ---- */

static void test_conn_tells_the_peers_clean_end_once_behind_its_last_bytes(void **state)
{
    struct ends *e = *state;
    far_send(e, "last", 4);
    far_end(e);
    expect_end(e, CONN_END_CLEAN);
    assert_int_equal(e->got.len, 4);
    assert_true(conn_is_open(&e->conn));
}

static void test_conn_writes_after_the_peers_clean_end(void **state)
{
    struct ends *e = *state;
    far_end(e);
    expect_end(e, CONN_END_CLEAN);
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    ends_until_far_got(e, ENDS_BIG_BYTES);
    ends_assert_far_got(e, ENDS_BIG_BYTES);
}

static void test_conn_tells_a_reset_as_abrupt_end(void **state)
{
    struct ends *e = *state;
    far_reset(e);
    expect_end(e, CONN_END_ABRUPT);
}

static void test_conn_tells_a_reset_while_bytes_wait_as_abrupt_end(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    far_reset(e);
    expect_end(e, CONN_END_ABRUPT);
}

static void test_conn_tells_what_came_before_a_reset(void **state)
{
    struct ends *e = *state;
    far_send(e, "last", 4);
    far_reset(e);
    expect_end(e, CONN_END_ABRUPT);
    assert_int_equal(e->got.len, 4);
}

static void test_conn_tells_what_came_before_a_reset_while_bytes_wait(void **state)
{
    struct ends *e = *state;
    owe_a_drain(e);
    far_send(e, "last", 4);
    far_reset(e);
    expect_end(e, CONN_END_ABRUPT);
    assert_int_equal(e->got.len, 4);
    assert_int_equal(e->n_drains, 0);
}

/* What the far end of `other` does once libuv has been told that its near end can be written: it
 * still believes so when that has its turn. */
static struct ends *other;
static bool pauses; /* `other` reads once */

static void reset_other(struct ends *e)
{
    (void)e;
    far_send(other, "last", 4);
    far_reset(other);
}

static void end_and_reset_other(struct ends *e)
{
    (void)e;
    far_send(other, "last", 4);
    far_end(other);
    far_reset(other);
}

static void pause_it(struct ends *e)
{
    conn_pause(&e->conn);
}

static void expect_reset_behind_our_back(struct ends *first, void (*do_it)(struct ends *e))
{
    other = ends_new();
    ends_connect(other, first->ssl != NULL);
    if (first->ssl != NULL) {
        ends_shake_hands(other);
    }
    owe_a_drain(other);
    other->do_on_read = pauses ? pause_it : NULL;
    first->do_on_read = do_it;
    far_send(first, "go", 2);
    other->deaf = false;
    for (int i = 0; i < 100; i++) {
        far_read(other); /* and the near end can be written */
    }
    expect_end(other, CONN_END_ABRUPT);
    assert_int_equal(other->n_drains, 0);
}

static void test_conn_whose_write_fails_tells_what_came_before(void **state)
{
    expect_reset_behind_our_back(*state, reset_other);
    assert_int_equal(other->got.len, 4);
}

static void test_conn_whose_write_fails_has_no_clean_end(void **state)
{
    expect_reset_behind_our_back(*state, end_and_reset_other);
    assert_int_equal(other->got.len, 4);
}

static void test_conn_whose_write_fails_is_told_if_it_pauses(void **state)
{
    pauses = true;
    expect_reset_behind_our_back(*state, reset_other);
    pauses = false;
}

static void test_conn_paused_learns_of_a_reset_when_it_reads_again(void **state)
{
    struct ends *e = *state;
    conn_pause(&e->conn);
    far_reset(e);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_ends, 0);
    conn_resume(&e->conn);
    expect_end(e, CONN_END_ABRUPT);
}

static void test_conn_paused_learns_of_a_reset_by_what_waits(void **state)
{
    struct ends *e = *state;
    conn_pause(&e->conn);
    owe_a_drain(e);
    far_reset(e);
    expect_end(e, CONN_END_ABRUPT);
    assert_int_equal(e->n_drains, 0);
}

/* What waits will never leave, so on_drain would be waited for in vain. */
static void test_conn_tells_a_reset_after_the_clean_end_too(void **state)
{
    struct ends *e = *state;
    far_end(e);
    expect_end(e, CONN_END_CLEAN);
    owe_a_drain(e);
    far_reset(e);
    ends_until(e, &e->n_ends, 2);
    assert_int_equal(e->end, CONN_END_ABRUPT);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_ends, 2);
    assert_int_equal(e->n_drains, 0);
}

static void test_conn_write_to_a_peer_that_is_gone_fails_or_is_told(void **state)
{
    struct ends *e = *state;
    far_reset(e);
    int err = 0;
    while (err == 0 && e->n_ends == 0) {
        err = ends_write(e, 1000);
        ends_turn(e);
    }
    assert_true(err == 0 || err == ERROR_CLOSED);
    expect_end(e, CONN_END_ABRUPT);
}

/* ---- conn_close and conn_abort ---- */

static void test_conn_close_is_idempotent_and_told_later_and_once(void **state)
{
    struct ends *e = *state;
    conn_close(&e->conn);
    conn_close(&e->conn);
    conn_abort(&e->conn);
    finish(e);
    assert_int_equal(e->n_closed, 0);
    assert_false(conn_is_open(&e->conn));
    assert_int_equal(conn_write(&e->conn, "x", 1), ERROR_CLOSED);
    ends_until(e, &e->n_closed, 1);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_closed, 1);
    expect_whole(e, 0);
}

static void test_conn_closed_calls_nobody_any_more(void **state)
{
    struct ends *e = *state;
    far_send(e, "unread", 6);
    far_end(e);
    conn_close(&e->conn);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_reads + e->n_ends + e->n_drains, 0);
    assert_int_equal(e->n_closed, 1);
}

static void test_conn_close_with_bytes_in_flight_is_told_once(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    assert_int_equal(ends_write(e, 100000), 0);
    conn_close(&e->conn);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends + e->n_drains, 0);
}

static void test_conn_abort_resets_and_looks_cut(void **state)
{
    struct ends *e = *state;
    e->deaf = true;
    assert_int_equal(ends_write(e, 100), 0);
    conn_abort(&e->conn);
    conn_abort(&e->conn);
    assert_int_equal(e->n_closed, 0);
    ends_until(e, &e->n_closed, 1);
    e->deaf = false;
    ends_until_far(e, &e->saw_reset);
    assert_false(e->saw_close_notify);
    assert_false(e->saw_fin);
}

static void test_conn_abort_cuts_what_is_pending(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    conn_abort(&e->conn);
    ends_until(e, &e->n_closed, 1);
    e->deaf = false;
    ends_until_far(e, &e->saw_reset);
    assert_true(e->far_got.len < e->n_written);
}

static void abort_it(struct ends *e)
{
    conn_abort(&e->conn);
}

static void test_conn_may_be_ended_while_it_reads(void **state)
{
    static void (*const ways[])(struct ends *) = {close_it, abort_it, finish};
    struct ends *first = *state;
    for (size_t i = 0; i < 3; i++) {
        struct ends *e = i == 0 ? first : ends_new();
        if (i > 0) {
            ends_connect(e, first->ssl != NULL);
        }
        if (e->ssl != NULL && i > 0) {
            ends_shake_hands(e);
        }
        e->do_on_read = ways[i];
        far_send(e, "x", 1);
        ends_until_got(e, 1);
        far_close(e);
        ends_until(e, &e->n_closed, 1);
        assert_int_equal(e->n_reads, 1);
        assert_int_equal(e->n_ends, 0);
    }
}

static void test_conn_may_be_ended_while_the_end_is_told(void **state)
{
    struct ends *e = *state;
    e->do_on_end = close_it;
    far_end(e);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 1);
}

static void test_conn_may_be_ended_while_its_drain_is_told(void **state)
{
    struct ends *e = *state;
    e->do_on_drain = close_it;
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_drains, 1);
}

#define CASE(name)                                                                                 \
    {#name, name, ends_set_up, ends_tear_down, NULL},                                              \
    {                                                                                              \
#name " (TLS)", name, ends_set_up_tls, ends_tear_down, NULL                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conn_tells_the_peers_clean_end_once_behind_its_last_bytes),
        CASE(test_conn_writes_after_the_peers_clean_end),
        CASE(test_conn_tells_a_reset_as_abrupt_end),
        CASE(test_conn_tells_a_reset_while_bytes_wait_as_abrupt_end),
        CASE(test_conn_tells_what_came_before_a_reset),
        CASE(test_conn_tells_what_came_before_a_reset_while_bytes_wait),
        CASE(test_conn_whose_write_fails_tells_what_came_before),
        CASE(test_conn_whose_write_fails_has_no_clean_end),
        CASE(test_conn_whose_write_fails_is_told_if_it_pauses),
        CASE(test_conn_paused_learns_of_a_reset_when_it_reads_again),
        CASE(test_conn_paused_learns_of_a_reset_by_what_waits),
        CASE(test_conn_tells_a_reset_after_the_clean_end_too),
        CASE(test_conn_write_to_a_peer_that_is_gone_fails_or_is_told),
        CASE(test_conn_close_is_idempotent_and_told_later_and_once),
        CASE(test_conn_closed_calls_nobody_any_more),
        CASE(test_conn_close_with_bytes_in_flight_is_told_once),
        CASE(test_conn_abort_resets_and_looks_cut),
        CASE(test_conn_abort_cuts_what_is_pending),
        CASE(test_conn_may_be_ended_while_it_reads),
        CASE(test_conn_may_be_ended_while_the_end_is_told),
        CASE(test_conn_may_be_ended_while_its_drain_is_told),
    };
    return cmocka_run_group_tests(tests, ends_group_set_up, ends_group_tear_down);
}
