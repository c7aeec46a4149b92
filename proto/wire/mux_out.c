/* SPDX-License-Identifier: Apache-2.0 */
/* mux.out: whole frames that need no credit, or have been given theirs, in the order in which they
 * leave. What is here leaves; nothing is taken back.
 *
 * Failure: RESET, WINDOW and PONG must not get lost, for the peer would wait for them for ever.
 * If one cannot be queued, the tunnel is at fault (mux_out_sure). */
#include "proto/wire/mux_internal.h"

#include <assert.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/wire/le.h"

/* As much as the peer keeps of a software's name (struct mux_peer). */
#define SOFTWARE_BYTES_MAX 63

/* Fixed payloads. */
#define RESET_BYTES  4
#define GOAWAY_BYTES 8

int mux_out_begin(struct buffer *b, size_t *start)
{
    uint8_t *room;
    int rc = buffer_reserve(b, FRAME_HEADER_BYTES, &room);
    if (rc != 0) {
        return rc;
    }
    *start = b->len;
    buffer_commit(b, FRAME_HEADER_BYTES);
    return 0;
}

int mux_out_end(struct buffer *b, size_t start, struct frame_header h, int rc)
{
    if (rc != 0) {
        b->len = start;
        return rc;
    }
    h.len = (uint16_t)(b->len - start - FRAME_HEADER_BYTES);
    frame_pack_header(b->data + b->start + start, &h);
    return 0;
}

int mux_out_frame(struct mux *m, struct frame_header h, const void *payload)
{
    assert(h.len <= FRAME_PAYLOAD_MAX);
    uint8_t *room;
    size_t len = FRAME_HEADER_BYTES + (size_t)h.len;
    int rc = buffer_reserve(&m->out, len, &room);
    if (rc != 0) {
        return rc;
    }
    frame_pack_header(room, &h);
    if (h.len > 0) {
        memcpy(room + FRAME_HEADER_BYTES, payload, h.len);
    }
    buffer_commit(&m->out, len);
    return 0;
}

void mux_out_sure(struct mux *m, enum frame_type type, uint32_t stream, const void *payload,
                  size_t len)
{
    if (m->fault != MUX_FAULT_NONE || m->closed) {
        return;
    }
    struct frame_header h = {.stream = stream, .type = (uint8_t)type, .len = (uint16_t)len};
    int rc = mux_out_frame(m, h, payload);
    if (rc != 0) {
        (void)mux_fail(m, rc == ERROR_NOMEM ? MUX_FAULT_MEMORY : MUX_FAULT_FLOOD);
    }
}

void mux_out_reset(struct mux *m, uint32_t stream, enum head_reset reason,
                   enum head_delivered delivered)
{
    uint8_t payload[RESET_BYTES] = {0};
    le_pack_u16(payload, (uint16_t)reason);
    payload[2] = (uint8_t)delivered;
    mux_out_sure(m, FRAME_RESET, stream, payload, sizeof(payload));
}

void mux_out_window(struct mux *m, uint32_t stream, uint32_t credit)
{
    uint8_t payload[MUX_WINDOW_BYTES];
    le_pack_u32(payload, credit);
    mux_out_sure(m, FRAME_WINDOW, stream, payload, sizeof(payload));
}

int mux_out_goaway(struct mux *m, enum head_goaway reason, uint32_t retry_after_ms)
{
    uint8_t payload[GOAWAY_BYTES] = {0};
    le_pack_u16(payload, (uint16_t)reason);
    le_pack_u32(payload + 4, retry_after_ms);
    struct frame_header h = {.type = FRAME_GOAWAY, .len = sizeof(payload)};
    return mux_out_frame(m, h, payload);
}

static struct span own_software(const struct mux *m)
{
    struct span s = span_of(m->settings.software);
    s.len = s.len < SOFTWARE_BYTES_MAX ? s.len : SOFTWARE_BYTES_MAX;
    return s;
}

int mux_out_hello(struct mux *m)
{
    struct head_hello h = {
        .version_min = m->settings.version_min,
        .version_max = m->settings.version_max,
        .software = own_software(m),
        .capabilities = m->settings.capabilities,
        .max_streams = m->settings.max_streams,
        .stream_window_bytes = m->settings.stream_window_bytes,
        .tunnel_window_bytes = m->settings.tunnel_window_bytes,
    };
    size_t start;
    int rc = mux_out_begin(&m->out, &start);
    if (rc != 0) {
        return rc;
    }
    rc = head_pack_hello(&m->out, &h);
    return mux_out_end(&m->out, start, (struct frame_header){.type = FRAME_HELLO}, rc);
}

int mux_out_welcome(struct mux *m)
{
    struct head_welcome h = {
        .version = m->peer.version,
        .generation = m->settings.generation,
        .software = own_software(m),
        .capabilities = m->settings.capabilities,
        .max_streams = m->max_streams,
        .stream_window_bytes = m->settings.stream_window_bytes,
        .tunnel_window_bytes = m->settings.tunnel_window_bytes,
        .ping_idle_ms = m->settings.ping_idle_ms,
        .reply_deadline_ms = m->settings.reply_deadline_ms,
    };
    size_t start;
    int rc = mux_out_begin(&m->out, &start);
    if (rc != 0) {
        return rc;
    }
    rc = head_pack_welcome(&m->out, &h);
    return mux_out_end(&m->out, start, (struct frame_header){.type = FRAME_WELCOME}, rc);
}
