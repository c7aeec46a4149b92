/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes into frames, and frames to where they belong.
 *
 * A frame that lies whole in the bytes at hand is served from there. One that is cut is put
 * together in mux.partial, which grows with what has come, not with what was announced, so that a
 * header alone makes nobody hold memory. Its length is checked as soon as its header is there. */
#include "proto/wire/mux_internal.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/wire/le.h"

/* Shortest and longest times that an agent takes over from WELCOME: a relay cannot make it send
 * without pause, nor never notice a dead tunnel. */
#define PING_MS_MIN 1000
#define PING_MS_MAX 600000

int mux_recv_cheap(struct mux *m, uint64_t now_ms)
{
    struct bucket_rate rate = {MUX_CHEAP_FRAMES_PER_S, MUX_CHEAP_FRAMES_PER_S};
    if (!bucket_take(&m->cheap, rate, now_ms * 1000, NULL)) {
        return mux_fail(m, MUX_FAULT_FLOOD);
    }
    return 0;
}

/* The peer's name for itself; it goes to logs, so nothing but visible ASCII and spaces. */
static void copy_software(struct mux_peer *peer, struct span software)
{
    size_t len = software.len < sizeof(peer->software) ? software.len : sizeof(peer->software) - 1;
    for (size_t i = 0; i < len; i++) {
        if (software.p[i] >= 0x20 && software.p[i] <= 0x7e) {
            peer->software[i] = software.p[i];
        } else {
            peer->software[i] = '?';
        }
    }
    peer->software[len] = '\0';
}

static uint32_t clamp_ms(uint32_t ms)
{
    if (ms < PING_MS_MIN) {
        return PING_MS_MIN;
    }
    return ms > PING_MS_MAX ? PING_MS_MAX : ms;
}

/* The windows that the peer offers, and how many streams both take. */
static int take_windows(struct mux *m, uint32_t stream_window, uint32_t tunnel_window,
                        uint32_t max_streams)
{
    if (stream_window > MUX_CREDIT_MAX || tunnel_window > MUX_CREDIT_MAX) {
        return mux_fail(m, MUX_FAULT_FLOW);
    }
    m->peer_stream_window = stream_window;
    m->send_credit = tunnel_window;
    m->peer.max_streams = max_streams;
    m->max_streams = max_streams < m->settings.max_streams ? max_streams : m->settings.max_streams;
    return 0;
}

static int become_ready(struct mux *m)
{
    m->ready = true;
    if (m->events.on_ready != NULL) {
        m->events.on_ready(m->user, &m->peer);
    }
    return mux_code(m);
}

static int serve_hello(struct mux *m, const struct frame_header *h, const uint8_t *payload)
{
    struct head_hello hello;
    if (head_unpack_hello(payload, h->len, &hello) != 0) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    uint16_t version =
        hello.version_max < m->settings.version_max ? hello.version_max : m->settings.version_max;
    if (version < hello.version_min || version < m->settings.version_min) {
        return mux_fail(m, MUX_FAULT_VERSION);
    }
    int rc =
        take_windows(m, hello.stream_window_bytes, hello.tunnel_window_bytes, hello.max_streams);
    if (rc != 0) {
        return rc;
    }
    m->peer.version = version;
    m->peer.generation = m->settings.generation;
    m->peer.capabilities = hello.capabilities;
    copy_software(&m->peer, hello.software);
    if (mux_out_welcome(m) != 0) {
        return mux_fail(m, MUX_FAULT_MEMORY);
    }
    return become_ready(m);
}

static int serve_welcome(struct mux *m, const struct frame_header *h, const uint8_t *payload)
{
    struct head_welcome welcome;
    if (head_unpack_welcome(payload, h->len, &welcome) != 0) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    if (welcome.version < m->settings.version_min || welcome.version > m->settings.version_max) {
        return mux_fail(m, MUX_FAULT_VERSION);
    }
    int rc = take_windows(m, welcome.stream_window_bytes, welcome.tunnel_window_bytes,
                          welcome.max_streams);
    if (rc != 0) {
        return rc;
    }
    m->peer.version = welcome.version;
    m->peer.generation = welcome.generation;
    m->peer.capabilities = welcome.capabilities;
    copy_software(&m->peer, welcome.software);
    m->settings.ping_idle_ms = clamp_ms(welcome.ping_idle_ms);
    m->settings.reply_deadline_ms = clamp_ms(welcome.reply_deadline_ms);
    return become_ready(m);
}

static int serve_ping(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                      uint64_t now_ms)
{
    if (h->len < MUX_PING_BYTES) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    int rc = mux_recv_cheap(m, now_ms);
    if (rc != 0) {
        return rc;
    }
    mux_out_sure(m, FRAME_PONG, 0, payload, MUX_PING_BYTES);
    return mux_code(m);
}

static int serve_pong(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                      uint64_t now_ms)
{
    if (h->len < MUX_PING_BYTES) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    if (!m->pong_waits || le_unpack_u64(payload) != m->ping_ms) {
        return mux_recv_cheap(m, now_ms);
    }
    m->pong_waits = false;
    uint64_t rtt_ms = now_ms - m->ping_ms;
    m->rtt_us = rtt_ms < UINT32_MAX / 1000 ? (uint32_t)rtt_ms * 1000 : UINT32_MAX;
    return 0;
}

/* Requests that have not left will not be taken any more. */
static void give_back_requests(struct mux *m)
{
    struct list *node;
    while ((node = list_first(&m->requests)) != NULL) {
        mux_serve_lost(m, LIST_ITEM(node, struct mux_stream, send), HEAD_RESET_TUNNEL_LOST,
                       HEAD_DELIVERED_NO);
    }
}

static int serve_goaway(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                        uint64_t now_ms)
{
    struct head_goaway_info info;
    if (head_unpack_goaway(payload, h->len, &info) != 0) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    if (m->goaway_recv) {
        return mux_recv_cheap(m, now_ms);
    }
    m->goaway_recv = true;
    if (m->settings.role == MUX_RELAY) {
        mux_goaway(m, HEAD_GOAWAY_SHUTDOWN, 0);
    }
    bool known = info.reason >= HEAD_GOAWAY_SHUTDOWN && info.reason <= HEAD_GOAWAY_EXHAUSTED;
    if (m->events.on_goaway != NULL) {
        m->events.on_goaway(m->user, known ? (enum head_goaway)info.reason : HEAD_GOAWAY_SHUTDOWN,
                            info.retry_after_ms);
    }
    give_back_requests(m);
    return mux_code(m);
}

/* Whether the peer may send the type at all, and already. */
static bool in_order(const struct mux *m, uint8_t type)
{
    bool from_agent = m->settings.role == MUX_RELAY;
    switch ((enum frame_type)type) {
    case FRAME_HELLO: return from_agent && !m->ready;
    case FRAME_WELCOME: return !from_agent && !m->ready;
    case FRAME_GOAWAY: return !from_agent || m->ready;
    case FRAME_HANDED:
    case FRAME_RESPONSE:
    case FRAME_CONTROL: return from_agent && m->ready;
    case FRAME_REQUEST:
    case FRAME_CONTROL_REPLY: return !from_agent && m->ready;
    case FRAME_DATA:
    case FRAME_RESET:
    case FRAME_WINDOW:
    case FRAME_PING:
    case FRAME_PONG: return m->ready;
    case FRAME_EVENT: break;
    }
    return true;
}

/* Frames that belong to the tunnel carry stream 0. */
static bool of_tunnel(uint8_t type)
{
    return type == FRAME_HELLO || type == FRAME_WELCOME || type == FRAME_PING ||
           type == FRAME_PONG || type == FRAME_GOAWAY;
}

static int dispatch(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                    uint64_t now_ms)
{
    if (!in_order(m, h->type)) {
        return mux_fail(m, MUX_FAULT_ORDER);
    }
    if (of_tunnel(h->type) && h->stream != 0) {
        return mux_fail(m, MUX_FAULT_STREAM);
    }
    switch ((enum frame_type)h->type) {
    case FRAME_HELLO: return serve_hello(m, h, payload);
    case FRAME_WELCOME: return serve_welcome(m, h, payload);
    case FRAME_REQUEST: return mux_serve_request(m, h, payload);
    case FRAME_HANDED: return mux_serve_handed(m, h);
    case FRAME_RESPONSE: return mux_serve_response(m, h, payload);
    case FRAME_DATA: return mux_serve_data(m, h, payload, now_ms);
    case FRAME_RESET: return mux_serve_reset(m, h, payload, now_ms);
    case FRAME_WINDOW: return mux_serve_window(m, h, payload, now_ms);
    case FRAME_PING: return serve_ping(m, h, payload, now_ms);
    case FRAME_PONG: return serve_pong(m, h, payload, now_ms);
    case FRAME_GOAWAY: return serve_goaway(m, h, payload, now_ms);
    case FRAME_CONTROL: return mux_call_serve(m, h, payload);
    case FRAME_CONTROL_REPLY: return mux_call_serve_reply(m, h, payload);
    case FRAME_EVENT: break;
    }
    return mux_recv_cheap(m, now_ms);
}

/* The longest payload of a frame of this type. */
static size_t payload_max(uint8_t type)
{
    if (type == FRAME_DATA) {
        return FRAME_DATA_MAX;
    }
    if (type == FRAME_CONTROL || type == FRAME_CONTROL_REPLY) {
        return MUX_CONTROL_HEAD_BYTES + MUX_CONTROL_BYTES_MAX;
    }
    return FRAME_PAYLOAD_MAX;
}

/* Serves the frame at `bytes` if it is whole. `*used` is its length, or 0 if bytes are missing. */
static int recv_frame(struct mux *m, const uint8_t *bytes, size_t len, uint64_t now_ms,
                      size_t *used)
{
    *used = 0;
    if (len < FRAME_HEADER_BYTES) {
        return 0;
    }
    struct frame_header h;
    frame_unpack_header(bytes, &h);
    if (h.len > payload_max(h.type)) {
        return mux_fail(m, MUX_FAULT_FRAME);
    }
    if (len < FRAME_HEADER_BYTES + (size_t)h.len) {
        return 0;
    }
    *used = FRAME_HEADER_BYTES + (size_t)h.len;
    return dispatch(m, &h, bytes + FRAME_HEADER_BYTES, now_ms);
}

/* How many bytes the cut frame in mux.partial lacks: of its header, or then of its payload. */
static size_t missing_bytes(const struct mux *m)
{
    if (m->partial.len < FRAME_HEADER_BYTES) {
        return FRAME_HEADER_BYTES - m->partial.len;
    }
    struct frame_header h;
    frame_unpack_header(buffer_bytes(&m->partial), &h);
    return FRAME_HEADER_BYTES + (size_t)h.len - m->partial.len;
}

/* Goes on with a cut frame. `*used` is how many of the bytes belong to it. */
static int recv_partial(struct mux *m, const uint8_t *bytes, size_t len, uint64_t now_ms,
                        size_t *used)
{
    size_t missing = missing_bytes(m);
    *used = len < missing ? len : missing;
    if (buffer_append(&m->partial, bytes, *used) != 0) {
        return mux_fail(m, MUX_FAULT_MEMORY);
    }
    size_t whole;
    int rc = recv_frame(m, buffer_bytes(&m->partial), m->partial.len, now_ms, &whole);
    if (whole > 0) {
        buffer_clear(&m->partial);
    }
    return rc;
}

int mux_recv(struct mux *m, const uint8_t *bytes, size_t len, uint64_t now_ms)
{
    if (m->closed) {
        return ERROR_STATE;
    }
    if (len > 0) {
        m->last_recv_ms = now_ms;
        m->ping_waits = false;
    }
    int rc = mux_code(m);
    while (rc == 0 && len > 0) {
        size_t used;
        if (m->partial.len > 0) {
            rc = recv_partial(m, bytes, len, now_ms, &used);
        } else {
            rc = recv_frame(m, bytes, len, now_ms, &used);
            if (rc == 0 && used == 0) {
                used = len;
                rc =
                    buffer_append(&m->partial, bytes, len) == 0 ? 0 : mux_fail(m, MUX_FAULT_MEMORY);
            }
        }
        bytes += used;
        len -= used;
    }
    return rc;
}

int mux_recv_end(struct mux *m, uint64_t now_ms)
{
    (void)now_ms;
    if (m->closed) {
        return ERROR_STATE;
    }
    if (m->fault == MUX_FAULT_NONE && m->partial.len > 0) {
        return mux_fail(m, MUX_FAULT_FRAME);
    }
    return mux_code(m);
}
