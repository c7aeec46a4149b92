/* SPDX-License-Identifier: Apache-2.0 */
/* The open exchanges of one worker. */
#include "relay/front/exchange_table.h"

#include <stdlib.h>

#include "proto/base/error.h"

#define SLOTS_AT_FIRST 64

struct exchange_slot {
    struct exchange *exchange; /* borrowed; NULL = free */
    exchange_ref ref;
    uint32_t next_free; /* slot index + 1 */
};

void exchange_table_init(struct exchange_table *t, unsigned worker)
{
    *t = (struct exchange_table){.worker = worker};
}

void exchange_table_close(struct exchange_table *t)
{
    free(t->slots);
    exchange_table_init(t, t->worker);
}

static int grow(struct exchange_table *t)
{
    uint32_t n = t->n_slots > 0 ? 2 * t->n_slots : SLOTS_AT_FIRST;
    if (n > REF_SLOTS_MAX) {
        return ERROR_LIMIT;
    }
    struct exchange_slot *slots = realloc(t->slots, n * sizeof(*slots));
    if (slots == NULL) {
        return ERROR_NOMEM;
    }
    for (uint32_t i = t->n_slots; i < n; i++) {
        slots[i] = (struct exchange_slot){NULL, 0, i + 1 < n ? i + 2 : 0};
    }
    t->first_free = t->n_slots + 1;
    t->slots = slots;
    t->n_slots = n;
    return 0;
}

int exchange_table_add(struct exchange_table *t, struct exchange *x, exchange_ref *ref)
{
    if (t->first_free == 0) {
        int err = grow(t);
        if (err < 0) {
            return err;
        }
    }
    uint32_t index = t->first_free - 1;
    struct exchange_slot *slot = &t->slots[index];
    t->first_free = slot->next_free;
    slot->exchange = x;
    slot->ref = ref_exchange(t->worker, index, ++t->generation);
    t->n_open++;
    *ref = slot->ref;
    return 0;
}

struct exchange *exchange_table_find(const struct exchange_table *t, exchange_ref ref)
{
    uint32_t index = ref_slot(ref);
    if (index >= t->n_slots || t->slots[index].ref != ref) {
        return NULL;
    }
    return t->slots[index].exchange;
}

void exchange_table_remove(struct exchange_table *t, exchange_ref ref)
{
    if (exchange_table_find(t, ref) == NULL) {
        return;
    }
    struct exchange_slot *slot = &t->slots[ref_slot(ref)];
    slot->exchange = NULL;
    slot->ref = 0;
    slot->next_free = t->first_free;
    t->first_free = ref_slot(ref) + 1;
    t->n_open--;
}
