/* SPDX-License-Identifier: Apache-2.0 */
/* What all connections of one loop share (conn.h): the buffers that one recv(2) or send(2) goes
 * through, and the BIO that OpenSSL sees them by. */
#ifndef PROTO_IO_CONN_SHARED_H
#define PROTO_IO_CONN_SHARED_H

#include <openssl/bio.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/buffer.h"
#include "proto/io/wheel.h"

/* One recv(2), and the plaintext of one. */
#define CONN_READ_BYTES 65536
/* Bytes that may wait for the kernel; more closes the connection (a bug of the producer). */
#define CONN_PENDING_BYTES_MAX ((size_t)1024 * 1024)

/* Filled and emptied by conn.c. */
struct conn_shared {
    uv_loop_t *loop;     /* borrowed */
    struct wheel *wheel; /* borrowed */
    BIO_METHOD *method;  /* owned */
    const uint8_t *in;   /* ciphertext that the BIO reads next */
    size_t in_len;
    struct buffer out; /* ciphertext that the BIO wrote */
    int out_error;     /* why it could not */
    uint8_t read_bytes[CONN_READ_BYTES];
    /* One read's plaintext, and two records that OpenSSL may still have held. */
    uint8_t plain_bytes[CONN_READ_BYTES + 2 * 16384];
};

/* Returns 0 or ERROR_NOMEM. */
int conn_shared_init(struct conn_shared *s, uv_loop_t *loop, struct wheel *wheel);
/* All connections must be closed. */
void conn_shared_close(struct conn_shared *s);

#endif
