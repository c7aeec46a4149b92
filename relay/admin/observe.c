/* SPDX-License-Identifier: Apache-2.0 */
/* What monitors ask for: /metrics, /healthz, /readyz and /status. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/http/query.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/building_series.h"
#include "relay/front/answer.h"

static void answer_with(struct admin_session *s, const char *type, struct buffer *body)
{
    struct reply reply = {.status = 200, .phrase = answer_phrase(200), .type = type};
    admin_answer(s, &reply, body);
}

static int64_t certificate_end_s(const struct worker *w)
{
    return w->tls != NULL ? tls_server_expires_s(w->tls) : 0;
}

/* /readyz?serial=TNX-0001: would a call to this building be answered now? */
static void answer_server_readiness(struct admin_session *s, struct span serial)
{
    if (board_is_online(s->worker->relay->board, serial)) {
        admin_answer_text(s, 200, "online\n");
    } else {
        admin_answer_text(s, 503, "offline: the last end-to-end probe was not answered\n");
    }
}

static struct client_rtt_summary client_distance(const struct worker *w)
{
    const struct relay *relay = w->relay;
    const struct client_rtt *all[REF_WORKERS_MAX] = {NULL};
    for (unsigned i = 0; i < relay->n_workers; i++) {
        all[i] = &relay->workers[i].client_rtt;
    }
    return client_rtt_summarize(all, relay->n_workers, worker_now_ms(w));
}

/* "ok", "broken" or "draining", and since when: nobody can call once the certificate has ended. */
static const char *client_leg(const struct worker *w, int64_t *since_s)
{
    int64_t end_s = certificate_end_s(w);
    if (w->draining) {
        *since_s = w->draining_s;
        return "draining";
    }
    if (end_s != 0 && end_s <= clock_wall_s()) {
        *since_s = end_s;
        return "broken";
    }
    *since_s = w->relay->started_s;
    return "ok";
}

json_t *observe_describe_relay(const struct worker *w)
{
    const struct relay *relay = w->relay;
    uint64_t n_sessions = 0;
    uint64_t n_handshakes = 0;
    uint64_t n_failures = 0;
    int64_t since_s = 0;
    const char *leg = client_leg(w, &since_s);
    struct client_rtt_summary rtt = client_distance(w);
    for (unsigned i = 0; i < relay->n_workers; i++) {
        const struct metrics *m = &relay->workers[i].metrics;
        n_sessions += atomic_load_explicit(&m->sessions_open, memory_order_relaxed);
        n_handshakes += atomic_load_explicit(&m->tls_handshakes, memory_order_relaxed);
        n_failures += atomic_load_explicit(&m->tls_failures, memory_order_relaxed);
    }
    return json_pack("{s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "client_leg",
                     leg, "client_since", (json_int_t)since_s, "draining", w->draining, "started",
                     (json_int_t)relay->started_s, "sessions", (json_int_t)n_sessions,
                     "tls_handshakes", (json_int_t)n_handshakes, "tls_failures",
                     (json_int_t)n_failures, "certificate_expires",
                     (json_int_t)certificate_end_s(w), "client_rtt_us", (json_int_t)rtt.median_us,
                     "client_rtt_latest_us", (json_int_t)rtt.latest_us, "client_rtt_samples",
                     (json_int_t)rtt.n_samples, "last_call",
                     rtt.has_latest ? (json_int_t)(clock_wall_s() - rtt.latest_age_s) : 0);
}

static void answer_metrics(struct admin_session *s)
{
    struct relay *relay = s->worker->relay;
    struct metrics *sum = calloc(1, sizeof(*sum));
    if (sum == NULL) {
        admin_answer_text(s, 500, "out of memory\n");
        return;
    }
    for (unsigned i = 0; i < relay->n_workers; i++) {
        metrics_merge(sum, &relay->workers[i].metrics);
    }
    struct directory_counts counts = directory_count(store_directory(relay->store));
    struct board_counts board = board_count(relay->board);
    struct client_rtt_summary rtt = client_distance(s->worker);
    struct store_stats store;
    store_read_stats(relay->store, &store);
    struct metrics_gauges gauges = {
        .n_online = board.n_online,
        .n_servers = counts.n_servers,
        .n_enabled = counts.n_enabled,
        .n_keys = counts.n_keys,
        .store_failures = store.n_failures,
        .store_dropped = store.n_dropped,
        .certificate_expires_s = (uint64_t)certificate_end_s(s->worker),
        .started_s = (uint64_t)relay->started_s,
        .n_workers = relay->n_workers,
        .n_client_samples = rtt.n_samples,
        .client_rtt_us = rtt.median_us,
    };
    struct buffer body;
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    if (metrics_format(sum, &gauges, &body) == 0 && building_series_format(relay, &body) == 0) {
        answer_with(s, "text/plain; version=0.0.4; charset=utf-8", &body);
    } else {
        admin_answer_text(s, 500, "out of memory\n");
    }
    buffer_close(&body);
    free(sum);
}

static void answer_board(struct admin_session *s)
{
    char *text = board_format_json(s->worker->relay->board, observe_describe_relay(s->worker));
    struct buffer body;
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    if (text != NULL && buffer_append(&body, text, strlen(text)) == 0) {
        answer_with(s, "application/json", &body);
    } else {
        admin_answer_text(s, 500, "out of memory\n");
    }
    buffer_close(&body);
    free(text);
}

/* Ready to serve at all. */
static void answer_readiness(struct admin_session *s)
{
    struct store_stats store;
    struct query_param serial;
    if (query_find(s->request.query, span_of("serial"), &serial)) {
        answer_server_readiness(s, serial.value);
        return;
    }
    store_read_stats(s->worker->relay->store, &store);
    if (s->worker->draining) {
        admin_answer_text(s, 503, "draining\n");
    } else if (!store.healthy) {
        admin_answer_text(s, 503, "the database does not work; serving goes on from memory\n");
    } else {
        admin_answer_text(s, 200, "ready\n");
    }
}

static void answer_health(struct admin_session *s)
{
    admin_answer_text(s, 200, "ok\n");
}

static const struct {
    const char *path;
    void (*answer)(struct admin_session *s);
} ROUTES[] = {
    {"/metrics", answer_metrics},
    {"/healthz", answer_health},
    {"/readyz", answer_readiness},
    {"/status", answer_board},
};

bool observe_answer(struct admin_session *s)
{
    const struct request *r = &s->request;
    for (size_t i = 0; i < sizeof(ROUTES) / sizeof(ROUTES[0]); i++) {
        if (!span_equal(r->path, span_of(ROUTES[i].path))) {
            continue;
        }
        if (r->method == REQUEST_GET || r->method == REQUEST_HEAD) {
            ROUTES[i].answer(s);
        } else {
            admin_answer_text(s, 405, "only GET and HEAD\n");
        }
        return true;
    }
    return false;
}
