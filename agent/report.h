/* SPDX-License-Identifier: Apache-2.0 */
/* What `thinknx-agent status` shows, as JSON. */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include <jansson.h>
#include <stdint.h>

#include "agent/tunnel/dialer.h"
#include "agent/upstream/upstream.h"
#include "proto/base/span.h"

/* All return owned, NULL when out of memory. Times are ISO 8601 in UTC; what is not known is null.
 *
 * {"relay","state","since","next_ms","last_error","rtt_ms","requests","draining","tunnel"} */
json_t *report_relay(const struct dialer_status *s);

/* {"url","state","last_answer","last_error","connections","busy","queued","calls","failed"}; state
 * is "ok", "failing" or "unused" (nothing was asked yet). */
json_t *report_server(const char *url, const struct upstream_stats *s, uint64_t now_ms);

/* {"error": sentence}. */
json_t *report_error(const char *sentence);

/* The relay's answer to a control call: its JSON, or an error. */
json_t *report_reply(uint16_t status, struct span body);

#endif
