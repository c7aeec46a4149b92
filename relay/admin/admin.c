/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener. Each connection carries one request: a monitor asks every few seconds, and a
 * page's files come from the browser's memory. Requests go through the same strict parser as the
 * front's.
 *
 * Happy path: on_read feeds the request; complete, it goes to the observers, the API or the files;
 * the answer is written piece by piece as the peer takes it, and the connection is finished. An
 * operation of the API is away at the store meanwhile; a session that closes first lets go of it.
 */
#include "relay/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/error.h"
#include "proto/base/secret.h"
#include "proto/json/json_text.h"
#include "proto/pages/guard.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/api.h"
#include "relay/admin/api_live.h"
#include "relay/admin/pages_table.h"
#include "relay/front/answer.h"

/* Connections at once; more are closed. */
#define ADMIN_SESSIONS_MAX 64

static struct admin_session *session_of(struct conn *c)
{
    return c->user;
}

void admin_wait(struct admin_session *s, uint32_t ms)
{
    wheel_set(&s->worker->wheel, &s->deadline, worker_now_ms(s->worker) + ms);
}

/* Writes as much of the page as the peer takes now. */
static void pump(struct admin_session *s)
{
    while (s->page.len > 0 && conn_pending(&s->conn) < CONN_PENDING_LOW_BYTES) {
        size_t len = s->page.len < ADMIN_PIECE_BYTES ? s->page.len : ADMIN_PIECE_BYTES;
        if (conn_write(&s->conn, buffer_bytes(&s->page), len) < 0) {
            conn_close(&s->conn);
            return;
        }
        buffer_consume(&s->page, len);
    }
    if (s->page.len == 0) {
        wheel_cancel(&s->deadline);
        conn_finish(&s->conn);
    }
}

static void begin_answer(struct admin_session *s)
{
    s->is_answered = true;
    admin_wait(s, ADMIN_DEADLINE_MS);
}

void admin_answer(struct admin_session *s, const struct reply *reply, struct buffer *body)
{
    struct reply full = *reply;
    bool head_only = s->request.state == REQUEST_COMPLETE && s->request.method == REQUEST_HEAD;
    full.body_bytes = body->len;
    begin_answer(s);
    if (reply_format_head(&full, &s->page) < 0 ||
        (!head_only && body->len > 0 &&
         buffer_append(&s->page, buffer_bytes(body), body->len) < 0)) {
        conn_abort(&s->conn);
        return;
    }
    pump(s);
}

void admin_answer_text(struct admin_session *s, unsigned status, const char *text)
{
    struct reply reply = {
        .status = status, .phrase = answer_phrase(status), .type = "text/plain; charset=utf-8"};
    struct buffer body;
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    (void)buffer_append(&body, text, strlen(text)); /* shorter when out of memory */
    admin_answer(s, &reply, &body);
    buffer_close(&body);
}

void admin_answer_json(struct admin_session *s, unsigned status, json_t *value, const char *cookie)
{
    struct reply reply = {.status = status,
                          .phrase = answer_phrase(status),
                          .type = "application/json",
                          .cookie = cookie};
    char *text = value != NULL ? json_text_format(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct buffer body;
    json_decref(value);
    if (text == NULL) {
        admin_answer_text(s, 500, "out of memory\n");
        return;
    }
    buffer_init(&body, ADMIN_PAGE_BYTES_MAX);
    if (buffer_append(&body, text, strlen(text)) == 0) {
        admin_answer(s, &reply, &body);
    } else {
        admin_answer_text(s, 500, "out of memory\n");
    }
    secret_cleanse(text, strlen(text)); /* it may be where a key is shown, once */
    free(text);
    if (body.data != NULL) {
        secret_cleanse(body.data, body.cap);
    }
    buffer_close(&body);
}

void admin_refuse(struct admin_session *s, unsigned status, const char *reason,
                  const char *sentence)
{
    admin_answer_json(s, status, json_pack("{s:s, s:s}", "error", sentence, "reason", reason),
                      NULL);
}

/* ---- requests ---- */

static bool is_ours(const struct admin_session *s)
{
    const struct settings *settings = &s->worker->settings;
    const char *names[SETTINGS_HOSTS_MAX] = {NULL};
    for (size_t i = 0; i < settings->n_admin_hosts; i++) {
        names[i] = settings->admin_hosts[i];
    }
    return !s->is_loopback || guard_host_ok(&s->request, names, settings->n_admin_hosts);
}

static void answer_file(struct admin_session *s)
{
    const struct request *r = &s->request;
    const struct asset *asset = asset_find(&RELAY_PAGES, r->path);
    if (asset == NULL) {
        admin_answer_text(s, 404, "no such page\n");
        return;
    }
    if (r->method != REQUEST_GET && r->method != REQUEST_HEAD) {
        admin_answer_text(s, 405, "only GET and HEAD\n");
        return;
    }
    begin_answer(s);
    if (reply_format_asset(asset, r, &s->page) < 0) {
        conn_abort(&s->conn);
        return;
    }
    pump(s);
}

static void answer_request(struct admin_session *s)
{
    if (observe_answer(s)) {
        return;
    }
    if (!s->is_loopback && !s->is_tls) {
        admin_answer_text(s, 403,
                          "the pages are served beyond this machine only over TLS: [admin] tls\n");
    } else if (!is_ours(s)) {
        admin_answer_text(s, 421, "this host is not known here: see [admin] host\n");
    } else if (api_owns(&s->request)) {
        api_begin(s);
    } else {
        answer_file(s);
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
        admin_answer_text(s, s->request.refusal, "malformed request\n");
    } else if (s->request.state == REQUEST_BODY && s->request.expects_continue) {
        s->request.expects_continue = false; /* said once */
        (void)conn_write(&s->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
}

static void on_end(struct conn *c, enum conn_end end)
{
    struct admin_session *s = session_of(c);
    if (end != CONN_END_CLEAN || (!s->is_answered && s->call == NULL) || s->stream != NULL) {
        conn_close(c);
    }
}

static void on_drain(struct conn *c)
{
    struct admin_session *s = session_of(c);
    if (s->is_answered && s->stream == NULL) {
        pump(s);
    }
}

static void on_closed(struct conn *c)
{
    struct admin_session *s = session_of(c);
    wheel_cancel(&s->deadline);
    api_let_go(s);
    api_stream_close(s);
    list_remove(&s->node);
    request_close(&s->request);
    if (s->page.data != NULL) {
        secret_cleanse(s->page.data, s->page.cap);
    }
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

void admin_accept(struct worker *w, int fd, bool is_loopback)
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
    s->is_loopback = is_loopback;
    s->is_tls = !is_loopback && w->settings.admin_tls && w->tls != NULL;
    request_init(&s->request);
    s->request.body.max_bytes = ADMIN_BODY_BYTES_MAX;
    buffer_init(&s->page, ADMIN_PAGE_BYTES_MAX);
    wheel_timer_init(&s->deadline, on_deadline);
    SSL_CTX *tls = s->is_tls ? tls_server_context(w->tls) : NULL;
    if (conn_open(&s->conn, &w->io, fd, tls, &callbacks, s) < 0) {
        free(s);
        return;
    }
    w->n_admin_sessions++;
    list_push(&w->admin_sessions, &s->node);
    admin_wait(s, ADMIN_DEADLINE_MS);
}

void admin_retire(struct worker *w, bool at_once)
{
    struct list *node = w->admin_sessions.next;
    while (node != &w->admin_sessions) {
        struct admin_session *s = LIST_ITEM(node, struct admin_session, node);
        node = node->next;
        bool is_done = s->call == NULL && (at_once || !s->is_answered);
        if (s->stream != NULL || is_done) {
            conn_close(&s->conn);
        }
    }
}
