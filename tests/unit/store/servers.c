/* SPDX-License-Identifier: Apache-2.0 */
/* Servers in the database, and the trail that acts on them leave. */
#include "tests/unit/store/scratch.h"

#include "relay/store/value.h"

struct found {
    size_t n;
    char serials[8][DIRECTORY_SERIAL_BYTES];
    struct audit_row last;
};

static void on_server(void *user, const struct server *server)
{
    struct found *f = user;
    assert_in_range(f->n, 0, 7);
    memcpy(f->serials[f->n++], server->serial, DIRECTORY_SERIAL_BYTES);
}

static void on_row(void *user, const struct audit_row *row)
{
    struct found *f = user;
    if (f->n++ == 0) {
        f->last = *row;
    }
}

/* The newest audit row. */
static struct audit_row last_row(struct scratch *s)
{
    const struct audit_filter all = {.n_max = 0};
    struct found f = {.n = 0};
    assert_int_equal(audit_list(s->db, &all, on_row, &f, &s->e), 0);
    assert_true(f.n > 0);
    return f.last;
}

static void serials_are_checked(void **state)
{
    char longest[DIRECTORY_SERIAL_BYTES];
    char too_long[DIRECTORY_SERIAL_BYTES + 1];
    struct error_text e;
    (void)state;

    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    memset(too_long, 'a', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(servers_check_serial("TNX-0001", &e), 0);
    assert_int_equal(servers_check_serial("a", &e), 0);
    assert_int_equal(servers_check_serial("Az09._-", &e), 0);
    assert_int_equal(servers_check_serial(longest, &e), 0);
    const char *const bad[] = {"", too_long, "a b", "a/b", "a\n", "ü", "a'b", "*", "a:b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        e.text[0] = '\0';
        assert_int_equal(servers_check_serial(bad[i], &e), ERROR_CONFIG);
        assert_contains(e.text, "serial number");
    }
}

static void added_server_is_found_with_what_it_was_given(void **state)
{
    struct scratch s;
    const struct server_settings settings = {.serial = "TNX-1",
                                             .name = "Haus Müller",
                                             .no_keys_from_building = true,
                                             .command_rate = {.per_s = 5, .burst = 7}};
    struct credential token;
    struct server server;
    int64_t id = 0;
    (void)state;

    scratch_open(&s);
    assert_int_equal(servers_add(s.db, &settings, &ALICE, &id, &token, &s.e), 0);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &server, &s.e), 0);
    assert_int_equal(server.id, id);
    assert_string_equal(server.name, "Haus Müller");
    assert_true(server.enabled);
    assert_false(server.may_enable_keys);
    assert_int_equal(server.command_rate.per_s, 5);
    assert_int_equal(server.command_rate.burst, 7);
    assert_int_equal(server.created_at_s, SCRATCH_NOW);
    assert_int_equal(server.n_keys, 0);

    struct audit_row row = last_row(&s);
    assert_string_equal(row.who, "operator:alice");
    assert_string_equal(row.what, "server.add");
    assert_string_equal(row.object, "TNX-1");
    assert_false(row.refused);
    scratch_close(&s);
}

static void token_is_kept_as_a_hash_only(void **state)
{
    struct scratch s;
    const struct server_settings settings = {.serial = "TNX-1"};
    struct credential token;
    char wal[128];
    int64_t id = 0;
    (void)state;

    scratch_open(&s);
    assert_int_equal(servers_add(s.db, &settings, &ALICE, &id, &token, &s.e), 0);
    (void)snprintf(wal, sizeof(wal), "%s-wal", s.path);
    assert_true(scratch_file_holds(wal, "TNX-1"));
    assert_false(scratch_file_holds(wal, token.text));
    assert_false(scratch_file_holds(s.path, token.text));
    scratch_close(&s);
}

static void serials_are_unique_and_their_case_matters(void **state)
{
    struct scratch s;
    const struct server_settings again = {.serial = "TNX-1"};
    struct credential token;
    struct server server;
    int64_t id = 0;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(servers_add(s.db, &again, &ALICE, &id, &token, &s.e), ERROR_EXISTS);
    assert_string_equal(s.e.text, "there is a server TNX-1 already");
    assert_true(last_row(&s).refused);
    assert_int_equal(servers_find(s.db, "tnx-1", SCRATCH_NOW, &server, &s.e), ERROR_NOT_FOUND);
    scratch_add_server(&s, "tnx-1");
    scratch_close(&s);
}

static void bad_names_are_refused(void **state)
{
    struct scratch s;
    char name[SERVERS_NAME_BYTES + 1];
    struct server_settings settings = {.serial = "TNX-1", .name = name};
    struct credential token;
    int64_t id = 0;
    (void)state;

    scratch_open(&s);
    memset(name, 'n', sizeof(name));
    name[SERVERS_NAME_BYTES] = '\0';
    assert_int_equal(servers_add(s.db, &settings, &ALICE, &id, &token, &s.e), ERROR_CONFIG);
    settings.name = "bell\a";
    assert_int_equal(servers_add(s.db, &settings, &ALICE, &id, &token, &s.e), ERROR_CONFIG);
    name[SERVERS_NAME_BYTES - 1] = '\0';
    settings.name = name;
    assert_int_equal(servers_add(s.db, &settings, &ALICE, &id, &token, &s.e), 0);
    scratch_close(&s);
}

static void listed_in_order_of_their_serials(void **state)
{
    struct scratch s;
    struct found f = {.n = 0};
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "B");
    scratch_add_server(&s, "A");
    scratch_add_server(&s, "a");
    assert_int_equal(servers_list(s.db, SCRATCH_NOW, on_server, &f, &s.e), 0);
    assert_int_equal(f.n, 3);
    assert_string_equal(f.serials[0], "A");
    assert_string_equal(f.serials[1], "B");
    assert_string_equal(f.serials[2], "a");
    scratch_close(&s);
}

static void disabling_and_enabling_can_be_repeated(void **state)
{
    struct scratch s;
    struct server server;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(servers_set_enabled(s.db, "TNX-1", false, &ALICE, &s.e), 0);
        assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &server, &s.e), 0);
        assert_false(server.enabled);
    }
    assert_int_equal(servers_set_enabled(s.db, "TNX-1", true, &ALICE, &s.e), 0);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &server, &s.e), 0);
    assert_true(server.enabled);
    assert_int_equal(servers_set_enabled(s.db, "TNX-2", true, &ALICE, &s.e), ERROR_NOT_FOUND);
    struct audit_row row = last_row(&s);
    assert_true(row.refused);
    assert_string_equal(row.object, "TNX-2");
    assert_string_equal(row.detail, "there is no server TNX-2");
    scratch_close(&s);
}

static void change_touches_only_what_is_named(void **state)
{
    struct scratch s;
    struct server server;
    const struct server_change nothing = {.name = NULL};
    const struct server_change name = {.name = "new"};
    const struct server_change keys = {.sets_building_keys = true, .may_enable_keys = false};
    const struct server_change rate = {.sets_rate = true, .command_rate = {3, 4}};
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(servers_change(s.db, "TNX-1", &nothing, &ALICE, &s.e), 0);
    assert_int_equal(servers_change(s.db, "TNX-1", &name, &ALICE, &s.e), 0);
    assert_int_equal(servers_change(s.db, "TNX-1", &rate, &ALICE, &s.e), 0);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &server, &s.e), 0);
    assert_string_equal(server.name, "new");
    assert_true(server.may_enable_keys);
    assert_int_equal(server.command_rate.per_s, 3);
    assert_int_equal(servers_change(s.db, "TNX-1", &keys, &ALICE, &s.e), 0);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &server, &s.e), 0);
    assert_string_equal(server.name, "new");
    assert_false(server.may_enable_keys);
    assert_int_equal(server.command_rate.burst, 4);
    assert_int_equal(servers_change(s.db, "no", &keys, &ALICE, &s.e), ERROR_NOT_FOUND);
    scratch_close(&s);
}

static void removing_takes_the_keys_along_and_never_reuses_an_id(void **state)
{
    struct scratch s;
    struct server before;
    struct server after;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    int64_t key = scratch_add_key(&s, "TNX-1", NULL);
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &before, &s.e), 0);
    assert_int_equal(before.n_keys, 1);
    assert_int_equal(servers_remove(s.db, "TNX-1", &ALICE, &s.e), 0);
    assert_int_equal(servers_remove(s.db, "TNX-1", &ALICE, &s.e), ERROR_NOT_FOUND);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM keys"), 0);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(servers_find(s.db, "TNX-1", SCRATCH_NOW, &after, &s.e), 0);
    assert_int_not_equal(before.id, after.id);
    assert_int_not_equal(scratch_add_key(&s, "TNX-1", NULL), key);
    scratch_close(&s);
}

static void key_given_for_a_serial_is_never_written_down(void **state)
{
    struct scratch s;
    struct credential key;
    char wal[128];
    struct server server;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    (void)scratch_add_key(&s, "TNX-1", &key);
    assert_int_equal(servers_remove(s.db, key.text, &ALICE, &s.e), ERROR_NOT_FOUND);
    assert_null(strstr(s.e.text, key.text));
    struct audit_row row = last_row(&s);
    assert_true(row.refused);
    assert_string_equal(row.object, "?");
    assert_int_equal(servers_find(s.db, key.text, SCRATCH_NOW, &server, &s.e), ERROR_NOT_FOUND);
    assert_null(strstr(s.e.text, key.text));
    (void)snprintf(wal, sizeof(wal), "%s-wal", s.path);
    assert_false(scratch_file_holds(wal, key.text));
    scratch_close(&s);
}

static void renewed_token_replaces_the_old_one(void **state)
{
    struct scratch s;
    struct credential token;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(servers_renew_token(s.db, "TNX-1", &ALICE, &token, &s.e), 0);
    sqlite3_stmt *statement = NULL;
    bool row = false;
    uint8_t hash[CREDENTIAL_HASH_BYTES];
    static const char SELECT[] = "SELECT token_hash FROM servers";
    assert_int_equal(database_prepare(s.db, SELECT, &statement, &s.e), 0);
    assert_int_equal(database_step(s.db, statement, &row, &s.e), 0);
    assert_true(value_copy_blob(statement, 0, hash, sizeof(hash)));
    database_done(statement);
    assert_memory_equal(hash, token.hash, sizeof(hash));
    assert_int_equal(servers_renew_token(s.db, "no", &ALICE, &token, &s.e), ERROR_NOT_FOUND);
    scratch_close(&s);
}

static void audit_filters_and_prunes(void **state)
{
    struct scratch s;
    const struct audit_actor bob = {"agent:TNX-1", SCRATCH_NOW + 10};
    int64_t n = 0;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    scratch_add_server(&s, "TNX-2");
    assert_int_equal(servers_remove(s.db, "TNX-2", &bob, &s.e), 0);
    assert_int_equal(servers_remove(s.db, "TNX-3", &bob, &s.e), ERROR_NOT_FOUND);
    const struct {
        struct audit_filter filter;
        size_t n;
    } cases[] = {
        {{.n_max = 0}, 4},
        {{.n_max = 3}, 3},
        {{.who = "agent:"}, 2},
        {{.who = "agen_:"}, 0},
        {{.what = "server.add"}, 2},
        {{.object = "NX-2"}, 2},
        {{.object = "%"}, 0},
        {{.refused_only = true}, 1},
        {{.since_s = SCRATCH_NOW + 1}, 2},
        {{.until_s = SCRATCH_NOW + 1}, 2},
        {{.since_s = SCRATCH_NOW + 1, .who = "operator"}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct found f = {.n = 0};
        assert_int_equal(audit_list(s.db, &cases[i].filter, on_row, &f, &s.e), 0);
        assert_int_equal(f.n, cases[i].n);
    }
    assert_int_equal(audit_prune(s.db, SCRATCH_NOW + 1, 1, &n, &s.e), 0);
    assert_int_equal(n, 1);
    assert_int_equal(audit_prune(s.db, SCRATCH_NOW + 1, 100, &n, &s.e), 0);
    assert_int_equal(n, 1);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit"), 2);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serials_are_checked),
        cmocka_unit_test(added_server_is_found_with_what_it_was_given),
        cmocka_unit_test(token_is_kept_as_a_hash_only),
        cmocka_unit_test(serials_are_unique_and_their_case_matters),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(listed_in_order_of_their_serials),
        cmocka_unit_test(disabling_and_enabling_can_be_repeated),
        cmocka_unit_test(change_touches_only_what_is_named),
        cmocka_unit_test(removing_takes_the_keys_along_and_never_reuses_an_id),
        cmocka_unit_test(key_given_for_a_serial_is_never_written_down),
        cmocka_unit_test(renewed_token_replaces_the_old_one),
        cmocka_unit_test(audit_filters_and_prunes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
