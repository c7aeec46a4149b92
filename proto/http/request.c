/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/1 request, from bytes to a judged head and a body.
 *
 * The head is collected byte by byte under the rules that concern single bytes and lines (CRLF
 * only, no controls, no folds, limits), so that a malformed one is refused at once and not when
 * its end comes. The complete head is then judged in request_head.c. */
#include "proto/http/request.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"
#include "proto/base/text.h"
#include "proto/http/request_head.h"

/* Memory of a head that is kept for the connection's next request. */
#define HEAD_KEPT_BYTES 2048

void request_init(struct request *r)
{
    memset(r, 0, offsetof(struct request, fields));
    r->n_fields = 0;
    buffer_init(&r->head, REQUEST_LINE_BYTES_MAX + REQUEST_HEAD_BYTES_MAX + 8);
    buffer_init(&r->body, REQUEST_BODY_BYTES_MAX);
    r->authority = (struct span){NULL, 0};
    r->line_start = 0;
    r->fields_start = 0;
    r->n_empty_lines = 0;
    r->last_byte = 0;
    r->is_chunked = false;
    r->body_left = 0;
}

/* Heads hold keys and agents' tokens. */
static void wipe_head(struct request *r)
{
    if (r->head.data != NULL) {
        secret_cleanse(r->head.data, r->head.cap);
    }
}

void request_close(struct request *r)
{
    wipe_head(r);
    buffer_close(&r->head);
    buffer_close(&r->body);
    request_init(r);
}

void request_reset(struct request *r)
{
    wipe_head(r);
    struct buffer head = r->head;
    buffer_close(&r->body);
    request_init(r);
    if (head.cap > HEAD_KEPT_BYTES) {
        buffer_close(&head);
        return;
    }
    buffer_clear(&head);
    r->head = head;
}

bool request_is_untouched(const struct request *r)
{
    return r->state == REQUEST_LINE && r->head.len == 0;
}

enum request_state request_refuse(struct request *r, enum request_refusal refusal, const char *why)
{
    r->state = REQUEST_REFUSED;
    r->refusal = refusal;
    r->why = why;
    r->keep_alive = false;
    /* Whatever was wrong: an answer to HEAD has no content (RFC 9110 9.3.2). */
    struct span head = {(const char *)buffer_bytes(&r->head), r->head.len};
    if (span_starts(head, span_of("HEAD "))) {
        r->method = REQUEST_HEAD;
    }
    return r->state;
}

/* What a byte may do inside a head. */
enum byte_class { BYTE_TEXT, BYTE_CR, BYTE_LF, BYTE_BAD };

static enum byte_class classify(uint8_t byte)
{
    if (byte >= 0x20 && byte != 0x7f) {
        return BYTE_TEXT;
    }
    switch (byte) {
    case '\t': return BYTE_TEXT;
    case '\r': return BYTE_CR;
    case '\n': return BYTE_LF;
    default: return BYTE_BAD;
    }
}

static size_t line_len(const struct request *r)
{
    return r->head.len - r->line_start;
}

/* A whole line, CRLF included, is in head from line_start on. */
static enum request_state end_line(struct request *r)
{
    bool empty = line_len(r) == 2;
    if (r->state == REQUEST_LINE) {
        if (empty) {
            buffer_clear(&r->head);
            if (++r->n_empty_lines > REQUEST_EMPTY_LINES_MAX) {
                return request_refuse(r, REQUEST_BAD, "empty lines before the request line");
            }
            return r->state;
        }
        r->state = REQUEST_FIELDS;
        r->fields_start = r->head.len;
        r->line_start = r->head.len;
        return request_judge_line(r);
    }
    if (empty) {
        return request_judge_head(r);
    }
    r->line_start = r->head.len;
    return r->state;
}

static enum request_state check_byte(struct request *r, uint8_t byte)
{
    enum byte_class class = classify(byte);
    if (class == BYTE_BAD) {
        return request_refuse(r, REQUEST_BAD, "control byte in the head");
    }
    if ((r->last_byte == '\r') != (class == BYTE_LF)) {
        return request_refuse(r, REQUEST_BAD, "bare CR or LF in the head");
    }
    bool first_of_line = line_len(r) == 0;
    if (first_of_line && (byte == ' ' || byte == '\t')) {
        return request_refuse(r, REQUEST_BAD, "line that begins with white space");
    }
    return r->state;
}

static enum request_state check_limits(struct request *r)
{
    if (r->state == REQUEST_LINE && r->head.len > REQUEST_LINE_BYTES_MAX + 2) {
        return request_refuse(r, REQUEST_LINE_TOO_LARGE, "request line too long");
    }
    if (r->state == REQUEST_FIELDS && r->head.len - r->fields_start > REQUEST_HEAD_BYTES_MAX + 2) {
        return request_refuse(r, REQUEST_HEAD_TOO_LARGE, "header fields too long");
    }
    return r->state;
}

static bool in_head(const struct request *r)
{
    return r->state == REQUEST_LINE || r->state == REQUEST_FIELDS;
}

/* Length of the run of plain text at the start of `bytes`, which may go on in the line being read,
 * and of that line's end if it is there too: check_byte has nothing against any of it. */
static size_t plain_run(const struct request *r, const uint8_t *bytes, size_t len)
{
    if (r->last_byte == '\r' || (line_len(r) == 0 && bytes[0] == ' ')) {
        return 0;
    }
    size_t n = text_run((struct span){(const char *)bytes, len});
    bool ends = n > 0 && len - n >= 2 && bytes[n] == '\r' && bytes[n + 1] == '\n';
    return ends ? n + 2 : n;
}

static enum request_state feed_head(struct request *r, const uint8_t *bytes, size_t len,
                                    size_t *consumed)
{
    size_t at = 0;
    while (at < len && in_head(r)) {
        size_t n = plain_run(r, bytes + at, len - at);
        if (n == 0) {
            if (check_byte(r, bytes[at]) == REQUEST_REFUSED) {
                break;
            }
            n = 1;
        }
        if (buffer_append(&r->head, bytes + at, n) < 0) {
            enum request_refusal over =
                r->state == REQUEST_LINE ? REQUEST_LINE_TOO_LARGE : REQUEST_HEAD_TOO_LARGE;
            request_refuse(r, over, "head too long");
            break;
        }
        r->last_byte = bytes[at + n - 1];
        at += n;
        if (check_limits(r) == REQUEST_REFUSED) {
            break;
        }
        if (r->last_byte == '\n') {
            end_line(r);
            r->last_byte = 0;
        }
    }
    *consumed = at;
    return r->state;
}

static enum request_state take_body(struct request *r, const uint8_t *bytes, size_t len)
{
    if (len > r->body.max_bytes - r->body.len || buffer_append(&r->body, bytes, len) < 0) {
        return request_refuse(r, REQUEST_BODY_TOO_LARGE, "body too large");
    }
    return r->state;
}

/* Of the current chunk; 0 while the line of its size is incomplete, and may still be malformed. */
static size_t chunk_left(const struct request *r)
{
    return r->chunked.state == CHUNKED_DATA ? r->chunked.remaining : 0;
}

static enum request_state feed_chunked(struct request *r, const uint8_t *bytes, size_t len,
                                       size_t *consumed)
{
    size_t at = 0;
    while (at < len && r->state == REQUEST_BODY) {
        size_t used = 0;
        const uint8_t *data = NULL;
        size_t data_len = 0;
        int err = chunked_feed(&r->chunked, bytes + at, len - at, &used, &data, &data_len);
        at += used;
        if (err < 0) {
            request_refuse(r, REQUEST_BAD, "malformed chunk");
        } else if (data_len + chunk_left(r) > r->body.max_bytes - r->body.len) {
            request_refuse(r, REQUEST_BODY_TOO_LARGE, "body too large");
        } else if (data_len > 0) {
            take_body(r, data, data_len);
        } else if (r->chunked.state == CHUNKED_DONE) {
            r->state = REQUEST_COMPLETE;
        }
    }
    *consumed = at;
    return r->state;
}

static enum request_state feed_sized(struct request *r, const uint8_t *bytes, size_t len,
                                     size_t *consumed)
{
    size_t n = len < r->body_left ? len : (size_t)r->body_left;
    *consumed = n;
    r->body_left -= n;
    if (take_body(r, bytes, n) != REQUEST_REFUSED && r->body_left == 0) {
        r->state = REQUEST_COMPLETE;
    }
    return r->state;
}

enum request_state request_feed(struct request *r, const uint8_t *bytes, size_t len,
                                size_t *consumed)
{
    *consumed = 0;
    switch (r->state) {
    case REQUEST_LINE:
    case REQUEST_FIELDS: return feed_head(r, bytes, len, consumed);
    case REQUEST_BODY:
        return r->is_chunked ? feed_chunked(r, bytes, len, consumed)
                             : feed_sized(r, bytes, len, consumed);
    case REQUEST_COMPLETE:
    case REQUEST_REFUSED:
    default: return r->state;
    }
}

struct span request_field(const struct request *r, const char *name)
{
    struct span wanted = span_of(name);
    for (size_t i = 0; i < r->n_fields; i++) {
        if (span_equal_nocase(r->fields[i].name, wanted)) {
            return r->fields[i].value;
        }
    }
    return (struct span){NULL, 0};
}
