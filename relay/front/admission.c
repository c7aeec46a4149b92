/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a request may go to a building. */
#include "relay/front/admission.h"

#include <string.h>

#include "proto/base/clock.h"
#include "proto/http/controller.h"
#include "proto/http/field.h"
#include "proto/http/query.h"
#include "relay/front/exchange.h"
#include "relay/front/session.h"
#include "relay/front/upgrade.h"
#include "relay/worker.h"

#define API_PREFIX_BYTES 8 /* "/api/V1/" */

static bool answer(struct session *s, enum answer_reason reason)
{
    struct answer_details d = {.delivered = HEAD_DELIVERED_NO};
    session_answer(s, reason, &d);
    return false;
}

static uint32_t seconds_up(uint64_t us)
{
    return (uint32_t)((us + 999999) / 1000000);
}

static bool answer_limited(struct session *s, const char *policy, struct bucket_rate rate,
                           const struct bucket_state *state)
{
    struct answer_details d = {
        .delivered = HEAD_DELIVERED_NO,
        .retry_after_s = seconds_up(state->retry_after_us),
        .policy = policy,
        .rate = rate,
        .reset_s = seconds_up(state->retry_after_us),
    };
    metrics_add(&s->worker->metrics.rate_limited, 1);
    session_answer(s, ANSWER_RATE_LIMITED, &d);
    return false;
}

/* Of "/KEY/rest": KEY, and "/rest" in `rest` (empty if there is none). */
static struct span split_key(struct span path, struct span *rest)
{
    struct span after = {path.p + 1, path.len - 1};
    size_t slash = span_find(after, '/');
    *rest = (struct span){after.p + slash, after.len - slash};
    return (struct span){after.p, slash};
}

static bool refuse_key(struct session *s)
{
    struct worker *w = s->worker;
    struct bucket_state state;
    struct bucket_rate rate = w->settings.refused_rate;
    metrics_add(&w->metrics.keys_refused, 1);
    if (!peers_refuse(w->relay->peers, &s->peer, rate, clock_now_us(), &state)) {
        return answer_limited(s, ANSWER_POLICY_REFUSED, rate, &state);
    }
    return answer(s, ANSWER_KEY_REFUSED);
}

/* Behind the key: "/api/V1/" with V in either case, then segments none of which is empty. */
static bool path_ok(struct span path)
{
    if (path.len <= API_PREFIX_BYTES || (memcmp(path.p, "/api/V1/", API_PREFIX_BYTES) != 0 &&
                                         memcmp(path.p, "/api/v1/", API_PREFIX_BYTES) != 0)) {
        return false;
    }
    if (path.p[path.len - 1] == '/') {
        return false;
    }
    for (size_t i = API_PREFIX_BYTES; i < path.len; i++) {
        if (path.p[i] == '/' && path.p[i - 1] == '/') {
            return false;
        }
    }
    return true;
}

static struct bucket_rate rate_or(struct bucket_rate own, struct bucket_rate fallback)
{
    return own.per_s > 0 ? own : fallback;
}

static struct span controller_of(const struct session *s)
{
    return (struct span){s->forward_path.p + API_PREFIX_BYTES,
                         s->forward_path.len - API_PREFIX_BYTES};
}

/* Takes a token of the key's bucket. */
static bool within_key_rate(struct session *s, const struct directory_key *key)
{
    struct bucket_rate rate = rate_or(key->rate, s->worker->settings.key_rate);
    struct bucket_state state;
    if (bucket_take(&key->live->requests, rate, clock_now_us(), &state)) {
        return true;
    }
    return answer_limited(s, ANSWER_POLICY_KEY, rate, &state);
}

/* Commands load the KNX bus, status calls do not; what is unknown counts as a command. */
static bool within_command_rate(struct session *s, const struct directory_server *server)
{
    struct bucket_rate rate = rate_or(server->command_rate, s->worker->settings.command_rate);
    const struct controller *c = controller_find(controller_of(s));
    if (rate.per_s == 0 || (c != NULL && c->role == CONTROLLER_GET)) {
        return true;
    }
    struct bucket_state state;
    if (bucket_take(&server->live->commands, rate, clock_now_us(), &state)) {
        return true;
    }
    return answer_limited(s, ANSWER_POLICY_COMMANDS, rate, &state);
}

bool admission_admit(struct session *s)
{
    const struct request *r = s->request;
    if (upgrade_is_wanted(s)) {
        return true;
    }
    struct span rest;
    struct span text = split_key(r->path, &rest);
    const struct directory_server *server = NULL;
    const struct directory_key *key =
        directory_find_key(s->worker->reader, text, s->worker->now_s, &server);
    if (key == NULL) {
        return refuse_key(s);
    }
    s->key = key->id;
    s->server = server->id;
    memcpy(s->serial, server->serial, sizeof(s->serial));
    if (!within_key_rate(s, key)) {
        return false;
    }
    if (!path_ok(rest)) {
        return answer(s, ANSWER_NO_SUCH_PATH);
    }
    s->forward_path = rest;
    if (r->method == REQUEST_OTHER) {
        s->close_after = true; /* what its content means is not known to us */
        return answer(s, ANSWER_METHOD_NOT_ALLOWED);
    }
    return true;
}

/* How many fields a server could take for this one; `value` is that of the last. */
static size_t count_fields(const struct request *r, const char *known, struct span *value)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_fields; i++) {
        if (field_name_reads(r->fields[i].name, known)) {
            *value = r->fields[i].value;
            n++;
        }
    }
    return n;
}

static bool scope_ok(const struct session *s, const struct directory_key *key)
{
    const struct request *r = s->request;
    struct span type = {NULL, 0};
    struct span coding = {NULL, 0};
    if (key->scope == NULL) {
        return true;
    }
    if (count_fields(r, "content-type", &type) != 1) {
        type = (struct span){NULL, 0};
    }
    struct scope_request asked = {
        .controller = controller_of(s),
        .query = r->query,
        .is_post = r->method == REQUEST_POST,
        .content_type = type,
        .is_encoded = count_fields(r, "content-encoding", &coding) > 0,
        .body = {(const char *)buffer_bytes(&r->body), r->body.len},
        .client = &s->address.any,
    };
    return scope_allows(key->scope, &asked);
}

/* `fb` makes the server wait for the device. It may stand in the query or in a form's body. */
static bool has_feedback(const struct request *r)
{
    struct span body = {(const char *)buffer_bytes(&r->body), r->body.len};
    return query_has(r->query, span_of("fb")) || query_has(body, span_of("fb"));
}

void admission_dispatch(struct session *s)
{
    if (upgrade_is_wanted(s)) {
        upgrade_answer(s);
        return;
    }
    const struct directory_server *server = NULL;
    /* The key may have been changed while the body came. */
    const struct directory_key *key =
        directory_find_key_id(s->worker->reader, s->key, s->worker->now_s, &server);
    if (key == NULL) {
        (void)refuse_key(s);
        return;
    }
    if (!scope_ok(s, key)) {
        (void)answer(s, ANSWER_NOT_ALLOWED);
        return;
    }
    if (!within_command_rate(s, server)) {
        return;
    }
    if (exchange_start(s, key->id, server->id, has_feedback(s->request)) < 0) {
        (void)answer(s, ANSWER_INTERNAL);
    }
}
