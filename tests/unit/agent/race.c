/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/race.h. Names are resolved by a resolver of the test's own, which stands in
 * for getaddrinfo at link time. */
#include "agent/tunnel/race.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
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

static uv_loop_t loop;
static uv_tcp_t listener;
static uint16_t listener_port;

static struct addrinfo resolved[RESOLVED_MAX];
static struct sockaddr_storage resolved_addresses[RESOLVED_MAX];
static size_t n_resolved;
static int resolver_status;
static uv_timer_t resolver_timer;
static uv_getaddrinfo_t *resolver_request;
static uv_getaddrinfo_cb resolver_cb;

static unsigned n_done;
static char won[64]; /* "" = nobody */
static char reason[256];

static void on_resolver(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
    resolver_cb(resolver_request, resolver_status, n_resolved > 0 ? &resolved[0] : NULL);
}

int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb,
                          const char *node, const char *service, const struct addrinfo *hints)
{
    assert_string_equal(node, "relay.example");
    assert_null(service);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    resolver_request = req;
    resolver_cb = cb;
    assert_int_equal(uv_timer_init(on, &resolver_timer), 0);
    return uv_timer_start(&resolver_timer, on_resolver, 1, 0);
}

void __wrap_uv_freeaddrinfo(struct addrinfo *ai)
{
    (void)ai;
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
    n_done = 0;
    reason[0] = '\0';
    assert_int_equal(uv_loop_init(&loop), 0);
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
    assert_int_equal(race_start(&loop, &to, on_done, &loop, &r), 0);
    assert_int_equal(n_done, 0); /* never from inside */
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
        cmocka_unit_test_setup_teardown(test_race_cancel_in_every_phase, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
