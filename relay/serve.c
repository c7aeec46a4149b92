/* SPDX-License-Identifier: Apache-2.0 */
/* `thinknx-relay serve`. The main thread puts all together, then takes signals on a loop of its
 * own: TERM and INT drain (a second one ends at once), HUP reloads, USR2 starts a new process that
 * takes this one's place. Certificates are looked at every few seconds and reloaded when their
 * files have changed. */
#include "relay/serve.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/notify.h"
#include "proto/base/secret.h"
#include "proto/io/signals.h"
#include "proto/io/tickets.h"
#include "relay/addresses.h"
#include "relay/certificates.h"
#include "relay/config.h"
#include "relay/exit_codes.h"
#include "relay/reload.h"
#include "relay/replace.h"
#include "relay/watchdog.h"
#include "relay/worker.h"

/* How often certificate files are looked at. */
#define CERTIFICATE_LOOK_MS 5000
/* The key that session tickets are sealed with is replaced so often; tickets live for two hours. */
#define TICKETS_ROTATE_MS ((uint64_t)12 * 3600 * 1000)
/* After the drain's limit everything is cut; a process that has not ended so much later is stuck.
 */
#define STUCK_MS 5000
/* Without memory for a message the end is tried again so much later. */
#define STOP_RETRY_MS 100
/* Beside connections: listeners, loops, database. */
#define DESCRIPTORS_OWN 64
/* Upper bound of the default number of workers (docs/decisions.md: measured). */
#define WORKERS_DEFAULT_MAX 4

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2};

struct serve {
    struct relay_config config;
    const char *config_path;
    struct relay relay;
    struct tickets *tickets;
    uint64_t tickets_ms;         /* when their key was made */
    uint64_t certificates_stamp; /* of the files that are in use */
    bool certificates_owed;      /* memory ended before they were: once more */
    uv_loop_t loop;
    struct signals signals;
    struct replace replace;
    struct watchdog watchdog;
    uv_timer_t look;
    uv_timer_t limit;
    uv_async_t worker_end;
    unsigned n_stops; /* TERM and INT so far */
};

static unsigned worker_count(uint32_t configured)
{
    if (configured > 0) {
        return configured < REF_WORKERS_MAX ? configured : REF_WORKERS_MAX;
    }
    unsigned cores = uv_available_parallelism();
    if (cores <= 2) {
        return 1;
    }
    return cores / 2 < WORKERS_DEFAULT_MAX ? cores / 2 : WORKERS_DEFAULT_MAX;
}

/* ---- certificates ---- */

static void reload_certificates(struct serve *s)
{
    struct tls_server *tls[REF_WORKERS_MAX] = {NULL};
    struct error_text e;
    s->certificates_stamp = certificates_stamp(&s->config);
    int err = certificates_load(&s->config, s->tickets, s->relay.n_workers, tls, &e);
    s->certificates_owed = err == ERROR_NOMEM;
    if (err < 0) {
        log_event(LOG_LEVEL_ERROR, "new certificate refused, the old one stays",
                  log_text("reason", e.text));
        return;
    }
    s->certificates_owed = certificates_hand_over(&s->relay, tls) != 0;
    if (!s->certificates_owed) {
        log_event(LOG_LEVEL_INFO, "certificates reloaded",
                  log_uint("files", s->config.certificates.n_values));
    }
}

static void on_look(uv_timer_t *timer)
{
    struct serve *s = timer->data;
    if (s->certificates_owed || certificates_stamp(&s->config) != s->certificates_stamp) {
        reload_certificates(s);
    }
    if (clock_now_ms() - s->tickets_ms >= TICKETS_ROTATE_MS && tickets_rotate(s->tickets) == 0) {
        s->tickets_ms = clock_now_ms();
    }
}

/* ---- reload ---- */

static void reload(struct serve *s)
{
    struct relay_config new;
    struct tls_server *tls[REF_WORKERS_MAX] = {NULL};
    struct error_text e;
    uint64_t stamp = 0;
    (void)notify_sendf("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now_us());
    int err = relay_config_read(s->config_path, &new, &e);
    if (err == 0) {
        stamp = certificates_stamp(&new); /* before reading: what changes meanwhile is looked at */
        err = certificates_load(&new, s->tickets, s->relay.n_workers, tls, &e);
        if (err < 0) {
            relay_config_free(&new);
        }
    }
    if (err < 0) {
        log_event(LOG_LEVEL_ERROR, "new configuration refused, the old one stays",
                  log_text("reason", e.text));
        (void)notify_send("READY=1");
        return;
    }
    log_set_level((enum log_level) new.log_level);
    log_set_format((enum log_format) new.log_format);
    reload_keep_what_stays(&s->config, &new);
    pthread_mutex_lock(&s->relay.reload_lock);
    s->relay.settings = settings_of(&new);
    pthread_mutex_unlock(&s->relay.reload_lock);
    if (store_set_public_url(s->relay.store, new.public_url) < 0) {
        log_event(LOG_LEVEL_ERROR, "out of memory, agents are still told the old URL",
                  log_text("public_url", new.public_url));
    }
    s->certificates_owed = certificates_hand_over(&s->relay, tls) != 0;
    relay_config_free(&s->config);
    s->config = new;
    s->certificates_stamp = stamp;
    log_event(LOG_LEVEL_INFO, "configuration reloaded", log_text("file", s->config_path));
    (void)notify_send("READY=1");
}

/* ---- signals ---- */

static void on_limit(uv_timer_t *timer);
static void on_retry(uv_timer_t *timer);

/* Tells the workers to drain, or from the second time on to end. */
static void stop_workers(struct serve *s)
{
    bool drains = s->n_stops == 1;
    struct link_message *m = link_message_new(drains ? LINK_DRAIN : LINK_STOP, 0);
    if (worker_broadcast(&s->relay, m) != 0) {
        log_event(LOG_LEVEL_ERROR, "trying again", log_uint("ms", STOP_RETRY_MS));
        uv_timer_start(&s->limit, on_retry, STOP_RETRY_MS, 0);
        return;
    }
    uv_timer_start(&s->limit, on_limit, drains ? s->relay.settings.drain_ms : STUCK_MS, 0);
}

static void on_retry(uv_timer_t *timer)
{
    stop_workers(timer->data);
}

static void on_limit(uv_timer_t *timer)
{
    struct serve *s = timer->data;
    if (s->n_stops > 1) {
        log_event(LOG_LEVEL_ERROR, "workers do not end, giving up", log_uint("ms", STUCK_MS));
        _exit(EXIT_CODE_FAILURE);
    }
    s->n_stops = 2;
    log_event(LOG_LEVEL_WARN, "drain limit reached, cutting what is left", log_uint("stops", 2));
    stop_workers(s);
}

static void on_stop_signal(struct serve *s, int number)
{
    if (s->n_stops > 1) {
        return; /* nothing is quicker than what is under way */
    }
    s->n_stops++;
    if (!s->replace.running) { /* else the service goes on in the new process */
        (void)notify_send("STOPPING=1");
    }
    watchdog_stop(&s->watchdog);
    if (s->n_stops == 1) {
        log_event(LOG_LEVEL_INFO, "draining", log_int("signal", number),
                  log_uint("limit_ms", s->relay.settings.drain_ms));
    }
    stop_workers(s);
}

static void hand_over(struct serve *s)
{
    struct error_text e = {"it is ending"};
    /* The new process would ask this one to end, and that is what a second SIGTERM means. */
    if (s->n_stops > 0 || replace_start(&s->replace, &s->loop, s->config_path, &e) < 0) {
        log_event(LOG_LEVEL_ERROR, "cannot be replaced", log_text("reason", e.text));
    } else {
        log_event(LOG_LEVEL_INFO, "starting a new process to take over",
                  log_int("pid", s->replace.child.pid));
    }
}

static void on_signal(void *user, int number)
{
    switch (number) {
    case SIGHUP: reload(user); return;
    case SIGUSR2: hand_over(user); return;
    default: on_stop_signal(user, number); return;
    }
}

static bool all_ended(struct serve *s)
{
    for (unsigned i = 0; i < s->relay.n_workers; i++) {
        if (!atomic_load(&s->relay.workers[i].ended)) {
            return false;
        }
    }
    return true;
}

static void close_handles(struct serve *s)
{
    uv_handle_t *const handles[] = {
        (uv_handle_t *)&s->look,
        (uv_handle_t *)&s->limit,
        (uv_handle_t *)&s->worker_end,
        (uv_handle_t *)&s->watchdog.timer,
    };
    signals_close(&s->signals);
    for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
        if (!uv_is_closing(handles[i])) {
            uv_close(handles[i], NULL);
        }
    }
    if (s->replace.running && !uv_is_closing((uv_handle_t *)&s->replace.child)) {
        uv_close((uv_handle_t *)&s->replace.child, NULL);
    }
}

static void on_worker_end(uv_async_t *async)
{
    struct serve *s = async->data;
    if (all_ended(s)) {
        close_handles(s);
    }
}

/* ---- set up and down ---- */

/* Told from the store's thread. */
static void on_server_changed(void *user, int64_t server)
{
    struct relay *relay = user;
    if (!atomic_load(&relay->running)) {
        return;
    }
    struct link_message *m = link_message_new(LINK_SERVER, 0);
    if (m != NULL) {
        m->server = server;
    }
    if (worker_broadcast(relay, m) != 0) {
        for (unsigned i = 0; i < relay->n_workers; i++) {
            atomic_store(&relay->workers[i].missed_servers, true);
        }
    }
}

static void raise_descriptor_limit(uint32_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + DESCRIPTORS_OWN;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < wanted) {
        log_event(LOG_LEVEL_WARN, "file descriptors run out before [limits] connections is reached",
                  log_uint("limit", limit.rlim_cur), log_uint("wanted", wanted));
    }
}

static int open_workers(struct serve *s, struct error_text *e)
{
    struct relay *relay = &s->relay;
    relay->workers = calloc(relay->n_workers, sizeof(*relay->workers));
    if (relay->workers == NULL) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    for (unsigned i = 0; i < relay->n_workers; i++) {
        int err = worker_init(&relay->workers[i], relay, i, e);
        if (err < 0) {
            return err;
        }
    }
    struct tls_server *tls[REF_WORKERS_MAX] = {NULL};
    s->certificates_stamp = certificates_stamp(&s->config);
    int err = certificates_load(&s->config, s->tickets, relay->n_workers, tls, e);
    for (unsigned i = 0; i < relay->n_workers && err == 0; i++) {
        relay->workers[i].tls = tls[i];
    }
    return err;
}

static int open_loop(struct serve *s, struct error_text *e)
{
    int err = uv_loop_init(&s->loop);
    if (err < 0) {
        return error_set(e, ERROR_INTERNAL, "cannot set up the loop: %s", uv_strerror(err));
    }
    uv_timer_init(&s->loop, &s->look);
    uv_timer_init(&s->loop, &s->limit);
    uv_async_init(&s->loop, &s->worker_end, on_worker_end);
    watchdog_init(&s->watchdog, &s->loop, &s->relay);
    s->look.data = s;
    s->limit.data = s;
    s->worker_end.data = s;
    s->relay.on_worker_end = &s->worker_end;
    uv_timer_start(&s->look, on_look, CERTIFICATE_LOOK_MS, CERTIFICATE_LOOK_MS);
    return 0;
}

static void close_loop(struct serve *s)
{
    close_handles(s);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&s->loop) < 0) {
        abort();
    }
}

static void on_last_seen(void *user, const char *serial, const struct history_row *row)
{
    const struct relay *relay = user;
    board_recall(relay->board, serial, row);
}

/* So that what it was up to a kill is not taken for an end. */
static void note_start(struct relay *relay)
{
    const struct history_row row = {
        .at_ms = (int64_t)(clock_wall_us() / 1000), .leg = HISTORY_RELAY, .up = true};
    (void)store_note(relay->store, &row); /* one that is dropped is counted */
}

static int open_relay(struct serve *s, struct error_text *e)
{
    struct relay *relay = &s->relay;
    const struct store_events events = {
        .on_server = on_server_changed, .on_last = on_last_seen, .user = relay};
    struct credential csrf;
    relay->settings = settings_of(&s->config);
    relay->config_path = s->config_path;
    relay->n_workers = worker_count(s->config.workers);
    relay->started_ms = clock_now_ms();
    relay->started_s = clock_wall_s();
    (void)snprintf(relay->software, sizeof(relay->software), "thinknx-relay/%s", TNX_VERSION);
    s->tickets_ms = relay->started_ms;
    if (pthread_mutex_init(&relay->reload_lock, NULL) != 0 || tickets_new(&s->tickets) < 0 ||
        credential_make(&csrf) != 0) {
        return error_set(e, ERROR_INTERNAL, "no randomness");
    }
    memcpy(relay->csrf, csrf.text, sizeof(relay->csrf));
    credential_cleanse(&csrf);
    relay->peers = peers_new(CONFIG_CONNECTIONS_MAX);
    relay->board = board_new();
    relay->roster = roster_new();
    if (relay->peers == NULL || relay->board == NULL || relay->roster == NULL) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    int err = store_open(s->config.database, &events, &relay->store, e);
    if (err == 0) {
        board_set_store(relay->board, relay->store);
        note_start(relay);
        err = store_set_public_url(relay->store, s->config.public_url);
    }
    return err;
}

static int start_signals(struct serve *s, struct error_text *e)
{
    int err = signals_open(&s->signals, &s->loop, on_signal, s);
    return err == 0 ? 0 : error_set(e, err, "no file descriptor for signals");
}

static int start(struct serve *s, struct error_text *e)
{
    int err = start_signals(s, e);
    if (err == 0) {
        err = open_workers(s, e);
    }
    atomic_store(&s->relay.running, err == 0);
    if (err == 0) {
        err = addresses_open(&s->relay, &s->config, e);
    }
    if (err == 0) {
        err = addresses_announce(&s->relay, &s->config, e);
    }
    for (unsigned i = 0; i < s->relay.n_workers && err == 0; i++) {
        err = worker_start(&s->relay.workers[i], e);
    }
    return err;
}

static void close_relay(struct serve *s)
{
    struct relay *relay = &s->relay;
    atomic_store(&relay->running, false); /* ends those that run when another did not start */
    for (unsigned i = 0; i < relay->n_workers && relay->workers != NULL; i++) {
        worker_join(&relay->workers[i]);
    }
    if (relay->store != NULL) {
        store_stop(relay->store); /* it posts to the workers' links, which close now */
    }
    for (unsigned i = 0; i < relay->n_workers && relay->workers != NULL; i++) {
        worker_close(&relay->workers[i]);
    }
    if (relay->store != NULL) {
        store_close(relay->store);
    }
    free(relay->workers);
    peers_free(relay->peers);
    board_free(relay->board);
    roster_free(relay->roster);
    tickets_free(s->tickets);
}

static int run(struct serve *s)
{
    struct error_text e = {""};
    log_event(LOG_LEVEL_INFO, "starting", log_text("version", TNX_VERSION),
              log_text("config", s->config_path));
    int err = open_loop(s, &e);
    bool has_loop = err == 0;
    if (err == 0) {
        err = open_relay(s, &e);
    }
    if (err == 0) {
        err = start(s, &e);
    }
    if (err == 0) {
        log_event(LOG_LEVEL_INFO, "ready", log_uint("workers", s->relay.n_workers),
                  log_text("public_url", s->config.public_url));
        (void)notify_send("READY=1");
        watchdog_start(&s->watchdog);
        replace_finish();
        uv_run(&s->loop, UV_RUN_DEFAULT);
        log_event(LOG_LEVEL_INFO, "stopped", log_uint("signals", s->n_stops));
    } else {
        log_event(LOG_LEVEL_ERROR, "cannot start", log_text("reason", e.text));
    }
    close_relay(s);
    if (has_loop) {
        close_loop(s);
    }
    if (err == 0) {
        return EXIT_CODE_OK;
    }
    return err == ERROR_CONFIG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILURE;
}

int serve_with(const char *config_path, struct relay_config *c)
{
    struct serve *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)fputs("thinknx-relay: no memory\n", stderr);
        return EXIT_CODE_FAILURE;
    }
    s->config = *c;
    memset(c, 0, sizeof(*c));
    s->config_path = config_path;
    signals_hold(&s->signals, signal_numbers, sizeof(signal_numbers) / sizeof(signal_numbers[0]));
    replace_init(&s->replace);
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level((enum log_level)s->config.log_level);
    log_set_format((enum log_format)s->config.log_format);
    raise_descriptor_limit(s->config.connections);
    int code = run(s);
    relay_config_free(&s->config);
    free(s);
    return code;
}
