/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of an HTTP/1 server, from bytes to events.
 *
 * The bytes of a head are checked one by one under the rules that concern single bytes and lines,
 * so that a malformed one is refused at once and not when its end comes. A head that lies in the
 * input as a whole, as nearly all do, is judged there (response_head.c); one that comes in pieces
 * is collected first. The body is cut out by length, by chunks, or up to the server's close. */
#include "proto/http/response.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/base/text.h"
#include "proto/http/response_head.h"

/* A head's memory above this is given back when the next answer begins. */
#define HEAD_BYTES_KEPT 4096

/* Bytes 0 to 11 must be like "HTTP/1.1 200"; byte 12 is the space or the line end behind it. */
#define STATUS_LINE_PATTERN "HTTP/1.v ddd$"
#define STATUS_LINE_BYTES   (sizeof(STATUS_LINE_PATTERN) - 1)

static bool status_line_byte_ok(size_t i, char c)
{
    if (i >= STATUS_LINE_BYTES) {
        return true;
    }
    switch (STATUS_LINE_PATTERN[i]) {
    case 'v': return c == '0' || c == '1';
    case 'd': return c >= '0' && c <= '9';
    case '$': return c == ' ' || c == '\r';
    default: return c == STATUS_LINE_PATTERN[i];
    }
}

/* NULL, or what is wrong with the next byte of a head. */
static const char *scan_byte(struct response *r, char c)
{
    if (!status_line_byte_ok(r->n_scanned, c)) {
        return "malformed status line";
    }
    if ((r->last == '\r') != (c == '\n')) {
        return "CR or LF alone";
    }
    unsigned char u = (unsigned char)c;
    if ((u < 0x20 && c != '\t' && c != '\r' && c != '\n') || u == 0x7f) {
        return "control character in the head";
    }
    if (r->last == '\n') {
        if (c == ' ' || c == '\t') {
            return "folded header field";
        }
        if (c == ':') {
            return "empty field name";
        }
        r->empty_line = c == '\r';
    }
    return NULL;
}

/* What scan_byte looks at when a line of fields begins with it. */
static bool begins_specially(char c)
{
    return c == ' ' || c == ':' || c == '\t' || c == '\r';
}

/* Length of what is like the pattern, whose bytes break no other rule. */
static size_t status_line_run(const struct response *r, struct span input)
{
    static const char USUAL[STATUS_LINE_BYTES + 1] = "HTTP/1.1 200 ";
    size_t n = 0;
    if (r->n_scanned == 0 && input.len >= STATUS_LINE_BYTES &&
        memcmp(input.p, USUAL, STATUS_LINE_BYTES) == 0) {
        return STATUS_LINE_BYTES;
    }
    while (n < input.len && r->n_scanned + n < STATUS_LINE_BYTES &&
           status_line_byte_ok(r->n_scanned + n, input.p[n])) {
        n++;
    }
    return n;
}

/* Length of the run at the start of `input` that scan_byte has nothing against, be it none: of the
 * status line, or of plain text in a line of fields, and that line's end if it is there too. At
 * most what a head may still have. */
static size_t plain_run(const struct response *r, struct span input)
{
    size_t room = RESPONSE_HEAD_BYTES_MAX - r->n_scanned;
    if (r->n_scanned < STATUS_LINE_BYTES) {
        return status_line_run(r, input);
    }
    if (r->last == '\r' || (r->last == '\n' && begins_specially(input.p[0]))) {
        return 0;
    }
    input.len = input.len < room ? input.len : room;
    size_t n = text_run(input);
    bool ends = n > 0 && input.len - n >= 2 && input.p[n] == '\r' && input.p[n + 1] == '\n';
    return ends ? n + 2 : n;
}

/* Scans up to the end of the head (`*ended`) or of the input; `*n` bytes belong to the head. */
static int scan_head(struct response *r, struct span input, size_t *n, bool *ended)
{
    size_t i = 0;
    *ended = false;
    while (i < input.len && !*ended) {
        size_t run = plain_run(r, (struct span){input.p + i, input.len - i});
        if (run > 0) {
            i += run;
            r->n_scanned += run;
            r->last = input.p[i - 1];
            continue;
        }
        char c = input.p[i];
        if (r->n_scanned == RESPONSE_HEAD_BYTES_MAX) {
            return response_refuse(r, ERROR_LIMIT, "head too long");
        }
        const char *why = scan_byte(r, c);
        if (why != NULL) {
            return response_refuse(r, ERROR_SYNTAX, why);
        }
        *ended = c == '\n' && r->empty_line;
        r->last = c;
        r->n_scanned++;
        i++;
    }
    *n = i;
    return 0;
}

static void begin_head(struct response *r)
{
    r->state = RESPONSE_HEAD;
    r->n_scanned = 0;
    r->last = '\0';
    r->empty_line = false;
    r->n_fields = 0;
    buffer_clear(&r->head);
    if (r->head.cap > HEAD_BYTES_KEPT) {
        buffer_release(&r->head);
    }
}

static struct span take(struct span *input, size_t n)
{
    struct span taken = {input->p, n};
    input->p += n;
    input->len -= n;
    return taken;
}

static int next_head(struct response *r, struct span *input, enum response_event *event)
{
    size_t n = 0;
    bool ended = false;
    int rc = scan_head(r, *input, &n, &ended);
    if (rc < 0) {
        return rc;
    }
    struct span head = take(input, n);
    if (!ended || r->head.len > 0) {
        if (buffer_append(&r->head, head.p, head.len) < 0) {
            return response_refuse(r, ERROR_NOMEM, "out of memory");
        }
        head = (struct span){(const char *)buffer_bytes(&r->head), r->head.len};
    }
    if (!ended) {
        return 0;
    }
    rc = response_judge_head(r, head);
    if (rc < 0) {
        return rc;
    }
    if (r->status >= 200) {
        *event = RESPONSE_EVENT_HEAD;
        return 0;
    }
    if (r->n_interim == RESPONSE_INTERIM_MAX) {
        return response_refuse(r, ERROR_LIMIT, "too many interim answers");
    }
    r->n_interim++;
    begin_head(r);
    return 0;
}

static void tell_data(struct response *r, struct span data, enum response_event *event)
{
    r->data = data;
    *event = RESPONSE_EVENT_DATA;
}

static void tell_end(struct response *r, enum response_event *event)
{
    r->state = RESPONSE_COMPLETE;
    *event = RESPONSE_EVENT_END;
}

static void next_sized(struct response *r, struct span *input, enum response_event *event)
{
    size_t n = input->len < r->body_left ? input->len : (size_t)r->body_left;
    if (n > 0) {
        r->body_left -= n;
        tell_data(r, take(input, n), event);
    }
    if (r->body_left == 0) {
        r->state = RESPONSE_EMPTY;
    }
}

static int next_chunk(struct response *r, struct span *input, enum response_event *event)
{
    size_t consumed = 0;
    const uint8_t *data = NULL;
    size_t data_len = 0;
    int rc = chunked_feed(&r->chunked, (const uint8_t *)input->p, input->len, &consumed, &data,
                          &data_len);
    if (rc < 0) {
        return response_refuse(r, rc, "malformed chunk");
    }
    take(input, consumed);
    if (data_len > 0) {
        tell_data(r, (struct span){(const char *)data, data_len}, event);
    }
    if (r->chunked.state == CHUNKED_DONE) {
        r->state = RESPONSE_EMPTY;
    }
    return 0;
}

/* One step in the present state: takes input, changes the state or has an event to tell. */
static int step(struct response *r, struct span *input, enum response_event *event)
{
    switch (r->state) {
    case RESPONSE_HEAD: return next_head(r, input, event);
    case RESPONSE_EMPTY: tell_end(r, event); return 0;
    case RESPONSE_SIZED: next_sized(r, input, event); return 0;
    case RESPONSE_CHUNKED: return next_chunk(r, input, event);
    case RESPONSE_UNTIL_CLOSE: tell_data(r, take(input, input->len), event); return 0;
    case RESPONSE_FAILED: return r->code;
    case RESPONSE_IDLE:
    case RESPONSE_COMPLETE:
    default: return ERROR_STATE;
    }
}

void response_init(struct response *r)
{
    memset(r, 0, sizeof(*r));
    r->state = RESPONSE_IDLE;
    r->why = "";
    buffer_init(&r->head, RESPONSE_HEAD_BYTES_MAX);
}

void response_close(struct response *r)
{
    buffer_close(&r->head);
    r->state = RESPONSE_IDLE;
}

void response_begin(struct response *r, bool to_head)
{
    r->to_head = to_head;
    r->n_interim = 0;
    r->code = 0;
    r->why = "";
    r->status = 0;
    begin_head(r);
}

/* The end of an answer is told without another byte. */
static bool needs_input(const struct response *r)
{
    return r->state == RESPONSE_HEAD || r->state == RESPONSE_SIZED ||
           r->state == RESPONSE_CHUNKED || r->state == RESPONSE_UNTIL_CLOSE;
}

int response_next(struct response *r, struct span *input, enum response_event *event)
{
    enum response_event e = RESPONSE_EVENT_NONE;
    while (e == RESPONSE_EVENT_NONE && (input->len > 0 || !needs_input(r))) {
        int rc = step(r, input, &e);
        if (rc < 0) {
            return rc;
        }
    }
    *event = e;
    return 0;
}

int response_finish(struct response *r)
{
    if (r->state == RESPONSE_UNTIL_CLOSE || r->state == RESPONSE_EMPTY) {
        r->state = RESPONSE_COMPLETE;
    }
    if (r->state == RESPONSE_COMPLETE) {
        return 0;
    }
    return r->state == RESPONSE_FAILED ? r->code : response_refuse(r, ERROR_CLOSED, "cut off");
}
