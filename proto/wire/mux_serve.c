/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of streams, as they come (PROTOCOL.md section 5).
 *
 * Happy path of the agent: REQUEST opens a stream, DATA brings its body. Of the relay: HANDED at
 * most once, RESPONSE, DATA, the last with END, and the stream is over.
 *
 * Failure modes. A frame of a stream that has ended is late, not wrong: nothing is kept of ended
 * streams, so every id up to the highest one used counts as such; DATA is credited back to the
 * tunnel. What a home server or a client can bring about by what it sends ends one stream only
 * (BAD_ANSWER, REFUSED); what only a broken peer can do is a fault of the tunnel.
 *
 * An event may end the stream: after one, the stream is looked up again. */
#include "proto/wire/mux_internal.h"

#include "proto/base/error.h"
#include "proto/wire/le.h"

/* Fewest bytes of the payload (PROTOCOL.md 4.7). */
#define RESET_BYTES 4

/* Statuses whose answers have no body, whatever length they announce (RFC 9110 section 6.4.1). */
#define STATUS_NO_CONTENT   204
#define STATUS_NOT_MODIFIED 304

/* The stream of a frame, or NULL if it has ended. An id that was never used is a fault. */
static int find(struct mux *m, const struct frame_header *h, struct mux_stream **s)
{
    if (h->stream == 0 || h->stream > m->last_on_wire) {
        return mux_fail(m, MUX_FAULT_STREAM);
    }
    *s = mux_streams_find(&m->streams, h->stream);
    return 0;
}

enum head_delivered mux_serve_delivered(const struct mux_stream *s)
{
    if (s->stage == MUX_STAGE_QUEUED) {
        return HEAD_DELIVERED_NO;
    }
    return s->stage == MUX_STAGE_OPEN ? HEAD_DELIVERED_UNKNOWN : HEAD_DELIVERED_YES;
}

void mux_serve_done(struct mux *m, struct mux_stream *s)
{
    uint32_t id = s->id;
    void *stream_user = s->user;
    mux_send_forget(m, s);
    if (m->events.on_done != NULL) {
        m->events.on_done(m->user, id, stream_user);
    }
}

void mux_serve_lost(struct mux *m, struct mux_stream *s, enum head_reset reason,
                    enum head_delivered delivered)
{
    uint32_t id = s->id;
    void *stream_user = s->user;
    mux_send_forget(m, s);
    if (m->events.on_reset != NULL) {
        m->events.on_reset(m->user, id, stream_user, reason, delivered);
    }
}

static int refuse_answer(struct mux *m, struct mux_stream *s)
{
    mux_out_reset(m, s->id, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    mux_serve_lost(m, s, HEAD_RESET_BAD_ANSWER, HEAD_DELIVERED_YES);
    return mux_code(m);
}

/* The peer's half has ended and its event was fired. */
static int end_half(struct mux *m, uint32_t id)
{
    struct mux_stream *s = mux_streams_find(&m->streams, id);
    if (s == NULL || (m->settings.role == MUX_AGENT && !s->end_sent)) {
        return mux_code(m);
    }
    if (!s->end_sent) {
        /* The whole answer is there before the whole request has left: the rest is not wanted. */
        mux_out_reset(m, id, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_YES);
    }
    mux_serve_done(m, s);
    return mux_code(m);
}

static int open_stream(struct mux *m, const struct head_request *head, uint32_t id, bool end)
{
    struct mux_stream *s = mux_streams_add(&m->streams, id, mux_send_queue_max(m));
    if (s == NULL) {
        return mux_fail(m, MUX_FAULT_MEMORY);
    }
    s->stage = MUX_STAGE_OPEN;
    s->end_recv = end;
    s->body_left = head->body_bytes;
    s->send_credit = m->peer_stream_window;
    s->recv_credit = m->settings.stream_window_bytes;
    void *stream_user = NULL;
    if (m->events.on_request != NULL) {
        m->events.on_request(m->user, id, head, end, &stream_user);
    }
    s = mux_streams_find(&m->streams, id);
    if (s != NULL) {
        s->user = stream_user;
    }
    return mux_code(m);
}

int mux_serve_request(struct mux *m, const struct frame_header *h, const uint8_t *payload)
{
    if (h->stream == 0 || h->stream <= m->last_on_wire) {
        return mux_fail(m, MUX_FAULT_STREAM);
    }
    if (m->goaway_recv) {
        return mux_fail(m, MUX_FAULT_ORDER);
    }
    if (m->streams.n_open >= m->settings.max_streams) {
        return mux_fail(m, MUX_FAULT_STREAMS);
    }
    m->last_stream = h->stream;
    m->last_on_wire = h->stream;
    struct head_request head;
    struct head_field fields[HEAD_FIELDS_MAX];
    if (head_unpack_request(payload, h->len, &head, fields) != 0) {
        mux_out_reset(m, h->stream, HEAD_RESET_REFUSED, HEAD_DELIVERED_NO);
        return mux_code(m);
    }
    bool end = (h->flags & FRAME_FLAG_END) != 0;
    if (end != (head.body_bytes == 0)) {
        return mux_fail(m, MUX_FAULT_LENGTH);
    }
    return open_stream(m, &head, h->stream, end);
}

int mux_serve_handed(struct mux *m, const struct frame_header *h)
{
    struct mux_stream *s = NULL;
    int rc = find(m, h, &s);
    if (rc != 0 || s == NULL) {
        return rc;
    }
    if (s->stage != MUX_STAGE_OPEN) {
        return mux_fail(m, MUX_FAULT_ORDER);
    }
    s->stage = MUX_STAGE_HANDED;
    if (m->events.on_handed != NULL) {
        m->events.on_handed(m->user, s->id, s->user);
    }
    return mux_code(m);
}

int mux_serve_response(struct mux *m, const struct frame_header *h, const uint8_t *payload)
{
    struct mux_stream *s = NULL;
    int rc = find(m, h, &s);
    if (rc != 0 || s == NULL) {
        return rc;
    }
    if (s->stage == MUX_STAGE_ANSWERED) {
        return mux_fail(m, MUX_FAULT_ORDER);
    }
    struct head_response head;
    struct head_field fields[HEAD_FIELDS_MAX];
    if (head_unpack_response(payload, h->len, &head, fields) != 0) {
        return refuse_answer(m, s);
    }
    bool end = (h->flags & FRAME_FLAG_END) != 0;
    bool bodiless =
        s->bodiless || head.status == STATUS_NO_CONTENT || head.status == STATUS_NOT_MODIFIED;
    s->body_left = bodiless ? 0 : head.body_bytes;
    if (end && s->body_left > 0) {
        return refuse_answer(m, s);
    }
    s->stage = MUX_STAGE_ANSWERED;
    s->end_recv = end;
    if (m->events.on_response != NULL) {
        m->events.on_response(m->user, h->stream, s->user, &head, end);
    }
    return end ? end_half(m, h->stream) : mux_code(m);
}

/* Takes the credit of a DATA frame; `s` may be NULL. */
static int take_credit(struct mux *m, struct mux_stream *s, uint32_t len)
{
    if (len > m->recv_credit || (s != NULL && len > s->recv_credit)) {
        return mux_fail(m, MUX_FAULT_FLOW);
    }
    m->recv_credit -= len;
    if (s != NULL) {
        s->recv_credit -= len;
    }
    return 0;
}

/* Whether the body is as long as its head said, as far as can be told by now. */
static bool length_fits(const struct mux_stream *s, size_t len, bool end)
{
    if (s->body_left < 0) {
        return true;
    }
    return end ? (int64_t)len == s->body_left : (int64_t)len <= s->body_left;
}

static int refuse_length(struct mux *m, struct mux_stream *s, size_t len)
{
    if (m->settings.role == MUX_AGENT) {
        return mux_fail(m, MUX_FAULT_LENGTH);
    }
    mux_consume(m, 0, len);
    return refuse_answer(m, s);
}

int mux_serve_data(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                   uint64_t now_ms)
{
    bool end = (h->flags & FRAME_FLAG_END) != 0;
    struct mux_stream *s = NULL;
    int rc = find(m, h, &s);
    if (rc == 0) {
        rc = take_credit(m, s, h->len);
    }
    if (rc == 0 && h->len == 0 && (!end || s == NULL)) {
        rc = mux_recv_cheap(m, now_ms);
    }
    if (rc != 0) {
        return rc;
    }
    if (s == NULL) {
        mux_consume(m, 0, h->len);
        return mux_code(m);
    }
    if (s->end_recv || (m->settings.role == MUX_RELAY && s->stage != MUX_STAGE_ANSWERED)) {
        return mux_fail(m, MUX_FAULT_ORDER);
    }
    if (!length_fits(s, h->len, end)) {
        return refuse_length(m, s, h->len);
    }
    if (s->body_left > 0) {
        s->body_left -= h->len;
    }
    s->end_recv = end;
    if (m->events.on_data != NULL && (h->len > 0 || end)) {
        m->events.on_data(m->user, h->stream, s->user, payload, h->len, end);
    }
    return end ? end_half(m, h->stream) : mux_code(m);
}

int mux_serve_reset(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                    uint64_t now_ms)
{
    struct head_reset_info info;
    if (head_unpack_reset(payload, h->len, &info) != 0) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    struct mux_stream *s = NULL;
    int rc = find(m, h, &s);
    if (rc != 0) {
        return rc;
    }
    if (s == NULL) {
        return mux_recv_cheap(m, now_ms);
    }
    enum head_delivered delivered = mux_serve_delivered(s);
    if (delivered != HEAD_DELIVERED_YES && info.delivered < HEAD_DELIVERED_UNKNOWN) {
        delivered = (enum head_delivered)info.delivered;
    }
    bool known = info.reason >= HEAD_RESET_INTERNAL && info.reason < HEAD_RESET_TUNNEL_LOST;
    enum head_reset reason = known ? (enum head_reset)info.reason : HEAD_RESET_INTERNAL;
    mux_serve_lost(m, s, reason, delivered);
    return mux_code(m);
}

static int add_credit(struct mux *m, uint32_t *credit, uint32_t more)
{
    if (more > MUX_CREDIT_MAX - *credit) {
        return mux_fail(m, MUX_FAULT_FLOW);
    }
    *credit += more;
    return 0;
}

int mux_serve_window(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                     uint64_t now_ms)
{
    if (h->len < MUX_WINDOW_BYTES) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    uint32_t credit = le_unpack_u32(payload);
    if (h->stream == 0) {
        int rc = credit == 0 ? mux_recv_cheap(m, now_ms) : 0;
        return rc != 0 ? rc : add_credit(m, &m->send_credit, credit);
    }
    struct mux_stream *s = NULL;
    int rc = find(m, h, &s);
    if (rc == 0 && (s == NULL || credit == 0)) {
        rc = mux_recv_cheap(m, now_ms);
    }
    if (rc != 0 || s == NULL) {
        return rc;
    }
    rc = add_credit(m, &s->send_credit, credit);
    mux_send_schedule(m, s);
    return rc;
}
