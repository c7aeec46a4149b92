/* SPDX-License-Identifier: Apache-2.0 */
/* References that may travel between workers instead of pointers. A reference to something that is
 * gone finds nothing: the generation in it fences late messages. */
#ifndef RELAY_REF_H
#define RELAY_REF_H

#include <stdint.h>

/* Workers in one relay. */
#define REF_WORKERS_MAX 64
/* Exchanges that one worker can have open: the bits of a slot. */
#define REF_SLOTS_MAX (1U << 20)

/* worker (8 bits), slot (20), generation (36). 0 refers to nothing. */
typedef uint64_t exchange_ref; /* a number, not a struct: it is kept in a pointer */
/* worker (8 bits), number of the tunnel, unique in the process (56). 0 refers to nothing. */
typedef uint64_t tunnel_ref;

static inline exchange_ref ref_exchange(unsigned worker, uint32_t slot, uint64_t generation)
{
    return (uint64_t)worker << 56 | (uint64_t)(slot & 0xfffffU) << 36 | (generation & 0xfffffffffU);
}

static inline tunnel_ref ref_tunnel(unsigned worker, uint64_t number)
{
    return (uint64_t)worker << 56 | (number & 0xffffffffffffffU);
}

static inline unsigned ref_worker(uint64_t ref)
{
    return (unsigned)(ref >> 56);
}

static inline uint32_t ref_slot(exchange_ref ref)
{
    return (uint32_t)(ref >> 36) & 0xfffffU;
}

static inline uint64_t ref_number(tunnel_ref ref)
{
    return ref & 0xffffffffffffffU;
}

#endif
