/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that TLS session tickets are sealed with, shared by all contexts of a process (workers,
 * reloads). Who has a key can read what was resumed by its tickets, so it is replaced now and then:
 * a ticket of the key before is still taken, and replaced by a new one. Any thread. */
#ifndef PROTO_IO_TICKETS_H
#define PROTO_IO_TICKETS_H

#include <openssl/ssl.h>

struct tickets;

/* With a first random key. ERROR_NOMEM, ERROR_INTERNAL (no randomness). */
int tickets_new(struct tickets **tickets);

/* Cleanses the keys. No connection of a context that uses them may be left. NULL is allowed. */
void tickets_free(struct tickets *t);

/* A new key from here on; the one before the current one is forgotten. 0, or ERROR_INTERNAL: all
 * stays as it was. */
int tickets_rotate(struct tickets *t);

/* The context seals and opens its tickets with them; borrowed. 0 or ERROR_NOMEM. */
int tickets_use(struct tickets *t, SSL_CTX *ctx);

#endif
