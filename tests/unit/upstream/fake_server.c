/* SPDX-License-Identifier: Apache-2.0 */
/* The misbehaving server, and the resolver. */
#include "tests/unit/upstream/fake_server.h"

#include <netdb.h>
#include <netinet/tcp.h>
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

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

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
    if (b->len + len > b->cap) {
        b->cap = 2 * (b->len + len);
        b->p = realloc(b->p, b->cap);
        assert_non_null(b->p);
    }
    memcpy(b->p + b->len, bytes, len);
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
    *b = (struct fake_bytes){NULL, 0, 0};
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

/* netdb.h gives the parameters names that are not for us. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
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
    } else if (strcmp(name, FAKE_NAME_NOWHERE) == 0) {
        *list = new_address("224.0.0.1", service, new_address("127.0.0.1", service, NULL));
    } else {
        return EAI_NONAME;
    }
    return 0;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
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

bool fake_is_resolving(void)
{
    return atomic_load(&slow_has_begun);
}

const char *fake_url(const struct fake_server *s, const char *name)
{
    static char url[64];
    (void)snprintf(url, sizeof(url), "http://%s%s", name, strrchr(s->url, ':'));
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

void fake_server_start(struct fake_server *s, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int len = sizeof(address);
    assert_int_equal(sem_init(&slow_may_go, 0, 0), 0);
    atomic_store(&slow_has_begun, false);
    s->loop = loop;
    s->otherwise = (struct fake_reply){OK_REPLY, 0, FAKE_KEEP};
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_init(loop, &s->listener), 0);
    s->listener.data = s;
    assert_int_equal(uv_tcp_bind(&s->listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&s->listener, 64, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&address, &len), 0);
    s->listening = true;
    (void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
}

void fake_reply_bytes(struct fake_server *s, const char *bytes, size_t len, enum fake_then then)
{
    assert_true(s->n_script < FAKE_REQUESTS_MAX);
    s->script[s->n_script++] = (struct fake_reply){bytes, len, then};
}

void fake_reply(struct fake_server *s, const char *bytes, enum fake_then then)
{
    fake_reply_bytes(s, bytes, 0, then);
}

void fake_stop_listening(struct fake_server *s)
{
    if (s->listening) {
        s->listening = false;
        uv_close((uv_handle_t *)&s->listener, NULL);
    }
}

void fake_hang_up(struct fake_server *s, size_t peer)
{
    close_peer(&s->peers[peer]);
}

void fake_reset(struct fake_server *s, size_t peer)
{
    reset_peer(&s->peers[peer]);
}

void fake_listen_again(struct fake_server *s)
{
    s->deaf = false;
    for (size_t i = 0; i < s->n_peers; i++) {
        struct fake_peer *p = &s->peers[i];
        if (p->open) {
            uv_read_start((uv_stream_t *)&p->tcp, on_peer_alloc, on_peer_read);
        }
    }
}

void fake_send(struct fake_server *s, size_t peer, const char *bytes)
{
    send_bytes(&s->peers[peer], bytes, strlen(bytes), FAKE_KEEP);
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
    (void)snprintf(h->url, sizeof(h->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
}

void fake_hole_close(struct fake_hole *h)
{
    for (size_t i = 0; i < 4; i++) {
        close(h->fillers[i]);
    }
    close(h->listener);
}

void fake_be_deaf(struct fake_server *s)
{
    int bytes = 4096;
    int mss = 536;
    int fd = -1;
    s->deaf = true;
    /* A small window, and small segments, by which Linux sizes the sender's buffer. */
    assert_int_equal(uv_recv_buffer_size((uv_handle_t *)&s->listener, &bytes), 0);
    assert_int_equal(uv_fileno((uv_handle_t *)&s->listener, &fd), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss)), 0);
}

void fake_server_close(struct fake_server *s)
{
    fake_stop_listening(s);
    for (size_t i = 0; i < s->n_peers; i++) {
        close_peer(&s->peers[i]);
    }
}

void fake_server_free(struct fake_server *s)
{
    for (size_t i = 0; i < s->n_requests; i++) {
        free(s->requests[i].text);
    }
}
