/* SPDX-License-Identifier: Apache-2.0 */
/* Private to proto/io: what conn.c (life and reading) and conn_write.c share. */
#ifndef PROTO_IO_CONN_INTERNAL_H
#define PROTO_IO_CONN_INTERNAL_H

#include "proto/io/conn.h"

/* Has libuv wait for what is of use now: after every change of `paused`, `read_ended`, `pending` or
 * the state. */
void conn_update_poll(struct conn *c);

/* Something waits, and the kernel takes more. */
void conn_send_pending(struct conn *c);

/* Closes now; on_closed follows. Idempotent. */
void conn_close_handle(struct conn *c);

/* No more will be read: tells the owner, once. */
void conn_end_reading(struct conn *c, enum conn_end end);

/* The peer takes nothing any more. */
void conn_lose_peer(struct conn *c);

/* Sends what OpenSSL has put into the shared buffer. 0, ERROR_CLOSED, ERROR_LIMIT, ERROR_NOMEM. */
int conn_flush_tls(struct conn *c);

/* All has left: FIN, then waits for the peer's or for the linger deadline. */
void conn_send_fin(struct conn *c);

#endif
