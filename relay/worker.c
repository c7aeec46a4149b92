/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: its loop, and what happens on messages from the others.
 *
 * Each turn of the loop: timers, sockets, and what closes; then, before the loop sleeps, `prepare`
 * writes what they gave the tunnels to send, one message each (under load it looks for more first),
 * sees to the log's lines that wait, and lets go of the directory.
 *
 * Draining: listeners close, sessions end after their next answer or when idle for a moment, and
 * then the agents are told to go. The worker ends when sessions and tunnels have ended. */
#include "relay/worker.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/error.h"
#include "proto/base/log.h"
#include "proto/base/random.h"
#include "proto/websocket/websocket.h"
#include "relay/admin/admin.h"
#include "relay/admin/api.h"
#include "relay/front/exchange.h"
#include "relay/front/listener.h"
#include "relay/front/session.h"
#include "relay/router.h"
#include "relay/tunnel/tunnel.h"

/* Idle sessions get so long for one more request when the relay drains: a client that is just
 * sending one should not meet a closed door. */
#define DRAIN_IDLE_MS 1000
/* Connections that have not closed by themselves so long after the end are cut. */
#define STOP_MS 1500
/* Tunnels of one worker. */
#define TUNNELS_MAX 1000000
/* An answer being put together: what exchange.c writes at once, and one DATA frame more. */
#define ANSWER_BYTES_MAX  (4 * EXCHANGE_ASSEMBLED_BYTES)
#define SCRATCH_BYTES_MAX 65536

uint64_t worker_now_ms(const struct worker *w)
{
    return uv_now(&w->loop);
}

/* Copies in front of `*m`, as many as workers beyond the first. False: one did not fit. */
static bool multiply(struct link_message **m, unsigned n_workers)
{
    for (unsigned i = 1; i < n_workers; i++) {
        struct link_message *copy = link_message_new((*m)->kind, (*m)->len);
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, *m, sizeof(**m) + (*m)->len);
        copy->next = *m;
        *m = copy;
    }
    return true;
}

static void free_messages(struct link_message *m)
{
    while (m != NULL) {
        struct link_message *next = m->next;
        free(m);
        m = next;
    }
}

int worker_broadcast(struct relay *relay, struct link_message *m)
{
    if (m == NULL || !multiply(&m, relay->n_workers)) {
        log_event(LOG_LEVEL_ERROR, "out of memory, the workers are not told",
                  log_uint("workers", relay->n_workers));
        free_messages(m);
        return ERROR_NOMEM;
    }
    for (unsigned i = 0; i < relay->n_workers; i++) {
        struct link_message *next = m->next;
        link_post(&relay->workers[i].link, m);
        m = next;
    }
    return 0;
}

/* ---- the end ---- */

static void close_own_handles(struct worker *w)
{
    if (uv_is_closing((uv_handle_t *)&w->tick)) {
        return;
    }
    uv_close((uv_handle_t *)&w->tick, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->again, NULL);
    log_delay_close(&w->log_delay);
    link_close(&w->link);
}

static void close_listeners(struct worker *w, bool admin_too)
{
    struct list *node = w->listeners.next;
    while (node != &w->listeners) {
        struct listener *l = LIST_ITEM(node, struct listener, node);
        node = node->next;
        if (admin_too || l->kind != LISTENER_ADMIN) {
            listener_close(l);
        }
    }
}

static void retire_tunnels(struct worker *w, bool at_once)
{
    struct list *node = w->tunnels.next;
    while (node != &w->tunnels) {
        struct tunnel *t = tunnel_of(node);
        node = node->next;
        tunnel_retire(t, HEAD_GOAWAY_SHUTDOWN, at_once, w->settings.drain_ms);
    }
}

static void drain(struct worker *w)
{
    if (w->draining) {
        return;
    }
    close_listeners(w, false);
    w->draining = true;
    w->draining_s = clock_wall_s();
    w->drain_idle_by_ms = worker_now_ms(w) + DRAIN_IDLE_MS;
    for (struct list *node = w->sessions.next; node != &w->sessions; node = node->next) {
        LIST_ITEM(node, struct session, node)->close_after = true;
    }
}

static void stop(struct worker *w)
{
    drain(w);
    close_listeners(w, true);
    if (!w->stopping) {
        w->stopping = true;
        w->stop_by_ms = worker_now_ms(w) + STOP_MS;
    }
    exchange_flush_assembled(w); /* else a building's answer would give way to one of ours */
    struct list *node = w->sessions.next;
    while (node != &w->sessions) {
        struct session *s = LIST_ITEM(node, struct session, node);
        node = node->next;
        session_kill(s);
    }
    retire_tunnels(w, true);
    admin_retire(w, false);
}

/* Peers that do not take what is there for them. A client that has taken all is given
 * CONN_LINGER_MS to close its end. */
static void cut_all(struct worker *w)
{
    for (struct list *node = w->sessions.next; node != &w->sessions; node = node->next) {
        struct conn *c = LIST_ITEM(node, struct session, node)->conn;
        if (conn_pending(c) > 0) {
            conn_abort(c);
        }
    }
    for (struct list *node = w->tunnels.next; node != &w->tunnels; node = node->next) {
        tunnel_kill(tunnel_of(node));
    }
    admin_retire(w, true);
}

static void retire_idle_sessions(struct worker *w)
{
    struct list *node = w->sessions.next;
    while (node != &w->sessions) {
        struct session *s = LIST_ITEM(node, struct session, node);
        node = node->next;
        session_retire(s);
    }
}

/* One look at how far the drain has come. */
static void drain_step(struct worker *w)
{
    uint64_t now_ms = worker_now_ms(w);
    if (w->stopping && now_ms >= w->stop_by_ms) {
        cut_all(w);
    }
    if (now_ms >= w->drain_idle_by_ms) {
        /* What is in flight goes on; agents are wanted where new calls go. */
        retire_idle_sessions(w);
        retire_tunnels(w, false);
    }
    if (!list_empty(&w->sessions) || !list_empty(&w->tunnels)) {
        return;
    }
    close_listeners(w, true);
    admin_retire(w, false);
    if (list_empty(&w->admin_sessions)) {
        close_own_handles(w);
    }
}

/* ---- messages ---- */

static void on_tunnel_up(struct worker *w, const struct link_message *m)
{
    tunnel_ref old = 0;
    bool mine = ref_worker(m->tunnel) == w->index;
    if (!mine && registry_up(&w->registry, m->server, m->tunnel, worker_now_ms(w), &old)) {
        struct tunnel *t = ref_worker(old) == w->index && old != 0 ? tunnel_find(w, old) : NULL;
        if (t != NULL) {
            tunnel_replace(t);
        }
    }
    exchange_unpark(w, m->server);
}

static void on_tunnel_down(struct worker *w, const struct link_message *m)
{
    if (ref_worker(m->tunnel) != w->index) {
        registry_down(&w->registry, m->server, m->tunnel, worker_now_ms(w));
    }
}

static void on_server(struct worker *w, const struct link_message *m)
{
    bool is_removed = directory_find_server(w->reader, m->server) == NULL;
    if (is_removed && w->index == 0) {
        board_forget(w->relay->board, m->server);
    }
    w->roster_is_stale = true;
    if (is_removed) {
        activity_forget(w->activity, m->server);
    }
    tunnel_check_server(w, m->server);
}

static void on_control_reply(struct worker *w, const struct link_message *m)
{
    struct tunnel *t = tunnel_find(w, m->tunnel);
    if (t != NULL) {
        struct span body = {(const char *)m->bytes, m->len};
        tunnel_control_reply(t, m->stream, (uint16_t)m->number, body);
    }
}

static void on_reload(struct worker *w)
{
    struct tls_server *old = NULL;
    pthread_mutex_lock(&w->relay->reload_lock);
    w->settings = w->relay->settings;
    if (w->next_tls != NULL) {
        old = w->tls;
        w->tls = w->next_tls;
        w->next_tls = NULL;
    }
    pthread_mutex_unlock(&w->relay->reload_lock);
    tls_server_free(old);
    w->roster_is_stale = true;
}

static void on_message(void *user, const struct link_message *m)
{
    struct worker *w = user;
    switch (m->kind) {
    case LINK_TUNNEL_UP: on_tunnel_up(w, m); return;
    case LINK_TUNNEL_DOWN: on_tunnel_down(w, m); return;
    case LINK_SERVER: on_server(w, m); return;
    case LINK_CONTROL: on_control_reply(w, m); return;
    case LINK_ADMIN: api_on_ran(w, m->number); return;
    case LINK_RELOAD: on_reload(w); return;
    case LINK_DRAIN: drain(w); return;
    case LINK_STOP: stop(w); return;
    case LINK_REQUEST:
    case LINK_RESET:
    case LINK_CONSUMED:
    case LINK_OPENED:
    case LINK_HANDED:
    case LINK_HEAD:
    case LINK_DATA:
    case LINK_FAILED:
    default: router_on_message(w, m); return;
    }
}

static void on_batch_end(void *user)
{
    exchange_flush_assembled(user);
}

/* ---- the loop ---- */

/* After however many changes of servers there were since the last tick. */
static void renew_roster(struct worker *w)
{
    if (w->index == 0 && w->roster_is_stale) {
        w->roster_is_stale = false;
        roster_renew(w->relay->roster, w->reader, w->settings.building_metrics);
    }
}

static void make_up_for_missed_servers(struct worker *w)
{
    if (atomic_exchange(&w->missed_servers, false)) {
        w->roster_is_stale = true;
        tunnel_check_server(w, TUNNEL_ANY_SERVER);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    w->now_s = clock_wall_s();
    atomic_store(&w->turned_ms, clock_now_ms());
    wheel_turn(&w->wheel, worker_now_ms(w));
    make_up_for_missed_servers(w);
    renew_roster(w);
    if (!atomic_load(&w->relay->running) && !w->stopping) {
        stop(w); /* not by a message, for which there may be no memory */
    }
    if (w->draining) {
        drain_step(w);
    }
}

static void on_again(uv_idle_t *again)
{
    (void)again; /* that it is active keeps the loop from sleeping */
}

/* What the events of this turn left to do. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct worker *w = prepare->data;
    exchange_flush_assembled(w);
    session_process_ready(w);
    if (tunnel_flush_dirty(w)) {
        uv_idle_start(&w->again, on_again); /* fails only without a callback */
    } else {
        uv_idle_stop(&w->again);
    }
    log_delay_turn(&w->log_delay);
    directory_leave(w->reader);
}

static void init_members(struct worker *w, struct relay *relay, unsigned index)
{
    memset(w, 0, sizeof(*w));
    w->relay = relay;
    w->index = index;
    w->settings = relay->settings;
    w->now_s = clock_wall_s();
    atomic_store(&w->turned_ms, clock_now_ms());
    w->request_prefix = random_u64();
    exchange_table_init(&w->exchanges, index);
    map_init_numbers(&w->tunnels_by_number, TUNNELS_MAX);
    list_init(&w->tunnels);
    list_init(&w->dirty_tunnels);
    list_init(&w->listeners);
    list_init(&w->sessions);
    list_init(&w->ready_sessions);
    list_init(&w->admin_sessions);
    list_init(&w->api_calls);
    list_init(&w->parked);
    buffer_init(&w->scratch, SCRATCH_BYTES_MAX);
    buffer_init(&w->frame, WEBSOCKET_FRAME_BYTES_MAX);
    buffer_init(&w->answer, ANSWER_BYTES_MAX);
}

static int init_loop(struct worker *w)
{
    if (uv_loop_init(&w->loop) < 0) {
        w->relay = NULL; /* nothing for worker_close */
        return ERROR_INTERNAL;
    }
    wheel_init(&w->wheel, uv_now(&w->loop));
    registry_init(&w->registry, uv_now(&w->loop));
    uv_timer_init(&w->loop, &w->tick);
    uv_prepare_init(&w->loop, &w->prepare);
    uv_idle_init(&w->loop, &w->again);
    log_delay_init(&w->log_delay, &w->loop);
    w->tick.data = w;
    w->prepare.data = w;
    uv_timer_start(&w->tick, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
    uv_prepare_start(&w->prepare, on_prepare);
    return link_open(&w->link, &w->loop, on_message, on_batch_end, w);
}

int worker_init(struct worker *w, struct relay *relay, unsigned index, struct error_text *e)
{
    init_members(w, relay, index);
    if (init_loop(w) < 0 || conn_shared_init(&w->io, &w->loop, &w->wheel) < 0) {
        return error_set(e, ERROR_INTERNAL, "cannot set up worker %u", index);
    }
    w->reader = directory_join(store_directory(relay->store));
    w->activity = activity_new();
    if (w->reader == NULL || w->activity == NULL) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    w->roster_is_stale = true;
    renew_roster(w);
    directory_leave(w->reader);
    w->roster_is_stale = true; /* once more: nobody is told of changes before the workers run */
    return 0;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    log_batch(true);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    log_batch(false);
    atomic_store(&w->ended, true);
    uv_async_send(w->relay->on_worker_end);
    return NULL;
}

int worker_start(struct worker *w, struct error_text *e)
{
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        return error_set(e, ERROR_NOMEM, "cannot start a thread");
    }
    w->started = true;
    return 0;
}

void worker_join(struct worker *w)
{
    if (w->started) {
        pthread_join(w->thread, NULL);
        w->started = false;
    }
}

/* A worker that never ran still has its handles: they are closed by running the loop once. */
static void close_loop(struct worker *w)
{
    close_listeners(w, true);
    close_own_handles(w);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    int err = uv_loop_close(&w->loop);
    if (err < 0) {
        log_event(LOG_LEVEL_ERROR, "loop closed with handles open", log_uint("worker", w->index),
                  log_text("error", uv_err_name(err)));
        abort();
    }
}

void worker_close(struct worker *w)
{
    if (w->relay == NULL) {
        return;
    }
    close_loop(w);
    api_free_rest(w);
    activity_free(w->activity);
    link_free_rest(&w->link);
    directory_part(w->reader);
    conn_shared_close(&w->io);
    registry_close(&w->registry);
    exchange_table_close(&w->exchanges);
    map_close(&w->tunnels_by_number);
    buffer_close(&w->scratch);
    buffer_close(&w->frame);
    buffer_close(&w->answer);
    while (w->n_spare_requests > 0) {
        struct request *r = w->spare_requests[--w->n_spare_requests];
        request_close(r);
        free(r);
    }
    while (w->n_spare_exchanges > 0) {
        free(w->spare_exchanges[--w->n_spare_exchanges]);
    }
    websocket_parser_free(w->spare_parser);
    tls_server_free(w->tls);
    tls_server_free(w->next_tls);
    w->relay = NULL;
}
