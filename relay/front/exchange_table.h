/* SPDX-License-Identifier: Apache-2.0 */
/* The open exchanges of one worker, by reference: slots with generations, so that a message for an
 * exchange that is over finds nothing. */
#ifndef RELAY_FRONT_EXCHANGE_TABLE_H
#define RELAY_FRONT_EXCHANGE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "relay/ref.h"

struct exchange;
struct exchange_slot;

struct exchange_table {
    struct exchange_slot *slots; /* owned; grows */
    uint32_t n_slots;
    uint32_t n_open;
    uint32_t first_free; /* slot index + 1; 0 = none */
    uint64_t generation; /* of the last exchange */
    unsigned worker;
};

void exchange_table_init(struct exchange_table *t, unsigned worker);
void exchange_table_close(struct exchange_table *t);

/* Its new reference in `*ref`. 0, ERROR_NOMEM, ERROR_LIMIT. */
int exchange_table_add(struct exchange_table *t, struct exchange *x, exchange_ref *ref);

/* NULL if it is over. */
struct exchange *exchange_table_find(const struct exchange_table *t, exchange_ref ref);

void exchange_table_remove(struct exchange_table *t, exchange_ref ref);

#endif
