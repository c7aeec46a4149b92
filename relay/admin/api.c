/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the admin API: routed, handed to the store thread and back, answered.
 *
 * A call belongs to its worker's list from api_begin to api_end. While the store thread (or the
 * pool) has it, nobody else touches what is in it but `session`, which only the worker looks at. It
 * comes back by its number, so that a message that nobody reads (the process ends) leaks nothing:
 * api_free_rest finds the call in the list. */
#include "relay/admin/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/secret.h"
#include "proto/http/query.h"
#include "proto/json/json_text.h"
#include "proto/pages/guard.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/api_internal.h"
#include "relay/front/call.h"

#define PREFIX       "/api/v1"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)

/* What an operation may take, with all its waits: a call with feedback, by far. */
#define CALL_MS 60000

static const struct api_route *const TABLES[] = {
    API_SERVER_ROUTES, API_KEY_ROUTES, API_LOGIN_ROUTES, API_LIVE_ROUTES, API_CALL_ROUTES,
};

bool api_owns(const struct request *r)
{
    return span_starts(r->path, span_of("/api/"));
}

/* ---- routes ---- */

/* Compares segment by segment; what stands for "*" is the object. */
static bool matches(const char *pattern, struct span path, struct span *object)
{
    struct span want = span_of(pattern);
    struct span rest = path;

    while (want.p != NULL && rest.p != NULL) {
        struct span segment = span_cut(&want, '/');
        struct span given = span_cut(&rest, '/');
        if (span_equal(segment, span_of("*")) && given.len > 0) {
            *object = given;
        } else if (!span_equal(segment, given)) {
            return false;
        }
    }
    return want.p == NULL && rest.p == NULL;
}

/* NULL if there is none; `*known` tells whether the path is there with another method. */
static const struct api_route *find_route(const struct request *r, struct span *object, bool *known)
{
    struct span path = {r->path.p + PREFIX_BYTES, r->path.len - PREFIX_BYTES};

    for (size_t t = 0; t < sizeof(TABLES) / sizeof(TABLES[0]); t++) {
        for (const struct api_route *route = TABLES[t]; route->path != NULL; route++) {
            if (matches(route->path, path, object)) {
                *known = true;
                if (span_equal(r->method_name, span_of(route->method))) {
                    return route;
                }
            }
        }
    }
    return NULL;
}

/* ---- a call's life ---- */

static void free_call(struct api_call *c)
{
    list_remove(&c->node);
    json_decref(c->body);
    json_decref(c->answer);
    if (c->text != NULL) {
        secret_cleanse(c->text, strlen(c->text));
        free(c->text);
    }
    secret_cleanse(c, sizeof(*c));
    free(c);
}

static size_t count_calls(const struct worker *w)
{
    size_t n = 0;
    for (const struct list *node = w->api_calls.next; node != &w->api_calls; node = node->next) {
        n++;
    }
    return n;
}

/* The store thread's half: who is it, and may they? False: answered. */
static bool authorize(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    const char *csrf = c->worker->relay->csrf;

    (void)snprintf(c->who, sizeof(c->who), "operator:local");
    c->actor = (struct audit_actor){c->who, clock_wall_s()};
    if (c->route->access == API_OPEN) {
        return true;
    }
    if (c->needs_login) {
        int rc = operators_find_login(db, span_of(c->cookie), c->actor.now_s, &c->login, &e);
        if (rc == ERROR_REFUSED) {
            api_refuse(c, 401, "login_required", "log in first");
            return false;
        }
        if (rc != 0) {
            api_fail(c, rc, &e);
            return false;
        }
        (void)snprintf(c->who, sizeof(c->who), "operator:%s", c->login.name);
        csrf = c->login.csrf;
    }
    if (c->route->access == API_CHANGE && !secret_equal(csrf, c->csrf, sizeof(c->csrf))) {
        api_refuse(c, 403, "csrf", "the header X-Csrf-Token is missing or not the session's");
        return false;
    }
    return true;
}

static void run_route(void *user, struct database *db)
{
    struct api_call *c = user;
    (void)json_text_failed(); /* what failed before concerns others */
    if (authorize(c, db) && c->route->run != NULL) {
        c->route->run(c, db);
    }
    if (json_text_failed() && c->text == NULL) { /* the worker makes the text */
        c->set_cookie[0] = '\0';
        api_answer(c, 500, NULL);
    }
}

/* On the store thread: only a message, and only while there is somebody to read it. */
static void on_ran(void *user)
{
    struct api_call *c = user;
    struct worker *w = c->worker;
    struct link_message *m = link_message_new(LINK_ADMIN, 0);
    if (m != NULL) { /* else the session's deadline ends it, api_free_rest the call */
        m->number = c->number;
        link_post(&w->link, m);
    }
}

int api_run(struct api_call *c, void (*run)(void *user, struct database *db))
{
    int rc = store_run(c->worker->relay->store, run, on_ran, c);
    if (rc != 0) {
        api_refuse(c, 503, "overloaded", "too much is waiting for the database");
        api_end(c);
    }
    return rc;
}

void api_on_ran(struct worker *w, uint64_t number)
{
    struct list *node = w->api_calls.next;
    while (node != &w->api_calls && LIST_ITEM(node, struct api_call, node)->number != number) {
        node = node->next;
    }
    if (node == &w->api_calls) {
        return;
    }
    struct api_call *c = LIST_ITEM(node, struct api_call, node);
    c->is_waiting = false;
    if (c->status == 0 && c->route->finish != NULL) {
        c->route->finish(c);
        if (c->is_waiting) {
            return;
        }
    }
    api_end(c);
}

void api_end(struct api_call *c)
{
    struct admin_session *s = c->session;
    if (s != NULL) {
        s->call = NULL;
        if (c->status == 0 && s->stream == NULL) {
            api_refuse(c, 500, "internal", "the operation gave no answer");
        }
        if (c->text != NULL) {
            struct reply reply = {.status = c->status, .phrase = "OK", .type = "application/json"};
            struct buffer body;
            buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
            (void)buffer_append(&body, c->text, strlen(c->text)); /* empty when out of memory */
            admin_answer(s, &reply, &body);
            if (body.data != NULL) {
                secret_cleanse(body.data, body.cap);
            }
            buffer_close(&body);
        } else if (c->status != 0) {
            json_t *answer = c->answer;
            c->answer = NULL;
            admin_answer_json(s, c->status, answer,
                              c->set_cookie[0] != '\0' ? c->set_cookie : NULL);
        }
    }
    free_call(c);
}

void api_let_go(struct admin_session *s)
{
    struct api_call *c = s->call;
    if (c == NULL) {
        return;
    }
    s->call = NULL;
    c->session = NULL;
    if (c->call != NULL) { /* nobody else has it */
        call_cancel(c->call);
        free_call(c);
    }
}

void api_free_rest(struct worker *w)
{
    struct list *node = w->api_calls.next;
    while (node != &w->api_calls) {
        struct api_call *c = LIST_ITEM(node, struct api_call, node);
        node = node->next;
        free_call(c);
    }
}

/* ---- the worker's half of the checks ---- */

static int take_body(struct api_call *c, const struct request *r)
{
    struct span text = {(const char *)buffer_bytes(&r->body), r->body.len};
    if (r->method != REQUEST_POST) {
        return 0;
    }
    c->body = json_text_parse(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(c->body) ? 0 : ERROR_SYNTAX;
}

/* A cookie or token of any other form is as good as none. */
static void take_credential(struct span text, char to[CREDENTIAL_BYTES])
{
    if (credential_is_well_formed(text)) {
        (void)span_copy(text, to, CREDENTIAL_BYTES);
    }
}

static void take_address(struct admin_session *s, char to[API_CLIENT_BYTES])
{
    struct sockaddr_storage address;
    if (conn_peer(&s->conn, &address) != 0 ||
        uv_ip_name((const struct sockaddr *)&address, to, API_CLIENT_BYTES) < 0) {
        (void)snprintf(to, API_CLIENT_BYTES, "unknown");
    }
}

static void start(struct admin_session *s, const struct api_route *route, struct span object)
{
    struct worker *w = s->worker;
    const struct request *r = &s->request;
    struct api_call *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        admin_refuse(s, 500, "internal", "out of memory");
        return;
    }
    c->worker = w;
    c->route = route;
    c->number = ++w->next_api_call;
    c->is_tls = s->is_tls;
    take_address(s, c->client);
    c->needs_login = !s->is_loopback || w->settings.admin_login;
    list_push(&w->api_calls, &c->node);
    take_credential(guard_cookie(r, API_COOKIE), c->cookie);
    take_credential(request_field(r, "X-Csrf-Token"), c->csrf);
    if (span_copy(object, c->object, sizeof(c->object)) < 0 ||
        span_copy(r->query, c->query, sizeof(c->query)) < 0) {
        admin_refuse(s, 414, "too_large", "the path or the query is too long");
        free_call(c);
        return;
    }
    if (take_body(c, r) < 0) {
        admin_refuse(s, 400, "bad_request", "the body must be a JSON object");
        free_call(c);
        return;
    }
    c->session = s;
    s->call = c;
    admin_wait(s, CALL_MS);
    (void)api_run(c, run_route); /* answered in either case */
}

void api_begin(struct admin_session *s)
{
    const struct request *r = &s->request;
    struct span object = {NULL, 0};
    bool known = false;

    if (!span_starts(r->path, span_of(PREFIX "/"))) {
        admin_refuse(s, 404, "no_such_path", "the API begins with " PREFIX "/");
        return;
    }
    const struct api_route *route = find_route(r, &object, &known);
    bool changes = r->method == REQUEST_POST;
    if (route == NULL && known) {
        admin_refuse(s, 405, "method_not_allowed", "another method is wanted here");
    } else if (route == NULL) {
        admin_refuse(s, 404, "no_such_path", "the API has nothing here");
    } else if (changes ? !guard_may_change(r, s->is_tls) : !guard_same_origin(r, s->is_tls)) {
        admin_refuse(s, 403, "cross_site",
                     "from another site's page, or not with Content-Type: application/json");
    } else if (count_calls(s->worker) >= API_CALLS_MAX) {
        admin_refuse(s, 503, "overloaded", "too many operations under way");
    } else {
        start(s, route, object);
    }
}
