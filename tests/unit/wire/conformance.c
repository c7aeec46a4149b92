/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cases of tests/conformance/tunnel: in Markdown, a script of frames and calls beside the
 * log that it must give. The language is described in the README.md there. */
#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/wire/mux_internal.h"
#include "tests/unit/wire/event_log.h"
#include "tests/unit/wire/frame_print.h"
#include "tests/unit/wire/frame_text.h"

#ifndef TNX_CASES
#define TNX_CASES "tests/conformance/tunnel"
#endif

/* Fewest cases that must be found, lest a moved folder pass for a success. */
#define CASES_MIN 130

#define SCRIPT_BYTES  8192
#define MESSAGE_BYTES (FRAME_HEADER_BYTES + UINT16_MAX)

struct example {
    char title[256];
    char script[SCRIPT_BYTES];
    char expected[SCRIPT_BYTES];
};

struct run {
    struct mux *mux;
    struct event_log *log;
    enum mux_role role;
    uint64_t now_ms;
    const char *title;
};

static const char *word_of(int rc)
{
    switch (rc) {
    case ERROR_LIMIT: return "limit";
    case ERROR_STATE: return "state";
    case ERROR_NOMEM: return "nomem";
    case ERROR_TIMEOUT: return "timeout";
    case ERROR_PEER: return "peer";
    default: return "ok";
    }
}

/* A failed receive or tick with its fault. */
static void log_fault(struct run *r, int rc)
{
    if (rc != 0) {
        event_log_line(r->log, "! %s", mux_fault_name(mux_fault(r->mux)));
    }
}

static void start(struct run *r, enum mux_role role, const struct frame_text_line *line)
{
    struct mux_settings s = mux_default_settings(role, role == MUX_RELAY ? "relay/1" : "agent/1");
    struct mux_events events = event_log_events();
    s.generation = frame_text_option(line, "generation", role == MUX_RELAY ? 7 : 0);
    s.capabilities = frame_text_option(line, "capabilities", 0);
    s.max_streams = (uint32_t)frame_text_option(line, "streams", s.max_streams);
    s.stream_window_bytes = (uint32_t)frame_text_option(line, "window", s.stream_window_bytes);
    s.tunnel_window_bytes = (uint32_t)frame_text_option(line, "tunnel", s.tunnel_window_bytes);
    s.version_min = (uint16_t)frame_text_option(line, "min", 1);
    s.version_max = (uint16_t)frame_text_option(line, "max", 1);
    r->role = role;
    r->mux = mux_new(&s, &events, r->log, r->now_ms);
    assert_non_null(r->mux);
    r->log->mux = r->mux;
    r->log->consumes = frame_text_option(line, "consume", 0) != 0;
}

static void receive(struct run *r, const struct frame_text_line *line, bool ends)
{
    static uint8_t frame[MESSAGE_BYTES];
    size_t len = frame_text_pack(line, 1, frame, sizeof(frame));
    uint64_t n_times = frame_text_option(line, "times", 1);
    int rc = 0;
    for (uint64_t i = 0; i < n_times && rc == 0; i++) {
        rc = mux_recv(r->mux, frame, len, r->now_ms);
        if (rc == 0 && ends) {
            rc = mux_recv_end(r->mux, r->now_ms);
        }
    }
    log_fault(r, rc);
}

static void receive_bytes(struct run *r, const struct frame_text_line *line)
{
    int rc = 0;
    for (size_t i = 1; i < line->n_words && rc == 0; i++) {
        uint8_t byte = (uint8_t)strtoul(frame_text_word(line, i), NULL, 16);
        rc = mux_recv(r->mux, &byte, 1, r->now_ms);
    }
    log_fault(r, rc);
}

/* Shows the frames first and what pulling them caused behind them. */
static void pull(struct run *r)
{
    static uint8_t message[MESSAGE_BYTES];
    static char events[SCRIPT_BYTES];
    size_t before = r->log->len;
    bool wanted = mux_wants_send(r->mux);
    size_t len = mux_pull(r->mux, message, sizeof(message), r->now_ms);
    assert_int_equal(wanted, len > 0);
    (void)snprintf(events, sizeof(events), "%s", r->log->text + before);
    r->log->len = before;
    r->log->text[before] = '\0';
    if (len == 0) {
        event_log_line(r->log, "> nothing");
    }
    frame_print(r->log, message, len);
    char *save = NULL;
    for (char *l = strtok_r(events, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save)) {
        event_log_line(r->log, "%s", l);
    }
}

/* The handshake, unseen. */
static void make_ready(struct run *r, const struct frame_text_line *line)
{
    static uint8_t frame[MESSAGE_BYTES];
    struct frame_text_line hello = *line;
    const char *type = r->role == MUX_RELAY ? "hello" : "welcome";
    memcpy(hello.words[0].value, type, strlen(type) + 1);
    size_t len = frame_text_pack(&hello, 0, frame, sizeof(frame));
    assert_int_equal(mux_recv(r->mux, frame, len, r->now_ms), 0);
    assert_int_equal(mux_recv_end(r->mux, r->now_ms), 0);
    pull(r);
    event_log_clear(r->log);
}

static int do_request(struct run *r, const struct frame_text_line *line)
{
    static struct head_field fields[HEAD_FIELDS_MAX];
    struct head_request head = frame_text_request(line, 1, fields);
    struct span body = frame_text_bytes(line, 3);
    uint32_t id;
    head.body_bytes = (uint32_t)body.len;
    return mux_request(r->mux, &head, body.p, NULL, &id, r->now_ms);
}

static int do_respond(struct run *r, const struct frame_text_line *line, bool end)
{
    static struct head_field fields[HEAD_FIELDS_MAX];
    struct head_response head = frame_text_response(line, 2, fields);
    return mux_respond(r->mux, (uint32_t)frame_text_number(line, 1), &head, end);
}

/* A call of the owner. Its result, 0 for calls without one. */
static int call(struct run *r, const struct frame_text_line *line)
{
    const char *what = frame_text_word(line, 0);
    uint32_t stream = (uint32_t)frame_text_number(line, 1);
    struct span bytes = frame_text_bytes(line, 2);
    bool end = strcmp((const char *)line->words[line->n_words - 1].value, "end") == 0;
    if (strcmp(what, "request") == 0) {
        return do_request(r, line);
    }
    if (strcmp(what, "respond") == 0) {
        return do_respond(r, line, end);
    }
    if (strcmp(what, "send") == 0) {
        return mux_send_data(r->mux, stream, bytes.p, bytes.len, end);
    }
    if (strcmp(what, "control") == 0) {
        uint32_t id;
        return mux_control(r->mux, (uint16_t)stream, bytes, &id);
    }
    if (strcmp(what, "reply") == 0) {
        return mux_control_reply(r->mux, stream, (uint16_t)frame_text_number(line, 2),
                                 frame_text_bytes(line, 3));
    }
    if (strcmp(what, "handed") == 0) {
        mux_handed(r->mux, stream, r->now_ms);
    } else if (strcmp(what, "consume") == 0) {
        mux_consume(r->mux, stream, frame_text_number(line, 2));
    } else if (strcmp(what, "reset") == 0) {
        mux_reset(r->mux, stream, frame_text_reset(frame_text_word(line, 2)),
                  (enum head_delivered)frame_text_delivered(frame_text_word(line, 3)));
    } else if (strcmp(what, "goaway") == 0) {
        mux_goaway(r->mux, frame_text_goaway(frame_text_word(line, 1)),
                   (uint32_t)frame_text_number(line, 2));
    } else if (strcmp(what, "close") == 0) {
        mux_close(r->mux);
    } else {
        fail_msg("%s: unknown command \"%s\"", r->title, what);
    }
    return 0;
}

static void run_line(struct run *r, const char *text)
{
    static struct frame_text_line line;
    frame_text_split(text, &line);
    const char *what = frame_text_word(&line, 0);
    if (strcmp(what, "relay") == 0 || strcmp(what, "agent") == 0) {
        start(r, what[0] == 'r' ? MUX_RELAY : MUX_AGENT, &line);
        return;
    }
    assert_non_null(r->mux);
    if (strcmp(what, "ready") == 0) {
        make_ready(r, &line);
    } else if (strcmp(what, "recv") == 0 || strcmp(what, "recv+") == 0) {
        receive(r, &line, what[4] == '\0');
    } else if (strcmp(what, "bytes") == 0) {
        receive_bytes(r, &line);
    } else if (strcmp(what, "end") == 0) {
        log_fault(r, mux_recv_end(r->mux, r->now_ms));
    } else if (strcmp(what, "pull") == 0) {
        pull(r);
    } else if (strcmp(what, "time") == 0) {
        r->now_ms += frame_text_number(&line, 1);
        log_fault(r, mux_tick(r->mux, r->now_ms));
    } else {
        int rc = call(r, &line);
        if (rc != 0) {
            event_log_line(r->log, "= %s", word_of(rc));
        }
    }
}

static bool run_case(struct example *c)
{
    struct run r = {.now_ms = 1000, .title = c->title};
    r.log = malloc(sizeof(*r.log));
    assert_non_null(r.log);
    event_log_init(r.log);
    char *save = NULL;
    for (char *l = strtok_r(c->script, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save)) {
        run_line(&r, l);
    }
    bool same = strcmp(r.log->text, c->expected) == 0;
    if (!same) {
        print_message("case \"%s\"\n--- expected\n%s--- got\n%s---\n", c->title, c->expected,
                      r.log->text);
    }
    mux_free(r.mux);
    free(r.log);
    return same;
}

/* Appends the file's lines up to "```" to `text`. */
static void read_block(FILE *f, char *text)
{
    char line[1024];
    size_t len = 0;
    text[0] = '\0';
    while (fgets(line, sizeof(line), f) != NULL && strncmp(line, "```", 3) != 0) {
        size_t n = strlen(line);
        assert_true(len + n < SCRIPT_BYTES);
        memcpy(text + len, line, n + 1);
        len += n;
    }
}

/* Runs the cases of one file; counts them and those that failed. */
static void run_file(const char *path, size_t *n_cases, size_t *n_failed)
{
    static struct example c;
    char line[1024];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "## ", 3) == 0) {
            (void)snprintf(c.title, sizeof(c.title), "%.*s", (int)strcspn(line + 3, "\n"),
                           line + 3);
        } else if (strcmp(line, "```script\n") == 0) {
            read_block(f, c.script);
        } else if (strcmp(line, "```log\n") == 0) {
            read_block(f, c.expected);
            (*n_cases)++;
            *n_failed += run_case(&c) ? 0 : 1;
        }
    }
    (void)fclose(f);
}

static int is_case_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 3 && strcmp(entry->d_name + len - 3, ".md") == 0 &&
           strcmp(entry->d_name, "README.md") != 0;
}

static void every_case_gives_its_log(void **state)
{
    (void)state;
    struct dirent **files = NULL;
    size_t n_cases = 0;
    size_t n_failed = 0;
    int n_files = scandir(TNX_CASES, &files, is_case_file, alphasort);
    assert_true(n_files > 0);
    for (int i = 0; i < n_files; i++) {
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", TNX_CASES, files[i]->d_name);
        run_file(path, &n_cases, &n_failed);
        free(files[i]);
    }
    free(files);
    print_message("%zu cases in %d files\n", n_cases, n_files);
    assert_int_equal(n_failed, 0);
    assert_true(n_cases >= CASES_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_gives_its_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
