/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a stranger, as the front would parse them: several requests behind each other.
 *
 * The same stream is parsed twice, in one piece and in pieces whose sizes come from the input's
 * first byte. Both must find the same messages, and whatever is accepted must keep the promises of
 * proto/http/request.h. Seeds: request_seeds.py. */
#include "proto/http/request.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buffer.h"
#include "proto/http/field.h"

/* Messages of one stream that are compared. */
#define MESSAGES_MAX 64

/* What is compared of a message. */
struct message {
    enum request_state state;
    enum request_refusal refusal;
    size_t end; /* behind its last byte in the stream */
    size_t path_len;
    size_t query_len;
    size_t n_fields;
    size_t body_len;
    uint32_t sum; /* of target, fields and body */
    bool keep_alive;
};

struct stream {
    struct message messages[MESSAGES_MAX];
    size_t n_messages;
};

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

static uint32_t add_sum(uint32_t sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ p[i]) * 16777619u;
    }
    return sum;
}

static bool is_inside(struct span s, const struct buffer *b)
{
    const char *start = (const char *)buffer_bytes(b);
    return s.len == 0 || (s.p >= start && s.p + s.len <= start + b->len);
}

static size_t count(const struct request *r, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        n += span_equal_nocase(r->fields[i].name, span_of(name)) ? 1 : 0;
    }
    return n;
}

static void check_fields(const struct request *r)
{
    require(r->n_fields <= REQUEST_FIELDS_MAX);
    for (size_t i = 0; i < r->n_fields; i++) {
        struct span name = r->fields[i].name;
        struct span value = r->fields[i].value;
        require(field_is_token(name) && is_inside(name, &r->head));
        require(field_value_ok(value) && is_inside(value, &r->head));
        require(span_equal(value, span_trim(value)));
    }
    size_t n_lengths = count(r, "Content-Length");
    size_t n_codings = count(r, "Transfer-Encoding");
    require(count(r, "Host") == 1 && field_host_ok(request_field(r, "host")));
    require(n_lengths + n_codings <= 1);
    require(n_codings == 0 || r->minor == 1);
}

static void check_target(const struct request *r)
{
    require(target_path_ok(r->path) && is_inside(r->path, &r->head));
    require(is_inside(r->query, &r->head) && (r->has_query || r->query.len == 0));
    for (size_t i = 0; i < r->query.len; i++) {
        char c = r->query.p[i];
        require(c >= 0x21 && c <= 0x7e && c != '#');
    }
}

/* A head that was accepted. */
static void check_head(const struct request *r)
{
    require(field_is_token(r->method_name) && r->minor <= 1);
    require(r->head.len <= REQUEST_LINE_BYTES_MAX + REQUEST_HEAD_BYTES_MAX + 4);
    check_target(r);
    check_fields(r);
    require(r->id.len <= REQUEST_ID_BYTES_MAX && is_inside(r->id, &r->head));
}

static void check_state(const struct request *r)
{
    require(r->body.len <= REQUEST_BODY_BYTES_MAX);
    if (r->state == REQUEST_REFUSED) {
        require(r->refusal != REQUEST_OK && r->why != NULL && !r->keep_alive);
        return;
    }
    require(r->refusal == REQUEST_OK);
    if (r->state == REQUEST_BODY || r->state == REQUEST_COMPLETE) {
        check_head(r);
    }
    if (r->state == REQUEST_COMPLETE && r->method != REQUEST_POST && r->method != REQUEST_OTHER) {
        require(r->body.len == 0);
    }
}

static void note(struct stream *s, const struct request *r, size_t end)
{
    if (s->n_messages == MESSAGES_MAX) {
        return;
    }
    struct message *m = &s->messages[s->n_messages++];
    *m = (struct message){.state = r->state, .refusal = r->refusal};
    if (r->state != REQUEST_COMPLETE) {
        return;
    }
    m->end = end;
    m->path_len = r->path.len;
    m->query_len = r->query.len;
    m->n_fields = r->n_fields;
    m->body_len = r->body.len;
    m->keep_alive = r->keep_alive;
    m->sum = add_sum(2166136261u, r->path.p, r->path.len);
    m->sum = add_sum(m->sum, r->query.p, r->query.len);
    for (size_t i = 0; i < r->n_fields; i++) {
        m->sum = add_sum(m->sum, r->fields[i].name.p, r->fields[i].name.len);
        m->sum = add_sum(m->sum, r->fields[i].value.p, r->fields[i].value.len);
    }
    m->sum = add_sum(m->sum, buffer_bytes(&r->body), r->body.len);
}

/* Feeds one piece, from memory of its own so that every byte too far is seen. False: the
 * connection would be closed. */
static bool feed_piece(struct stream *s, struct request *r, const uint8_t *bytes, size_t len,
                       size_t offset)
{
    uint8_t *copy = malloc(len);
    bool open = copy != NULL;
    size_t at = 0;
    if (open) {
        memcpy(copy, bytes, len);
    }
    while (open && at < len) {
        size_t used = 0;
        enum request_state before = r->state;
        enum request_state state = request_feed(r, copy + at, len - at, &used);
        require(state == r->state && used <= len - at);
        require(used > 0 || state != before);
        at += used;
        check_state(r);
        if (state == REQUEST_COMPLETE) {
            note(s, r, offset + at);
            open = r->keep_alive;
            request_reset(r);
            require(request_is_untouched(r));
        } else if (state == REQUEST_REFUSED) {
            note(s, r, 0);
            open = false;
        }
    }
    free(copy);
    return open;
}

/* `cuts` 0: one piece; else its value seeds the sizes of the pieces. */
static void parse(struct stream *s, const uint8_t *bytes, size_t len, uint32_t cuts)
{
    struct request r;
    request_init(&r);
    size_t at = 0;
    bool open = true;
    while (open && at < len) {
        size_t n = len - at;
        if (cuts != 0) {
            cuts = cuts * 1103515245u + 12345u;
            size_t wanted = (cuts >> 16) % ((cuts & 0x100) != 0 ? 3 : 40) + 1;
            n = wanted < n ? wanted : n;
        }
        open = feed_piece(s, &r, bytes + at, n, at);
        at += n;
    }
    if (open && !request_is_untouched(&r)) {
        note(s, &r, 0);
    }
    request_close(&r);
}

static bool is_refused(const struct message *m)
{
    return m->state == REQUEST_REFUSED;
}

/* A message that breaks several rules may be refused for any of them, and one that is not complete
 * may have been refused already. */
static bool agree(const struct message *a, const struct message *b)
{
    if (is_refused(a) && is_refused(b)) {
        return true;
    }
    return a->state == b->state && a->refusal == b->refusal && a->end == b->end &&
           a->path_len == b->path_len && a->query_len == b->query_len &&
           a->n_fields == b->n_fields && a->body_len == b->body_len && a->sum == b->sum &&
           a->keep_alive == b->keep_alive;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stream whole;
    static struct stream pieces;
    if (size < 2) {
        return 0;
    }
    whole.n_messages = 0;
    pieces.n_messages = 0;
    parse(&whole, data + 1, size - 1, 0);
    parse(&pieces, data + 1, size - 1, (uint32_t)data[0] + 1);
    require(whole.n_messages == pieces.n_messages);
    for (size_t i = 0; i < whole.n_messages; i++) {
        require(agree(&whole.messages[i], &pieces.messages[i]));
    }
    return 0;
}
