/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request out of bytes: llhttp with the strictness of a small server and a named maximum
 * for everything the client chooses. No I/O. */
#ifndef TESTS_SIMULATOR_REQUEST_H
#define TESTS_SIMULATOR_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "proto/base/buffer.h"
#include "proto/base/span.h"

#define REQUEST_TARGET_BYTES 8192  /* beyond: 414 */
#define REQUEST_HEAD_BYTES   16384 /* request line and header fields; beyond: 431 */
#define REQUEST_HEADERS_MAX  100   /* beyond: 431 */
#define REQUEST_BODY_BYTES   65536 /* beyond: 413 */

enum request_progress {
    REQUEST_MORE,   /* all bytes taken, the request is not complete */
    REQUEST_READY,  /* complete; request_next must come before further bytes */
    REQUEST_REFUSED /* malformed or too large: `refusal` has the status, the connection is over */
};

/* Where a header field lies in `text`. */
struct request_field {
    uint32_t name_at;
    uint32_t name_len;
    uint32_t value_at;
    uint32_t value_len;
};

struct request_header {
    struct span name;  /* as received */
    struct span value; /* without blanks around it */
};

struct request {
    llhttp_t parser;
    struct buffer text; /* the target, then names and values */
    size_t target_len;
    struct request_field fields[REQUEST_HEADERS_MAX];
    size_t n_fields;
    bool field_open; /* its value has not ended */
    struct buffer body;
    size_t n_raw_bytes; /* taken for this request, until the head ended and since */
    bool head_done;
    bool keep_alive;
    bool wants_continue; /* Expect: 100-continue, and no byte of the body is here */
    int refusal;
};

/* The request must not be moved afterwards. No allocation until the first byte. */
void request_init(struct request *r);
void request_close(struct request *r);

/* Takes bytes. `*n_used` says how many, also at REQUEST_READY, where the rest belongs to the next
 * request. */
enum request_progress request_feed(struct request *r, const uint8_t *bytes, size_t len,
                                   size_t *n_used);

/* Gets ready for the next request; the spans of this one end here. */
void request_next(struct request *r);

/* True if bytes of a request have come in that is not complete yet. */
bool request_begun(const struct request *r);

/* All valid until request_next. */
struct span request_method(const struct request *r);
struct span request_target(const struct request *r);
struct span request_body(const struct request *r);
bool request_is_head(const struct request *r);
bool request_is_http_1_0(const struct request *r);
size_t request_header_count(const struct request *r);
struct request_header request_header_at(const struct request *r, size_t i);

/* The value of the only field of that name (in any case). False without one, or with several. */
bool request_find(const struct request *r, const char *name, struct span *value);

/* True if the body is application/x-www-form-urlencoded. */
bool request_is_form(const struct request *r);

#endif
