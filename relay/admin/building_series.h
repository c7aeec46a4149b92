/* SPDX-License-Identifier: Apache-2.0 */
/* What /metrics has for single buildings: for at most [admin] building_metrics of them, and for all
 * others together. */
#ifndef RELAY_ADMIN_BUILDING_SERIES_H
#define RELAY_ADMIN_BUILDING_SERIES_H

#include "proto/base/buffer.h"

struct relay;

/* Appends the lines. 0, ERROR_LIMIT, ERROR_NOMEM. */
int building_series_format(const struct relay *relay, struct buffer *out);

#endif
