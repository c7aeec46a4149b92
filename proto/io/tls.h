/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts of a server: TLS 1.2 and 1.3, forward secrecy and AEAD only, several certificates
 * chosen by SNI, session tickets, ALPN http/1.1. */
#ifndef PROTO_IO_TLS_H
#define PROTO_IO_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* Certificates of one listener. */
#define TLS_CERTIFICATES_MAX 32

struct tls_pair {
    const char *certificate; /* PEM file, leaf first, then its chain */
    const char *private_key; /* PEM file */
};

struct tickets;
struct tls_server;

/* Reads all files and checks that each key belongs to its certificate and that it is valid now (an
 * expired one is told by a warning in the log, not refused). The first pair answers clients that
 * name no host, or one that no certificate has. `tickets` (NULL: keys of its own) lets
 * several contexts (workers, reloads) take each other's tickets; borrowed. ERROR_CONFIG with a
 * sentence that names the file, ERROR_NOMEM. */
int tls_server_new(const struct tls_pair *pairs, size_t n_pairs, struct tickets *tickets,
                   struct tls_server **server, struct error_text *e);

/* Connections that were made with it keep what they need. NULL is allowed. */
void tls_server_free(struct tls_server *s);

/* To make connections with; borrowed. */
SSL_CTX *tls_server_context(const struct tls_server *s);

/* Earliest end of validity of all certificates, seconds since 1970. */
int64_t tls_server_expires_s(const struct tls_server *s);

#endif
