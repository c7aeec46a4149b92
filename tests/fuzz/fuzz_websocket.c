/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a hostile agent, and of a hostile relay, behind a sound handshake.
 *
 * The first byte seeds the sizes of pieces; the rest is fed to either end in one piece and in those
 * pieces. Both ways must tell the same, and what is told must keep the promises of
 * proto/websocket/websocket.h. The beginning of the input is also tried as a Sec-WebSocket-Key. */
#include "proto/websocket/websocket.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"

#define KEY_BYTES 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a stream of frames gave. */
struct account {
    uint32_t sum; /* of all events and bytes, in their order */
    size_t message_bytes;
    bool closed;
    int result;
};

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void add(struct account *a, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) {
        a->sum = (a->sum ^ p[i]) * 16777619u;
    }
}

static int on_bytes(void *user, const uint8_t *bytes, size_t len)
{
    struct account *a = user;
    require(len > 0 && !a->closed);
    a->message_bytes += len;
    require(a->message_bytes <= WEBSOCKET_MESSAGE_BYTES_MAX);
    add(a, bytes, len);
    return 0;
}

static int on_message_end(void *user)
{
    struct account *a = user;
    require(!a->closed);
    a->message_bytes = 0;
    add(a, "end", 3);
    return 0;
}

static void on_ping(void *user, const uint8_t *payload, size_t len)
{
    struct account *a = user;
    require(len <= WEBSOCKET_CONTROL_BYTES_MAX && !a->closed);
    add(a, "ping", 4);
    add(a, payload, len);
}

static void on_close(void *user, uint16_t code)
{
    struct account *a = user;
    require(!a->closed);
    require((code >= 1000 && code <= 1014 && code != 1004 && code != 1006) ||
            (code >= 3000 && code <= 4999));
    a->closed = true;
    add(a, &code, sizeof(code));
}

static bool result_known(const struct account *a)
{
    return a->result == 0 || a->result == WEBSOCKET_CLOSE_PROTOCOL ||
           a->result == WEBSOCKET_CLOSE_UNSUPPORTED || a->result == WEBSOCKET_CLOSE_TOO_BIG ||
           (a->result == -1 && a->closed);
}

/* From memory of its own, so that every byte too far is seen. */
static int feed(struct websocket *w, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    require(copy != NULL);
    memcpy(copy, bytes, len);
    int result = websocket_feed(w, copy, len);
    free(copy);
    return result;
}

/* `cuts` 0: one piece; else its value seeds the sizes of the pieces. */
static struct account parse(enum websocket_role role, const uint8_t *bytes, size_t len,
                            uint32_t cuts)
{
    static const struct websocket_callbacks callbacks = {
        .on_bytes = on_bytes,
        .on_message_end = on_message_end,
        .on_ping = on_ping,
        .on_close = on_close,
    };
    struct account a = {.sum = 2166136261u};
    struct websocket_parser *spare = NULL;
    struct websocket *w = websocket_new(role, &callbacks, &a, &spare);
    require(w != NULL);
    for (size_t at = 0; a.result == 0 && at < len;) {
        size_t n = len - at;
        if (cuts != 0) {
            cuts = cuts * 1103515245u + 12345u;
            size_t wanted = (cuts >> 16) % ((cuts & 0x100) != 0 ? 3 : 200) + 1;
            n = wanted < n ? wanted : n;
        }
        a.result = feed(w, bytes + at, n);
        at += n;
    }
    require(result_known(&a));
    websocket_free(w);
    websocket_parser_free(spare);
    return a;
}

static void try_key(const uint8_t *bytes, size_t len)
{
    char accept[WEBSOCKET_ACCEPT_BYTES];
    char key[KEY_BYTES + 1];
    size_t key_len = len < sizeof(key) ? len : sizeof(key);
    memcpy(key, bytes, key_len);
    if (websocket_accept(key, key_len, accept) == 0) {
        require(key_len == KEY_BYTES && strlen(accept) == WEBSOCKET_ACCEPT_BYTES - 1);
    }
    if (key_len > KEY_BYTES) {
        key_len = KEY_BYTES;
        require(websocket_accept(key, key_len, accept) <= 0);
    }
}

static void try_cuts(enum websocket_role role, const uint8_t *bytes, size_t len, uint32_t cuts)
{
    struct account whole = parse(role, bytes, len, 0);
    struct account pieces = parse(role, bytes, len, cuts);
    require(whole.sum == pieces.sum && whole.result == pieces.result &&
            whole.closed == pieces.closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    try_cuts(WEBSOCKET_SERVER, data + 1, size - 1, (uint32_t)data[0] + 1);
    try_cuts(WEBSOCKET_CLIENT, data + 1, size - 1, (uint32_t)data[0] + 1);
    try_key(data + 1, size - 1);
    return 0;
}
