/* SPDX-License-Identifier: Apache-2.0 */
/* The database file: made, refused, migrated, backed up. */
#include "tests/unit/store/scratch.h"

#include "relay/store/migrations.h"

static void created_file_is_private_and_of_the_newest_version(void **state)
{
    struct scratch s;
    struct stat st;
    (void)state;

    scratch_open(&s);
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(scratch_number(s.path, "PRAGMA user_version"), database_newest_version());
    assert_int_equal(scratch_number(s.path, "PRAGMA application_id"), MIGRATIONS_APPLICATION_ID);
    assert_int_equal(database_check(s.db, &s.e), 0);
    assert_false(database_is_read_only(s.db));
    scratch_close(&s);
}

static void creating_overwrites_nothing(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(database_create(s.path, &s.e), ERROR_EXISTS);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM servers"), 1);
    scratch_close(&s);
}

static void missing_file_is_not_made(void **state)
{
    struct scratch s;
    struct stat st;
    (void)state;

    scratch_init(&s);
    assert_int_equal(database_open(s.path, true, &s.db, &s.e), ERROR_NOT_FOUND);
    assert_contains(s.e.text, "init");
    assert_int_not_equal(stat(s.path, &st), 0);
    scratch_close(&s);
}

static void foreign_files_are_refused(void **state)
{
    struct scratch s;
    (void)state;

    scratch_init(&s);
    FILE *f = fopen(s.path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100; i++) {
        assert_true(fprintf(f, "this is no database, whatever its name says\n") > 0);
    }
    assert_int_equal(fclose(f), 0);
    assert_int_equal(database_open(s.path, true, &s.db, &s.e), ERROR_CONFIG);
    assert_contains(s.e.text, "not a database of thinknx-relay");

    assert_int_equal(unlink(s.path), 0);
    scratch_sql(s.path, "CREATE TABLE other (a)");
    assert_int_equal(database_open(s.path, true, &s.db, &s.e), ERROR_CONFIG);
    assert_contains(s.e.text, "not a database of thinknx-relay");
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM sqlite_schema"), 1);
    scratch_close(&s);
}

static void newer_version_is_refused_and_left_alone(void **state)
{
    struct scratch s;
    char sql[64];
    (void)state;

    scratch_open(&s);
    (void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", database_newest_version() + 1);
    scratch_sql(s.path, sql);
    database_close(s.db);
    s.db = NULL;
    assert_int_equal(database_open(s.path, true, &s.db, &s.e), ERROR_CONFIG);
    assert_contains(s.e.text, "made by a newer thinknx-relay");
    assert_int_equal(scratch_number(s.path, "PRAGMA user_version"), database_newest_version() + 1);
    scratch_close(&s);
}

static void old_versions_are_migrated(void **state)
{
    struct scratch s;
    char sql[64];
    (void)state;

    for (size_t version = 0; version < migrations_count(); version++) {
        scratch_init(&s);
        (void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", MIGRATIONS_APPLICATION_ID);
        scratch_sql(s.path, sql);
        for (size_t i = 0; i < version; i++) {
            scratch_sql(s.path, migrations_step(i));
        }
        (void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %zu", version);
        scratch_sql(s.path, sql);
        if (version > 0) {
            scratch_sql(s.path, "INSERT INTO servers (serial, token_hash, created_at)"
                                " VALUES ('OLD', zeroblob(32), 1)");
        }
        assert_int_equal(database_open(s.path, true, &s.db, &s.e), 0);
        scratch_add_server(&s, "NEW");
        assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM servers"),
                         version > 0 ? 2 : 1);
        assert_int_equal(scratch_number(s.path, "PRAGMA user_version"), database_newest_version());
        scratch_close(&s);
    }
}

static void damage_is_noticed_at_the_start(void **state)
{
    struct scratch s;
    uint8_t noise[4096];
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    for (int i = 0; i < 300; i++) {
        (void)scratch_add_key(&s, "TNX-1", NULL);
    }
    database_close(s.db);
    s.db = NULL;
    memset(noise, 0xa5, sizeof(noise));
    FILE *f = fopen(s.path, "r+");
    assert_non_null(f);
    /* Everything but the first page, which holds the tables' definitions. */
    assert_int_equal(fseek(f, 4096 * 2, SEEK_SET), 0);
    for (int page = 0; page < 8; page++) {
        assert_int_equal(fwrite(noise, 1, sizeof(noise), f), sizeof(noise));
    }
    assert_int_equal(fclose(f), 0);
    assert_int_equal(database_open(s.path, true, &s.db, &s.e), ERROR_IO);
    assert_contains(s.e.text, "damaged");
    scratch_close(&s);
}

static void rolled_back_changes_are_gone(void **state)
{
    struct scratch s;
    (void)state;

    scratch_open(&s);
    assert_int_equal(database_begin(s.db, &s.e), 0);
    struct audit_row row;
    audit_row_set(&row, 1, "a", "b", "c", "d");
    assert_int_equal(audit_add(s.db, &row, &s.e), 0);
    assert_int_equal(database_end(s.db, ERROR_STATE, &s.e), ERROR_STATE);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit"), 0);
    assert_int_equal(database_begin(s.db, &s.e), 0);
    assert_int_equal(audit_add(s.db, &row, &s.e), 0);
    assert_int_equal(database_end(s.db, 0, &s.e), 0);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM audit"), 1);
    scratch_close(&s);
}

static void version_changes_with_another_connections_writes_only(void **state)
{
    struct scratch s;
    int64_t first = 0;
    int64_t second = 0;
    (void)state;

    scratch_open(&s);
    assert_int_equal(database_read_version(s.db, &first, &s.e), 0);
    scratch_add_server(&s, "TNX-1");
    assert_int_equal(database_read_version(s.db, &second, &s.e), 0);
    assert_int_equal(first, second);
    scratch_sql(s.path, "DELETE FROM servers");
    assert_int_equal(database_read_version(s.db, &second, &s.e), 0);
    assert_int_not_equal(first, second);
    scratch_close(&s);
}

static void backup_is_one_private_complete_file(void **state)
{
    struct scratch s;
    char copy[128];
    char journal[160];
    struct stat st;
    struct database *restored = NULL;
    struct database *writer = NULL;
    (void)state;

    scratch_open(&s);
    scratch_add_server(&s, "TNX-1");
    (void)scratch_add_key(&s, "TNX-1", NULL);
    (void)snprintf(copy, sizeof(copy), "%s/copy.db", s.folder);

    /* Another process is in the middle of a change: it neither waits nor shows. */
    assert_int_equal(database_open(s.path, false, &writer, &s.e), 0);
    assert_int_equal(database_begin(writer, &s.e), 0);
    struct audit_row row;
    audit_row_set(&row, 1, "unfinished", "b", "c", "d");
    assert_int_equal(audit_add(writer, &row, &s.e), 0);
    assert_int_equal(database_back_up(s.db, copy, &s.e), 0);
    assert_int_equal(database_end(writer, 0, &s.e), 0);
    database_close(writer);

    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    (void)snprintf(journal, sizeof(journal), "%s-wal", copy);
    assert_int_not_equal(stat(journal, &st), 0);
    assert_int_equal(database_open(copy, true, &restored, &s.e), 0);
    database_close(restored);
    assert_int_equal(scratch_number(copy, "SELECT count(*) FROM keys"), 1);
    assert_int_equal(scratch_number(copy, "SELECT count(*) FROM audit WHERE who = 'unfinished'"),
                     0);

    assert_int_equal(database_back_up(s.db, copy, &s.e), ERROR_EXISTS);
    assert_int_equal(database_back_up(s.db, "/nowhere/copy.db", &s.e), ERROR_IO);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(created_file_is_private_and_of_the_newest_version),
        cmocka_unit_test(creating_overwrites_nothing),
        cmocka_unit_test(missing_file_is_not_made),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(newer_version_is_refused_and_left_alone),
        cmocka_unit_test(old_versions_are_migrated),
        cmocka_unit_test(damage_is_noticed_at_the_start),
        cmocka_unit_test(rolled_back_changes_are_gone),
        cmocka_unit_test(version_changes_with_another_connections_writes_only),
        cmocka_unit_test(backup_is_one_private_complete_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
