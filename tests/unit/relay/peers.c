/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/front/peers.h. Time is a number. */
#include "relay/front/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/base/map.h"
#include "tests/unit/base/allocator.h"

#define N_MAX       100 /* addresses in the table */
#define PER_ADDRESS 3
#define N_THREADS   4
#define N_ROUNDS    20000

static struct peers *p;

static int set_up(void **state)
{
    (void)state;
    p = peers_new(N_MAX);
    assert_non_null(p);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    peers_free(p);
    return 0;
}

static struct peer_address of(const char *text)
{
    struct sockaddr_storage address;
    memset(&address, 0xa5, sizeof(address)); /* what does not count must not */
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_scope_id = 3, .sin6_flowinfo = 9};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&address, &in, sizeof(in));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&address, &in6, sizeof(in6));
    }
    return peers_address((const struct sockaddr *)&address);
}

static bool same(const char *a, const char *b)
{
    struct peer_address x = of(a);
    struct peer_address y = of(b);
    return memcmp(&x, &y, sizeof(x)) == 0;
}

static bool joins(const char *text)
{
    struct peer_address a = of(text);
    return peers_connect(p, &a, PER_ADDRESS);
}

static void leave(const char *text)
{
    struct peer_address a = of(text);
    peers_disconnect(p, &a);
}

/* ---- addresses ---- */

static void test_peers_count_ipv4_by_address(void **state)
{
    (void)state;
    assert_true(same("192.0.2.1", "192.0.2.1"));
    assert_false(same("192.0.2.1", "192.0.2.2"));
    assert_false(same("192.0.2.1", "193.0.2.1"));
}

static void test_peers_count_ipv6_by_its_64(void **state)
{
    (void)state;
    assert_true(same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_false(same("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_false(same("2001:db8:1:2::1", "2001:db9:1:2::1"));
    assert_true(same("fe80::1", "fe80::2"));
}

static void test_peers_count_mapped_ipv4_as_ipv4(void **state)
{
    (void)state;
    assert_true(same("::ffff:192.0.2.1", "192.0.2.1"));
    assert_false(same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    assert_false(same("::192.0.2.1", "192.0.2.1"));
    assert_true(same("::192.0.2.1", "::192.0.2.2"));
    assert_false(same("64:ff9b::192.0.2.1", "192.0.2.1"));
}

/* ---- connections ---- */

static void test_peers_address_may_have_so_many_connections(void **state)
{
    (void)state;
    for (int i = 0; i < PER_ADDRESS; i++) {
        assert_true(joins("192.0.2.1"));
    }
    assert_false(joins("192.0.2.1"));
    assert_false(joins("::ffff:192.0.2.1"));
    assert_true(joins("192.0.2.2"));
    leave("192.0.2.1");
    assert_true(joins("192.0.2.1"));
    assert_false(joins("192.0.2.1"));
}

static void test_peers_subscriber_of_ipv6_counts_as_one(void **state)
{
    (void)state;
    assert_true(joins("2001:db8::1"));
    assert_true(joins("2001:db8::2"));
    assert_true(joins("2001:db8::3"));
    assert_false(joins("2001:db8::4"));
    leave("2001:db8::5");
    assert_true(joins("2001:db8::4"));
}

/* Distinct; the n-th of many. */
static struct peer_address nth(uint32_t n)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(n)};
    return peers_address((const struct sockaddr *)&in);
}

static void test_peers_table_never_holds_more_addresses_than_its_maximum(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < N_MAX; i++) {
        struct peer_address a = nth(i);
        assert_true(peers_connect(p, &a, PER_ADDRESS));
    }
    struct peer_address late = nth(N_MAX);
    struct peer_address early = nth(0);
    assert_false(peers_connect(p, &late, PER_ADDRESS));
    assert_true(peers_connect(p, &early, PER_ADDRESS));
    peers_disconnect(p, &early);
    assert_false(peers_connect(p, &late, PER_ADDRESS));
    peers_disconnect(p, &early);
    assert_true(peers_connect(p, &late, PER_ADDRESS));
}

static void test_peers_forget_an_address_with_its_last_connection(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100 * N_MAX; i++) {
        struct peer_address a = nth(i);
        assert_true(peers_connect(p, &a, PER_ADDRESS));
        peers_disconnect(p, &a);
    }
}

static void test_peers_disconnect_of_an_unknown_address_does_nothing(void **state)
{
    (void)state;
    leave("192.0.2.1");
    for (int i = 0; i < PER_ADDRESS; i++) {
        assert_true(joins("192.0.2.1"));
    }
    assert_false(joins("192.0.2.1"));
}

static void test_peers_without_memory_refuse_a_new_address(void **state)
{
    (void)state;
    allocator_refuse_after(0);
    assert_null(peers_new(N_MAX));
    allocator_refuse_after(0);
    assert_false(joins("192.0.2.1"));
    assert_true(allocator_reset());
    assert_true(joins("192.0.2.1"));
    peers_free(NULL);
}

static void *come_and_go(void *arg)
{
    uint32_t *n_joined = arg;
    for (uint32_t i = 0; i < N_ROUNDS; i++) {
        struct peer_address a = nth(i % 2);
        if (peers_connect(p, &a, PER_ADDRESS)) {
            (*n_joined)++;
            peers_disconnect(p, &a);
        }
    }
    return NULL;
}

static void test_peers_counts_stay_right_with_several_threads(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    uint32_t n_joined[N_THREADS] = {0};
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &n_joined[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(n_joined[i] > 0);
    }
    for (uint32_t n = 0; n < 2; n++) {
        struct peer_address a = nth(n);
        for (int i = 0; i < PER_ADDRESS; i++) {
            assert_true(peers_connect(p, &a, PER_ADDRESS));
        }
        assert_false(peers_connect(p, &a, PER_ADDRESS));
    }
}

/* ---- refused keys ---- */

static const struct bucket_rate rate = {.per_s = 2, .burst = 5};

static bool may_try(const struct peer_address *a, uint64_t now_us)
{
    struct bucket_state s;
    return peers_refuse(p, a, rate, now_us, &s);
}

/* One that shares no bucket with `a`. */
static struct peer_address stranger_to(const struct peer_address *a)
{
    for (uint32_t n = 1000;; n++) {
        struct peer_address b = nth(n);
        if (map_hash(a, sizeof(*a)) % PEERS_BUCKETS != map_hash(&b, sizeof(b)) % PEERS_BUCKETS) {
            return b;
        }
    }
}

static void test_peers_refused_too_often_are_told_until_time_has_passed(void **state)
{
    (void)state;
    struct peer_address a = of("192.0.2.1");
    struct peer_address b = stranger_to(&a);
    uint64_t now_us = 1000000;
    for (uint32_t i = 0; i < rate.burst; i++) {
        assert_true(may_try(&a, now_us));
    }
    assert_false(may_try(&a, now_us));
    assert_true(may_try(&b, now_us));
    assert_false(may_try(&a, now_us + 499999));
    assert_true(may_try(&a, now_us + 500000));
    assert_false(may_try(&a, now_us + 500000));
}

static void test_peers_refusal_says_how_long(void **state)
{
    (void)state;
    struct peer_address a = of("192.0.2.1");
    struct bucket_state s;
    assert_true(peers_refuse(p, &a, rate, 1000000, &s));
    assert_int_equal(s.remaining, rate.burst - 1);
    for (uint32_t i = 1; i <= rate.burst; i++) {
        (void)peers_refuse(p, &a, rate, 1000000, &s);
    }
    assert_int_equal(s.remaining, 0);
    assert_int_equal(s.retry_after_us, 500000);
    assert_int_equal(s.reset_us, 2500000);
}

static void test_peers_rate_of_0_refuses_nobody(void **state)
{
    (void)state;
    struct peer_address a = of("192.0.2.1");
    struct bucket_rate none = {0, 0};
    for (int i = 0; i < 1000; i++) {
        assert_true(peers_refuse(p, &a, none, 1000000, NULL));
    }
}

static void *try_keys(void *arg)
{
    uint32_t *n_taken = arg;
    struct peer_address a = of("192.0.2.1");
    struct bucket_rate many = {.per_s = 1, .burst = N_ROUNDS};
    for (uint32_t i = 0; i < N_ROUNDS; i++) {
        *n_taken += peers_refuse(p, &a, many, 1000000, NULL) ? 1 : 0;
    }
    return NULL;
}

static void test_peers_tries_of_several_threads_are_counted_together(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    uint32_t n_taken[N_THREADS] = {0};
    uint32_t sum = 0;
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, try_keys, &n_taken[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += n_taken[i];
    }
    assert_int_equal(sum, N_ROUNDS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_peers_count_ipv4_by_address),
        CASE(test_peers_count_ipv6_by_its_64),
        CASE(test_peers_count_mapped_ipv4_as_ipv4),
        CASE(test_peers_address_may_have_so_many_connections),
        CASE(test_peers_subscriber_of_ipv6_counts_as_one),
        CASE(test_peers_table_never_holds_more_addresses_than_its_maximum),
        CASE(test_peers_forget_an_address_with_its_last_connection),
        CASE(test_peers_disconnect_of_an_unknown_address_does_nothing),
        CASE(test_peers_without_memory_refuse_a_new_address),
        CASE(test_peers_counts_stay_right_with_several_threads),
        CASE(test_peers_refused_too_often_are_told_until_time_has_passed),
        CASE(test_peers_refusal_says_how_long),
        CASE(test_peers_rate_of_0_refuses_nobody),
        CASE(test_peers_tries_of_several_threads_are_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
