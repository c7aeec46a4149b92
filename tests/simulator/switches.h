/* SPDX-License-Identifier: Apache-2.0 */
/* What a test can change about the simulator: delays and faults. Each switch has one name, which is
 * an option of the command line (--answer-delay-ms 20) and a key of the control file
 * ({"answer-delay-ms": 20}).
 *
 * All but feedback-delay-ms, stall and refuse-connections touch only calls of the API that passed
 * authentication, so that a digest handshake still works while answers are dropped. */
#ifndef TESTS_SIMULATOR_SWITCHES_H
#define TESTS_SIMULATOR_SWITCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "tests/simulator/broken.h"

struct switches {
    uint32_t feedback_delay_ms; /* how long devices without their own delay take to confirm */
    uint32_t answer_delay_ms;   /* executed at once, answered that much later */
    uint32_t drop_answers;   /* each Nth call: executed, then closed without an answer; 0 = none */
    uint32_t answer_status;  /* answer every call with this error, executing nothing; 0 = off */
    uint32_t big_body_bytes; /* pads system/serverStatus; 0 = off */
    uint32_t close_after;    /* requests per connection; 0 = no limit */
    enum broken broken_answer;
    bool refuse_connections; /* nobody listens: connecting fails, and open connections are reset */
    bool stall;              /* requests are read (and logged), never executed nor answered */
};

/* All off; a feedback delay of 50 ms. */
void switches_init(struct switches *s);

/* The names, for the command line. `i` < switches_count(). */
size_t switches_count(void);
const char *switches_name(size_t i);
bool switches_is_flag(size_t i);

/* Sets switch `i` from the text of the command line; NULL for a flag. ERROR_CONFIG. */
int switches_set(struct switches *s, size_t i, const char *text, struct error_text *e);

/* Reads a control file: one JSON object. What it does not name is as in `base`. `s` is untouched on
 * failure. ERROR_CONFIG: unreadable, unknown switch, bad value. */
int switches_read(const char *path, const struct switches *base, struct switches *s,
                  struct error_text *e);

#endif
