/* SPDX-License-Identifier: Apache-2.0 */
/* The error codes that every layer returns, and a sentence for the human who must act on one.
 *
 * Functions return 0 or one of these negative codes; results go through the last parameters and
 * are untouched on failure. */
#ifndef PROTO_BASE_ERROR_H
#define PROTO_BASE_ERROR_H

enum error {
    ERROR_NOMEM = -1,     /* an allocation failed */
    ERROR_LIMIT = -2,     /* a named maximum was reached; nothing was changed */
    ERROR_SYNTAX = -3,    /* the input is malformed */
    ERROR_STATE = -4,     /* the call makes no sense in this state */
    ERROR_NOT_FOUND = -5, /* no such item */
    ERROR_EXISTS = -6,    /* there is one already */
    ERROR_IO = -7,        /* a system call failed; the error text has the reason */
    ERROR_PEER = -8,      /* the peer broke the protocol */
    ERROR_TIMEOUT = -9,   /* a deadline passed */
    ERROR_CLOSED = -10,   /* the other end is gone */
    ERROR_REFUSED = -11,  /* authentication or authorisation failed */
    ERROR_CONFIG = -12,   /* a configuration file or an argument is wrong */
    ERROR_INTERNAL = -13  /* a library failed in a way that should not happen */
};

/* Longest error sentence, with its terminating NUL. */
#define ERROR_TEXT_BYTES 512

/* One sentence for a human. Never holds a secret. */
struct error_text {
    char text[ERROR_TEXT_BYTES];
};

/* Name of a code ("no memory", "limit reached" ...); borrowed, static. */
const char *error_name(int code);

/* Writes the sentence (cut to size) if `e` is not NULL, and returns `code`, so that a failing
 * function can end with `return error_set(e, ERROR_IO, "cannot open %s: %s", path, reason);`. */
int error_set(struct error_text *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
