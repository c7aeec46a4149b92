/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator as a running server.
 *
 * It starts from the inside out (house, credentials, logs, bus, service, then the loop's handles),
 * and ends when SIGTERM or SIGINT has closed every handle: then uv_run returns by itself. A SIGHUP
 * reads the control file again; a bad file leaves everything as it was. */
#include "tests/simulator/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/simulator/house_json.h"

/* How often idle connections are looked for. */
#define TICK_MS 1000

static int start_house(struct server *s, struct error_text *e)
{
    if (s->options->devices != NULL) {
        return house_read(s->options->devices, &s->house, e);
    }
    return house_parse("house.json (built in)",
                       (struct span){(const char *)HOUSE_JSON, HOUSE_JSON_BYTES}, &s->house, e);
}

static int start_auth(struct server *s, struct error_text *e)
{
    const struct options *o = s->options;
    char password[SECRET_BYTES] = "";
    struct auth_settings settings = {
        .mode = o->auth,
        .user = o->user,
        .password = password,
        .nonce_uses = o->nonce_uses,
        .nonce_lifetime_ms = o->nonce_lifetime_s * 1000,
        .nonce_count = o->nonce_count,
    };
    int rc = 0;

    memcpy(settings.offers, o->offers, sizeof settings.offers);
    if (o->auth != AUTH_NONE) {
        rc = secret_read_file(o->password_file, password, e);
    }
    if (rc == 0) {
        rc = auth_init(&s->auth, &settings, e);
    }
    secret_cleanse(password, sizeof password);
    return rc == ERROR_IO ? ERROR_CONFIG : rc;
}

static void on_connection(uv_stream_t *stream, void *arg)
{
    struct server *s = arg;
    int rc = conn_accept(&s->host, stream);

    if (rc != 0) {
        log_event(LOG_LEVEL_WARN, "connection not accepted", log_text("reason", error_name(rc)));
    }
}

static void reset_conns(struct server *s)
{
    struct list *node = NULL;

    while ((node = list_first(&s->host.conns)) != NULL) {
        conn_reset(LIST_ITEM(node, struct conn, node));
    }
}

static void on_tick(uv_timer_t *tick)
{
    struct server *s = tick->data;
    uint64_t idle_ms = (uint64_t)s->options->keepalive_s * 1000;
    uint64_t now_ms = uv_now(&s->loop);
    struct list *node = s->host.conns.next;

    while (node != &s->host.conns) {
        struct list *next = node->next;
        conn_close_if_idle(LIST_ITEM(node, struct conn, node),
                           now_ms > idle_ms ? now_ms - idle_ms : 0);
        node = next;
    }
}

/* Lets the switches take effect: those of the service, and whether anybody listens. */
static int apply_switches(struct server *s, const struct switches *switches, struct error_text *e)
{
    service_switch(&s->service, switches);
    if (!switches->refuse_connections) {
        return listener_start(&s->listener, e);
    }
    listener_stop(&s->listener);
    reset_conns(s);
    return 0;
}

static int load_switches(struct server *s, struct error_text *e)
{
    struct switches switches = s->options->switches;
    int rc = 0;

    if (s->options->control != NULL && access(s->options->control, F_OK) == 0) {
        rc = switches_read(s->options->control, &s->options->switches, &switches, e);
    }
    return rc != 0 ? rc : apply_switches(s, &switches, e);
}

/* One line on stdout for the program that started us. */
static void tell(const char *what, const char *text)
{
    if (printf("%s %s\n", what, text) < 0 || fflush(stdout) != 0) {
        log_event(LOG_LEVEL_WARN, "stdout is gone", log_text("line", what));
    }
}

static void on_reload(uv_signal_t *signal, int number)
{
    struct server *s = signal->data;
    struct error_text e = {""};
    char count[24];
    int rc = load_switches(s, &e);

    (void)number;
    (void)snprintf(count, sizeof count, "%llu", (unsigned long long)++s->n_reloads); /* fits */
    if (rc != 0) {
        log_event(LOG_LEVEL_ERROR, "control file not reloaded", log_text("reason", e.text));
    } else {
        log_event(LOG_LEVEL_INFO, "control file reloaded", log_uint("reload", s->n_reloads));
    }
    tell(rc == 0 ? "reloaded" : "reload failed", count);
}

/* Closes every handle, so that the loop ends. */
static void stop(struct server *s)
{
    struct list *node = NULL;

    while ((node = list_first(&s->host.conns)) != NULL) {
        conn_close(LIST_ITEM(node, struct conn, node));
    }
    listener_close(&s->listener);
    bus_close(&s->bus);
    if (!uv_is_closing((uv_handle_t *)&s->tick)) {
        uv_close((uv_handle_t *)&s->tick, NULL);
        uv_close((uv_handle_t *)&s->ends[0], NULL);
        uv_close((uv_handle_t *)&s->ends[1], NULL);
        uv_close((uv_handle_t *)&s->reloads, NULL);
    }
}

static void on_end(uv_signal_t *signal, int number)
{
    struct server *s = signal->data;

    log_event(LOG_LEVEL_INFO, "stopping", log_int("signal", number),
              log_uint("requests", s->journal.n_requests),
              log_uint("commands", s->journal.n_commands));
    stop(s);
}

static int write_runtime_file(const struct server *s, struct error_text *e)
{
    char host[LISTENER_TEXT_BYTES];
    char address[LISTENER_TEXT_BYTES];
    char temporary[4096];
    FILE *file = NULL;
    bool written = false;
    const char *path = s->options->runtime_file;

    listener_format_host(&s->listener, host);
    listener_format(&s->listener, address);
    if (snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid()) >=
        (int)sizeof temporary) {
        return error_set(e, ERROR_CONFIG, "--runtime-file: the name is too long");
    }
    file = fopen(temporary, "we");
    if (file == NULL) {
        return error_set(e, ERROR_IO, "cannot write %.256s", temporary);
    }
    written = fprintf(file, "{\"listen\":\"%s\",\"host\":\"%s\",\"port\":%u,\"pid\":%d}\n", address,
                      host, (unsigned)listener_port(&s->listener), (int)getpid()) > 0;
    written = fclose(file) == 0 && written;
    if (!written || rename(temporary, path) != 0) {
        (void)unlink(temporary); /* the sentence below is what counts */
        return error_set(e, ERROR_IO, "cannot write %.256s", path);
    }
    return 0;
}

/* As many descriptors as allowed, for the connections. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* else fewer connections */
    }
}

static int start_signal(struct server *s, uv_signal_t *signal, int number, uv_signal_cb on_signal)
{
    signal->data = s;
    return uv_signal_init(&s->loop, signal) != 0 ? -1 : uv_signal_start(signal, on_signal, number);
}

static int start_handles(struct server *s, struct error_text *e)
{
    s->tick.data = s;
    if (uv_timer_init(&s->loop, &s->tick) != 0 ||
        uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS) != 0 ||
        start_signal(s, &s->ends[0], SIGTERM, on_end) != 0 ||
        start_signal(s, &s->ends[1], SIGINT, on_end) != 0 ||
        start_signal(s, &s->reloads, SIGHUP, on_reload) != 0) {
        /* Only if the process has no descriptors left; then there is no way on. */
        return error_set(e, ERROR_INTERNAL, "libuv cannot set up its handles");
    }
    return 0;
}

/* From here on the loop runs; what fails inside ends it. */
static int run_loop(struct server *s, struct error_text *e)
{
    char address[LISTENER_TEXT_BYTES];
    int rc = listener_open(&s->listener, &s->loop, s->options->host, s->options->port,
                           on_connection, s, e);

    if (rc == 0) {
        rc = load_switches(s, e);
    }
    if (rc == 0 && s->options->runtime_file != NULL) {
        rc = write_runtime_file(s, e);
    }
    if (rc == 0) {
        listener_format(&s->listener, address);
        log_event(LOG_LEVEL_INFO, "listening", log_text("address", address),
                  log_uint("devices", s->house.n_devices));
        tell("listening", address);
    } else {
        stop(s);
    }
    (void)uv_run(&s->loop, UV_RUN_DEFAULT); /* returns when every handle is closed */
    return rc;
}

static int run(struct server *s, struct error_text *e)
{
    int rc = 0;

    if (uv_loop_init(&s->loop) != 0) {
        return error_set(e, ERROR_INTERNAL, "libuv cannot make a loop");
    }
    bus_init(&s->bus, &s->loop, &s->journal);
    s->host.service = &s->service;
    s->host.alarms = &s->bus.alarms;
    s->host.read_bytes = s->read_bytes;
    s->host.max_conns = s->options->max_connections;
    list_init(&s->host.conns);
    service_init(&s->service, &s->house, &s->bus, &s->journal, &s->auth);
    rc = start_handles(s, e);
    if (rc == 0) {
        rc = run_loop(s, e);
    }
    service_close(&s->service);
    if (uv_loop_close(&s->loop) != 0 && rc == 0) {
        rc = error_set(e, ERROR_INTERNAL, "a handle was left open");
    }
    return rc;
}

int server_run(const struct options *o, struct error_text *e)
{
    struct server *s = calloc(1, sizeof *s);
    int rc = 0;

    if (s == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    s->options = o;
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail for this signal */
    raise_limits();
    rc = start_house(s, e);
    if (rc != 0) {
        goto free_server;
    }
    rc = start_auth(s, e);
    if (rc != 0) {
        goto close_house;
    }
    rc = journal_open(&s->journal, o->request_log, o->knx_log, e);
    if (rc != 0) {
        goto close_auth;
    }
    rc = run(s, e);
    journal_close(&s->journal);
close_auth:
    auth_close(&s->auth);
close_house:
    house_close(&s->house);
free_server:
    free(s);
    return rc;
}
