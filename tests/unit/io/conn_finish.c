/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/conn.h: conn_finish, with TLS and without. Every case runs twice. */
#include "proto/io/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "tests/unit/io/ends.h"

#define QUIET_TURNS 50

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

static void test_conn_finish_delivers_what_is_pending_before_the_end(void **state)
{
    struct ends *e = *state;
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    assert_true(conn_pending(&e->conn) > 0);
    finish(e);
    assert_int_equal(e->n_closed, 0);
    expect_whole(e, ENDS_BIG_BYTES);
    far_close(e);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends + e->n_drains, 0);
}

static void test_conn_finish_with_nothing_pending_ends_at_once(void **state)
{
    struct ends *e = *state;
    finish(e);
    expect_whole(e, 0);
    far_close(e);
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_finish_after_the_peers_end_delivers_what_is_pending(void **state)
{
    struct ends *e = *state;
    far_end(e);
    expect_end(e, CONN_END_CLEAN);
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    finish(e);
    expect_whole(e, ENDS_BIG_BYTES);
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_finish_before_the_peers_end_delivers_what_is_pending(void **state)
{
    struct ends *e = *state;
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    finish(e);
    e->deaf = true;
    far_end(e);
    far_fin(e);
    ends_turns(e, QUIET_TURNS);
    expect_whole(e, ENDS_BIG_BYTES);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 0);
}

static void answer_and_finish(struct ends *e)
{
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    conn_finish(&e->conn);
}

/* As a client does that sends a request and its end together. */
static void test_conn_finish_when_a_request_and_the_end_come_together_delivers_all(void **state)
{
    struct ends *e = *state;
    e->do_on_read = answer_and_finish;
    e->deaf = true;
    if (e->ssl != NULL) {
        far_hold(e, "get", 3);
        (void)SSL_shutdown(e->ssl);
        far_flush(e);
    } else {
        far_send(e, "get", 3);
    }
    far_fin(e);
    ends_until_got(e, 3);
    expect_whole(e, ENDS_BIG_BYTES);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 0);
}

/* Bytes that the peer sends meanwhile must not turn the end into a reset, which would destroy what
 * the peer has not read yet. */
static void test_conn_finish_drains_what_the_peer_still_sends(void **state)
{
    struct ends *e = *state;
    assert_int_equal(ends_write(e, 100000), 0);
    finish(e);
    e->deaf = true;
    far_send(e, ends_pattern(0, 100000), 100000);
    ends_turns(e, QUIET_TURNS);
    expect_whole(e, 100000);
    far_send(e, ends_pattern(0, 1000), 1000);
    ends_turns(e, QUIET_TURNS);
    assert_false(e->saw_reset);
    assert_int_equal(e->n_reads, 0);
    far_close(e);
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_finish_resumes_a_paused_connection_to_drain_it(void **state)
{
    struct ends *e = *state;
    conn_pause(&e->conn);
    far_send(e, ends_pattern(0, 100), 100);
    finish(e);
    expect_whole(e, 0);
    far_close(e);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_reads, 0);
}

static void test_conn_finish_lingers_for_a_second_and_no_longer(void **state)
{
    struct ends *e = *state;
    finish(e);
    expect_whole(e, 0);
    ends_pass(CONN_LINGER_MS / 2);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_closed, 0);
    ends_pass(CONN_LINGER_MS);
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_finish_waits_for_a_deaf_peer_no_longer_than_its_flush_deadline(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    finish(e);
    ends_pass(CONN_FLUSH_MS - 1000);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->n_closed, 0);
    ends_pass(2000);
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_finish_of_a_connection_that_is_reset_closes_it(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    finish(e);
    far_reset(e);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 0);
}

static void test_conn_finish_is_idempotent_and_close_ends_it(void **state)
{
    struct ends *e = *state;
    ends_fill(e);
    finish(e);
    finish(e);
    conn_pause(&e->conn);
    conn_resume(&e->conn);
    assert_int_equal(conn_write(&e->conn, "x", 1), ERROR_CLOSED);
    conn_close(&e->conn);
    finish(e);
    ends_until(e, &e->n_closed, 1);
}

static void test_conn_may_be_finished_while_its_drain_is_told(void **state)
{
    struct ends *e = *state;
    e->do_on_drain = finish;
    assert_int_equal(ends_write(e, ENDS_BIG_BYTES), 0);
    ends_until(e, &e->n_drains, 1);
    expect_whole(e, ENDS_BIG_BYTES);
    far_close(e);
    ends_until(e, &e->n_closed, 1);
}

#define CASE(name)                                                                                 \
    {#name, name, ends_set_up, ends_tear_down, NULL},                                              \
    {                                                                                              \
#name " (TLS)", name, ends_set_up_tls, ends_tear_down, NULL                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conn_finish_delivers_what_is_pending_before_the_end),
        CASE(test_conn_finish_with_nothing_pending_ends_at_once),
        CASE(test_conn_finish_after_the_peers_end_delivers_what_is_pending),
        CASE(test_conn_finish_before_the_peers_end_delivers_what_is_pending),
        CASE(test_conn_finish_when_a_request_and_the_end_come_together_delivers_all),
        CASE(test_conn_finish_drains_what_the_peer_still_sends),
        CASE(test_conn_finish_resumes_a_paused_connection_to_drain_it),
        CASE(test_conn_finish_lingers_for_a_second_and_no_longer),
        CASE(test_conn_finish_waits_for_a_deaf_peer_no_longer_than_its_flush_deadline),
        CASE(test_conn_finish_of_a_connection_that_is_reset_closes_it),
        CASE(test_conn_finish_is_idempotent_and_close_ends_it),
        CASE(test_conn_may_be_finished_while_its_drain_is_told),
    };
    return cmocka_run_group_tests(tests, ends_group_set_up, ends_group_tear_down);
}
