/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto/http/field. */
#include "proto/http/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef bool (*check)(struct span s);

static void expect_all(check ok, bool expected, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        if (ok(span_of(*texts)) != expected) {
            fail_msg("\"%s\" should be %s", *texts, expected ? "accepted" : "refused");
        }
    }
}

#define ACCEPTS(ok, ...) expect_all(ok, true, (const char *const[]){__VA_ARGS__, NULL})
#define REFUSES(ok, ...) expect_all(ok, false, (const char *const[]){__VA_ARGS__, NULL})

static void token_is_rfc_9110_tchar(void **state)
{
    (void)state;
    ACCEPTS(field_is_token, "GET", "x-y", "!#$%&'*+-.^_`|~09azAZ");
    REFUSES(field_is_token, "", " ", "a b", "a:", "a\t", "(", "a/b", "a\"", "\x80", "{");
    assert_false(field_is_token((struct span){"a\0b", 3}));
}

static void value_is_free_of_controls(void **state)
{
    (void)state;
    ACCEPTS(field_value_ok, "", "a b", "a\tb", "caf\xe9", "\xff", "~!\"");
    REFUSES(field_value_ok, "a\r", "a\n", "a\r\n b", "\x01", "\x1f", "\x7f", "a\x0b");
    assert_false(field_value_ok((struct span){"a\0b", 3}));
}

static void every_byte_value_is_decided(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        char c = (char)(unsigned char)i;
        bool control = (i < 0x20 && i != '\t') || i == 0x7f;
        assert_int_equal(field_value_ok((struct span){&c, 1}), !control);
        bool tchar = (i >= '0' && i <= '9') || (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') ||
                     (i != 0 && strchr("!#$%&'*+-.^_`|~", i) != NULL);
        assert_int_equal(field_is_token((struct span){&c, 1}), tchar);
    }
}

static void hop_by_hop_names(void **state)
{
    (void)state;
    ACCEPTS(field_is_hop_by_hop, "connection", "Connection", "KEEP-ALIVE", "TE", "Trailer",
            "Transfer-Encoding", "transfer_encoding", "Upgrade", "Proxy", "Proxy-Authorization",
            "proxy-connection", "HTTP2-Settings");
    REFUSES(field_is_hop_by_hop, "", "t", "tee", "Content-Type", "Connection2", "Proxy2", "Host",
            "Accept");
}

static void private_names(void **state)
{
    (void)state;
    ACCEPTS(field_is_private, "Host", "cookie", "Cookie2", "AUTHORIZATION", "Content-Length",
            "content_length", "Expect", "Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-",
            "x_forwarded_host", "X-Forwarded", "X-Real-IP", "X-Request-Id",
            "X-HTTP-Method-Override", "X-Original-URL");
    REFUSES(field_is_private, "", "Accept", "Content-Type", "User-Agent", "Hosts", "X-Forward",
            "X-Anything", "Accept-Language");
}

static void connection_names_fields(void **state)
{
    (void)state;
    struct span value = span_of("close , X-Secret,keep-alive");
    assert_true(field_connection_lists(value, span_of("Close")));
    assert_true(field_connection_lists(value, span_of("x-secret")));
    assert_true(field_connection_lists(value, span_of("keep-alive")));
    assert_false(field_connection_lists(value, span_of("keep")));
    assert_false(field_connection_lists(value, span_of("x-secret,keep-alive")));
    assert_false(field_connection_lists((struct span){NULL, 0}, span_of("close")));
    assert_false(field_connection_lists(span_of(""), span_of("close")));
}

static void host_forms(void **state)
{
    (void)state;
    ACCEPTS(field_host_ok, "a", "relay.example", "relay.example:443", "192.168.1.10:65535",
            "my_host-1", "[::1]", "[2001:db8::1]:8443", "[::ffff:1.2.3.4]", "a.b.");
    REFUSES(field_host_ok, "", ":80", "a:", "a:0", "a:65536", "a:80x", "a:-1", "a:+1", "a b", "a,b",
            "a/b", "user@a", "a%41", "a?b", "a#b", "caf\xe9", "[::1", "[]", "[::1]x",
            "[::1]:", "[::1]80", "[fe80::1%25eth0]", "[1.2.3.4]", "::1", "[v1.a]", "a:80:80",
            "a\\");
    assert_false(field_host_ok((struct span){"a\0b", 3}));
    assert_false(field_host_ok((struct span){"[::1\0]", 6}));
    assert_false(field_host_ok((struct span){NULL, 0}));
}

static void host_length_limit(void **state)
{
    (void)state;
    char name[FIELD_HOST_BYTES_MAX + 1];
    memset(name, 'a', sizeof(name));
    assert_true(field_host_ok((struct span){name, FIELD_HOST_BYTES_MAX}));
    assert_false(field_host_ok((struct span){name, FIELD_HOST_BYTES_MAX + 1}));
}

static void path_forms(void **state)
{
    (void)state;
    ACCEPTS(target_path_ok, "/", "/api/V1/power", "//", "/a//b/", "/a%20b", "/%41", "/...", "/a.",
            "/.a", "/..a", "/a..", "/a;b=.", "/~!$&'()*+,;=:@", "/.../x", "/%7E", "/a/;..");
    REFUSES(target_path_ok, "", "a", "*", "http://x/", "/a b", "/a\tb", "/caf\xe9", "/a#b", "/a?b",
            "/a\\b");
}

static void path_dot_segments(void **state)
{
    (void)state;
    REFUSES(target_path_ok, "/.", "/..", "/./", "/../", "/a/.", "/a/..", "/a/./b", "/a/../b",
            "/%2e", "/%2E%2e/", "/.%2e", "/a/%2e./b", "/..;/a", "/..;x=1", "/.;", "/%2e%2e;a/b",
            "/..%3bx");
}

static void path_escapes(void **state)
{
    (void)state;
    REFUSES(target_path_ok, "/%", "/%4", "/%4/", "/%zz", "/%g0", "/%0g", "/%2f", "/%2F", "/%5c",
            "/%5C", "/%00", "/%0d%0a", "/%1f", "/%7f", "/%80", "/%c0%ae", "/%ff", "/%25", "/%252e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_is_rfc_9110_tchar),
        cmocka_unit_test(value_is_free_of_controls),
        cmocka_unit_test(every_byte_value_is_decided),
        cmocka_unit_test(hop_by_hop_names),
        cmocka_unit_test(private_names),
        cmocka_unit_test(connection_names_fields),
        cmocka_unit_test(host_forms),
        cmocka_unit_test(host_length_limit),
        cmocka_unit_test(path_forms),
        cmocka_unit_test(path_dot_segments),
        cmocka_unit_test(path_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
