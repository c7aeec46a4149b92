/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile peer against one mux whose owner does what owners do.
 *
 * First byte: bit 0 the role (1 = agent), bit 1 no handshake beforehand, bit 2 small windows. Then
 * steps: one byte of what to do, and its arguments. Steps below 128 feed that many bytes of the
 * input to the mux; the others are the owner's, the transport's and the clock's. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/mux_internal.h"

/* Streams that the owner remembers to act on. */
#define KNOWN_MAX 16

struct owner {
    struct mux *mux;
    uint32_t known[KNOWN_MAX]; /* open streams, 0 = free */
    size_t held;               /* body bytes not given back */
    uint64_t now_ms;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static uint32_t *slot_of(struct owner *o, uint32_t stream)
{
    for (size_t i = 0; i < KNOWN_MAX; i++) {
        if (o->known[i] == stream) {
            return &o->known[i];
        }
    }
    return NULL;
}

static void remember(struct owner *o, uint32_t stream)
{
    uint32_t *slot = slot_of(o, 0);
    if (slot != NULL) {
        *slot = stream;
    }
}

static void forget(struct owner *o, uint32_t stream)
{
    uint32_t *slot = slot_of(o, stream);
    if (slot != NULL) {
        *slot = 0;
    }
}

/* Reads every byte, for the address sanitizer. */
static void touch(const void *bytes, size_t len)
{
    static volatile uint8_t sink;
    for (size_t i = 0; i < len; i++) {
        sink = (uint8_t)(sink ^ ((const uint8_t *)bytes)[i]);
    }
}

static void touch_fields(const struct head_field *fields, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        require(fields[i].name.len > 0);
        touch(fields[i].name.p, fields[i].name.len);
        touch(fields[i].value.p, fields[i].value.len);
    }
}

static void on_ready(void *user, const struct mux_peer *peer)
{
    struct owner *o = user;
    require(mux_ready(o->mux) && strlen(peer->software) < sizeof(peer->software));
}

static void on_request(void *user, uint32_t stream, const struct head_request *head, bool end,
                       void **stream_user)
{
    require(head->path.len > 0 && head->path.p[0] == '/' && end == (head->body_bytes == 0));
    touch(head->path.p, head->path.len);
    touch(head->query.p, head->query.len);
    touch(head->request_id.p, head->request_id.len);
    touch_fields(head->fields, head->n_fields);
    remember(user, stream);
    *stream_user = user;
}

static void on_handed(void *user, uint32_t stream, void *stream_user)
{
    (void)stream;
    require(stream_user == user);
}

static void on_response(void *user, uint32_t stream, void *stream_user,
                        const struct head_response *head, bool end)
{
    struct owner *o = user;
    (void)end;
    require(stream_user == user && head->status >= 200 && head->status <= 599);
    touch_fields(head->fields, head->n_fields);
    if (head->status == 599) { /* an owner that changes its mind inside an event */
        mux_reset(o->mux, stream, HEAD_RESET_CLIENT_GONE, HEAD_DELIVERED_YES);
        forget(o, stream);
    }
}

static void on_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end)
{
    struct owner *o = user;
    require(stream_user == user && (len > 0 || end));
    touch(bytes, len);
    if (len % 2 == 0) {
        mux_consume(o->mux, stream, len);
    } else {
        o->held += len;
    }
    require(o->held <= o->mux->settings.tunnel_window_bytes);
}

static void on_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered)
{
    require(stream_user == user && delivered <= HEAD_DELIVERED_UNKNOWN);
    require(reason >= HEAD_RESET_INTERNAL && reason <= HEAD_RESET_TUNNEL_LOST);
    forget(user, stream);
}

static void on_room(void *user, uint32_t stream, void *stream_user, size_t room)
{
    struct owner *o = user;
    require(stream_user == user && room == mux_send_room(o->mux, stream));
    (void)mux_send_data(o->mux, stream, "more", room < 4 ? room : 4, false);
}

static void on_done(void *user, uint32_t stream, void *stream_user)
{
    require(stream_user == user);
    forget(user, stream);
}

static void on_control(void *user, uint32_t id, uint16_t op, struct span body)
{
    struct owner *o = user;
    touch(body.p, body.len);
    if (op % 2 == 0) {
        (void)mux_control_reply(o->mux, id, op, body);
    }
}

static void on_control_reply(void *user, uint32_t id, uint16_t status, struct span body)
{
    (void)user;
    (void)id;
    (void)status;
    touch(body.p, body.len);
}

static void on_goaway(void *user, enum head_goaway reason, uint32_t retry_after_ms)
{
    (void)user;
    (void)retry_after_ms;
    require(reason >= HEAD_GOAWAY_SHUTDOWN && reason <= HEAD_GOAWAY_EXHAUSTED);
}

static struct mux *new_mux(struct owner *o, uint8_t options)
{
    static const struct mux_events events = {
        .on_ready = on_ready,
        .on_request = on_request,
        .on_handed = on_handed,
        .on_response = on_response,
        .on_data = on_data,
        .on_reset = on_reset,
        .on_room = on_room,
        .on_done = on_done,
        .on_goaway = on_goaway,
        .on_control = on_control,
        .on_control_reply = on_control_reply,
    };
    enum mux_role role = (options & 1) != 0 ? MUX_AGENT : MUX_RELAY;
    struct mux_settings s = mux_default_settings(role, "fuzz/1");
    if ((options & 4) != 0) {
        s.stream_window_bytes = 100;
        s.tunnel_window_bytes = 250;
        s.max_streams = 4;
    }
    return mux_new(&s, &events, o, o->now_ms);
}

/* The peer's part of the handshake, so that the fuzzer need not find it. */
static void shake_hands(struct owner *o, enum mux_role role)
{
    uint8_t frame[FRAME_HEADER_BYTES + 41] = {
        [4] = role == MUX_RELAY ? FRAME_HELLO : FRAME_WELCOME, [6] = 41, [8] = 1, [10] = 1};
    memset(frame + FRAME_HEADER_BYTES + 4, 0x10, 12); /* streams and windows */
    frame[FRAME_HEADER_BYTES + 10] = 0;               /* a stream window of 4112 bytes */
    frame[FRAME_HEADER_BYTES + 11] = 0;
    if (role == MUX_AGENT) {
        frame[10] = 0;
    }
    require(mux_recv(o->mux, frame, sizeof(frame), o->now_ms) == 0);
    require(mux_ready(o->mux));
}

/* Walks what was pulled: whole frames, none larger than allowed. */
static void pull(struct owner *o)
{
    static uint8_t message[FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX];
    bool wanted = mux_wants_send(o->mux);
    size_t len = mux_pull(o->mux, message, sizeof(message), o->now_ms);
    require(wanted ? len > 0 : true);
    size_t at = 0;
    while (at < len) {
        struct frame_header h;
        frame_unpack_header(message + at, &h);
        require(h.type != FRAME_DATA || h.len <= FRAME_DATA_MAX);
        require(len <= FRAME_MESSAGE_BYTES || at == 0);
        at += FRAME_HEADER_BYTES + (size_t)h.len;
    }
    require(at == len);
}

static void request(struct owner *o, uint8_t kind)
{
    static const char body[300];
    struct head_request head = {.method = kind % 3 == 0 ? HEAD_METHOD_HEAD : HEAD_METHOD_POST,
                                .path = span_of("/x")};
    head.body_bytes = kind % 3 == 1 ? (uint32_t)kind : 0;
    uint32_t stream;
    if (mux_request(o->mux, &head, body, o, &stream, o->now_ms) == 0) {
        remember(o, stream);
    }
}

static void respond(struct owner *o, uint32_t stream, uint8_t kind)
{
    struct head_response head = {.status = 200, .body_bytes = kind % 3 == 0 ? -1 : kind};
    (void)mux_respond(o->mux, stream, &head, kind % 5 == 0);
}

/* One step of the owner, the transport or the clock. */
static void act(struct owner *o, uint8_t step, uint8_t argument)
{
    static const char bytes[256];
    uint32_t stream = o->known[argument % KNOWN_MAX];
    uint32_t id;
    switch (step % 13) {
    case 0: (void)mux_recv_end(o->mux, o->now_ms); break;
    case 1:
    case 2: pull(o); break;
    case 3: request(o, argument); break;
    case 4: respond(o, stream, argument); break;
    case 5:
    case 6: (void)mux_send_data(o->mux, stream, bytes, argument, argument % 7 == 0); break;
    case 7: mux_handed(o->mux, stream, o->now_ms); break;
    case 8:
        mux_reset(o->mux, stream, HEAD_RESET_DEADLINE, mux_delivered(o->mux, stream));
        forget(o, stream);
        break;
    case 9:
        mux_consume(o->mux, stream, o->held);
        o->held = 0;
        break;
    case 10: (void)mux_control(o->mux, argument, (struct span){bytes, argument}, &id); break;
    case 11:
        o->now_ms += (uint64_t)argument * argument;
        (void)mux_tick(o->mux, o->now_ms);
        require(mux_next_ms(o->mux) != UINT64_MAX);
        break;
    default:
        if (argument == 0) {
            mux_goaway(o->mux, HEAD_GOAWAY_SHUTDOWN, 0);
        }
        break;
    }
}

/* Feeds a copy of exactly these bytes, so that the sanitizer sees every read beyond. */
static void feed(struct owner *o, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    require(copy != NULL);
    memcpy(copy, data, len);
    (void)mux_recv(o->mux, copy, len, o->now_ms);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct owner o = {.now_ms = 1};
    uint8_t options = data[0];
    o.mux = new_mux(&o, options);
    require(o.mux != NULL);
    if ((options & 2) == 0) {
        shake_hands(&o, (options & 1) != 0 ? MUX_AGENT : MUX_RELAY);
    }
    for (size_t at = 1; at + 1 < size;) {
        uint8_t step = data[at++];
        if (step < 128) {
            size_t len = step < size - at ? step : size - at;
            feed(&o, data + at, len);
            at += len;
        } else {
            act(&o, step, data[at++]);
        }
        require(mux_n_streams(o.mux) <= o.mux->settings.max_streams);
        require(mux_queued_bytes(o.mux) <= MUX_OUT_BYTES_MAX + 512 * 70000);
    }
    mux_close(o.mux);
    require(mux_n_streams(o.mux) == 0);
    mux_free(o.mux);
    return 0;
}
