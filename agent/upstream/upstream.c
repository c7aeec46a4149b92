/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of the upstream: settings checked, calls begun and ended. What happens in between
 * is in pool.c (who gets which connection), connection.c (opening and closing) and exchange.c (one
 * request and its answer). */
#include "agent/upstream/upstream.h"

#include <stdlib.h>
#include <string.h>

#include "agent/upstream/call.h"
#include "agent/upstream/connection.h"
#include "agent/upstream/pool.h"

static int check_numbers(const struct upstream_settings *s, struct error_text *e)
{
    if (s->max_connections == 0) {
        return error_set(e, ERROR_CONFIG, "max_connections must be at least 1");
    }
    if (s->connect_timeout_ms == 0 || s->answer_timeout_ms == 0 || s->feedback_timeout_ms == 0) {
        return error_set(e, ERROR_CONFIG, "the server's timeouts must be more than 0");
    }
    return 0;
}

static int take_settings(struct upstream *u, const struct upstream_settings *s,
                         struct error_text *e)
{
    int rc = check_numbers(s, e);
    if (rc == 0) {
        rc = origin_parse(s->url, &u->origin, e);
    }
    if (rc == 0) {
        rc = authorization_init(&u->authorization, s->auth, s->user, s->password, e);
    }
    u->max_connections = s->max_connections;
    u->max_paused = s->max_paused;
    u->connect_timeout_ms = s->connect_timeout_ms;
    u->answer_timeout_ms = s->answer_timeout_ms;
    u->feedback_timeout_ms = s->feedback_timeout_ms;
    return rc;
}

int upstream_new(uv_loop_t *loop, const struct upstream_settings *settings, struct upstream **u,
                 struct error_text *e)
{
    struct upstream *new = calloc(1, sizeof(*new));
    if (new == NULL) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    int rc = take_settings(new, settings, e);
    if (rc != 0) {
        free(new);
        return rc;
    }
    pool_init(new, loop);
    *u = new;
    return 0;
}

void upstream_close(struct upstream *u, void (*on_closed)(void *user), void *user)
{
    if (!u->closing) {
        u->on_closed = on_closed;
        u->closed_user = user;
        pool_close(u);
    }
}

static void set_times(struct upstream *u, struct upstream_call *call, uint32_t deadline_ms)
{
    bool feedback = call_wants_feedback(call);
    call->answer_timeout_ms = feedback ? u->feedback_timeout_ms : u->answer_timeout_ms;
    uint64_t total_ms = deadline_ms;
    if (deadline_ms == 0) {
        total_ms = (uint64_t)u->connect_timeout_ms + call->answer_timeout_ms;
    }
    call->deadline_ms = uv_now(u->loop) + total_ms;
}

int upstream_call(struct upstream *u, const struct head_request *head, const void *body,
                  const struct upstream_callbacks *callbacks, void *user,
                  struct upstream_call **call)
{
    struct upstream_call *new = NULL;
    if (u->closing) {
        return ERROR_STATE;
    }
    if (u->n_queued >= UPSTREAM_QUEUE_MAX) {
        return ERROR_LIMIT;
    }
    int rc = call_new(u, head, body, u->authorization.query, u->origin.authority, &new);
    if (rc != 0) {
        return rc;
    }
    new->callbacks = *callbacks;
    new->user = user;
    set_times(u, new, head->deadline_ms);
    u->n_calls++;
    pool_queue(u, new);
    *call = new;
    return 0;
}

void upstream_cancel(struct upstream_call *call)
{
    if (call->connection != NULL) {
        connection_close(call->connection);
    } else {
        call->upstream->n_queued--;
    }
    call_free(call);
}

void upstream_pause(struct upstream_call *call)
{
    call->paused = true;
    if (call->connection != NULL) {
        connection_update_poll(call->connection);
    }
}

void upstream_resume(struct upstream_call *call)
{
    if (!call->paused) {
        return;
    }
    call->paused = false;
    if (call->connection != NULL && call->told) {
        call->connection->deadline_ms = uv_now(call->upstream->loop) + call->answer_timeout_ms;
        connection_update_poll(call->connection);
    }
}

static uint32_t count(const struct list *l)
{
    uint32_t n = 0;
    for (const struct list *node = l->next; node != l; node = node->next) {
        n++;
    }
    return n;
}

void upstream_read_stats(const struct upstream *u, struct upstream_stats *s)
{
    s->n_open = u->n_open;
    s->n_busy = count(&u->busy);
    s->n_paused = pool_n_paused(u);
    s->n_queued = u->n_queued;
    s->n_calls = u->n_calls;
    s->n_failed = u->n_failed;
    s->last_answer_ms = u->last_answer_ms;
    s->last_answer_us = u->last_answer_us;
    memcpy(s->last_error, u->last_error.text, sizeof(s->last_error));
}
