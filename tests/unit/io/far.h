/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the far end of a connection (ends.h): a bare socket, and OpenSSL over memory. */
#ifndef TESTS_UNIT_IO_FAR_H
#define TESTS_UNIT_IO_FAR_H

#include <openssl/ssl.h>
#include <stddef.h>

struct ends;

/* Makes it a TLS client, which says nothing yet. */
void far_start_tls(struct ends *e, SSL_CTX *ctx);

/* One recv(2), and what follows from it. */
void far_read(struct ends *e);

void far_send(struct ends *e, const void *bytes, size_t len);
/* Encrypts, if it has TLS, but keeps it until the next far_send or far_flush. */
void far_hold(struct ends *e, const void *bytes, size_t len);
void far_flush(struct ends *e);
/* As it is, past TLS. */
void far_send_raw(struct ends *e, const void *bytes, size_t len);
/* Will send no more, and says so (close_notify with TLS; FIN without). */
void far_end(struct ends *e);
void far_fin(struct ends *e);
void far_reset(struct ends *e);
void far_close(struct ends *e);

#endif
