/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as people write them. */
#ifndef RELAY_ADMIN_MOMENT_H
#define RELAY_ADMIN_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

/* "30d" and the like, from `now_s` into the future, or with `past` into the past; or a date in UTC:
 * "2026-12-31" (its beginning), "2026-12-31T18:00:00Z", "2026-12-31 18:00:00". 0 or
 * ERROR_SYNTAX. */
int moment_parse(const char *text, int64_t now_s, bool past, int64_t *wall_s);

#endif
