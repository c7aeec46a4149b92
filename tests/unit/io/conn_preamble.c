/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/conn.h: something in the clear before all else, with TLS behind it and without.
 * Every case runs twice. */
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
#define WORD        "PROXY of a client\r\n"
#define WORD_BYTES  (sizeof(WORD) - 1)

static int set_up(void **state, bool tls)
{
    (void)ends_set_up_loop(state);
    struct ends *e = *state;
    e->preamble_bytes = WORD_BYTES;
    ends_connect(e, tls);
    return 0;
}

static int set_up_plain(void **state)
{
    return set_up(state, false);
}

static int set_up_tls(void **state)
{
    return set_up(state, true);
}

/* What the far end sends behind the preamble: with TLS the handshake comes first. */
static void go_on(struct ends *e)
{
    if (e->ssl != NULL) {
        ends_shake_hands(e);
    }
    far_send(e, ends_pattern(0, 1000), 1000);
    ends_until_got(e, 1000);
    ends_assert_got(e, 1000);
    assert_int_equal(ends_write(e, 1000), 0);
    ends_until_far_got(e, 1000);
    ends_assert_far_got(e, 1000);
}

static void assert_preamble(const struct ends *e)
{
    assert_int_equal(e->preamble.len, WORD_BYTES);
    assert_memory_equal(buffer_bytes(&e->preamble), WORD, WORD_BYTES);
}

static void test_conn_preamble_comes_before_all_else(void **state)
{
    struct ends *e = *state;
    far_send_raw(e, WORD, WORD_BYTES);
    go_on(e);
    assert_preamble(e);
}

static void test_conn_preamble_may_come_byte_by_byte(void **state)
{
    struct ends *e = *state;
    e->send_bytes = 1;
    far_send_raw(e, WORD, WORD_BYTES);
    go_on(e);
    assert_preamble(e);
}

static void test_conn_preamble_may_come_with_what_follows_it(void **state)
{
    struct ends *e = *state;
    uint8_t bytes[4096] = WORD;
    size_t len = WORD_BYTES;
    if (e->ssl != NULL) {
        (void)SSL_do_handshake(e->ssl);
        len += (size_t)BIO_read(e->out, bytes + len, (int)(sizeof(bytes) - len));
    } else {
        memcpy(bytes + len, ends_pattern(0, 500), 500);
        len += 500;
    }
    far_send_raw(e, bytes, len);
    if (e->ssl != NULL) {
        ends_until(e, &e->n_open, 1);
        far_send(e, ends_pattern(0, 500), 500);
    }
    ends_until_got(e, 500);
    ends_assert_got(e, 500);
    assert_preamble(e);
}

static void test_conn_preamble_that_is_incomplete_is_waited_for(void **state)
{
    struct ends *e = *state;
    far_send_raw(e, WORD, WORD_BYTES - 1);
    ends_turns(e, QUIET_TURNS);
    assert_int_equal(e->preamble.len, WORD_BYTES - 1);
    assert_int_equal(e->n_open + e->n_reads + e->n_ends, 0);
    assert_true(conn_is_open(&e->conn));
    assert_int_equal(conn_write(&e->conn, "x", 1), ERROR_CLOSED);
}

static void test_conn_end_in_the_preamble_is_told(void **state)
{
    struct ends *e = *state;
    far_send_raw(e, WORD, 3);
    far_fin(e);
    ends_until(e, &e->n_ends, 1);
    assert_int_equal(e->n_open + e->n_reads, 0);
    conn_close(&e->conn);
    ends_until(e, &e->n_closed, 1);
}

static void close_it(struct ends *e)
{
    conn_close(&e->conn);
}

static void finish(struct ends *e)
{
    conn_finish(&e->conn);
}

static void abort_it(struct ends *e)
{
    conn_abort(&e->conn);
}

static void test_conn_may_be_ended_in_the_preamble(void **state)
{
    static void (*const ways[])(struct ends *) = {close_it, finish, abort_it};
    struct ends *first = *state;
    for (size_t i = 0; i < 3; i++) {
        struct ends *e = ends_new();
        e->preamble_bytes = WORD_BYTES;
        e->do_on_preamble = ways[i];
        ends_connect(e, first->ssl != NULL);
        far_send_raw(e, WORD "more", WORD_BYTES + 4);
        ends_until(e, &e->n_closed, 1);
        assert_int_equal(e->n_open + e->n_reads + e->n_ends, 0);
    }
}

static void test_conn_finish_before_the_preamble_closes_at_once(void **state)
{
    struct ends *e = *state;
    conn_finish(&e->conn);
    ends_until(e, &e->n_closed, 1);
    assert_int_equal(e->n_ends, 0);
}

#define CASE(name)                                                                                 \
    {#name, name, set_up_plain, ends_tear_down, NULL},                                             \
    {                                                                                              \
#name " (TLS)", name, set_up_tls, ends_tear_down, NULL                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conn_preamble_comes_before_all_else),
        CASE(test_conn_preamble_may_come_byte_by_byte),
        CASE(test_conn_preamble_may_come_with_what_follows_it),
        CASE(test_conn_preamble_that_is_incomplete_is_waited_for),
        CASE(test_conn_end_in_the_preamble_is_told),
        CASE(test_conn_may_be_ended_in_the_preamble),
        CASE(test_conn_finish_before_the_preamble_closes_at_once),
    };
    return cmocka_run_group_tests(tests, ends_group_set_up, ends_group_tear_down);
}
