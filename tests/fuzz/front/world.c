/* SPDX-License-Identifier: Apache-2.0 */
/* A relay's worker, turned by hand. */
#include "tests/fuzz/front/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "relay/front/session.h"
#include "relay/store/credential.h"
#include "relay/store/database.h"
#include "relay/store/value.h"
#include "relay/tunnel/tunnel.h"

/* Turns that carry everything through that is on its way. */
#define TURNS 6
/* Turns until all is closed; more are needed only when something hangs. */
#define SETTLE_TURNS 2000
#define CONNECTIONS  1000

static struct relay relay;
static struct worker worker;
static char folder[] = "/tmp/fuzz-front-XXXXXX";
static char path[64];

void world_require(bool promise)
{
    if (!promise) {
        abort();
    }
}

/* When leaks are looked for the store's thread still lives, and clang 14 does not look where
 * OpenSSL keeps what belongs to a thread (pthread keys): its generator of random numbers once a key
 * has been made. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto.so\n";
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* The store's thread ends before the libraries that it uses do. */
static void leave(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char name[80];
    if (relay.store != NULL) {
        store_stop(relay.store);
    }
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
    (void)rmdir(folder);
}

static void insert(struct database *db, const char *sql, const char *secret, const char *text)
{
    sqlite3_stmt *statement = NULL;
    struct error_text e;
    struct credential_hasher h;
    uint8_t hash[CREDENTIAL_HASH_BYTES];
    world_require(credential_hasher_init(&h) == 0);
    world_require(credential_hash(&h, span_of(secret), hash));
    credential_hasher_close(&h);
    world_require(database_prepare(db, sql, &statement, &e) == 0);
    value_bind_blob(statement, 1, hash, sizeof(hash));
    value_bind_text(statement, 2, span_of(text));
    world_require(database_run(db, statement, &e) == 0);
}

static void make_database(void)
{
    struct database *db = NULL;
    struct error_text e;
    world_require(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/relay.db", folder);
    (void)atexit(leave);
    world_require(database_create(path, &e) == 0 && database_open(path, false, &db, &e) == 0);
    insert(db, "INSERT INTO servers (token_hash, serial, created_at) VALUES (?, ?, 1)", WORLD_TOKEN,
           WORLD_SERIAL);
    insert(db,
           "INSERT INTO keys (server_id, hash, scope, created_at, created_by)"
           " VALUES (1, ?, ?, 1, 'fuzz')",
           WORLD_KEY, "");
    database_close(db);
}

static struct settings test_settings(void)
{
    struct settings s = {
        .public_url = "https://relay.example",
        .key_rate = {1000000, 1000000},
        .connections = CONNECTIONS,
        .connections_per_address = CONNECTIONS,
        .in_flight_per_server = 64,
        .parked = 16,
        .offline_grace_ms = 3000,
        .drain_ms = 25000,
        .ping_idle_ms = 20000,
        .reply_deadline_ms = 10000,
    };
    s.handshake_ms = s.head_ms = s.body_ms = s.idle_ms = s.write_ms = 3600000;
    s.server_ms = s.server_fb_ms = 3600000; /* the machine's pace decides nothing */
    return s;
}

struct worker *world_open(void)
{
    struct error_text e;
    if (relay.workers != NULL) {
        return &worker;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    make_database();
    relay.settings = test_settings();
    relay.workers = &worker;
    relay.n_workers = 1;
    relay.started_ms = clock_now_ms();
    (void)snprintf(relay.software, sizeof(relay.software), "relay/fuzz");
    world_require(pthread_mutex_init(&relay.reload_lock, NULL) == 0);
    relay.peers = peers_new(CONNECTIONS);
    relay.board = board_new();
    relay.roster = roster_new();
    world_require(relay.peers != NULL && relay.board != NULL && relay.roster != NULL);
    world_require(store_open(path, NULL, &relay.store, &e) == 0);
    world_require(worker_init(&worker, &relay, 0, &e) == 0);
    atomic_store(&relay.running, true);
    return &worker;
}

void world_turn(void)
{
    for (int i = 0; i < TURNS; i++) {
        (void)uv_run(&worker.loop, UV_RUN_NOWAIT);
    }
}

void world_connect(struct world_peer *p, bool is_redirect)
{
    int fds[2];
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(4711)};
    from.sin_addr.s_addr = htonl(0xc0000201);
    const struct sockaddr *address = (const struct sockaddr *)&from;
    struct peer_address counted = peers_address(address);
    world_require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    atomic_fetch_add(&relay.n_connections, 1);
    world_require(peers_connect(relay.peers, &counted, CONNECTIONS));
    world_require(session_open(&worker, fds[1], address, &counted, false, is_redirect) == 0);
    p->fd = fds[0];
    p->ended = false;
    buffer_init(&p->sent, WORLD_BYTES_MAX);
    buffer_init(&p->received, WORLD_BYTES_MAX);
    world_turn();
}

void world_send(struct world_peer *p, const void *bytes, size_t len)
{
    if (p->fd < 0 || len == 0) {
        return;
    }
    ssize_t n = write(p->fd, bytes, len);
    if (n > 0) {
        world_require(buffer_append(&p->sent, bytes, (size_t)n) == 0);
    }
}

void world_receive(struct world_peer *p)
{
    static uint8_t bytes[65536];
    ssize_t n = p->fd < 0 ? -1 : read(p->fd, bytes, sizeof(bytes));
    for (; n > 0; n = read(p->fd, bytes, sizeof(bytes))) {
        world_require(buffer_append(&p->received, bytes, (size_t)n) == 0);
    }
    p->ended = p->ended || n == 0 || (p->fd >= 0 && errno == ECONNRESET);
}

void world_half_close(struct world_peer *p)
{
    if (p->fd >= 0) {
        (void)shutdown(p->fd, SHUT_WR);
    }
}

void world_close(struct world_peer *p)
{
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
    buffer_close(&p->sent);
    buffer_close(&p->received);
}

static void end_all(void)
{
    struct list *node = worker.sessions.next;
    while (node != &worker.sessions) {
        struct session *s = LIST_ITEM(node, struct session, node);
        node = node->next;
        session_kill(s);
    }
    for (node = worker.tunnels.next; node != &worker.tunnels; node = node->next) {
        tunnel_kill(tunnel_of(node));
    }
}

void world_settle(void)
{
    for (int i = 0; i < SETTLE_TURNS; i++) {
        end_all();
        world_turn();
        if (list_empty(&worker.sessions) && list_empty(&worker.tunnels)) {
            break;
        }
    }
    world_require(list_empty(&worker.sessions) && list_empty(&worker.tunnels));
    world_require(list_empty(&worker.parked) && worker.n_parked == 0);
    world_require(atomic_load(&relay.n_connections) == 0);
}
