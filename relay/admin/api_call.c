/* SPDX-License-Identifier: Apache-2.0 */
/* POST /servers/SERIAL/call: an operator's own call into a building, through its tunnel. The store
 * thread looks the server up and writes who sent which command into the audit; the worker sends it.
 */
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/text.h"
#include "proto/http/controller.h"
#include "proto/http/query.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/api_internal.h"
#include "relay/front/call.h"
#include "relay/store/servers.h"

#define API_PREFIX "/api/V1/"
/* Longest query that is passed on: a GUID, a value and some. */
#define QUERY_BYTES_MAX 512

/* What may stand in a target behind "?". */
static bool query_ok(const char *query)
{
    size_t len = strlen(query);

    for (size_t i = 0; i < len; i++) {
        if (query[i] < 0x21 || query[i] > 0x7e || query[i] == '#') {
            return false;
        }
    }
    return len <= QUERY_BYTES_MAX;
}

static int get_call(const struct api_call *c, const struct controller **controller,
                    const char **query, struct error_text *e)
{
    static const char *const MEMBERS[] = {"controller", "query", NULL};
    const char *name = "";
    int rc = api_check_members(c, MEMBERS, e);

    *query = "";
    rc = rc == 0 ? api_get_text(c, "controller", &name, e) : rc;
    rc = rc == 0 ? api_get_text(c, "query", query, e) : rc;
    if (rc != 0) {
        return rc;
    }
    *controller = controller_find(span_of(name));
    if (*controller == NULL) {
        return error_set(e, ERROR_CONFIG, "there is no such controller");
    }
    return query_ok(*query)
               ? 0
               : error_set(e, ERROR_CONFIG, "\"query\": printable ASCII, at most %d bytes, no #",
                           QUERY_BYTES_MAX);
}

/* Commands leave a row; reading does not. */
static int note_command(struct api_call *c, struct database *db,
                        const struct controller *controller, const char *query,
                        struct error_text *e)
{
    char detail[AUDIT_DETAIL_BYTES];
    struct audit_row row;

    if (controller->role == CONTROLLER_GET) {
        return 0;
    }
    (void)snprintf(detail, sizeof(detail), "%s?%s", controller->name, query);
    audit_row_set(&row, c->actor.now_s, c->who, "call.send", c->object, detail);
    return audit_add(db, &row, e);
}

static void look_up(struct api_call *c, struct database *db)
{
    const struct controller *controller = NULL;
    const char *query = NULL;
    struct error_text e = {""};
    struct server server;
    int rc = get_call(c, &controller, &query, &e);

    rc = rc == 0 ? servers_find(db, c->object, c->actor.now_s, &server, &e) : rc;
    if (rc == 0 && !server.enabled) {
        rc = error_set(&e, ERROR_STATE, "the server is disabled");
    }
    rc = rc == 0 ? note_command(c, db, controller, query, &e) : rc;
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    c->server = server.id;
}

static json_t *describe_delivered(enum head_delivered delivered)
{
    switch (delivered) {
    case HEAD_DELIVERED_NO: return json_false();
    case HEAD_DELIVERED_YES: return json_true();
    case HEAD_DELIVERED_UNKNOWN:
    default: return json_string("unknown");
    }
}

static void on_done(void *user, const struct call_result *r)
{
    struct api_call *c = user;
    size_t len = r->truncated ? text_whole_characters(r->body) : r->body.len;
    json_t *body = json_stringn(r->body.p != NULL ? r->body.p : "", len);

    json_t *type = json_string(r->type); /* no UTF-8: none */

    c->call = NULL;
    if (body == NULL) { /* no UTF-8 */
        body = json_null();
    }
    api_answer(c, 200,
               json_pack("{s:i, s:s?, s:o, s:f, s:f, s:o, s:o, s:b}", "status", (int)r->status,
                         "reason", r->reason, "delivered", describe_delivered(r->delivered), "ms",
                         (double)r->total_us / 1000.0, "server_ms", (double)r->server_us / 1000.0,
                         "type", type != NULL ? type : json_string(""), "body", body, "truncated",
                         r->truncated ? 1 : 0));
    api_end(c);
}

/* A command counts against the building's own limit, as everybody's does. */
static bool within_rate(struct worker *w, const struct directory_server *server,
                        const struct controller *controller)
{
    struct bucket_rate rate =
        server->command_rate.per_s > 0 ? server->command_rate : w->settings.command_rate;
    return controller->role == CONTROLLER_GET || rate.per_s == 0 ||
           bucket_take(&server->live->commands, rate, clock_now_us(), NULL);
}

static int send_call(struct api_call *c, const struct controller *controller, const char *query)
{
    char path[sizeof(API_PREFIX) + 64];
    (void)snprintf(path, sizeof(path), API_PREFIX "%s", controller->name);
    struct call_request r = {
        .server = c->server,
        .serial = c->object,
        .who = c->who,
        .path = span_of(path),
        .controller = span_of(controller->name),
        .query = span_of(query),
        .with_feedback = query_has(span_of(query), span_of("fb")),
    };
    return call_start(c->worker, &r, on_done, c, &c->call);
}

static void send_to_building(struct api_call *c)
{
    const struct controller *controller = NULL;
    const char *query = NULL;
    struct error_text e;
    const struct directory_server *server = directory_find_server(c->worker->reader, c->server);

    if (c->session == NULL) { /* nobody waits: then nothing is switched */
        return;
    }
    if (server == NULL || get_call(c, &controller, &query, &e) != 0) {
        api_refuse(c, 404, "not_found", "the server was removed");
        return;
    }
    if (!within_rate(c->worker, server, controller)) {
        api_refuse(c, 429, "rate_limited", "too many commands to this building; wait a moment");
        return;
    }
    switch (send_call(c, controller, query)) {
    case 0: c->is_waiting = true; break;
    case ERROR_NOT_FOUND:
        api_refuse(c, 503, "server_offline", "the building is not connected");
        break;
    case ERROR_LIMIT:
        api_refuse(c, 503, "overloaded", "too many calls in flight to this building");
        break;
    default: api_refuse(c, 500, "internal", "out of memory"); break;
    }
}

const struct api_route API_CALL_ROUTES[] = {
    {"POST", "/servers/*/call", API_CHANGE, look_up, send_to_building},
    {NULL, NULL, API_OPEN, NULL, NULL},
};
