/* SPDX-License-Identifier: Apache-2.0 */
/* The open streams of one mux: look-up by id in O(1), order of opening, and a few spare objects so
 * that a busy tunnel does not allocate for each request. Private to proto/wire. */
#ifndef PROTO_WIRE_MUX_STREAMS_H
#define PROTO_WIRE_MUX_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "proto/base/list.h"

/* Ended stream objects kept for the next ones until a tick finds none open, and the largest queue
 * memory kept with each (a usual request head fits). */
#define MUX_STREAMS_SPARE_MAX   256
#define MUX_STREAMS_SPARE_BYTES 1024

/* How far the request and its answer have come (PROTOCOL.md 5). */
enum mux_stage {
    MUX_STAGE_QUEUED,  /* relay: REQUEST was never pulled */
    MUX_STAGE_OPEN,    /* the agent has it, or it is on its way there */
    MUX_STAGE_HANDED,  /* the server has been given it */
    MUX_STAGE_ANSWERED /* RESPONSE has been packed (agent) or has come (relay) */
};

struct mux_stream {
    struct list open;   /* on streams.open */
    struct list send;   /* on mux.requests or on mux.ring, or alone */
    struct list handed; /* agent: on mux.handed while HANDED is owed */
    struct list due;    /* on mux.due while on_room or on_done waits for mux_pull */
    void *user;
    struct buffer queue;    /* relay: REQUEST frame, then body. agent: body */
    uint64_t handed_due_ms; /* agent: when HANDED is to be sent */
    int64_t body_left;      /* bytes of the peer's body still to come; -1 = not known */
    uint32_t id;
    uint32_t head_bytes;    /* relay: length of the REQUEST frame at the start of the queue */
    uint32_t send_credit;   /* body bytes the peer takes */
    uint32_t recv_credit;   /* body bytes we have promised to take */
    uint32_t recv_consumed; /* bytes gone, for which no WINDOW has been sent yet */
    uint8_t stage;          /* enum mux_stage */
    bool bodiless;          /* relay: a HEAD request, its answer has no body */
    bool end_queued;        /* our half ends with the last byte of the queue */
    bool end_sent;          /* our half has ended */
    bool end_recv;          /* the peer's half has ended */
};

struct mux_streams {
    struct mux_stream **slots; /* owned; open addressing with linear probing */
    size_t n_slots;            /* power of two, or 0 */
    unsigned shift;            /* 32 - log2(n_slots) */
    size_t n_open;
    struct list open; /* oldest first */
    struct list spare;
    size_t n_spare;
};

/* No allocation until the first stream. */
void mux_streams_init(struct mux_streams *t);

/* Frees all streams and the table. */
void mux_streams_close(struct mux_streams *t);

/* The stream, or NULL. */
struct mux_stream *mux_streams_find(const struct mux_streams *t, uint32_t id);

/* A zeroed stream with this id, which must be greater than all before; its queue holds at most
 * `queue_max` bytes. NULL when out of memory. */
struct mux_stream *mux_streams_add(struct mux_streams *t, uint32_t id, size_t queue_max);

/* Takes the stream off every list and forgets it; `s` is gone. */
void mux_streams_remove(struct mux_streams *t, struct mux_stream *s);

/* The oldest stream, or NULL. */
struct mux_stream *mux_streams_first(const struct mux_streams *t);

/* The one opened after `s`, or NULL. */
struct mux_stream *mux_streams_next(const struct mux_streams *t, const struct mux_stream *s);

/* Gives all memory back if no stream is open. */
void mux_streams_trim(struct mux_streams *t);

#endif
