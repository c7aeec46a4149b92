/* SPDX-License-Identifier: Apache-2.0 */
/* The payloads of the frames, packed and unpacked (PROTOCOL.md section 4). No I/O, no state.
 *
 * Unpacking borrows: every span points into the payload. All lengths are checked; a payload that
 * is too short, or whose items overrun it, is ERROR_SYNTAX. Bytes behind the known items are
 * skipped, so that a later version may add some. */
#ifndef PROTO_WIRE_HEAD_H
#define PROTO_WIRE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"

/* Versions of the protocol that this code speaks. */
#define HEAD_VERSION_MIN 1
#define HEAD_VERSION_MAX 1

/* Most header fields in one head (as many as the relay's front accepts). */
#define HEAD_FIELDS_MAX 100

/* Capabilities of an agent (PROTOCOL.md 4.1). */
#define HEAD_CAPABILITY_DEVICES UINT64_C(1) /* answers a request for HEAD_DEVICES_PATH itself */

/* What an agent with that capability answers itself, instead of the server (PROTOCOL.md 5.5). */
#define HEAD_DEVICES_PATH "/thinknx-agent/devices"

enum head_method { HEAD_METHOD_GET = 1, HEAD_METHOD_HEAD = 2, HEAD_METHOD_POST = 3 };

enum head_delivered {
    HEAD_DELIVERED_NO = 0,     /* it provably never reached the building's server */
    HEAD_DELIVERED_YES = 1,    /* it was handed to the server */
    HEAD_DELIVERED_UNKNOWN = 2 /* it may have been */
};

/* Why a stream was reset. Numbers are fixed by PROTOCOL.md; unknown ones count as INTERNAL. */
enum head_reset {
    HEAD_RESET_INTERNAL = 1,
    HEAD_RESET_CLIENT_GONE = 2,        /* relay: nobody waits for the answer any more */
    HEAD_RESET_DEADLINE = 3,           /* either: no answer in time */
    HEAD_RESET_SERVER_UNREACHABLE = 4, /* agent: the server refused the connection */
    HEAD_RESET_BAD_ANSWER = 5,         /* agent: the server's answer is unusable */
    HEAD_RESET_OVERLOADED = 6,         /* agent: its queue is full */
    HEAD_RESET_REFUSED = 7,            /* agent: the request is not one it forwards */
    HEAD_RESET_SHUTDOWN = 8,           /* agent: draining; the request was not begun */
    HEAD_RESET_SERVER_AUTH = 9,        /* agent: the server refuses the agent's credentials */
    HEAD_RESET_TUNNEL_LOST = 10        /* never on the wire: the tunnel went away */
};

enum head_goaway {
    HEAD_GOAWAY_SHUTDOWN = 1, /* the sender is draining: connect again at once, elsewhere if can */
    HEAD_GOAWAY_REPLACED = 2, /* another agent with this identity has connected */
    HEAD_GOAWAY_DISABLED = 3, /* the server was disabled or removed */
    HEAD_GOAWAY_VERSION = 4,  /* no common protocol version */
    HEAD_GOAWAY_PROTOCOL = 5, /* the peer broke the protocol */
    HEAD_GOAWAY_EXHAUSTED = 6 /* stream ids are used up: connect again */
};

/* What an agent may ask of the relay (PROTOCOL.md 4.11). */
enum head_control_op {
    HEAD_CONTROL_KEY_ENABLE = 1, /* a new key for the agent's own server */
    HEAD_CONTROL_KEY_LIST = 2,   /* that server's keys */
    HEAD_CONTROL_KEY_REVOKE = 3  /* one of them */
};

/* How the relay answers. */
enum head_control_status {
    HEAD_CONTROL_DONE = 0,
    HEAD_CONTROL_UNKNOWN = 1,  /* the relay does not know this call */
    HEAD_CONTROL_BAD_BODY = 2, /* the body is not what the call asks for */
    HEAD_CONTROL_REFUSED = 3,  /* not allowed, for instance too often */
    HEAD_CONTROL_FAILED = 4    /* the relay could not do it */
};

struct head_field {
    struct span name;
    struct span value;
};

struct head_hello {
    uint16_t version_min;
    uint16_t version_max;
    struct span software; /* "thinknx-agent/0.1.0" */
    uint64_t capabilities;
    uint32_t max_streams;         /* requests the sender takes at once */
    uint32_t stream_window_bytes; /* credit of a new stream towards the sender */
    uint32_t tunnel_window_bytes; /* credit of all streams together towards the sender */
};

struct head_welcome {
    uint16_t version;
    uint64_t generation; /* of this tunnel; grows over the life of a relay */
    struct span software;
    uint64_t capabilities;
    uint32_t max_streams;
    uint32_t stream_window_bytes;
    uint32_t tunnel_window_bytes;
    uint32_t ping_idle_ms;      /* both sides ping after so long without a byte */
    uint32_t reply_deadline_ms; /* and give up after so long more */
};

struct head_request {
    enum head_method method;
    bool has_query;       /* "?" was there, even with nothing behind it */
    uint32_t deadline_ms; /* the agent gives up after so long */
    uint32_t body_bytes;  /* exact; 0 = no body */
    struct span path;     /* "/api/V1/power"; bytes 0x21-0x7e, no dot segments */
    struct span query;    /* behind the "?", byte for byte */
    struct span request_id;
    const struct head_field *fields; /* to pack: borrowed; unpacked: the caller's array */
    size_t n_fields;
};

struct head_response {
    uint16_t status;    /* 200-599 */
    int64_t body_bytes; /* -1 = not known beforehand */
    uint32_t server_us; /* from handing over to the first byte of the answer */
    const struct head_field *fields;
    size_t n_fields;
};

struct head_reset_info {
    uint16_t reason;   /* enum head_reset */
    uint8_t delivered; /* enum head_delivered; larger values count as UNKNOWN */
};

struct head_goaway_info {
    uint16_t reason;         /* enum head_goaway */
    uint32_t retry_after_ms; /* 0 = no advice */
};

/* Each appends the payload (no frame header) to `out`: 0, ERROR_LIMIT (over FRAME_PAYLOAD_MAX or
 * the buffer's maximum; nothing appended), ERROR_NOMEM. */
int head_pack_hello(struct buffer *out, const struct head_hello *h);
int head_pack_welcome(struct buffer *out, const struct head_welcome *h);
int head_pack_request(struct buffer *out, const struct head_request *h);
int head_pack_response(struct buffer *out, const struct head_response *h);
int head_pack_reset(struct buffer *out, const struct head_reset_info *h);
int head_pack_goaway(struct buffer *out, const struct head_goaway_info *h);

/* Each: 0, ERROR_SYNTAX, and for the two with fields ERROR_LIMIT (more than HEAD_FIELDS_MAX).
 * request and response also check what their comments promise: known method, path starting with
 * "/" and free of controls, field names tokens, values free of CR LF NUL, status 200-599. */
int head_unpack_hello(const uint8_t *payload, size_t len, struct head_hello *h);
int head_unpack_welcome(const uint8_t *payload, size_t len, struct head_welcome *h);
int head_unpack_request(const uint8_t *payload, size_t len, struct head_request *h,
                        struct head_field fields[HEAD_FIELDS_MAX]);
int head_unpack_response(const uint8_t *payload, size_t len, struct head_response *h,
                         struct head_field fields[HEAD_FIELDS_MAX]);
int head_unpack_reset(const uint8_t *payload, size_t len, struct head_reset_info *h);
int head_unpack_goaway(const uint8_t *payload, size_t len, struct head_goaway_info *h);

/* "client_gone", "server_unreachable", …, the machine words of the documentation. Static. */
const char *head_reset_name(uint16_t reason);
const char *head_goaway_name(uint16_t reason);

#endif
