/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of the directory beside its writer. ThreadSanitizer and AddressSanitizer see what is
 * touched too late or freed too early. */
#include "tests/unit/store/entries.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* Readers that look all the time, while the writer adds, changes and removes. Keys 1 to N_STABLE
 * are never removed: they must be found at every moment. */
#define N_STABLE  64
#define N_READERS 3
#define N_ROUNDS  200

struct race {
    struct directory *d;
    _Atomic bool stop;
    _Atomic size_t n_misses;
    _Atomic size_t n_lookups;
};

static void *read_all_the_time(void *arg)
{
    struct race *race = arg;
    struct directory_reader *r = directory_join(race->d);
    const struct directory_server *server = NULL;
    char text[32];
    unsigned turn = 0;

    while (r != NULL && !atomic_load(&race->stop)) {
        turn++;
        (void)snprintf(text, sizeof(text), "key %u", turn % N_STABLE + 1);
        const struct directory_key *key = directory_find_key(r, span_of(text), 5, &server);
        if (key == NULL || key->id != (int64_t)(turn % N_STABLE + 1) || server->id != 7) {
            (void)atomic_fetch_add(&race->n_misses, 1);
        }
        (void)snprintf(text, sizeof(text), "key %u", turn % 500 + 1000);
        key = directory_find_key(r, span_of(text), 5, &server);
        /* Touches all that an entry leads to: a sanitizer sees what was freed too early. */
        if (key != NULL && (key->id < 1000 || key->id >= 1500 || strlen(server->serial) != 5 ||
                            (key->scope != NULL && atomic_load(&key->live->last_used_s) != 5))) {
            (void)atomic_fetch_add(&race->n_misses, 1);
        }
        if (key != NULL && key->scope != NULL) {
            const struct scope_request ask = {.controller = span_of("power")};
            if (scope_allows(key->scope, &ask)) {
                (void)atomic_fetch_add(&race->n_misses, 1);
            }
        }
        (void)directory_key_usable(r, turn % 500 + 1000, 5);
        if (turn % 3 == 0) {
            directory_leave(r);
        }
        (void)atomic_fetch_add(&race->n_lookups, 1);
    }
    directory_part(r);
    return NULL;
}

static void on_used(void *user, int64_t key_id, int64_t used_s)
{
    (void)user;
    assert_true(key_id > 0);
    assert_int_equal(used_s, 5);
}

static void write_one_round(struct directory *d, unsigned round)
{
    char text[32];

    for (unsigned i = 0; i < 20; i++) {
        unsigned id = 1000 + (round * 20 + i) % 500;
        (void)snprintf(text, sizeof(text), "key %u", id);
        if (round / 25 % 2 == 0) {
            entries_put_key(d, id, 7, text, 0, i % 2 == 0 ? "{\"read_only\":true}" : "");
        } else {
            (void)directory_remove_key(d, id);
        }
    }
    unsigned stable = round % N_STABLE + 1;
    (void)snprintf(text, sizeof(text), "key %u", stable);
    entries_put_key(d, stable, 7, text, 1000000 + round, "");
    entries_put_server(d, 8, "TNX-8", round % 2 == 0);
    (void)directory_visit_used(d, 8, on_used, NULL);
    directory_reclaim(d);
}

static void readers_and_writer_do_not_disturb_each_other(void **state)
{
    pthread_t threads[N_READERS];
    struct race race = {.d = directory_new()};
    char text[32];
    (void)state;

    assert_non_null(race.d);
    entries_put_server(race.d, 7, "TNX-7", true);
    for (unsigned i = 1; i <= N_STABLE; i++) {
        (void)snprintf(text, sizeof(text), "key %u", i);
        entries_put_key(race.d, i, 7, text, 0, "");
    }
    for (size_t i = 0; i < N_READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, &race), 0);
    }
    for (unsigned round = 0; round < N_ROUNDS; round++) {
        size_t seen = atomic_load(&race.n_lookups);
        write_one_round(race.d, round);
        /* At least one look-up between any two rounds, however the threads are scheduled. */
        while (atomic_load(&race.n_lookups) == seen) {
            (void)sched_yield();
        }
    }
    atomic_store(&race.stop, true);
    for (size_t i = 0; i < N_READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&race.n_misses), 0);
    directory_free(race.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_and_writer_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
