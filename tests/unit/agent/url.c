/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of agent/tunnel/url.h. */
#include "agent/tunnel/url.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

struct good {
    const char *text;
    const char *host;
    uint16_t port;
    bool literal;
    bool v6;
    const char *authority; /* with the relay's port left out */
};

static void test_url_relay_parses(void **state)
{
    static const struct good cases[] = {
        {"wss://relay.example", "relay.example", 443, false, false, "relay.example"},
        {"wss://relay.example/", "relay.example", 443, false, false, "relay.example"},
        {"wss://relay.example:443", "relay.example", 443, false, false, "relay.example"},
        {"wss://Relay.EXAMPLE:8443/", "relay.example", 8443, false, false, "relay.example:8443"},
        {"WSS://a_b-c.d", "a_b-c.d", 443, false, false, "a_b-c.d"},
        {"wss://192.0.2.1:1", "192.0.2.1", 1, true, false, "192.0.2.1:1"},
        {"wss://[2001:db8::1]", "2001:db8::1", 443, true, true, "[2001:db8::1]"},
        {"wss://[::1]:65535", "::1", 65535, true, true, "[::1]:65535"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct url u;
        char authority[URL_AUTHORITY_BYTES];
        assert_int_equal(url_parse_relay(cases[i].text, &u, NULL), 0);
        assert_string_equal(u.host, cases[i].host);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.literal, cases[i].literal);
        assert_int_equal(u.v6, cases[i].v6);
        url_format_authority(&u, URL_RELAY_PORT, authority);
        assert_string_equal(authority, cases[i].authority);
    }
}

static void test_url_relay_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        "relay.example",
        "ws://relay.example",
        "https://relay.example",
        "wss://",
        "wss:///",
        "wss://:443",
        "wss://relay.example:",
        "wss://relay.example:0",
        "wss://relay.example:65536",
        "wss://relay.example:443x",
        "wss://relay.example:4 3",
        "wss://relay.example/tunnel",
        "wss://relay.example//",
        "wss://user@relay.example",
        "wss://user:secret@relay.example",
        "wss://relay..example",
        "wss://.relay",
        "wss://relay.",
        "wss://re lay",
        "wss://rel%61y",
        "wss://relay?x",
        "wss://relay#x",
        "wss://[::1",
        "wss://[::1]443",
        "wss://[]",
        "wss://[relay]",
        "wss://[192.0.2.1]",
        "wss://[fe80::1%eth0]",
        "wss://::1",
        "wss://a23456789012345678901234567890123456789012345678901234567890123.b1234", /* fits */
        "wss://a234567890123456789012345678901234567890123456789012345678901234.b", /* a label of 64
                                                                                     */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct url u = {.port = 7};
        struct error_text e = {""};
        bool fits = strstr(cases[i], "b1234") != NULL;
        assert_int_equal(url_parse_relay(cases[i], &u, &e), fits ? 0 : ERROR_SYNTAX);
        assert_int_equal(u.port, fits ? 443 : 7); /* untouched on failure */
        assert_null(strstr(e.text, "secret"));
    }
}

static void test_url_host_at_its_limit(void **state)
{
    char text[300] = "wss://";
    struct url u;
    (void)state;
    for (size_t i = 0; i < 253; i++) {
        text[6 + i] = i % 2 == 0 ? 'a' : '.';
    }
    assert_int_equal(url_parse_relay(text, &u, NULL), 0);
    assert_int_equal(strlen(u.host), 253);
    memcpy(text + 6 + 253, "aa", 3);
    assert_int_equal(url_parse_relay(text, &u, NULL), ERROR_SYNTAX);
}

static void test_url_proxy_parses(void **state)
{
    static const char *const good[] = {"http://proxy.lan:3128", "proxy.lan:3128",
                                       "HTTP://proxy.lan:3128/"};
    static const char *const bad[] = {"http://proxy.lan",
                                      "proxy.lan",
                                      "https://proxy.lan:3128",
                                      "socks5://proxy.lan:1080",
                                      "http://me:pw@proxy.lan:3128",
                                      "http://proxy.lan:3128/x"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct url u;
        assert_int_equal(url_parse_proxy(good[i], &u, NULL), 0);
        assert_string_equal(u.host, "proxy.lan");
        assert_int_equal(u.port, 3128);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct url u;
        assert_int_equal(url_parse_proxy(bad[i], &u, NULL), ERROR_SYNTAX);
    }
}

static void test_url_equal_compares_what_is_dialled(void **state)
{
    struct url a;
    struct url b;
    (void)state;
    assert_int_equal(url_parse_relay("wss://Relay.example", &a, NULL), 0);
    assert_int_equal(url_parse_relay("wss://relay.example:443/", &b, NULL), 0);
    assert_true(url_equal(&a, &b));
    assert_int_equal(url_parse_relay("wss://relay.example:444", &b, NULL), 0);
    assert_false(url_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url_relay_parses),
        cmocka_unit_test(test_url_relay_refuses),
        cmocka_unit_test(test_url_host_at_its_limit),
        cmocka_unit_test(test_url_proxy_parses),
        cmocka_unit_test(test_url_equal_compares_what_is_dialled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
