/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener. Each connection carries one request: whoever asks for metrics does so every
 * few seconds. Requests go through the same strict parser as the front's. */
#include "relay/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "proto/http/query.h"
#include "proto/http/request.h"
#include "relay/front/answer.h"
#include "relay/worker.h"

/* The request must have come and the page be taken by then. */
#define ADMIN_DEADLINE_MS 10000
/* Connections at once; more are closed. */
#define ADMIN_SESSIONS_MAX 64
/* Longest page (the status of BOARD_SERVERS_MAX buildings), and how much is written at once. */
#define ADMIN_PAGE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define ADMIN_PIECE_BYTES    32768

struct admin_session {
    struct conn conn;
    struct worker *worker;
    struct request request;
    struct buffer page; /* what is still to be written */
    struct list node;   /* worker->admin_sessions */
    struct wheel_timer deadline;
};

static struct admin_session *session_of(struct conn *c)
{
    return c->user;
}

/* Writes as much of the page as the peer takes now. */
static void pump(struct admin_session *s)
{
    while (s->page.len > 0 && conn_pending(&s->conn) < CONN_PENDING_LOW_BYTES) {
        size_t len = s->page.len < ADMIN_PIECE_BYTES ? s->page.len : ADMIN_PIECE_BYTES;
        if (conn_write(&s->conn, buffer_bytes(&s->page), len) < 0) {
            return;
        }
        buffer_consume(&s->page, len);
    }
    if (s->page.len == 0) {
        wheel_cancel(&s->deadline);
        conn_finish(&s->conn);
    }
}

/* Takes the body: it is empty afterwards. */
static void send_page(struct admin_session *s, unsigned status, const char *type,
                      struct buffer *body)
{
    char head[256];
    int len = snprintf(head, sizeof(head),
                       "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                       "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                       status, answer_phrase(status), type, body->len);
    if (s->request.state != REQUEST_COMPLETE || s->request.method != REQUEST_HEAD) {
        s->page = *body;
        buffer_init(body, ADMIN_PAGE_BYTES_MAX);
    }
    (void)conn_write(&s->conn, head, (size_t)len);
    pump(s);
}

static void send_text(struct admin_session *s, unsigned status, const char *text)
{
    struct buffer body;
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    (void)buffer_append(&body, text, strlen(text));
    send_page(s, status, "text/plain; charset=utf-8", &body);
    buffer_close(&body);
}

static int64_t certificate_end_s(const struct worker *w)
{
    return w->tls != NULL ? tls_server_expires_s(w->tls) : 0;
}

static void send_metrics(struct admin_session *s)
{
    struct relay *relay = s->worker->relay;
    struct metrics *sum = calloc(1, sizeof(*sum));
    if (sum == NULL) {
        send_text(s, 500, "out of memory\n");
        return;
    }
    for (unsigned i = 0; i < relay->n_workers; i++) {
        metrics_merge(sum, &relay->workers[i].metrics);
    }
    struct directory_counts counts = directory_count(store_directory(relay->store));
    struct board_counts board = board_count(relay->board);
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
    };
    struct buffer body;
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    if (metrics_format(sum, &gauges, &body) == 0) {
        send_page(s, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
    } else {
        send_text(s, 500, "out of memory\n");
    }
    buffer_close(&body);
    free(sum);
}

/* /readyz?serial=TNX-0001: would a call to this building be answered now? */
static void send_server_readiness(struct admin_session *s, struct span serial)
{
    if (board_is_online(s->worker->relay->board, serial)) {
        send_text(s, 200, "online\n");
    } else {
        send_text(s, 503, "offline: the last end-to-end probe was not answered\n");
    }
}

/* The leg from the clients to the relay, as far as the relay can see it. */
static json_t *describe_relay(const struct worker *w)
{
    const struct relay *relay = w->relay;
    uint64_t n_sessions = 0;
    uint64_t n_handshakes = 0;
    uint64_t n_failures = 0;
    for (unsigned i = 0; i < relay->n_workers; i++) {
        const struct metrics *m = &relay->workers[i].metrics;
        n_sessions += atomic_load_explicit(&m->sessions_open, memory_order_relaxed);
        n_handshakes += atomic_load_explicit(&m->tls_handshakes, memory_order_relaxed);
        n_failures += atomic_load_explicit(&m->tls_failures, memory_order_relaxed);
    }
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "draining", w->draining, "started",
                     (json_int_t)relay->started_s, "sessions", (json_int_t)n_sessions,
                     "tls_handshakes", (json_int_t)n_handshakes, "tls_failures",
                     (json_int_t)n_failures, "certificate_expires",
                     (json_int_t)certificate_end_s(w));
}

static void send_status(struct admin_session *s)
{
    char *text = board_format_json(s->worker->relay->board, describe_relay(s->worker));
    struct buffer body;
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    if (text != NULL && buffer_append(&body, text, strlen(text)) == 0) {
        send_page(s, 200, "application/json", &body);
    } else {
        send_text(s, 500, "out of memory\n");
    }
    buffer_close(&body);
    free(text);
}

/* Ready to serve at all. */
static void send_readiness(struct admin_session *s)
{
    struct store_stats store;
    struct query_param serial;
    if (query_find(s->request.query, span_of("serial"), &serial)) {
        send_server_readiness(s, serial.value);
        return;
    }
    store_read_stats(s->worker->relay->store, &store);
    if (s->worker->draining) {
        send_text(s, 503, "draining\n");
    } else if (!store.healthy) {
        send_text(s, 503, "the database does not work; serving goes on from memory\n");
    } else {
        send_text(s, 200, "ready\n");
    }
}

static void answer_request(struct admin_session *s)
{
    const struct request *r = &s->request;
    if (r->method != REQUEST_GET && r->method != REQUEST_HEAD) {
        send_text(s, 405, "only GET and HEAD\n");
    } else if (span_equal(r->path, span_of("/metrics"))) {
        send_metrics(s);
    } else if (span_equal(r->path, span_of("/healthz"))) {
        send_text(s, 200, "ok\n");
    } else if (span_equal(r->path, span_of("/status"))) {
        send_status(s);
    } else if (span_equal(r->path, span_of("/readyz"))) {
        send_readiness(s);
    } else {
        send_text(s, 404, "there are /metrics, /healthz, /readyz and /status\n");
    }
}

static void on_read(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct admin_session *s = session_of(c);
    size_t at = 0;
    if (s->request.state == REQUEST_COMPLETE || s->request.state == REQUEST_REFUSED) {
        return; /* one request per connection */
    }
    while (at < len && s->request.state != REQUEST_COMPLETE &&
           s->request.state != REQUEST_REFUSED) {
        size_t used = 0;
        request_feed(&s->request, bytes + at, len - at, &used);
        at += used;
    }
    if (s->request.state == REQUEST_COMPLETE) {
        answer_request(s);
    } else if (s->request.state == REQUEST_REFUSED) {
        send_text(s, s->request.refusal, "malformed request\n");
    }
}

static void on_end(struct conn *c, enum conn_end end)
{
    (void)end;
    conn_close(c);
}

static void on_drain(struct conn *c)
{
    pump(session_of(c));
}

static void on_closed(struct conn *c)
{
    struct admin_session *s = session_of(c);
    wheel_cancel(&s->deadline);
    list_remove(&s->node);
    request_close(&s->request);
    buffer_close(&s->page);
    s->worker->n_admin_sessions--;
    free(s);
}

static const struct conn_callbacks callbacks = {
    .on_read = on_read,
    .on_end = on_end,
    .on_drain = on_drain,
    .on_closed = on_closed,
};

static void on_deadline(struct wheel_timer *t)
{
    conn_close(&LIST_ITEM(t, struct admin_session, deadline)->conn);
}

void admin_accept(struct worker *w, int fd)
{
    struct admin_session *s = NULL;
    if (w->n_admin_sessions < ADMIN_SESSIONS_MAX) {
        s = calloc(1, sizeof(*s));
    }
    if (s == NULL) {
        close(fd);
        return;
    }
    s->worker = w;
    request_init(&s->request);
    buffer_init(&s->page, ADMIN_PAGE_BYTES_MAX);
    wheel_timer_init(&s->deadline, on_deadline);
    if (conn_open(&s->conn, &w->io, fd, NULL, &callbacks, s) < 0) {
        free(s);
        return;
    }
    w->n_admin_sessions++;
    list_push(&w->admin_sessions, &s->node);
    wheel_set(&w->wheel, &s->deadline, worker_now_ms(w) + ADMIN_DEADLINE_MS);
}
