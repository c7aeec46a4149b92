/* SPDX-License-Identifier: Apache-2.0 */
/* Who the client is, as a proxy says it: the PROXY protocol before the first byte, and Forwarded or
 * X-Forwarded-For in a request. The first byte chooses.
 *
 * A header is the same whether it comes at once or byte by byte, and never reaches beyond itself.
 * The client that fields name is never one of the trusted proxies unless all are. */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "relay/front/forwarded.h"
#include "relay/front/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static enum proxy_state parse(const uint8_t *bytes, size_t len, struct proxy_header *h)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    require(copy != NULL);
    memcpy(copy, bytes, len);
    enum proxy_state state = proxy_parse_header(copy, len, h);
    free(copy);
    return state;
}

static void check_header(const uint8_t *bytes, size_t len)
{
    struct proxy_header whole = {.len = 0};
    enum proxy_state state = parse(bytes, len, &whole);
    require(state != PROXY_MORE || len < PROXY_HEADER_BYTES_MAX);
    if (state == PROXY_COMPLETE) {
        require(whole.len > 0 && whole.len <= len && whole.len <= PROXY_HEADER_BYTES_MAX);
        sa_family_t family = whole.client.any.sa_family;
        require((whole.speaker == PROXY_OF_CLIENT) == (family == AF_INET || family == AF_INET6));
    }
    for (size_t n = 0; n < len && n < 300; n++) {
        struct proxy_header part = {.len = 0};
        enum proxy_state seen = parse(bytes, n, &part);
        if (seen != PROXY_MORE) {
            require(seen == state);
            require(seen == PROXY_BAD || (part.len == whole.len && n >= part.len));
            return;
        }
        require(state != PROXY_COMPLETE || n < whole.len);
    }
}

static void check_fields(const uint8_t *bytes, size_t len)
{
    static const uint8_t line[] = "GET / HTTP/1.1\r\nHost: x\r\n";
    static const uint8_t end[] = "\r\n\r\n";
    struct proxy_trust trust = {.mode = PROXY_FORWARDED, .n_blocks = 1};
    require(cidr_parse(span_of("10.0.0.0/8"), &trust.blocks[0]) == 0);
    struct request r;
    size_t used = 0;
    request_init(&r);
    (void)request_feed(&r, line, sizeof(line) - 1, &used);
    if (request_feed(&r, bytes, len, &used) == REQUEST_FIELDS &&
        request_feed(&r, end, sizeof(end) - 1, &used) != REQUEST_REFUSED) {
        union proxy_address peer = {.v4 = {.sin_family = AF_INET}};
        union proxy_address client;
        peer.v4.sin_addr.s_addr = htonl(0x0a000001);
        forwarded_find_client(&trust, &r, &peer, &client);
        sa_family_t family = client.any.sa_family;
        require(family == AF_INET || family == AF_INET6 || family == AF_UNSPEC);
        union proxy_address again;
        forwarded_find_client(&trust, &r, &peer, &again);
        require(again.any.sa_family == family);
    }
    request_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        check_header(data + 1, size - 1);
    } else {
        check_fields(data + 1, size - 1);
    }
    return 0;
}
