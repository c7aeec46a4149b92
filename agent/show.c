/* SPDX-License-Identifier: Apache-2.0 */
/* Tables. */
#include "agent/show.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX 5
#define ROWS_MAX    256
#define CELL_BYTES  160

struct table {
    size_t n_columns;
    size_t n_rows;
    char cells[ROWS_MAX][COLUMNS_MAX][CELL_BYTES];
};

/* An empty one; there is one at a time. It is too large for the stack. */
static struct table *begin(void)
{
    static struct table only;
    only.n_columns = COLUMNS_MAX;
    only.n_rows = 0;
    return &only;
}

/* NULL and "" are "-". What does not fit is cut. */
static void set_cell(struct table *t, size_t column, const char *text)
{
    char *cell = t->cells[t->n_rows][column];
    (void)snprintf(cell, CELL_BYTES, "%s", text == NULL || *text == '\0' ? "-" : text);
    for (; *cell != '\0'; cell++) {
        if ((unsigned char)*cell < 0x20 || *cell == 0x7f) {
            *cell = '?';
        }
    }
}

static void add_row(struct table *t, const char *const *texts)
{
    if (t->n_rows < ROWS_MAX) {
        for (size_t i = 0; i < t->n_columns; i++) {
            set_cell(t, i, texts[i]);
        }
        t->n_rows++;
    }
}

static void print(const struct table *t)
{
    for (size_t row = 0; row < t->n_rows; row++) {
        for (size_t i = 0; i < t->n_columns; i++) {
            size_t width = 0;
            for (size_t other = 0; other < t->n_rows; other++) {
                size_t len = strlen(t->cells[other][i]);
                width = len > width ? len : width;
            }
            bool last = i + 1 == t->n_columns;
            (void)printf("%-*s%s", last ? 0 : (int)width, t->cells[row][i], last ? "\n" : "  ");
        }
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* "open", or "waiting, again in 12 s". */
static void describe_state(const json_t *relay, char text[CELL_BYTES])
{
    const json_t *next = json_object_get(relay, "next_ms");
    const char *state = text_of(relay, "state");

    if (json_is_integer(next)) {
        (void)snprintf(text, CELL_BYTES, "%s, again in %d s", state != NULL ? state : "?",
                       (int)((json_integer_value(next) + 999) / 1000));
    } else {
        (void)snprintf(text, CELL_BYTES, "%s", state != NULL ? state : "?");
    }
}

static void describe_ms(const json_t *ms, char text[CELL_BYTES])
{
    text[0] = '\0';
    if (json_is_number(ms)) {
        (void)snprintf(text, CELL_BYTES, json_number_value(ms) < 1 ? "%.2f ms" : "%.1f ms",
                       json_number_value(ms));
    }
}

static void add_relay(struct table *t, const json_t *relay)
{
    char name[CELL_BYTES];
    char state[CELL_BYTES];
    char time[CELL_BYTES];

    (void)snprintf(name, sizeof(name), "relay %s", text_of(relay, "relay"));
    describe_state(relay, state);
    describe_ms(json_object_get(relay, "rtt_ms"), time);
    add_row(t, (const char *const[]){name, state, text_of(relay, "since"), time,
                                     text_of(relay, "last_error")});
}

static void add_server(struct table *t, const json_t *server)
{
    char name[CELL_BYTES];
    char time[CELL_BYTES];

    (void)snprintf(name, sizeof(name), "server %s", text_of(server, "url"));
    describe_ms(json_object_get(server, "answer_ms"), time);
    add_row(t, (const char *const[]){name, text_of(server, "state"), text_of(server, "last_answer"),
                                     time, text_of(server, "last_error")});
}

void show_status(const json_t *status)
{
    struct table *t = begin();
    const json_t *relays = json_object_get(status, "relays");
    const json_t *relay;
    size_t i;

    (void)printf("agent of %s, version %s, %s since %s\n", text_of(status, "serial"),
                 text_of(status, "version"), text_of(status, "state"), text_of(status, "started"));
    add_row(t, (const char *const[]){"LEG", "STATE", "SINCE / LAST ANSWER", "ROUND TRIP",
                                     "LAST ERROR"});
    json_array_foreach(relays, i, relay)
    {
        add_relay(t, relay);
    }
    add_server(t, json_object_get(status, "server"));
    print(t);
}

void show_new_key(const json_t *key)
{
    const char *url = text_of(key, "url");
    (void)printf("id   %s\nkey  %s\n", text_of(key, "id"), text_of(key, "key"));
    if (url != NULL) {
        (void)printf("url  %s\n", url);
    }
    (void)puts("The key is shown only now.");
}

void show_keys(const json_t *keys)
{
    struct table *t = begin();
    const json_t *key;
    size_t i;

    add_row(t, (const char *const[]){"ID", "STATE", "CREATED", "LAST USED", "LABEL"});
    json_array_foreach(keys, i, key)
    {
        add_row(t, (const char *const[]){text_of(key, "id"), text_of(key, "state"),
                                         text_of(key, "created_at"), text_of(key, "last_used_at"),
                                         text_of(key, "label")});
    }
    print(t);
}
