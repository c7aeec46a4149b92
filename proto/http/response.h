/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of an HTTP/1 server, parsed strictly: bytes in, events out. No I/O and no time. One
 * parser serves one connection, one answer after the other.
 *
 * Whatever leaves doubt about where an answer ends is refused rather than repaired, because the
 * next answer on the connection would be read from the wrong place: versions other than 1.0 and
 * 1.1, line ends other than CR LF, folded lines, empty field names, controls in values, a
 * Content-Length that is no number or comes twice, a Transfer-Encoding that is not exactly one
 * `chunked` or stands beside Content-Length or in version 1.0, status codes outside 200-599.
 * Interim answers (1xx) and trailers are read and dropped. */
#ifndef PROTO_HTTP_RESPONSE_H
#define PROTO_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"
#include "proto/http/chunked.h"

/* Bytes of one head, status line and final empty line included, and fields in it. */
#define RESPONSE_HEAD_BYTES_MAX 16384
#define RESPONSE_FIELDS_MAX     100
/* Interim answers before the final one; servers send one or two. */
#define RESPONSE_INTERIM_MAX 8
/* keep_alive_s when the server said nothing. */
#define RESPONSE_KEEP_ALIVE_UNSAID UINT32_MAX

enum response_state {
    RESPONSE_IDLE,        /* nothing begun */
    RESPONSE_HEAD,        /* in a head, interim or final */
    RESPONSE_EMPTY,       /* the head was told, no body follows, the end was not told yet */
    RESPONSE_SIZED,       /* `body_left` bytes of body follow */
    RESPONSE_CHUNKED,     /* chunks follow */
    RESPONSE_UNTIL_CLOSE, /* the body goes on until the server closes */
    RESPONSE_COMPLETE,    /* the end was told */
    RESPONSE_FAILED       /* refused; what follows must not be read as an answer */
};

enum response_event {
    RESPONSE_EVENT_NONE, /* nothing yet: all of the input was taken, more is needed */
    RESPONSE_EVENT_HEAD, /* status, fields and the rest of the head are there */
    RESPONSE_EVENT_DATA, /* `data` is there: at least one byte of the body, decoded */
    RESPONSE_EVENT_END   /* the answer is complete */
};

struct response_field {
    struct span name;  /* a token */
    struct span value; /* trimmed; no controls but tabs */
};

struct response {
    enum response_state state;
    const char *why; /* of a failure: one phrase for the log; static; "" if there was none */

    /* From RESPONSE_EVENT_HEAD on. The fields' spans only until the next call on this parser, or
     * until the input that it was given goes away. */
    uint16_t status;       /* 200-599 */
    uint8_t minor;         /* of the version: 0 or 1 */
    int64_t body_bytes;    /* Content-Length (after HEAD and with 304 too); -1 = unknown; 204: 0 */
    bool keep_alive;       /* the connection may carry another request after the end */
    uint32_t keep_alive_s; /* "Keep-Alive: timeout=": it is closed by the server after so long */
    struct response_field fields[RESPONSE_FIELDS_MAX]; /* all of them, in the order they came */
    size_t n_fields;

    /* At RESPONSE_EVENT_DATA: lies in the input. */
    struct span data;

    /* private */
    struct buffer head; /* of a head that came in pieces */
    size_t n_scanned;   /* bytes of the head */
    char last;          /* the byte scanned last */
    bool empty_line;    /* the line being scanned began with CR */
    bool to_head;       /* the request was a HEAD */
    unsigned n_interim;
    uint64_t body_left;
    struct chunked chunked;
    int code; /* of the failure */
};

void response_init(struct response *r);

/* Frees what it holds. Idempotent. */
void response_close(struct response *r);

/* Expects an answer from its first byte on, whatever was before. `to_head`: the request was a
 * HEAD, so no body follows. */
void response_begin(struct response *r, bool to_head);

/* Takes bytes off the front of `input` up to the next event. Call again, with what is left, until
 * the event is NONE or END. Bytes left over behind END belong to no request: then the connection
 * must not be used again.
 * 0; ERROR_SYNTAX (malformed); ERROR_LIMIT (a maximum above); ERROR_NOMEM; ERROR_STATE (nothing
 * begun, or already complete). A failure lasts until response_begin. */
int response_next(struct response *r, struct span *input, enum response_event *event);

/* The server closed the connection. 0 if the answer is complete, before or by that (a body without
 * a length ends this way); ERROR_CLOSED if it is cut off; the code of an earlier failure. */
int response_finish(struct response *r);

#endif
