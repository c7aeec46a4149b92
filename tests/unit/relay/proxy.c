/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of relay/front/proxy.h: whose word is taken, and the PROXY protocol. Each header is also
 * cut at every byte. */
#include "relay/front/proxy.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- verbs ---- */

static const uint8_t SIGNATURE[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Longer than any header may be. */
static uint8_t text[2 * PROXY_HEADER_BYTES_MAX];

static void assert_address(const union proxy_address *a, const char *host, uint16_t port)
{
    char printed[INET6_ADDRSTRLEN] = "";
    if (host == NULL) {
        assert_int_equal(a->any.sa_family, AF_UNSPEC);
        return;
    }
    if (a->any.sa_family == AF_INET) {
        assert_non_null(inet_ntop(AF_INET, &a->v4.sin_addr, printed, sizeof(printed)));
        assert_int_equal(ntohs(a->v4.sin_port), port);
    } else {
        assert_int_equal(a->any.sa_family, AF_INET6);
        assert_non_null(inet_ntop(AF_INET6, &a->v6.sin6_addr, printed, sizeof(printed)));
        assert_int_equal(ntohs(a->v6.sin6_port), port);
    }
    assert_string_equal(printed, host);
}

/* The verdict is the same however the bytes are cut: MORE for every beginning of a good header. */
static struct proxy_header read_whole(const void *bytes, size_t len)
{
    struct proxy_header h;
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(proxy_parse_header(bytes, cut, &h), PROXY_MORE);
    }
    assert_int_equal(proxy_parse_header(bytes, len, &h), PROXY_COMPLETE);
    assert_int_equal(h.len, len);
    return h;
}

/* No beginning is taken, and the whole is refused. */
static void assert_bad(const void *bytes, size_t len)
{
    struct proxy_header h = {.len = 12345};
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_not_equal(proxy_parse_header(bytes, cut, &h), PROXY_COMPLETE);
    }
    assert_int_equal(proxy_parse_header(bytes, len, &h), PROXY_BAD);
    assert_int_equal(h.len, 12345);
}

/* Builds a version 2 header in `text`; its length. */
static size_t make_v2(uint8_t command, uint8_t family, const void *rest, size_t rest_len)
{
    memset(text, 0, sizeof(text));
    memcpy(text, SIGNATURE, sizeof(SIGNATURE));
    text[12] = command;
    text[13] = family;
    text[14] = (uint8_t)(rest_len >> 8);
    text[15] = (uint8_t)rest_len;
    if (rest != NULL) {
        memcpy(text + 16, rest, rest_len);
    }
    return 16 + rest_len;
}

static struct cidr block(const char *written)
{
    struct cidr b;
    assert_int_equal(cidr_parse(span_of(written), &b), 0);
    return b;
}

static union proxy_address address(const char *host)
{
    union proxy_address a;
    int family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    assert_int_equal(proxy_parse_host(span_of(host), family, 4711, &a), 0);
    return a;
}

/* ---- whose word is taken ---- */

static void only_listed_peers_are_trusted(void **state)
{
    (void)state;
    struct proxy_trust t = {.mode = PROXY_PROTOCOL,
                            .blocks = {block("10.0.0.0/8"), block("2001:db8::/32")},
                            .n_blocks = 2};
    union proxy_address inside = address("10.1.2.3");
    union proxy_address mapped = address("::ffff:10.1.2.3");
    union proxy_address inside6 = address("2001:db8::1");
    union proxy_address outside = address("11.1.2.3");
    union proxy_address nobody = {.v6 = {.sin6_family = AF_UNSPEC}};
    assert_true(proxy_is_trusted(&t, &inside.any));
    assert_true(proxy_is_trusted(&t, &mapped.any));
    assert_true(proxy_is_trusted(&t, &inside6.any));
    assert_false(proxy_is_trusted(&t, &outside.any));
    assert_false(proxy_is_trusted(&t, &nobody.any));
}

static void nobody_is_trusted_without_a_mode(void **state)
{
    (void)state;
    struct proxy_trust t = {.mode = PROXY_NONE, .blocks = {block("0.0.0.0/0")}, .n_blocks = 1};
    union proxy_address any = address("10.1.2.3");
    assert_false(proxy_is_trusted(&t, &any.any));
}

/* ---- version 1 ---- */

static void a_line_names_the_client(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *host;
        uint16_t port;
    } rows[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "192.0.2.1", 56324},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255", 65535},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 0 0\r\n", "192.0.2.1", 0},
        {"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "2001:db8::1", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_header h = read_whole(rows[i].line, strlen(rows[i].line));
        assert_int_equal(h.speaker, PROXY_OF_CLIENT);
        assert_address(&h.client, rows[i].host, rows[i].port);
    }
}

static void an_unknown_client_is_nobody_whatever_follows(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN 192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct proxy_header h = read_whole(lines[i], strlen(lines[i]));
        assert_int_equal(h.speaker, PROXY_OF_NOBODY);
        assert_address(&h.client, NULL, 0);
    }
}

static void what_follows_a_line_is_not_its(void **state)
{
    (void)state;
    static const char both[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nPROXY TCP4 ";
    struct proxy_header h;
    assert_int_equal(proxy_parse_header((const uint8_t *)both, sizeof(both) - 1, &h),
                     PROXY_COMPLETE);
    assert_int_equal(h.len, strchr(both, '\n') - both + 1);
}

static void malformed_lines_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01\x02",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 host 1 2\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 2001:db8::1%lo 2001:db8::2 1 2\r\n",
        "PROXY TCP6 [2001:db8::1] [2001:db8::2] 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWNX\r\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_bad(lines[i], strlen(lines[i]));
    }
}

static void a_nul_is_no_part_of_an_address(void **state)
{
    (void)state;
    static const char line[] = "PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n";
    assert_bad(line, sizeof(line) - 1);
}

static void a_line_may_have_107_bytes(void **state)
{
    (void)state;
    char line[PROXY_LINE_BYTES_MAX + 2];
    (void)snprintf(line, sizeof(line), "PROXY UNKNOWN %091d\r\n", 0);
    assert_int_equal(strlen(line), PROXY_LINE_BYTES_MAX);
    (void)read_whole(line, PROXY_LINE_BYTES_MAX);
    (void)snprintf(line, sizeof(line), "PROXY UNKNOWN %092d\r\n", 0);
    assert_bad(line, PROXY_LINE_BYTES_MAX);
}

/* ---- version 2 ---- */

static const uint8_t TCP4[12] = {192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb};
static const uint8_t TCP6[36] = {
    0x20, 0x01, 0x0d, 0xb8, [15] = 1, [16] = 0x20, [31] = 2, [32] = 0x12, [33] = 0x67};

static void a_binary_header_names_the_client(void **state)
{
    (void)state;
    size_t len = make_v2(0x21, 0x11, TCP4, sizeof(TCP4));
    struct proxy_header h = read_whole(text, len);
    assert_int_equal(h.speaker, PROXY_OF_CLIENT);
    assert_address(&h.client, "192.0.2.1", 56324);
    len = make_v2(0x21, 0x21, TCP6, sizeof(TCP6));
    h = read_whole(text, len);
    assert_int_equal(h.speaker, PROXY_OF_CLIENT);
    assert_address(&h.client, "2001:db8::1", 4711);
}

static void a_proxy_may_speak_for_itself(void **state)
{
    (void)state;
    static const uint8_t families[] = {0x00, 0x11, 0x21, 0x31, 0xff};
    for (size_t i = 0; i < sizeof(families); i++) {
        struct proxy_header h = read_whole(text, make_v2(0x20, families[i], TCP4, sizeof(TCP4)));
        assert_int_equal(h.speaker, PROXY_OF_ITSELF);
        h = read_whole(text, make_v2(0x20, families[i], NULL, 0));
        assert_int_equal(h.speaker, PROXY_OF_ITSELF);
    }
}

static void clients_without_an_internet_address_are_nobody(void **state)
{
    (void)state;
    struct proxy_header h = read_whole(text, make_v2(0x21, 0x00, NULL, 0));
    assert_int_equal(h.speaker, PROXY_OF_NOBODY);
    assert_address(&h.client, NULL, 0);
    h = read_whole(text, make_v2(0x21, 0x00, TCP4, sizeof(TCP4)));
    assert_int_equal(h.speaker, PROXY_OF_NOBODY);
    h = read_whole(text, make_v2(0x21, 0x31, NULL, 216));
    assert_int_equal(h.speaker, PROXY_OF_NOBODY);
}

static void tlvs_are_skipped(void **state)
{
    (void)state;
    uint8_t rest[64];
    memcpy(rest, TCP4, sizeof(TCP4));
    static const uint8_t tlvs[] = {0x01, 0, 2, 'h', '2', 0x04, 0, 0, 0xea, 0, 1, 7};
    memcpy(rest + sizeof(TCP4), tlvs, sizeof(tlvs));
    struct proxy_header h = read_whole(text, make_v2(0x21, 0x11, rest, 12 + sizeof(tlvs)));
    assert_address(&h.client, "192.0.2.1", 56324);
    /* Each other cut of the last one is malformed. */
    for (size_t cut = 1; cut < 4; cut++) {
        assert_bad(text, make_v2(0x21, 0x11, rest, 12 + sizeof(tlvs) - cut));
    }
}

static void a_binary_header_may_have_2048_bytes(void **state)
{
    (void)state;
    uint8_t rest[PROXY_HEADER_BYTES_MAX] = {0};
    size_t tlv_len = PROXY_HEADER_BYTES_MAX - 16 - sizeof(TCP4) - 3;
    memcpy(rest, TCP4, sizeof(TCP4));
    rest[13] = (uint8_t)(tlv_len >> 8);
    rest[14] = (uint8_t)tlv_len;
    struct proxy_header h =
        read_whole(text, make_v2(0x21, 0x11, rest, PROXY_HEADER_BYTES_MAX - 16));
    assert_int_equal(h.len, PROXY_HEADER_BYTES_MAX);
    /* One byte more is refused as soon as that is known. */
    (void)make_v2(0x21, 0x11, rest, PROXY_HEADER_BYTES_MAX - 15);
    assert_bad(text, 16);
}

static void malformed_binary_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t command;
        uint8_t family;
        size_t len;
    } rows[] = {
        {0x22, 0x11, 12}, /* neither LOCAL nor PROXY */
        {0x11, 0x11, 12}, /* version 1 */
        {0x31, 0x11, 12}, /* version 3 */
        {0x21, 0x11, 11}, /* too short for its addresses */
        {0x21, 0x11, 0},  {0x21, 0x21, 35},  {0x21, 0x31, 215}, {0x21, 0x12, 12}, /* datagrams */
        {0x21, 0x22, 36}, {0x21, 0x32, 216}, {0x21, 0x10, 12}, /* no such family */
        {0x21, 0x41, 36}, {0x21, 0x01, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_bad(text, make_v2(rows[i].command, rows[i].family, NULL, rows[i].len));
    }
}

static void a_damaged_signature_is_refused_at_once(void **state)
{
    (void)state;
    for (size_t at = 0; at < 12; at++) {
        size_t len = make_v2(0x21, 0x11, TCP4, sizeof(TCP4));
        text[at] ^= 1;
        struct proxy_header h;
        assert_int_equal(proxy_parse_header(text, at + 1, &h), PROXY_BAD);
        assert_int_equal(proxy_parse_header(text, len, &h), PROXY_BAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_listed_peers_are_trusted),
        cmocka_unit_test(nobody_is_trusted_without_a_mode),
        cmocka_unit_test(a_line_names_the_client),
        cmocka_unit_test(an_unknown_client_is_nobody_whatever_follows),
        cmocka_unit_test(what_follows_a_line_is_not_its),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(a_nul_is_no_part_of_an_address),
        cmocka_unit_test(a_line_may_have_107_bytes),
        cmocka_unit_test(a_binary_header_names_the_client),
        cmocka_unit_test(a_proxy_may_speak_for_itself),
        cmocka_unit_test(clients_without_an_internet_address_are_nobody),
        cmocka_unit_test(tlvs_are_skipped),
        cmocka_unit_test(a_binary_header_may_have_2048_bytes),
        cmocka_unit_test(malformed_binary_headers_are_refused),
        cmocka_unit_test(a_damaged_signature_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
