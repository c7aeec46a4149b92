/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a websocket (RFC 6455) after its handshake: framing by wslay's frame interface, and
 * around it the checks which that leaves to its caller: masking, reserved bits and opcodes, order
 * of fragments, size of a message, close codes. Binary messages only. No I/O. */
#ifndef PROTO_WEBSOCKET_WEBSOCKET_H
#define PROTO_WEBSOCKET_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"

/* Largest message taken, over all its fragments. */
#define WEBSOCKET_MESSAGE_BYTES_MAX 65536
/* Payload of a control frame (RFC 6455 5.5). */
#define WEBSOCKET_CONTROL_BYTES_MAX 125
/* Longest header of a frame that we send: two bytes, a 64-bit length and a mask. */
#define WEBSOCKET_HEADER_BYTES_MAX 14
#define WEBSOCKET_MASK_BYTES       4

/* Longest frame that we send: one pull of the mux. */
#define WEBSOCKET_FRAME_BYTES_MAX 65536

/* Close codes (RFC 6455 7.4.1). */
enum websocket_close {
    WEBSOCKET_CLOSE_NORMAL = 1000,
    WEBSOCKET_CLOSE_GOING_AWAY = 1001,
    WEBSOCKET_CLOSE_PROTOCOL = 1002,
    WEBSOCKET_CLOSE_UNSUPPORTED = 1003,
    WEBSOCKET_CLOSE_NONE = 1005, /* never sent: the peer gave none */
    WEBSOCKET_CLOSE_TOO_BIG = 1009,
    WEBSOCKET_CLOSE_INTERNAL = 1011, /* out of memory */
    WEBSOCKET_CLOSE_FAULT = 4000     /* + enum mux_fault */
};

enum websocket_opcode { WEBSOCKET_BINARY = 0x2, WEBSOCKET_CLOSE = 0x8, WEBSOCKET_PONG = 0xa };

/* Which end this is. A client's frames are masked, a server's are not (RFC 6455 5.1). */
enum websocket_role { WEBSOCKET_SERVER, WEBSOCKET_CLIENT };

struct websocket_callbacks {
    /* A piece of a binary message. Return non-zero to stop (the websocket was given up). */
    int (*on_bytes)(void *user, const uint8_t *bytes, size_t len);
    /* The message is complete. Return as above. */
    int (*on_message_end)(void *user);
    /* Answer with a pong of the same payload. */
    void (*on_ping)(void *user, const uint8_t *payload, size_t len);
    /* The peer closes; code 1005 if it gave none. */
    void (*on_close)(void *user, uint16_t code);
};

struct websocket;

/* wslay's state while a frame is incomplete; 4 kB. */
struct websocket_parser;
void websocket_parser_free(struct websocket_parser *p);

/* The end of `role`, which takes the other's frames. `spare` is borrowed and shared by the
 * websockets of one thread: the parser that none of them needs now, or NULL, as at first. Whoever
 * has it frees it at the end. NULL when out of memory. */
struct websocket *websocket_new(enum websocket_role role,
                                const struct websocket_callbacks *callbacks, void *user,
                                struct websocket_parser **spare);
void websocket_free(struct websocket *w);

/* 0 when all was taken, and between frames no parser is kept; or the close code to give up with
 * (enum websocket_close); or -1 after a close frame or after a callback stopped it. */
int websocket_feed(struct websocket *w, const uint8_t *bytes, size_t len);

/* Makes a whole frame in place: the header is written in front of the payload, where
 * WEBSOCKET_HEADER_BYTES_MAX bytes must be free, and with `mask` (WEBSOCKET_MASK_BYTES that nobody
 * can foresee; NULL for a server) the payload is masked. Returns where the frame begins. */
uint8_t *websocket_wrap(uint8_t *payload, size_t len, enum websocket_opcode opcode,
                        const uint8_t *mask, size_t *frame_len);

/* Appends a whole unmasked frame to `out`. 0, ERROR_LIMIT, ERROR_NOMEM. */
int websocket_pack(struct buffer *out, enum websocket_opcode opcode, const void *payload,
                   size_t len);

/* Sec-WebSocket-Accept of a Sec-WebSocket-Key (RFC 6455 4.2.2): 28 characters and NUL. `key` must
 * be 24 characters of base64 for 16 bytes; else ERROR_SYNTAX. */
#define WEBSOCKET_ACCEPT_BYTES 29
int websocket_accept(const char *key, size_t key_len, char accept[WEBSOCKET_ACCEPT_BYTES]);

#endif
