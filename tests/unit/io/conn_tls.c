/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/conn.h: handshakes, whole and broken, and records that are not what they should
 * be. */
#include "proto/io/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>
#include <openssl/err.h>

#include "proto/base/error.h"
#include "tests/unit/base/allocator.h"
#include "tests/unit/io/ends.h"

#define QUIET_TURNS 50

static void connect_tls(struct ends *e)
{
    ends_connect(e, true);
}

static void say_hello(struct ends *e)
{
    (void)SSL_do_handshake(e->ssl);
    far_flush(e);
}

static void expect_end_without_open(struct ends *e, enum conn_end end)
{
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->end, end);
    assert_int_equal(e->n_open + e->n_reads, 0);
    conn_close(&e->conn);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 1);
}

/* ---- handshakes ---- */

static void test_conn_handshake_byte_by_byte(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        struct ends *e = i == 0 ? *state : ends_new();
        connect_tls(e);
        assert_int_equal(SSL_set_max_proto_version(e->ssl, versions[i]), 1);
        e->send_bytes = 1;
        ends_shake_hands(e);
        assert_int_equal(SSL_version(e->ssl), versions[i]);
        far_send(e, ends_pattern(0, 100), 100);
        ends_until_got(e, 100);
        assert_int_equal(ends_write(e, 100), 0);
        ends_until_far_got(e, 100);
        assert_int_equal(e->n_open, 1);
    }
}

static void test_conn_write_before_the_handshake_is_refused(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    assert_int_equal(conn_write(&e->conn, "x", 1), ERROR_CLOSED);
    assert_true(conn_is_open(&e->conn));
    ends_shake_hands(e);
    assert_int_equal(ends_write(e, 1), 0);
    ends_until_far_got(e, 1);
}

/* The client's last flight and what it sends behind it, in one piece. */
static void finish_handshake_with(struct ends *e, const void *bytes, size_t len)
{
    char hello[4096];
    say_hello(e);
    e->deaf = true;
    ssize_t n = 0;
    while ((n = recv(e->fd, hello, sizeof(hello), MSG_DONTWAIT)) <= 0) {
        ends_turn(e);
    }
    ends_turns(e, QUIET_TURNS);
    do {
        assert_int_equal(BIO_write(e->in, hello, (int)n), n);
        n = recv(e->fd, hello, sizeof(hello), MSG_DONTWAIT);
    } while (n > 0);
    assert_int_equal(SSL_do_handshake(e->ssl), 1);
    far_hold(e, bytes, len);
    far_flush(e);
    e->deaf = false;
}

static void test_conn_reads_what_comes_with_the_end_of_the_handshake(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    finish_handshake_with(e, ends_pattern(0, 1000), 1000);
    ends_until_got(e, 1000);
    ends_assert_got(e, 1000);
    assert_int_equal(e->n_open, 1);
}

static void greet(struct ends *e)
{
    assert_int_equal(ends_write(e, 5), 0);
}

static void test_conn_may_write_when_the_handshake_is_told_and_loses_nothing(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    e->do_on_open = greet;
    finish_handshake_with(e, ends_pattern(0, 1000), 1000);
    ends_until_far_got(e, 5);
    ends_until_got(e, 1000);
    ends_assert_got(e, 1000);
}

static struct ends *other;

static void write_to_other(struct ends *e)
{
    (void)e;
    assert_int_equal(ends_write(other, 5), 0);
}

static void test_conn_may_write_to_another_when_the_handshake_is_told(void **state)
{
    struct ends *e = *state;
    other = ends_new();
    connect_tls(other);
    ends_shake_hands(other);
    connect_tls(e);
    e->do_on_open = write_to_other;
    finish_handshake_with(e, ends_pattern(0, 1000), 1000);
    ends_until_got(e, 1000);
    ends_until_far_got(other, 5);
    ends_assert_got(e, 1000);
}

static void close_it(struct ends *e)
{
    conn_close(&e->conn);
}

static void finish(struct ends *e)
{
    conn_finish(&e->conn);
}

static void test_conn_may_be_ended_when_the_handshake_is_told(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    e->do_on_open = close_it;
    finish_handshake_with(e, "x", 1);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_reads + e->n_ends, 0);

    e = ends_new();
    connect_tls(e);
    e->do_on_open = finish;
    finish_handshake_with(e, "x", 1);
    ends_until_far(e, &e->saw_fin);
    far_close(e);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_reads + e->n_ends, 0);
}

static void test_conn_finish_in_the_handshake_closes_at_once(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    say_hello(e);
    finish(e);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_open + e->n_ends, 0);
}

static void test_conn_end_in_the_handshake_is_abrupt(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    say_hello(e);
    far_fin(e);
    expect_end_without_open(e, CONN_END_ABRUPT);
    e = ends_new();
    connect_tls(e);
    far_reset(e);
    expect_end_without_open(e, CONN_END_ABRUPT);
}

/* ---- what is not TLS ---- */

static void expect_refused(const void *bytes, size_t len)
{
    struct ends *e = ends_new();
    connect_tls(e);
    far_send_raw(e, bytes, len);
    expect_end_without_open(e, CONN_END_TLS);
}

#define EXPECT_REFUSED(text) expect_refused(text, sizeof(text) - 1)

static void test_conn_garbage_instead_of_a_handshake_is_told(void **state)
{
    (void)state;
    EXPECT_REFUSED("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_REFUSED("\x80\x2e\x01\x03\x01 as SSL 2 did it, a long time ago: no hello at all");
    EXPECT_REFUSED("\x17\x03\x03\x00\x05hello");
    EXPECT_REFUSED("\x15\x03\x01\x00\x02\x02\x28");
    EXPECT_REFUSED("\x16\x03\x01\x00\x04\xff\x00\x00\x00");
    EXPECT_REFUSED("\x16\x03\x01\xff\xff far more than a record may have");
}

static void test_conn_old_client_is_told_by_an_alert(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    SSL_set_security_level(e->ssl, 0);
    assert_int_equal(SSL_set_max_proto_version(e->ssl, TLS1_1_VERSION), 1);
    say_hello(e);
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->end, CONN_END_TLS);
    ends_until_far(e, &e->saw_tls_error);
}

/* An error left in the thread's queue would be taken for one of the next connection: its clean end
 * for a cut one. */
static void test_conn_refused_handshake_of_a_client_that_is_gone_harms_no_other(void **state)
{
    struct ends *victim = *state;
    connect_tls(victim);
    ends_shake_hands(victim);
    for (int i = 0; i < 3; i++) {
        struct ends *e = ends_new();
        connect_tls(e);
        far_send_raw(e, "\x16\x03\x01\x00\x04\xff\x00\x00\x00", 9);
        far_reset(e); /* what was sent is still read, the alert cannot leave */
        expect_end_without_open(e, CONN_END_ABRUPT);
        assert_int_equal(ERR_peek_error(), 0);
    }
    far_end(victim);
    ends_until(victim, &victim->n_ends, 1);
    assert_int_equal(victim->end, CONN_END_CLEAN);
}

static void test_conn_fin_without_close_notify_is_abrupt(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    ends_shake_hands(e);
    far_send(e, "last", 4);
    far_fin(e);
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->end, CONN_END_ABRUPT);
    assert_int_equal(e->got.len, 4);
}

static void test_conn_garbage_behind_a_record_is_told_after_the_record(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    ends_shake_hands(e);
    far_hold(e, "good", 4);
    assert_int_equal(BIO_write(e->out, "\x17\x03\x03\x00\x20 this is no record of ours at all", 37),
                     37);
    far_flush(e);
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->end, CONN_END_TLS);
    assert_int_equal(e->got.len, 4);
    ends_until_far(e, &e->saw_tls_error);
    assert_int_equal(conn_write(&e->conn, "x", 1), ERROR_CLOSED);
}

static void test_conn_small_records_and_large_ones_are_read_alike(void **state)
{
    struct ends *e = *state;
    size_t len = 0;
    connect_tls(e);
    ends_shake_hands(e);
    for (size_t n = 1; len + n < ENDS_BIG_BYTES; n = n * 2 % 16385 + 1) {
        far_hold(e, ends_pattern(len, n), n);
        len += n;
    }
    far_flush(e);
    ends_until_got(e, len);
    ends_assert_got(e, len);
}

static void test_conn_follows_a_key_update(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    ends_shake_hands(e);
    assert_int_equal(SSL_key_update(e->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    far_send(e, "new key", 7);
    ends_until_got(e, 7);
    assert_int_equal(ends_write(e, 100), 0);
    ends_until_far_got(e, 100);
    ends_assert_far_got(e, 100);
}

static void test_conn_handshake_without_memory_ends(void **state)
{
    struct ends *e = *state;
    connect_tls(e);
    allocator_refuse_after(1); /* the first is the far end's */
    say_hello(e);
    ends_until(e, &e->n_ends, 1);
    assert_true(allocator_reset());
    assert_int_equal(e->n_open, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ends_set_up_loop, ends_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conn_handshake_byte_by_byte),
        CASE(test_conn_write_before_the_handshake_is_refused),
        CASE(test_conn_reads_what_comes_with_the_end_of_the_handshake),
        CASE(test_conn_may_write_when_the_handshake_is_told_and_loses_nothing),
        CASE(test_conn_may_write_to_another_when_the_handshake_is_told),
        CASE(test_conn_may_be_ended_when_the_handshake_is_told),
        CASE(test_conn_finish_in_the_handshake_closes_at_once),
        CASE(test_conn_end_in_the_handshake_is_abrupt),
        CASE(test_conn_garbage_instead_of_a_handshake_is_told),
        CASE(test_conn_old_client_is_told_by_an_alert),
        CASE(test_conn_refused_handshake_of_a_client_that_is_gone_harms_no_other),
        CASE(test_conn_fin_without_close_notify_is_abrupt),
        CASE(test_conn_garbage_behind_a_record_is_told_after_the_record),
        CASE(test_conn_small_records_and_large_ones_are_read_alike),
        CASE(test_conn_follows_a_key_update),
        CASE(test_conn_handshake_without_memory_ends),
    };
    return cmocka_run_group_tests(tests, ends_group_set_up, ends_group_tear_down);
}
