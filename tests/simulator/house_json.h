/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in house: house.json as it was when the program was built. */
#ifndef TESTS_SIMULATOR_HOUSE_JSON_H
#define TESTS_SIMULATOR_HOUSE_JSON_H

#include <stddef.h>

extern const unsigned char HOUSE_JSON[];
extern const size_t HOUSE_JSON_BYTES;

#endif
