/* SPDX-License-Identifier: Apache-2.0 */
/* The message queue into a worker: the only way in which threads of the relay touch each other's
 * work. Messages are values; what they carry is copied and belongs to them. Any thread may post;
 * the worker takes them in the order in which each poster posted. */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/span.h"
#include "proto/wire/head.h"
#include "relay/ref.h"

enum link_kind {
    /* towards the worker of the tunnel */
    LINK_REQUEST,  /* open a stream: server, exchange, request head and body packed in bytes */
    LINK_RESET,    /* tunnel, stream, reason */
    LINK_CONSUMED, /* tunnel, stream, number: credit for so many bytes */
    /* towards the worker of the client */
    LINK_OPENED, /* exchange, tunnel, stream */
    LINK_HANDED, /* exchange */
    LINK_HEAD,   /* exchange, end, response head packed in bytes */
    LINK_DATA,   /* exchange, tunnel, stream, end, bytes */
    LINK_FAILED, /* exchange, reason, delivered */
    /* to every worker */
    LINK_TUNNEL_UP,   /* server, tunnel */
    LINK_TUNNEL_DOWN, /* server, tunnel */
    LINK_SERVER,      /* server was changed: is its tunnel still allowed? */
    LINK_CONTROL,     /* tunnel, stream (= call id), number (= status), bytes: a reply */
    LINK_ADMIN,       /* number: an operation of the pages has come back from the store */
    LINK_RELOAD,      /* new settings and certificates are in place */
    LINK_DRAIN,       /* take nothing new, finish what is in flight */
    LINK_STOP         /* end now */
};

struct link_message {
    struct link_message *next;
    enum link_kind kind;
    bool end;
    uint16_t reason;   /* enum head_reset */
    uint8_t delivered; /* enum head_delivered */
    uint32_t stream;
    int64_t server;
    exchange_ref exchange;
    tunnel_ref tunnel;
    uint64_t number;
    size_t len;
    uint8_t bytes[]; /* payload */
};

struct link {
    uv_async_t async;
    _Atomic(struct link_message *) top; /* newest first */
    void (*on_message)(void *user, const struct link_message *m);
    void (*on_batch_end)(void *user);
    void *user;
};

/* On the worker's loop. `on_message` gets each message, `on_batch_end` follows the last of those
 * that were there. 0 or ERROR_INTERNAL. */
int link_open(struct link *l, uv_loop_t *loop,
              void (*on_message)(void *user, const struct link_message *m),
              void (*on_batch_end)(void *user), void *user);

/* Closes the handle; messages that still wait are freed in its close callback. */
void link_close(struct link *l);

/* Frees what was posted after that. Nobody posts any more. */
void link_free_rest(struct link *l);

/* A zeroed message with room for `len` bytes of payload, or NULL. */
struct link_message *link_message_new(enum link_kind kind, size_t len);

/* Takes the message. Any thread, as long as the link is open. */
void link_post(struct link *l, struct link_message *m);

#endif
