/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/race.h. Names are resolved by a resolver of the test's own, which stands in
 * for getaddrinfo at link time; connections can be swallowed, as a dead line does. */
#include "agent/tunnel/race.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVED_MAX 12

/* The linker's --wrap option asks for these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb,
                          const char *node, const char *service, const struct addrinfo *hints);
void __wrap_uv_freeaddrinfo(struct addrinfo *ai);
int __wrap_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address,
                          uv_connect_cb cb);
int __real_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address,
                          uv_connect_cb cb);

static uv_loop_t loop;
static uv_tcp_t listener;
static uint16_t listener_port;

static struct addrinfo resolved[RESOLVED_MAX];
static struct sockaddr_storage resolved_addresses[RESOLVED_MAX];
static size_t n_resolved;
static int resolver_status;
static uint64_t resolver_ms; /* until it answers */
static unsigned n_resolver;  /* questions */
static uv_timer_t resolver_timer;
static uv_getaddrinfo_t *resolver_request;
static uv_getaddrinfo_cb resolver_cb;

static struct lookup lookup;
static unsigned n_connects;
static unsigned n_swallow; /* connections that nobody hears of, the first ones */

static unsigned n_done;
static uint64_t done_ms;
static char won[64]; /* "" = nobody */
static char reason[256];

static void on_resolver(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
    resolver_cb(resolver_request, resolver_status,
                resolver_status == 0 && n_resolved > 0 ? &resolved[0] : NULL);
}

int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb,
                          const char *node, const char *service, const struct addrinfo *hints)
{
    assert_string_equal(node, "relay.example");
    assert_null(service);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    n_resolver++;
    resolver_request = req;
    resolver_cb = cb;
    assert_int_equal(uv_timer_init(on, &resolver_timer), 0);
    return uv_timer_start(&resolver_timer, on_resolver, resolver_ms, 0);
}

void __wrap_uv_freeaddrinfo(struct addrinfo *ai)
{
    (void)ai;
}

int __wrap_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address,
                          uv_connect_cb cb)
{
    n_connects++;
    return n_connects <= n_swallow ? 0 : __real_uv_tcp_connect(req, tcp, address, cb);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static void resolve_to(const char *address)
{
    struct addrinfo *a = &resolved[n_resolved];
    struct sockaddr_storage *s = &resolved_addresses[n_resolved];
    bool v6 = strchr(address, ':') != NULL;
    memset(a, 0, sizeof(*a));
    if (v6) {
        assert_int_equal(uv_ip6_addr(address, 0, (struct sockaddr_in6 *)s), 0);
    } else {
        assert_int_equal(uv_ip4_addr(address, 0, (struct sockaddr_in *)s), 0);
    }
    a->ai_family = v6 ? AF_INET6 : AF_INET;
    a->ai_addr = (struct sockaddr *)s;
    a->ai_addrlen = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (n_resolved > 0) {
        resolved[n_resolved - 1].ai_next = a;
    }
    n_resolved++;
}

static void on_done(void *user, const struct sockaddr *winner, const char *why)
{
    assert_ptr_equal(user, &loop);
    n_done++;
    done_ms = uv_now(&loop);
    won[0] = '\0';
    if (winner != NULL) {
        assert_null(why);
        int rc = winner->sa_family == AF_INET6
                     ? uv_ip6_name((const struct sockaddr_in6 *)winner, won, sizeof(won))
                     : uv_ip4_name((const struct sockaddr_in *)winner, won, sizeof(won));
        assert_int_equal(rc, 0);
    } else {
        (void)snprintf(reason, sizeof(reason), "%s", why);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    (void)server; /* the probes stay in the backlog */
    (void)status;
}

static int set_up(void **state)
{
    struct sockaddr_in address;
    int len = sizeof(address);
    (void)state;
    n_resolved = 0;
    resolver_status = 0;
    resolver_ms = 1;
    n_resolver = 0;
    n_connects = 0;
    n_swallow = 0;
    n_done = 0;
    reason[0] = '\0';
    assert_int_equal(uv_loop_init(&loop), 0);
    lookup_init(&lookup, &loop);
    assert_int_equal(uv_tcp_init(&loop, &listener), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&listener, 64, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len), 0);
    listener_port = ntohs(address.sin_port);
    uv_unref((uv_handle_t *)&listener);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lookup_close(&lookup);
    uv_close((uv_handle_t *)&listener, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static struct race *start(const char *host, uint16_t port)
{
    struct url to = {.port = port};
    struct race *r = NULL;
    char text[300];
    (void)snprintf(text, sizeof(text), "wss://%s", host);
    assert_int_equal(url_parse_relay(text, &to, NULL), 0);
    to.port = port;
    unsigned before = n_done;
    assert_int_equal(race_start(&loop, &lookup, &to, on_done, &loop, &r), 0);
    assert_int_equal(n_done, before); /* never from inside */
    return r;
}

static void run(void)
{
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

static void test_race_address_needs_no_resolver(void **state)
{
    (void)state;
    assert_false(race_resolving(start("127.0.0.1", listener_port)));
    run();
    assert_int_equal(n_done, 1);
    assert_string_equal(won, "127.0.0.1");
}

static void test_race_name_resolves_first(void **state)
{
    (void)state;
    resolve_to("127.0.0.1");
    assert_true(race_resolving(start("relay.example", listener_port)));
    run();
    assert_string_equal(won, "127.0.0.1");
}

static void test_race_refused_family_hands_over_at_once(void **state)
{
    (void)state;
    resolve_to("::1"); /* nobody listens there */
    resolve_to("127.0.0.1");
    uint64_t begin_ms = uv_now(&loop);
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "127.0.0.1");
    assert_in_range(uv_now(&loop) - begin_ms, 0, RACE_DEADLINE_MS - 1);
}

static void test_race_silent_address_costs_a_head_start_only(void **state)
{
    (void)state;
    resolve_to("192.0.2.1"); /* RFC 5737: nobody answers, or it is unreachable */
    resolve_to("127.0.0.1");
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "127.0.0.1");
}

static void test_race_takes_families_in_turn_and_not_too_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        resolve_to("::1"); /* all refuse */
    }
    resolve_to("127.0.0.1"); /* the eleventh, but the first of its family */
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "127.0.0.1");
}

static void test_race_nobody_wins(void **state)
{
    (void)state;
    resolve_to("127.0.0.2"); /* the listener has 127.0.0.1 alone */
    resolve_to("127.0.0.3");
    (void)start("relay.example", listener_port);
    run();
    assert_int_equal(n_done, 1);
    assert_string_equal(won, "");
    assert_non_null(strstr(reason, "cannot connect to relay.example:"));
    assert_non_null(strstr(reason, "connection refused"));
}

static void test_race_name_does_not_resolve(void **state)
{
    (void)state;
    resolver_status = UV_EAI_NONAME;
    (void)start("relay.example", listener_port);
    run();
    assert_int_equal(n_done, 1);
    assert_non_null(strstr(reason, "cannot resolve relay.example: "));
}

/* ---- a line that returns ---- */

static void test_race_tries_again_beside_what_nobody_answers(void **state)
{
    (void)state;
    resolve_to("127.0.0.1");
    n_swallow = 2;
    uint64_t begin_ms = uv_now(&loop);
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "127.0.0.1");
    assert_int_equal(n_connects, 3);
    assert_in_range(done_ms - begin_ms, 2 * RACE_ROUND_MS, RACE_DEADLINE_MS - 1);
}

static void test_race_gives_up_in_time_and_within_its_attempts(void **state)
{
    (void)state;
    for (int i = 1; i <= LOOKUP_ADDRESSES_MAX; i++) {
        char address[32];
        (void)snprintf(address, sizeof(address), "127.0.0.%d", i);
        resolve_to(address);
    }
    n_swallow = UINT_MAX;
    uint64_t begin_ms = uv_now(&loop);
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "");
    assert_non_null(strstr(reason, "no answer"));
    assert_int_equal(n_connects, RACE_ATTEMPTS_MAX);
    assert_in_range(done_ms - begin_ms, RACE_DEADLINE_MS, RACE_DEADLINE_MS + 2000);
}

/* ---- a resolver that is asked anew, and not relied upon ---- */

static void remember(const char *address)
{
    n_resolved = 0;
    resolve_to(address);
    (void)start("relay.example", listener_port);
    run();
}

static void test_race_asks_anew_each_time(void **state)
{
    (void)state;
    remember("127.0.0.2"); /* the relay has moved away from there */
    assert_string_equal(won, "");
    remember("127.0.0.1");
    assert_string_equal(won, "127.0.0.1");
    assert_int_equal(n_resolver, 2);
    assert_int_equal(n_connects, 2); /* what is not in the answer any more takes no part */
}

static void test_race_does_not_wait_for_a_resolver_that_hangs(void **state)
{
    (void)state;
    remember("127.0.0.1");
    resolver_ms = 2000;
    for (unsigned i = 0; i < 3; i++) { /* the second and the third join the first one's question */
        uint64_t begin_ms = uv_now(&loop);
        unsigned before = n_done;
        assert_true(race_resolving(start("relay.example", listener_port)));
        while (n_done == before) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_string_equal(won, "127.0.0.1");
        assert_in_range(done_ms - begin_ms, RACE_RESOLVE_MS, 1500);
    }
    assert_int_equal(n_resolver, 2);
    run();
}

static void test_race_goes_on_without_a_resolver_that_fails(void **state)
{
    (void)state;
    remember("127.0.0.1");
    resolver_status = UV_EAI_AGAIN;
    won[0] = '\0';
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "127.0.0.1");
}

static void test_race_lets_a_late_answer_join(void **state)
{
    (void)state;
    remember("127.0.0.2"); /* refuses */
    n_resolved = 0;
    resolve_to("127.0.0.1");
    resolver_ms = 600;
    uint64_t begin_ms = uv_now(&loop);
    (void)start("relay.example", listener_port);
    run();
    assert_string_equal(won, "127.0.0.1");
    assert_int_equal(n_connects, 3);
    assert_in_range(done_ms - begin_ms, 600, RACE_ROUND_MS - 1);
}

static void test_race_loses_when_a_late_answer_is_no_help(void **state)
{
    (void)state;
    remember("127.0.0.2");
    resolver_ms = 600;
    resolver_status = UV_EAI_AGAIN;
    (void)start("relay.example", listener_port);
    run();
    assert_int_equal(n_done, 2);
    assert_string_equal(won, "");
    assert_non_null(strstr(reason, "connection refused"));
}

static void test_race_cancel_in_every_phase(void **state)
{
    (void)state;
    race_cancel(start("127.0.0.1", listener_port)); /* before anything happened */
    run();
    resolve_to("192.0.2.1");
    resolve_to("127.0.0.1");
    race_cancel(start("relay.example", listener_port)); /* while resolving */
    run();
    struct race *r = start("relay.example", listener_port);
    while (race_resolving(r)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    if (n_done == 0) { /* 192.0.2.1 may be unreachable at once, and the race over */
        race_cancel(r);
    }
    run();
    assert_in_range(n_done, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_race_address_needs_no_resolver, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race_name_resolves_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race_refused_family_hands_over_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_silent_address_costs_a_head_start_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_takes_families_in_turn_and_not_too_many, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_nobody_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race_name_does_not_resolve, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race_tries_again_beside_what_nobody_answers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_gives_up_in_time_and_within_its_attempts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_asks_anew_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race_does_not_wait_for_a_resolver_that_hangs, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_goes_on_without_a_resolver_that_fails, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_lets_a_late_answer_join, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_race_loses_when_a_late_answer_is_no_help, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_race_cancel_in_every_phase, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
