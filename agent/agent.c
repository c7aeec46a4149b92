/* SPDX-License-Identifier: Apache-2.0 */
/* Composition.
 *
 * Start: configuration, loop, libwebsockets, server, status socket, signals, one dialer per relay.
 * A status socket that cannot be made is only a warning: forwarding matters more.
 *
 * Reload (SIGHUP): the new file is read whole; if anything is wrong with it the old one stays. A
 * changed server gets a new pool, the old one goes when its last call is over. A relay that is
 * still there keeps its tunnel; one that is gone drains; a new one is dialled. Dialers borrow from
 * the configuration they were made with or changed to, so old ones are kept until nobody does.
 *
 * End (first SIGTERM or SIGINT): the dialers drain; when the last is closed, or the time is up and
 * they were cut, the server's pools, the status socket and the signals are closed; when all of that
 * is gone the loop is stopped, libwebsockets closes its context on it, and the loop ends. */
#include "agent/agent.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "agent/config.h"
#include "agent/console.h"
#include "agent/forward.h"
#include "agent/report.h"
#include "agent/trim.h"
#include "agent/tunnel/dialer.h"
#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/log.h"

/* libwebsockets sizes its tables by the limit of files. 32 relays, 64 connections to the server and
 * as many again while draining are far below it. */
#define FILES_MAX 1024

/* For the name resolver, the only thing that blocks: two relays at once do not wait for each other,
 * and each thread costs memory. */
#define RESOLVER_THREADS "2"

/* What remains after the drain: close frames, and the last handles. */
#define END_MS (LINK_FINISH_MS + 1000)

/* Memory is given back so long after the first tunnel is up, and then now and then. */
#define TIDY_FIRST_MS 1000
#define TIDY_MS       60000

/* How long the end waits for a resolver that has not answered. */
#define LEAVE_MS 1000

/* Control calls (PROTOCOL.md, "Control calls"). */
enum control_op { CONTROL_KEY_ENABLE = 1, CONTROL_KEY_LIST = 2, CONTROL_KEY_REVOKE = 3 };

/* A configuration and those who borrow from it. */
struct edition {
    struct config *config; /* owned */
    size_t n_users;
};

struct relay {
    struct list node;
    struct agent *agent;
    struct dialer *dialer;
    struct edition *edition;
    struct url url;
    bool leaving; /* not in the configuration any more */
};

struct agent {
    uv_loop_t loop;
    const char *path; /* of the configuration; borrowed */
    struct edition *edition;
    struct link_set *links;
    struct forward *forward;
    size_t n_forwards; /* not closed yet, old ones included */
    struct list relays;
    struct console *console; /* NULL if it could not be made, or is closed */
    uv_signal_t signals[3];
    uv_timer_t timer; /* end of the drain */
    uv_timer_t tidy;
    bool code_trimmed;
    int64_t started_s;
    bool ending;
    bool parts_closing;
};

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};
#define N_SIGNALS (sizeof(signal_numbers) / sizeof(signal_numbers[0]))

static struct edition *edition_new(struct config *config)
{
    struct edition *ed = calloc(1, sizeof(*ed));
    if (ed != NULL) {
        ed->config = config;
        ed->n_users = 1;
    }
    return ed;
}

static struct edition *edition_ref(struct edition *ed)
{
    ed->n_users++;
    return ed;
}

static void edition_unref(struct edition *ed)
{
    if (--ed->n_users == 0) {
        config_free(ed->config);
        free(ed);
    }
}

/* Streams: whichever server is the current one takes a new request. */

static void on_request(void *user, struct mux *m, uint32_t stream, const struct head_request *head,
                       bool end, void **stream_user)
{
    struct agent *a = user;
    forward_on_request(a->forward, m, stream, head, end, stream_user);
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
    if (a->parts_closing && a->n_forwards == 0 && a->console == NULL) {
        uv_stop(&a->loop);
    }
}

static void on_console_closed(void *user)
{
    struct agent *a = user;
    a->console = NULL;
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
    for (size_t i = 0; i < N_SIGNALS; i++) {
        uv_close((uv_handle_t *)&a->signals[i], NULL);
        /* One signal more must not turn the orderly end into a death by signal. */
        (void)signal(signal_numbers[i], SIG_IGN);
    }
    uv_close((uv_handle_t *)&a->timer, NULL);
    uv_close((uv_handle_t *)&a->tidy, NULL);
    if (a->forward != NULL) {
        forward_close(a->forward, true, on_forward_closed, a);
    }
    if (a->console != NULL) {
        console_close(a->console, on_console_closed, a);
    }
    stop_if_done(a);
}

static void on_dialer_closed(void *user)
{
    struct relay *r = user;
    struct agent *a = r->agent;

    list_remove(&r->node);
    edition_unref(r->edition);
    free(r);
    if (a->ending && list_empty(&a->relays)) {
        close_parts(a);
    }
}

static void cut(struct agent *a)
{
    for (struct list *node = a->relays.next; node != &a->relays; node = node->next) {
        dialer_close(LIST_ITEM(node, struct relay, node)->dialer);
    }
}

static void on_drain_over(uv_timer_t *timer)
{
    log_event(LOG_LEVEL_WARN, "drain took too long", log_text("result", "requests were cut"));
    cut(timer->data);
}

static void begin_end(struct agent *a, const char *why)
{
    uint32_t drain_ms = a->edition->config->drain_ms;

    if (a->ending) {
        log_event(LOG_LEVEL_WARN, "ending at once", log_text("reason", why));
        cut(a);
        return;
    }
    log_event(LOG_LEVEL_INFO, "ending", log_text("reason", why), log_uint("drain_ms", drain_ms));
    a->ending = true;
    (void)uv_timer_start(&a->timer, on_drain_over, (uint64_t)drain_ms + END_MS, 0);
    for (struct list *node = a->relays.next; node != &a->relays; node = node->next) {
        dialer_drain(LIST_ITEM(node, struct relay, node)->dialer);
    }
    if (list_empty(&a->relays)) {
        close_parts(a);
    }
}

/* Relays. */

static void on_tidy(uv_timer_t *timer)
{
    struct agent *a = timer->data;

    trim_heap();
    if (!a->code_trimmed) {
        a->code_trimmed = true;
        trim_code();
    }
}

static void on_up(void *user)
{
    struct agent *a = ((struct relay *)user)->agent;

    if (!uv_is_active((uv_handle_t *)&a->tidy) && !a->parts_closing) {
        (void)uv_timer_start(&a->tidy, on_tidy, TIDY_FIRST_MS, TIDY_MS);
    }
}

static int add_relay(struct agent *a, size_t i, struct error_text *e)
{
    struct relay *r = calloc(1, sizeof(*r));
    const struct dialer_owner owner = {
        .loop = &a->loop,
        .links = a->links,
        .streams = &streams,
        .streams_user = a,
        .on_up = on_up,
        .on_closed = on_dialer_closed,
        .user = r,
    };
    const struct dialer_settings settings = config_dialer(a->edition->config, i);

    if (r == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = dialer_new(&owner, &settings, &r->dialer, e);
    if (rc != 0) {
        free(r);
        return rc;
    }
    r->agent = a;
    r->edition = edition_ref(a->edition);
    r->url = *settings.relay;
    list_push(&a->relays, &r->node);
    return 0;
}

static struct relay *find_relay(struct agent *a, const struct url *url)
{
    for (struct list *node = a->relays.next; node != &a->relays; node = node->next) {
        struct relay *r = LIST_ITEM(node, struct relay, node);
        if (!r->leaving && url_equal(&r->url, url)) {
            return r;
        }
    }
    return NULL;
}

/* Reload. */

/* Serial and URL are what a tunnel is; everything else can change under it. */
static void change_relay(struct relay *r, struct edition *to, size_t i)
{
    const struct dialer_settings settings = config_dialer(to->config, i);
    struct error_text e;

    if (dialer_change(r->dialer, &settings, &e) != 0) {
        log_event(LOG_LEVEL_ERROR, "relay keeps its old settings", log_text("reason", e.text));
        return;
    }
    edition_unref(r->edition);
    r->edition = edition_ref(to);
}

static void reload_relays(struct agent *a, bool same_serial)
{
    const struct config *c = a->edition->config;
    struct error_text e;

    for (struct list *node = a->relays.next; node != &a->relays; node = node->next) {
        struct relay *r = LIST_ITEM(node, struct relay, node);
        bool stays = false;
        for (size_t i = 0; same_serial && i < c->relay_urls.n_values; i++) {
            stays = stays || url_equal(&r->url, &c->relays[i]);
        }
        if (!stays && !r->leaving) {
            r->leaving = true;
            dialer_drain(r->dialer);
        }
    }
    for (size_t i = 0; i < c->relay_urls.n_values; i++) {
        struct relay *r = find_relay(a, &c->relays[i]);
        if (r != NULL) {
            change_relay(r, a->edition, i);
        } else if (add_relay(a, i, &e) != 0) {
            log_event(LOG_LEVEL_ERROR, "relay not added", log_text("reason", e.text));
        }
    }
}

static int reload_server(struct agent *a, const struct config *c, struct error_text *e)
{
    const struct upstream_settings settings = config_upstream(c);
    struct forward *made;

    if (config_same_upstream(a->edition->config, c)) {
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
    bool same_serial = strcmp(c->serial, a->edition->config->serial) == 0;
    if (strcmp(c->status_socket, a->edition->config->status_socket) != 0) {
        log_event(LOG_LEVEL_WARN, "status_socket changes with the next start only",
                  log_text("path", c->status_socket));
    }
    edition_unref(a->edition);
    a->edition = ed;
    apply_log(c);
    reload_relays(a, same_serial);
    return 0;
}

static void on_hangup(struct agent *a)
{
    struct error_text e;

    if (a->ending) {
        return;
    }
    if (reload(a, &e) != 0) {
        log_event(LOG_LEVEL_ERROR, "configuration not reloaded, the old one stays",
                  log_text("reason", e.text));
        return;
    }
    log_event(LOG_LEVEL_INFO, "configuration reloaded", log_text("path", a->path));
}

static void on_signal(uv_signal_t *handle, int number)
{
    if (number == SIGHUP) {
        on_hangup(handle->data);
    } else {
        begin_end(handle->data, number == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

/* Questions at the status socket. */

static json_t *answer_status(struct agent *a)
{
    const struct config *c = a->edition->config;
    json_t *relays = json_array();
    struct upstream_stats server;
    char since[CLOCK_ISO_BYTES];

    for (struct list *node = a->relays.next; node != &a->relays; node = node->next) {
        struct dialer_status s;
        dialer_read_status(LIST_ITEM(node, struct relay, node)->dialer, &s);
        (void)json_array_append_new(relays, report_relay(&s)); /* a NULL shows up below */
    }
    forward_read_stats(a->forward, &server);
    clock_format(a->started_s, since);
    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:o, s:o}", "serial", c->serial, "version",
                     TNX_VERSION, "pid", (int)getpid(), "started", since, "state",
                     a->ending ? "ending" : "running", "relays", relays, "server",
                     report_server(c->server_url, &server, clock_now_ms()));
}

static void on_reply(void *user, int rc, uint16_t status, struct span body)
{
    struct console_call *call = user;
    console_reply(call, rc == 0 ? report_reply(status, body)
                                : report_error("the tunnel was lost before the relay answered"));
}

static struct relay *choose_relay(struct agent *a, const char *name)
{
    for (struct list *node = a->relays.next; node != &a->relays; node = node->next) {
        struct relay *r = LIST_ITEM(node, struct relay, node);
        struct dialer_status s;
        dialer_read_status(r->dialer, &s);
        if (s.state == DIALER_OPEN && (name == NULL || strcmp(name, s.relay) == 0)) {
            return r;
        }
    }
    return NULL;
}

static void ask_relay(struct agent *a, struct console_call *call, const json_t *question,
                      enum control_op op)
{
    struct relay *r = choose_relay(a, json_string_value(json_object_get(question, "relay")));
    json_t *body = json_object_get(question, "body");
    char *text = json_is_object(body) ? json_dumps(body, JSON_COMPACT) : NULL;
    int rc = ERROR_STATE;

    if (r != NULL) {
        rc = dialer_control(r->dialer, (uint16_t)op, span_of(text != NULL ? text : "{}"), on_reply,
                            call);
    }
    free(text);
    if (rc == ERROR_STATE) {
        console_reply(call, report_error("no tunnel is open: see thinknx-agent status"));
    } else if (rc != 0) {
        console_reply(call, report_error(error_name(rc)));
    }
}

static void on_question(void *user, struct console_call *call, const json_t *question)
{
    struct agent *a = user;
    const char *op = json_string_value(json_object_get(question, "op"));

    if (op != NULL && strcmp(op, "status") == 0) {
        console_reply(call, answer_status(a));
    } else if (op != NULL && strcmp(op, "key_enable") == 0) {
        ask_relay(a, call, question, CONTROL_KEY_ENABLE);
    } else if (op != NULL && strcmp(op, "key_list") == 0) {
        ask_relay(a, call, question, CONTROL_KEY_LIST);
    } else if (op != NULL && strcmp(op, "key_revoke") == 0) {
        ask_relay(a, call, question, CONTROL_KEY_REVOKE);
    } else {
        console_reply(call, report_error("unknown operation"));
    }
}

/* Start. */

static void prepare_process(void)
{
    struct rlimit files;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)setenv("UV_THREADPOOL_SIZE", RESOLVER_THREADS, 0);
    (void)mallopt(M_ARENA_MAX, 1); /* the other threads only resolve names */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > FILES_MAX) {
        files.rlim_cur = FILES_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* a larger table only costs memory */
    }
}

static int write_runtime(const struct config *c, struct error_text *e)
{
    char path[CONF_LINE_BYTES];
    json_t *runtime;

    if (c->runtime_file == NULL) {
        return 0;
    }
    runtime = json_pack("{s:i, s:s, s:s}", "pid", (int)getpid(), "version", TNX_VERSION,
                        "status_socket", c->status_socket);
    /* Whole or not at all for whoever waits for it. */
    int n = snprintf(path, sizeof(path), "%s.new", c->runtime_file);
    int rc = n > 0 && (size_t)n < sizeof(path) && runtime != NULL &&
                     json_dump_file(runtime, path, JSON_COMPACT) == 0 &&
                     rename(path, c->runtime_file) == 0
                 ? 0
                 : error_set(e, ERROR_IO, "cannot write %s: %s", c->runtime_file, strerror(errno));
    json_decref(runtime);
    return rc;
}

static void start_signals(struct agent *a)
{
    (void)uv_timer_init(&a->loop, &a->timer); /* neither can fail */
    (void)uv_timer_init(&a->loop, &a->tidy);
    a->timer.data = a;
    a->tidy.data = a;
    for (size_t i = 0; i < N_SIGNALS; i++) {
        (void)uv_signal_init(&a->loop, &a->signals[i]); /* fails with the loop only */
        a->signals[i].data = a;
        (void)uv_signal_start(&a->signals[i], on_signal, signal_numbers[i]);
    }
}

static void open_console(struct agent *a)
{
    struct error_text e;

    if (console_open(&a->loop, a->edition->config->status_socket, on_question, a, &a->console,
                     &e) != 0) {
        a->console = NULL;
        log_event(LOG_LEVEL_WARN, "no status socket", log_text("reason", e.text));
    }
}

static int start(struct agent *a, struct error_text *e)
{
    const struct config *c = a->edition->config;
    const struct upstream_settings settings = config_upstream(c);
    int rc = link_set_new(&a->loop, &a->links, e);

    rc = rc != 0 ? rc : forward_new(&a->loop, &settings, &a->forward, e);
    a->n_forwards = a->forward != NULL ? 1 : 0;
    for (size_t i = 0; rc == 0 && i < c->relay_urls.n_values; i++) {
        rc = add_relay(a, i, e);
    }
    rc = rc != 0 ? rc : write_runtime(c, e);
    if (rc == 0) {
        open_console(a);
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

static int finish(struct agent *a)
{
    if (!run_out(a)) {
        log_event(LOG_LEVEL_INFO, "ended", log_text("reason", "a name is still being resolved"));
        return 0; /* the kernel takes the rest */
    }
    link_set_free(a->links);
    int rc = uv_loop_close(&a->loop);
    assert(rc == 0);
    if (a->edition->config->runtime_file != NULL) {
        (void)unlink(a->edition->config->runtime_file); /* it may have been removed already */
    }
    edition_unref(a->edition);
    log_event(LOG_LEVEL_INFO, "ended", log_text("reason", "all closed"));
    return rc == 0 ? 0 : 1;
}

static int run(struct agent *a)
{
    struct error_text e;
    int code = 0;

    start_signals(a);
    int rc = start(a, &e);
    if (rc != 0) {
        log_event(LOG_LEVEL_ERROR, "cannot start", log_text("reason", e.text));
        code = rc == ERROR_CONFIG ? 2 : 1;
        a->ending = true;
        cut(a);
        if (list_empty(&a->relays)) {
            close_parts(a);
        }
    } else {
        log_event(LOG_LEVEL_INFO, "started", log_text("version", TNX_VERSION),
                  log_text("serial", a->edition->config->serial),
                  log_text("server", a->edition->config->server_url),
                  log_uint("relays", a->edition->config->relay_urls.n_values));
    }
    (void)uv_run(&a->loop, UV_RUN_DEFAULT); /* until stop_if_done */
    int finished = finish(a);
    return code != 0 ? code : finished;
}

int agent_run(const char *config_path)
{
    struct agent a = {.path = config_path, .started_s = clock_wall_s()};
    struct config *c;
    struct error_text e;

    prepare_process();
    int rc = config_load(config_path, &c, &e);
    if (rc != 0) {
        (void)fprintf(stderr, "thinknx-agent: %s\n", e.text);
        return rc == ERROR_NOMEM ? 1 : 2;
    }
    a.edition = edition_new(c);
    list_init(&a.relays);
    if (a.edition == NULL || uv_loop_init(&a.loop) != 0) {
        (void)fprintf(stderr, "thinknx-agent: no memory\n");
        config_free(c);
        free(a.edition);
        return 1;
    }
    apply_log(c);
    return run(&a);
}
