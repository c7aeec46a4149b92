/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of system/serverStatus. */
#ifndef TESTS_SIMULATOR_SERVERSTATUS_H
#define TESTS_SIMULATOR_SERVERSTATUS_H

#include <stdint.h>

#include "tests/simulator/writer.h"

struct serverstatus {
    const char *version;        /* "xx.xx.xx.xx" */
    uint64_t process_uptime_s;  /* since the program started */
    uint64_t server_uptime_s;   /* since the machine started */
    int64_t config_time_wall_s; /* when the configuration was read */
    uint64_t n_clients;         /* connections now */
    const char *pbx_users;      /* separated by commas */
    uint32_t padded_to_bytes;   /* a field "padding" makes the text that long; 0 = none */
};

/* Writes the JSON object: the six fields of the vendor's document in its order, times as
 * "X days X hours X min" and "hh:mm:ss YYYY-MM-DD" (UTC), and "padding" where asked for. A text
 * that is longer without padding stays as it is. */
void serverstatus_write(const struct serverstatus *s, struct writer *w);

#endif
