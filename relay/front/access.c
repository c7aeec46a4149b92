/* SPDX-License-Identifier: Apache-2.0 */
/* The access log. */
#include "relay/front/access.h"

#include <stdio.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "relay/front/activity.h"
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

/* Microseconds that fit; nothing takes longer than an hour. */
static uint32_t cut_us(uint64_t us)
{
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* As much of the text as fits; what is longer was made to be. */
static void copy_cut(struct span text, char *to, size_t cap)
{
    if (text.len >= cap) {
        text.len = cap - 1;
    }
    (void)span_copy(text, to, cap);
}

/* Keeps it for the pages. */
static void remember(struct session *s, struct span method, uint64_t wall_us)
{
    const struct session_result *r = &s->result;
    struct activity_record *a = activity_begin(s->worker->activity);
    a->at_us = wall_us;
    a->key = s->key;
    a->server = s->server;
    a->status = (uint16_t)r->status;
    a->cut = r->cut;
    a->total_us = cut_us(r->total_us);
    a->queued_us = cut_us(r->queued_us);
    a->agent_us = cut_us(r->agent_us);
    a->server_us = r->server_us;
    a->n_bytes = r->bytes;
    a->reason = r->reason;
    copy_cut(span_of(s->serial), a->serial, sizeof(a->serial));
    copy_cut(session_request_id(s), a->id, sizeof(a->id));
    copy_cut(method, a->method, sizeof(a->method));
    copy_cut(controller_of(s), a->controller, sizeof(a->controller));
    copy_cut(span_of(session_address(s)), a->client, sizeof(a->client));
    activity_end(s->worker->activity, roster_has(s->worker->relay->roster, s->server));
}

void access_log(struct session *s)
{
    struct session_result *r = &s->result;
    const struct request *request = s->request;
    /* Before the head is complete its bytes still move (408), and nothing may point at them. */
    bool parsed =
        request != NULL && (request->state == REQUEST_BODY || request->state == REQUEST_COMPLETE);
    struct span method = parsed ? request->method_name : (struct span){NULL, 0};
    uint64_t wall_us = clock_wall_us();
    r->total_us = (r->ended_us != 0 ? r->ended_us : clock_now_us()) - s->request_us;
    remember(s, method, wall_us);
    if (!log_enabled(LOG_LEVEL_INFO)) {
        return;
    }
    struct log_line l;
    log_begin(&l, LOG_LEVEL_INFO, "request", wall_us);
    log_put_span(&l, "id", session_request_id(s));
    log_put_text(&l, "client", session_address(s));
    log_put_span(&l, "method", method);
    log_put_int(&l, "key", s->key);
    log_put_text(&l, "serial", s->serial[0] != '\0' ? s->serial : NULL);
    log_put_span(&l, "controller", controller_of(s));
    log_put_uint(&l, "status", r->status);
    log_put_text(&l, "reason", r->reason);
    log_put_uint(&l, "bytes", r->bytes);
    log_put_uint(&l, "us", r->total_us);
    log_put_uint(&l, "queued_us", r->queued_us);
    log_put_uint(&l, "agent_us", r->agent_us);
    log_put_uint(&l, "server_us", r->server_us);
    log_put_bool(&l, "cut", r->cut);
    log_end(&l);
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
