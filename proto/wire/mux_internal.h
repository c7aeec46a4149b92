/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the mux share. Private to proto/wire and its tests.
 *
 * mux.c         life, settings, time, faults
 * mux_streams.c the table of open streams
 * mux_send.c    what the owner sends on streams
 * mux_out.c     the queue of ready frames
 * mux_pull.c    the next message
 * mux_recv.c    cutting bytes into frames; the frames of the tunnel
 * mux_serve.c   the frames of streams
 * mux_call.c    control calls, both ways */
#ifndef PROTO_WIRE_MUX_INTERNAL_H
#define PROTO_WIRE_MUX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bucket.h"
#include "proto/base/buffer.h"
#include "proto/base/list.h"
#include "proto/wire/frame.h"
#include "proto/wire/mux.h"
#include "proto/wire/mux_streams.h"

/* Largest credit of a window; one more is MUX_FAULT_FLOW. */
#define MUX_CREDIT_MAX INT32_MAX

/* Most that may wait in mux.out. Only a peer that reads nothing while it makes us send gets there
 * (MUX_FAULT_FLOOD). Answers' heads and control bodies stop at half of it. */
#define MUX_OUT_BYTES_MAX   (1024 * 1024)
#define MUX_OUT_HEADS_BYTES (MUX_OUT_BYTES_MAX / 2)

/* Ids of streams and calls end here. */
#define MUX_ID_MAX UINT32_MAX

/* Payloads of the frames that have no pack function of their own. */
#define MUX_WINDOW_BYTES       4
#define MUX_PING_BYTES         8
#define MUX_CONTROL_HEAD_BYTES 4

struct mux {
    struct mux_settings settings;
    struct mux_events events;
    void *user;
    struct mux_peer peer;
    struct mux_streams streams;
    struct buffer out;     /* whole frames that need no credit and are not taken back */
    struct buffer partial; /* a frame of which some bytes have not come yet */
    struct list requests;  /* relay: streams whose REQUEST waits, in the order of their ids */
    struct list ring;      /* streams with body bytes and credit to send, in turn */
    struct list handed;    /* agent: streams that owe HANDED, soonest first */
    struct list due;       /* streams with an event for the end of mux_pull */
    struct bucket cheap;
    size_t stream_bytes; /* bytes in the queues of all streams */
    size_t seen_bytes;   /* queued when mux_expects_more last said yes; 0 = it said no */
    unsigned n_looks;    /* how often it has said yes in a row */
    uint64_t looking_ms; /* since when */
    uint64_t born_ms;
    uint64_t last_recv_ms;
    uint64_t ping_ms; /* when the last PING was queued; also what its 8 bytes say */
    uint32_t rtt_us;
    uint32_t max_streams;  /* the lesser of ours and the peer's */
    uint32_t last_stream;  /* highest id given (relay) or opened by the peer (agent) */
    uint32_t last_on_wire; /* relay: highest id whose REQUEST was pulled. agent: last_stream */
    uint32_t last_call;    /* highest id of a control call */
    uint32_t calls[MUX_CONTROL_CALLS_MAX]; /* ids of the open ones; 0 = free */
    uint32_t peer_stream_window;           /* send credit of a new stream */
    uint32_t send_credit;                  /* body bytes of all streams that the peer takes */
    uint32_t recv_credit;    /* body bytes of all streams that we have promised to take */
    uint32_t recv_consumed;  /* bytes gone, for which no WINDOW has been sent yet */
    uint32_t retry_after_ms; /* of our GOAWAY */
    uint8_t goaway_reason;   /* of our GOAWAY */
    uint8_t fault;           /* enum mux_fault */
    bool ready;
    bool closed;
    bool ping_waits;   /* no byte has come since ping_ms */
    bool pong_waits;   /* the PONG of that PING has not come */
    bool goaway_asked; /* mux_goaway was called, or the ids are used up */
    bool goaway_due;   /* our GOAWAY waits for the REQUESTs before it */
    bool goaway_recv;
};

/* mux.c */

/* Records the first fault, queues the GOAWAY that tells the peer, and returns mux_code. */
int mux_fail(struct mux *m, enum mux_fault fault);

/* The error of the fault: 0, ERROR_PEER, ERROR_NOMEM, ERROR_TIMEOUT. */
int mux_code(const struct mux *m);

/* True while streams can be used: ready, not closed, no fault. */
bool mux_usable(const struct mux *m);

/* mux_out.c */

/* Room for a frame's header in `b`; its payload is to be appended. `*start` is for mux_out_end. */
int mux_out_begin(struct buffer *b, size_t *start);

/* Fills the header in. If `rc`, the result of packing the payload, is an error, takes the frame
 * out again and returns it. */
int mux_out_end(struct buffer *b, size_t start, struct frame_header h, int rc);

/* Appends one frame to m->out. 0, ERROR_LIMIT, ERROR_NOMEM. */
int mux_out_frame(struct mux *m, struct frame_header h, const void *payload);

/* As mux_out_frame for frames that must not get lost: failing is a fault. */
void mux_out_sure(struct mux *m, enum frame_type type, uint32_t stream, const void *payload,
                  size_t len);

void mux_out_reset(struct mux *m, uint32_t stream, enum head_reset reason,
                   enum head_delivered delivered);
void mux_out_window(struct mux *m, uint32_t stream, uint32_t credit);

/* 0, ERROR_LIMIT, ERROR_NOMEM. */
int mux_out_goaway(struct mux *m, enum head_goaway reason, uint32_t retry_after_ms);
int mux_out_hello(struct mux *m);
int mux_out_welcome(struct mux *m);

/* mux_send.c */

/* Puts the stream on the ring if it has something to send and credit for it, else takes it off. */
void mux_send_schedule(struct mux *m, struct mux_stream *s);

/* Sends HANDED for all streams that owe it by now. */
void mux_send_handed(struct mux *m, uint64_t now_ms);

/* Longest queue of a stream: one window of body, and for the relay a REQUEST. */
size_t mux_send_queue_max(const struct mux *m);

/* Forgets the stream and what it had queued; no event. */
void mux_send_forget(struct mux *m, struct mux_stream *s);

/* mux_call.c: CONTROL and CONTROL_REPLY. 0 or the error of the fault. */
int mux_call_serve(struct mux *m, const struct frame_header *h, const uint8_t *payload);
int mux_call_serve_reply(struct mux *m, const struct frame_header *h, const uint8_t *payload);

/* mux_recv.c */

/* Counts a frame that costs the peer nothing; too many are a fault. */
int mux_recv_cheap(struct mux *m, uint64_t now_ms);

/* mux_serve.c: a frame of a stream, from dispatch. 0 or the error of the fault. */
int mux_serve_request(struct mux *m, const struct frame_header *h, const uint8_t *payload);
int mux_serve_handed(struct mux *m, const struct frame_header *h);
int mux_serve_response(struct mux *m, const struct frame_header *h, const uint8_t *payload);
int mux_serve_data(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                   uint64_t now_ms);
int mux_serve_reset(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                    uint64_t now_ms);
int mux_serve_window(struct mux *m, const struct frame_header *h, const uint8_t *payload,
                     uint64_t now_ms);

/* Forgets a stream that is over on both sides, and fires on_done. */
void mux_serve_done(struct mux *m, struct mux_stream *s);

/* Forgets a stream that ended early, and fires on_reset. */
void mux_serve_lost(struct mux *m, struct mux_stream *s, enum head_reset reason,
                    enum head_delivered delivered);

/* Delivery as far as this end knows. */
enum head_delivered mux_serve_delivered(const struct mux_stream *s);

#endif
