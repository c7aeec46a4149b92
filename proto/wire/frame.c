/* SPDX-License-Identifier: Apache-2.0 */
/* The frame header, packed and unpacked (PROTOCOL.md section 3). */
#include "proto/wire/frame.h"

#include "proto/wire/le.h"

void frame_pack_header(uint8_t bytes[FRAME_HEADER_BYTES], const struct frame_header *h)
{
    le_pack_u32(bytes, h->stream);
    bytes[4] = h->type;
    bytes[5] = h->flags;
    le_pack_u16(bytes + 6, h->len);
}

void frame_unpack_header(const uint8_t bytes[FRAME_HEADER_BYTES], struct frame_header *h)
{
    h->stream = le_unpack_u32(bytes);
    h->type = bytes[4];
    h->flags = bytes[5];
    h->len = le_unpack_u16(bytes + 6);
}

const char *frame_type_name(uint8_t type)
{
    static const char *const names[] = {
        [FRAME_HELLO] = "hello",       [FRAME_WELCOME] = "welcome",
        [FRAME_REQUEST] = "request",   [FRAME_HANDED] = "handed",
        [FRAME_RESPONSE] = "response", [FRAME_DATA] = "data",
        [FRAME_RESET] = "reset",       [FRAME_WINDOW] = "window",
        [FRAME_PING] = "ping",         [FRAME_PONG] = "pong",
        [FRAME_GOAWAY] = "goaway",     [FRAME_CONTROL] = "control",
        [FRAME_EVENT] = "event",       [FRAME_CONTROL_REPLY] = "control_reply",
    };
    if (type >= sizeof(names) / sizeof(names[0]) || names[type] == NULL) {
        return "unknown";
    }
    return names[type];
}
