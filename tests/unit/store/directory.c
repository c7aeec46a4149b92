/* SPDX-License-Identifier: Apache-2.0 */
/* The directory: what it finds, what survives a change, and readers beside the writer. */
#include "tests/unit/store/scratch.h"

#include "tests/unit/base/allocator.h"
#include "tests/unit/store/entries.h"

struct fixture {
    struct directory *d;
    struct directory_reader *r;
};

static void init(struct fixture *f)
{
    f->d = directory_new();
    assert_non_null(f->d);
    f->r = directory_join(f->d);
    assert_non_null(f->r);
}

static void end(struct fixture *f)
{
    directory_part(f->r);
    directory_free(f->d);
}

/* The id of the key that is found, 0 = none. */
static int64_t find(struct fixture *f, const char *key, int64_t now_s)
{
    const struct directory_server *server = NULL;
    const struct directory_key *found = directory_find_key(f->r, span_of(key), now_s, &server);
    if (found != NULL) {
        assert_non_null(server);
        assert_int_equal(server->id, found->server_id);
    }
    return found == NULL ? 0 : found->id;
}

static void key_is_found_with_its_server(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    assert_int_equal(find(&f, "one", 1000), 1);
    assert_true(directory_key_usable(f.r, 1, 1000));
    assert_int_equal(directory_count(f.d).n_keys, 1);
    assert_int_equal(directory_count(f.d).n_servers, 1);
    end(&f);
}

static void everything_else_is_not_found(void **state)
{
    char long_key[200];
    struct fixture f;
    (void)state;
    init(&f);
    memset(long_key, 'a', sizeof(long_key));
    long_key[64] = '\0';
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_server(f.d, 8, "TNX-8", false);
    entries_put_key(f.d, 1, 7, "expired", 1000, "");
    entries_put_key(f.d, 2, 8, "of a disabled server", 0, "");
    entries_put_key(f.d, 3, 9, "of no server", 0, "");
    entries_put_key(f.d, 4, 7, long_key, 0, "");
    assert_int_equal(find(&f, "expired", 999), 1);
    assert_int_equal(find(&f, "expired", 1000), 0);
    assert_int_equal(find(&f, "of a disabled server", 999), 0);
    assert_int_equal(find(&f, "of no server", 999), 0);
    assert_int_equal(find(&f, "unknown", 999), 0);
    assert_int_equal(find(&f, "", 999), 0);
    assert_int_equal(find(&f, NULL, 999), 0);
    assert_int_equal(find(&f, long_key, 999), 4);
    long_key[64] = 'a';
    long_key[65] = '\0';
    assert_int_equal(find(&f, long_key, 999), 0);
    long_key[65] = 'a';
    long_key[199] = '\0';
    assert_int_equal(find(&f, long_key, 999), 0);
    assert_false(directory_key_usable(f.r, 1, 1000));
    assert_false(directory_key_usable(f.r, 2, 999));
    assert_false(directory_key_usable(f.r, 3, 999));
    assert_false(directory_key_usable(f.r, 99, 999));
    end(&f);
}

static void enabled_servers_are_counted(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_server(f.d, 8, "TNX-8", false);
    assert_int_equal(directory_count(f.d).n_servers, 2);
    assert_int_equal(directory_count(f.d).n_enabled, 1);
    entries_put_server(f.d, 8, "TNX-8", true);
    assert_int_equal(directory_count(f.d).n_enabled, 2);
    entries_put_server(f.d, 7, "TNX-7", false);
    assert_int_equal(directory_count(f.d).n_enabled, 1);
    assert_true(directory_remove_server(f.d, 7));
    assert_int_equal(directory_count(f.d).n_enabled, 1);
    assert_true(directory_remove_server(f.d, 8));
    assert_int_equal(directory_count(f.d).n_enabled, 0);
    end(&f);
}

static void agent_needs_serial_and_token(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_server(f.d, 8, "TNX-8", false);
    const struct directory_server *server =
        directory_find_agent(f.r, span_of("TNX-7"), span_of("token"));
    assert_non_null(server);
    assert_int_equal(server->id, 7);
    assert_null(directory_find_agent(f.r, span_of("TNX-7"), span_of("Token")));
    assert_null(directory_find_agent(f.r, span_of("TNX-7"), span_of("")));
    assert_null(directory_find_agent(f.r, span_of("tnx-7"), span_of("token")));
    server = directory_find_agent(f.r, span_of("TNX-8"), span_of("token"));
    assert_non_null(server);
    assert_false(server->enabled);
    assert_null(directory_find_agent(f.r, span_of("TNX-8"), span_of("Token")));
    assert_null(directory_find_agent(f.r, span_of("TNX-9"), span_of("token")));
    assert_null(directory_find_agent(f.r, span_of(""), span_of("token")));
    assert_non_null(directory_find_server(f.r, 8));
    assert_null(directory_find_server(f.r, 9));
    end(&f);
}

static void changes_keep_buckets_and_removals_end_them(void **state)
{
    const struct bucket_rate rate = {1, 1};
    const struct directory_server *server = NULL;
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    const struct directory_key *key = directory_find_key(f.r, span_of("one"), 5, &server);
    assert_true(bucket_take(&key->live->requests, rate, 1000, NULL));
    assert_true(bucket_take(&server->live->commands, rate, 1000, NULL));
    entries_put_key(f.d, 1, 7, "one", 2000, "{\"read_only\":true}");
    assert_true(entries_put_server(f.d, 7, "TNX-7", false));
    assert_true(entries_put_server(f.d, 7, "TNX-7", true));
    key = directory_find_key(f.r, span_of("one"), 5, &server);
    assert_non_null(key->scope);
    assert_int_equal(key->not_after_s, 2000);
    assert_false(bucket_take(&key->live->requests, rate, 1000, NULL));
    assert_false(bucket_take(&server->live->commands, rate, 1000, NULL));
    assert_true(directory_remove_key(f.d, 1));
    assert_false(directory_remove_key(f.d, 1));
    assert_int_equal(find(&f, "one", 5), 0);
    /* What was found before is still there: this reader has not left. */
    directory_reclaim(f.d);
    assert_int_equal(key->id, 1);
    directory_leave(f.r);
    directory_reclaim(f.d);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    key = directory_find_key(f.r, span_of("one"), 5, &server);
    assert_true(bucket_take(&key->live->requests, rate, 1000, NULL));
    end(&f);
}

/* What was found last is kept at hand, but for the same key only, and not beyond the turn. */
static void key_that_was_found_is_looked_up_anew_in_the_next_turn(void **state)
{
    const struct directory_server *server = NULL;
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_server(f.d, 8, "TNX-8", true);
    entries_put_key(f.d, 1, 7, "one", 2000, "");
    entries_put_key(f.d, 2, 8, "two", 0, "");
    const struct directory_key *key = directory_find_key(f.r, span_of("one"), 5, &server);
    assert_ptr_equal(directory_find_key_id(f.r, 1, 5, &server), key);
    assert_int_equal(server->id, 7);
    assert_null(directory_find_key_id(f.r, 1, 2000, &server));
    assert_int_equal(directory_find_key_id(f.r, 2, 5, &server)->id, 2);
    assert_int_equal(server->id, 8);
    directory_leave(f.r);
    assert_true(entries_put_server(f.d, 7, "TNX-7", false));
    assert_null(directory_find_key_id(f.r, 1, 5, &server));
    assert_int_equal(find(&f, "two", 5), 2);
    directory_leave(f.r);
    assert_true(directory_remove_key(f.d, 2));
    directory_reclaim(f.d);
    assert_null(directory_find_key_id(f.r, 2, 5, &server));
    end(&f);
}

static void equal_version_is_no_change(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    assert_true(entries_put_server(f.d, 7, "TNX-7", true));
    assert_false(entries_put_server(f.d, 7, "TNX-7", true));
    assert_true(entries_put_server(f.d, 7, "TNX-7", false));
    entries_put_key(f.d, 1, 7, "one", 0, "{\"read_only\":true}");
    entries_put_key(f.d, 1, 7, "one", 0, "{\"read_only\":true}");
    assert_int_equal(directory_count(f.d).n_keys, 1);
    end(&f);
}

static void key_may_get_another_secret(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_key(f.d, 1, 7, "old", 0, "");
    entries_put_key(f.d, 1, 7, "new", 0, "");
    assert_int_equal(find(&f, "old", 5), 0);
    assert_int_equal(find(&f, "new", 5), 1);
    end(&f);
}

/* A key is found by the first 8 bytes of its hash; the others count just as much. */
static void key_with_the_beginning_of_anothers_hash_is_not_found(void **state)
{
    const struct directory_key key = {.id = 1, .server_id = 7, .enabled = true};
    uint8_t hash[DIRECTORY_HASH_BYTES];
    struct error_text e;
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_hash("one", hash);
    for (size_t i = 8; i < sizeof(hash); i++) {
        hash[i] ^= 1;
        assert_int_equal(directory_put_key(f.d, &key, hash, span_of(""), &e), 0);
        assert_int_equal(find(&f, "one", 5), 0);
        hash[i] ^= 1;
    }
    memset(hash + 8, 0, sizeof(hash) - 8);
    assert_int_equal(directory_put_key(f.d, &key, hash, span_of(""), &e), 0);
    assert_int_equal(find(&f, "one", 5), 0);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    assert_int_equal(find(&f, "one", 5), 1);
    end(&f);
}

static void serial_may_pass_to_another_server(void **state)
{
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX", true);
    entries_put_server(f.d, 8, "TNX", true);
    assert_true(directory_remove_server(f.d, 7));
    const struct directory_server *server =
        directory_find_agent(f.r, span_of("TNX"), span_of("token"));
    assert_non_null(server);
    assert_int_equal(server->id, 8);
    end(&f);
}

static void bad_scope_changes_nothing(void **state)
{
    const struct directory_key key = {.id = 1, .server_id = 7, .enabled = true};
    uint8_t hash[DIRECTORY_HASH_BYTES];
    struct error_text e;
    struct fixture f;
    (void)state;
    init(&f);
    entries_hash("one", hash);
    assert_int_equal(directory_put_key(f.d, &key, hash, span_of("{"), &e), ERROR_SYNTAX);
    assert_int_equal(directory_count(f.d).n_keys, 0);
    end(&f);
}

struct visited {
    size_t n;
    int64_t ids[8];
    int64_t times[8];
};

static void on_used(void *user, int64_t key_id, int64_t used_s)
{
    struct visited *v = user;
    assert_in_range(v->n, 0, 7);
    v->ids[v->n] = key_id;
    v->times[v->n++] = used_s;
}

static void used_keys_are_visited_once_with_their_last_time(void **state)
{
    struct visited v = {.n = 0};
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    entries_put_key(f.d, 2, 7, "two", 0, "");
    entries_put_key(f.d, 3, 7, "three", 0, "");
    assert_false(directory_has_used(f.d));
    (void)find(&f, "one", 100);
    (void)find(&f, "one", 101);
    (void)find(&f, "two", 102);
    (void)find(&f, "unknown", 103);
    assert_true(directory_has_used(f.d));
    assert_true(directory_visit_used(f.d, 1, on_used, &v));
    assert_false(directory_visit_used(f.d, 8, on_used, &v));
    assert_int_equal(v.n, 2);
    for (size_t i = 0; i < v.n; i++) {
        assert_int_equal(v.times[i], v.ids[i] == 1 ? 101 : 102);
    }
    (void)find(&f, "one", 200);
    assert_false(directory_visit_used(f.d, 8, on_used, &v));
    assert_int_equal(v.n, 3);
    assert_int_equal(v.times[2], 200);
    end(&f);
}

static void used_key_that_was_removed_is_not_visited(void **state)
{
    struct visited v = {.n = 0};
    struct fixture f;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    (void)find(&f, "one", 100);
    (void)directory_remove_key(f.d, 1);
    directory_leave(f.r);
    directory_reclaim(f.d);
    assert_false(directory_visit_used(f.d, 8, on_used, &v));
    assert_int_equal(v.n, 0);
    /* Removed and never visited: freed with the directory. */
    entries_put_key(f.d, 2, 7, "two", 0, "");
    (void)find(&f, "two", 100);
    (void)directory_remove_key(f.d, 2);
    end(&f);
}

static void on_swept(void *user, int64_t id)
{
    int64_t *sum = user;
    *sum += id;
}

static void sweep_removes_what_was_not_put_again(void **state)
{
    struct fixture f;
    int64_t sum = 0;
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_server(f.d, 8, "TNX-8", true);
    entries_put_key(f.d, 1, 7, "one", 0, "");
    entries_put_key(f.d, 2, 7, "two", 0, "");
    directory_begin_sweep(f.d);
    entries_put_server(f.d, 7, "TNX-7", true);
    entries_put_key(f.d, 2, 7, "two", 0, "");
    entries_put_key(f.d, 3, 7, "three", 0, "");
    directory_sweep_servers(f.d, on_swept, &sum);
    directory_sweep_keys(f.d);
    assert_int_equal(sum, 8);
    assert_int_equal(find(&f, "one", 5), 0);
    assert_int_equal(find(&f, "two", 5), 2);
    assert_int_equal(find(&f, "three", 5), 3);
    end(&f);
}

static void grows_and_shrinks_without_losing_anything(void **state)
{
    struct fixture f;
    char text[32];
    (void)state;
    init(&f);
    entries_put_server(f.d, 7, "TNX-7", true);
    for (int64_t id = 1; id <= 3000; id++) {
        (void)snprintf(text, sizeof(text), "key %d", (int)id);
        entries_put_key(f.d, id, 7, text, 0, "");
        if (id > 500) {
            assert_true(directory_remove_key(f.d, id - 500));
        }
        directory_leave(f.r);
        directory_reclaim(f.d);
    }
    assert_int_equal(directory_count(f.d).n_keys, 500);
    for (int64_t id = 1; id <= 3000; id++) {
        (void)snprintf(text, sizeof(text), "key %d", (int)id);
        assert_int_equal(find(&f, text, 5), id > 2500 ? id : 0);
    }
    end(&f);
}

/* Tries each allocation in turn as the one that fails. */
static void failing_allocations_leave_it_whole(void **state)
{
    const struct directory_key key = {.id = 2, .server_id = 7, .enabled = true};
    const struct directory_server server = {.id = 8, .serial = "TNX-8", .enabled = true};
    uint8_t hash[DIRECTORY_HASH_BYTES];
    struct fixture f;
    bool refused = true;
    (void)state;

    entries_hash("two", hash);
    for (size_t n = 0; refused; n++) {
        struct error_text e;
        bool changed = false;
        init(&f);
        entries_put_server(f.d, 7, "TNX-7", true);
        entries_put_key(f.d, 1, 7, "one", 0, "");
        allocator_refuse_after(n);
        int rc = directory_reserve(f.d, 100, 100);
        int rc_server = rc == 0 ? directory_put_server(f.d, &server, &changed) : rc;
        int rc_key = rc_server == 0
                         ? directory_put_key(f.d, &key, hash, span_of("{\"guids\":[\"a\"]}"), &e)
                         : rc_server;
        refused = allocator_reset();
        /* jansson says "syntax" where it has no memory for a text. */
        assert_true(rc_key == 0 || rc_key == ERROR_NOMEM || rc_key == ERROR_SYNTAX);
        assert_true(refused || rc_key == 0);
        assert_int_equal(find(&f, "one", 5), 1);
        assert_int_equal(find(&f, "two", 5), rc_key == 0 ? 2 : 0);
        assert_true((directory_find_server(f.r, 8) != NULL) == (rc_server == 0));
        end(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_is_found_with_its_server),
        cmocka_unit_test(everything_else_is_not_found),
        cmocka_unit_test(enabled_servers_are_counted),
        cmocka_unit_test(agent_needs_serial_and_token),
        cmocka_unit_test(changes_keep_buckets_and_removals_end_them),
        cmocka_unit_test(key_that_was_found_is_looked_up_anew_in_the_next_turn),
        cmocka_unit_test(equal_version_is_no_change),
        cmocka_unit_test(key_may_get_another_secret),
        cmocka_unit_test(key_with_the_beginning_of_anothers_hash_is_not_found),
        cmocka_unit_test(serial_may_pass_to_another_server),
        cmocka_unit_test(bad_scope_changes_nothing),
        cmocka_unit_test(used_keys_are_visited_once_with_their_last_time),
        cmocka_unit_test(used_key_that_was_removed_is_not_visited),
        cmocka_unit_test(sweep_removes_what_was_not_put_again),
        cmocka_unit_test(grows_and_shrinks_without_losing_anything),
        cmocka_unit_test(failing_allocations_leave_it_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
