/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent's pages ask: the same calls as the relay's admin API has, as far as they make
 * sense for one building, so that the same pages work here.
 *
 *   GET  /api/v1/session, /kit.json, /status, /keys, /servers/SERIAL/devices
 *   POST /api/v1/keys, /keys/ID/revoke, /servers/SERIAL/call
 *
 * Keys are asked of the relay, through the tunnel; a call goes straight to the server, with the
 * agent's credentials. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/devices.h"
#include "agent/pages.h"
#include "agent/pages_visit.h"
#include "agent/report.h"
#include "proto/base/clock.h"
#include "proto/base/secret.h"
#include "proto/base/text.h"
#include "proto/http/controller.h"
#include "proto/http/query.h"
#include "proto/json/json_text.h"
#include "proto/pages/guard.h"
#include "proto/pages/kit.h"
#include "proto/wire/head.h"

#define PREFIX     "/api/v1"
#define API_PREFIX "/api/V1/"
#define QUERY_MAX  512

static struct answer_about about_of(const struct visit *v)
{
    struct answer_about about = {.config = NULL};
    v->pages->about(v->pages->user, &about);
    return about;
}

static void show_session(struct visit *v)
{
    struct answer_about about = about_of(v);
    visit_answer_json(v, 200,
                      json_pack("{s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "login_required", 0,
                                "operator", "local", "csrf", v->pages->token, "public_url", "",
                                "server_url", about.config->server_url, "serial",
                                about.config->serial, "version", TNX_VERSION, "role", "agent"));
}

static void show_kit(struct visit *v)
{
    struct answer_about about = about_of(v);
    char url[512];
    (void)snprintf(url, sizeof(url), "%s/api/V1", about.config->server_url);
    visit_answer_json(v, 200, kit_describe(url));
}

static void show_status(struct visit *v)
{
    struct answer_about about = about_of(v);
    visit_answer_json(v, 200, answer_status(&about));
}

/* The file as it stands now. */
static void show_devices(struct visit *v)
{
    struct answer_about about = about_of(v);
    const char *path =
        about.config->pages_devices != NULL ? about.config->pages_devices : about.config->devices;
    struct error_text e = {""};
    json_t *house = NULL;

    if (path == NULL) {
        visit_answer_json(v, 200,
                          json_pack("{s:[], s:s, s:n}", "rooms", "source", "none", "problem"));
    } else if (devices_read(path, &house, &e) == 0) {
        (void)json_object_set_new(house, "source", json_string("agent"));
        (void)json_object_set_new(house, "problem", json_null());
        visit_answer_json(v, 200, house);
    } else {
        visit_answer_json(
            v, 200, json_pack("{s:[], s:s, s:s}", "rooms", "source", "agent", "problem", e.text));
    }
}

/* ---- the relay ---- */

static void on_reply(void *user, int rc, uint16_t status, struct span body)
{
    struct visit *v = user;

    v->is_asking = false;
    if (v->is_closing) {
        visit_release(v);
        return;
    }
    json_t *reply = rc == 0 ? report_reply(status, body)
                            : report_error("the tunnel was lost before the relay answered");
    const char *error = json_string_value(json_object_get(reply, "error"));
    if (error != NULL) {
        visit_refuse(v, 503, "relay", error);
        json_decref(reply);
    } else {
        visit_answer_json(v, 200, reply);
    }
}

static void ask_relay(struct visit *v, uint16_t number, json_t *question)
{
    struct answer_about about = about_of(v);
    struct dialer *dialer = relays_find_open(about.relays, NULL);
    char *text = question != NULL ? json_text_format(question, JSON_COMPACT) : NULL;
    int rc = text == NULL ? ERROR_NOMEM : ERROR_STATE;

    json_decref(question);
    if (dialer != NULL && text != NULL) {
        v->is_asking = true;
        rc = dialer_control(dialer, number, span_of(text), on_reply, v);
        v->is_asking = rc == 0;
    }
    free(text);
    if (rc != 0) {
        visit_refuse(v, 503, "not_connected", "no relay is connected");
    }
}

static void list_keys(struct visit *v)
{
    ask_relay(v, HEAD_CONTROL_KEY_LIST, json_object());
}

static void enable_key(struct visit *v, const json_t *body)
{
    const char *label = json_string_value(json_object_get(body, "label"));
    ask_relay(v, HEAD_CONTROL_KEY_ENABLE, json_pack("{s:s}", "label", label != NULL ? label : ""));
}

static void revoke_key(struct visit *v, struct span id)
{
    char text[32];
    if (span_copy(id, text, sizeof(text)) < 0) {
        visit_refuse(v, 400, "bad_request", "this is no key's id");
        return;
    }
    ask_relay(v, HEAD_CONTROL_KEY_REVOKE, json_pack("{s:s}", "id", text));
}

/* ---- the server ---- */

static void end_call(struct visit *v, unsigned status, const char *reason,
                     enum head_delivered delivered)
{
    json_t *known = delivered == HEAD_DELIVERED_UNKNOWN
                        ? json_string("unknown")
                        : json_boolean(delivered == HEAD_DELIVERED_YES);
    struct span text = {(const char *)buffer_bytes(&v->body), v->body.len};
    json_t *body = json_stringn(text.p, v->is_truncated ? text_whole_characters(text) : text.len);
    double ms = (double)(clock_now_us() - v->started_us) / 1000.0;

    v->call = NULL;
    if (body == NULL || v->body.len == 0) {
        json_decref(body);
        body = v->body.len == 0 ? json_string("") : json_null();
    }
    json_t *type = json_string(v->type); /* no UTF-8: none */
    json_t *answer = json_pack(
        "{s:i, s:s?, s:o, s:f, s:f, s:o, s:o, s:b}", "status", (int)status, "reason", reason,
        "delivered", known, "ms", ms, "server_ms", (double)v->server_us / 1000.0, "type",
        type != NULL ? type : json_string(""), "body", body, "truncated", v->is_truncated);
    if (json_dumpb(answer, NULL, 0, JSON_COMPACT) > PAGES_ANSWER_BYTES_MAX) {
        /* A control takes six bytes. */
        (void)json_object_set_new(answer, "body", json_null());
        (void)json_object_set_new(answer, "truncated", json_true());
    }
    visit_answer_json(v, 200, answer);
}

/* What came of the answer is shown, and the rest not waited for. */
static void truncate_call(struct visit *v)
{
    v->is_truncated = true;
    upstream_cancel(v->call);
    end_call(v, v->status, NULL, HEAD_DELIVERED_YES);
}

static void on_handed(void *user)
{
    (void)user; /* the answer says it */
}

static void on_head(void *user, const struct head_response *head)
{
    struct visit *v = user;
    v->status = head->status;
    v->server_us = head->server_us;
    for (size_t i = 0; i < head->n_fields; i++) {
        if (span_equal_nocase(head->fields[i].name, span_of("Content-Type"))) {
            (void)span_copy(head->fields[i].value, v->type, sizeof(v->type));
        }
    }
}

static void on_data(void *user, const uint8_t *bytes, size_t len)
{
    struct visit *v = user;
    if (buffer_append_fitting(&v->body, bytes, len) != 0) {
        truncate_call(v);
    }
}

static void on_end(void *user)
{
    struct visit *v = user;
    end_call(v, v->status, NULL, HEAD_DELIVERED_YES);
}

static void on_fail(void *user, enum head_reset reason, enum head_delivered delivered)
{
    buffer_clear(&((struct visit *)user)->body);
    end_call(user, 502, head_reset_name(reason), delivered);
}

static const struct upstream_callbacks callbacks = {
    .on_handed = on_handed,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

static bool query_ok(struct span query)
{
    for (size_t i = 0; i < query.len; i++) {
        if (query.p[i] < 0x21 || query.p[i] > 0x7e || query.p[i] == '#') {
            return false;
        }
    }
    return query.len <= QUERY_MAX;
}

static void call_server(struct visit *v, const json_t *body)
{
    struct answer_about about = about_of(v);
    struct span name = span_of(json_string_value(json_object_get(body, "controller")));
    struct span query = span_of(json_string_value(json_object_get(body, "query")));
    const struct controller *controller = controller_find(name);
    char path[sizeof(API_PREFIX) + 64];

    if (controller == NULL || !query_ok(query)) {
        visit_refuse(v, 400, "bad_request", "no such controller, or no query");
        return;
    }
    (void)snprintf(path, sizeof(path), API_PREFIX "%s", controller->name);
    struct head_request head = {.method = HEAD_METHOD_GET,
                                .has_query = query.len > 0,
                                .path = span_of(path),
                                .query = query};
    v->started_us = clock_now_us();
    if (forward_call(about.forward, &head, &callbacks, v, &v->call) != 0) {
        visit_refuse(v, 503, "overloaded", "too many calls wait for the server");
    }
}

/* ---- routes ---- */

static bool is_path(const struct visit *v, const char *path)
{
    return span_equal(v->request.path, span_of(path));
}

/* "/api/v1/servers/SERIAL/REST" of our own serial. */
static bool is_of_server(const struct visit *v, const char *rest)
{
    struct answer_about about = about_of(v);
    char path[256];
    (void)snprintf(path, sizeof(path), PREFIX "/servers/%s/%s", about.config->serial, rest);
    return is_path(v, path);
}

static void answer_get(struct visit *v)
{
    if (is_path(v, PREFIX "/session")) {
        show_session(v);
    } else if (is_path(v, PREFIX "/kit.json")) {
        show_kit(v);
    } else if (is_path(v, PREFIX "/status")) {
        show_status(v);
    } else if (is_path(v, PREFIX "/keys")) {
        list_keys(v);
    } else if (is_of_server(v, "devices")) {
        show_devices(v);
    } else {
        visit_refuse(v, 404, "no_such_path", "the API has nothing here");
    }
}

/* ID of "/api/v1/keys/ID/revoke". */
static bool is_revoke(const struct visit *v, struct span *id)
{
    struct span rest = v->request.path;
    struct span before = span_of(PREFIX "/keys/");

    if (!span_starts(rest, before)) {
        return false;
    }
    rest = (struct span){rest.p + before.len, rest.len - before.len};
    *id = span_cut(&rest, '/');
    return span_equal(rest, span_of("revoke"));
}

static void answer_post(struct visit *v)
{
    const struct request *r = &v->request;
    struct span token = request_field(r, "X-Csrf-Token");
    struct span id = {NULL, 0};
    size_t len = strlen(v->pages->token);
    json_t *body = json_text_parse((const char *)buffer_bytes(&r->body), r->body.len,
                                   JSON_REJECT_DUPLICATES, NULL);

    if (token.len != len || !secret_equal(token.p, v->pages->token, len)) {
        visit_refuse(v, 403, "csrf", "the header X-Csrf-Token is missing or wrong");
    } else if (!json_is_object(body)) {
        visit_refuse(v, 400, "bad_request", "the body must be a JSON object");
    } else if (is_path(v, PREFIX "/keys")) {
        enable_key(v, body);
    } else if (is_revoke(v, &id)) {
        revoke_key(v, id);
    } else if (is_of_server(v, "call")) {
        call_server(v, body);
    } else {
        visit_refuse(v, 404, "no_such_path", "the API has nothing here");
    }
    json_decref(body);
}

bool pages_api(struct visit *v)
{
    const struct request *r = &v->request;

    if (!span_starts(r->path, span_of("/api/"))) {
        return false;
    }
    if (r->method == REQUEST_POST && guard_may_change(r, false)) {
        answer_post(v);
    } else if (r->method == REQUEST_GET && guard_same_origin(r, false)) {
        answer_get(v);
    } else {
        visit_refuse(v, 403, "cross_site", "from another site's page, or no JSON");
    }
    return true;
}

void pages_api_end_call(struct visit *v)
{
    if (v->status != 0) {
        truncate_call(v);
    } else {
        upstream_cancel(v->call);
        on_fail(v, HEAD_RESET_DEADLINE, HEAD_DELIVERED_UNKNOWN);
    }
}
