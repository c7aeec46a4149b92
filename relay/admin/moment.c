/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time. */
#include "relay/admin/moment.h"

#include <stddef.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"

/* A hundred years: beyond this it is a slip, and sums could overflow. */
#define DISTANCE_S_MAX (INT64_C(100) * 366 * 24 * 3600)

static int parse_date(const char *text, int64_t *wall_s)
{
    static const char *const FORMATS[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"};

    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(FORMATS[0]); i++) {
        struct tm when = {.tm_mday = 0};
        const char *end = strptime(text, FORMATS[i], &when);
        if (end != NULL && *end == '\0') {
            *wall_s = (int64_t)timegm(&when);
            return 0;
        }
    }
    return ERROR_SYNTAX;
}

int moment_parse(const char *text, int64_t now_s, bool past, int64_t *wall_s)
{
    int64_t distance_s = 0;

    if (clock_parse_duration_s(text, &distance_s) != 0) {
        return parse_date(text, wall_s);
    }
    if (distance_s > DISTANCE_S_MAX) {
        return ERROR_SYNTAX;
    }
    *wall_s = past ? now_s - distance_s : now_s + distance_s;
    return 0;
}
