/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its answer. */
#include "tests/simulator/service.h"

#include <sys/sysinfo.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "tests/simulator/route.h"

void service_init(struct service *s, struct house *house, struct bus *bus, struct journal *journal,
                  struct auth *auth)
{
    *s = (struct service){.journal = journal, .auth = auth, .started_ms = clock_now_ms()};
    s->api.house = house;
    s->api.bus = bus;
    s->api.server.version = house->version;
    s->api.server.pbx_users = house->pbx_users;
    s->api.server.config_time_wall_s = clock_wall_s();
    params_init(&s->params);
    switches_init(&s->switches);
    service_switch(s, &s->switches);
}

void service_close(struct service *s)
{
    params_close(&s->params);
}

void service_switch(struct service *s, const struct switches *switches)
{
    s->switches = *switches;
    s->n_calls = 0;
    s->api.feedback_delay_ms = switches->feedback_delay_ms;
    s->api.server.padded_to_bytes = switches->big_body_bytes;
}

static void write_error(struct answer *a, int status, const char *error)
{
    struct writer w;

    a->status = status;
    writer_init(&w, &a->body);
    api_write_error(&w, error);
    (void)writer_end(&w); /* without memory the body stays empty */
}

void service_refuse(int status, struct answer *a)
{
    answer_reset(a, status);
    write_error(a, status, status == 400 ? "bad request" : "request refused");
    a->close = true;
}

static void write_maintenance(struct answer *a, const struct route *route)
{
    struct writer w;

    log_event(LOG_LEVEL_WARN, "maintenance page served",
              log_span("path", route->path_len == 0 ? span_of("/")
                                                    : (struct span){route->path, route->path_len}));
    a->type = "text/html; charset=utf-8";
    writer_init(&w, &a->body);
    writer_text(&w, "<!DOCTYPE html><title>maintenance</title><h1>maintenance</h1>\n");
    (void)writer_end(&w); /* as above */
}

/* These two cost system calls and are shown by one call only. */
static void update_server_status(struct service *s, uint64_t n_clients)
{
    struct sysinfo info;

    s->api.server.n_clients = n_clients;
    s->api.server.process_uptime_s = (clock_now_ms() - s->started_ms) / 1000;
    if (sysinfo(&info) == 0) {
        s->api.server.server_uptime_s = (uint64_t)info.uptime;
    }
}

static bool is_allowed_method(const struct request *r)
{
    struct span method = request_method(r);

    return span_equal(method, span_of("GET")) || span_equal(method, span_of("POST")) ||
           span_equal(method, span_of("HEAD"));
}

/* Executes an authenticated call and says whether its answer has to wait. */
static void execute(struct service *s, const struct route *route, uint64_t n_clients,
                    struct service_call *call, struct answer *a)
{
    struct writer w;

    call->is_call = true;
    s->n_calls++;
    call->is_dropped = s->switches.drop_answers > 0 && s->n_calls % s->switches.drop_answers == 0;
    call->wait_ms = s->switches.answer_delay_ms;
    if (s->switches.answer_status > 0) {
        write_error(a, (int)s->switches.answer_status, "simulated fault");
        return;
    }
    if (span_equal(route->controller, span_of("system/serverStatus"))) {
        update_server_status(s, n_clients);
    }
    writer_init(&w, &a->body);
    api_execute(&s->api, route->controller, &s->params, s->journal->n_requests, &call->api, &w);
    a->status = call->api.status;
    call->wait_ms += call->api.confirm_ms;
    if (writer_end(&w) != 0) {
        a->status = 500;
    }
}

static void write_refusal(struct service *s, const struct auth_result *result, uint64_t now_ms,
                          struct answer *a)
{
    struct writer w;

    if (result->verdict == AUTH_MALFORMED) {
        write_error(a, 400, "params errors");
    } else if (result->verdict == AUTH_FORBIDDEN) {
        write_error(a, 403, "authentication information is incorrect");
    } else {
        write_error(a, 401, "authentication required");
        writer_init(&w, &a->fields);
        auth_write_challenge(s->auth, result, now_ms, &w);
        (void)writer_end(&w); /* without memory there is no challenge */
    }
}

static struct auth_result authenticate(struct service *s, const struct request *r, uint64_t now_ms)
{
    struct auth_request auth = {
        .method = request_method(r),
        .target = request_target(r),
        .params = &s->params,
    };

    auth.has_authorization = request_find(r, "authorization", &auth.authorization);
    return auth_check(s->auth, &auth, now_ms);
}

/* The answer to a request that is neither stalled nor an authenticated, well-formed call. */
static void answer_otherwise(struct service *s, const struct request *r, const struct route *route,
                             const struct auth_result *result, uint64_t now_ms, struct answer *a)
{
    struct writer w;

    if (!is_allowed_method(r)) {
        write_error(a, 405, "method not allowed");
        writer_init(&w, &a->fields);
        writer_text(&w, "Allow: GET, HEAD, POST\r\n");
        (void)writer_end(&w); /* a line fits */
    } else if (route->kind == ROUTE_MAINTENANCE) {
        write_maintenance(a, route);
    } else if (route->kind == ROUTE_NOWHERE) {
        write_error(a, 404, "no such page");
    } else if (result->verdict != AUTH_OK) {
        write_refusal(s, result, now_ms, a);
    } else {
        write_error(a, 400, "params errors");
    }
}

static void prepare_answer(const struct request *r, struct answer *a)
{
    answer_reset(a, 200);
    a->head_only = request_is_head(r);
    a->close = !r->keep_alive;
    a->says_keep_alive = r->keep_alive && request_is_http_1_0(r);
}

enum service_outcome service_begin(struct service *s, const struct request *r, uint64_t conn,
                                   uint64_t n_clients, uint64_t now_ms, struct service_call *call,
                                   struct answer *a)
{
    struct route route;
    struct auth_result auth = {.verdict = AUTH_CHALLENGE};
    struct span form = request_is_form(r) ? request_body(r) : (struct span){NULL, 0};
    bool readable = false;
    bool authenticated = false;

    prepare_answer(r, a);
    *call = (struct service_call){.wait_ms = 0};
    route_find(request_target(r), &route);
    readable = params_read(&s->params, route.query, form) == 0;
    if (route.kind == ROUTE_API) {
        auth = authenticate(s, r, now_ms);
        authenticated = auth.verdict == AUTH_OK;
    }
    journal_request(s->journal, r, conn,
                    authenticated && s->auth->mode != AUTH_NONE ? s->auth->user : NULL,
                    route_kind_name(route.kind));
    if (s->switches.stall) {
        return SERVICE_STALL;
    }
    if (authenticated && readable && is_allowed_method(r)) {
        execute(s, &route, n_clients, call, a);
    } else {
        answer_otherwise(s, r, &route, &auth, now_ms, a);
    }
    return call->wait_ms > 0 ? SERVICE_WAIT : SERVICE_ANSWER;
}

void service_finish(struct service_call *call, uint64_t now_ms, struct answer *a)
{
    struct writer w;

    if (call->api.confirm_ms > 0) {
        writer_init(&w, &a->body);
        api_answer(&call->api, now_ms, &w);
        if (writer_end(&w) != 0) {
            a->status = 500;
        }
    }
}
