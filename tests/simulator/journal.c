/* SPDX-License-Identifier: Apache-2.0 */
/* The request log and the KNX log. */
#include "tests/simulator/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/simulator/request.h"

/* A request of the largest head and body, each byte of it escaped. */
#define LINE_BYTES_MAX ((size_t)6 * (REQUEST_HEAD_BYTES + REQUEST_BODY_BYTES) + 4096)

static int open_log(const char *path, int *fd, struct error_text *e)
{
    *fd = -1;
    if (path != NULL) {
        *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (*fd < 0) {
            return error_set(e, ERROR_IO, "cannot open %s: %s", path, strerror(errno));
        }
    }
    return 0;
}

int journal_open(struct journal *j, const char *request_path, const char *knx_path,
                 struct error_text *e)
{
    int rc = 0;

    *j = (struct journal){.request_fd = -1, .knx_fd = -1};
    buffer_init(&j->line, LINE_BYTES_MAX);
    rc = open_log(request_path, &j->request_fd, e);
    if (rc == 0) {
        rc = open_log(knx_path, &j->knx_fd, e);
    }
    if (rc != 0) {
        journal_close(j);
    }
    return rc;
}

void journal_close(struct journal *j)
{
    if (j->request_fd >= 0) {
        (void)close(j->request_fd); /* each line is written already */
    }
    if (j->knx_fd >= 0) {
        (void)close(j->knx_fd);
    }
    j->request_fd = -1;
    j->knx_fd = -1;
    buffer_close(&j->line);
}

static void write_line(struct journal *j, int fd, const struct writer *w)
{
    ssize_t written = -1;

    if (writer_end(w) == 0) {
        written = write(fd, buffer_bytes(&j->line), j->line.len);
    }
    if (written != (ssize_t)j->line.len && !j->failed) {
        j->failed = true;
        log_event(LOG_LEVEL_ERROR, "a log line was not written",
                  log_text("reason", written < 0 ? strerror(errno) : "disk full"));
    }
    buffer_clear(&j->line);
    if (j->line.cap > REQUEST_HEAD_BYTES) {
        buffer_release(&j->line);
    }
}

/* {"n":1,"time":1735689600.123 */
static void begin_line(struct journal *j, struct writer *w, uint64_t n)
{
    struct timespec now = {0, 0};
    char text[64];

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    (void)snprintf(text, sizeof text, "%lld.%03ld", (long long)now.tv_sec, now.tv_nsec / 1000000);
    writer_init(w, &j->line);
    writer_text(w, "{\"n\":");
    writer_uint(w, n);
    writer_text(w, ",\"time\":");
    writer_text(w, text);
}

static void write_text(struct writer *w, const char *key, const char *text)
{
    if (text != NULL) {
        writer_text(w, ",\"");
        writer_text(w, key);
        writer_text(w, "\":");
        writer_json(w, span_of(text));
    }
}

static void write_span(struct writer *w, const char *key, struct span text)
{
    writer_text(w, key);
    writer_json(w, text);
}

static void write_headers(struct writer *w, const struct request *r)
{
    writer_text(w, ",\"headers\":[");
    for (size_t i = 0; i < request_header_count(r); i++) {
        struct request_header h = request_header_at(r, i);
        write_span(w, i == 0 ? "[" : ",[", h.name);
        write_span(w, ",", h.value);
        writer_text(w, "]");
    }
    writer_text(w, "]");
}

void journal_request(struct journal *j, const struct request *r, uint64_t conn, const char *user,
                     const char *route)
{
    struct writer w;

    j->n_requests++;
    if (j->request_fd < 0) {
        return;
    }
    begin_line(j, &w, j->n_requests);
    writer_text(&w, ",\"conn\":");
    writer_uint(&w, conn);
    write_span(&w, ",\"method\":", request_method(r));
    write_span(&w, ",\"target\":", request_target(r));
    write_headers(&w, r);
    write_span(&w, ",\"body\":", request_body(r));
    if (user == NULL) {
        writer_text(&w, ",\"user\":null");
    }
    write_text(&w, "user", user);
    write_text(&w, "route", route);
    writer_text(&w, "}\n");
    write_line(j, j->request_fd, &w);
}

void journal_command(struct journal *j, const struct journal_command *c)
{
    struct writer w;

    j->n_commands++;
    if (j->knx_fd < 0) {
        return;
    }
    begin_line(j, &w, j->n_commands);
    writer_text(&w, ",\"request\":");
    writer_uint(&w, c->request);
    write_text(&w, "controller", c->controller);
    if (c->guid.p != NULL) {
        write_span(&w, ",\"guid\":", c->guid);
    }
    if (c->group.p != NULL) {
        write_span(&w, ",\"group\":", c->group);
    }
    writer_text(&w, ",\"value\":");
    writer_text(&w, c->value == NULL ? "null" : c->value);
    write_text(&w, "device", c->device);
    write_text(&w, "scene", c->scene);
    writer_text(&w, "}\n");
    write_line(j, j->knx_fd, &w);
}
