/* SPDX-License-Identifier: Apache-2.0 */
/* The store thread: the only one of the relay's threads that touches SQLite while it serves. It
 * notices changes made by other processes within STORE_POLL_MS, brings the directory up to date,
 * writes what the workers hand it (audit rows, history, last-used times), and runs the agents'
 * control calls. A database that becomes read-only, full or locked stops none of the serving: the
 * directory stays as it is, the failure is logged once and counted. */
#ifndef RELAY_STORE_STORE_H
#define RELAY_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/span.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"
#include "relay/store/history.h"

/* How often another process's changes are looked for (PRAGMA data_version). */
#define STORE_POLL_MS 100
/* Jobs that may wait for the thread; one more is dropped and counted (audit: logged instead). */
#define STORE_QUEUE_MAX 4096
/* Last-used times are written back this often. */
#define STORE_LAST_USED_MS 5000

struct store;

/* What changed, told from the store thread after the directory is up to date. The callback only
 * posts a message to the workers. */
struct store_events {
    /* A server was added, changed, disabled or removed. */
    void (*on_server)(void *user, int64_t server_id);
    /* While store_open runs, on its thread: how each building's tunnel was last seen. May be NULL.
     */
    void (*on_last)(void *user, const char *serial, const struct history_row *row);
    void *user;
};

/* Opens and checks the database (PRAGMA quick_check), migrates it, fills the directory, starts
 * the thread. `events` is copied, and may be NULL. 0; ERROR_NOT_FOUND (no such file: init makes
 * it), ERROR_IO, ERROR_CONFIG (not a database of ours; made by a newer version), ERROR_NOMEM. */
int store_open(const char *path, const struct store_events *events, struct store **s,
               struct error_text *e);

/* Finishes the waiting jobs and stops the thread: no callback fires afterwards. Idempotent. */
void store_stop(struct store *s);

/* store_stop, and frees. All readers must have parted. */
void store_close(struct store *s);

struct directory *store_directory(struct store *s);

/* What the URL in the answer to a control call begins with (copies). Any thread; what it was before
 * stays on failure. 0, or ERROR_NOMEM. */
int store_set_public_url(struct store *s, const char *url);

/* Writes an audit row, later. `who` is "agent:SERIAL", "operator", "relay"; no secret in any. */
void store_audit(struct store *s, const char *who, const char *what, const char *detail);

/* Writes a row of the connection history, later (copies). 0; ERROR_LIMIT (the queue is half full),
 * ERROR_NOMEM: it is dropped, and counted. On a read-only disk nothing is kept, and that is 0. */
int store_note(struct store *s, const struct history_row *row);

/* An agent's control call, answered from the store thread through `done` (exactly once). `op` and
 * bodies as in proto/PROTOCOL.md section "Control calls": enable, list, revoke keys of the
 * server `server_id`. 0, or ERROR_LIMIT (queue full: `done` is not called). */
int store_control(struct store *s, int64_t server_id, uint16_t op, struct span body,
                  void (*done)(void *user, uint16_t status, struct span body), void *user);

/* Runs an operation on the store thread: `work`, then, when the directory is up to date with what
 * it changed, `done`; both from that thread, each exactly once. 0, or ERROR_LIMIT (queue full:
 * neither is called). */
int store_run(struct store *s, void (*work)(void *user, struct database *db),
              void (*done)(void *user), void *user);

struct store_stats {
    uint64_t n_refreshes;
    uint64_t n_failures; /* writes that failed */
    uint64_t n_dropped;  /* jobs dropped because the queue was full */
    bool healthy;        /* the last operation worked */
};
void store_read_stats(struct store *s, struct store_stats *stats);

#endif
