/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of a message as lines of text. */
#ifndef TESTS_UNIT_WIRE_FRAME_PRINT_H
#define TESTS_UNIT_WIRE_FRAME_PRINT_H

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/wire/event_log.h"

/* Writes one line "> ..." for each frame. Fails the test if the message is malformed. */
void frame_print(struct event_log *log, const uint8_t *message, size_t len);

#endif
