/* SPDX-License-Identifier: Apache-2.0 */
/* One question, one answer. */
#include "agent/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/buffer.h"
#include "proto/base/secret.h"
#include "proto/json/json_text.h"

/* Read at once. */
#define PIECE_BYTES 4096

static int open_socket(const char *path, int *fd, struct error_text *e)
{
    const struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        return error_set(e, ERROR_CONFIG, "%s: longer than a socket's path may be", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return error_set(e, ERROR_IO, "no socket: %s", strerror(errno));
    }
    /* Without them it would only wait longer. */
    (void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(s, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int reason = errno;
        (void)close(s);
        return reason == ENOENT || reason == ECONNREFUSED
                   ? error_set(e, ERROR_CLOSED, "no agent is running here (%s: %s)", path,
                               strerror(reason))
                   : error_set(e, ERROR_IO, "cannot ask the agent at %s: %s", path,
                               strerror(reason));
    }
    *fd = s;
    return 0;
}

static int send_all(int fd, const char *text, size_t len, struct error_text *e)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return error_set(e, ERROR_IO, "cannot ask the agent: %s", strerror(errno));
        }
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int receive_all(int fd, struct buffer *answer, struct error_text *e)
{
    for (;;) {
        uint8_t *room;
        int rc = buffer_reserve(answer, PIECE_BYTES, &room);
        if (rc != 0) {
            return error_set(e, rc, "the agent's answer is too long");
        }
        ssize_t n = recv(fd, room, PIECE_BYTES, 0);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return error_set(e, ERROR_IO, "no answer from the agent: %s",
                             errno == EAGAIN ? "it takes too long" : strerror(errno));
        }
        buffer_commit(answer, n > 0 ? (size_t)n : 0);
    }
}

static int parse(const struct buffer *text, json_t **answer, struct error_text *e)
{
    json_t *parsed = json_text_parse((const char *)buffer_bytes(text), text->len, 0, NULL);
    const char *error = json_string_value(json_object_get(parsed, "error"));
    int rc = 0;

    if (parsed == NULL) {
        return error_set(e, ERROR_SYNTAX, "the agent's answer is no JSON");
    }
    if (error != NULL) {
        rc = error_set(e, ERROR_REFUSED, "%s", error);
        json_decref(parsed);
        return rc;
    }
    *answer = parsed;
    return 0;
}

int ask(const char *socket_path, json_t *question, json_t **answer, struct error_text *e)
{
    char *text = question == NULL ? NULL : json_text_format(question, JSON_COMPACT);
    struct buffer received;
    int fd = -1;

    json_decref(question);
    if (text == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    buffer_init(&received, ASK_ANSWER_BYTES);
    int rc = open_socket(socket_path, &fd, e);
    rc = rc != 0 ? rc : send_all(fd, text, strlen(text), e);
    rc = rc != 0 ? rc : send_all(fd, "\n", 1, e);
    rc = rc != 0 ? rc : receive_all(fd, &received, e);
    rc = rc != 0 ? rc : parse(&received, answer, e);
    if (fd >= 0) {
        (void)close(fd); /* was read to its end, or given up */
    }
    free(text);
    secret_cleanse(received.data, received.cap); /* it may hold a new key */
    buffer_close(&received);
    return rc;
}
