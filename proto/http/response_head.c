/* SPDX-License-Identifier: Apache-2.0 */
/* The judgement of a complete answer head: fields, framing, connection.
 *
 * llhttp cuts the head into fields. What it accepts although it leaves doubt is refused around it:
 * the lines are checked before (response.c), the names and framing afterwards. A value lies within
 * one line, because folds are refused: of its bytes nothing is left to check. The body is not
 * llhttp's: version 8.1 waits for the body of a 304 that has a Content-Length. */
#include "proto/http/response_head.h"

#include <llhttp.h>

#include "proto/base/error.h"
#include "proto/http/field.h"

int response_refuse(struct response *r, int code, const char *why)
{
    r->state = RESPONSE_FAILED;
    r->code = code;
    r->why = why;
    return code;
}

/* The head is fed in one piece, so that each name and each value comes in one piece too. */
static int on_name(llhttp_t *parser, const char *at, size_t len)
{
    struct response *r = parser->data;
    if (r->n_fields == RESPONSE_FIELDS_MAX) {
        response_refuse(r, ERROR_LIMIT, "too many header fields");
        return -1;
    }
    r->fields[r->n_fields++] = (struct response_field){{at, len}, {at, 0}};
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct response *r = parser->data;
    r->fields[r->n_fields - 1].value = span_trim((struct span){at, len});
    return 0;
}

/* 1: no body follows, as far as llhttp is concerned. */
static int on_head_end(llhttp_t *parser)
{
    parser->upgrade = 0;
    return 1;
}

/* Stops it behind the head. */
static int on_message_end(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static int parse_fields(struct response *r, struct span head)
{
    static const llhttp_settings_t SETTINGS = {
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_head_end,
        .on_message_complete = on_message_end,
    };
    llhttp_t parser;
    r->n_fields = 0;
    llhttp_init(&parser, HTTP_RESPONSE, &SETTINGS);
    parser.data = r;
    llhttp_errno_t err = llhttp_execute(&parser, head.p, head.len);
    if (r->state == RESPONSE_FAILED) {
        return r->code;
    }
    /* Its idea of where the head ends must be ours. */
    if (err != HPE_PAUSED || llhttp_get_error_pos(&parser) != head.p + head.len) {
        return response_refuse(r, ERROR_SYNTAX, "malformed head");
    }
    r->status = parser.status_code;
    r->minor = parser.http_minor;
    for (size_t i = 0; i < r->n_fields; i++) {
        if (!field_is_token(r->fields[i].name)) {
            return response_refuse(r, ERROR_SYNTAX, "malformed header field");
        }
    }
    return 0;
}

/* What the fields say about body and connection. */
struct framing {
    size_t n_lengths;
    size_t n_codings;
    uint64_t length; /* of the last Content-Length, if length_ok */
    bool length_ok;
    bool chunked;
    bool close;
    bool keep_alive;
    uint32_t keep_alive_s;
};

static void read_keep_alive(struct framing *f, struct span value)
{
    while (value.p != NULL) {
        struct span seconds_text = span_cut(&value, ',');
        struct span name = span_trim(span_cut(&seconds_text, '='));
        uint64_t seconds = 0;
        if (span_equal_nocase(name, span_of("timeout")) &&
            span_parse_u64(span_trim(seconds_text), RESPONSE_KEEP_ALIVE_UNSAID - 1, &seconds) ==
                0) {
            f->keep_alive_s = (uint32_t)seconds;
        }
    }
}

static void read_field(struct framing *f, const struct response_field *field)
{
    if (span_equal_nocase(field->name, span_of("Content-Length"))) {
        f->n_lengths++;
        f->length_ok = span_parse_u64(field->value, INT64_MAX, &f->length) == 0;
    } else if (span_equal_nocase(field->name, span_of("Transfer-Encoding"))) {
        f->n_codings++;
        f->chunked = span_equal_nocase(field->value, span_of("chunked"));
    } else if (span_equal_nocase(field->name, span_of("Connection"))) {
        f->close = f->close || field_connection_lists(field->value, span_of("close"));
        f->keep_alive =
            f->keep_alive || field_connection_lists(field->value, span_of("keep-alive"));
    } else if (span_equal_nocase(field->name, span_of("Keep-Alive"))) {
        read_keep_alive(f, field->value);
    }
}

/* RFC 9112 6.3, without its repairs. NULL, or what is wrong. */
static const char *framing_error(const struct framing *f, uint8_t minor)
{
    if (f->n_lengths > 1) {
        return "repeated Content-Length";
    }
    if (f->n_lengths == 1 && !f->length_ok) {
        return "malformed Content-Length";
    }
    if (f->n_codings > 0 && (f->n_codings > 1 || !f->chunked || minor == 0)) {
        return "Transfer-Encoding that is not exactly one chunked";
    }
    if (f->n_codings > 0 && f->n_lengths > 0) {
        return "Transfer-Encoding beside Content-Length";
    }
    return NULL;
}

static void settle_body(struct response *r, const struct framing *f)
{
    r->body_bytes = f->n_lengths > 0 ? (int64_t)f->length : -1;
    if (r->status == 204) {
        r->body_bytes = 0;
    }
    if (r->to_head || r->status == 204 || r->status == 304) {
        r->state = RESPONSE_EMPTY;
    } else if (f->n_codings > 0) {
        r->state = RESPONSE_CHUNKED;
        chunked_init(&r->chunked);
    } else if (f->n_lengths > 0) {
        r->state = f->length > 0 ? RESPONSE_SIZED : RESPONSE_EMPTY;
        r->body_left = f->length;
    } else {
        r->state = RESPONSE_UNTIL_CLOSE;
    }
    r->keep_alive =
        !f->close && (r->minor > 0 || f->keep_alive) && r->state != RESPONSE_UNTIL_CLOSE;
    r->keep_alive_s = f->keep_alive_s;
}

int response_judge_head(struct response *r, struct span head)
{
    struct framing f = {.keep_alive_s = RESPONSE_KEEP_ALIVE_UNSAID};
    int rc = parse_fields(r, head);
    if (rc < 0) {
        return rc;
    }
    /* 101 would leave HTTP, and nobody has asked for that. */
    if (r->status < 100 || r->status == 101 || r->status > 599) {
        return response_refuse(r, ERROR_SYNTAX, "status that cannot be passed on");
    }
    for (size_t i = 0; i < r->n_fields; i++) {
        read_field(&f, &r->fields[i]);
    }
    const char *why = framing_error(&f, r->minor);
    if (why != NULL) {
        return response_refuse(r, ERROR_SYNTAX, why);
    }
    if (r->status >= 200) {
        settle_body(r, &f);
    }
    return 0;
}
