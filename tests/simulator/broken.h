/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are wrong on purpose, and a few that are right but unusual. */
#ifndef TESTS_SIMULATOR_BROKEN_H
#define TESTS_SIMULATOR_BROKEN_H

#include <stdbool.h>

#include "tests/simulator/answer.h"

enum broken {
    BROKEN_NONE,
    BROKEN_GARBAGE,            /* bytes that are no HTTP, then close */
    BROKEN_HTTP09,             /* the body without any head, then close */
    BROKEN_SHORT_BODY,         /* ten bytes fewer than announced; the connection stays open */
    BROKEN_TWO_ANSWERS,        /* a second, unasked answer right behind the first */
    BROKEN_HUGE_HEAD,          /* 128 KiB of header fields */
    BROKEN_CR_IN_VALUE,        /* a bare CR, then what could be taken for another field */
    BROKEN_BAD_CHUNK,          /* a chunk whose size is no number */
    BROKEN_NO_LENGTH_CLOSE,    /* valid: no length, the body ends with the connection */
    BROKEN_EARLY_CLOSE,        /* closed in the middle of the body */
    BROKEN_EMPTY_HEADER_NAME,  /* ": value" */
    BROKEN_DUPLICATE_LENGTH,   /* two Content-Length that differ */
    BROKEN_LENGTH_AND_CHUNKED, /* both at once, and they disagree */
    BROKEN_1XX_FIRST,          /* valid: 102 and 103 before the answer */
    BROKEN_CHUNKED             /* valid: the body in three chunks, with extension and trailer */
};

/* The kinds by their names: "garbage", "http09", "short-body", "two-answers", "huge-head",
 * "cr-in-value", "bad-chunk", "no-length-close", "early-close-mid-body", "empty-header-name",
 * "duplicate-length", "length-and-chunked", "1xx-first", "chunked", and "none".
 * 0 or ERROR_NOT_FOUND. */
int broken_parse(const char *name, enum broken *kind);

/* All names with ", " between them; static. */
const char *broken_names(void);

/* Writes the answer in that kind. True if the connection must be closed behind it. */
bool broken_write(enum broken kind, const struct answer *a, const char *date, struct writer *w);

#endif
