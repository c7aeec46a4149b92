/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1 request of a stranger, parsed as strictly as the relay's front needs it: llhttp in
 * strict mode, and what even that lets through refused around it (docs/decisions.md). No I/O.
 *
 * A request is fed bytes until it is complete or refused. It keeps its head and its body; nothing
 * points into the bytes it was fed. */
#ifndef PROTO_HTTP_REQUEST_H
#define PROTO_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"
#include "proto/http/chunked.h"

#define REQUEST_LINE_BYTES_MAX 8192
#define REQUEST_HEAD_BYTES_MAX 16384 /* all header fields, without the request line */
#define REQUEST_FIELDS_MAX     100
#define REQUEST_NAME_BYTES_MAX 255 /* of one header field */
#define REQUEST_BODY_BYTES_MAX 65536
/* Empty lines before a request line that are skipped (RFC 9112 2.2). */
#define REQUEST_EMPTY_LINES_MAX 2
/* Longest X-Request-Id that is taken over from a caller. */
#define REQUEST_ID_BYTES_MAX 64

enum request_method { REQUEST_GET, REQUEST_HEAD, REQUEST_POST, REQUEST_OTHER };

enum request_state {
    REQUEST_LINE,     /* before or in the request line */
    REQUEST_FIELDS,   /* in the header fields */
    REQUEST_BODY,     /* the head is complete and judged, a body follows */
    REQUEST_COMPLETE, /* all of it is here */
    REQUEST_REFUSED   /* malformed or too large; what follows must not be read as a request */
};

/* Why a request was refused; the status that answers it. */
enum request_refusal {
    REQUEST_OK = 0,
    REQUEST_BAD = 400,
    REQUEST_BODY_TOO_LARGE = 413,
    REQUEST_LINE_TOO_LARGE = 414,
    REQUEST_EXPECTATION = 417,
    REQUEST_HEAD_TOO_LARGE = 431
};

struct request_field {
    struct span name;
    struct span value; /* trimmed */
};

struct request {
    enum request_state state;
    enum request_refusal refusal;
    const char *why; /* of a refusal: one phrase for log and answer; static */

    /* Valid from REQUEST_BODY on; spans point into `head`. */
    enum request_method method;
    struct span method_name;
    uint8_t minor;     /* of the version: 0 or 1 */
    struct span path;  /* starts with "/" (the path of an absolute form); checked */
    struct span query; /* behind "?", byte for byte */
    bool has_query;
    bool keep_alive;       /* by version and Connection */
    bool expects_continue; /* Expect: 100-continue, with a body */
    bool wants_websocket;  /* Upgrade: websocket and Connection: upgrade */
    struct span id;        /* X-Request-Id if there is one valid one, else empty */
    struct request_field fields[REQUEST_FIELDS_MAX];
    size_t n_fields;

    struct buffer body; /* decoded, at most body.max_bytes of it */

    /* private */
    struct span authority; /* of an absolute form; p == NULL: the target was none */
    struct buffer head;
    size_t line_start;   /* of the line being read, in head */
    size_t fields_start; /* first byte behind the request line */
    size_t path_start;
    size_t n_empty_lines;
    uint8_t last_byte;
    bool is_chunked;
    uint64_t body_left; /* of a sized body */
    struct chunked chunked;
};

/* The body may have REQUEST_BODY_BYTES_MAX; who allows more sets body.max_bytes after it. */
void request_init(struct request *r);

/* Frees all it holds. Idempotent. */
void request_close(struct request *r);

/* Ready for the next request; keeps a small head's memory. */
void request_reset(struct request *r);

/* True if not a byte of a request has come yet (empty lines do not count). */
bool request_is_untouched(const struct request *r);

/* Takes bytes until the head is complete, the request is complete or refused, or all are taken:
 * `*consumed` of them. Call again with the rest while the state is REQUEST_BODY. The new state is
 * returned, and is in r->state. Running out of memory refuses as too large (413, 414, 431). */
enum request_state request_feed(struct request *r, const uint8_t *bytes, size_t len,
                                size_t *consumed);

/* The value of the only field of that name; empty with p == NULL if there is none. Of several the
 * first. */
struct span request_field(const struct request *r, const char *name);

#endif
