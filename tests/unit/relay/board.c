/* SPDX-License-Identifier: Apache-2.0 */
/* What the board hands to the store, and what it recalls from it. */
#include "tests/unit/store/scratch.h"

#include "proto/base/clock.h"
#include "relay/tunnel/board.h"
#include "tests/unit/store/gate.h"

/* When a test gives up. */
#define GIVE_UP_MS 20000

static const struct mux_peer AGENT = {.software = "agent/1"};
static const struct mux_peer GIVING = {.software = "agent/2",
                                       .capabilities = HEAD_CAPABILITY_DEVICES | 4};

struct fixture {
    struct scratch scratch;
    struct store *store;
    struct board *board;
};

static void on_last(void *user, const char *serial, const struct history_row *row)
{
    board_recall(user, serial, row);
}

static void start(struct fixture *f)
{
    f->board = board_new();
    assert_non_null(f->board);
    const struct store_events events = {.on_last = on_last, .user = f->board};
    assert_int_equal(store_open(f->scratch.path, &events, &f->store, &f->scratch.e), 0);
    board_set_store(f->board, f->store);
}

/* What waits is still written. */
static void stop(struct fixture *f)
{
    store_close(f->store);
    board_free(f->board);
}

static void init(struct fixture *f)
{
    scratch_open(&f->scratch);
    scratch_add_server(&f->scratch, "TNX-1");
    start(f);
}

static void end(struct fixture *f)
{
    stop(f);
    scratch_close(&f->scratch);
}

static int64_t count(struct fixture *f, const char *condition)
{
    char sql[256];
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM history WHERE %s", condition);
    return scratch_number(f->scratch.path, sql);
}

static json_t *describe(struct fixture *f)
{
    return board_describe(f->board, span_of("TNX-1"));
}

static void comings_and_goings_outlive_the_process(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    board_tunnel_up(f.board, 1, "TNX-1", 1, "192.0.2.7:4711", &AGENT);
    board_probe(f.board, 1, 1, true, 100, 50, "");
    board_probe(f.board, 1, 1, true, 100, 50, "");
    board_probe(f.board, 1, 1, false, 0, 50, "deadline");
    board_tunnel_down(f.board, 1, 1, "timeout");
    stop(&f);
    assert_int_equal(count(&f, "leg = 0 AND up = 1"), 1);
    assert_int_equal(count(&f, "leg = 1 AND up = 1"), 1);
    assert_int_equal(count(&f, "leg = 1 AND up = 0 AND reason = 'deadline'"), 1);
    assert_int_equal(count(&f, "leg = 0 AND up = 0 AND reason = 'timeout'"), 1);
    start(&f);
    json_t *tunnel = describe(&f);
    assert_true(json_is_false(json_object_get(tunnel, "tunnel_up")));
    assert_string_equal(json_string_value(json_object_get(tunnel, "tunnel_reason")), "timeout");
    assert_int_equal(json_integer_value(json_object_get(tunnel, "tunnel_since")),
                     scratch_number(f.scratch.path, "SELECT max(at) / 1000 FROM history"));
    json_decref(tunnel);
    end(&f);
}

static void what_was_up_is_down_after_a_kill(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    board_tunnel_up(f.board, 1, "TNX-1", 1, "192.0.2.7:4711", &AGENT);
    stop(&f);
    start(&f);
    json_t *tunnel = describe(&f);
    assert_string_equal(json_string_value(json_object_get(tunnel, "tunnel_reason")),
                        "relay_restart");
    json_decref(tunnel);
    board_tunnel_up(f.board, 1, "TNX-1", 1, "192.0.2.7:4712", &AGENT);
    tunnel = describe(&f);
    assert_true(json_is_true(json_object_get(tunnel, "tunnel_up")));
    assert_int_equal(json_integer_value(json_object_get(tunnel, "connections")), 1);
    json_decref(tunnel);
    end(&f);
}

static void an_agent_that_comes_and_goes_for_ever_writes_little(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    for (uint64_t i = 1; i <= 5000; i++) {
        board_tunnel_up(f.board, 1, "TNX-1", i, "192.0.2.7:4711", &AGENT);
        board_tunnel_down(f.board, 1, i, "closed");
    }
    stop(&f);
    /* The machine may be slow: a few more for some seconds. */
    assert_in_range(count(&f, "1"), BOARD_NOTES_BURST, BOARD_NOTES_BURST + 20);
    scratch_close(&f.scratch);
}

/* The bucket and the queue have room again after some time, which only they know. */
static void probe_until(struct fixture *f, uint64_t tunnel, const char *condition)
{
    uint64_t give_up_ms = clock_now_ms() + GIVE_UP_MS;
    do {
        assert_true(clock_now_ms() < give_up_ms);
        board_probe(f->board, 1, tunnel, true, 100, 50, "");
    } while (count(f, condition) == 0);
}

static void an_agent_that_stays_after_all_is_noted_with_a_probe(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    for (uint64_t i = 1; i <= 100; i++) {
        board_tunnel_up(f.board, 1, "TNX-1", i, "192.0.2.7:4711", &AGENT);
        board_tunnel_down(f.board, 1, i, "closed");
    }
    board_tunnel_up(f.board, 1, "TNX-1", 101, "192.0.2.7:4711", &AGENT);
    /* Each is there or counted, and the last one is there. */
    probe_until(&f, 101,
                "up = 1 AND id = (SELECT max(id) FROM history WHERE leg = 0)"
                " AND (SELECT sum(leg = 0) + sum(n_left_out) FROM history) >= 201");
    int64_t n = count(&f, "leg = 0");
    probe_until(&f, 101, "leg = 1 AND up = 1");
    /* Once. */
    board_probe(f.board, 1, 101, true, 100, 50, "");
    stop(&f);
    assert_int_equal(count(&f, "leg = 0"), n);
    assert_int_equal(count(&f, "leg = 1"), 1);
    scratch_close(&f.scratch);
}

static void what_the_store_does_not_take_is_counted_and_said_later(void **state)
{
    const struct history_row row = {.at_ms = 1, .leg = HISTORY_RELAY, .up = true};
    struct gate gate = {false, false};
    struct fixture f;
    (void)state;
    init(&f);
    gate_close(&gate, f.store);
    while (store_note(f.store, &row) == 0) {
    }
    board_tunnel_up(f.board, 1, "TNX-1", 1, "192.0.2.7:4711", &AGENT);
    board_tunnel_down(f.board, 1, 1, "closed");
    board_tunnel_up(f.board, 1, "TNX-1", 2, "192.0.2.7:4711", &AGENT);
    gate_open(&gate);
    probe_until(&f, 2, "leg = 0");
    stop(&f);
    assert_int_equal(count(&f, "leg = 0"), 1);
    assert_int_equal(count(&f, "up = 1 AND n_left_out IN (2, 3)"), 1);
    scratch_close(&f.scratch);
}

static void only_an_agent_that_says_so_is_asked_for_devices(void **state)
{
    struct board *board = board_new();
    (void)state;
    assert_false(board_gives_devices(board, 1));
    board_tunnel_up(board, 1, "TNX-1", 1, "192.0.2.7:4711", &AGENT);
    assert_false(board_gives_devices(board, 1));
    board_tunnel_up(board, 1, "TNX-1", 2, "192.0.2.7:4711", &GIVING);
    assert_true(board_gives_devices(board, 1));
    board_tunnel_down(board, 1, 2, "closed");
    assert_false(board_gives_devices(board, 1));
    board_free(board);
}

static void without_a_store_nothing_is_kept(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    board_set_store(f.board, NULL);
    board_tunnel_up(f.board, 1, "TNX-1", 1, "192.0.2.7:4711", &AGENT);
    board_probe(f.board, 1, 1, true, 100, 50, "");
    assert_true(board_is_online(f.board, span_of("TNX-1")));
    board_tunnel_down(f.board, 1, 1, "closed");
    assert_false(board_is_online(f.board, span_of("TNX-1")));
    stop(&f);
    assert_int_equal(count(&f, "1"), 0);
    scratch_close(&f.scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comings_and_goings_outlive_the_process),
        cmocka_unit_test(what_was_up_is_down_after_a_kill),
        cmocka_unit_test(an_agent_that_comes_and_goes_for_ever_writes_little),
        cmocka_unit_test(an_agent_that_stays_after_all_is_noted_with_a_probe),
        cmocka_unit_test(what_the_store_does_not_take_is_counted_and_said_later),
        cmocka_unit_test(only_an_agent_that_says_so_is_asked_for_devices),
        cmocka_unit_test(without_a_store_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
