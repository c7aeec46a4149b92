/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/tunnel/registry.h. Time is a number. */
#include "relay/tunnel/registry.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tests/unit/base/allocator.h"

#define START_MS UINT64_C(1000000)
#define SERVER   7

static struct registry r;

static int set_up(void **state)
{
    (void)state;
    registry_init(&r, START_MS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)allocator_reset();
    registry_close(&r);
    return 0;
}

/* The one before it. */
static tunnel_ref up(int64_t server, tunnel_ref tunnel)
{
    tunnel_ref replaced = UINT64_MAX;
    assert_true(registry_up(&r, server, tunnel, START_MS, &replaced));
    assert_int_equal(registry_owner(&r, server), tunnel);
    return replaced;
}

static void refuse(int64_t server, tunnel_ref tunnel)
{
    tunnel_ref replaced = UINT64_MAX;
    tunnel_ref owner = registry_owner(&r, server);
    assert_false(registry_up(&r, server, tunnel, START_MS, &replaced));
    assert_int_equal(replaced, UINT64_MAX);
    assert_int_equal(registry_owner(&r, server), owner);
}

static void test_registry_knows_the_owner_while_its_tunnel_is_up(void **state)
{
    (void)state;
    tunnel_ref tunnel = ref_tunnel(1, 1);
    assert_int_equal(registry_owner(&r, SERVER), 0);
    assert_int_equal(up(SERVER, tunnel), 0);
    assert_int_equal(registry_owner(&r, SERVER + 1), 0);
    registry_down(&r, SERVER, tunnel, START_MS);
    assert_int_equal(registry_owner(&r, SERVER), 0);
}

static void test_registry_newest_tunnel_wins_whatever_worker_has_it(void **state)
{
    (void)state;
    assert_int_equal(up(SERVER, ref_tunnel(3, 10)), 0);
    assert_int_equal(up(SERVER, ref_tunnel(0, 11)), ref_tunnel(3, 10));
    assert_int_equal(up(SERVER, ref_tunnel(63, 12)), ref_tunnel(0, 11));
    refuse(SERVER, ref_tunnel(63, 11));
    refuse(SERVER, ref_tunnel(0, 1));
    assert_int_equal(r.n_up, 1);
}

static void test_registry_tunnel_that_was_replaced_takes_nothing_down(void **state)
{
    (void)state;
    (void)up(SERVER, ref_tunnel(0, 1));
    (void)up(SERVER, ref_tunnel(1, 2));
    registry_down(&r, SERVER, ref_tunnel(0, 1), START_MS + 1);
    assert_int_equal(registry_owner(&r, SERVER), ref_tunnel(1, 2));
    registry_down(&r, SERVER + 1, ref_tunnel(1, 2), START_MS + 1);
    assert_int_equal(registry_owner(&r, SERVER), ref_tunnel(1, 2));
    assert_int_equal(r.n_up, 1);
}

/* Messages of different workers may overtake each other. */
static void test_registry_tunnel_that_is_told_late_does_not_come_back(void **state)
{
    (void)state;
    (void)up(SERVER, ref_tunnel(1, 6));
    registry_down(&r, SERVER, ref_tunnel(1, 6), START_MS + 1);
    refuse(SERVER, ref_tunnel(0, 5));
    assert_int_equal(r.n_up, 0);
    (void)up(SERVER, ref_tunnel(0, 7));
}

static void test_registry_counts_the_servers_that_are_up(void **state)
{
    (void)state;
    for (int64_t server = 1; server <= 1000; server++) {
        (void)up(server, ref_tunnel(0, (uint64_t)server));
    }
    assert_int_equal(r.n_up, 1000);
    for (int64_t server = 1; server <= 1000; server++) {
        assert_int_equal(registry_owner(&r, server), ref_tunnel(0, (uint64_t)server));
        registry_down(&r, server, ref_tunnel(0, (uint64_t)server), START_MS);
        registry_down(&r, server, ref_tunnel(0, (uint64_t)server), START_MS);
    }
    assert_int_equal(r.n_up, 0);
    (void)up(1, ref_tunnel(0, 2000));
    assert_int_equal(r.n_up, 1);
}

static void test_registry_expects_a_tunnel_back_for_a_minute(void **state)
{
    (void)state;
    uint64_t down_ms = START_MS + 10 * REGISTRY_RECENT_MS;
    (void)up(SERVER, ref_tunnel(0, 1));
    registry_down(&r, SERVER, ref_tunnel(0, 1), down_ms);
    assert_true(registry_is_expected(&r, SERVER, down_ms));
    assert_true(registry_is_expected(&r, SERVER, down_ms + REGISTRY_RECENT_MS - 1));
    assert_false(registry_is_expected(&r, SERVER, down_ms + REGISTRY_RECENT_MS));
}

static void test_registry_expects_every_tunnel_for_a_minute_after_the_start(void **state)
{
    (void)state;
    assert_true(registry_is_expected(&r, SERVER, START_MS));
    assert_true(registry_is_expected(&r, SERVER, START_MS + REGISTRY_RECENT_MS - 1));
    assert_false(registry_is_expected(&r, SERVER, START_MS + REGISTRY_RECENT_MS));
}

static void test_registry_without_memory_takes_no_new_server(void **state)
{
    (void)state;
    (void)up(SERVER, ref_tunnel(0, 1));
    allocator_refuse_after(0);
    refuse(SERVER + 1, ref_tunnel(0, 2));
    assert_true(allocator_reset());
    assert_int_equal(up(SERVER, ref_tunnel(0, 3)), ref_tunnel(0, 1));
    assert_int_equal(r.n_up, 1);
}

static void test_registry_holds_a_million_servers(void **state)
{
    (void)state;
    tunnel_ref replaced = 0;
    for (int64_t server = 1; server <= REGISTRY_SERVERS_MAX; server++) {
        if (!registry_up(&r, server, ref_tunnel(0, 1), START_MS, &replaced)) {
            fail_msg("server %lld was refused", (long long)server);
        }
    }
    refuse(REGISTRY_SERVERS_MAX + 1, ref_tunnel(0, 1));
    assert_int_equal(up(1, ref_tunnel(0, 2)), ref_tunnel(0, 1));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_registry_knows_the_owner_while_its_tunnel_is_up),
        CASE(test_registry_newest_tunnel_wins_whatever_worker_has_it),
        CASE(test_registry_tunnel_that_was_replaced_takes_nothing_down),
        CASE(test_registry_tunnel_that_is_told_late_does_not_come_back),
        CASE(test_registry_counts_the_servers_that_are_up),
        CASE(test_registry_expects_a_tunnel_back_for_a_minute),
        CASE(test_registry_expects_every_tunnel_for_a_minute_after_the_start),
        CASE(test_registry_without_memory_takes_no_new_server),
        CASE(test_registry_holds_a_million_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
