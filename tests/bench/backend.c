/* SPDX-License-Identifier: Apache-2.0 */
/* The backend of a benchmark: answers each request of a kept connection with the same JSON, as
 * lightly as HTTP can be answered, since it shares a core with the load, and that core must not be
 * what the peers wait for.
 *
 *   bench_backend PORT BODY     listens on 127.0.0.1:PORT, 0 = a free one, and says which
 *
 * To GET /nginx-counts it says how many requests it has answered, as nginx's stub_status does. */
#include <errno.h>
#include <llhttp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/endpoint.h"

#define EVENTS_MAX   256
#define BACKLOG      4096
#define READ_BYTES   65536
#define ANSWER_BYTES 1024
#define COUNTS_PATH  "/nginx-counts"

/* nginx answers with the same fields. */
#define HEAD                                                                                       \
    "HTTP/1.1 200 OK\r\nServer: bench_backend\r\nDate: %s\r\nContent-Type: application/json\r\n"   \
    "Content-Length: %zu\r\nConnection: keep-alive\r\n\r\n%s"

struct client {
    int fd;
    llhttp_t parser;
    char path[sizeof(COUNTS_PATH)]; /* the beginning of the current request's */
    size_t path_len;
};

static llhttp_settings_t settings;
static const char *body;
static unsigned long n_answered;

static int on_begin(llhttp_t *parser)
{
    ((struct client *)parser->data)->path_len = 0;
    return 0;
}

static int on_url(llhttp_t *parser, const char *p, size_t len)
{
    struct client *c = parser->data;
    size_t room = sizeof(c->path) - c->path_len;
    size_t n = len < room ? len : room;
    memcpy(c->path + c->path_len, p, n);
    c->path_len += n;
    return 0;
}

static const char *http_date(time_t now)
{
    static char date[sizeof("Mon, 30 Nov 2026 12:00:00 GMT")];
    struct tm tm;
    if (gmtime_r(&now, &tm) != NULL) {
        (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return date;
}

/* Made once a second. */
static size_t usual_answer(const char **text)
{
    static char answer[ANSWER_BYTES];
    static size_t len;
    static time_t last;
    time_t now = time(NULL);
    if (now != last) {
        len = (size_t)snprintf(answer, sizeof(answer), HEAD, http_date(now), strlen(body), body);
        last = now;
    }
    *text = answer;
    return len;
}

static size_t counts_answer(const char **text)
{
    static char answer[ANSWER_BYTES];
    char counts[256];
    int len = snprintf(counts, sizeof(counts),
                       "Active connections: 1 \nserver accepts handled requests\n 1 1 %lu \n"
                       "Reading: 0 Writing: 1 Waiting: 0 \n",
                       n_answered);
    *text = answer;
    return (size_t)snprintf(answer, sizeof(answer), HEAD, http_date(time(NULL)), (size_t)len,
                            counts);
}

/* An answer is far smaller than the socket's buffer: one call takes it. */
static int on_complete(llhttp_t *parser)
{
    struct client *c = parser->data;
    const char *text = NULL;
    n_answered++;
    bool is_question = c->path_len == sizeof(COUNTS_PATH) - 1 &&
                       memcmp(c->path, COUNTS_PATH, sizeof(COUNTS_PATH) - 1) == 0;
    size_t len = is_question ? counts_answer(&text) : usual_answer(&text);
    return send(c->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

static void serve(struct client *c)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    if (n > 0 && llhttp_execute(&c->parser, bytes, (size_t)n) == HPE_OK) {
        return;
    }
    (void)close(c->fd);
    free(c);
}

static void take_client(int epoll_fd, int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct client *c = calloc(1, sizeof(*c));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (c == NULL || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        endpoint_die("a client");
    }
    c->fd = fd;
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
}

static int listen_on(uint16_t port)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0) {
        endpoint_die("listen");
    }
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        endpoint_die("getsockname");
    }
    (void)printf("%u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_MAX];
    if (argc != 3 || strlen(argv[2]) > ANSWER_BYTES / 2) {
        (void)fputs("usage: bench_backend PORT BODY\n", stderr);
        return 2;
    }
    body = argv[2];
    llhttp_settings_init(&settings);
    settings.on_message_begin = on_begin;
    settings.on_url = on_url;
    settings.on_message_complete = on_complete;
    int listener = listen_on((uint16_t)endpoint_number(argv[1], UINT16_MAX));
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening) != 0) {
        endpoint_die("epoll");
    }
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR) {
            endpoint_die("epoll_wait");
        }
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                take_client(epoll_fd, listener);
            } else {
                serve(events[i].data.ptr);
            }
        }
    }
}
