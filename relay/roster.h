/* SPDX-License-Identifier: Apache-2.0 */
/* Which buildings have series of their own in /metrics: those that were added first, so that the
 * choice is the same at every start, and changes only when one of them is removed. All others are
 * counted together. Renewed by one worker, asked by all of them. */
#ifndef RELAY_ROSTER_H
#define RELAY_ROSTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/store/directory.h"

/* Most that [admin] building_metrics may ask for: a scrape has at most 8 lines for each. */
#define ROSTER_MAX 1000

struct roster_row {
    int64_t id;
    bool enabled;
    char serial[DIRECTORY_SERIAL_BYTES];
};

struct roster;

/* Empty. NULL when out of memory. */
struct roster *roster_new(void);
void roster_free(struct roster *r);

/* Looks at all servers and chooses the first `n_max` (at most ROSTER_MAX). Out of memory: stays as
 * it is. */
void roster_renew(struct roster *r, struct directory_reader *reader, size_t n_max);

/* Does the building have its own? One load: asked for each request. */
bool roster_has(const struct roster *r, int64_t server);

/* Copies the rows, in the order in which they were added; returns how many. */
size_t roster_read(struct roster *r, struct roster_row rows[ROSTER_MAX]);

#endif
