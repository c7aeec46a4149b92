/* SPDX-License-Identifier: Apache-2.0 */
/* The frame: what travels in the tunnel's websocket messages (PROTOCOL.md section 3). */
#ifndef PROTO_WIRE_FRAME_H
#define PROTO_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* u32 stream, u8 type, u8 flags, u16 payload length; little endian. */
#define FRAME_HEADER_BYTES 8

/* Largest payload of any frame. Holds a request head of the largest request line (8 KiB) and the
 * largest head (16 KiB) that the relay's front accepts. */
#define FRAME_PAYLOAD_MAX 28672

/* Largest payload of a DATA frame: with its header and the websocket's it fits one TLS record. */
#define FRAME_DATA_MAX 16000

/* A message is filled up to this; with the websocket header it is one TLS record of 16 KiB. */
#define FRAME_MESSAGE_BYTES 16368

enum frame_type {
    FRAME_HELLO = 1,    /* agent: versions, software, capabilities, settings */
    FRAME_WELCOME = 2,  /* relay: chosen version, generation, settings */
    FRAME_REQUEST = 3,  /* relay: request head; opens a stream */
    FRAME_HANDED = 4,   /* agent: the request was handed to the server */
    FRAME_RESPONSE = 5, /* agent: response head */
    FRAME_DATA = 6,     /* both: body bytes */
    FRAME_RESET = 7,    /* both: the stream ends now; reason and delivered */
    FRAME_WINDOW = 8,   /* both: more credit for a stream, or with stream 0 the tunnel */
    FRAME_PING = 9,     /* both: 8 bytes that come back in a PONG */
    FRAME_PONG = 10,
    FRAME_GOAWAY = 11,        /* both: no new streams; reason */
    FRAME_CONTROL = 12,       /* agent: a call to the relay (stream = call id) */
    FRAME_CONTROL_REPLY = 13, /* relay: its answer */
    FRAME_EVENT = 14          /* agent: reserved for events pushed by the building */
};

/* On REQUEST, RESPONSE and DATA: the sender's half of the stream ends with this frame. */
#define FRAME_FLAG_END 0x01

struct frame_header {
    uint32_t stream;
    uint8_t type; /* may be one that this version does not know */
    uint8_t flags;
    uint16_t len; /* payload bytes */
};

void frame_pack_header(uint8_t bytes[FRAME_HEADER_BYTES], const struct frame_header *h);
void frame_unpack_header(const uint8_t bytes[FRAME_HEADER_BYTES], struct frame_header *h);

/* "request", "data", …; "unknown" for what this version does not know. Static. */
const char *frame_type_name(uint8_t type);

#endif
