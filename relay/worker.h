/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: a thread with its own loop, listeners, client sessions, tunnels and exchanges. What
 * belongs to a worker is touched by its thread alone; workers talk through their links. */
#ifndef RELAY_WORKER_H
#define RELAY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/io/conn.h"
#include "proto/io/log_delay.h"
#include "proto/io/tls.h"
#include "proto/io/wheel.h"
#include "relay/front/activity.h"
#include "relay/front/client_rtt.h"
#include "relay/front/exchange_table.h"
#include "relay/front/peers.h"
#include "relay/link.h"
#include "relay/metrics.h"
#include "relay/roster.h"
#include "relay/settings.h"
#include "relay/store/credential.h"
#include "relay/store/store.h"
#include "relay/tunnel/board.h"
#include "relay/tunnel/registry.h"

/* Requests that are over and kept for the next ones until the worker ends, 4 to 6 kB each: malloc's
 * own cache of a thread takes nothing that long. */
#define WORKER_SPARE_REQUESTS 256
/* The same of exchanges, 176 bytes each: of such malloc's cache has seven, and requests come and go
 * by dozens. */
#define WORKER_SPARE_EXCHANGES 256

struct worker;

/* What all workers share. Set up before they start; what a reload replaces is taken over by each
 * worker when LINK_RELOAD reaches it. */
struct relay {
    struct store *store;
    struct board *board;   /* what `status` shows */
    struct roster *roster; /* buildings with series of their own in /metrics */
    struct peers *peers;   /* connections per address, refused keys per address */
    struct worker *workers;
    unsigned n_workers;
    _Atomic uint64_t next_tunnel; /* numbers of tunnels */
    _Atomic uint32_t n_connections;
    _Atomic bool running;        /* the workers take messages; if not, they end */
    uv_async_t *on_worker_end;   /* of the main thread's loop: a worker has ended */
    pthread_mutex_t reload_lock; /* guards the settings, and next_tls of the workers */
    struct settings settings;
    uint64_t started_ms;
    int64_t started_s;
    char software[32];           /* "thinknx-relay/0.1.0" */
    const char *config_path;     /* borrowed */
    char csrf[CREDENTIAL_BYTES]; /* of the pages where nobody logs in */
};

struct worker {
    struct relay *relay;
    unsigned index;
    pthread_t thread;
    uv_loop_t loop;
    struct link link;
    uv_timer_t tick;      /* turns the wheel */
    uv_prepare_t prepare; /* flush what was written, before sleeping */
    uv_idle_t again;      /* active while the loop is not to sleep */
    struct log_delay log_delay;
    struct wheel wheel;
    struct conn_shared io;
    struct settings settings;    /* this worker's copy */
    struct tls_server *tls;      /* owned; its own context (tickets are shared) */
    struct tls_server *next_tls; /* owned; put there by a reload */
    bool started;
    _Atomic bool ended;         /* its thread is through */
    _Atomic uint64_t turned_ms; /* clock_now_ms of its last tick; for the watchdog */
    struct directory_reader *reader;
    struct registry registry;
    struct exchange_table exchanges;
    struct map tunnels_by_number; /* u64 → struct tunnel */
    struct list tunnels;
    struct list dirty_tunnels; /* have something to send */
    struct list listeners;
    struct list sessions;
    struct list ready_sessions; /* have bytes of a next request to look at */
    struct list admin_sessions;
    size_t n_admin_sessions;
    struct list api_calls; /* operations of the pages under way */
    uint64_t next_api_call;
    size_t n_api_streams;      /* sessions that get the live log */
    size_t n_password_checks;  /* under way in libuv's pool */
    struct activity *activity; /* owned */
    struct list parked;        /* exchanges that wait for a tunnel */
    size_t n_parked;
    struct request *spare_requests[WORKER_SPARE_REQUESTS]; /* the last is the next to be used */
    size_t n_spare_requests;
    struct exchange *spare_exchanges[WORKER_SPARE_EXCHANGES]; /* as those */
    size_t n_spare_exchanges;
    struct websocket_parser *spare_parser; /* of all tunnels that are between frames */
    struct buffer scratch;                 /* text of an answer being written */
    struct buffer frame;                   /* websocket message being written */
    struct exchange *assembling;           /* whose answer is in `answer` */
    struct buffer answer;                  /* head and body of an answer, not yet written */
    struct metrics metrics;
    struct client_rtt client_rtt;
    uint64_t request_prefix; /* of generated request ids, random */
    uint64_t n_request_ids;
    bool roster_is_stale; /* worker 0: servers have changed */
    /* A LINK_SERVER did not fit into memory: any server may have changed. Set by any thread. */
    _Atomic bool missed_servers;
    bool draining;
    bool stopping;
    int64_t draining_s; /* since when, wall clock */
    uint64_t drain_idle_by_ms;
    uint64_t stop_by_ms;
    int64_t now_s;  /* wall clock, refreshed each tick */
    int64_t date_s; /* of `date` */
    char date[40];  /* the Date field */
};

/* Sets a worker up on the calling thread; it does not run yet. */
int worker_init(struct worker *w, struct relay *relay, unsigned index, struct error_text *e);

/* Starts its thread, which ends when it is told to (LINK_STOP, or LINK_DRAIN) or the relay is not
 * `running`; worker_join waits for that. 0, ERROR_NOMEM. */
int worker_start(struct worker *w, struct error_text *e);
void worker_join(struct worker *w);

/* Frees what worker_init made; the thread has ended, or was never started. */
void worker_close(struct worker *w);

/* Monotonic milliseconds of this turn of the loop. */
uint64_t worker_now_ms(const struct worker *w);

/* Posts `m` (takes it) to every worker, the caller's own included, or to none: 0, or ERROR_NOMEM,
 * which is logged. NULL is a message for which there was no memory. */
int worker_broadcast(struct relay *relay, struct link_message *m);

#endif
