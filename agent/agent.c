/* SPDX-License-Identifier: Apache-2.0 */
/* Composition.
 *
 * Start: configuration, loop, libwebsockets, server, status socket, signals, one dialer per relay.
 * A status socket that cannot be made is only a warning: forwarding matters more.
 *
 * Reload (SIGHUP): the new file is read whole; if anything is wrong with it the old one stays. A
 * changed server gets a new pool, the old one goes when its last call is over. The relays come
 * last: one that cannot be taken up then stays as it was, or away, and the rest is the new one's.
 *
 * End (first SIGTERM or SIGINT): the relays drain; when the last is closed, or the time is up and
 * they were cut, the server's pools, the status socket and the signals are closed; when all of that
 * is gone the loop is stopped, libwebsockets closes its context on it, and the loop ends. */
#include "agent/agent.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "agent/answer.h"
#include "agent/config.h"
#include "agent/console.h"
#include "agent/devices.h"
#include "agent/edition.h"
#include "agent/forward.h"
#include "agent/pages.h"
#include "agent/process.h"
#include "agent/relays.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/notify.h"
#include "proto/io/signals.h"

/* What remains after the drain: close frames, and the last handles. */
#define END_MS (LINK_FINISH_MS + 1000)

/* Memory is given back so long after the first tunnel is up, and then now and then. */
#define TIDY_FIRST_MS 1000
#define TIDY_MS       60000

/* How long the end waits for a resolver that has not answered. */
#define LEAVE_MS 1000

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};
#define N_SIGNALS (sizeof(signal_numbers) / sizeof(signal_numbers[0]))

struct agent {
    uv_loop_t loop;
    const char *path; /* of the configuration; borrowed */
    struct edition *edition;
    struct edition *first; /* what runs of the settings that a reload does not change */
    struct link_set *links;
    struct forward *forward;
    size_t n_forwards; /* not closed yet, old ones included */
    struct relays relays;
    struct console *console; /* NULL if it could not be made, or is closed */
    struct pages *pages;     /* likewise */
    char *runtime_file;      /* that was written; NULL = none */
    struct signals signals;
    uv_timer_t timer; /* end of the drain */
    uv_timer_t tidy;
    uv_timer_t watchdog;
    bool code_trimmed;
    int64_t started_s;
    bool ending;
    bool parts_closing;
};

/* Streams: whichever server is the current one takes a new request. */

static void on_request(void *user, struct mux *m, uint32_t stream, const struct head_request *head,
                       bool end, void **stream_user)
{
    struct agent *a = user;
    if (span_equal(head->path, span_of(HEAD_DEVICES_PATH))) {
        devices_on_request(edition_config(a->edition), a->forward, m, stream, head, end,
                           stream_user);
    } else {
        forward_on_request(a->forward, m, stream, head, end, stream_user);
    }
}

static const struct tunnel_streams streams = {
    .on_request = on_request,
    .on_data = forward_on_data,
    .on_reset = forward_on_reset,
    .on_room = forward_on_room,
    .on_done = forward_on_done,
};

/* The end, from its last step to its first. */

static void stop_if_done(struct agent *a)
{
    if (a->parts_closing && a->n_forwards == 0 && a->console == NULL && a->pages == NULL) {
        uv_stop(&a->loop);
    }
}

static void on_console_closed(void *user)
{
    struct agent *a = user;
    a->console = NULL;
    stop_if_done(a);
}

static void on_pages_closed(void *user)
{
    struct agent *a = user;
    a->pages = NULL;
    stop_if_done(a);
}

static void on_forward_closed(void *user)
{
    struct agent *a = user;
    a->n_forwards--;
    stop_if_done(a);
}

static void close_parts(struct agent *a)
{
    if (a->parts_closing) {
        return;
    }
    a->parts_closing = true;
    signals_close(&a->signals);
    uv_close((uv_handle_t *)&a->timer, NULL);
    uv_close((uv_handle_t *)&a->tidy, NULL);
    uv_close((uv_handle_t *)&a->watchdog, NULL);
    if (a->forward != NULL) {
        forward_close(a->forward, true, on_forward_closed, a);
    }
    if (a->console != NULL) {
        console_close(a->console, on_console_closed, a);
    }
    if (a->pages != NULL) {
        pages_close(a->pages, on_pages_closed, a);
    }
    stop_if_done(a);
}

static void on_relays_empty(void *user)
{
    close_parts(user);
}

static void on_drain_over(uv_timer_t *timer)
{
    struct agent *a = timer->data;
    log_event(LOG_LEVEL_WARN, "drain took too long", log_text("result", "requests were cut"));
    relays_cut(&a->relays);
}

static void begin_end(struct agent *a, const char *why)
{
    uint32_t drain_ms = edition_config(a->edition)->drain_ms;

    if (a->ending) {
        log_event(LOG_LEVEL_WARN, "ending at once", log_text("reason", why));
        relays_cut(&a->relays);
        return;
    }
    log_event(LOG_LEVEL_INFO, "ending", log_text("reason", why), log_uint("drain_ms", drain_ms));
    (void)notify_send("STOPPING=1");
    a->ending = true;
    (void)uv_timer_start(&a->timer, on_drain_over, (uint64_t)drain_ms + END_MS, 0);
    relays_drain(&a->relays);
    if (relays_empty(&a->relays)) {
        close_parts(a);
    }
}

static void on_tidy(uv_timer_t *timer)
{
    struct agent *a = timer->data;

    process_trim_heap();
    if (!a->code_trimmed) {
        a->code_trimmed = true;
        process_trim_code();
    }
}

static void on_up(void *user)
{
    struct agent *a = user;

    if (!uv_is_active((uv_handle_t *)&a->tidy) && !a->parts_closing) {
        (void)uv_timer_start(&a->tidy, on_tidy, TIDY_FIRST_MS, TIDY_MS);
    }
}

/* Reload. */

static int reload_server(struct agent *a, const struct config *c, struct error_text *e)
{
    const struct upstream_settings settings = config_upstream(c);
    struct forward *made;

    if (config_same_upstream(edition_config(a->edition), c)) {
        return 0;
    }
    int rc = forward_new(&a->loop, &settings, &made, e);
    if (rc != 0) {
        return rc;
    }
    forward_close(a->forward, false, on_forward_closed, a);
    a->forward = made;
    a->n_forwards++;
    return 0;
}

static void apply_log(const struct config *c)
{
    log_set_format((enum log_format)c->log_format);
    log_set_level((enum log_level)c->log_level);
}

/* All but the relays. 0; or an error with everything as before. */
static int reload(struct agent *a, struct error_text *e)
{
    struct config *c;
    int rc = config_load(a->path, &c, e);

    if (rc != 0) {
        return rc;
    }
    struct edition *ed = edition_new(c);
    if (ed == NULL) {
        config_free(c);
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    rc = reload_server(a, c, e);
    if (rc != 0) {
        edition_unref(ed);
        return rc;
    }
    apply_log(c);
    config_say_what_stays(edition_config(a->first), c);
    edition_unref(a->edition);
    a->edition = ed;
    return 0;
}

static void on_hangup(struct agent *a)
{
    struct error_text e;

    if (a->ending) {
        return;
    }
    (void)notify_sendf("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now_us());
    if (reload(a, &e) != 0) {
        log_event(LOG_LEVEL_ERROR, "configuration not reloaded, the old one stays",
                  log_text("reason", e.text));
    } else if (relays_load(&a->relays, a->edition, &e) != 0) {
        log_event(LOG_LEVEL_ERROR, "configuration reloaded, but not for every relay",
                  log_text("reason", e.text));
    } else {
        log_event(LOG_LEVEL_INFO, "configuration reloaded", log_text("path", a->path));
    }
    (void)notify_send("READY=1");
}

static void on_signal(void *user, int number)
{
    if (number == SIGHUP) {
        on_hangup(user);
    } else {
        begin_end(user, number == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void tell_about(void *user, struct answer_about *about)
{
    const struct agent *a = user;
    *about = (struct answer_about){
        .config = edition_config(a->edition),
        .relays = &a->relays,
        .forward = a->forward,
        .started_s = a->started_s,
        .ending = a->ending,
    };
}

static void on_question(void *user, struct console_call *call, const json_t *question)
{
    struct answer_about about;
    tell_about(user, &about);
    answer(&about, call, question);
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    (void)notify_send("WATCHDOG=1"); /* one that is lost is made good by the next */
}

/* There is one loop, and it lives as long as this timer fires: three times per interval. */
static void start_watchdog(struct agent *a)
{
    uint64_t third_ms = notify_watchdog_ms() / 3;

    if (third_ms > 0) {
        (void)uv_timer_start(&a->watchdog, on_watchdog, third_ms, third_ms);
    }
}

/* Start. */

static void start_timers(struct agent *a)
{
    (void)uv_timer_init(&a->loop, &a->timer); /* neither can fail */
    (void)uv_timer_init(&a->loop, &a->tidy);
    (void)uv_timer_init(&a->loop, &a->watchdog);
    a->timer.data = a;
    a->tidy.data = a;
}

static int start_signals(struct agent *a, struct error_text *e)
{
    int rc = signals_open(&a->signals, &a->loop, on_signal, a);
    return rc == 0 ? 0 : error_set(e, rc, "no file descriptor for signals");
}

static void open_console(struct agent *a)
{
    struct error_text e;

    if (console_open(&a->loop, edition_config(a->edition)->status_socket, on_question, a,
                     &a->console, &e) != 0) {
        a->console = NULL;
        log_event(LOG_LEVEL_WARN, "no status socket", log_text("reason", e.text));
    }
}

static void open_pages(struct agent *a)
{
    const char *listen = edition_config(a->edition)->pages_listen;
    struct error_text e;

    if (listen != NULL && pages_open(&a->loop, listen, tell_about, a, &a->pages, &e) != 0) {
        a->pages = NULL;
        log_event(LOG_LEVEL_WARN, "no pages", log_text("reason", e.text));
    }
}

static void start_relays(struct agent *a)
{
    const struct relays_owner owner = {
        .loop = &a->loop,
        .links = a->links,
        .streams = &streams,
        .streams_user = a,
        .on_up = on_up,
        .on_empty = on_relays_empty,
        .user = a,
    };
    relays_init(&a->relays, &owner);
}

static int start(struct agent *a, struct error_text *e)
{
    const struct config *c = edition_config(a->edition);
    const struct upstream_settings settings = config_upstream(c);
    int rc = start_signals(a, e);

    rc = rc != 0 ? rc : link_set_new(&a->loop, &a->links, e);
    rc = rc != 0 ? rc : forward_new(&a->loop, &settings, &a->forward, e);
    a->n_forwards = a->forward != NULL ? 1 : 0;
    if (rc == 0) {
        start_relays(a);
        rc = relays_load(&a->relays, a->edition, e);
    }
    rc = rc != 0 ? rc : process_write_runtime(c, &a->runtime_file, e);
    if (rc == 0) {
        open_console(a);
        open_pages(a);
    }
    return rc;
}

static void on_leave(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Runs the loop until it ends by itself, or a resolver holds it for too long. True if it ended. */
static bool run_out(struct agent *a)
{
    uv_timer_t leave;

    (void)uv_timer_init(&a->loop, &leave);
    uv_unref((uv_handle_t *)&leave);
    (void)uv_timer_start(&leave, on_leave, LEAVE_MS, 0);
    while (a->links != NULL && link_set_n_links(a->links) > 0 &&
           uv_is_active((uv_handle_t *)&leave)) {
        (void)uv_run(&a->loop, UV_RUN_ONCE);
    }
    if (a->links != NULL) {
        link_set_stop(a->links);
    }
    bool ended = uv_run(&a->loop, UV_RUN_DEFAULT) == 0;
    uv_close((uv_handle_t *)&leave, NULL);
    (void)uv_run(&a->loop, UV_RUN_NOWAIT);
    return ended;
}

/* `code` is what the process will end with if this succeeds. */
static int finish(struct agent *a, int code)
{
    bool ended = run_out(a);

    process_remove_runtime(a->runtime_file);
    if (!ended) {
        log_event(LOG_LEVEL_INFO, "ended", log_text("reason", "a name is still being resolved"));
        _exit(code); /* exit would wait for libuv's threads, and so for the resolver */
    }
    link_set_free(a->links);
    int rc = uv_loop_close(&a->loop);
    assert(rc == 0);
    edition_unref(a->first);
    edition_unref(a->edition);
    log_event(LOG_LEVEL_INFO, "ended", log_text("reason", "all closed"));
    return rc == 0 ? code : 1;
}

static int run(struct agent *a)
{
    struct error_text e;
    int code = 0;

    start_timers(a);
    int rc = start(a, &e);
    if (rc != 0) {
        log_event(LOG_LEVEL_ERROR, "cannot start", log_text("reason", e.text));
        code = rc == ERROR_CONFIG ? 2 : 1;
        a->ending = true;
        relays_cut(&a->relays);
        if (relays_empty(&a->relays)) {
            close_parts(a);
        }
    } else {
        log_event(LOG_LEVEL_INFO, "started", log_text("version", TNX_VERSION),
                  log_text("serial", edition_config(a->edition)->serial),
                  log_text("server", edition_config(a->edition)->server_url),
                  log_uint("relays", edition_config(a->edition)->relay_urls.n_values));
        (void)notify_send("READY=1");
        start_watchdog(a);
    }
    (void)uv_run(&a->loop, UV_RUN_DEFAULT); /* until stop_if_done */
    return finish(a, code);
}

int agent_run(const char *config_path)
{
    struct agent a = {.path = config_path, .started_s = clock_wall_s()};
    struct config *c;
    struct error_text e;

    signals_hold(&a.signals, signal_numbers, N_SIGNALS);
    process_prepare();
    int rc = config_load(config_path, &c, &e);
    if (rc != 0) {
        (void)fprintf(stderr, "thinknx-agent: %s\n", e.text);
        return rc == ERROR_NOMEM ? 1 : 2;
    }
    a.edition = edition_new(c);
    relays_init(&a.relays, &(struct relays_owner){.user = &a});
    if (a.edition == NULL || uv_loop_init(&a.loop) != 0) {
        (void)fprintf(stderr, "thinknx-agent: no memory\n");
        config_free(c);
        free(a.edition);
        return 1;
    }
    a.first = edition_ref(a.edition);
    apply_log(c);
    return run(&a);
}
