/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the history, when all buildings return at once: what else waits for the store thread
 * comes between them. */
#include "tests/unit/store/scratch.h"

#include "relay/store/job.h"
#include "tests/unit/store/gate.h"

#define N_BUILDINGS 10
#define N_ROWS      1000
/* At most so many before it is another one's turn. */
#define ROWS_PER_TURN 100

static void push(struct job_queue *q, enum job_kind kind, int64_t number)
{
    struct job *job = job_new(kind, 0);
    assert_non_null(job);
    job->server_id = number;
    assert_int_equal(job_queue_push(q, job), 0);
}

/* Takes without waiting, and expects rows from number `first` on, and so many others. */
static void take(struct job_queue *q, size_t n_max, int64_t first, int64_t n_rows, int n_others)
{
    struct list jobs;
    list_init(&jobs);
    (void)job_queue_take(q, 0, n_max, &jobs);
    for (struct list *node = list_pop(&jobs); node != NULL; node = list_pop(&jobs)) {
        struct job *job = LIST_ITEM(node, struct job, node);
        if (job->kind == JOB_HISTORY) {
            assert_int_equal(job->server_id, first++);
            n_rows--;
        } else {
            n_others--;
        }
        job_free(job);
    }
    assert_int_equal(n_rows, 0);
    assert_int_equal(n_others, 0);
}

static void rows_are_taken_some_at_a_time_and_all_else_at_once(void **state)
{
    struct job_queue q;
    (void)state;
    assert_int_equal(job_queue_init(&q, 20), 0);
    for (int64_t i = 0; i < 10; i++) {
        push(&q, JOB_HISTORY, i);
    }
    struct job *late = job_new(JOB_HISTORY, 0);
    assert_int_equal(job_queue_push(&q, late), ERROR_LIMIT);
    push(&q, JOB_RUN, 0);
    take(&q, 0, 0, 0, 1);
    push(&q, JOB_AUDIT, 0);
    take(&q, 4, 0, 4, 1);
    take(&q, 0, 4, 0, 0);
    /* What is left still counts. */
    for (int64_t i = 10; i < 14; i++) {
        push(&q, JOB_HISTORY, i);
    }
    assert_int_equal(job_queue_push(&q, late), ERROR_LIMIT);
    job_free(late);
    /* Nobody waits at the end. */
    job_queue_stop(&q);
    take(&q, 0, 4, 10, 0);
    job_queue_close(&q);
}

struct counter {
    _Atomic bool done;
    int64_t n_rows;
};

static void count_rows(void *user, struct database *db)
{
    struct counter *c = user;
    struct error_text e;
    sqlite3_stmt *statement = NULL;
    bool row = false;
    if (database_prepare(db, "SELECT count(*) FROM history", &statement, &e) == 0 &&
        database_step(db, statement, &row, &e) == 0 && row) {
        c->n_rows = sqlite3_column_int64(statement, 0);
    }
    database_done(statement);
}

static void on_counted(void *user)
{
    struct counter *c = user;
    atomic_store(&c->done, true);
}

static void nothing_waits_for_thousands_of_rows(void **state)
{
    struct gate gate = {false, false};
    struct counter c = {.n_rows = -1};
    struct store *store = NULL;
    struct scratch s;
    char serial[16];
    (void)state;

    scratch_open(&s);
    for (int i = 1; i <= N_BUILDINGS; i++) {
        (void)snprintf(serial, sizeof(serial), "TNX-%d", i);
        scratch_add_server(&s, serial);
    }
    assert_int_equal(store_open(s.path, NULL, &store, &s.e), 0);
    gate_close(&gate, store);
    for (int i = 0; i < N_ROWS; i++) {
        const struct history_row row = {.server_id = 1 + i % N_BUILDINGS, .at_ms = 1, .up = true};
        assert_int_equal(store_note(store, &row), 0);
    }
    assert_int_equal(store_run(store, count_rows, on_counted, &c), 0);
    gate_open(&gate);
    while (!atomic_load(&c.done)) {
        (void)sched_yield();
    }
    assert_in_range(c.n_rows, 0, ROWS_PER_TURN);
    /* The end waits for all of them. */
    store_close(store);
    assert_int_equal(scratch_number(s.path, "SELECT count(*) FROM history"), N_ROWS);
    scratch_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_taken_some_at_a_time_and_all_else_at_once),
        cmocka_unit_test(nothing_waits_for_thousands_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
