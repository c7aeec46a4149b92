/* SPDX-License-Identifier: Apache-2.0 */
/* The latest requests of one worker, and how many each building had in each minute, for the pages,
 * and by class of status since the start, for monitors: kept in memory, bounded, written by the
 * worker, read from any thread. The lock is held while a record is written or copied, and hardly
 * ever contended: nobody reads unless somebody looks. */
#ifndef RELAY_FRONT_ACTIVITY_H
#define RELAY_FRONT_ACTIVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/store/directory.h"

/* Requests kept per worker. */
#define ACTIVITY_RECORDS_MAX 1024
/* Minutes counted back. */
#define ACTIVITY_MINUTES 60
/* Buildings counted per worker; those beyond have no curve. */
#define ACTIVITY_SERVERS_MAX 100000

/* Statuses by their first digit: 2xx, 3xx, 4xx, 5xx. (1xx is never final.) */
#define ACTIVITY_CLASSES 4

struct activity_record {
    uint64_t at_us; /* wall clock, when it was answered */
    int64_t key;    /* 0 = none: an operator's, or refused */
    int64_t server;
    uint16_t status;
    bool cut;
    uint32_t total_us;
    uint32_t queued_us;
    uint32_t agent_us;
    uint32_t server_us;
    uint64_t n_bytes;
    const char *reason; /* static; NULL = the building's own answer */
    char serial[DIRECTORY_SERIAL_BYTES];
    char id[65];
    char method[8];
    char controller[48];
    char client[72]; /* address, or "operator:NAME" */
};

struct activity;

/* NULL when out of memory. */
struct activity *activity_new(void);
void activity_free(struct activity *a);

/* The worker's thread: the place of the next record, which holds an old one: every field is to be
 * written. The lock is held until activity_end, so nothing may come between that takes long. */
struct activity_record *activity_begin(struct activity *a);
/* A caller's request (one with a key) is also counted by class: for its building if that
 * `has_series` (relay/roster.h), else for all others together; so is that of a building beyond
 * ACTIVITY_SERVERS_MAX, series or not. */
void activity_end(struct activity *a, bool has_series);

/* Both at once, with a copy. */
void activity_note(struct activity *a, const struct activity_record *record, bool has_series);

/* The server was removed. */
void activity_forget(struct activity *a, int64_t server);

/* Copies the records from number `*next` on (0 = the oldest kept), at most `cap`, oldest first;
 * `*next` is then the number of the first that was not copied. Returns how many. */
size_t activity_read(struct activity *a, uint64_t *next, struct activity_record *records,
                     size_t cap);

/* Adds what was counted by class for the server; for 0, for the others together. */
void activity_add_classes(struct activity *a, int64_t server, uint64_t classes[ACTIVITY_CLASSES]);

/* Adds the server's requests per minute to `counts`, the current minute last. */
void activity_count(struct activity *a, int64_t server, int64_t now_s,
                    uint32_t counts[ACTIVITY_MINUTES]);

#endif
