/* SPDX-License-Identifier: Apache-2.0 */
/* The access log. */
#include "relay/front/access.h"

#include <stdio.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "relay/front/session.h"
#include "relay/worker.h"

#define API_PREFIX_BYTES 8 /* "/api/V1/" */

/* Longest controller that is logged: the longest known one has 25, a key has 32 and more. */
#define CONTROLLER_BYTES_MAX 31

/* What follows /api/V1/: which controller was called. Parameters stay out of the log, and so does a
 * path that is longer than a controller's: somebody may have put a key into it. */
static struct span controller_of(const struct session *s)
{
    size_t len = s->forward_path.len;
    if (len <= API_PREFIX_BYTES) {
        return (struct span){NULL, 0};
    }
    return len - API_PREFIX_BYTES > CONTROLLER_BYTES_MAX
               ? span_of("?")
               : (struct span){s->forward_path.p + API_PREFIX_BYTES, len - API_PREFIX_BYTES};
}

void access_log(struct session *s)
{
    if (!log_enabled(LOG_LEVEL_INFO)) {
        return;
    }
    const struct session_result *r = &s->result;
    const struct request *request = s->request;
    /* Before the head is complete its bytes still move (408), and nothing may point at them. */
    bool parsed =
        request != NULL && (request->state == REQUEST_BODY || request->state == REQUEST_COMPLETE);
    char address[SESSION_ADDRESS_BYTES];
    session_format_address(s, address);
    log_event(LOG_LEVEL_INFO, "request", log_span("id", session_request_id(s)),
              log_text("client", address),
              log_span("method", parsed ? request->method_name : (struct span){NULL, 0}),
              log_int("key", s->key), log_text("serial", s->serial[0] != '\0' ? s->serial : NULL),
              log_span("controller", controller_of(s)), log_uint("status", r->status),
              log_text("reason", r->reason), log_uint("bytes", r->bytes),
              log_uint("us", clock_now_us() - s->request_us), log_uint("queued_us", r->queued_us),
              log_uint("agent_us", r->agent_us), log_uint("server_us", r->server_us),
              log_bool("cut", r->cut));
}

const char *access_http_date(struct worker *w)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    if (w->date_s == w->now_s) {
        return w->date;
    }
    struct tm tm;
    time_t now = (time_t)w->now_s;
    if (gmtime_r(&now, &tm) == NULL ||
        snprintf(w->date, sizeof(w->date), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                 tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                 tm.tm_sec) < 0) {
        w->date[0] = '\0';
    }
    w->date_s = w->now_s;
    return w->date;
}
