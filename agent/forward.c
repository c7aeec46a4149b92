/* SPDX-License-Identifier: Apache-2.0 */
/* Requests between a tunnel and the server.
 *
 * Happy path: on_request -> (on_data until the body is whole) -> upstream_call -> on_handed ->
 * on_head -> on_data -> on_end -> on_done, which frees the request.
 *
 * Failures: the call cannot begin, or fails before or after its head: the stream is reset, which
 * says what is known of its delivery, and the request is freed. The stream ends first: the call is
 * cancelled and the request freed. The answer is too fast for the tunnel: reading pauses; what the
 * server's connection has read already is held. */
#include "agent/forward.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buffer.h"
#include "proto/base/log.h"
#include "proto/base/poison.h"

_Static_assert(2 * FORWARD_ROOM_HIGH_BYTES <= MUX_STREAM_WINDOW_BYTES,
               "an empty queue has room enough to go on");

/* See may_log. */
#define STATE_LOG_MS 5000

/* Requests that are over and kept for the next ones, 200 bytes each: malloc's cache of a thread has
 * seven of a size, and under load requests come and end by dozens. */
#define SPARE_REQUESTS_MAX 32

struct request;

struct forward {
    uv_loop_t *loop;
    struct upstream *upstream;
    size_t n_requests;
    size_t n_answers;               /* of them, those that are our own */
    char failing[ERROR_TEXT_BYTES]; /* what was last said of the server; "" = it answers */
    uint64_t logged_ms;             /* when; 0 = never */
    struct request *spare[SPARE_REQUESTS_MAX]; /* owned */
    size_t n_spare;
    bool closing;         /* no new ones */
    bool upstream_closed; /* upstream_close was called */
    void (*on_closed)(void *user);
    void *user;
};

struct request {
    struct forward *forward;
    struct mux *mux;
    uint32_t stream;
    struct upstream_call *call; /* NULL before and after */
    struct head_request *head;  /* owned copy while the body comes; else NULL */
    struct buffer body;
    struct buffer held; /* of the answer */
    int64_t body_left;  /* of the answer, still to come; below 0 = unknown */
    bool paused;
    bool answered; /* on_end has come */
    bool ended;    /* END was sent */
    bool is_own;   /* forward_answer */
};

int forward_new(uv_loop_t *loop, const struct upstream_settings *settings, struct forward **forward,
                struct error_text *e)
{
    struct forward *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    f->loop = loop;
    int rc = upstream_new(loop, settings, &f->upstream, e);
    if (rc != 0) {
        free(f);
        return rc;
    }
    *forward = f;
    return 0;
}

static void on_upstream_closed(void *user)
{
    struct forward *f = user;
    void (*on_closed)(void *) = f->on_closed;
    void *closed_user = f->user;

    assert(f->n_requests == 0);
    while (f->n_spare > 0) {
        free(f->spare[--f->n_spare]);
    }
    free(f);
    on_closed(closed_user);
}

static void close_upstream(struct forward *f)
{
    if (!f->upstream_closed) {
        f->upstream_closed = true;
        upstream_close(f->upstream, on_upstream_closed, f);
    }
}

void forward_close(struct forward *f, bool now, void (*on_closed)(void *user), void *user)
{
    if (!f->closing) {
        f->closing = true;
        f->on_closed = on_closed;
        f->user = user;
    }
    if (now || f->n_requests == 0) {
        close_upstream(f);
    }
}

static struct request *take_request(struct forward *f)
{
    if (f->n_spare == 0) {
        return malloc(sizeof(struct request));
    }
    struct request *r = f->spare[--f->n_spare];
    unpoison(r, sizeof(*r));
    return r;
}

static void give_request(struct forward *f, struct request *r)
{
    if (f->n_spare == SPARE_REQUESTS_MAX) {
        free(r);
        return;
    }
    poison(r, sizeof(*r));
    f->spare[f->n_spare++] = r;
}

static void free_request(struct request *r)
{
    struct forward *f = r->forward;

    buffer_close(&r->body);
    buffer_close(&r->held);
    free(r->head);
    f->n_answers -= r->is_own ? 1 : 0;
    give_request(f, r);
    f->n_requests--;
    if (f->closing && f->n_requests == 0) {
        close_upstream(f);
    }
}

/* The state of the server is logged when it changes, and not more often than each STATE_LOG_MS: a
 * server that answers every other call would fill the log. */
static bool may_log(struct forward *f)
{
    uint64_t now_ms = uv_now(f->loop);

    if (f->logged_ms != 0 && now_ms - f->logged_ms < STATE_LOG_MS) {
        return false;
    }
    f->logged_ms = now_ms;
    return true;
}

static void note_answer(struct forward *f)
{
    if (f->failing[0] != '\0' && may_log(f)) {
        log_event(LOG_LEVEL_INFO, "server answers again", log_text("before", f->failing));
        f->failing[0] = '\0';
    }
}

static void note_failure(struct forward *f, enum head_reset reason)
{
    struct upstream_stats s;

    if (reason != HEAD_RESET_SERVER_UNREACHABLE && reason != HEAD_RESET_SERVER_AUTH &&
        reason != HEAD_RESET_DEADLINE && reason != HEAD_RESET_BAD_ANSWER) {
        return; /* says nothing about the server */
    }
    upstream_read_stats(f->upstream, &s);
    if (strcmp(f->failing, s.last_error) != 0 && may_log(f)) {
        memcpy(f->failing, s.last_error, sizeof(f->failing));
        log_event(LOG_LEVEL_WARN, "server fails",
                  log_text("class", head_reset_name((uint16_t)reason)),
                  log_text("reason", s.last_error));
    }
}

/* From our side: the stream has no further events. */
static void reset(struct request *r, enum head_reset reason, enum head_delivered delivered)
{
    if (r->call != NULL) {
        upstream_cancel(r->call);
        r->call = NULL;
    }
    mux_reset(r->mux, r->stream, reason, delivered);
    free_request(r);
}

static char *put(char **at, struct span text)
{
    char *begin = *at;
    if (text.len > 0) {
        memcpy(begin, text.p, text.len);
        *at += text.len;
    }
    return begin;
}

/* The head outlives the event only while a body is awaited. One piece of memory: the head, its
 * fields, and all their bytes. */
static struct head_request *copy_head(const struct head_request *head)
{
    size_t fields_bytes = head->n_fields * sizeof(*head->fields);
    size_t len =
        sizeof(*head) + fields_bytes + head->path.len + head->query.len + head->request_id.len;
    for (size_t i = 0; i < head->n_fields; i++) {
        len += head->fields[i].name.len + head->fields[i].value.len;
    }
    struct head_request *copy = malloc(len); /* a frame's payload bounds it */
    if (copy == NULL) {
        return NULL;
    }
    struct head_field *fields = (struct head_field *)(void *)(copy + 1);
    char *at = (char *)(fields + head->n_fields);
    *copy = *head;
    copy->path.p = put(&at, head->path);
    copy->query.p = put(&at, head->query);
    copy->request_id.p = put(&at, head->request_id);
    for (size_t i = 0; i < head->n_fields; i++) {
        fields[i] = head->fields[i];
        fields[i].name.p = put(&at, head->fields[i].name);
        fields[i].value.p = put(&at, head->fields[i].value);
    }
    copy->fields = fields;
    return copy;
}

/* As much of what is held as the stream takes. 0, or an error that ends the request. */
static int send_held(struct request *r)
{
    size_t len = mux_send_room(r->mux, r->stream);
    if (len > r->held.len) {
        len = r->held.len;
    }
    if (len > 0) {
        int rc = mux_send_data(r->mux, r->stream, buffer_bytes(&r->held), len, false);
        if (rc != 0) {
            return rc;
        }
        buffer_consume(&r->held, len);
        buffer_release(&r->held);
    }
    if (r->answered && !r->ended && r->held.len == 0) {
        r->ended = true;
        return mux_send_data(r->mux, r->stream, NULL, 0, true);
    }
    return 0;
}

static void on_handed(void *user)
{
    struct request *r = user;
    mux_handed(r->mux, r->stream, uv_now(r->forward->loop));
}

static void on_head(void *user, const struct head_response *head)
{
    struct request *r = user;
    int rc = mux_respond(r->mux, r->stream, head, false);
    r->body_left = head->body_bytes;
    if (rc != 0) {
        reset(r, rc == ERROR_LIMIT ? HEAD_RESET_BAD_ANSWER : HEAD_RESET_INTERNAL,
              HEAD_DELIVERED_YES);
    }
}

/* The last byte of a body whose length is known takes END along; on_end follows at once. */
static void on_data(void *user, const uint8_t *bytes, size_t len)
{
    struct request *r = user;
    bool last = r->body_left == (int64_t)len;
    int rc;

    r->body_left -= (int64_t)len;
    if (r->held.len == 0 && len <= mux_send_room(r->mux, r->stream)) {
        r->ended = last;
        rc = mux_send_data(r->mux, r->stream, bytes, len, last);
    } else {
        rc = buffer_append(&r->held, bytes, len);
        rc = rc == 0 ? send_held(r) : rc;
    }
    if (rc != 0) {
        reset(r, HEAD_RESET_INTERNAL, HEAD_DELIVERED_YES);
        return;
    }
    if (!r->paused && !r->ended &&
        (r->held.len > 0 || mux_send_room(r->mux, r->stream) < FORWARD_ROOM_LOW_BYTES)) {
        r->paused = true;
        upstream_pause(r->call);
    }
}

static void on_end(void *user)
{
    struct request *r = user;

    r->call = NULL;
    r->answered = true;
    note_answer(r->forward);
    if (send_held(r) != 0) {
        reset(r, HEAD_RESET_INTERNAL, HEAD_DELIVERED_YES);
    }
}

static void on_fail(void *user, enum head_reset reason, enum head_delivered delivered)
{
    struct request *r = user;
    r->call = NULL;
    note_failure(r->forward, reason);
    reset(r, reason, delivered);
}

static enum head_reset refusal(int rc)
{
    switch (rc) {
    case ERROR_LIMIT: return HEAD_RESET_OVERLOADED;
    case ERROR_REFUSED: return HEAD_RESET_REFUSED;
    default: return HEAD_RESET_INTERNAL;
    }
}

/* 0, or the request has been reset and is gone. */
static int start(struct request *r, const struct head_request *head)
{
    static const struct upstream_callbacks callbacks = {
        .on_handed = on_handed,
        .on_head = on_head,
        .on_data = on_data,
        .on_end = on_end,
        .on_fail = on_fail,
    };
    int rc =
        upstream_call(r->forward->upstream, head, buffer_bytes(&r->body), &callbacks, r, &r->call);
    if (rc != 0) {
        r->call = NULL;
        reset(r, refusal(rc), HEAD_DELIVERED_NO);
    }
    return rc;
}

/* NULL: no memory, and the stream was reset. */
static struct request *new_request(struct forward *f, struct mux *m, uint32_t stream)
{
    struct request *r = take_request(f);

    if (r == NULL) {
        mux_reset(m, stream, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
        return NULL;
    }
    *r = (struct request){.forward = f, .mux = m, .stream = stream};
    buffer_init(&r->body, FORWARD_BODY_BYTES_MAX);
    buffer_init(&r->held, FORWARD_HELD_BYTES_MAX);
    f->n_requests++;
    return r;
}

void forward_on_request(struct forward *f, struct mux *m, uint32_t stream,
                        const struct head_request *head, bool end, void **stream_user)
{
    struct request *r;

    if (f->closing || head->body_bytes > FORWARD_BODY_BYTES_MAX) {
        mux_reset(m, stream, f->closing ? HEAD_RESET_SHUTDOWN : HEAD_RESET_REFUSED,
                  HEAD_DELIVERED_NO);
        return;
    }
    r = new_request(f, m, stream);
    if (r == NULL) {
        return;
    }
    if (end) {
        if (start(r, head) == 0) {
            *stream_user = r;
        }
        return;
    }
    r->head = copy_head(head);
    if (r->head == NULL) {
        reset(r, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
        return;
    }
    *stream_user = r;
}

void forward_on_data(void *stream_user, const uint8_t *bytes, size_t len, bool end)
{
    struct request *r = stream_user;

    mux_consume(r->mux, r->stream, len); /* bounded by what the head announced */
    if (buffer_append(&r->body, bytes, len) != 0) {
        reset(r, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
        return;
    }
    if (!end) {
        return;
    }
    struct head_request *head = r->head;
    r->head = NULL;
    if (start(r, head) == 0) {
        buffer_close(&r->body); /* upstream has its own copy */
    }
    free(head);
}

void forward_on_reset(void *stream_user)
{
    struct request *r = stream_user;

    if (r->call != NULL) {
        upstream_cancel(r->call);
    }
    free_request(r);
}

void forward_on_room(void *stream_user, size_t room)
{
    struct request *r = stream_user;

    if (send_held(r) != 0) {
        reset(r, HEAD_RESET_INTERNAL, HEAD_DELIVERED_YES);
        return;
    }
    (void)room; /* less by now, if something was held */
    if (r->paused && r->call != NULL &&
        mux_send_room(r->mux, r->stream) >= FORWARD_ROOM_HIGH_BYTES) {
        r->paused = false;
        upstream_resume(r->call);
    }
}

void forward_on_done(void *stream_user)
{
    forward_on_reset(stream_user);
}

bool forward_may_answer(const struct forward *f, struct mux *m, uint32_t stream)
{
    if (!f->closing && f->n_answers < FORWARD_ANSWERS_MAX) {
        return true;
    }
    mux_reset(m, stream, f->closing ? HEAD_RESET_SHUTDOWN : HEAD_RESET_OVERLOADED,
              HEAD_DELIVERED_NO);
    return false;
}

void forward_answer(struct forward *f, struct mux *m, uint32_t stream, unsigned status,
                    struct span text, void **stream_user)
{
    static const struct head_field type = {{"Content-Type", 12}, {"application/json", 16}};
    const struct head_response head = {.status = (uint16_t)status,
                                       .body_bytes = (int64_t)text.len,
                                       .fields = &type,
                                       .n_fields = 1};
    struct request *r = new_request(f, m, stream);

    if (r == NULL) {
        return;
    }
    r->is_own = true;
    f->n_answers++;
    buffer_init(&r->held, FORWARD_ANSWER_BYTES_MAX); /* nothing is held yet */
    r->answered = true;
    if (buffer_append(&r->held, text.p, text.len) != 0 ||
        mux_respond(m, stream, &head, false) != 0 || send_held(r) != 0) {
        reset(r, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
        return;
    }
    *stream_user = r;
}

int forward_call(struct forward *f, const struct head_request *head,
                 const struct upstream_callbacks *told, void *user, struct upstream_call **call)
{
    return f->closing ? ERROR_STATE : upstream_call(f->upstream, head, NULL, told, user, call);
}

void forward_read_stats(const struct forward *f, struct upstream_stats *s)
{
    upstream_read_stats(f->upstream, s);
}
