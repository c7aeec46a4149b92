/* SPDX-License-Identifier: Apache-2.0 */
/* The connection history of the buildings: when which leg came and went, and why. Written by the
 * store thread, some time after the fact; what was not written when a process is killed is lost. */
#ifndef RELAY_STORE_HISTORY_H
#define RELAY_STORE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "relay/store/database.h"

/* The newest so many rows are kept of each building, and so many of the relay itself; and one more,
 * the last about the building's tunnel, if it is not among them. */
#define HISTORY_ROWS_MAX 200
/* And none that is older, but the last about the building's tunnel. */
#define HISTORY_KEEP_S (90 * 24 * 3600)
/* Rows in one listing. */
#define HISTORY_LIST_MAX 100
/* Text of a reason, with NUL; cut. */
#define HISTORY_REASON_BYTES 48

/* Numbers stand in the database. */
enum history_leg {
    HISTORY_TUNNEL = 0, /* relay to agent */
    HISTORY_SERVER = 1, /* agent to Thinknx server */
    HISTORY_RELAY = 2   /* the relay's process: it began */
};

struct history_row {
    int64_t server_id; /* 0 = of the relay itself */
    int64_t at_ms;     /* wall clock */
    enum history_leg leg;
    bool up;
    uint32_t n_left_out; /* events between the row before and this one: there were too many */
    char reason[HISTORY_REASON_BYTES]; /* machine word, or "" */
};

/* Adds a row inside the transaction that is open, and drops the building's oldest beyond
 * HISTORY_ROWS_MAX, but the last about its tunnel. A building that was removed meanwhile gets none.
 * ERROR_IO. */
int history_add(struct database *db, const struct history_row *row, struct error_text *e);

/* Visits the newest HISTORY_LIST_MAX rows of the building, and of the relay since the building's
 * first, newest first. `visit` may not use the database. ERROR_IO. */
int history_list(struct database *db, int64_t server_id,
                 void (*visit)(void *user, const struct history_row *row), void *user,
                 struct error_text *e);

/* Visits the last row about the tunnel of each building that has one. ERROR_IO. */
int history_visit_last(struct database *db,
                       void (*visit)(void *user, const char *serial, const struct history_row *row),
                       void *user, struct error_text *e);

/* Drops rows from before `before_s`, but the last about each tunnel, at most `n_max` of them;
 * `*n` = how many went. */
int history_prune(struct database *db, int64_t before_s, uint32_t n_max, int64_t *n,
                  struct error_text *e);

#endif
