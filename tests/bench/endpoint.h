/* SPDX-License-Identifier: Apache-2.0 */
/* The TLS client of the load tools: blocking, on loopback, from a changing source address, so that
 * neither ports nor a limit per address run out. Certificates are not checked: that would measure
 * the tool. Ends the program with a sentence when something fails. Any thread. */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

/* Connections per source address, 127.0.0.2 and up; below the relay's default limit of 1000. */
#define ENDPOINT_PER_ADDRESS 500

_Noreturn void endpoint_die(const char *what);

/* TLS 1.3 without tickets and without buffers on idle connections. */
SSL_CTX *endpoint_context(void);

/* The `number`th connection to 127.0.0.1:port, its handshake done. The caller closes it. */
SSL *endpoint_open(SSL_CTX *ctx, uint16_t port, unsigned number);

/* Frees it and closes its socket. */
void endpoint_close(SSL *ssl);

/* Sends `request` and reads until the answer's head is complete and, if it has a Content-Length,
 * its body too. Returns the status; `extra` gets what came behind the answer, at most `cap` bytes
 * (more is a failure), `*n_extra` their number. */
unsigned endpoint_call(SSL *ssl, const char *request, uint8_t *extra, size_t cap, size_t *n_extra);

/* A decimal number up to `max`, or the end of the program. */
unsigned endpoint_number(const char *text, unsigned max);

#endif
