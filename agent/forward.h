/* SPDX-License-Identifier: Apache-2.0 */
/* Carries the requests of the tunnels' streams to the server, and the answers back.
 *
 * A request belongs to its stream and to its call. When the stream ends first (the client went
 * away, the tunnel was lost) the call is cancelled; it is never made again. */
#ifndef AGENT_FORWARD_H
#define AGENT_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "agent/tunnel/tunnel.h"
#include "agent/upstream/upstream.h"
#include "proto/base/error.h"
#include "proto/pages/house.h"
#include "proto/wire/mux.h"

/* Longest body of a request: what the relay's front accepts. */
#define FORWARD_BODY_BYTES_MAX 65536
/* Reading the answer stops when the stream would take less than LOW, and goes on when it takes
 * HIGH. What was read in between, at most one read buffer, is held. */
#define FORWARD_ROOM_LOW_BYTES  16384
#define FORWARD_ROOM_HIGH_BYTES 32768
#define FORWARD_HELD_BYTES_MAX  262144
/* Answers of our own that are under way at once, over all tunnels, and the longest of them. A relay
 * asks for one when somebody looks, and takes it; one that asks and takes nothing makes us hold so
 * much and no more. */
#define FORWARD_ANSWERS_MAX      4
#define FORWARD_ANSWER_BYTES_MAX HOUSE_LIST_BYTES_MAX

struct forward;

/* Errors as upstream_new. */
int forward_new(uv_loop_t *loop, const struct upstream_settings *settings, struct forward **f,
                struct error_text *e);

/* Takes no more requests; when those in flight are over, closes the connections to the server and
 * calls `on_closed`. With `now` those in flight are failed at once. Once more with `now` is
 * allowed; `on_closed` stays the first one. */
void forward_close(struct forward *f, bool now, void (*on_closed)(void *user), void *user);

/* The events of struct tunnel_streams; on_request with the forward as its user. */
void forward_on_request(struct forward *f, struct mux *m, uint32_t stream,
                        const struct head_request *head, bool end, void **stream_user);
void forward_on_data(void *stream_user, const uint8_t *bytes, size_t len, bool end);
void forward_on_reset(void *stream_user);
void forward_on_room(void *stream_user, size_t room);
void forward_on_done(void *stream_user);

/* False: FORWARD_ANSWERS_MAX are under way, or the forward closes; the stream was reset. To be
 * asked before the work for an answer is done. */
bool forward_may_answer(const struct forward *f, struct mux *m, uint32_t stream);

/* Answers a stream that on_request has opened without asking the server: JSON text (copied), at
 * most FORWARD_ANSWER_BYTES_MAX. Only after forward_may_answer. What follows of the stream is the
 * forward's, as if on_request had been given to it. */
void forward_answer(struct forward *f, struct mux *m, uint32_t stream, unsigned status,
                    struct span text, void **stream_user);

/* A call of our own (without a body) to the same server, as upstream_call; ERROR_STATE when
 * closing. Its callbacks fire also when the forward closes. */
int forward_call(struct forward *f, const struct head_request *head,
                 const struct upstream_callbacks *told, void *user, struct upstream_call **call);

void forward_read_stats(const struct forward *f, struct upstream_stats *s);

#endif
