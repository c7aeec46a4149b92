/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP answer into bytes. */
#ifndef TESTS_SIMULATOR_ANSWER_H
#define TESTS_SIMULATOR_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buffer.h"
#include "tests/simulator/writer.h"

/* Largest body that can be asked for with --big-body; a little more is needed around it. */
#define ANSWER_BODY_MAX 67108864
#define ANSWER_MAX      (ANSWER_BODY_MAX + 262144)

/* Bytes of "Sun, 06 Nov 1994 08:49:37 GMT" with NUL. */
#define ANSWER_DATE_BYTES 30

struct answer {
    int status;
    const char *type;     /* of the content */
    struct buffer fields; /* further header lines, each with its CRLF */
    struct buffer body;
    bool head_only;       /* the request was HEAD */
    bool close;           /* the connection ends with this answer */
    bool says_keep_alive; /* HTTP/1.0 needs to be told that it does not */
};

void answer_init(struct answer *a);
void answer_close(struct answer *a);

/* An empty JSON answer of that status; keeps the memory. */
void answer_reset(struct answer *a, int status);

/* `wall_s` as HTTP writes it (RFC 9110 5.6.7). */
void answer_format_date(int64_t wall_s, char date[ANSWER_DATE_BYTES]);

/* Status line, Date, Server and Content-Type. */
void answer_write_start(const struct answer *a, const char *date, struct writer *w);

/* Connection and the further lines, and the end of the head. */
void answer_write_end(const struct answer *a, struct writer *w);

/* The whole answer. */
void answer_write(const struct answer *a, const char *date, struct writer *w);

#endif
