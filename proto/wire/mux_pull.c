/* SPDX-License-Identifier: Apache-2.0 */
/* Pulling: the next message, made of what is queued at this moment.
 *
 * Order: mux.out; then REQUESTs in the order of their ids, for ids on the wire only grow; then a
 * relay's GOAWAY, behind which no REQUEST may come; then DATA of the streams on mux.ring, each at
 * most one frame before the next has its turn.
 *
 * Events that pulling causes (on_room, on_done) are fired when the message is complete, one stream
 * at a time off mux.due, so that they may change anything in the mux. */
#include "proto/wire/mux_internal.h"

#include <assert.h>
#include <string.h>

#include "proto/base/error.h"

/* A DATA frame is not cut to less than this only because the message is nearly full. */
#define DATA_CUT_BYTES 1024

/* Memory kept by an emptied mux.out until the next trim. */
#define OUT_KEEP_BYTES 65536

/* A message under construction. */
struct message {
    uint8_t *bytes;
    size_t len;
};

static size_t room_in(const struct message *msg)
{
    return msg->len < FRAME_MESSAGE_BYTES ? FRAME_MESSAGE_BYTES - msg->len : 0;
}

/* A frame goes in whole; a larger one than a message gets a message of its own. */
static bool fits(const struct message *msg, size_t frame_bytes)
{
    return msg->len == 0 || frame_bytes <= room_in(msg);
}

static void put(struct message *msg, const uint8_t *bytes, size_t len)
{
    memcpy(msg->bytes + msg->len, bytes, len);
    msg->len += len;
}

/* Length of the whole frames at the start of mux.out that fit. */
static size_t out_len(const struct mux *m, const struct message *msg)
{
    if (m->out.len <= room_in(msg)) {
        return m->out.len;
    }
    const uint8_t *bytes = buffer_bytes(&m->out);
    size_t len = 0;
    while (len < m->out.len) {
        struct frame_header h;
        frame_unpack_header(bytes + len, &h);
        size_t next = len + FRAME_HEADER_BYTES + h.len;
        if (next > room_in(msg) && (msg->len > 0 || len > 0)) {
            break;
        }
        len = next;
    }
    return len;
}

static void pull_out(struct mux *m, struct message *msg)
{
    size_t len = out_len(m, msg);
    if (len == 0) {
        return;
    }
    put(msg, buffer_bytes(&m->out), len);
    buffer_consume(&m->out, len);
    if (m->out.cap > OUT_KEEP_BYTES) {
        buffer_release(&m->out);
    }
}

/* Large memory is not kept by a stream that sends nothing more. */
static void release_queue(struct mux_stream *s)
{
    if (s->end_sent && s->queue.cap > MUX_STREAMS_SPARE_BYTES) {
        buffer_release(&s->queue);
    }
}

static void pull_requests(struct mux *m, struct message *msg)
{
    struct list *node;
    while ((node = list_first(&m->requests)) != NULL) {
        struct mux_stream *s = LIST_ITEM(node, struct mux_stream, send);
        if (!fits(msg, s->head_bytes)) {
            return;
        }
        put(msg, buffer_bytes(&s->queue), s->head_bytes);
        buffer_consume(&s->queue, s->head_bytes);
        m->stream_bytes -= s->head_bytes;
        m->last_on_wire = s->id;
        s->stage = MUX_STAGE_OPEN;
        s->end_sent = s->queue.len == 0;
        list_remove(node);
        mux_send_schedule(m, s);
        release_queue(s);
    }
}

/* Our GOAWAY goes to mux.out once no REQUEST waits before it. */
static void queue_goaway(struct mux *m)
{
    if (!m->goaway_due || !list_empty(&m->requests)) {
        return;
    }
    m->goaway_due = false;
    int rc = mux_out_goaway(m, (enum head_goaway)m->goaway_reason, m->retry_after_ms);
    if (rc != 0) {
        (void)mux_fail(m, rc == ERROR_NOMEM ? MUX_FAULT_MEMORY : MUX_FAULT_FLOOD);
    }
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void put_data(struct mux *m, struct mux_stream *s, struct message *msg, size_t len)
{
    s->end_sent = s->end_queued && len == s->queue.len;
    struct frame_header h = {.stream = s->id, .type = FRAME_DATA, .len = (uint16_t)len};
    h.flags = s->end_sent ? FRAME_FLAG_END : 0;
    frame_pack_header(msg->bytes + msg->len, &h);
    msg->len += FRAME_HEADER_BYTES;
    put(msg, buffer_bytes(&s->queue), len);
    buffer_consume(&s->queue, len);
    s->send_credit -= (uint32_t)len;
    m->send_credit -= (uint32_t)len;
    m->stream_bytes -= len;
}

static void pull_data(struct mux *m, struct message *msg)
{
    struct list *node;
    while (m->send_credit > 0 && (node = list_first(&m->ring)) != NULL) {
        struct mux_stream *s = LIST_ITEM(node, struct mux_stream, send);
        size_t len = min_size(s->queue.len, min_size(s->send_credit, m->send_credit));
        len = min_size(len, FRAME_DATA_MAX);
        if (room_in(msg) < FRAME_HEADER_BYTES + min_size(len, DATA_CUT_BYTES)) {
            return;
        }
        put_data(m, s, msg, min_size(len, room_in(msg) - FRAME_HEADER_BYTES));
        list_remove(node);
        mux_send_schedule(m, s);
        release_queue(s);
        bool over = s->end_sent && s->end_recv;
        if ((over || !s->end_queued) && list_alone(&s->due)) {
            list_push(&m->due, &s->due);
        }
    }
}

static void fire_due(struct mux *m)
{
    struct list *node;
    while ((node = list_pop(&m->due)) != NULL) {
        struct mux_stream *s = LIST_ITEM(node, struct mux_stream, due);
        if (s->end_sent && s->end_recv) {
            mux_serve_done(m, s);
        } else if (m->events.on_room != NULL && !s->end_queued) {
            m->events.on_room(m->user, s->id, s->user, s->queue.max_bytes - s->queue.len);
        }
    }
}

size_t mux_pull(struct mux *m, uint8_t *bytes, size_t cap, uint64_t now_ms)
{
    assert(cap >= FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX);
    (void)cap;
    struct message msg = {.len = 0};
    msg.bytes = bytes;
    if (m->closed) {
        return 0;
    }
    if (m->fault == MUX_FAULT_NONE) {
        mux_send_handed(m, now_ms);
    }
    pull_out(m, &msg);
    if (m->fault == MUX_FAULT_NONE && m->out.len == 0) {
        pull_requests(m, &msg);
        queue_goaway(m);
        pull_out(m, &msg);
    }
    if (m->fault == MUX_FAULT_NONE && m->out.len == 0 && list_empty(&m->requests)) {
        pull_data(m, &msg);
    }
    fire_due(m);
    return msg.len;
}

bool mux_wants_send(const struct mux *m)
{
    if (m->closed) {
        return false;
    }
    if (m->out.len > 0 || m->fault != MUX_FAULT_NONE) {
        return m->out.len > 0;
    }
    return !list_empty(&m->requests) || m->goaway_due ||
           (!list_empty(&m->ring) && m->send_credit > 0);
}

static bool may_look_on(const struct mux *m, uint64_t now_ms)
{
    return m->n_looks == 0 ||
           (m->n_looks < MUX_LOOKS_MAX && now_ms - m->looking_ms <= MUX_GATHER_MS);
}

bool mux_expects_more(struct mux *m, uint64_t now_ms)
{
    size_t queued = mux_queued_bytes(m);
    bool likely = mux_usable(m) && mux_wants_send(m) && m->streams.n_open >= MUX_BUSY_STREAMS &&
                  queued > m->seen_bytes;

    if (!likely || queued >= FRAME_MESSAGE_BYTES || !may_look_on(m, now_ms)) {
        m->n_looks = 0;
        m->seen_bytes = 0;
        return false;
    }
    m->looking_ms = m->n_looks == 0 ? now_ms : m->looking_ms;
    m->n_looks++;
    m->seen_bytes = queued;
    return true;
}

bool mux_wants_goodbye(const struct mux *m)
{
    if (m->closed) {
        return false;
    }
    if (m->fault != MUX_FAULT_NONE) {
        return m->out.len > 0;
    }
    return m->goaway_due && list_empty(&m->requests);
}
