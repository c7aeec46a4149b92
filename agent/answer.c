/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers. */
#include "agent/answer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/report.h"
#include "proto/base/clock.h"
#include "proto/base/span.h"
#include "proto/json/json_text.h"

struct operation {
    const char *name;
    uint16_t number; /* of the control call, PROTOCOL.md; 0 = answered here */
};

static const struct operation operations[] = {
    {"status", 0},
    {"key_enable", 1},
    {"key_list", 2},
    {"key_revoke", 3},
};

static void add_relay(void *user, const struct dialer_status *s)
{
    (void)json_array_append_new(user, report_relay(s)); /* the text tells */
}

json_t *answer_status(const struct answer_about *about)
{
    const struct config *c = about->config;
    json_t *relays = json_array();
    struct upstream_stats server;
    char since[CLOCK_ISO_BYTES];

    relays_visit(about->relays, add_relay, relays);
    forward_read_stats(about->forward, &server);
    clock_format(about->started_s, since);
    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:o}", "serial", c->serial, "version",
                     TNX_VERSION, "pid", (int)getpid(), "started", since, "state",
                     about->ending ? "ending" : "running", "relays", relays, "server",
                     report_server(c->server_url, &server, clock_now_ms()));
}

static void on_reply(void *user, int rc, uint16_t status, struct span body)
{
    struct console_call *call = user;
    console_reply(call, rc == 0 ? report_reply(status, body)
                                : report_error("the tunnel was lost before the relay answered"));
}

static void ask_relay(const struct answer_about *about, struct console_call *call,
                      const json_t *question, uint16_t number)
{
    struct dialer *dialer =
        relays_find_open(about->relays, json_string_value(json_object_get(question, "relay")));
    const json_t *body = json_object_get(question, "body");
    char *text = json_is_object(body) ? json_text_format(body, JSON_COMPACT) : NULL;
    int rc = dialer == NULL ? ERROR_STATE : 0;

    if (rc == 0 && json_is_object(body) && text == NULL) {
        rc = ERROR_NOMEM;
    } else if (rc == 0) {
        rc = dialer_control(dialer, number, span_of(text != NULL ? text : "{}"), on_reply, call);
    }
    free(text);
    if (rc == ERROR_STATE) {
        console_reply(call, report_error("no tunnel is open: see thinknx-agent status"));
    } else if (rc != 0) {
        console_reply(call, report_error(error_name(rc)));
    }
}

void answer(const struct answer_about *about, struct console_call *call, const json_t *question)
{
    const char *op = json_string_value(json_object_get(question, "op"));

    for (size_t i = 0; op != NULL && i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (strcmp(operations[i].name, op) != 0) {
            continue;
        }
        if (operations[i].number == 0) {
            console_reply(call, answer_status(about));
        } else {
            ask_relay(about, call, question, operations[i].number);
        }
        return;
    }
    console_reply(call, report_error("unknown operation"));
}
