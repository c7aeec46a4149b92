/* SPDX-License-Identifier: Apache-2.0 */
/* The listener of the agent's pages.
 *
 * Happy path: on_connection -> on_read feeds the request -> a file, or the API -> the answer is
 * written in one go -> closed. A visit is freed when both its handles are closed and no reply of
 * the relay is on its way to it; a call to the server is cancelled when it closes. */
#include "agent/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pages_table.h"
#include "agent/pages_visit.h"
#include "proto/base/conf.h"
#include "proto/base/log.h"
#include "proto/base/random.h"
#include "proto/json/json_text.h"
#include "proto/pages/guard.h"
#include "proto/pages/reply.h"

#define BACKLOG 16
/* Longest head of an answer. */
#define HEAD_BYTES_MAX 2048

static void free_pages_if_done(struct pages *p)
{
    if (p->closing && p->listener_closed && p->n_visits == 0) {
        void (*on_closed)(void *user) = p->on_closed;
        void *user = p->closed_user;
        free(p);
        on_closed(user);
    }
}

void visit_release(struct visit *v)
{
    struct pages *p = v->pages;

    if (v->n_handles > 0 || v->is_asking) {
        return;
    }
    list_remove(&v->node);
    request_close(&v->request);
    buffer_close(&v->answer);
    buffer_close(&v->body);
    free(v);
    p->n_visits--;
    free_pages_if_done(p);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct visit *v = handle->data;
    v->n_handles--;
    visit_release(v);
}

static void close_visit(struct visit *v)
{
    if (v->is_closing) {
        return;
    }
    v->is_closing = true;
    if (v->call != NULL) {
        upstream_cancel(v->call);
        v->call = NULL;
    }
    uv_close((uv_handle_t *)&v->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&v->deadline, on_handle_closed);
}

/* ---- answers ---- */

static void on_written(uv_write_t *req, int status)
{
    (void)status; /* gone or not: it is over */
    close_visit(req->data);
}

static void send_answer(struct visit *v)
{
    uv_buf_t all = uv_buf_init((char *)v->answer.data + v->answer.start, (unsigned)v->answer.len);

    v->is_answered = true;
    v->write.data = v;
    if (v->is_closing || uv_write(&v->write, (uv_stream_t *)&v->tcp, &all, 1, on_written) < 0) {
        close_visit(v);
    }
}

static const char *phrase_of(unsigned status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return "Error";
    }
}

static void answer_with(struct visit *v, unsigned status, const char *type, const char *text)
{
    struct reply reply = {
        .status = status, .phrase = phrase_of(status), .type = type, .body_bytes = strlen(text)};
    if (reply_format_head(&reply, &v->answer) < 0 ||
        (v->request.method != REQUEST_HEAD &&
         buffer_append(&v->answer, text, reply.body_bytes) < 0)) {
        close_visit(v);
        return;
    }
    send_answer(v);
}

void visit_answer_json(struct visit *v, unsigned status, json_t *value)
{
    char *text = value != NULL ? json_text_format(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

    json_decref(value);
    if (text == NULL) {
        close_visit(v);
        return;
    }
    answer_with(v, status, "application/json", text);
    free(text);
}

void visit_refuse(struct visit *v, unsigned status, const char *reason, const char *sentence)
{
    visit_answer_json(v, status, json_pack("{s:s, s:s}", "error", sentence, "reason", reason));
}

static void answer_file(struct visit *v)
{
    const struct asset *asset = asset_find(&AGENT_PAGES, v->request.path);

    if (asset == NULL || v->request.method == REQUEST_POST) {
        answer_with(v, 404, "text/plain; charset=utf-8", "no such page\n");
    } else if (reply_format_asset(asset, &v->request, &v->answer) < 0) {
        close_visit(v);
    } else {
        send_answer(v);
    }
}

static void answer_request(struct visit *v)
{
    if (!guard_host_ok(&v->request, NULL, 0)) {
        answer_with(v, 421, "text/plain; charset=utf-8", "this host is not known here\n");
    } else if (!pages_api(v)) {
        answer_file(v);
    }
}

/* ---- requests ---- */

static void take_bytes(struct visit *v, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)v->bytes;
    struct request *r = &v->request;
    size_t at = 0;

    while (at < len && r->state != REQUEST_COMPLETE && r->state != REQUEST_REFUSED) {
        size_t used = 0;
        request_feed(r, bytes + at, len - at, &used);
        at += used;
    }
    if (r->state == REQUEST_COMPLETE) {
        (void)uv_read_stop((uv_stream_t *)&v->tcp);
        answer_request(v);
    } else if (r->state == REQUEST_REFUSED) {
        (void)uv_read_stop((uv_stream_t *)&v->tcp);
        answer_with(v, r->refusal, "text/plain; charset=utf-8", "malformed request\n");
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct visit *v = handle->data;
    (void)suggested;
    *buf = uv_buf_init(v->bytes, sizeof(v->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct visit *v = stream->data;
    (void)buf;
    if (n < 0) {
        close_visit(v);
    } else if (n > 0) {
        take_bytes(v, (size_t)n);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct visit *v = timer->data;
    if (v->call == NULL) {
        close_visit(v);
        return;
    }
    (void)uv_timer_start(timer, on_deadline, PAGES_LATE_MS, 0);
    pages_api_end_call(v);
}

static void start_visit(struct visit *v)
{
    struct pages *p = v->pages;
    if (uv_accept((uv_stream_t *)&p->listener, (uv_stream_t *)&v->tcp) < 0 ||
        p->n_visits > PAGES_VISITS_MAX ||
        uv_read_start((uv_stream_t *)&v->tcp, on_alloc, on_read) < 0) {
        close_visit(v);
        return;
    }
    (void)uv_timer_start(&v->deadline, on_deadline, PAGES_VISIT_MS, 0);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pages *p = listener->data;
    struct visit *v = status == 0 ? calloc(1, sizeof(*v)) : NULL;

    if (v == NULL) {
        return;
    }
    v->pages = p;
    v->n_handles = 2;
    request_init(&v->request);
    buffer_init(&v->answer, PAGES_ANSWER_BYTES_MAX + HEAD_BYTES_MAX);
    buffer_init(&v->body, PAGES_DEVICE_BYTES_MAX);
    (void)uv_tcp_init(p->loop, &v->tcp); /* neither can fail: no socket is made yet */
    (void)uv_timer_init(p->loop, &v->deadline);
    v->tcp.data = v;
    v->deadline.data = v;
    list_push(&p->visits, &v->node);
    p->n_visits++;
    start_visit(v);
}

/* ---- the listener ---- */

static void make_token(char token[PAGES_TOKEN_BYTES])
{
    (void)snprintf(token, PAGES_TOKEN_BYTES, "%016llx%016llx", (unsigned long long)random_u64(),
                   (unsigned long long)random_u64());
}

static int bind_to(struct pages *p, const char *text)
{
    struct sockaddr_storage address;
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;

    if (conf_parse_address(text, host, &port) < 0) {
        return UV_EINVAL;
    }
    int rc = strchr(host, ':') != NULL
                 ? uv_ip6_addr(host, port, (struct sockaddr_in6 *)&address)
                 : uv_ip4_addr(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port,
                               (struct sockaddr_in *)&address);
    rc = rc < 0 ? rc : uv_tcp_bind(&p->listener, (const struct sockaddr *)&address, 0);
    return rc < 0 ? rc : uv_listen((uv_stream_t *)&p->listener, BACKLOG, on_connection);
}

static void log_address(const struct pages *p)
{
    struct sockaddr_storage address;
    int len = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "?";

    if (uv_tcp_getsockname(&p->listener, (struct sockaddr *)&address, &len) == 0) {
        uint16_t port =
            ntohs(((const struct sockaddr_in *)&address)->sin_port); /* same place in both */
        (void)uv_ip_name((const struct sockaddr *)&address, host, sizeof(host));
        log_event(LOG_LEVEL_INFO, "pages", log_text("host", host), log_uint("port", port));
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct pages *p = handle->data;
    p->listener_closed = true;
    free_pages_if_done(p);
}

static void on_never_opened(void *user)
{
    (void)user;
}

int pages_open(uv_loop_t *loop, const char *listen,
               void (*about)(void *user, struct answer_about *about), void *user,
               struct pages **pages, struct error_text *e)
{
    struct pages *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    p->loop = loop;
    p->about = about;
    p->user = user;
    list_init(&p->visits);
    make_token(p->token);
    (void)uv_tcp_init(loop, &p->listener); /* cannot fail: no socket is made yet */
    p->listener.data = p;
    int rc = bind_to(p, listen);
    if (rc < 0) {
        pages_close(p, on_never_opened, NULL);
        return error_set(e, ERROR_IO, "cannot listen on %s: %s", listen, uv_strerror(rc));
    }
    log_address(p);
    *pages = p;
    return 0;
}

void pages_close(struct pages *p, void (*on_closed)(void *user), void *user)
{
    struct list *node = p->visits.next;

    p->closing = true;
    p->on_closed = on_closed;
    p->closed_user = user;
    while (node != &p->visits) {
        struct visit *v = LIST_ITEM(node, struct visit, node);
        node = node->next;
        close_visit(v);
    }
    uv_close((uv_handle_t *)&p->listener, on_listener_closed);
}
