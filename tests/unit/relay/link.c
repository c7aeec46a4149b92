/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/link.h: one loop, in the test's thread, and posters in several others. Meant to be
 * run under ThreadSanitizer too (preset tsan). */
#include "relay/link.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/base/allocator.h"

#define N_POSTERS  4
#define N_MESSAGES 20000 /* of each poster */
#define ALL        ((uint64_t)N_POSTERS * N_MESSAGES)

static uv_loop_t loop;
static struct link l;
static uint64_t n_got;
static uint64_t n_batches;
static uint64_t n_in_batch;
static uint64_t next_of[N_POSTERS]; /* the number that comes next from each poster */
static uint64_t close_at;           /* the link is closed when so many have come */
static void (*do_on_message)(const struct link_message *m);

static void on_message(void *user, const struct link_message *m)
{
    assert_ptr_equal(user, &l);
    n_got++;
    n_in_batch++;
    if (do_on_message != NULL) {
        do_on_message(m);
    }
}

static void on_batch_end(void *user)
{
    assert_ptr_equal(user, &l);
    assert_true(n_in_batch > 0);
    n_in_batch = 0;
    n_batches++;
    if (n_got >= close_at) {
        link_close(&l);
    }
}

static int set_up(void **state)
{
    (void)state;
    n_got = 0;
    n_batches = 0;
    n_in_batch = 0;
    close_at = UINT64_MAX;
    do_on_message = NULL;
    memset(next_of, 0, sizeof(next_of));
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(link_open(&l, &loop, on_message, on_batch_end, &l), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    link_close(&l);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void post(int64_t poster, uint64_t number, size_t len)
{
    struct link_message *m = link_message_new(LINK_DATA, len);
    assert_non_null(m);
    m->server = poster;
    m->number = number;
    memset(m->bytes, (int)(number & 0xff), len);
    link_post(&l, m);
}

/* Each poster's messages come in its order, with what they carry. */
static void check_order(const struct link_message *m)
{
    assert_in_range(m->server, 0, N_POSTERS - 1);
    assert_int_equal(m->number, next_of[m->server]);
    next_of[m->server]++;
    assert_int_equal(m->kind, LINK_DATA);
    assert_int_equal(m->len, m->number % 50);
    for (size_t i = 0; i < m->len; i++) {
        assert_int_equal(m->bytes[i], m->number & 0xff);
    }
}

static void *run_poster(void *arg)
{
    int64_t poster = *(const int64_t *)arg;
    for (uint64_t i = 0; i < N_MESSAGES; i++) {
        post(poster, i, i % 50);
    }
    return NULL;
}

static void start_posters(pthread_t *threads)
{
    static int64_t numbers[N_POSTERS];
    for (int64_t i = 0; i < N_POSTERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_poster, &numbers[i]), 0);
    }
}

static void join_posters(const pthread_t *threads)
{
    for (size_t i = 0; i < N_POSTERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void test_link_gives_all_messages_in_each_posters_order(void **state)
{
    (void)state;
    pthread_t threads[N_POSTERS];
    do_on_message = check_order;
    close_at = ALL;
    start_posters(threads);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    join_posters(threads);
    assert_int_equal(n_got, ALL);
    assert_in_range(n_batches, 1, ALL);
}

static void test_link_gives_what_was_posted_before_the_loop_runs_as_one_batch(void **state)
{
    (void)state;
    pthread_t threads[N_POSTERS];
    do_on_message = check_order;
    start_posters(threads);
    join_posters(threads);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(n_got, ALL);
    assert_int_equal(n_batches, 1);
}

static void test_link_without_messages_calls_nobody(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_async_send(&l.async), 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(n_got + n_batches, 0);
}

static void post_again(const struct link_message *m)
{
    if (m->number < 5) {
        post(0, m->number + 1, 0);
    }
}

static void test_link_takes_messages_that_its_own_callback_posts(void **state)
{
    (void)state;
    do_on_message = post_again;
    close_at = 6;
    post(0, 0, 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(n_got, 6);
    assert_int_equal(n_batches, 6);
}

/* The leak check of the sanitizer looks whether they were freed. */
static void test_link_closed_frees_what_still_waits_without_giving_it(void **state)
{
    (void)state;
    pthread_t threads[N_POSTERS];
    start_posters(threads);
    join_posters(threads);
    link_close(&l);
    post(0, 0, 10);
    link_close(&l);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(n_got, 0);
    assert_null(atomic_load(&l.top));
}

static void test_link_message_is_zeroed_and_has_room_for_its_bytes(void **state)
{
    (void)state;
    struct link_message *m = link_message_new(LINK_STOP, 0);
    assert_non_null(m);
    assert_int_equal(m->kind, LINK_STOP);
    assert_int_equal(m->len, 0);
    assert_false(m->end);
    assert_int_equal(m->reason | m->delivered, 0);
    assert_int_equal(m->stream | m->exchange | m->tunnel | m->number, 0);
    assert_int_equal(m->server, 0);
    link_post(&l, m);
    m = link_message_new(LINK_DATA, 1000);
    assert_non_null(m);
    assert_int_equal(m->len, 1000);
    memset(m->bytes, 'x', 1000);
    link_post(&l, m);
}

static void test_link_message_without_memory_is_null(void **state)
{
    (void)state;
    allocator_refuse_after(0);
    assert_null(link_message_new(LINK_DATA, 10));
    assert_true(allocator_reset());
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_link_gives_all_messages_in_each_posters_order),
        CASE(test_link_gives_what_was_posted_before_the_loop_runs_as_one_batch),
        CASE(test_link_without_messages_calls_nobody),
        CASE(test_link_takes_messages_that_its_own_callback_posts),
        CASE(test_link_closed_frees_what_still_waits_without_giving_it),
        CASE(test_link_message_is_zeroed_and_has_room_for_its_bytes),
        CASE(test_link_message_without_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
