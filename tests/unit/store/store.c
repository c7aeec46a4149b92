/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread: changes of other connections and processes become live, jobs are done, and a
 * disk that fails stops none of the serving. */
#include "tests/unit/store/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "proto/base/clock.h"
#include "relay/store/control.h"
#include "relay/store/store.h"
#include "tests/unit/store/broken_disk.h"

/* How soon a change must be live, and when a test gives up. */
#define LIVE_MS    500
#define GIVE_UP_MS 20000

struct fixture {
    struct scratch scratch;
    struct store *store;
    struct directory_reader *reader;
    struct credential key;
    int64_t key_id;
    int64_t server_id;
    _Atomic int n_events;
    _Atomic int64_t last_event;
};

static void on_server(void *user, int64_t server_id)
{
    struct fixture *f = user;
    atomic_store(&f->last_event, server_id);
    (void)atomic_fetch_add(&f->n_events, 1);
}

/* A store over a database with one server and one key. */
static void init(struct fixture *f)
{
    struct scratch *s = &f->scratch;
    struct server server;

    scratch_open(s);
    scratch_add_server(s, "TNX-1");
    f->key_id = scratch_add_key(s, "TNX-1", &f->key);
    assert_int_equal(servers_find(s->db, "TNX-1", SCRATCH_NOW, &server, &s->e), 0);
    f->server_id = server.id;
    atomic_init(&f->n_events, 0);
    atomic_init(&f->last_event, 0);
    const struct store_events events = {.on_server = on_server, .user = f};
    if (store_open(s->path, &events, &f->store, &s->e) != 0) {
        fail_msg("%s", s->e.text);
    }
    f->reader = directory_join(store_directory(f->store));
    assert_non_null(f->reader);
}

static void end(struct fixture *f)
{
    directory_part(f->reader);
    store_close(f->store);
    scratch_close(&f->scratch);
}

static bool key_works(struct fixture *f, const struct credential *key)
{
    const struct directory_server *server = NULL;
    bool works = directory_find_key(f->reader, span_of(key->text), SCRATCH_NOW, &server) != NULL;
    directory_leave(f->reader);
    return works;
}

/* Waits until the condition holds, and fails if it never does. */
#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        uint64_t give_up_ms = clock_now_ms() + GIVE_UP_MS;                                         \
        while (!(condition) && clock_now_ms() < give_up_ms) {                                      \
            (void)sched_yield();                                                                   \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void what_was_there_is_live_without_events(void **state)
{
    struct fixture f;
    struct store_stats stats;
    (void)state;
    init(&f);
    assert_true(key_works(&f, &f.key));
    assert_int_equal(atomic_load(&f.n_events), 0);
    store_read_stats(f.store, &stats);
    assert_true(stats.healthy);
    assert_int_equal(stats.n_failures, 0);
    end(&f);
}

static void missing_database_is_not_made(void **state)
{
    struct scratch s;
    struct store *store = NULL;
    (void)state;
    scratch_init(&s);
    assert_int_equal(store_open(s.path, NULL, &store, &s.e), ERROR_NOT_FOUND);
    assert_null(store);
    scratch_close(&s);
}

/* The machine may be busy: the best of a few tries must be in time. */
static void another_connections_changes_are_live_in_time(void **state)
{
    uint64_t best_new_ms = GIVE_UP_MS;
    uint64_t best_revoked_ms = GIVE_UP_MS;
    struct fixture f;
    (void)state;
    init(&f);
    for (int i = 0; i < 5 && (best_new_ms > LIVE_MS || best_revoked_ms > LIVE_MS); i++) {
        struct credential key;
        int64_t id = scratch_add_key(&f.scratch, "TNX-1", &key);
        uint64_t start_ms = clock_now_ms();
        WAIT_FOR(key_works(&f, &key));
        uint64_t took_ms = clock_now_ms() - start_ms;
        best_new_ms = took_ms < best_new_ms ? took_ms : best_new_ms;
        assert_int_equal(keys_revoke(f.scratch.db, id, NULL, &ALICE, &f.scratch.e), 0);
        start_ms = clock_now_ms();
        WAIT_FOR(!key_works(&f, &key));
        took_ms = clock_now_ms() - start_ms;
        best_revoked_ms = took_ms < best_revoked_ms ? took_ms : best_revoked_ms;
        assert_false(directory_key_usable(f.reader, id, SCRATCH_NOW));
        directory_leave(f.reader);
    }
    assert_in_range(best_new_ms, 0, LIVE_MS);
    assert_in_range(best_revoked_ms, 0, LIVE_MS);
    assert_true(key_works(&f, &f.key));
    end(&f);
}

static void servers_changes_are_told(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    struct scratch *s = &f.scratch;
    assert_int_equal(servers_set_enabled(s->db, "TNX-1", false, &ALICE, &s->e), 0);
    WAIT_FOR(atomic_load(&f.n_events) == 1);
    assert_int_equal(atomic_load(&f.last_event), f.server_id);
    assert_false(key_works(&f, &f.key));
    assert_false(directory_find_server(f.reader, f.server_id)->enabled);
    directory_leave(f.reader);
    assert_int_equal(servers_remove(s->db, "TNX-1", &ALICE, &s->e), 0);
    WAIT_FOR(atomic_load(&f.n_events) == 2);
    assert_null(directory_find_server(f.reader, f.server_id));
    assert_int_equal(directory_count(store_directory(f.store)).n_keys, 0);
    /* One that came and went between two looks is nothing to tell. */
    scratch_sql(s->path, "BEGIN; INSERT INTO servers (serial, token_hash, created_at)"
                         " VALUES ('TNX-2', randomblob(32), 1); DELETE FROM servers; COMMIT");
    scratch_add_server(s, "TNX-3");
    WAIT_FOR(directory_count(store_directory(f.store)).n_servers == 1);
    WAIT_FOR(atomic_load(&f.n_events) == 3);
    end(&f);
}

static void more_changes_than_are_kept_are_read_all(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    scratch_sql(f.scratch.path,
                "BEGIN; UPDATE keys SET revoked_at = 1;"
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
                " INSERT INTO keys (server_id, hash, created_at, created_by)"
                " SELECT 1, randomblob(32), 1, 'test' FROM n; COMMIT");
    assert_true(scratch_number(f.scratch.path, "SELECT count(*) FROM changes") < 40000);
    WAIT_FOR(!key_works(&f, &f.key));
    WAIT_FOR(directory_count(store_directory(f.store)).n_keys == 40000);
    end(&f);
}

static void used_keys_are_written_back(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    assert_true(key_works(&f, &f.key));
    directory_part(f.reader);
    store_close(f.store);
    assert_int_equal(scratch_number(f.scratch.path, "SELECT last_used_at FROM keys"), SCRATCH_NOW);
    scratch_close(&f.scratch);
}

static void audit_rows_are_written_before_the_end(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    int64_t n = scratch_number(f.scratch.path, "SELECT count(*) FROM audit");
    for (int i = 0; i < 100; i++) {
        store_audit(f.store, "relay", "test", "a row");
    }
    directory_part(f.reader);
    store_close(f.store);
    assert_int_equal(scratch_number(f.scratch.path, "SELECT count(*) FROM audit"), n + 100);
    scratch_close(&f.scratch);
}

static void full_or_broken_disk_stops_no_serving(void **state)
{
    static const int RESULTS[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
    struct store_stats stats;
    struct fixture f;
    (void)state;
    init(&f);
    struct scratch *s = &f.scratch;
    for (size_t i = 0; i < sizeof(RESULTS) / sizeof(RESULTS[0]); i++) {
        const struct key_settings settings = {.label = NULL};
        struct key_made made;

        broken_disk_set(RESULTS[i]);
        store_audit(f.store, "relay", "lost", "logged instead");
        WAIT_FOR((store_read_stats(f.store, &stats), !stats.healthy));
        assert_true(stats.n_failures > 0);
        assert_true(key_works(&f, &f.key));
        /* Administration says so, loudly. */
        assert_int_equal(keys_enable(s->db, "TNX-1", &settings, &ALICE, &made, &s->e), ERROR_IO);
        assert_contains(s->e.text, RESULTS[i] == SQLITE_FULL ? "disk is full" : "I/O error");
        broken_disk_set(SQLITE_OK);
        store_audit(f.store, "relay", "kept", "");
        WAIT_FOR((store_read_stats(f.store, &stats), stats.healthy));
        struct credential key;
        (void)scratch_add_key(s, "TNX-1", &key);
        WAIT_FOR(key_works(&f, &key));
    }
    assert_int_equal(database_check(s->db, &s->e), 0);
    assert_int_equal(scratch_number(s->path, "SELECT count(*) FROM audit WHERE what = 'lost'"), 0);
    end(&f);
}

static void backup_to_a_full_disk_leaves_no_file(void **state)
{
    struct scratch s;
    char copy[128];
    struct stat st;
    (void)state;
    scratch_open(&s);
    (void)snprintf(copy, sizeof(copy), "%s/copy.db", s.folder);
    broken_disk_set(SQLITE_FULL);
    assert_int_equal(database_back_up(s.db, copy, &s.e), ERROR_IO);
    broken_disk_set(SQLITE_OK);
    assert_int_not_equal(stat(copy, &st), 0);
    assert_int_equal(database_back_up(s.db, copy, &s.e), 0);
    scratch_close(&s);
}

static void unusable_scope_disables_its_key_only(void **state)
{
    struct credential other;
    struct fixture f;
    (void)state;
    init(&f);
    (void)scratch_add_key(&f.scratch, "TNX-1", &other);
    scratch_sql(f.scratch.path, "UPDATE keys SET scope = '{\"from_the_future\":1}' WHERE id = 1");
    WAIT_FOR(key_works(&f, &other) && !key_works(&f, &f.key));
    scratch_sql(f.scratch.path, "UPDATE keys SET scope = '' WHERE id = 1");
    WAIT_FOR(key_works(&f, &f.key));
    end(&f);
}

struct reply {
    _Atomic bool done;
    uint16_t status;
    char body[512];
};

static void on_reply(void *user, uint16_t status, struct span body)
{
    struct reply *r = user;
    r->status = status;
    assert_int_equal(span_copy(body, r->body, sizeof(r->body)), 0);
    atomic_store(&r->done, true);
}

static void control_call_is_answered_when_its_effect_is_live(void **state)
{
    struct reply r = {.status = 99};
    struct credential made;
    struct fixture f;
    (void)state;
    init(&f);
    assert_int_equal(store_set_public_url(f.store, "https://relay.example"), 0);
    assert_int_equal(store_control(f.store, f.server_id, CONTROL_KEY_ENABLE,
                                   span_of("{\"label\":\"door\"}"), on_reply, &r),
                     0);
    WAIT_FOR(atomic_load(&r.done));
    assert_int_equal(r.status, CONTROL_DONE);
    const char *key = strstr(r.body, "\"key\":\"");
    assert_non_null(key);
    memcpy(made.text, key + 7, CREDENTIAL_CHARS);
    made.text[CREDENTIAL_CHARS] = '\0';
    assert_true(key_works(&f, &made));
    assert_contains(r.body, "\"url\":\"https://relay.example/");
    end(&f);
}

static void too_long_calls_are_refused(void **state)
{
    static char body[20000];
    struct reply r = {.status = 99};
    struct fixture f;
    (void)state;
    init(&f);
    assert_int_equal(store_control(f.store, f.server_id, CONTROL_KEY_LIST,
                                   (struct span){body, sizeof(body)}, on_reply, &r),
                     ERROR_LIMIT);
    end(&f);
    assert_false(atomic_load(&r.done));
}

/* Another process: this program again, as `store revoke PATH ID` or `store enable PATH`. */

static int be_revoker(const char *path, const char *id)
{
    struct database *db = NULL;
    struct error_text e;
    const struct audit_actor by = {"operator:other", SCRATCH_NOW};
    int64_t key = 0;
    int rc = keys_parse_id(id, &key, &e);

    if (rc == 0) {
        rc = database_open(path, false, &db, &e);
    }
    if (rc == 0) {
        rc = keys_revoke(db, key, NULL, &by, &e);
    }
    database_close(db);
    return rc == 0 ? 0 : 1;
}

/* Prints keys without end. */
static int be_enabler(const char *path)
{
    struct database *db = NULL;
    struct error_text e;
    const struct key_settings settings = {.label = NULL};
    const struct audit_actor by = {"operator:other", SCRATCH_NOW};
    struct key_made made;

    if (database_open(path, false, &db, &e) != 0) {
        return 1;
    }
    while (keys_enable(db, "TNX-1", &settings, &by, &made, &e) == 0) {
        if (printf("%s\n", made.key.text) < 0 || fflush(stdout) != 0) {
            return 1;
        }
    }
    return 1;
}

static pid_t start_other(const char *role, const char *path, const char *id, int out)
{
    char name[] = "store";
    char *argv[] = {name, strdup(role), strdup(path), id == NULL ? NULL : strdup(id), NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;

    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    if (out >= 0) {
        assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out, 1), 0);
    }
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
    for (size_t i = 1; i < 4; i++) {
        free(argv[i]);
    }
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    return status;
}

static void another_process_changes_are_live(void **state)
{
    char id[KEYS_ID_BYTES];
    struct fixture f;
    (void)state;
    init(&f);
    assert_true(key_works(&f, &f.key));
    keys_format_id(f.key_id, id);
    assert_int_equal(wait_for(start_other("revoke", f.scratch.path, id, -1)), 0);
    WAIT_FOR(!key_works(&f, &f.key));
    end(&f);
}

#define N_KILLED 200

/* Reads whole lines until there are N_KILLED, then kills the writer and reads what is left. */
static size_t read_then_kill(FILE *in, pid_t pid, struct credential *keys, size_t cap)
{
    char line[CREDENTIAL_BYTES + 1];
    size_t n = 0;

    while (n < cap && fgets(line, sizeof(line), in) != NULL) {
        /* A line that the kill has cut was never told to anybody. */
        if (strlen(line) != CREDENTIAL_CHARS + 1) {
            break;
        }
        memcpy(keys[n].text, line, CREDENTIAL_CHARS);
        keys[n++].text[CREDENTIAL_CHARS] = '\0';
        if (n == N_KILLED) {
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
    }
    return n;
}

static void killed_process_loses_no_key_it_has_printed(void **state)
{
    static struct credential keys[4 * N_KILLED];
    struct fixture f;
    int ends[2];
    (void)state;

    init(&f);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = start_other("enable", f.scratch.path, NULL, ends[1]);
    assert_int_equal(close(ends[1]), 0);
    FILE *in = fdopen(ends[0], "r");
    assert_non_null(in);
    size_t n = read_then_kill(in, pid, keys, sizeof(keys) / sizeof(keys[0]));
    assert_int_equal(fclose(in), 0);
    assert_true(WIFSIGNALED(wait_for(pid)));
    assert_true(n >= N_KILLED);
    for (size_t i = 0; i < n; i++) {
        WAIT_FOR(key_works(&f, &keys[i]));
    }
    assert_int_equal(database_check(f.scratch.db, &f.scratch.e), 0);
    /* Each with its audit row. */
    assert_int_equal(
        scratch_number(f.scratch.path, "SELECT count(*) FROM keys"),
        scratch_number(f.scratch.path, "SELECT count(*) FROM audit WHERE what = 'key.enable'"));
    end(&f);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "revoke") == 0) {
        return be_revoker(argv[2], argv[3]);
    }
    if (argc == 3 && strcmp(argv[1], "enable") == 0) {
        return be_enabler(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_there_is_live_without_events),
        cmocka_unit_test(missing_database_is_not_made),
        cmocka_unit_test(another_connections_changes_are_live_in_time),
        cmocka_unit_test(servers_changes_are_told),
        cmocka_unit_test(more_changes_than_are_kept_are_read_all),
        cmocka_unit_test(used_keys_are_written_back),
        cmocka_unit_test(audit_rows_are_written_before_the_end),
        cmocka_unit_test(full_or_broken_disk_stops_no_serving),
        cmocka_unit_test(backup_to_a_full_disk_leaves_no_file),
        cmocka_unit_test(unusable_scope_disables_its_key_only),
        cmocka_unit_test(control_call_is_answered_when_its_effect_is_live),
        cmocka_unit_test(too_long_calls_are_refused),
        cmocka_unit_test(another_process_changes_are_live),
        cmocka_unit_test(killed_process_loses_no_key_it_has_printed),
    };
    broken_disk_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
