/* SPDX-License-Identifier: Apache-2.0 */
/* The status socket.
 *
 * Happy path: accept -> READING until a newline -> ANSWERING while the owner thinks -> WRITING ->
 * closed by us. Failures: the client hangs up, sends too much or no JSON, or takes longer than
 * CONSOLE_CLIENT_MS: it is closed. One for which there is no memory is taken all the same, and
 * closed: libuv listens no more while a connection is left untaken. A client whose question is
 * still with the owner keeps its memory until console_reply, though its handles are closed. */
#include "agent/console.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/list.h"
#include "proto/base/secret.h"
#include "proto/json/json_text.h"

#define BACKLOG 8

/* The pipe and the timer. */
#define CLIENT_HANDLES 2

enum client_state { CLIENT_READING, CLIENT_ANSWERING, CLIENT_WRITING };

struct console_call {
    struct list node; /* in console.clients */
    struct console *console;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    enum client_state state;
    bool closing;
    unsigned n_handles; /* not closed yet */
    size_t len;
    char line[CONSOLE_LINE_BYTES];
    char *answer; /* owned; cleansed, for it may hold a new key */
};

struct console {
    uv_pipe_t listener;
    bool closing;
    bool listener_closed;
    uv_pipe_t unwanted; /* a connection that there is no memory for */
    bool turning_away;  /* `unwanted` is being closed */
    bool one_more;      /* and then another one is to be turned away */
    struct list clients;
    size_t n_clients;
    console_question on_question;
    void *user;
    void (*on_closed)(void *user);
    void *closed_user;
};

static void close_if_empty(struct console *c)
{
    if (c->closing && c->listener_closed && c->n_clients == 0 && !c->turning_away) {
        void (*on_closed)(void *) = c->on_closed;
        void *user = c->closed_user;
        free(c);
        on_closed(user);
    }
}

static void free_answer(struct console_call *call)
{
    if (call->answer != NULL) {
        secret_cleanse(call->answer, strlen(call->answer));
        free(call->answer);
        call->answer = NULL;
    }
}

static void free_if_done(struct console_call *call)
{
    struct console *c = call->console;

    if (call->n_handles == 0 && call->state != CLIENT_ANSWERING) {
        list_remove(&call->node);
        c->n_clients--;
        free_answer(call);
        free(call);
        close_if_empty(c);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct console_call *call = handle->data;
    call->n_handles--;
    free_if_done(call);
}

static void close_client(struct console_call *call)
{
    if (!call->closing) {
        call->closing = true;
        uv_close((uv_handle_t *)&call->pipe, on_handle_closed);
        uv_close((uv_handle_t *)&call->timer, on_handle_closed);
    }
}

static void on_timeout(uv_timer_t *timer)
{
    close_client(timer->data);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status; /* the client is closed in either case */
    close_client(write->data);
}

void console_reply(struct console_call *call, json_t *answer)
{
    call->state = CLIENT_WRITING;
    if (call->closing) {
        json_decref(answer);
        free_if_done(call);
        return;
    }
    call->answer = answer == NULL ? NULL : json_text_format(answer, JSON_COMPACT);
    json_decref(answer);
    if (call->answer == NULL) {
        close_client(call);
        return;
    }
    call->line[0] = '\n'; /* the question is done with, and this must live as long as the write */
    const uv_buf_t bufs[] = {
        uv_buf_init(call->answer, (unsigned)strlen(call->answer)),
        uv_buf_init(call->line, 1),
    };
    call->write.data = call;
    if (uv_write(&call->write, (uv_stream_t *)&call->pipe, bufs, 2, on_written) != 0) {
        close_client(call);
    }
}

static void ask(struct console_call *call, size_t len)
{
    json_t *question = json_text_parse(call->line, len, JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(question)) {
        json_decref(question);
        close_client(call);
        return;
    }
    call->state = CLIENT_ANSWERING;
    (void)uv_read_stop((uv_stream_t *)&call->pipe); /* always 0 */
    call->console->on_question(call->console->user, call, question);
    json_decref(question);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct console_call *call = handle->data;
    (void)suggested;
    *buf = uv_buf_init(call->line + call->len, (unsigned)(sizeof(call->line) - call->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct console_call *call = stream->data;
    const char *end;
    (void)buf;

    if (n < 0) { /* also when the line is full */
        close_client(call);
        return;
    }
    call->len += (size_t)n;
    end = memchr(call->line, '\n', call->len);
    if (end != NULL) {
        ask(call, (size_t)(end - call->line));
    }
}

static void turn_away(struct console *c);

static void on_turned_away(uv_handle_t *handle)
{
    struct console *c = handle->data;
    c->turning_away = false;
    if (c->one_more && !c->closing) {
        c->one_more = false;
        turn_away(c);
    }
    close_if_empty(c);
}

static void turn_away(struct console *c)
{
    if (c->turning_away) {
        c->one_more = true;
        return;
    }
    c->turning_away = true;
    (void)uv_pipe_init(c->listener.loop, &c->unwanted, 0); /* cannot fail */
    c->unwanted.data = c;
    /* A connection that cannot even be taken was closed by libuv. */
    (void)uv_accept((uv_stream_t *)&c->listener, (uv_stream_t *)&c->unwanted);
    uv_close((uv_handle_t *)&c->unwanted, on_turned_away);
}

/* Takes the connection; a client too many is accepted and closed at once. */
static void on_connection(uv_stream_t *listener, int status)
{
    struct console *c = listener->data;

    if (status != 0) {
        return;
    }
    struct console_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        turn_away(c);
        return;
    }
    call->console = c;
    call->pipe.data = call;
    call->timer.data = call;
    (void)uv_pipe_init(listener->loop, &call->pipe, 0); /* neither can fail */
    (void)uv_timer_init(listener->loop, &call->timer);
    call->n_handles = CLIENT_HANDLES;
    list_push(&c->clients, &call->node);
    c->n_clients++;
    if (uv_accept(listener, (uv_stream_t *)&call->pipe) != 0 ||
        c->n_clients > CONSOLE_CLIENTS_MAX ||
        uv_timer_start(&call->timer, on_timeout, CONSOLE_CLIENT_MS, 0) != 0 ||
        uv_read_start((uv_stream_t *)&call->pipe, on_alloc, on_read) != 0) {
        close_client(call);
    }
}

/* Removes what a killed agent left. 0, or ERROR_EXISTS: somebody listens. */
static int clear_path(const char *path, struct error_text *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    if (lstat(path, &st) != 0) {
        return 0; /* nothing there, or bind says why not */
    }
    if (!S_ISSOCK(st.st_mode)) {
        return error_set(e, ERROR_EXISTS, "%s exists and is no socket", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1); /* its length was checked with the rest */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_set(e, ERROR_IO, "no socket: %s", strerror(errno));
    }
    int rc = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    int reason = errno;
    (void)close(fd); /* was only a question */
    if (rc == 0 || reason == EAGAIN) {
        return error_set(e, ERROR_EXISTS, "another agent listens on %s", path);
    }
    (void)unlink(path); /* bind says if that did not help */
    return 0;
}

static void free_console(uv_handle_t *handle)
{
    free(handle->data);
}

static int fail_open(struct console *c, const char *path, int reason, struct error_text *e)
{
    uv_close((uv_handle_t *)&c->listener, free_console);
    return error_set(e, ERROR_IO, "cannot listen on %s: %s", path, uv_strerror(reason));
}

int console_open(uv_loop_t *loop, const char *path, console_question on_question, void *user,
                 struct console **console, struct error_text *e)
{
    struct console *c;
    int rc = clear_path(path, e);

    if (rc != 0) {
        return rc;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    list_init(&c->clients);
    c->on_question = on_question;
    c->user = user;
    (void)uv_pipe_init(loop, &c->listener, 0); /* cannot fail */
    c->listener.data = c;
    mode_t before = umask(S_IRWXG | S_IRWXO | S_IXUSR); /* the socket is born 0600 */
    rc = uv_pipe_bind(&c->listener, path);
    (void)umask(before);
    if (rc == 0) {
        rc = uv_listen((uv_stream_t *)&c->listener, BACKLOG, on_connection);
    }
    if (rc != 0) {
        return fail_open(c, path, rc, e);
    }
    *console = c;
    return 0;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct console *c = handle->data;
    c->listener_closed = true;
    close_if_empty(c);
}

void console_close(struct console *c, void (*on_closed)(void *user), void *user)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    c->on_closed = on_closed;
    c->closed_user = user;
    for (struct list *node = c->clients.next; node != &c->clients; node = node->next) {
        close_client(LIST_ITEM(node, struct console_call, node));
    }
    uv_close((uv_handle_t *)&c->listener, on_listener_closed); /* removes the file, too */
}
