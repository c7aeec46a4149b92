/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/front/forwarded.h. The requests come from 10.0.0.1, a trusted proxy; 10.0.0.0/8
 * and 2001:db8:1::/48 are trusted. */
#include "relay/front/forwarded.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- verbs ---- */

/* The client of a request with these lines in its head, as text; "nobody" for AF_UNSPEC. Static. */
static const char *client_of(const char *lines)
{
    static char printed[INET6_ADDRSTRLEN];
    struct proxy_trust t = {.mode = PROXY_FORWARDED, .n_blocks = 2};
    assert_int_equal(cidr_parse(span_of("10.0.0.0/8"), &t.blocks[0]), 0);
    assert_int_equal(cidr_parse(span_of("2001:db8:1::/48"), &t.blocks[1]), 0);
    union proxy_address peer;
    union proxy_address client;
    assert_int_equal(proxy_parse_host(span_of("10.0.0.1"), AF_INET, 1, &peer), 0);

    char head[REQUEST_HEAD_BYTES_MAX];
    int len = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    struct request r;
    size_t used = 0;
    request_init(&r);
    assert_int_equal(request_feed(&r, (const uint8_t *)head, (size_t)len, &used), REQUEST_COMPLETE);
    forwarded_find_client(&t, &r, &peer, &client);
    request_close(&r);

    if (client.any.sa_family == AF_UNSPEC) {
        return "nobody";
    }
    const void *host = client.any.sa_family == AF_INET ? (const void *)&client.v4.sin_addr
                                                       : (const void *)&client.v6.sin6_addr;
    return inet_ntop(client.any.sa_family, host, printed, sizeof(printed));
}

struct row {
    const char *lines;
    const char *client;
};

static void check(const struct row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        const char *client = client_of(rows[i].lines);
        if (strcmp(client, rows[i].client) != 0) {
            fail_msg("%s: %s, not %s", rows[i].lines, client, rows[i].client);
        }
    }
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))
#define XFF         "X-Forwarded-For: "
#define FWD         "Forwarded: "

/* ---- cases ---- */

static void without_a_field_the_proxy_is_the_client(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "10.0.0.1"},
        {"X-Real-IP: 192.0.2.1\r\nX-Forwarded: for=192.0.2.1\r\n", "10.0.0.1"},
        {"X_Forwarded_For: 192.0.2.1\r\n", "10.0.0.1"},
    };
    CHECK(rows);
}

static void the_rightmost_untrusted_address_of_a_list_is_the_client(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {XFF "192.0.2.1\r\n", "192.0.2.1"},
        {"x-forwarded-FOR: 192.0.2.1\r\n", "192.0.2.1"},
        {XFF "192.0.2.1:4711\r\n", "192.0.2.1"},
        {XFF "2001:db8::1\r\n", "2001:db8::1"},
        {XFF "[2001:db8::1]\r\n", "2001:db8::1"},
        {XFF "[2001:db8::1]:4711\r\n", "2001:db8::1"},
        /* The client's own inventions stand to the left. */
        {XFF "192.0.2.9, 192.0.2.1\r\n", "192.0.2.1"},
        {XFF "10.0.0.9, 192.0.2.1\r\n", "192.0.2.1"},
        {XFF "\", 192.0.2.1\r\n", "192.0.2.1"},
        {XFF ",,,192.0.2.1\r\n", "192.0.2.1"},
        {XFF "192.0.2.9,192.0.2.1,10.0.0.3 ,\t10.0.0.2\r\n", "192.0.2.1"},
        {XFF "192.0.2.9, 192.0.2.1, 2001:db8:1::1\r\n", "192.0.2.1"},
        {XFF "192.0.2.1, ::ffff:10.0.0.2\r\n", "192.0.2.1"},
        /* Several fields are one list. */
        {XFF "192.0.2.9\r\n" XFF "192.0.2.1\r\n", "192.0.2.1"},
        {XFF "192.0.2.1\r\nAccept: a\r\n" XFF "10.0.0.2\r\n", "192.0.2.1"},
        /* All trusted: the farthest. */
        {XFF "10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"},
    };
    CHECK(rows);
}

static void a_list_that_names_no_address_where_it_matters_names_nobody(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {XFF "\r\n", "nobody"},
        {XFF "unknown\r\n", "nobody"},
        {XFF "192.0.2.1, unknown\r\n", "nobody"},
        {XFF "192.0.2.1,\r\n", "nobody"},
        {XFF "192.0.2.1, ,10.0.0.2\r\n", "nobody"},
        {XFF "192.0.2.1 192.0.2.2\r\n", "nobody"},
        {XFF "192.0.2.1:\r\n", "nobody"},
        {XFF "192.0.2.1:65536\r\n", "nobody"},
        {XFF "192.0.2\r\n", "nobody"},
        {XFF "[192.0.2.1]\r\n", "nobody"},
        {XFF "[2001:db8::1\r\n", "nobody"},
        {XFF "[2001:db8::1]4711\r\n", "nobody"},
        {XFF "\"192.0.2.1\"\r\n", "nobody"},
        {XFF "localhost\r\n", "nobody"},
    };
    CHECK(rows);
}

static void the_rightmost_untrusted_node_of_forwarded_is_the_client(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FWD "for=192.0.2.1\r\n", "192.0.2.1"},
        {FWD "For=\"192.0.2.1\"\r\n", "192.0.2.1"},
        {FWD "for=\"192.0.2.1:4711\"\r\n", "192.0.2.1"},
        {FWD "for=\"192.0.2.1:_hidden\"\r\n", "192.0.2.1"},
        {FWD "FOR=\"[2001:db8::1]:4711\";proto=https\r\n", "2001:db8::1"},
        {FWD "proto=https; by=10.0.0.2 ;for=192.0.2.1\r\n", "192.0.2.1"},
        {FWD "for=192.0.2.9, for=192.0.2.1;host=\"a,b;c=d\", for=10.0.0.2\r\n", "192.0.2.1"},
        {FWD "for=unknown, for=192.0.2.1\r\n", "192.0.2.1"},
        {FWD "for=192.0.2.9\r\n" FWD "for=192.0.2.1\r\n", "192.0.2.1"},
        /* An open quote of the client's spoils its own field, not the proxy's. */
        {FWD "for=\"\r\n" FWD "for=192.0.2.1\r\n", "192.0.2.1"},
        {FWD "for=10.0.0.3, for=10.0.0.2\r\n", "10.0.0.3"},
    };
    CHECK(rows);
}

static void forwarded_that_is_malformed_names_nobody(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FWD "\r\n", "nobody"},
        {FWD "for\r\n", "nobody"},
        {FWD "for=\r\n", "nobody"},
        {FWD "for=unknown\r\n", "nobody"},
        {FWD "for=_hidden\r\n", "nobody"},
        {FWD "proto=https\r\n", "nobody"},
        {FWD "for=192.0.2.1;for=192.0.2.2\r\n", "nobody"},
        {FWD "for =192.0.2.1\r\n", "nobody"},
        {FWD "for=192.0.2.1 for=192.0.2.2\r\n", "nobody"},
        {FWD "for=2001:db8::1\r\n", "nobody"},
        {FWD "for=\"192.0.2.\\1\"\r\n", "nobody"},
        {FWD "for=192.0.2.1,\r\n", "nobody"},
        {FWD "for=192.0.2.1;\r\n", "nobody"},
        /* Joined to the client's open quote, what the proxy wrote is nobody's. */
        {FWD "for=\"192.0.2.9, for=192.0.2.1\r\n", "nobody"},
        {FWD "for=\"192.0.2.9, for=\"[2001:db8::1]\"\r\n", "nobody"},
    };
    CHECK(rows);
}

static void two_fields_that_disagree_name_nobody(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {FWD "for=192.0.2.1\r\n" XFF "192.0.2.1\r\n", "192.0.2.1"},
        {XFF "192.0.2.9, 192.0.2.1\r\n" FWD "for=\"192.0.2.1:5\"\r\n", "192.0.2.1"},
        {FWD "for=\"[2001:db8::1]\"\r\n" XFF "2001:db8::1\r\n", "2001:db8::1"},
        {FWD "for=192.0.2.9\r\n" XFF "192.0.2.1\r\n", "nobody"},
        {FWD "for=10.0.0.9\r\n" XFF "192.0.2.1\r\n", "nobody"},
        {FWD "for=unknown\r\n" XFF "192.0.2.1\r\n", "nobody"},
        {FWD "for=192.0.2.1\r\n" XFF "2001:db8::1\r\n", "nobody"},
    };
    CHECK(rows);
}

/* A list of `n` trusted addresses behind the client's. */
static const char *chain(const char *client, const char *hop, size_t n)
{
    static char lines[4096];
    int len = snprintf(lines, sizeof(lines), "%s", client);
    for (size_t i = 0; i < n; i++) {
        len += snprintf(lines + len, sizeof(lines) - (size_t)len, ", %s", hop);
    }
    (void)snprintf(lines + len, sizeof(lines) - (size_t)len, "\r\n");
    return lines;
}

static void a_request_may_have_come_through_31_proxies_more(void **state)
{
    (void)state;
    size_t most = FORWARDED_HOPS_MAX - 1;
    assert_string_equal(client_of(chain(XFF "192.0.2.1", "10.0.0.2", most)), "192.0.2.1");
    assert_string_equal(client_of(chain(XFF "192.0.2.1", "10.0.0.2", most + 1)), "nobody");
    assert_string_equal(client_of(chain(FWD "for=192.0.2.1", "for=10.0.0.2", most)), "192.0.2.1");
    assert_string_equal(client_of(chain(FWD "for=192.0.2.1", "for=10.0.0.2", most + 1)), "nobody");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_field_the_proxy_is_the_client),
        cmocka_unit_test(the_rightmost_untrusted_address_of_a_list_is_the_client),
        cmocka_unit_test(a_list_that_names_no_address_where_it_matters_names_nobody),
        cmocka_unit_test(the_rightmost_untrusted_node_of_forwarded_is_the_client),
        cmocka_unit_test(forwarded_that_is_malformed_names_nobody),
        cmocka_unit_test(two_fields_that_disagree_name_nobody),
        cmocka_unit_test(a_request_may_have_come_through_31_proxies_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
