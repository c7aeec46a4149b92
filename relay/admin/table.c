/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for people. */
#include "relay/admin/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"

#define CELLS_MIN 64

void table_init(struct table *t, const char *const *titles, size_t n_columns)
{
    assert(n_columns > 0 && n_columns <= TABLE_COLUMNS_MAX);
    *t = (struct table){.n_columns = n_columns};
    for (size_t i = 0; i < n_columns; i++) {
        table_add(t, titles[i]);
    }
}

void table_close(struct table *t)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    *t = (struct table){.n_columns = 0};
}

static int make_room(struct table *t)
{
    size_t cap = t->cap == 0 ? CELLS_MIN : t->cap * 2;

    if (t->n_cells < t->cap) {
        return 0;
    }
    char **cells = reallocarray(t->cells, cap, sizeof(*cells));
    if (cells == NULL) {
        return ERROR_NOMEM;
    }
    t->cells = cells;
    t->cap = cap;
    return 0;
}

/* Bytes of the UTF-8 character at `p`, 0 if it is none. */
static size_t char_len(const char *p)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;

    if (c < 0x80) {
        return c >= 0x20 && c != 0x7f ? 1 : 0;
    }
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* U+0080-U+009F are controls: some terminals obey them. */
    return c == 0xc2 && (unsigned char)p[1] < 0xa0 ? 0 : n;
}

static void make_printable(char *text)
{
    while (*text != '\0') {
        size_t n = char_len(text);
        if (n == 0) {
            *text = '?';
            n = 1;
        }
        text += n;
    }
}

void table_add(struct table *t, const char *text)
{
    char *copy = strdup(text == NULL || text[0] == '\0' ? "-" : text);

    if (copy == NULL || make_room(t) != 0) {
        free(copy);
        t->failed = ERROR_NOMEM;
        return;
    }
    make_printable(copy);
    t->cells[t->n_cells++] = copy;
}

void table_add_number(struct table *t, uint64_t number)
{
    char text[sizeof("18446744073709551615")];
    (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    table_add(t, text);
}

void table_add_time(struct table *t, int64_t wall_s)
{
    char text[CLOCK_ISO_BYTES];

    if (wall_s == 0) {
        table_add(t, NULL);
        return;
    }
    clock_format(wall_s, text);
    text[strcspn(text, "T")] = ' ';
    text[strcspn(text, "Z")] = '\0';
    table_add(t, text);
}

/* Characters on the screen, for scripts that take one column each. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    }
    return n;
}

static void print_row(const struct table *t, size_t first, const size_t *widths, FILE *out)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        const char *cell = t->cells[first + i];
        bool last = i + 1 == t->n_columns;
        size_t pad = last ? 0 : widths[i] - width_of(cell) + 2;
        /* The caller looks at ferror. */
        (void)fprintf(out, "%s%*s%s", cell, (int)pad, "", last ? "\n" : "");
    }
}

int table_print(const struct table *t, FILE *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};

    if (t->failed != 0) {
        return t->failed;
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t width = width_of(t->cells[i]);
        if (width > widths[i % t->n_columns]) {
            widths[i % t->n_columns] = width;
        }
    }
    for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns) {
        print_row(t, i, widths, out);
    }
    return 0;
}
