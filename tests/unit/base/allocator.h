/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator that refuses on command. A test linked with it (tnx_failing_allocator in CMake) has
 * its calls of malloc, calloc and strdup from our own code pass through here. */
#ifndef TESTS_UNIT_BASE_ALLOCATOR_H
#define TESTS_UNIT_BASE_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

/* The next `n` allocations succeed, the one after them is refused, and all later ones succeed. */
void allocator_refuse_after(size_t n);

/* Refuses nothing any more. True if one was refused since allocator_refuse_after. */
bool allocator_reset(void);

#endif
