/* SPDX-License-Identifier: Apache-2.0 */
/* What the owner of a mux sends on its streams, up to the moment of pulling.
 *
 * Happy path of the relay: mux_request packs the REQUEST frame into the stream's own queue, its
 * body behind it, and puts the stream on mux.requests. Nothing is on the wire yet: mux_reset takes
 * it back without a trace.
 *
 * Happy path of the agent: mux_respond packs RESPONSE into mux.out. A small body follows it there
 * (the short cut of mux_send_data); what finds no credit, or comes while others wait for their
 * turn, is queued in its stream, which goes on mux.ring.
 *
 * Failure: a function that can say so returns the error and has changed nothing; the others record
 * a fault (mux_out.c). */
#include "proto/wire/mux_internal.h"

#include "proto/base/error.h"

/* A body takes the short cut if mux.out then still fits one message. */
#define OUT_SHORT_BYTES FRAME_MESSAGE_BYTES

size_t mux_send_queue_max(const struct mux *m)
{
    size_t head = m->settings.role == MUX_RELAY ? FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX : 0;
    return head + m->settings.stream_window_bytes;
}

void mux_send_schedule(struct mux *m, struct mux_stream *s)
{
    if (s->stage == MUX_STAGE_QUEUED) {
        return;
    }
    bool sends = s->queue.len > 0 && s->send_credit > 0;
    if (sends && list_alone(&s->send)) {
        list_push(&m->ring, &s->send);
    } else if (!sends) {
        list_remove(&s->send);
    }
}

void mux_send_forget(struct mux *m, struct mux_stream *s)
{
    m->stream_bytes -= s->queue.len;
    mux_streams_remove(&m->streams, s);
}

/* REQUEST and the body into the stream's queue. */
static int queue_request(struct mux_stream *s, const struct head_request *head, const void *body)
{
    size_t start;
    int rc = mux_out_begin(&s->queue, &start);
    if (rc != 0) {
        return rc;
    }
    rc = head_pack_request(&s->queue, head);
    struct frame_header h = {.stream = s->id, .type = FRAME_REQUEST};
    h.flags = head->body_bytes == 0 ? FRAME_FLAG_END : 0;
    rc = mux_out_end(&s->queue, start, h, rc);
    if (rc != 0) {
        return rc;
    }
    s->head_bytes = (uint32_t)s->queue.len;
    return buffer_append(&s->queue, body, head->body_bytes);
}

/* Whether the relay may open one more stream. */
static int check_opening(struct mux *m, const struct head_request *head)
{
    if (m->settings.role != MUX_RELAY || !mux_usable(m) || m->goaway_asked || m->goaway_recv) {
        return ERROR_STATE;
    }
    if (m->last_stream == MUX_ID_MAX) {
        mux_goaway(m, HEAD_GOAWAY_EXHAUSTED, 0);
        return ERROR_STATE;
    }
    if (m->streams.n_open >= m->max_streams || head->body_bytes > m->settings.stream_window_bytes) {
        return ERROR_LIMIT;
    }
    return 0;
}

int mux_request(struct mux *m, const struct head_request *head, const void *body, void *stream_user,
                uint32_t *stream, uint64_t now_ms)
{
    (void)now_ms;
    int rc = check_opening(m, head);
    if (rc != 0) {
        return rc;
    }
    struct mux_stream *s = mux_streams_add(&m->streams, m->last_stream + 1, mux_send_queue_max(m));
    if (s == NULL) {
        return ERROR_NOMEM;
    }
    rc = queue_request(s, head, body);
    if (rc != 0) {
        mux_streams_remove(&m->streams, s);
        return rc;
    }
    s->user = stream_user;
    s->stage = MUX_STAGE_QUEUED;
    s->bodiless = head->method == HEAD_METHOD_HEAD;
    s->send_credit = m->peer_stream_window;
    s->recv_credit = m->settings.stream_window_bytes;
    s->end_queued = true;
    m->last_stream = s->id;
    m->stream_bytes += s->queue.len;
    list_push(&m->requests, &s->send);
    *stream = s->id;
    return 0;
}

void mux_handed(struct mux *m, uint32_t stream, uint64_t now_ms)
{
    struct mux_stream *s = mux_streams_find(&m->streams, stream);
    if (m->settings.role != MUX_AGENT || s == NULL || s->stage != MUX_STAGE_OPEN) {
        return;
    }
    s->stage = MUX_STAGE_HANDED;
    s->handed_due_ms = now_ms + MUX_HANDED_DELAY_MS;
    list_push(&m->handed, &s->handed);
}

void mux_send_handed(struct mux *m, uint64_t now_ms)
{
    struct list *node;
    while ((node = list_first(&m->handed)) != NULL) {
        const struct mux_stream *s = LIST_ITEM(node, struct mux_stream, handed);
        if (s->handed_due_ms > now_ms) {
            return;
        }
        list_remove(node);
        mux_out_sure(m, FRAME_HANDED, s->id, NULL, 0);
    }
}

/* Our half ended in mux.out. If that was the last of the stream, on_done waits for mux_pull. */
static void end_short(struct mux *m, struct mux_stream *s)
{
    s->end_queued = true;
    s->end_sent = true;
    if (s->end_recv && list_alone(&s->due)) {
        list_push(&m->due, &s->due);
    }
}

int mux_respond(struct mux *m, uint32_t stream, const struct head_response *head, bool end)
{
    struct mux_stream *s = mux_streams_find(&m->streams, stream);
    if (m->settings.role != MUX_AGENT || !mux_usable(m) || s == NULL ||
        s->stage == MUX_STAGE_ANSWERED) {
        return ERROR_STATE;
    }
    if (m->out.len >= MUX_OUT_HEADS_BYTES) {
        return ERROR_LIMIT;
    }
    size_t start;
    int rc = mux_out_begin(&m->out, &start);
    if (rc != 0) {
        return rc;
    }
    rc = head_pack_response(&m->out, head);
    struct frame_header h = {.stream = stream, .type = FRAME_RESPONSE};
    h.flags = end ? FRAME_FLAG_END : 0;
    rc = mux_out_end(&m->out, start, h, rc);
    if (rc != 0) {
        return rc;
    }
    list_remove(&s->handed);
    s->stage = MUX_STAGE_ANSWERED;
    if (end) {
        end_short(m, s);
    }
    return 0;
}

/* True if the bytes may go to mux.out: they have their credit and overtake nothing. An END alone
 * needs no credit. */
static bool fits_short(const struct mux *m, const struct mux_stream *s, size_t len)
{
    if (s->queue.len > 0) {
        return false;
    }
    return len == 0 ||
           (list_empty(&m->ring) && len <= FRAME_DATA_MAX && len <= s->send_credit &&
            len <= m->send_credit && m->out.len + FRAME_HEADER_BYTES + len <= OUT_SHORT_BYTES);
}

static int send_short(struct mux *m, struct mux_stream *s, const void *bytes, size_t len, bool end)
{
    struct frame_header h = {.stream = s->id, .type = FRAME_DATA, .len = (uint16_t)len};
    h.flags = end ? FRAME_FLAG_END : 0;
    int rc = mux_out_frame(m, h, bytes);
    if (rc != 0) {
        return rc;
    }
    s->send_credit -= (uint32_t)len;
    m->send_credit -= (uint32_t)len;
    if (end) {
        end_short(m, s);
    }
    return 0;
}

int mux_send_data(struct mux *m, uint32_t stream, const void *bytes, size_t len, bool end)
{
    struct mux_stream *s = mux_streams_find(&m->streams, stream);
    if (!mux_usable(m) || s == NULL || s->end_queued || s->stage != MUX_STAGE_ANSWERED) {
        return ERROR_STATE;
    }
    if (len == 0 && !end) {
        return 0;
    }
    if (fits_short(m, s, len)) {
        return send_short(m, s, bytes, len, end);
    }
    int rc = buffer_append(&s->queue, bytes, len);
    if (rc != 0) {
        return rc;
    }
    m->stream_bytes += len;
    s->end_queued = end;
    mux_send_schedule(m, s);
    return 0;
}

size_t mux_send_room(const struct mux *m, uint32_t stream)
{
    const struct mux_stream *s = mux_streams_find(&m->streams, stream);
    if (!mux_usable(m) || s == NULL || s->end_queued) {
        return 0;
    }
    return s->queue.max_bytes - s->queue.len;
}

/* Takes `len` bytes as gone and gives the credit back once it is a quarter of the window. More
 * than was received is not given back, whatever the owner counts. */
static void consume(struct mux *m, uint32_t stream, uint32_t window, uint32_t *credit,
                    uint32_t *consumed, size_t len)
{
    uint32_t held = window - *credit - *consumed;
    *consumed += len < held ? (uint32_t)len : held;
    if (*consumed > 0 && *consumed >= window / 4) {
        mux_out_window(m, stream, *consumed);
        *credit += *consumed;
        *consumed = 0;
    }
}

void mux_consume(struct mux *m, uint32_t stream, size_t len)
{
    if (!mux_usable(m) || len == 0) {
        return;
    }
    consume(m, 0, m->settings.tunnel_window_bytes, &m->recv_credit, &m->recv_consumed, len);
    struct mux_stream *s = mux_streams_find(&m->streams, stream);
    if (s != NULL && !s->end_recv) {
        consume(m, stream, m->settings.stream_window_bytes, &s->recv_credit, &s->recv_consumed,
                len);
    }
}

void mux_reset(struct mux *m, uint32_t stream, enum head_reset reason,
               enum head_delivered delivered)
{
    struct mux_stream *s = mux_streams_find(&m->streams, stream);
    if (s == NULL) {
        return;
    }
    if (s->stage != MUX_STAGE_QUEUED && !(s->end_sent && s->end_recv)) {
        mux_out_reset(m, stream, reason, delivered);
    }
    mux_send_forget(m, s);
}

enum head_delivered mux_delivered(const struct mux *m, uint32_t stream)
{
    const struct mux_stream *s = mux_streams_find(&m->streams, stream);
    return s == NULL ? HEAD_DELIVERED_UNKNOWN : mux_serve_delivered(s);
}

void mux_goaway(struct mux *m, enum head_goaway reason, uint32_t retry_after_ms)
{
    if (m->goaway_asked || m->closed || m->fault != MUX_FAULT_NONE) {
        return;
    }
    m->goaway_asked = true;
    m->goaway_due = true;
    m->goaway_reason = (uint8_t)reason;
    m->retry_after_ms = retry_after_ms;
}
