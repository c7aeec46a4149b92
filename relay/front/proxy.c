/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol. Sections are those of HAProxy's proxy-protocol.txt. */
#include "relay/front/proxy.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/base/error.h"

/* The fixed part of version 2 (2.2): signature, command, family, length. */
#define V2_HEAD_BYTES  16
#define V2_TCP4_BYTES  12
#define V2_TCP6_BYTES  36
#define V2_UNIX_BYTES  216
#define TLV_HEAD_BYTES 3

static const uint8_t SIGNATURE[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                      '\n', 'Q',  'U',  'I',  'T', '\n'};
static const char LINE_START[] = "PROXY ";

void proxy_address_set(union proxy_address *a, const struct sockaddr *from)
{
    union proxy_address set = {.v6 = {.sin6_family = AF_UNSPEC}};
    if (from->sa_family == AF_INET) {
        memcpy(&set.v4, from, sizeof(set.v4));
    } else if (from->sa_family == AF_INET6) {
        memcpy(&set.v6, from, sizeof(set.v6));
    }
    *a = set;
}

bool proxy_is_trusted(const struct proxy_trust *t, const struct sockaddr *peer)
{
    for (size_t i = 0; t->mode != PROXY_NONE && i < t->n_blocks; i++) {
        if (cidr_contains(&t->blocks[i], peer)) {
            return true;
        }
    }
    return false;
}

static void set_v4(union proxy_address *a, const void *bytes, uint16_t port)
{
    union proxy_address set = {.v6 = {.sin6_family = AF_UNSPEC}};
    set.v4.sin_family = AF_INET;
    set.v4.sin_port = htons(port);
    memcpy(&set.v4.sin_addr, bytes, sizeof(set.v4.sin_addr));
    *a = set;
}

static void set_v6(union proxy_address *a, const void *bytes, uint16_t port)
{
    union proxy_address set = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    memcpy(&set.v6.sin6_addr, bytes, sizeof(set.v6.sin6_addr));
    *a = set;
}

int proxy_parse_host(struct span text, int family, uint16_t port, union proxy_address *a)
{
    uint8_t bytes[16];
    char host[INET6_ADDRSTRLEN];
    if (span_find(text, '\0') != text.len || span_copy(text, host, sizeof(host)) < 0 ||
        inet_pton(family, host, bytes) != 1) {
        return ERROR_SYNTAX;
    }
    if (family == AF_INET) {
        set_v4(a, bytes, port);
    } else {
        set_v6(a, bytes, port);
    }
    return 0;
}

int proxy_parse_port(struct span text, uint16_t *port)
{
    uint64_t n = 0;
    bool padded = text.len > 1 && text.p[0] == '0';
    if (padded || span_parse_u64(text, UINT16_MAX, &n) < 0) {
        return ERROR_SYNTAX;
    }
    *port = (uint16_t)n;
    return 0;
}

/* Behind "PROXY TCP4 " or "PROXY TCP6 ": source, destination, their ports (2.1). */
static int parse_line_addresses(struct span rest, int family, union proxy_address *client)
{
    union proxy_address destination;
    struct span source_text = span_cut(&rest, ' ');
    struct span destination_text = span_cut(&rest, ' ');
    struct span port_text = span_cut(&rest, ' ');
    uint16_t port = 0;
    uint16_t destination_port = 0;
    if (proxy_parse_port(port_text, &port) < 0 || proxy_parse_port(rest, &destination_port) < 0 ||
        proxy_parse_host(destination_text, family, destination_port, &destination) < 0) {
        return ERROR_SYNTAX;
    }
    return proxy_parse_host(source_text, family, port, client);
}

static enum proxy_state parse_line(struct span line, size_t len, struct proxy_header *h)
{
    struct proxy_header read = {.len = len, .speaker = PROXY_OF_CLIENT};
    struct span rest = {line.p + sizeof(LINE_START) - 1, line.len - (sizeof(LINE_START) - 1)};
    struct span protocol = span_cut(&rest, ' ');
    bool is_v4 = span_equal(protocol, span_of("TCP4"));
    if (span_equal(protocol, span_of("UNKNOWN"))) {
        read.speaker = PROXY_OF_NOBODY; /* whatever follows is to be ignored */
    } else if ((!is_v4 && !span_equal(protocol, span_of("TCP6"))) ||
               parse_line_addresses(rest, is_v4 ? AF_INET : AF_INET6, &read.client) < 0) {
        return PROXY_BAD;
    }
    *h = read;
    return PROXY_COMPLETE;
}

static enum proxy_state parse_v1(struct span text, struct proxy_header *h)
{
    size_t most = text.len < PROXY_LINE_BYTES_MAX ? text.len : PROXY_LINE_BYTES_MAX;
    size_t end = span_find((struct span){text.p, most}, '\n');
    if (end == most) {
        return most == PROXY_LINE_BYTES_MAX ? PROXY_BAD : PROXY_MORE;
    }
    struct span line = {text.p, end - 1}; /* the start alone is longer than 1 */
    if (text.p[end - 1] != '\r' || span_find(line, '\r') != line.len ||
        line.len < sizeof(LINE_START)) {
        return PROXY_BAD;
    }
    return parse_line(line, end + 1, h);
}

/* TLVs fill exactly what is left behind the addresses (2.2). */
static bool tlvs_ok(const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    while (len - at >= TLV_HEAD_BYTES) {
        size_t value_len = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
        if (value_len > len - at - TLV_HEAD_BYTES) {
            return false;
        }
        at += TLV_HEAD_BYTES + value_len;
    }
    return at == len;
}

static uint16_t port_at(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* Behind the fixed part: addresses by family, then TLVs. */
static enum proxy_state parse_v2_addresses(uint8_t family, const uint8_t *bytes, size_t len,
                                           struct proxy_header *h)
{
    size_t address_bytes = 0;
    switch (family) {
    case 0x00: break;                                /* UNSPEC */
    case 0x11: address_bytes = V2_TCP4_BYTES; break; /* TCP over IPv4 */
    case 0x21: address_bytes = V2_TCP6_BYTES; break; /* TCP over IPv6 */
    case 0x31: address_bytes = V2_UNIX_BYTES; break; /* a stream on a local socket */
    default: return PROXY_BAD;
    }
    /* What follows UNSPEC has no form of its own. */
    if (len < address_bytes ||
        (family != 0x00 && !tlvs_ok(bytes + address_bytes, len - address_bytes))) {
        return PROXY_BAD;
    }
    h->speaker = PROXY_OF_CLIENT;
    if (family == 0x11) {
        set_v4(&h->client, bytes, port_at(bytes + 8));
    } else if (family == 0x21) {
        set_v6(&h->client, bytes, port_at(bytes + 32));
    } else {
        h->speaker = PROXY_OF_NOBODY;
    }
    return PROXY_COMPLETE;
}

static enum proxy_state parse_v2(const uint8_t *bytes, size_t len, struct proxy_header *h)
{
    if (len >= 13 && bytes[12] != 0x20 && bytes[12] != 0x21) {
        return PROXY_BAD; /* another version, or neither LOCAL nor PROXY */
    }
    if (len < V2_HEAD_BYTES) {
        return PROXY_MORE;
    }
    size_t rest_len = (size_t)bytes[14] << 8 | bytes[15];
    if (V2_HEAD_BYTES + rest_len > PROXY_HEADER_BYTES_MAX) {
        return PROXY_BAD;
    }
    if (len < V2_HEAD_BYTES + rest_len) {
        return PROXY_MORE;
    }
    struct proxy_header read = {.len = V2_HEAD_BYTES + rest_len, .speaker = PROXY_OF_ITSELF};
    enum proxy_state state = PROXY_COMPLETE;
    if (bytes[12] == 0x21) {
        state = parse_v2_addresses(bytes[13], bytes + V2_HEAD_BYTES, rest_len, &read);
    }
    if (state == PROXY_COMPLETE) {
        *h = read;
    }
    return state;
}

static bool may_begin(const uint8_t *bytes, size_t len, const void *start, size_t start_len)
{
    return memcmp(bytes, start, len < start_len ? len : start_len) == 0;
}

enum proxy_state proxy_parse_header(const uint8_t *bytes, size_t len, struct proxy_header *h)
{
    if (len == 0) {
        return PROXY_MORE;
    }
    if (may_begin(bytes, len, SIGNATURE, sizeof(SIGNATURE))) {
        return parse_v2(bytes, len, h);
    }
    if (may_begin(bytes, len, LINE_START, sizeof(LINE_START) - 1)) {
        return parse_v1((struct span){(const char *)bytes, len}, h);
    }
    return PROXY_BAD;
}
