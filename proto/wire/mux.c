/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a mux: from mux_new over its faults to mux_close, and the passing of time.
 *
 * Happy path: mux_new queues HELLO (agent) or waits for it (relay); the handshake makes the mux
 * ready; mux_tick sends a PING when nothing came for a while; mux_close ends what is open.
 *
 * Failure: the first fault is kept. From then on nothing is received, and mux_pull gives only what
 * had been ready, with a GOAWAY at its end, so that the peer learns why. */
#include "proto/wire/mux.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/error.h"
#include "proto/wire/le.h"
#include "proto/wire/mux_internal.h"

struct mux_settings mux_default_settings(enum mux_role role, const char *software)
{
    return (struct mux_settings){
        .role = role,
        .software = software,
        .max_streams = MUX_MAX_STREAMS,
        .stream_window_bytes = MUX_STREAM_WINDOW_BYTES,
        .tunnel_window_bytes = MUX_TUNNEL_WINDOW_BYTES,
        .ping_idle_ms = MUX_PING_IDLE_MS,
        .reply_deadline_ms = MUX_REPLY_DEADLINE_MS,
        .version_min = HEAD_VERSION_MIN,
        .version_max = HEAD_VERSION_MAX,
    };
}

struct mux *mux_new(const struct mux_settings *settings, const struct mux_events *events,
                    void *user, uint64_t now_ms)
{
    assert(settings->stream_window_bytes <= MUX_CREDIT_MAX);
    assert(settings->tunnel_window_bytes <= MUX_CREDIT_MAX);
    struct mux *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    m->settings = *settings;
    m->events = *events;
    m->user = user;
    m->born_ms = now_ms;
    m->last_recv_ms = now_ms;
    m->recv_credit = settings->tunnel_window_bytes;
    mux_streams_init(&m->streams);
    buffer_init(&m->out, MUX_OUT_BYTES_MAX);
    buffer_init(&m->partial, FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX);
    list_init(&m->requests);
    list_init(&m->ring);
    list_init(&m->handed);
    list_init(&m->due);
    if (settings->role == MUX_AGENT && mux_out_hello(m) != 0) {
        mux_free(m);
        return NULL;
    }
    return m;
}

static void free_memory(struct mux *m)
{
    mux_streams_close(&m->streams);
    buffer_close(&m->out);
    buffer_close(&m->partial);
}

void mux_free(struct mux *m)
{
    if (m == NULL) {
        return;
    }
    free_memory(m);
    free(m);
}

void mux_close(struct mux *m)
{
    m->closed = true;
    struct mux_stream *s;
    while ((s = mux_streams_first(&m->streams)) != NULL) {
        mux_serve_lost(m, s, HEAD_RESET_TUNNEL_LOST, mux_serve_delivered(s));
    }
    free_memory(m);
}

int mux_code(const struct mux *m)
{
    switch ((enum mux_fault)m->fault) {
    case MUX_FAULT_NONE: return 0;
    case MUX_FAULT_MEMORY: return ERROR_NOMEM;
    case MUX_FAULT_TIMEOUT: return ERROR_TIMEOUT;
    case MUX_FAULT_FRAME:
    case MUX_FAULT_PAYLOAD:
    case MUX_FAULT_ORDER:
    case MUX_FAULT_STREAM:
    case MUX_FAULT_FLOW:
    case MUX_FAULT_LENGTH:
    case MUX_FAULT_STREAMS:
    case MUX_FAULT_FLOOD:
    case MUX_FAULT_VERSION: break;
    }
    return ERROR_PEER;
}

int mux_fail(struct mux *m, enum mux_fault fault)
{
    if (m->fault != MUX_FAULT_NONE) {
        return mux_code(m);
    }
    m->fault = (uint8_t)fault;
    if (fault != MUX_FAULT_TIMEOUT && fault != MUX_FAULT_MEMORY && !m->closed) {
        /* A courtesy: without room for it the close code alone tells the peer. */
        (void)mux_out_goaway(
            m, fault == MUX_FAULT_VERSION ? HEAD_GOAWAY_VERSION : HEAD_GOAWAY_PROTOCOL, 0);
    }
    return mux_code(m);
}

enum mux_fault mux_fault(const struct mux *m)
{
    return (enum mux_fault)m->fault;
}

const char *mux_fault_name(enum mux_fault fault)
{
    static const char *const names[] = {
        [MUX_FAULT_NONE] = "none",       [MUX_FAULT_FRAME] = "frame",
        [MUX_FAULT_PAYLOAD] = "payload", [MUX_FAULT_ORDER] = "order",
        [MUX_FAULT_STREAM] = "stream",   [MUX_FAULT_FLOW] = "flow",
        [MUX_FAULT_LENGTH] = "length",   [MUX_FAULT_STREAMS] = "streams",
        [MUX_FAULT_FLOOD] = "flood",     [MUX_FAULT_VERSION] = "version",
        [MUX_FAULT_TIMEOUT] = "timeout", [MUX_FAULT_MEMORY] = "memory",
    };
    return fault < sizeof(names) / sizeof(names[0]) ? names[fault] : "unknown";
}

bool mux_usable(const struct mux *m)
{
    return m->ready && !m->closed && m->fault == MUX_FAULT_NONE;
}

/* When a PING is sent if no byte comes. */
static uint64_t ping_due_ms(const struct mux *m)
{
    uint32_t idle_ms = m->settings.ping_idle_ms;
    if (m->streams.n_open > 0 && idle_ms > MUX_PING_BUSY_MS) {
        idle_ms = MUX_PING_BUSY_MS;
    }
    return m->last_recv_ms + idle_ms;
}

static void send_ping(struct mux *m, uint64_t now_ms)
{
    uint8_t payload[MUX_PING_BYTES];
    le_pack_u64(payload, now_ms);
    m->ping_ms = now_ms;
    m->ping_waits = true;
    m->pong_waits = true;
    mux_out_sure(m, FRAME_PING, 0, payload, sizeof(payload));
}

void mux_ask(struct mux *m, uint64_t now_ms)
{
    if (mux_usable(m) && !m->ping_waits) {
        send_ping(m, now_ms);
    }
}

static void check_life(struct mux *m, uint64_t now_ms)
{
    if (!m->ready) {
        if (now_ms >= m->born_ms + MUX_HELLO_DEADLINE_MS) {
            (void)mux_fail(m, MUX_FAULT_TIMEOUT);
        }
        return;
    }
    if (m->ping_waits) {
        if (now_ms >= m->ping_ms + m->settings.reply_deadline_ms) {
            (void)mux_fail(m, MUX_FAULT_TIMEOUT);
        }
        return;
    }
    if (now_ms >= ping_due_ms(m)) {
        send_ping(m, now_ms);
    }
}

int mux_tick(struct mux *m, uint64_t now_ms)
{
    if (m->closed) {
        return ERROR_STATE;
    }
    if (m->fault == MUX_FAULT_NONE) {
        mux_send_handed(m, now_ms);
        check_life(m, now_ms);
        buffer_release(&m->out);
        buffer_release(&m->partial);
        mux_streams_trim(&m->streams);
    }
    return mux_code(m);
}

uint64_t mux_next_ms(const struct mux *m)
{
    uint64_t next_ms = ping_due_ms(m);
    if (!m->ready) {
        next_ms = m->born_ms + MUX_HELLO_DEADLINE_MS;
    } else if (m->ping_waits) {
        next_ms = m->ping_ms + m->settings.reply_deadline_ms;
    }
    struct list *node = list_first(&m->handed);
    if (node != NULL) {
        const struct mux_stream *s = LIST_ITEM(node, struct mux_stream, handed);
        next_ms = s->handed_due_ms < next_ms ? s->handed_due_ms : next_ms;
    }
    return next_ms;
}

bool mux_ready(const struct mux *m)
{
    return m->ready;
}

size_t mux_n_streams(const struct mux *m)
{
    return m->streams.n_open;
}

uint32_t mux_rtt_us(const struct mux *m)
{
    return m->rtt_us;
}

size_t mux_queued_bytes(const struct mux *m)
{
    return m->out.len + m->stream_bytes;
}
