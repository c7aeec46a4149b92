/* SPDX-License-Identifier: Apache-2.0 */
/* What the mux of a tunnel says: streams go on to their owner, the rest is noted in the tunnel; and
 * the control calls. */
#include "agent/tunnel/tunnel_internal.h"

#include <stdlib.h>

struct call {
    struct list node;
    uint32_t id;
    tunnel_reply on_reply;
    void *user;
};

static void on_ready(void *user, const struct mux_peer *peer)
{
    struct tunnel *t = user;
    t->peer = *peer;
    t->generation = peer->generation;
    t->up_ms = uv_now(t->loop);
    t->up_pending = true;
    if (t->state == TUNNEL_GREETING) {
        tunnel_enter(t, TUNNEL_OPEN, 0);
    }
}

static void on_goaway(void *user, enum head_goaway reason, uint32_t retry_after_ms)
{
    struct tunnel *t = user;
    t->goaway_seen = true;
    if (t->state != TUNNEL_DRAINING) { /* else it is the answer to ours */
        t->goaway_pending = true;
        t->goaway_reason = reason;
        t->retry_after_ms = retry_after_ms;
        tunnel_enter(t, TUNNEL_DRAINING, t->drain_ms);
    }
}

static void on_request(void *user, uint32_t stream, const struct head_request *head,
                       bool end_of_body, void **stream_user)
{
    struct tunnel *t = user;
    t->streams->on_request(t->streams_user, t->mux, stream, head, end_of_body, stream_user);
}

static void on_data(void *user, uint32_t stream, void *stream_user, const uint8_t *bytes,
                    size_t len, bool end_of_body)
{
    struct tunnel *t = user;
    (void)stream;
    t->streams->on_data(stream_user, bytes, len, end_of_body);
}

static void on_reset(void *user, uint32_t stream, void *stream_user, enum head_reset reason,
                     enum head_delivered delivered)
{
    struct tunnel *t = user;
    (void)stream;
    (void)reason; /* whatever it is, nobody wants the answer any more */
    (void)delivered;
    t->streams->on_reset(stream_user);
}

static void on_room(void *user, uint32_t stream, void *stream_user, size_t room)
{
    struct tunnel *t = user;
    (void)stream;
    t->streams->on_room(stream_user, room);
}

static void on_done(void *user, uint32_t stream, void *stream_user)
{
    struct tunnel *t = user;
    (void)stream;
    t->streams->on_done(stream_user);
}

static void on_control_reply(void *user, uint32_t id, uint16_t status, struct span body)
{
    struct tunnel *t = user;

    for (struct list *node = t->calls.next; node != &t->calls; node = node->next) {
        struct call *c = LIST_ITEM(node, struct call, node);
        if (c->id == id) {
            list_remove(&c->node);
            c->on_reply(c->user, 0, status, body);
            free(c);
            return;
        }
    }
}

int tunnel_control(struct tunnel *t, uint16_t op, struct span body, tunnel_reply on_reply,
                   void *user)
{
    struct call *c;

    if (t->state != TUNNEL_OPEN) {
        return ERROR_STATE;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERROR_NOMEM;
    }
    int rc = mux_control(t->mux, op, body, &c->id);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->on_reply = on_reply;
    c->user = user;
    list_push(&t->calls, &c->node);
    return 0;
}

void tunnel_fail_calls(struct tunnel *t)
{
    struct list *node = t->calls.next;

    while (node != &t->calls) {
        struct call *c = LIST_ITEM(node, struct call, node);
        node = node->next;
        c->on_reply(c->user, ERROR_CLOSED, 0, span_of(NULL));
        free(c);
    }
    list_init(&t->calls);
}

const struct mux_events tunnel_mux_events = {
    .on_ready = on_ready,
    .on_request = on_request,
    .on_data = on_data,
    .on_reset = on_reset,
    .on_room = on_room,
    .on_done = on_done,
    .on_goaway = on_goaway,
    .on_control_reply = on_control_reply,
};
