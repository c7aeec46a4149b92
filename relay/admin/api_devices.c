/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a building, for the Integration Kit's tree: what the operator imported, else what
 * the agent in the building gives.
 *
 * The agent's file is asked for when somebody looks, through the tunnel, and kept nowhere: at most
 * API_DEVICE_CALLS_MAX answers of HOUSE_LIST_BYTES_MAX are under way on a worker or wait for the
 * store thread, which reads one at a time. It is an agent's word: house_take lets only what is
 * known pass. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json/json_text.h"
#include "proto/pages/house.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/api_internal.h"
#include "relay/front/call.h"
#include "relay/store/devices.h"
#include "relay/store/servers.h"

void api_import_devices(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    json_t *house = NULL;
    char *text = NULL;
    size_t n = 0;
    int rc = house_take(c->body, &house, &n, &e);

    if (rc == 0) {
        text = json_text_format(house, JSON_COMPACT);
        rc = text == NULL ? error_set(&e, ERROR_NOMEM, "no memory")
                          : devices_set(db, c->object, span_of(text), n, &c->actor, &e);
    }
    free(text);
    json_decref(house);
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    api_answer(c, 200, json_pack("{s:s, s:I}", "serial", c->object, "devices", (json_int_t)n));
}

/* ---- the tree ---- */

/* Takes `house` (NULL = no rooms). `problem` may be NULL. */
static void answer_house(struct api_call *c, json_t *house, const char *source, const char *problem)
{
    json_t *answer = house != NULL ? house : json_pack("{s:[]}", "rooms");

    (void)json_object_set_new(answer, "source", json_string(source));
    if (problem != NULL && json_object_set_new(answer, "problem", json_string(problem)) != 0) {
        problem = "not usable"; /* the sentence quotes what is no UTF-8 */
        (void)json_object_set_new(answer, "problem", json_string(problem));
    } else if (problem == NULL) {
        (void)json_object_set_new(answer, "problem", json_null());
    }
    api_answer(c, 200, answer);
}

void api_show_devices(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    struct server server;
    char *text = NULL;
    int rc = servers_find(db, c->object, c->actor.now_s, &server, &e);

    rc = rc == 0 ? devices_get(db, c->object, &text, &e) : rc;
    if (rc != 0) {
        api_fail(c, rc, &e);
    } else if (text != NULL) {
        answer_house(c, json_text_parse(text, strlen(text), 0, NULL), "operator", NULL);
    } else {
        c->server = server.id; /* and on to the agent */
    }
    free(text);
}

/* On the store thread, which is not in a hurry. */
static void read_file(void *user, struct database *db)
{
    struct api_call *c = user;
    struct error_text e = {""};
    char *text = c->text;
    json_t *house = NULL;
    size_t n = 0;

    (void)db;
    c->text = NULL; /* else it would be the answer as it stands */
    int rc = house_parse(span_of(text), &house, &n, &e);
    free(text);
    answer_house(c, rc == 0 ? house : NULL, "agent", rc == 0 ? NULL : e.text);
}

static void on_file(void *user, const struct call_result *r)
{
    struct api_call *c = user;
    char problem[96];

    c->call = NULL;
    if (r->reason == NULL && r->status == 200 && !r->truncated) {
        c->text = strndup(r->body.p != NULL ? r->body.p : "", r->body.len);
        if (c->text != NULL) {
            (void)api_run(c, read_file); /* answered in either case */
            return;
        }
    }
    (void)snprintf(problem, sizeof(problem), "the agent's device file did not come: %s",
                   r->reason != NULL ? r->reason
                   : r->truncated    ? "too long"
                                     : "not usable");
    bool is_none = r->reason == NULL && r->status == 404;
    answer_house(c, NULL, is_none ? "none" : "agent", is_none ? NULL : problem);
    api_end(c);
}

/* Files under way to this worker, and those that wait for the store thread. */
static size_t count_fetching(struct worker *w)
{
    size_t n = 0;
    for (struct list *node = w->api_calls.next; node != &w->api_calls; node = node->next) {
        const struct api_call *c = LIST_ITEM(node, struct api_call, node);
        n += c->is_fetching ? 1 : 0;
    }
    return n;
}

void api_ask_for_devices(struct api_call *c)
{
    struct worker *w = c->worker;
    const struct call_request r = {
        .server = c->server,
        .serial = c->object,
        .who = c->who,
        .path = span_of(HEAD_DEVICES_PATH),
        .is_quiet = true,
        .body_bytes_max = HOUSE_LIST_BYTES_MAX,
    };

    if (c->session == NULL) {
        return;
    }
    if (!board_gives_devices(w->relay->board, c->server)) {
        answer_house(c, NULL, "none", NULL);
        return;
    }
    if (count_fetching(w) >= API_DEVICE_CALLS_MAX) {
        api_refuse(c, 503, "overloaded", "too many device files are being fetched");
        return;
    }
    if (call_start(w, &r, on_file, c, &c->call) == 0) {
        c->is_waiting = true;
        c->is_fetching = true;
    } else {
        answer_house(c, NULL, "agent", "the building is not connected");
    }
}
