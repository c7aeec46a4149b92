/* SPDX-License-Identifier: Apache-2.0 */
/* Many agents in one process: each an authenticated tunnel with the product's own mux in it, which
 * answers every request at once with 120 bytes.
 *
 *   bench_agents PORT FILE   opens a tunnel for each line "SERIAL TOKEN" of FILE, says "up", and
 *                            keeps them alive until its input ends
 *
 * Tunnels are opened one after another by blocking calls; between two of them, those that are open
 * are served. Messages are masked with the key 0, which is a mask like any other (RFC 6455 5.3). */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/wire/mux.h"
#include "tests/bench/endpoint.h"

#define AGENTS_MAX  100000
#define EVENTS      256
#define TICK_MS     1000
#define ANSWER_BODY 120

/* Of a websocket frame: two bytes, and up to eight of length. */
#define HEADER_BYTES_MAX 10

struct agent {
    SSL *ssl;
    struct mux *mux;
    uint8_t header[HEADER_BYTES_MAX]; /* of the frame that begins */
    size_t header_len;
    uint64_t left; /* payload of the frame still to come */
    bool in_frame;
};

static struct agent *agents;
static size_t n_agents;
static uint8_t plain[65536];

/* ---- answering ---- */

static void on_request(void *user, uint32_t stream, const struct head_request *head, bool end,
                       void **stream_user)
{
    static const struct head_field type = {{"Content-Type", 12}, {"application/json", 16}};
    static const uint8_t body[ANSWER_BODY] = {'{', '}'};
    const struct agent *a = user;
    struct head_response answer = {
        .status = 200, .body_bytes = ANSWER_BODY, .fields = &type, .n_fields = 1};
    (void)head;
    *stream_user = NULL;
    if (!end || mux_respond(a->mux, stream, &answer, false) != 0 ||
        mux_send_data(a->mux, stream, body, sizeof(body), true) != 0) {
        endpoint_die("cannot answer");
    }
}

static void on_goaway(void *user, enum head_goaway reason, uint32_t retry_after_ms)
{
    (void)user;
    (void)reason;
    (void)retry_after_ms;
    endpoint_die("the relay sends an agent away");
}

/* ---- messages ---- */

static void send_all(const struct agent *a)
{
    static uint8_t message[8 + FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX];
    while (mux_wants_send(a->mux)) {
        size_t len = mux_pull(a->mux, message + 8, sizeof(message) - 8, clock_now_ms());
        uint8_t *start = len < 126 ? message + 2 : message;
        if (len == 0) {
            return;
        }
        memset(message, 0, 8);
        start[0] = 0x82; /* FIN, binary */
        start[1] = 0x80 | (uint8_t)(len < 126 ? len : 126);
        if (len >= 126) {
            start[2] = (uint8_t)(len >> 8);
            start[3] = (uint8_t)len;
        }
        size_t total = (size_t)(message + 8 - start) + len;
        if (SSL_write(a->ssl, start, (int)total) != (int)total) {
            endpoint_die("a tunnel takes no more");
        }
    }
}

/* Bytes that a frame's header has, as far as it is known. */
static size_t header_bytes(const uint8_t *header)
{
    uint8_t len = header[1] & 0x7f;
    return len < 126 ? 2 : len == 126 ? 4 : 10;
}

static uint64_t payload_bytes(const uint8_t *header)
{
    uint64_t len = header[1] & 0x7f;
    size_t n = header_bytes(header) - 2;
    for (size_t i = 0; i < n; i++) {
        len = (i == 0 ? 0 : len << 8) | header[2 + i];
    }
    return len;
}

/* Takes what belongs to the header of a frame; the number of bytes. */
static size_t take_header(struct agent *a, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    while (at < len && (a->header_len < 2 || a->header_len < header_bytes(a->header))) {
        a->header[a->header_len++] = bytes[at++];
    }
    if (a->header_len >= 2 && a->header_len == header_bytes(a->header)) {
        if (a->header[0] != 0x82) {
            endpoint_die("not a whole binary message");
        }
        a->left = payload_bytes(a->header);
        a->header_len = 0;
        a->in_frame = true;
    }
    return at;
}

static void take_payload(struct agent *a, const uint8_t *bytes, size_t len)
{
    a->left -= len;
    if (mux_recv(a->mux, bytes, len, clock_now_ms()) != 0) {
        endpoint_die(mux_fault_name(mux_fault(a->mux)));
    }
}

static void feed(struct agent *a, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t n = a->left < len ? (size_t)a->left : len;
        if (a->in_frame) {
            take_payload(a, bytes, n);
        } else {
            n = take_header(a, bytes, len);
        }
        bytes += n;
        len -= n;
        if (a->in_frame && a->left == 0) {
            a->in_frame = false;
            (void)mux_recv_end(a->mux, clock_now_ms());
        }
    }
    send_all(a);
}

static void serve(struct agent *a)
{
    for (;;) {
        ERR_clear_error();
        int n = SSL_read(a->ssl, plain, sizeof(plain));
        if (n > 0) {
            feed(a, plain, (size_t)n);
        } else if (SSL_get_error(a->ssl, n) == SSL_ERROR_WANT_READ) {
            return;
        } else {
            endpoint_die("a tunnel was closed");
        }
    }
}

/* ---- opening ---- */

static void write_upgrade(char *text, size_t cap, const char *serial, const char *token)
{
    char pair[192];
    unsigned char encoded[260];
    int len = snprintf(pair, sizeof(pair), "%s:%s", serial, token);
    EVP_EncodeBlock(encoded, (const unsigned char *)pair, len);
    len = snprintf(text, cap,
                   "GET /tunnel HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                   "Sec-WebSocket-Protocol: thinknx-tunnel.v1\r\n"
                   "Authorization: Basic %s\r\n\r\n",
                   (const char *)encoded);
    if (len < 0 || (size_t)len >= cap) {
        endpoint_die("serial or token");
    }
}

static void open_agent(SSL_CTX *ctx, uint16_t port, const char *serial, const char *token, int poll)
{
    static const struct mux_events events = {.on_request = on_request, .on_goaway = on_goaway};
    struct mux_settings settings = mux_default_settings(MUX_AGENT, "bench_agents");
    struct agent *a = &agents[n_agents];
    char upgrade[1024];
    uint8_t extra[4096];
    size_t n_extra = 0;

    write_upgrade(upgrade, sizeof(upgrade), serial, token);
    a->mux = mux_new(&settings, &events, a, clock_now_ms());
    a->ssl = endpoint_open(ctx, port, (unsigned)n_agents);
    if (a->mux == NULL || endpoint_call(a->ssl, upgrade, extra, sizeof(extra), &n_extra) != 101) {
        endpoint_die("a tunnel was refused");
    }
    int fd = SSL_get_fd(a->ssl);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = n_agents};
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0) {
        endpoint_die("epoll");
    }
    n_agents++;
    feed(a, extra, n_extra);
}

/* ---- the loop ---- */

static void tick_all(void)
{
    static uint64_t due_ms;
    uint64_t now_ms = clock_now_ms();
    if (now_ms < due_ms) {
        return;
    }
    due_ms = now_ms + TICK_MS;
    for (size_t i = 0; i < n_agents; i++) {
        if (mux_tick(agents[i].mux, now_ms) != 0) {
            endpoint_die("the relay is silent");
        }
        send_all(&agents[i]);
    }
}

/* False when the input has ended. */
static bool turn(int poll, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(poll, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == UINT64_MAX) {
            return false;
        }
        serve(&agents[events[i].data.u64]);
    }
    tick_all();
    return n >= 0 || errno == EINTR;
}

static void open_all(FILE *file, uint16_t port, int poll)
{
    SSL_CTX *ctx = endpoint_context();
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) {
        size_t serial_len = strcspn(line, " ");
        if (line[serial_len] == '\0' || n_agents == AGENTS_MAX) {
            endpoint_die("lines must be SERIAL TOKEN, and not too many");
        }
        line[serial_len] = '\0';
        char *token = line + serial_len + 1;
        token[strcspn(token, "\n")] = '\0';
        open_agent(ctx, port, line, token, poll);
        (void)turn(poll, 0);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event ended = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    int poll = epoll_create1(EPOLL_CLOEXEC);
    FILE *file = argc == 3 ? fopen(argv[2], "re") : NULL;

    if (file == NULL) {
        (void)fputs("usage: bench_agents PORT FILE\n", stderr);
        return 2;
    }
    agents = calloc(AGENTS_MAX, sizeof(*agents));
    if (poll < 0 || agents == NULL) {
        endpoint_die("no memory");
    }
    open_all(file, (uint16_t)endpoint_number(argv[1], UINT16_MAX), poll);
    (void)fclose(file); /* was only read */
    (void)puts("up");
    (void)fflush(stdout);
    (void)epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &ended);
    while (turn(poll, TICK_MS)) {
    }
    return 0;
}
