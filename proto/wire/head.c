/* SPDX-License-Identifier: Apache-2.0 */
/* The payloads of the frames, packed and unpacked (PROTOCOL.md section 4).
 *
 * Packing adds up the length first, reserves once and then writes without further checks.
 * Unpacking reads through a cursor that remembers an overrun, so that it is asked for once. */
#include "proto/wire/head.h"

#include <string.h>

#include "proto/base/error.h"
#include "proto/wire/frame.h"
#include "proto/wire/head_check.h"
#include "proto/wire/le.h"

/* Fixed parts of the payloads, PROTOCOL.md sections 4.1 to 4.11. */
#define HELLO_BYTES    25
#define WELCOME_BYTES  41
#define REQUEST_BYTES  16
#define RESPONSE_BYTES 16
#define FIELD_BYTES    4
#define RESET_BYTES    4
#define GOAWAY_BYTES   8

/* REQUEST, bits: a query is there. */
#define BIT_QUERY 0x01

/* Lengths of one byte. */
#define SHORT_TEXT_MAX 255

/* body_bytes of a RESPONSE whose length is not known beforehand. */
#define BODY_UNKNOWN UINT64_MAX

struct cursor {
    const uint8_t *p;
    size_t left;
    bool cut; /* more was asked for than there is */
};

static const uint8_t *take(struct cursor *c, size_t len)
{
    const uint8_t *p = c->p;
    if (len > c->left) {
        c->cut = true;
        c->left = 0;
        return NULL;
    }
    c->p += len;
    c->left -= len;
    return p;
}

static struct span take_span(struct cursor *c, size_t len)
{
    return (struct span){(const char *)take(c, len), c->cut ? 0 : len};
}

static uint8_t *put_span(uint8_t *p, struct span s)
{
    if (s.len > 0) {
        memcpy(p, s.p, s.len);
    }
    return p + s.len;
}

/* Adds `len` to the payload's length. False if it gets longer than a payload may be. */
static bool add_len(size_t *total, size_t len)
{
    if (len > FRAME_PAYLOAD_MAX || *total > FRAME_PAYLOAD_MAX - len) {
        return false;
    }
    *total += len;
    return true;
}

static bool add_fields_len(size_t *total, const struct head_field *fields, size_t n_fields)
{
    if (n_fields > HEAD_FIELDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < n_fields; i++) {
        if (!add_len(total, FIELD_BYTES) || !add_len(total, fields[i].name.len) ||
            !add_len(total, fields[i].value.len)) {
            return false;
        }
    }
    return true;
}

static uint8_t *put_fields(uint8_t *p, const struct head_field *fields, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        le_pack_u16(p, (uint16_t)fields[i].name.len);
        le_pack_u16(p + 2, (uint16_t)fields[i].value.len);
        p = put_span(p + FIELD_BYTES, fields[i].name);
        p = put_span(p, fields[i].value);
    }
    return p;
}

/* 0, ERROR_SYNTAX, ERROR_LIMIT. */
static int take_fields(struct cursor *c, struct head_field *fields, size_t n_fields)
{
    if (n_fields > HEAD_FIELDS_MAX) {
        return ERROR_LIMIT;
    }
    for (size_t i = 0; i < n_fields; i++) {
        const uint8_t *lens = take(c, FIELD_BYTES);
        if (lens == NULL) {
            return ERROR_SYNTAX;
        }
        fields[i].name = take_span(c, le_unpack_u16(lens));
        fields[i].value = take_span(c, le_unpack_u16(lens + 2));
        if (c->cut || !head_check_name(fields[i].name) || !head_check_value(fields[i].value)) {
            return ERROR_SYNTAX;
        }
    }
    return 0;
}

int head_pack_hello(struct buffer *out, const struct head_hello *h)
{
    if (h->software.len > SHORT_TEXT_MAX) {
        return ERROR_LIMIT;
    }
    size_t len = HELLO_BYTES + h->software.len;
    uint8_t *p;
    int rc = buffer_reserve(out, len, &p);
    if (rc != 0) {
        return rc;
    }
    le_pack_u16(p, h->version_min);
    le_pack_u16(p + 2, h->version_max);
    le_pack_u32(p + 4, h->max_streams);
    le_pack_u32(p + 8, h->stream_window_bytes);
    le_pack_u32(p + 12, h->tunnel_window_bytes);
    le_pack_u64(p + 16, h->capabilities);
    p[24] = (uint8_t)h->software.len;
    put_span(p + HELLO_BYTES, h->software);
    buffer_commit(out, len);
    return 0;
}

int head_unpack_hello(const uint8_t *payload, size_t len, struct head_hello *h)
{
    struct cursor c = {payload, len, false};
    const uint8_t *p = take(&c, HELLO_BYTES);
    if (p == NULL) {
        return ERROR_SYNTAX;
    }
    struct span software = take_span(&c, p[24]);
    if (c.cut || le_unpack_u16(p) > le_unpack_u16(p + 2)) {
        return ERROR_SYNTAX;
    }
    h->version_min = le_unpack_u16(p);
    h->version_max = le_unpack_u16(p + 2);
    h->max_streams = le_unpack_u32(p + 4);
    h->stream_window_bytes = le_unpack_u32(p + 8);
    h->tunnel_window_bytes = le_unpack_u32(p + 12);
    h->capabilities = le_unpack_u64(p + 16);
    h->software = software;
    return 0;
}

int head_pack_welcome(struct buffer *out, const struct head_welcome *h)
{
    if (h->software.len > SHORT_TEXT_MAX) {
        return ERROR_LIMIT;
    }
    size_t len = WELCOME_BYTES + h->software.len;
    uint8_t *p;
    int rc = buffer_reserve(out, len, &p);
    if (rc != 0) {
        return rc;
    }
    le_pack_u16(p, h->version);
    le_pack_u16(p + 2, 0);
    le_pack_u32(p + 4, h->max_streams);
    le_pack_u32(p + 8, h->stream_window_bytes);
    le_pack_u32(p + 12, h->tunnel_window_bytes);
    le_pack_u64(p + 16, h->capabilities);
    le_pack_u64(p + 24, h->generation);
    le_pack_u32(p + 32, h->ping_idle_ms);
    le_pack_u32(p + 36, h->reply_deadline_ms);
    p[40] = (uint8_t)h->software.len;
    put_span(p + WELCOME_BYTES, h->software);
    buffer_commit(out, len);
    return 0;
}

int head_unpack_welcome(const uint8_t *payload, size_t len, struct head_welcome *h)
{
    struct cursor c = {payload, len, false};
    const uint8_t *p = take(&c, WELCOME_BYTES);
    if (p == NULL) {
        return ERROR_SYNTAX;
    }
    struct span software = take_span(&c, p[40]);
    if (c.cut) {
        return ERROR_SYNTAX;
    }
    h->version = le_unpack_u16(p);
    h->max_streams = le_unpack_u32(p + 4);
    h->stream_window_bytes = le_unpack_u32(p + 8);
    h->tunnel_window_bytes = le_unpack_u32(p + 12);
    h->capabilities = le_unpack_u64(p + 16);
    h->generation = le_unpack_u64(p + 24);
    h->ping_idle_ms = le_unpack_u32(p + 32);
    h->reply_deadline_ms = le_unpack_u32(p + 36);
    h->software = software;
    return 0;
}

int head_pack_request(struct buffer *out, const struct head_request *h)
{
    size_t len = REQUEST_BYTES;
    if (h->request_id.len > SHORT_TEXT_MAX || !add_len(&len, h->path.len) ||
        !add_len(&len, h->query.len) || !add_len(&len, h->request_id.len) ||
        !add_fields_len(&len, h->fields, h->n_fields)) {
        return ERROR_LIMIT;
    }
    uint8_t *p;
    int rc = buffer_reserve(out, len, &p);
    if (rc != 0) {
        return rc;
    }
    p[0] = (uint8_t)h->method;
    p[1] = h->has_query ? BIT_QUERY : 0;
    p[2] = (uint8_t)h->n_fields;
    p[3] = (uint8_t)h->request_id.len;
    le_pack_u32(p + 4, h->deadline_ms);
    le_pack_u32(p + 8, h->body_bytes);
    le_pack_u16(p + 12, (uint16_t)h->path.len);
    le_pack_u16(p + 14, (uint16_t)h->query.len);
    p = put_span(p + REQUEST_BYTES, h->path);
    p = put_span(p, h->query);
    p = put_span(p, h->request_id);
    put_fields(p, h->fields, h->n_fields);
    buffer_commit(out, len);
    return 0;
}

int head_unpack_request(const uint8_t *payload, size_t len, struct head_request *h,
                        struct head_field fields[HEAD_FIELDS_MAX])
{
    struct cursor c = {payload, len, false};
    const uint8_t *p = take(&c, REQUEST_BYTES);
    if (p == NULL) {
        return ERROR_SYNTAX;
    }
    struct span path = take_span(&c, le_unpack_u16(p + 12));
    struct span query = take_span(&c, le_unpack_u16(p + 14));
    struct span request_id = take_span(&c, p[3]);
    bool has_query = (p[1] & BIT_QUERY) != 0;
    if (c.cut || p[0] < HEAD_METHOD_GET || p[0] > HEAD_METHOD_POST || !head_check_path(path) ||
        !head_check_visible(query) || !head_check_visible(request_id) ||
        (!has_query && query.len > 0)) {
        return ERROR_SYNTAX;
    }
    int rc = take_fields(&c, fields, p[2]);
    if (rc != 0) {
        return rc;
    }
    h->method = (enum head_method)p[0];
    h->has_query = has_query;
    h->deadline_ms = le_unpack_u32(p + 4);
    h->body_bytes = le_unpack_u32(p + 8);
    h->path = path;
    h->query = query;
    h->request_id = request_id;
    h->fields = fields;
    h->n_fields = p[2];
    return 0;
}

int head_pack_response(struct buffer *out, const struct head_response *h)
{
    size_t len = RESPONSE_BYTES;
    if (!add_fields_len(&len, h->fields, h->n_fields)) {
        return ERROR_LIMIT;
    }
    uint8_t *p;
    int rc = buffer_reserve(out, len, &p);
    if (rc != 0) {
        return rc;
    }
    le_pack_u16(p, h->status);
    p[2] = (uint8_t)h->n_fields;
    p[3] = 0;
    le_pack_u32(p + 4, h->server_us);
    le_pack_u64(p + 8, h->body_bytes < 0 ? BODY_UNKNOWN : (uint64_t)h->body_bytes);
    put_fields(p + RESPONSE_BYTES, h->fields, h->n_fields);
    buffer_commit(out, len);
    return 0;
}

int head_unpack_response(const uint8_t *payload, size_t len, struct head_response *h,
                         struct head_field fields[HEAD_FIELDS_MAX])
{
    struct cursor c = {payload, len, false};
    const uint8_t *p = take(&c, RESPONSE_BYTES);
    if (p == NULL) {
        return ERROR_SYNTAX;
    }
    uint16_t status = le_unpack_u16(p);
    uint64_t body_bytes = le_unpack_u64(p + 8);
    if (status < 200 || status > 599 || (body_bytes > INT64_MAX && body_bytes != BODY_UNKNOWN)) {
        return ERROR_SYNTAX;
    }
    int rc = take_fields(&c, fields, p[2]);
    if (rc != 0) {
        return rc;
    }
    h->status = status;
    h->body_bytes = body_bytes == BODY_UNKNOWN ? -1 : (int64_t)body_bytes;
    h->server_us = le_unpack_u32(p + 4);
    h->fields = fields;
    h->n_fields = p[2];
    return 0;
}

int head_pack_reset(struct buffer *out, const struct head_reset_info *h)
{
    uint8_t bytes[RESET_BYTES] = {0};
    le_pack_u16(bytes, h->reason);
    bytes[2] = h->delivered;
    return buffer_append(out, bytes, sizeof(bytes));
}

int head_unpack_reset(const uint8_t *payload, size_t len, struct head_reset_info *h)
{
    if (len < RESET_BYTES) {
        return ERROR_SYNTAX;
    }
    h->reason = le_unpack_u16(payload);
    h->delivered = payload[2];
    return 0;
}

int head_pack_goaway(struct buffer *out, const struct head_goaway_info *h)
{
    uint8_t bytes[GOAWAY_BYTES] = {0};
    le_pack_u16(bytes, h->reason);
    le_pack_u32(bytes + 4, h->retry_after_ms);
    return buffer_append(out, bytes, sizeof(bytes));
}

int head_unpack_goaway(const uint8_t *payload, size_t len, struct head_goaway_info *h)
{
    if (len < GOAWAY_BYTES) {
        return ERROR_SYNTAX;
    }
    h->reason = le_unpack_u16(payload);
    h->retry_after_ms = le_unpack_u32(payload + 4);
    return 0;
}

const char *head_reset_name(uint16_t reason)
{
    static const char *const names[] = {
        [HEAD_RESET_INTERNAL] = "internal",
        [HEAD_RESET_CLIENT_GONE] = "client_gone",
        [HEAD_RESET_DEADLINE] = "deadline",
        [HEAD_RESET_SERVER_UNREACHABLE] = "server_unreachable",
        [HEAD_RESET_BAD_ANSWER] = "bad_answer",
        [HEAD_RESET_OVERLOADED] = "overloaded",
        [HEAD_RESET_REFUSED] = "refused",
        [HEAD_RESET_SHUTDOWN] = "shutdown",
        [HEAD_RESET_SERVER_AUTH] = "server_auth",
        [HEAD_RESET_TUNNEL_LOST] = "tunnel_lost",
    };
    if (reason >= sizeof(names) / sizeof(names[0]) || names[reason] == NULL) {
        return names[HEAD_RESET_INTERNAL];
    }
    return names[reason];
}

const char *head_goaway_name(uint16_t reason)
{
    static const char *const names[] = {
        [HEAD_GOAWAY_SHUTDOWN] = "shutdown", [HEAD_GOAWAY_REPLACED] = "replaced",
        [HEAD_GOAWAY_DISABLED] = "disabled", [HEAD_GOAWAY_VERSION] = "version",
        [HEAD_GOAWAY_PROTOCOL] = "protocol", [HEAD_GOAWAY_EXHAUSTED] = "exhausted",
    };
    if (reason >= sizeof(names) / sizeof(names[0]) || names[reason] == NULL) {
        return names[HEAD_GOAWAY_SHUTDOWN];
    }
    return names[reason];
}
