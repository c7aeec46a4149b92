/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile server against the parser of answers.
 *
 * First byte: bit 0 the request was a HEAD. Second byte: the size of pieces. The rest is fed twice,
 * whole and in pieces: both must tell the same, and what they tell must be what response.h
 * promises. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/error.h"
#include "proto/http/field.h"
#include "proto/http/response.h"

/* What was told, as far as it must not depend on how the bytes were cut. */
struct told {
    int code;
    bool head;
    bool end;
    bool finished;
    uint16_t status;
    int64_t body_bytes;
    bool keep_alive;
    size_t n_fields;
    uint64_t fields_hash;
    uint64_t body_hash;
    uint64_t body_len;
    size_t n_taken; /* bytes up to the end of the answer */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static uint64_t hash(uint64_t h, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 1099511628211u; /* FNV-1a */
    }
    return h;
}

static void note_head(struct told *t, const struct response *r)
{
    require(!t->head);
    require(r->status >= 200 && r->status <= 599);
    require(r->body_bytes >= -1);
    require(r->n_fields <= RESPONSE_FIELDS_MAX);
    for (size_t i = 0; i < r->n_fields; i++) {
        require(field_is_token(r->fields[i].name) && field_value_ok(r->fields[i].value));
        t->fields_hash = hash(t->fields_hash, r->fields[i].name);
        t->fields_hash = hash(t->fields_hash * 31, r->fields[i].value);
    }
    t->head = true;
    t->status = r->status;
    t->body_bytes = r->body_bytes;
    t->keep_alive = r->keep_alive;
    t->n_fields = r->n_fields;
}

static void note_data(struct told *t, const struct response *r, bool to_head)
{
    require(t->head && !t->end && !to_head && r->data.len > 0);
    require(t->status != 204 && t->status != 304);
    t->body_hash = hash(t->body_hash, r->data);
    t->body_len += r->data.len;
    require(t->body_bytes < 0 || t->body_len <= (uint64_t)t->body_bytes);
}

static void note_end(struct told *t, bool to_head)
{
    bool empty = to_head || t->status == 304;
    require(t->head);
    require(t->body_bytes < 0 || empty || t->body_len == (uint64_t)t->body_bytes);
    t->end = true;
}

/* Feeds one piece. False when no more can be fed. */
static bool feed(struct response *r, struct told *t, struct span piece, bool to_head)
{
    struct span input = piece;
    enum response_event event = RESPONSE_EVENT_NONE;
    do {
        t->code = response_next(r, &input, &event);
        if (t->code < 0) {
            require(r->state == RESPONSE_FAILED && r->why[0] != '\0');
            return false;
        }
        if (event == RESPONSE_EVENT_HEAD) {
            note_head(t, r);
        } else if (event == RESPONSE_EVENT_DATA) {
            require(r->data.p >= piece.p && r->data.p + r->data.len <= piece.p + piece.len);
            note_data(t, r, to_head);
        } else if (event == RESPONSE_EVENT_END) {
            note_end(t, to_head);
        }
    } while (event == RESPONSE_EVENT_HEAD || event == RESPONSE_EVENT_DATA);
    require(t->end || input.len == 0);
    t->n_taken += piece.len - input.len;
    return !t->end;
}

static struct told run(struct response *r, const uint8_t *data, size_t size, size_t piece_len,
                       bool to_head)
{
    struct told t = {.code = 0};
    response_begin(r, to_head);
    for (size_t at = 0; at < size;) {
        size_t n = size - at < piece_len ? size - at : piece_len;
        /* Memory of its own, gone afterwards: nothing may point into it. */
        char *copy = malloc(n);
        require(copy != NULL);
        memcpy(copy, data + at, n);
        bool more = feed(r, &t, (struct span){copy, n}, to_head);
        free(copy);
        if (!more) {
            break;
        }
        at += n;
    }
    t.finished = response_finish(r) == 0;
    require(t.finished || !t.end);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    struct response r;
    bool to_head = (data[0] & 1) != 0;
    size_t piece_len = (size_t)data[1] + 1;
    response_init(&r);
    struct told whole = run(&r, data + 2, size - 2, size, to_head);
    struct told pieces = run(&r, data + 2, size - 2, piece_len, to_head);
    response_close(&r);
    require(whole.code == pieces.code && whole.head == pieces.head && whole.end == pieces.end);
    require(whole.finished == pieces.finished && whole.status == pieces.status);
    require(whole.body_bytes == pieces.body_bytes && whole.keep_alive == pieces.keep_alive);
    require(whole.n_fields == pieces.n_fields && whole.fields_hash == pieces.fields_hash);
    require(whole.body_len == pieces.body_len && whole.body_hash == pieces.body_hash);
    require(!whole.end || whole.n_taken == pieces.n_taken);
    return 0;
}
