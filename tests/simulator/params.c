/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a call, decoded. */
#include "tests/simulator/params.h"

#include "proto/base/error.h"
#include "tests/simulator/hex.h"

void params_init(struct params *p)
{
    p->n_items = 0;
    buffer_init(&p->text, PARAMS_BYTES_MAX);
}

void params_close(struct params *p)
{
    buffer_close(&p->text);
    p->n_items = 0;
}

/* Decodes into `room`, which is as long as `raw` at least. */
static int decode(struct span raw, char *room, struct span *decoded)
{
    size_t len = 0;

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.p[i];
        if (c == '%') {
            int high = raw.len - i > 2 ? hex_value(raw.p[i + 1]) : -1;
            int low = raw.len - i > 2 ? hex_value(raw.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return ERROR_SYNTAX;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        room[len++] = c;
    }
    *decoded = (struct span){room, len};
    return 0;
}

static int read_piece(struct params *p, struct span piece, char **room)
{
    struct param item;
    struct span value = piece;
    struct span name = span_cut(&value, '=');
    int rc = 0;

    if (p->n_items == PARAMS_MAX) {
        return ERROR_LIMIT;
    }
    rc = decode(name, *room, &item.name);
    if (rc == 0) {
        *room += item.name.len;
        rc = decode(value, *room, &item.value);
    }
    if (rc == 0) {
        *room += item.value.len;
        p->items[p->n_items++] = item;
    }
    return rc;
}

static int read_pieces(struct params *p, struct span text, char **room)
{
    while (text.len > 0) {
        struct span piece = span_cut(&text, '&');
        int rc = piece.len == 0 ? 0 : read_piece(p, piece, room);
        if (rc != 0) {
            p->n_items = 0;
            return rc;
        }
    }
    return 0;
}

int params_read(struct params *p, struct span query, struct span form)
{
    uint8_t *start = NULL;
    char *room = NULL;
    int rc = 0;

    p->n_items = 0;
    buffer_clear(&p->text);
    /* One byte more, so that there is room to point to even for nothing. */
    rc = buffer_reserve(&p->text, query.len + form.len + 1, &start);
    if (rc != 0) {
        return rc;
    }
    room = (char *)start;
    rc = read_pieces(p, query, &room);
    return rc != 0 ? rc : read_pieces(p, form, &room);
}

bool params_get(const struct params *p, const char *name, struct span *value)
{
    struct span wanted = span_of(name);

    for (size_t i = p->n_items; i > 0; i--) {
        if (span_equal(p->items[i - 1].name, wanted)) {
            *value = p->items[i - 1].value;
            return true;
        }
    }
    return false;
}

bool params_has(const struct params *p, const char *name)
{
    struct span value;
    return params_get(p, name, &value);
}
