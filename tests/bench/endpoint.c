/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting and one call. */
#include "tests/bench/endpoint.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/span.h"

/* Of an answer to a benchmark. */
#define ANSWER_BYTES_MAX 16384
#define SOURCES          250

void endpoint_die(const char *what)
{
    perror(what);
    exit(1);
}

unsigned endpoint_number(const char *text, unsigned max)
{
    uint64_t n = 0;
    if (span_parse_u64(span_of(text), max, &n) != 0) {
        (void)fprintf(stderr, "%s: not a number up to %u\n", text, max);
        exit(2);
    }
    return (unsigned)n;
}

static int accept_all(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

SSL_CTX *endpoint_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) {
        endpoint_die("SSL_CTX_new");
    }
    SSL_CTX_set_cert_verify_callback(ctx, accept_all, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

static int connect_socket(uint16_t port, unsigned number)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in from = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / ENDPOINT_PER_ADDRESS % SOURCES),
    };
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(port),
    };
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
        connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
        endpoint_die("connect");
    }
    return fd;
}

SSL *endpoint_open(SSL_CTX *ctx, uint16_t port, unsigned number)
{
    int fd = connect_socket(port, number);
    SSL *ssl = SSL_new(ctx);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
        endpoint_die("handshake");
    }
    return ssl;
}

void endpoint_close(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    (void)SSL_shutdown(ssl); /* the peer may be gone already */
    SSL_free(ssl);
    close(fd);
}

/* Bytes of the whole answer, 0 while its head is not complete. */
static size_t answer_bytes(char *text, size_t len)
{
    text[len] = '\0';
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *field = strcasestr(text, "\r\nContent-Length: ");
    size_t body = field != NULL && field < end ? strtoul(field + 18, NULL, 10) : 0;
    return (size_t)(end + 4 - text) + body;
}

unsigned endpoint_call(SSL *ssl, const char *request, uint8_t *extra, size_t cap, size_t *n_extra)
{
    char text[ANSWER_BYTES_MAX + 1];
    size_t len = 0;
    size_t wanted = 0;
    if (SSL_write(ssl, request, (int)strlen(request)) <= 0) {
        endpoint_die("write");
    }
    while (wanted == 0 || len < wanted) {
        int n =
            len < ANSWER_BYTES_MAX ? SSL_read(ssl, text + len, (int)(ANSWER_BYTES_MAX - len)) : 0;
        if (n <= 0) {
            endpoint_die("no whole answer");
        }
        len += (size_t)n;
        wanted = answer_bytes(text, len);
    }
    if (len - wanted > cap) {
        endpoint_die("too much behind an answer");
    }
    if (len > wanted) {
        memcpy(extra, text + wanted, len - wanted);
    }
    *n_extra = len - wanted;
    return (unsigned)strtoul(text + strlen("HTTP/1.1 "), NULL, 10);
}
