/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/lookup.h. The test is the resolver: it answers when it wants to. */
#include "agent/tunnel/lookup.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/error.h"

#define QUESTIONS_MAX 4
#define RESOLVED_MAX  12

/* The linker's --wrap option asks for these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb,
                          const char *node, const char *service, const struct addrinfo *hints);
void __wrap_uv_freeaddrinfo(struct addrinfo *ai);

static uv_loop_t loop;
static struct lookup lookup;

static struct {
    uv_getaddrinfo_t *req;
    uv_getaddrinfo_cb cb;
    char node[64];
} questions[QUESTIONS_MAX];
static size_t n_questions;
static int refuse; /* what uv_getaddrinfo returns */

static struct addrinfo resolved[RESOLVED_MAX];
static struct sockaddr_storage resolved_addresses[RESOLVED_MAX];
static size_t n_resolved;

static unsigned n_done;
static int last_status;

int __wrap_uv_getaddrinfo(uv_loop_t *on, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb,
                          const char *node, const char *service, const struct addrinfo *hints)
{
    assert_ptr_equal(on, &loop);
    assert_null(service);
    assert_int_equal(hints->ai_socktype, SOCK_STREAM);
    if (refuse != 0) {
        return refuse;
    }
    assert_true(n_questions < QUESTIONS_MAX);
    questions[n_questions].req = req;
    questions[n_questions].cb = cb;
    (void)snprintf(questions[n_questions].node, sizeof(questions[0].node), "%s", node);
    n_questions++;
    return 0;
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
    int rc = v6 ? uv_ip6_addr(address, 0, (struct sockaddr_in6 *)s)
                : uv_ip4_addr(address, 0, (struct sockaddr_in *)s);
    assert_int_equal(rc, 0);
    *a = (struct addrinfo){
        .ai_family = v6 ? AF_INET6 : AF_INET,
        .ai_addr = (struct sockaddr *)s,
        .ai_addrlen = v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
    };
    if (n_resolved > 0) {
        resolved[n_resolved - 1].ai_next = a;
    }
    n_resolved++;
}

/* The n-th question is answered, with what resolve_to gave. */
static void answer(size_t n, int status)
{
    questions[n].cb(questions[n].req, status, status == 0 ? &resolved[0] : NULL);
    n_resolved = 0;
}

static void on_done(void *user, int status)
{
    assert_ptr_equal(user, &loop);
    n_done++;
    last_status = status;
}

static int ask_for(const char *host, uint16_t port)
{
    struct url to = {.port = port};
    (void)snprintf(to.host, sizeof(to.host), "%s", host);
    return lookup_start(&lookup, &to, on_done, &loop);
}

/* As "192.0.2.1:443 …". */
static void expect_addresses(const char *expected)
{
    char text[512] = "";
    size_t n;
    const struct sockaddr_storage *a = lookup_addresses(&lookup, &n);
    for (size_t i = 0; i < n; i++) {
        char ip[INET6_ADDRSTRLEN];
        bool v6 = a[i].ss_family == AF_INET6;
        int rc = v6 ? uv_ip6_name((const struct sockaddr_in6 *)&a[i], ip, sizeof(ip))
                    : uv_ip4_name((const struct sockaddr_in *)&a[i], ip, sizeof(ip));
        assert_int_equal(rc, 0);
        unsigned port = ntohs(v6 ? ((const struct sockaddr_in6 *)&a[i])->sin6_port
                                 : ((const struct sockaddr_in *)&a[i])->sin_port);
        size_t len = strlen(text);
        (void)snprintf(text + len, sizeof(text) - len, "%s%s:%u", i > 0 ? " " : "", ip, port);
    }
    assert_string_equal(text, expected);
}

static int set_up(void **state)
{
    (void)state;
    n_questions = 0;
    n_resolved = 0;
    n_done = 0;
    refuse = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    lookup_init(&lookup, &loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lookup_close(&lookup);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void test_lookup_gives_families_in_turn_with_the_port(void **state)
{
    (void)state;
    assert_int_equal(ask_for("relay.example", 443), 0);
    resolve_to("2001:db8::1");
    resolve_to("2001:db8::2");
    resolve_to("192.0.2.1");
    resolve_to("192.0.2.2");
    resolve_to("192.0.2.3");
    answer(0, 0);
    assert_int_equal(n_done, 1);
    assert_int_equal(last_status, 0);
    expect_addresses("2001:db8::1:443 192.0.2.1:443 2001:db8::2:443 192.0.2.2:443 192.0.2.3:443");
}

static void test_lookup_keeps_so_many_and_no_more(void **state)
{
    size_t n;
    (void)state;
    assert_int_equal(ask_for("relay.example", 443), 0);
    for (size_t i = 0; i < LOOKUP_ADDRESSES_MAX + 2; i++) {
        resolve_to("192.0.2.1");
    }
    answer(0, 0);
    (void)lookup_addresses(&lookup, &n);
    assert_int_equal(n, LOOKUP_ADDRESSES_MAX);
}

static void test_lookup_remembers_while_the_resolver_fails(void **state)
{
    (void)state;
    assert_int_equal(ask_for("relay.example", 443), 0);
    resolve_to("192.0.2.1");
    answer(0, 0);
    assert_int_equal(ask_for("relay.example", 443), 0);
    answer(1, UV_EAI_AGAIN);
    assert_int_equal(n_done, 2);
    assert_int_equal(last_status, UV_EAI_AGAIN);
    expect_addresses("192.0.2.1:443");
}

static void test_lookup_is_replaced_by_the_next_answer(void **state)
{
    (void)state;
    assert_int_equal(ask_for("relay.example", 443), 0);
    resolve_to("192.0.2.1");
    resolve_to("2001:db8::1");
    answer(0, 0);
    assert_int_equal(ask_for("relay.example", 443), 0);
    resolve_to("192.0.2.2");
    answer(1, 0);
    expect_addresses("192.0.2.2:443");
}

static void test_lookup_asks_one_question_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask_for("relay.example", 443), 0);
        lookup_stop(&lookup);
    }
    assert_int_equal(n_questions, 1);
    resolve_to("192.0.2.1");
    answer(0, 0);
    assert_int_equal(n_done, 0);
    expect_addresses("192.0.2.1:443"); /* it is remembered all the same */
    assert_int_equal(ask_for("relay.example", 443), 0);
    assert_int_equal(n_questions, 2);
    answer(1, UV_EAI_FAIL);
    assert_int_equal(n_done, 1);
}

static void test_lookup_of_another_host_forgets_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(ask_for("relay.example", 443), 0);
    resolve_to("192.0.2.1");
    answer(0, 0);
    assert_int_equal(ask_for("relay.example", 443), 0);
    assert_int_equal(ask_for("proxy.lan", 3128), 0);
    assert_string_equal(questions[2].node, "proxy.lan");
    expect_addresses("");
    resolve_to("192.0.2.1");
    answer(1, 0); /* nobody waits for that one any more */
    assert_int_equal(n_done, 1);
    expect_addresses("");
    resolve_to("192.0.2.9");
    answer(2, 0);
    assert_int_equal(n_done, 2);
    expect_addresses("192.0.2.9:3128");
}

static void test_lookup_closed_under_way_tells_nobody(void **state)
{
    (void)state;
    assert_int_equal(ask_for("relay.example", 443), 0);
    lookup_close(&lookup);
    resolve_to("192.0.2.1");
    answer(0, 0);
    assert_int_equal(n_done, 0);
}

static void test_lookup_that_cannot_begin(void **state)
{
    (void)state;
    refuse = UV_ENOMEM;
    assert_int_equal(ask_for("relay.example", 443), ERROR_NOMEM);
    assert_int_equal(n_done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lookup_gives_families_in_turn_with_the_port, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_keeps_so_many_and_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_remembers_while_the_resolver_fails, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_is_replaced_by_the_next_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_asks_one_question_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_of_another_host_forgets_the_one_before, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_closed_under_way_tells_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lookup_that_cannot_begin, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
