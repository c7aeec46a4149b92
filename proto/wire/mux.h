/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a tunnel, without I/O: bytes of websocket messages in, events and bytes of messages
 * out (PROTOCOL.md). Many streams share it, one request each.
 *
 * The owner feeds what arrives (mux_recv, mux_recv_end) and, whenever its transport can take
 * more, pulls what is to be sent (mux_pull). Nothing is serialised before it is pulled: that is
 * how the relay knows which requests never left it, and how streams share the line fairly.
 *
 * Events are fired from inside mux_recv, mux_pull (on_room and on_done only) and mux_close. From
 * an event every function of this header may be called but mux_recv, mux_recv_end, mux_pull,
 * mux_tick, mux_close and mux_free.
 *
 * A fault ends the tunnel: nothing is received any more. Pull once more (a GOAWAY tells the peer),
 * close the websocket with MUX_CLOSE_BASE + fault, then mux_close and mux_free. A function without
 * a result can cause one too (memory, flood): the next mux_recv or mux_tick returns it.
 *
 * Not thread-safe: one mux belongs to one loop. */
#ifndef PROTO_WIRE_MUX_H
#define PROTO_WIRE_MUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"
#include "proto/wire/frame.h"
#include "proto/wire/head.h"

enum mux_role { MUX_RELAY, MUX_AGENT };

/* Defaults. */
#define MUX_MAX_STREAMS         512
#define MUX_STREAM_WINDOW_BYTES 65536
#define MUX_TUNNEL_WINDOW_BYTES (MUX_MAX_STREAMS * MUX_STREAM_WINDOW_BYTES)
#define MUX_PING_IDLE_MS        20000
#define MUX_REPLY_DEADLINE_MS   10000
/* Ping already after so long without a byte while a request waits for its answer. */
#define MUX_PING_BUSY_MS 5000
/* HANDED is sent at the latest so long after mux_handed, if no RESPONSE has made it needless. */
#define MUX_HANDED_DELAY_MS 20
/* Peer must have sent HELLO or WELCOME by then. */
#define MUX_HELLO_DEADLINE_MS 10000
/* Frames that cost the peer nothing and us something, per second: PING, a PONG or GOAWAY that
 * nobody waits for, RESET and WINDOW on ended streams, WINDOW of 0, DATA without bytes or END,
 * unknown types. One more closes the tunnel (MUX_FAULT_FLOOD). */
#define MUX_CHEAP_FRAMES_PER_S 2000
/* mux_expects_more. With two streams looking cost a few per cent of the throughput. With fifty
 * callers one message in twenty still ended at sixteen looks; where a look takes long, because it
 * serves many others, the time ends it. */
#define MUX_BUSY_STREAMS 3
#define MUX_LOOKS_MAX    16
#define MUX_GATHER_MS    5
/* Control calls that may be open at once, and the size of one. */
#define MUX_CONTROL_CALLS_MAX 16
#define MUX_CONTROL_BYTES_MAX 16000

/* The close code of the websocket is this plus the fault (PROTOCOL.md section 10). */
#define MUX_CLOSE_BASE 4000

/* Why a tunnel was given up; the names of mux_fault_name stand in the log and in PROTOCOL.md,
 * which also fixes the numbers. */
enum mux_fault {
    MUX_FAULT_NONE = 0,
    MUX_FAULT_FRAME = 1,   /* a frame longer than its type allows, or cut by the end of a message */
    MUX_FAULT_PAYLOAD = 2, /* a payload that cannot be unpacked */
    MUX_FAULT_ORDER = 3,   /* a frame that its sender may not send, or not now */
    MUX_FAULT_STREAM = 4,  /* a stream or call id never used, used twice or downwards, or out of
                              place */
    MUX_FAULT_FLOW = 5,    /* more DATA than credit, or credit beyond 2^31-1 */
    MUX_FAULT_LENGTH = 6,  /* agent: a request's body differs from what its head announced */
    MUX_FAULT_STREAMS = 7, /* more streams than max_streams, or too many control calls */
    MUX_FAULT_FLOOD = 8,   /* too many cheap frames, or the peer does not read what it causes */
    MUX_FAULT_VERSION = 9, /* no common version */
    MUX_FAULT_TIMEOUT = 10, /* hello or reply deadline passed */
    MUX_FAULT_MEMORY = 11   /* our own allocation failed */
};

struct mux_settings {
    enum mux_role role;
    const char *software;  /* borrowed for the life of the mux; at most 63 bytes of it are sent */
    uint64_t generation;   /* MUX_RELAY only */
    uint64_t capabilities; /* HEAD_CAPABILITY_…, told to the peer */
    uint32_t max_streams;  /* MUX_RELAY: most streams we open. MUX_AGENT: most we accept */
    uint32_t stream_window_bytes; /* what we take of a stream before credit is returned; also the
                                     bound of what we queue for one. At most 2^31-1 */
    uint32_t tunnel_window_bytes; /* the same for all streams together */
    uint32_t ping_idle_ms; /* MUX_RELAY decides for both; the agent's own count until WELCOME */
    uint32_t reply_deadline_ms;
    uint16_t version_min; /* HEAD_VERSION_MIN; tests may say otherwise */
    uint16_t version_max;
};

/* Settings with all defaults of this header. */
struct mux_settings mux_default_settings(enum mux_role role, const char *software);

/* What the peer said of itself. Borrowed until the mux is freed. */
struct mux_peer {
    uint16_t version;
    uint64_t generation;
    uint64_t capabilities;
    uint32_t max_streams;
    char software[64];
};

/* Events. `user` is the one given to mux_new; `stream_user` the one of the stream. Spans and
 * bytes are borrowed until the event returns. NULL = not interested. */
struct mux_events {
    /* HELLO (relay) or WELCOME (agent) has come: streams may be opened. */
    void (*on_ready)(void *user, const struct mux_peer *peer);
    /* Agent: a stream opens. Its user is *stream_user, to be set here. Body follows by on_data. */
    void (*on_request)(void *user, uint32_t stream, const struct head_request *head, bool end,
                       void **stream_user);
    /* Relay: the server has been given the request. At most once, before on_response. */
    void (*on_handed)(void *user, uint32_t stream, void *stream_user);
    /* Relay: the answer's head. At most once. Implies on_handed, which is then not fired. */
    void (*on_response)(void *user, uint32_t stream, void *stream_user,
                        const struct head_response *head, bool end);
    /* Body bytes; len may be 0 with end. Return the credit by mux_consume once they are gone. */
    void (*on_data)(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end);
    /* The stream ended without a complete answer (relay), or nobody wants it (agent). The stream
     * does not exist any more. An answer whose head is malformed or whose body has not the length
     * that the head said comes here as BAD_ANSWER, maybe after on_response and on_data. In
     * mux_close: reason HEAD_RESET_TUNNEL_LOST, and `delivered` NO where REQUEST was never pulled,
     * YES where HANDED or RESPONSE came, else UNKNOWN. After the peer's GOAWAY: SHUTDOWN and NO
     * for each REQUEST that was never pulled; such a request may go to another tunnel. */
    void (*on_reset)(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered);
    /* From mux_pull. Bytes that mux_send_data had queued have left: `room` more will be taken. */
    void (*on_room)(void *user, uint32_t stream, void *stream_user, size_t room);
    /* The stream is over on both sides and forgotten. Not fired after on_reset, nor after our own
     * mux_reset. Relay: from mux_recv, right after the event with `end`. Agent: from mux_pull, or
     * from mux_recv if the request's END comes last. */
    void (*on_done)(void *user, uint32_t stream, void *stream_user);
    /* At most once. Relay: the agent takes no new streams; the mux answers by a GOAWAY of its own.
     * Agent: no REQUEST will follow, so once the last stream is over the tunnel may be closed;
     * after its own mux_goaway this is the relay's answer to it. Open streams go on. */
    void (*on_goaway)(void *user, enum head_goaway reason, uint32_t retry_after_ms);
    /* Relay: a call. Answer once by mux_control_reply with the same id, now or later. */
    void (*on_control)(void *user, uint32_t id, uint16_t op, struct span body);
    /* Agent: the answer. status 0 = done, else an error number; body is JSON. */
    void (*on_control_reply)(void *user, uint32_t id, uint16_t status, struct span body);
};

struct mux;

/* NULL when out of memory. `events` is copied. The agent's HELLO is queued at once. */
struct mux *mux_new(const struct mux_settings *settings, const struct mux_events *events,
                    void *user, uint64_t now_ms);
void mux_free(struct mux *m);

/* Bytes of a message, in pieces as they come. 0, or ERROR_PEER / ERROR_NOMEM / ERROR_TIMEOUT: the
 * tunnel is to be closed, mux_fault says why; further calls return the same. ERROR_STATE after
 * mux_close. */
int mux_recv(struct mux *m, const uint8_t *bytes, size_t len, uint64_t now_ms);

/* The message ended. ERROR_PEER if a frame is cut. */
int mux_recv_end(struct mux *m, uint64_t now_ms);

enum mux_fault mux_fault(const struct mux *m);
const char *mux_fault_name(enum mux_fault fault);

/* True if mux_pull would give bytes. O(1). */
bool mux_wants_send(const struct mux *m);

/* Whether a message that left now would likely be followed by another at once: MUX_BUSY_STREAMS are
 * open, and something was queued since the last call. Who gets true sends nothing yet but looks at
 * its sockets again, without waiting, and asks again: MUX_LOOKS_MAX times in a row at most, not
 * beyond MUX_GATHER_MS, and never when a message is full (bytes that have no credit count as well).
 * One write and one wake-up of the peer then do for all. */
bool mux_expects_more(struct mux *m, uint64_t now_ms);

/* True if a GOAWAY waits to be sent, and no request would leave with it. Who is about to close the
 * websocket pulls then, and only then: a request that left now would never be answered. */
bool mux_wants_goodbye(const struct mux *m);

/* Whole frames for one message, up to FRAME_MESSAGE_BYTES or one larger frame; `cap` is at least
 * FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX. First what was ready (control frames, answers' heads and
 * small answers whole), then REQUESTs, then DATA of all streams in turn, at most FRAME_DATA_MAX of
 * each. Returns the bytes written, 0 = nothing. */
size_t mux_pull(struct mux *m, uint8_t *bytes, size_t cap, uint64_t now_ms);

/* Relay: opens a stream. With head->body_bytes > 0 the body (whole, at most our own
 * stream_window_bytes) is given here too and copied. 0, ERROR_STATE (not ready, or goaway either
 * way), ERROR_LIMIT (max_streams, or head or body are too large), ERROR_NOMEM. */
int mux_request(struct mux *m, const struct head_request *head, const void *body, void *stream_user,
                uint32_t *stream, uint64_t now_ms);

/* Sends a PING now, if none waits for its answer and the mux is ready. Silence for reply_deadline
 * from then on ends the tunnel, as after any PING. */
void mux_ask(struct mux *m, uint64_t now_ms);

/* Agent: the request's last byte was written to the server. Once; unknown streams, and those that
 * are answered, are ignored. May make mux_next_ms sooner. */
void mux_handed(struct mux *m, uint32_t stream, uint64_t now_ms);

/* Agent: the answer's head; once per stream. 0, ERROR_STATE (no such stream, or twice),
 * ERROR_LIMIT (too large, or the transport takes nothing and too much waits), ERROR_NOMEM. */
int mux_respond(struct mux *m, uint32_t stream, const struct head_response *head, bool end);

/* Body bytes, copied. Takes all or nothing: 0, ERROR_LIMIT (more than mux_send_room),
 * ERROR_STATE, ERROR_NOMEM. */
int mux_send_data(struct mux *m, uint32_t stream, const void *bytes, size_t len, bool end);

/* Bytes that mux_send_data would take now for the stream: its bound is one stream window of ours
 * queued, whatever the peer's credit. 0 for an unknown stream and after the end. */
size_t mux_send_room(const struct mux *m, uint32_t stream);

/* `len` bytes of on_data are gone: gives the credit back (a WINDOW once a quarter of the window is
 * gone). Every byte of on_data is to be given back once, also when its stream is over by then, for
 * it still counts for the tunnel's window. */
void mux_consume(struct mux *m, uint32_t stream, size_t len);

/* Ends a stream from our side; no event follows. If REQUEST was never pulled nothing is sent, and
 * the peer never hears of it. Unknown streams are ignored. */
void mux_reset(struct mux *m, uint32_t stream, enum head_reset reason,
               enum head_delivered delivered);

/* Relay: what is known of the stream's delivery now, as on_reset would say it. UNKNOWN for a stream
 * that is over. */
enum head_delivered mux_delivered(const struct mux *m, uint32_t stream);

/* Tells the peer that no new streams are wanted (agent), or will come (relay: REQUESTs that are
 * queued already leave before it). Once; later calls do nothing. The agent must still take what
 * comes until on_goaway. */
void mux_goaway(struct mux *m, enum head_goaway reason, uint32_t retry_after_ms);

/* Agent: a call to the relay. 0, ERROR_STATE, ERROR_LIMIT (MUX_CONTROL_CALLS_MAX are open, or the
 * body is too large), ERROR_NOMEM. Calls that are open when the tunnel ends get no event. */
int mux_control(struct mux *m, uint16_t op, struct span body, uint32_t *id);
/* Relay: the answer to on_control. 0, ERROR_STATE (no such call), ERROR_LIMIT, ERROR_NOMEM. */
int mux_control_reply(struct mux *m, uint32_t id, uint16_t status, struct span body);

/* To be called about once a second, and at mux_next_ms. Queues pings and HANDED frames that are
 * due, gives unused memory back. 0, ERROR_TIMEOUT when the peer is dead (fault MUX_FAULT_TIMEOUT),
 * or what mux_recv would return. */
int mux_tick(struct mux *m, uint64_t now_ms);

/* When mux_tick is wanted next; never UINT64_MAX. */
uint64_t mux_next_ms(const struct mux *m);

/* Fires on_reset for every open stream, oldest first, with reason TUNNEL_LOST. Afterwards there
 * are none, and nothing can be sent. */
void mux_close(struct mux *m);

bool mux_ready(const struct mux *m);
size_t mux_n_streams(const struct mux *m);
/* Last measured round trip of a PING, as fine as the `now_ms` of the calls; 0 = none yet. */
uint32_t mux_rtt_us(const struct mux *m);
/* Bytes waiting to be pulled. */
size_t mux_queued_bytes(const struct mux *m);

#endif
