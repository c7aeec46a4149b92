/* SPDX-License-Identifier: Apache-2.0 */
/* A strict decoder of the chunked transfer coding. */
#include "proto/http/chunked.h"

#include "proto/base/error.h"
#include "proto/base/span.h"
#include "proto/http/field.h"

/* Eight hexadecimal digits are 4 GiB; every body limit is far below. */
#define SIZE_DIGITS_MAX 8

void chunked_init(struct chunked *c)
{
    c->state = CHUNKED_SIZE;
    c->remaining = 0;
    c->n_digits = 0;
    c->line_bytes = 0;
}

static int size_digit(struct chunked *c, uint8_t byte)
{
    int digit = field_hex_value((char)byte);
    if (digit >= 0) {
        if (++c->n_digits > SIZE_DIGITS_MAX) {
            return ERROR_SYNTAX;
        }
        c->remaining = c->remaining * 16 + (uint32_t)digit;
        return 0;
    }
    if (c->n_digits == 0) {
        return ERROR_SYNTAX;
    }
    if (byte == '\r') {
        c->state = CHUNKED_SIZE_LF;
        return 0;
    }
    if (byte == ';') {
        c->state = CHUNKED_EXTENSION;
        return 0;
    }
    return ERROR_SYNTAX;
}

static bool text_byte_ok(uint8_t byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

static int trailer_line_byte(struct chunked *c, uint8_t byte)
{
    if (byte == '\r') {
        c->state = CHUNKED_TRAILER_LF;
        return 0;
    }
    return text_byte_ok(byte) ? 0 : ERROR_SYNTAX;
}

/* Would frame or route the request anew; a sender must not put them here (RFC 9110 6.5.1). */
static bool is_forbidden_trailer(struct span name)
{
    return span_equal_nocase(name, span_of("Content-Length")) ||
           span_equal_nocase(name, span_of("Transfer-Encoding")) ||
           span_equal_nocase(name, span_of("Host"));
}

static int trailer_name_byte(struct chunked *c, uint8_t byte)
{
    if (byte == ':' && c->state == CHUNKED_TRAILER_NAME) {
        c->state = CHUNKED_TRAILER_LINE;
        size_t len = c->name_len < sizeof(c->name) ? c->name_len : sizeof(c->name);
        return is_forbidden_trailer((struct span){c->name, len}) ? ERROR_SYNTAX : 0;
    }
    char text = (char)byte;
    if (!field_is_token((struct span){&text, 1})) {
        return ERROR_SYNTAX;
    }
    c->name_len = c->state == CHUNKED_TRAILER_NAME ? c->name_len + 1 : 1;
    if (c->name_len <= sizeof(c->name)) {
        c->name[c->name_len - 1] = text;
    }
    c->state = CHUNKED_TRAILER_NAME;
    return 0;
}

static int trailer_start(struct chunked *c, uint8_t byte)
{
    if (byte == '\r') {
        c->state = CHUNKED_END_LF;
        return 0;
    }
    return trailer_name_byte(c, byte);
}

static int expect(struct chunked *c, uint8_t byte, uint8_t wanted, enum chunked_state next)
{
    if (byte != wanted) {
        return ERROR_SYNTAX;
    }
    c->state = next;
    return 0;
}

static int size_line_end(struct chunked *c, uint8_t byte)
{
    enum chunked_state next = c->remaining == 0 ? CHUNKED_TRAILER : CHUNKED_DATA;
    c->n_digits = 0;
    c->line_bytes = 0;
    return expect(c, byte, '\n', next);
}

static int framing_byte(struct chunked *c, uint8_t byte)
{
    if (++c->line_bytes > CHUNKED_LINE_BYTES_MAX) {
        return ERROR_LIMIT;
    }
    switch (c->state) {
    case CHUNKED_SIZE: return size_digit(c, byte);
    case CHUNKED_EXTENSION:
        return byte == '\r' ? expect(c, byte, '\r', CHUNKED_SIZE_LF)
                            : (text_byte_ok(byte) ? 0 : ERROR_SYNTAX);
    case CHUNKED_SIZE_LF: return size_line_end(c, byte);
    case CHUNKED_DATA_CR: return expect(c, byte, '\r', CHUNKED_DATA_LF);
    case CHUNKED_DATA_LF: c->line_bytes = 0; return expect(c, byte, '\n', CHUNKED_SIZE);
    case CHUNKED_TRAILER: return trailer_start(c, byte);
    case CHUNKED_TRAILER_NAME: return trailer_name_byte(c, byte);
    case CHUNKED_TRAILER_LINE: return trailer_line_byte(c, byte);
    case CHUNKED_TRAILER_LF: return expect(c, byte, '\n', CHUNKED_TRAILER);
    case CHUNKED_END_LF: return expect(c, byte, '\n', CHUNKED_DONE);
    case CHUNKED_DATA:
    case CHUNKED_DONE:
    default: return ERROR_STATE;
    }
}

static size_t take_data(struct chunked *c, size_t len)
{
    size_t n = len < c->remaining ? len : c->remaining;
    c->remaining -= (uint32_t)n;
    if (c->remaining == 0) {
        c->state = CHUNKED_DATA_CR;
        c->line_bytes = 0;
    }
    return n;
}

int chunked_feed(struct chunked *c, const uint8_t *bytes, size_t len, size_t *consumed,
                 const uint8_t **data, size_t *data_len)
{
    size_t at = 0;
    *data_len = 0;
    while (at < len && c->state != CHUNKED_DONE) {
        if (c->state == CHUNKED_DATA) {
            *data = bytes + at;
            *data_len = take_data(c, len - at);
            at += *data_len;
            break;
        }
        int err = framing_byte(c, bytes[at]);
        if (err < 0) {
            *consumed = at;
            return err;
        }
        at++;
    }
    *consumed = at;
    return 0;
}
