/* SPDX-License-Identifier: Apache-2.0 */
/* HTTPS clients that wrk cannot play.
 *
 *   bench_clients open PORT PATH THREADS SECONDS   each thread opens a connection with a full
 *       handshake, makes one call, closes, and begins again, until the time is over or SIGINT
 *       comes, as with wrk; prints the figures as wrk.lua does
 *   bench_clients keep PORT PATH N                 opens N connections, makes one call on each,
 *       says "kept", and keeps them open until its input ends */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "tests/bench/endpoint.h"

#define THREADS_MAX 256
#define CLIENTS_MAX 100000

struct plan {
    SSL_CTX *ctx;
    uint16_t port;
    char kept_request[1024];
    char last_request[1024];
    uint64_t end_us;
    _Atomic unsigned n_opened;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static void call(SSL *ssl, const char *request)
{
    size_t n_extra = 0;
    if (endpoint_call(ssl, request, NULL, 0, &n_extra) != 200) {
        endpoint_die("status is not 200");
    }
}

static void *open_and_close(void *arg)
{
    struct plan *p = arg;
    while (clock_now_us() < p->end_us && !interrupted) {
        SSL *ssl = endpoint_open(p->ctx, p->port, atomic_fetch_add(&p->n_opened, 1));
        call(ssl, p->last_request);
        endpoint_close(ssl);
    }
    return NULL;
}

static int run_open(struct plan *p, unsigned n_threads, unsigned seconds)
{
    pthread_t threads[THREADS_MAX];
    struct sigaction interrupt = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    (void)sigaction(SIGINT, &interrupt, NULL);
    uint64_t start_us = clock_now_us();
    p->end_us = start_us + seconds * UINT64_C(1000000);
    for (unsigned i = 0; i < n_threads; i++) {
        if (pthread_create(&threads[i], NULL, open_and_close, p) != 0) {
            endpoint_die("pthread_create");
        }
    }
    for (unsigned i = 0; i < n_threads; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)printf("{\"requests\":%u,\"us\":%llu,\"failed\":0}\n", p->n_opened,
                 (unsigned long long)(clock_now_us() - start_us));
    return 0;
}

static int run_keep(struct plan *p, unsigned n)
{
    SSL **kept = calloc(n, sizeof(SSL *));
    char byte = 0;
    if (kept == NULL) {
        endpoint_die("calloc");
    }
    for (unsigned i = 0; i < n; i++) {
        kept[i] = endpoint_open(p->ctx, p->port, i);
        call(kept[i], p->kept_request);
    }
    (void)puts("kept");
    (void)fflush(stdout);
    (void)!read(STDIN_FILENO, &byte, 1); /* its end is what is waited for */
    for (unsigned i = 0; i < n; i++) {
        endpoint_close(kept[i]);
    }
    free(kept);
    return 0;
}

static void write_requests(struct plan *p, const char *path)
{
    static const char text[] = "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n";
    int kept = snprintf(p->kept_request, sizeof(p->kept_request), text, path, "");
    int last =
        snprintf(p->last_request, sizeof(p->last_request), text, path, "Connection: close\r\n");
    if (kept < 0 || last < 0 || (size_t)last >= sizeof(p->last_request)) {
        endpoint_die("path");
    }
}

int main(int argc, char **argv)
{
    static struct plan p;
    if (argc < 5) {
        (void)fputs("usage: bench_clients open PORT PATH THREADS SECONDS\n"
                    "       bench_clients keep PORT PATH N\n",
                    stderr);
        return 2;
    }
    p.ctx = endpoint_context();
    p.port = (uint16_t)endpoint_number(argv[2], UINT16_MAX);
    write_requests(&p, argv[3]);
    if (argc == 6 && strcmp(argv[1], "open") == 0) {
        return run_open(&p, endpoint_number(argv[4], THREADS_MAX), endpoint_number(argv[5], 3600));
    }
    return run_keep(&p, endpoint_number(argv[4], CLIENTS_MAX));
}
