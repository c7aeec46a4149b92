/* SPDX-License-Identifier: Apache-2.0 */
/* A strict decoder of the chunked transfer coding (RFC 9112 7.1). It accepts less than llhttp 8.1,
 * which the heads are parsed with: no white space in or after a size, no bare CR or LF anywhere, no
 * size of more than eight digits (docs/decisions.md has the list). */
#ifndef PROTO_HTTP_CHUNKED_H
#define PROTO_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest line of a size with its extensions, and longest trailer section. */
#define CHUNKED_LINE_BYTES_MAX 4096

enum chunked_state {
    CHUNKED_SIZE,      /* in the digits of a size */
    CHUNKED_EXTENSION, /* behind the size, up to CR */
    CHUNKED_SIZE_LF,   /* the CR of a size line was seen */
    CHUNKED_DATA,      /* `remaining` bytes of data follow */
    CHUNKED_DATA_CR,   /* the data is over, its CR follows */
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER,      /* at the start of a trailer line */
    CHUNKED_TRAILER_NAME, /* in the name of one */
    CHUNKED_TRAILER_LINE, /* behind its colon */
    CHUNKED_TRAILER_LF,   /* the CR of a trailer line was seen */
    CHUNKED_END_LF,       /* the CR of the last line was seen */
    CHUNKED_DONE
};

struct chunked {
    enum chunked_state state;
    uint32_t remaining; /* of the current chunk */
    uint32_t n_digits;
    uint32_t line_bytes; /* of the current size line, or of all trailers */
    uint32_t name_len;   /* of the current trailer's name */
    char name[20];       /* its first bytes: enough for those that are refused */
};

void chunked_init(struct chunked *c);

/* Decodes what it can: `*data` of `*data_len` bytes (inside `bytes`) is body, `*consumed` says how
 * far it came; call again with the rest until nothing is left or the state is CHUNKED_DONE.
 * 0, ERROR_SYNTAX, ERROR_LIMIT (an over-long line). */
int chunked_feed(struct chunked *c, const uint8_t *bytes, size_t len, size_t *consumed,
                 const uint8_t **data, size_t *data_len);

#endif
