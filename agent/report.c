/* SPDX-License-Identifier: Apache-2.0 */
/* State as JSON. */
#include "agent/report.h"

#include "proto/base/clock.h"
#include "proto/json/json_text.h"

static json_t *time_or_null(int64_t wall_s)
{
    char text[CLOCK_ISO_BYTES];

    if (wall_s == 0) {
        return json_null();
    }
    clock_format(wall_s, text);
    return json_string(text);
}

static json_t *text_or_null(const char *text)
{
    /* Errors quote what peers sent; what is not UTF-8 is not shown. */
    return text[0] == '\0' ? json_null() : json_string(text);
}

json_t *report_relay(const struct dialer_status *s)
{
    bool open = s->state == DIALER_OPEN;

    return json_pack("{s:s, s:s, s:o, s:o, s:o?, s:o, s:i, s:i, s:o}", "relay", s->relay, "state",
                     dialer_state_name(s->state), "since", time_or_null(s->since_s), "next_ms",
                     s->state == DIALER_WAITING ? json_integer(s->next_ms) : json_null(),
                     "last_error", text_or_null(s->last_error), "rtt_ms",
                     open && s->tunnel.rtt_us != 0 ? json_real((double)s->tunnel.rtt_us / 1000)
                                                   : json_null(),
                     "requests", (int)s->tunnel.n_streams, "draining", (int)s->n_draining, "tunnel",
                     open ? json_integer((json_int_t)s->tunnel.generation) : json_null());
}

static const char *server_state(const struct upstream_stats *s)
{
    if (s->last_error[0] != '\0') {
        return "failing";
    }
    return s->last_answer_ms == 0 ? "unused" : "ok";
}

json_t *report_server(const char *url, const struct upstream_stats *s, uint64_t now_ms)
{
    int64_t answered_s = 0;

    if (s->last_answer_ms != 0 && s->last_answer_ms <= now_ms) {
        answered_s = clock_wall_s() - (int64_t)((now_ms - s->last_answer_ms) / 1000);
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o?, s:i, s:i, s:i, s:i, s:I, s:I}", "url", url,
                     "state", server_state(s), "last_answer", time_or_null(answered_s), "answer_ms",
                     answered_s != 0 ? json_real((double)s->last_answer_us / 1000) : json_null(),
                     "last_error", text_or_null(s->last_error), "connections", (int)s->n_open,
                     "busy", (int)s->n_busy, "paused", (int)s->n_paused, "queued", (int)s->n_queued,
                     "calls", (json_int_t)s->n_calls, "failed", (json_int_t)s->n_failed);
}

json_t *report_error(const char *sentence)
{
    return json_pack("{s:s}", "error", sentence);
}

json_t *report_reply(uint16_t status, struct span body)
{
    json_t *answer = json_text_parse(body.len > 0 ? body.p : "{}", body.len > 0 ? body.len : 2,
                                     JSON_REJECT_DUPLICATES, NULL);

    if (answer == NULL) {
        return report_error("the relay's answer is no JSON");
    }
    if (status != 0 && json_object_get(answer, "error") == NULL) {
        json_decref(answer);
        return json_pack("{s:s, s:i}", "error", "the relay refused", "status", (int)status);
    }
    return answer;
}
