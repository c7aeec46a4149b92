/* SPDX-License-Identifier: Apache-2.0 */
/* Control calls: the agent asks the relay for something (PROTOCOL.md 4.11, 4.12). Their ids are a
 * series of their own; each end remembers the few that are open. */
#include "proto/wire/mux_internal.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/wire/le.h"

static int send_call(struct mux *m, enum frame_type type, uint32_t id, uint16_t code,
                     struct span body)
{
    if (body.len > MUX_CONTROL_BYTES_MAX || m->out.len >= MUX_OUT_HEADS_BYTES) {
        return ERROR_LIMIT;
    }
    size_t len = MUX_CONTROL_HEAD_BYTES + body.len;
    uint8_t *room;
    int rc = buffer_reserve(&m->out, FRAME_HEADER_BYTES + len, &room);
    if (rc != 0) {
        return rc;
    }
    struct frame_header h = {.stream = id, .type = (uint8_t)type, .len = (uint16_t)len};
    frame_pack_header(room, &h);
    le_pack_u16(room + FRAME_HEADER_BYTES, code);
    le_pack_u16(room + FRAME_HEADER_BYTES + 2, 0);
    if (body.len > 0) {
        memcpy(room + FRAME_HEADER_BYTES + MUX_CONTROL_HEAD_BYTES, body.p, body.len);
    }
    buffer_commit(&m->out, FRAME_HEADER_BYTES + len);
    return 0;
}

static struct span body_of(const struct frame_header *h, const uint8_t *payload)
{
    return (struct span){(const char *)payload + MUX_CONTROL_HEAD_BYTES,
                         (size_t)h->len - MUX_CONTROL_HEAD_BYTES};
}

/* The slot of an open call, or with id 0 a free one; NULL if there is none. */
static uint32_t *find_slot(struct mux *m, uint32_t id)
{
    for (size_t i = 0; i < MUX_CONTROL_CALLS_MAX; i++) {
        if (m->calls[i] == id) {
            return &m->calls[i];
        }
    }
    return NULL;
}

int mux_control(struct mux *m, uint16_t op, struct span body, uint32_t *id)
{
    if (m->settings.role != MUX_AGENT || !mux_usable(m)) {
        return ERROR_STATE;
    }
    uint32_t *slot = find_slot(m, 0);
    if (slot == NULL || m->last_call == MUX_ID_MAX) {
        return ERROR_LIMIT;
    }
    int rc = send_call(m, FRAME_CONTROL, m->last_call + 1, op, body);
    if (rc != 0) {
        return rc;
    }
    m->last_call++;
    *slot = m->last_call;
    *id = m->last_call;
    return 0;
}

int mux_control_reply(struct mux *m, uint32_t id, uint16_t status, struct span body)
{
    uint32_t *slot = id == 0 ? NULL : find_slot(m, id);
    if (m->settings.role != MUX_RELAY || !mux_usable(m) || slot == NULL) {
        return ERROR_STATE;
    }
    int rc = send_call(m, FRAME_CONTROL_REPLY, id, status, body);
    if (rc == 0) {
        *slot = 0;
    }
    return rc;
}

int mux_call_serve(struct mux *m, const struct frame_header *h, const uint8_t *payload)
{
    if (h->stream == 0 || h->stream <= m->last_call) {
        return mux_fail(m, MUX_FAULT_STREAM);
    }
    if (h->len < MUX_CONTROL_HEAD_BYTES) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    uint32_t *slot = find_slot(m, 0);
    if (slot == NULL) {
        return mux_fail(m, MUX_FAULT_STREAMS);
    }
    *slot = h->stream;
    m->last_call = h->stream;
    if (m->events.on_control != NULL) {
        m->events.on_control(m->user, h->stream, le_unpack_u16(payload), body_of(h, payload));
    } else {
        (void)mux_control_reply(m, h->stream, HEAD_CONTROL_UNKNOWN, (struct span){NULL, 0});
    }
    return mux_code(m);
}

int mux_call_serve_reply(struct mux *m, const struct frame_header *h, const uint8_t *payload)
{
    uint32_t *slot = h->stream == 0 ? NULL : find_slot(m, h->stream);
    if (slot == NULL) {
        return mux_fail(m, MUX_FAULT_STREAM);
    }
    if (h->len < MUX_CONTROL_HEAD_BYTES) {
        return mux_fail(m, MUX_FAULT_PAYLOAD);
    }
    *slot = 0;
    if (m->events.on_control_reply != NULL) {
        m->events.on_control_reply(m->user, h->stream, le_unpack_u16(payload), body_of(h, payload));
    }
    return mux_code(m);
}
