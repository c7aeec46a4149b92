/* SPDX-License-Identifier: Apache-2.0 */
/* The misbehaving server and the recording client. */
#include "tests/unit/upstream/fake_server.h"

#include <netdb.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/error.h"

#define WATCHDOG_MS     20000
#define OK_REPLY        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CONNECT_MS      1000
#define ANSWER_MS       300
#define FEEDBACK_MS     900
#define MAX_CONNECTIONS 4

/* A failing allocator (tests/unit/base/allocator.h) leaves realloc and reallocarray alone. The
 * compiler makes a malloc of realloc(NULL). */
static void *new_bytes(size_t len)
{
    void *p = reallocarray(NULL, 1, len);
    assert_non_null(p);
    return p;
}

static void append(struct fake_bytes *b, const void *bytes, size_t len)
{
    char *p = realloc(b->p, b->len + len);
    assert_non_null(p);
    memcpy(p + b->len, bytes, len);
    b->p = p;
    b->len += len;
}

static void drop_front(struct fake_bytes *b, size_t len)
{
    b->len -= len;
    memmove(b->p, b->p + len, b->len);
}

static void free_bytes(struct fake_bytes *b)
{
    free(b->p);
    *b = (struct fake_bytes){NULL, 0};
}

/* ---- resolver ---- */

/* getaddrinfo and freeaddrinfo of the C library are replaced for the whole program, so that no test
 * asks a real name server. libuv calls them from its threads. */

static sem_t slow_may_go;
static atomic_bool slow_has_begun;

struct fake_addrinfo {
    struct addrinfo info;
    struct sockaddr_in address;
};

static struct addrinfo *new_address(const char *text, const char *service, struct addrinfo *next)
{
    struct fake_addrinfo *a = calloc(1, sizeof(*a));
    if (a == NULL || uv_ip4_addr(text, (int)strtol(service, NULL, 10), &a->address) != 0) {
        abort();
    }
    a->info.ai_family = AF_INET;
    a->info.ai_socktype = SOCK_STREAM;
    a->info.ai_addrlen = sizeof(a->address);
    a->info.ai_addr = (struct sockaddr *)&a->address;
    a->info.ai_next = next;
    return &a->info;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    (void)hints;
    if (strcmp(name, FAKE_NAME_SLOW) == 0) {
        atomic_store(&slow_has_begun, true);
        sem_wait(&slow_may_go);
    }
    if (strcmp(name, FAKE_NAME) == 0 || strcmp(name, FAKE_NAME_SLOW) == 0) {
        *list = new_address("127.0.0.1", service, NULL);
    } else if (strcmp(name, FAKE_NAME_TWO) == 0) {
        *list = new_address("127.0.0.2", service, new_address("127.0.0.1", service, NULL));
    } else if (strcmp(name, FAKE_NAME_DEAD) == 0) {
        *list = new_address("127.0.0.2", service, new_address("127.0.0.3", service, NULL));
    } else {
        return EAI_NONAME;
    }
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        free(list); /* the first member of a fake_addrinfo */
        list = next;
    }
}

void fake_resolve_slow(void)
{
    sem_post(&slow_may_go);
}

const char *fake_url(const struct fixture *f, const char *name)
{
    static char url[64];
    snprintf(url, sizeof(url), "http://%s%s", name, strrchr(f->server.url, ':'));
    return url;
}

/* ---- server ---- */

struct sending {
    uv_write_t req;
    struct fake_peer *peer;
    enum fake_then then;
    char bytes[];
};

static void on_peer_closed(uv_handle_t *handle)
{
    struct fake_peer *p = handle->data;
    free_bytes(&p->in);
}

static void close_peer(struct fake_peer *p)
{
    if (p->open) {
        p->open = false;
        uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
    }
}

static void reset_peer(struct fake_peer *p)
{
    if (p->open) {
        p->open = false;
        assert_int_equal(uv_tcp_close_reset(&p->tcp, on_peer_closed), 0);
    }
}

static void on_sent(uv_write_t *req, int status)
{
    struct sending *s = req->data;
    (void)status;
    if (s->then == FAKE_CLOSE) {
        close_peer(s->peer);
    } else if (s->then == FAKE_RESET) {
        reset_peer(s->peer);
    }
    free(s);
}

static void send_bytes(struct fake_peer *p, const char *bytes, size_t len, enum fake_then then)
{
    struct sending *s = new_bytes(sizeof(*s) + len);
    s->req.data = s;
    s->peer = p;
    s->then = then;
    if (len > 0) {
        memcpy(s->bytes, bytes, len);
    }
    uv_buf_t buf = uv_buf_init(s->bytes, (unsigned)len);
    assert_int_equal(uv_write(&s->req, (uv_stream_t *)&p->tcp, &buf, 1, on_sent), 0);
}

static void answer(struct fake_peer *p, const struct fake_reply *r)
{
    size_t len = r->bytes == NULL ? 0 : r->len > 0 ? r->len : strlen(r->bytes);
    if (len > 0 || r->then != FAKE_KEEP) {
        send_bytes(p, r->bytes, len, r->then);
    }
    if (r->then == FAKE_AGAIN) {
        send_bytes(p, r->bytes, len, FAKE_KEEP);
    }
}

/* Length of the request at the front of what was read; 0 = not complete. */
static size_t request_len(const struct fake_bytes *in)
{
    const char *text = in->p;
    const char *end = in->len == 0 ? NULL : memmem(text, in->len, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    size_t len = (size_t)(end - text) + 4;
    const char *field = memmem(text, len, "Content-Length: ", 16);
    len += field == NULL ? 0 : strtoul(field + 16, NULL, 10);
    return len <= in->len ? len : 0;
}

static void take_request(struct fake_peer *p, size_t len)
{
    struct fake_server *s = p->server;
    assert_true(s->n_requests < FAKE_REQUESTS_MAX);
    size_t n = s->n_requests++;
    char *text = new_bytes(len + 1);
    memcpy(text, p->in.p, len);
    text[len] = '\0';
    drop_front(&p->in, len);
    s->requests[n] = (struct fake_request){(size_t)(p - s->peers), text};
    answer(p, n < s->n_script ? &s->script[n] : &s->otherwise);
}

static void on_peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char bytes[65536];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(bytes, sizeof(bytes));
}

static void on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fake_peer *p = stream->data;
    if (n < 0) {
        p->saw_end = true;
        close_peer(p);
        return;
    }
    append(&p->in, buf->base, (size_t)n);
    size_t len = 0;
    while (p->open && (len = request_len(&p->in)) > 0) {
        take_request(p, len);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fake_server *s = listener->data;
    assert_int_equal(status, 0);
    assert_true(s->n_peers < FAKE_PEERS_MAX);
    struct fake_peer *p = &s->peers[s->n_peers++];
    p->server = s;
    p->open = true;
    assert_int_equal(uv_tcp_init(s->loop, &p->tcp), 0);
    p->tcp.data = p;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->tcp), 0);
    if (!s->deaf) {
        uv_read_start((uv_stream_t *)&p->tcp, on_peer_alloc, on_peer_read);
    }
}

static void server_start(struct fake_server *s, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int len = sizeof(address);
    s->loop = loop;
    s->otherwise = (struct fake_reply){OK_REPLY, 0, FAKE_KEEP};
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_init(loop, &s->listener), 0);
    s->listener.data = s;
    assert_int_equal(uv_tcp_bind(&s->listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 64, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&address, &len), 0);
    s->listening = true;
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
}

void fake_reply_bytes(struct fixture *f, const char *bytes, size_t len, enum fake_then then)
{
    struct fake_server *s = &f->server;
    assert_true(s->n_script < FAKE_REQUESTS_MAX);
    s->script[s->n_script++] = (struct fake_reply){bytes, len, then};
}

void fake_reply(struct fixture *f, const char *bytes, enum fake_then then)
{
    fake_reply_bytes(f, bytes, 0, then);
}

void fake_stop_listening(struct fixture *f)
{
    if (f->server.listening) {
        f->server.listening = false;
        uv_close((uv_handle_t *)&f->server.listener, NULL);
    }
}

void fake_hang_up(struct fixture *f, size_t peer)
{
    close_peer(&f->server.peers[peer]);
}

void fake_reset(struct fixture *f, size_t peer)
{
    reset_peer(&f->server.peers[peer]);
}

void fake_listen_again(struct fixture *f)
{
    f->server.deaf = false;
    for (size_t i = 0; i < f->server.n_peers; i++) {
        struct fake_peer *p = &f->server.peers[i];
        if (p->open) {
            uv_read_start((uv_stream_t *)&p->tcp, on_peer_alloc, on_peer_read);
        }
    }
}

void fake_send(struct fixture *f, size_t peer, const char *bytes)
{
    send_bytes(&f->server.peers[peer], bytes, strlen(bytes), FAKE_KEEP);
}

void fake_hole_open(struct fake_hole *h)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    h->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(h->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(h->listener, 0), 0);
    assert_int_equal(getsockname(h->listener, (struct sockaddr *)&address, &len), 0);
    for (size_t i = 0; i < 4; i++) {
        h->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(h->fillers[i], (struct sockaddr *)&address, len);
    }
    snprintf(h->url, sizeof(h->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
}

void fake_hole_close(struct fake_hole *h)
{
    for (size_t i = 0; i < 4; i++) {
        close(h->fillers[i]);
    }
    close(h->listener);
}

/* ---- client ---- */

static void on_upstream_closed(void *user)
{
    struct fixture *f = user;
    assert_false(f->closed);
    f->closed = true;
    f->u = NULL;
}

/* The second close does nothing, and no call begins any more. */
static void close_from_inside(struct fixture *f)
{
    const struct head_request head = {.method = HEAD_METHOD_GET, .path = span_of("/api/v1/power")};
    struct fake_call *call = NULL;
    upstream_close(f->u, on_upstream_closed, f);
    upstream_close(f->u, on_upstream_closed, f);
    assert_int_equal(try_request(f, &head, NULL, &call), ERROR_STATE);
}

static void act(struct fake_call *c, enum fake_act what)
{
    struct upstream_call *call = c->call;
    switch (what) {
    case FAKE_ACT_CANCEL:
        c->call = NULL;
        upstream_cancel(call);
        break;
    case FAKE_ACT_CLOSE: close_from_inside(c->f); break;
    case FAKE_ACT_PAUSE: upstream_pause(call); break;
    case FAKE_ACT_NONE:
    default: break;
    }
}

static void on_handed(void *user)
{
    struct fake_call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_handed + c->n_heads, 0);
    c->n_handed++;
    act(c, c->on_handed);
}

static void on_head(void *user, const struct head_response *head)
{
    struct fake_call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_heads, 0);
    c->n_heads++;
    c->status = head->status;
    c->body_bytes = head->body_bytes;
    c->server_us = head->server_us;
    for (size_t i = 0; i < head->n_fields; i++) {
        size_t len = strlen(c->fields);
        snprintf(c->fields + len, sizeof(c->fields) - len, "[%.*s=%.*s]",
                 (int)head->fields[i].name.len, head->fields[i].name.p,
                 (int)head->fields[i].value.len, head->fields[i].value.p);
    }
    act(c, c->on_head);
}

static void on_data(void *user, const uint8_t *bytes, size_t len)
{
    struct fake_call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_heads, 1);
    assert_true(len > 0);
    append(&c->body, bytes, len);
    act(c, c->on_data);
}

static void on_end(void *user)
{
    struct fake_call *c = user;
    assert_non_null(c->call);
    assert_int_equal(c->n_heads, 1);
    c->call = NULL;
    c->n_ends++;
}

static void on_fail(void *user, enum head_reset reason, enum head_delivered delivered)
{
    struct fake_call *c = user;
    assert_non_null(c->call);
    c->call = NULL;
    c->n_fails++;
    c->reason = reason;
    c->delivered = delivered;
}

void start(struct fixture *f)
{
    struct error_text e;
    if (upstream_new(&f->loop, &f->settings, &f->u, &e) != 0) {
        fail_msg("upstream_new: %s", e.text);
    }
}

int try_request(struct fixture *f, const struct head_request *head, const char *body,
                struct fake_call **call)
{
    static const struct upstream_callbacks CALLBACKS = {on_handed, on_head, on_data, on_end,
                                                        on_fail};
    assert_true(f->n_calls < FAKE_CALLS_MAX);
    struct fake_call *c = &f->calls[f->n_calls];
    c->f = f;
    int rc = upstream_call(f->u, head, body, &CALLBACKS, c, &c->call);
    if (rc == 0) {
        f->n_calls++;
        *call = c;
        assert_int_equal(c->n_handed + c->n_heads + c->n_ends + c->n_fails, 0);
    }
    return rc;
}

struct fake_call *request(struct fixture *f, enum head_method method, const char *target,
                          const struct head_field *fields, size_t n_fields, const char *body,
                          size_t body_len, uint32_t deadline_ms)
{
    struct span rest = span_of(target);
    struct span path = span_cut(&rest, '?');
    struct head_request head = {
        .method = method,
        .has_query = rest.p != NULL,
        .deadline_ms = deadline_ms,
        .body_bytes = (uint32_t)body_len,
        .path = path,
        .query = rest,
        .fields = fields,
        .n_fields = n_fields,
    };
    struct fake_call *call = NULL;
    assert_int_equal(try_request(f, &head, body, &call), 0);
    return call;
}

struct fake_call *get(struct fixture *f, const char *target)
{
    return request(f, HEAD_METHOD_GET, target, NULL, 0, NULL, 0, 0);
}

/* ---- waiting ---- */

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing more happens");
}

#define RUN_UNTIL(f, condition)                                                                    \
    while (!(condition)) {                                                                         \
        uv_run(&(f)->loop, UV_RUN_ONCE);                                                           \
    }

void until_done(struct fake_call *call)
{
    RUN_UNTIL(call->f, call->n_ends + call->n_fails > 0);
}

void until_handed(struct fake_call *call)
{
    RUN_UNTIL(call->f, call->n_handed > 0);
}

void until_data(struct fake_call *call)
{
    RUN_UNTIL(call->f, call->body.len > 0);
}

void until_requests(struct fixture *f, size_t n)
{
    RUN_UNTIL(f, f->server.n_requests >= n);
}

static uint32_t n_open(const struct fixture *f)
{
    struct upstream_stats stats;
    upstream_read_stats(f->u, &stats);
    return stats.n_open;
}

void until_open(struct fixture *f, uint32_t n)
{
    RUN_UNTIL(f, n_open(f) == n);
}

void until_peers(struct fixture *f, size_t n)
{
    RUN_UNTIL(f, f->server.n_peers >= n);
}

void until_end_seen(struct fixture *f, size_t peer)
{
    RUN_UNTIL(f, f->server.peers[peer].saw_end);
}

void until_resolving(struct fixture *f)
{
    /* The thread in which the resolver begins cannot wake this loop. */
    while (!atomic_load(&slow_has_begun)) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

void until_closed(struct fixture *f)
{
    if (f->u != NULL) {
        upstream_close(f->u, on_upstream_closed, f);
    }
    RUN_UNTIL(f, f->closed);
}

void run_turns(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

void expect_answer(const struct fake_call *call, unsigned status, const char *body)
{
    assert_int_equal(call->n_fails, 0);
    assert_int_equal(call->n_ends, 1);
    assert_int_equal(call->n_heads, 1);
    assert_int_equal(call->status, status);
    assert_int_equal(call->body.len, strlen(body));
    assert_true(call->body.len == 0 || memcmp(call->body.p, body, call->body.len) == 0);
}

void expect_failure(const struct fake_call *call, enum head_reset reason,
                    enum head_delivered delivered)
{
    assert_int_equal(call->n_ends, 0);
    assert_int_equal(call->n_fails, 1);
    assert_int_equal(call->reason, reason);
    assert_int_equal(call->delivered, delivered);
}

/* ---- fixture ---- */

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->calls = calloc(FAKE_CALLS_MAX, sizeof(*f->calls));
    assert_non_null(f->calls);
    assert_int_equal(sem_init(&slow_may_go, 0, 0), 0);
    atomic_store(&slow_has_begun, false);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    uv_timer_init(&f->loop, &f->watchdog);
    uv_timer_start(&f->watchdog, on_watchdog, WATCHDOG_MS, 0);
    server_start(&f->server, &f->loop);
    f->settings = (struct upstream_settings){
        .url = f->server.url,
        .auth = UPSTREAM_AUTH_NONE,
        .user = "service",
        .password = "secret",
        .max_connections = MAX_CONNECTIONS,
        .connect_timeout_ms = CONNECT_MS,
        .answer_timeout_ms = ANSWER_MS,
        .feedback_timeout_ms = FEEDBACK_MS,
    };
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->u != NULL || f->closed) {
        until_closed(f);
    }
    fake_stop_listening(f);
    for (size_t i = 0; i < f->server.n_peers; i++) {
        close_peer(&f->server.peers[i]);
    }
    uv_close((uv_handle_t *)&f->watchdog, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    for (size_t i = 0; i < f->server.n_requests; i++) {
        free(f->server.requests[i].text);
    }
    for (size_t i = 0; i < f->n_calls; i++) {
        free_bytes(&f->calls[i].body);
    }
    free(f->calls);
    free(f);
    return 0;
}
