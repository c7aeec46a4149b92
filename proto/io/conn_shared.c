/* SPDX-License-Identifier: Apache-2.0 */
/* What all connections of a loop share: the buffers, and the BIO between them and OpenSSL. */
#include "proto/io/conn_shared.h"

#include <string.h>

#include "proto/base/error.h"

static int bio_read(BIO *bio, char *bytes, int len)
{
    struct conn_shared *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = (size_t)len < s->in_len ? (size_t)len : s->in_len;
    memcpy(bytes, s->in, n);
    s->in += n;
    s->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct conn_shared *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    s->out_error = buffer_append(&s->out, bytes, (size_t)len);
    return s->out_error < 0 ? -1 : len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

int conn_shared_init(struct conn_shared *s, uv_loop_t *loop, struct wheel *wheel)
{
    s->loop = loop;
    s->wheel = wheel;
    s->in = NULL;
    s->in_len = 0;
    s->out_error = 0;
    buffer_init(&s->out, 2 * CONN_PENDING_BYTES_MAX);
    s->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop buffers");
    if (s->method == NULL) {
        return ERROR_NOMEM;
    }
    BIO_meth_set_read(s->method, bio_read);
    BIO_meth_set_write(s->method, bio_write);
    BIO_meth_set_ctrl(s->method, bio_ctrl);
    return 0;
}

void conn_shared_close(struct conn_shared *s)
{
    BIO_meth_free(s->method);
    s->method = NULL;
    buffer_close(&s->out);
}
