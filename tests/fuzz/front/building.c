/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a tunnel. Frames are masked with zeros, which leaves the bytes as they are. */
#include "tests/fuzz/front/building.h"

#include <stdlib.h>
#include <string.h>

#define OPCODE_BINARY 0x82
#define OPCODE_CLOSE  0x88

static const char upgrade[] = "GET /tunnel HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                              "Sec-WebSocket-Protocol: thinknx-tunnel.v1\r\n"
                              "Authorization: Basic "
                              "UzpUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVFRUVA==\r\n\r\n";

static uint64_t now_ms(void)
{
    return worker_now_ms(world_open());
}

static int find(const struct building *b, uint32_t stream)
{
    for (int i = 0; i < BUILDING_STREAMS; i++) {
        if (b->streams[i] == stream) {
            return i;
        }
    }
    return -1;
}

static void on_request(void *user, uint32_t stream, const struct head_request *head, bool end,
                       void **stream_user)
{
    struct building *b = user;
    (void)end;
    (void)stream_user;
    struct span prefix = {head->path.p, 8};
    world_require(head->path.len > 8 && span_equal_nocase(prefix, span_of("/api/v1/")));
    b->n_requests++;
    int i = find(b, 0);
    if (i < 0) {
        mux_reset(b->mux, stream, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
        return;
    }
    b->streams[i] = stream;
    b->answered[i] = false;
}

static void forget(struct building *b, uint32_t stream)
{
    int i = find(b, stream);
    if (i >= 0) {
        b->streams[i] = 0;
    }
}

static void on_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end)
{
    struct building *b = user;
    (void)stream_user;
    (void)bytes;
    (void)end;
    mux_consume(b->mux, stream, len);
}

static void on_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered)
{
    (void)stream_user;
    (void)reason;
    (void)delivered;
    forget(user, stream);
}

static void on_done(void *user, uint32_t stream, void *stream_user)
{
    (void)stream_user;
    forget(user, stream);
}

static void send_frame(struct building *b, uint8_t first, const uint8_t *bytes, size_t len)
{
    static uint8_t frame[8 + FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX];
    size_t n = 0;
    if (len > sizeof(frame) - 8) {
        return;
    }
    frame[n++] = first;
    if (len < 126) {
        frame[n++] = (uint8_t)(0x80 | len);
    } else {
        frame[n++] = 0x80 | 126;
        frame[n++] = (uint8_t)(len >> 8);
        frame[n++] = (uint8_t)len;
    }
    memset(frame + n, 0, 4);
    memcpy(frame + n + 4, bytes, len);
    world_send(&b->peer, frame, n + 4 + len);
}

/* One of the relay's frames off the front of what was received; false if none is whole. */
static bool take_frame(struct building *b)
{
    const uint8_t *p = buffer_bytes(&b->peer.received);
    size_t have = b->peer.received.len;
    if (have < 2) {
        return false;
    }
    size_t head = 2;
    size_t len = p[1];
    world_require((p[0] & 0x70) == 0 && (p[0] & 0x80) != 0);
    world_require(len < 127); /* no mask, and nothing is so long that it needs 64 bits */
    if (len == 126 && have >= 4) {
        head = 4;
        len = (size_t)p[2] << 8 | p[3];
        world_require(len >= 126);
    }
    if ((p[1] == 126 && have < 4) || have < head + len) {
        return false;
    }
    if (p[0] == OPCODE_BINARY && !b->lies) {
        world_require(mux_recv(b->mux, p + head, len, now_ms()) == 0);
        world_require(mux_recv_end(b->mux, now_ms()) == 0);
    }
    b->closed = b->closed || p[0] == OPCODE_CLOSE;
    buffer_consume(&b->peer.received, head + len);
    return true;
}

static bool skip_upgrade(struct building *b)
{
    struct span text = {(const char *)buffer_bytes(&b->peer.received), b->peer.received.len};
    if (b->upgraded || text.len < 4) {
        return b->upgraded;
    }
    world_require(span_starts(text, span_of("HTTP/1.1 101 ")));
    const char *end = memmem(text.p, text.len, "\r\n\r\n", 4);
    world_require(end != NULL);
    buffer_consume(&b->peer.received, (size_t)(end - text.p) + 4);
    b->upgraded = true;
    return true;
}

static void push(struct building *b)
{
    static uint8_t message[FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX];
    size_t len = 0;
    while (!b->lies && !b->closed &&
           (len = mux_pull(b->mux, message, sizeof(message), now_ms())) > 0) {
        send_frame(b, OPCODE_BINARY, message, len);
        world_turn();
    }
}

void building_move(struct building *b)
{
    if (b->mux == NULL) {
        return;
    }
    world_turn();
    world_receive(&b->peer);
    if (skip_upgrade(b)) {
        while (take_frame(b)) {
        }
        push(b);
        world_turn();
    }
}

void building_open(struct building *b)
{
    static const struct mux_events events = {
        .on_request = on_request,
        .on_data = on_data,
        .on_reset = on_reset,
        .on_done = on_done,
    };
    struct mux_settings s = mux_default_settings(MUX_AGENT, "agent/fuzz");
    memset(b, 0, sizeof(*b));
    b->mux = mux_new(&s, &events, b, now_ms());
    world_require(b->mux != NULL);
    world_connect(&b->peer, false);
    world_send(&b->peer, upgrade, sizeof(upgrade) - 1);
    building_move(b);
    building_move(b);
    world_require(mux_ready(b->mux));
}

void building_close(struct building *b)
{
    if (b->mux != NULL) {
        mux_close(b->mux);
        mux_free(b->mux);
        world_close(&b->peer);
        b->mux = NULL;
    }
}

static void respond(struct building *b, int i, uint8_t what, bool whole)
{
    static const struct head_field fields[] = {
        {.name = {"Content-Type", 12}, .value = {"application/json", 16}},
        {.name = {"Set-Cookie", 10}, .value = {"a=b", 3}},
    };
    static const uint8_t bytes[255];
    struct head_response head = {.status = (uint16_t)(200 + what % 200), .fields = fields};
    head.n_fields = what % 3;
    head.body_bytes = what % 5 == 0 ? -1 : what;
    if (!b->answered[i] && mux_respond(b->mux, b->streams[i], &head, head.body_bytes == 0) == 0) {
        b->answered[i] = true;
    }
    if (b->answered[i] && (whole || what % 2 == 0)) {
        (void)mux_send_data(b->mux, b->streams[i], bytes, head.body_bytes < 0 ? 10 : (size_t)what,
                            true);
    }
}

void building_act(struct building *b, uint8_t what)
{
    int i = what % 4;
    if (b->mux == NULL || b->lies || b->streams[i] == 0) {
        return;
    }
    switch (what / 4 % 4) {
    case 0: mux_handed(b->mux, b->streams[i], now_ms()); break;
    case 1:
        mux_reset(b->mux, b->streams[i], HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
        b->streams[i] = 0;
        break;
    default: respond(b, i, what, false); break;
    }
    building_move(b);
}

void building_answer_all(struct building *b)
{
    if (b->mux == NULL || b->lies) {
        return;
    }
    for (int round = 0; round < 100; round++) {
        building_move(b);
        bool busy = false;
        for (int i = 0; i < BUILDING_STREAMS; i++) {
            if (b->streams[i] != 0 && b->answered[i]) {
                mux_reset(b->mux, b->streams[i], HEAD_RESET_DEADLINE, HEAD_DELIVERED_YES);
                b->streams[i] = 0;
                busy = true;
            } else if (b->streams[i] != 0) {
                respond(b, i, 6, true);
                busy = true;
            }
        }
        building_move(b);
        if (!busy) {
            return;
        }
    }
    world_require(false);
}

void building_lie(struct building *b, const uint8_t *bytes, size_t len, bool raw)
{
    if (b->mux == NULL) {
        return;
    }
    b->lies = true;
    if (raw) {
        world_send(&b->peer, bytes, len);
    } else {
        send_frame(b, OPCODE_BINARY, bytes, len);
    }
    building_move(b);
}
