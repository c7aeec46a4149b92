/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from the kernel. (Keys and tokens come from OpenSSL's RAND_bytes, in the store.) */
#ifndef PROTO_BASE_RANDOM_H
#define PROTO_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills with getrandom(2); ends the process if the kernel has none, for nothing is safe then. */
void random_bytes(void *bytes, size_t len);

uint64_t random_u64(void);

#endif
