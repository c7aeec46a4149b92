/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto/pages/guard. */
#include "proto/pages/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A complete request with these lines behind its request line. */
static void make(struct request *r, const char *lines)
{
    char text[1024];
    size_t used = 0;
    int len = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", lines);
    request_init(r);
    request_feed(r, (const uint8_t *)text, (size_t)len, &used);
    assert_int_equal(r->state, REQUEST_COMPLETE);
}

static bool host_ok(const char *host)
{
    static const char *const names[] = {"admin.example"};
    struct request r;
    char lines[300];
    (void)snprintf(lines, sizeof(lines), "Host: %s\r\n", host);
    make(&r, lines);
    bool ok = guard_host_ok(&r, names, 1);
    request_close(&r);
    return ok;
}

static void hosts_of_this_machine(void **state)
{
    (void)state;
    assert_true(host_ok("localhost"));
    assert_true(host_ok("LOCALHOST:9090"));
    assert_true(host_ok("127.0.0.1"));
    assert_true(host_ok("127.1.2.3:80"));
    assert_true(host_ok("[::1]"));
    assert_true(host_ok("[::1]:9090"));
    assert_true(host_ok("Admin.example:1"));
}

static void other_hosts(void **state)
{
    (void)state;
    static const char *const others[] = {
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.evil",
        "127.0.0",
        "127.0.0.256",
        "128.0.0.1",
        "[::2]",
        "xlocalhost",
        "evil-admin.example",
        "admin.example.evil",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(host_ok(others[i]));
    }
}

static bool same_origin(const char *lines, bool is_tls)
{
    struct request r;
    char all[600];
    (void)snprintf(all, sizeof(all), "Host: localhost:9090\r\n%s", lines);
    make(&r, all);
    bool ok = guard_same_origin(&r, is_tls);
    request_close(&r);
    return ok;
}

static void origins(void **state)
{
    (void)state;
    assert_true(same_origin("", false));
    assert_true(same_origin("Origin: http://localhost:9090\r\n", false));
    assert_true(same_origin("Origin: https://localhost:9090\r\n", true));
    assert_true(same_origin("Sec-Fetch-Site: same-origin\r\n", false));
    assert_true(same_origin("Sec-Fetch-Site: none\r\n", false));
    assert_true(same_origin("Origin: https://localhost:9090\r\n", false)); /* a proxy's TLS */
    assert_false(same_origin("Origin: http://localhost:9090\r\n", true));
    assert_false(same_origin("Origin: ftp://localhost:9090\r\n", false));
    assert_false(same_origin("Origin: http://localhost:9091\r\n", false));
    assert_false(same_origin("Origin: http://localhost\r\n", false));
    assert_false(same_origin("Origin: null\r\n", false));
    assert_false(same_origin("Origin: \r\n", false));
    assert_false(same_origin("Sec-Fetch-Site: same-site\r\n", false));
    assert_false(same_origin("Sec-Fetch-Site: cross-site\r\n", false));
    assert_false(
        same_origin("Origin: http://localhost:9090\r\nSec-Fetch-Site: cross-site\r\n", false));
}

static bool may_change(const char *type)
{
    struct request r;
    char all[600];
    (void)snprintf(all, sizeof(all), "Host: localhost\r\n%s", type);
    make(&r, all);
    bool ok = guard_may_change(&r, false);
    request_close(&r);
    return ok;
}

static void only_json_changes(void **state)
{
    (void)state;
    assert_true(may_change("Content-Type: application/json\r\n"));
    assert_true(may_change("Content-Type: Application/JSON; charset=utf-8\r\n"));
    assert_false(may_change(""));
    assert_false(may_change("Content-Type: text/plain\r\n"));
    assert_false(may_change("Content-Type: application/x-www-form-urlencoded\r\n"));
    assert_false(may_change("Content-Type: text/plain; application/json\r\n"));
    assert_false(may_change("Content-Type: application/jsonx\r\n"));
}

static void expect_cookie(const char *lines, const char *value)
{
    struct request r;
    char all[600];
    (void)snprintf(all, sizeof(all), "Host: localhost\r\n%s", lines);
    make(&r, all);
    struct span found = guard_cookie(&r, "login");
    if (value == NULL) {
        assert_null(found.p);
    } else {
        assert_true(span_equal(found, span_of(value)));
    }
    request_close(&r);
}

static void cookies(void **state)
{
    (void)state;
    expect_cookie("Cookie: login=abc\r\n", "abc");
    expect_cookie("Cookie: a=b; login=abc; c=d\r\n", "abc");
    expect_cookie("Cookie: a=b\r\nCookie: login=abc\r\n", "abc");
    expect_cookie("Cookie: login=\r\n", "");
    expect_cookie("", NULL);
    expect_cookie("Cookie: xlogin=abc\r\n", NULL);
    expect_cookie("Cookie: login\r\n", NULL);
    /* Which of the two would be ours? */
    expect_cookie("Cookie: login=abc; login=def\r\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_of_this_machine),
        cmocka_unit_test(other_hosts),
        cmocka_unit_test(origins),
        cmocka_unit_test(only_json_changes),
        cmocka_unit_test(cookies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
