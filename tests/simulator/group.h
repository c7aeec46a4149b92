/* SPDX-License-Identifier: Apache-2.0 */
/* KNX group addresses as they are written. */
#ifndef TESTS_SIMULATOR_GROUP_H
#define TESTS_SIMULATOR_GROUP_H

#include <stdbool.h>

#include "proto/base/span.h"

/* Longest address, with NUL: "31/2047", "31/7/255". */
#define GROUP_BYTES 9

/* True for main/middle/sub (0-31, 0-7, 0-255) and main/sub (0-31, 0-2047). Not for the free form
 * (one number), nor for the address zero, which is the broadcast (KNX 03_03_02). */
bool group_ok(struct span text);

#endif
