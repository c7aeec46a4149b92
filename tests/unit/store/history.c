/* SPDX-License-Identifier: Apache-2.0 */
/* The connection history: bounded in number and age, gone with its building, and there after all
 * else was migrated around it. */
#include "tests/unit/store/scratch.h"

#include "relay/store/history.h"
#include "relay/store/migrations.h"

#define ROWS_SHOWN 4
/* The database's version before it had a history. */
#define VERSION_BEFORE 2

struct seen {
    size_t n;
    struct history_row rows[ROWS_SHOWN]; /* the first of them */
    char serial[DIRECTORY_SERIAL_BYTES];
};

static void on_row(void *user, const struct history_row *row)
{
    struct seen *seen = user;
    if (seen->n < ROWS_SHOWN) {
        seen->rows[seen->n] = *row;
    }
    seen->n++;
}

static void on_last(void *user, const char *serial, const struct history_row *row)
{
    struct seen *seen = user;
    (void)span_copy(span_of(serial), seen->serial, sizeof(seen->serial));
    on_row(seen, row);
}

static void add(struct scratch *s, int64_t server, int64_t at_ms, enum history_leg leg, bool up,
                const char *reason)
{
    struct history_row row = {.server_id = server, .at_ms = at_ms, .leg = leg, .up = up};
    assert_int_equal(span_copy(span_of(reason), row.reason, sizeof(row.reason)), 0);
    assert_int_equal(history_add(s->db, &row, &s->e), 0);
}

static struct seen list(struct scratch *s, int64_t server)
{
    struct seen seen = {.n = 0};
    assert_int_equal(history_list(s->db, server, on_row, &seen, &s->e), 0);
    return seen;
}

static void rows_are_listed_by_their_time_with_the_relays_own(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    add(&s, 0, 500, HISTORY_RELAY, true, "");
    assert_int_equal(list(&s, 1).n, 0);
    add(&s, 1, 1000, HISTORY_TUNNEL, true, "");
    add(&s, 2, 1500, HISTORY_TUNNEL, true, "");
    add(&s, 0, 3000, HISTORY_RELAY, true, "");
    /* Another process was slower to write what happened before. */
    add(&s, 1, 2000, HISTORY_TUNNEL, false, "shutdown");
    struct seen seen = list(&s, 1);
    assert_int_equal(seen.n, 3);
    assert_int_equal(seen.rows[0].leg, HISTORY_RELAY);
    assert_int_equal(seen.rows[1].at_ms, 2000);
    assert_false(seen.rows[1].up);
    assert_string_equal(seen.rows[1].reason, "shutdown");
    assert_int_equal(seen.rows[2].at_ms, 1000);
    scratch_close(&s);
}

static void a_building_keeps_its_newest_rows(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    add(&s, 2, 1, HISTORY_TUNNEL, true, "");
    for (int64_t i = 1; i <= HISTORY_ROWS_MAX + 50; i++) {
        add(&s, 1, i, HISTORY_TUNNEL, i % 2 == 1, "");
        add(&s, 0, i, HISTORY_RELAY, true, "");
    }
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history WHERE server_id = 1"),
                     HISTORY_ROWS_MAX);
    assert_int_equal(scratch_number(s.path, "SELECT min(at) FROM history WHERE server_id = 1"), 51);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history WHERE server_id IS NULL"),
                     HISTORY_ROWS_MAX);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history WHERE server_id = 2"), 1);
    assert_int_equal(list(&s, 1).n, HISTORY_LIST_MAX);
    scratch_close(&s);
}

static void old_rows_go_some_at_a_time(void **state)
{
    struct scratch s;
    int64_t n = 0;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    for (int64_t i = 0; i < 10; i++) {
        add(&s, 1, (SCRATCH_NOW + i) * 1000, HISTORY_TUNNEL, true, "");
    }
    assert_int_equal(history_prune(s.db, SCRATCH_NOW + 5, 3, &n, &s.e), 0);
    assert_int_equal(n, 3);
    assert_int_equal(history_prune(s.db, SCRATCH_NOW + 5, 3, &n, &s.e), 0);
    assert_int_equal(n, 2);
    assert_int_equal(list(&s, 1).n, 5);
    scratch_close(&s);
}

static struct seen find_last(struct scratch *s)
{
    struct seen seen = {.n = 0};
    assert_int_equal(history_visit_last(s->db, on_last, &seen, &s->e), 0);
    return seen;
}

static void a_tunnel_that_stays_is_remembered_though_its_server_comes_and_goes(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    add(&s, 1, 1, HISTORY_TUNNEL, false, "timeout");
    add(&s, 1, 2, HISTORY_TUNNEL, true, "");
    for (int64_t i = 3; i <= HISTORY_ROWS_MAX + 50; i++) {
        add(&s, 1, i, HISTORY_SERVER, i % 2 == 1, "");
    }
    struct seen seen = find_last(&s);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.rows[0].at_ms, 2);
    assert_true(seen.rows[0].up);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history"), HISTORY_ROWS_MAX + 1);
    /* Until there is another one. */
    add(&s, 1, 1000, HISTORY_TUNNEL, false, "closed");
    assert_int_equal(find_last(&s).rows[0].at_ms, 1000);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history"), HISTORY_ROWS_MAX);
    scratch_close(&s);
}

static void a_tunnel_that_stays_is_remembered_for_ever(void **state)
{
    struct scratch s;
    int64_t n = 0;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    add(&s, 0, 500, HISTORY_RELAY, true, "");
    add(&s, 1, 1000, HISTORY_TUNNEL, false, "timeout");
    add(&s, 1, 2000, HISTORY_TUNNEL, true, "");
    add(&s, 1, 3000, HISTORY_SERVER, true, "");
    add(&s, 2, 4000, HISTORY_SERVER, true, "");
    assert_int_equal(history_prune(s.db, SCRATCH_NOW, 100, &n, &s.e), 0);
    assert_int_equal(n, 4);
    struct seen seen = find_last(&s);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.rows[0].at_ms, 2000);
    assert_true(seen.rows[0].up);
    assert_int_equal(history_prune(s.db, SCRATCH_NOW, 100, &n, &s.e), 0);
    assert_int_equal(n, 0);
    scratch_close(&s);
}

static void a_removed_building_takes_its_rows_along(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    add(&s, 1, 1000, HISTORY_TUNNEL, true, "");
    add(&s, 0, 1000, HISTORY_RELAY, true, "");
    assert_int_equal(servers_remove(s.db, "TNX-1", &ALICE, &s.e), 0);
    add(&s, 1, 2000, HISTORY_TUNNEL, false, "late");
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history"), 1);
    scratch_close(&s);
}

static void the_last_row_of_each_tunnel_is_found(void **state)
{
    struct scratch s;
    struct seen seen = {.n = 0};
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    scratch_add_server(&s, "TNX-3");
    add(&s, 1, 1000, HISTORY_TUNNEL, true, "");
    add(&s, 1, 2000, HISTORY_TUNNEL, false, "timeout");
    add(&s, 1, 3000, HISTORY_SERVER, false, "deadline");
    add(&s, 3, 1000, HISTORY_SERVER, true, "");
    add(&s, 0, 4000, HISTORY_RELAY, true, "");
    assert_int_equal(history_visit_last(s.db, on_last, &seen, &s.e), 0);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.serial, "TNX-1");
    assert_int_equal(seen.rows[0].server_id, 1);
    assert_string_equal(seen.rows[0].reason, "timeout");
    scratch_close(&s);
}

static void a_database_without_a_history_gets_one_and_keeps_the_rest(void **state)
{
    struct scratch s;
    char sql[64];
    (void)state;

    scratch_init(&s);
    (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", MIGRATIONS_APPLICATION_ID);
    scratch_sql(s.path, sql);
    for (size_t i = 0; i < VERSION_BEFORE; i++) {
        scratch_sql(s.path, migrations_step(i));
    }
    (void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", VERSION_BEFORE);
    scratch_sql(s.path, sql);
    scratch_sql(s.path, "INSERT INTO servers (serial, token_hash, created_at)"
                        " VALUES ('OLD', zeroblob(32), 1);"
                        "INSERT INTO keys (server_id, hash, created_at, created_by)"
                        " VALUES (1, zeroblob(32), 1, 'x');"
                        "INSERT INTO devices VALUES (1, '{\"rooms\":[]}', 1)");
    assert_int_equal(database_open(s.path, true, &s.db, &s.e), 0);
    assert_true(scratch_number(s.path, "PRAGMA user_version") > VERSION_BEFORE);
    add(&s, 1, 1000, HISTORY_TUNNEL, true, "");
    assert_int_equal(list(&s, 1).n, 1);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM keys JOIN devices USING"
                                            " (server_id)"),
                     1);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_listed_by_their_time_with_the_relays_own),
        cmocka_unit_test(a_building_keeps_its_newest_rows),
        cmocka_unit_test(old_rows_go_some_at_a_time),
        cmocka_unit_test(a_tunnel_that_stays_is_remembered_though_its_server_comes_and_goes),
        cmocka_unit_test(a_tunnel_that_stays_is_remembered_for_ever),
        cmocka_unit_test(a_removed_building_takes_its_rows_along),
        cmocka_unit_test(the_last_row_of_each_tunnel_is_found),
        cmocka_unit_test(a_database_without_a_history_gets_one_and_keeps_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
