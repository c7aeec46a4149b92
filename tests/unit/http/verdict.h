/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of proto/http/request.h: a stream of bytes is parsed as a connection would parse
 * it, request after request, and the verdict on it is written down as text, so that verdicts on
 * different ways of cutting the stream can be compared.
 *
 * One entry for each message:
 *   "GET /path?query 1.1 keep;"     complete; or "close", "continue", "websocket", "id=…", "<body>"
 *   "!400;"                         refused, and with it the connection
 *   "~line;" "~fields;" "~body;"    the stream ended there */
#ifndef TESTS_UNIT_HTTP_VERDICT_H
#define TESTS_UNIT_HTTP_VERDICT_H

#include <stddef.h>

#include "proto/base/buffer.h"

/* Longest verdict: a full body and what stands around it. */
#define VERDICT_BYTES_MAX (256 * 1024)

/* Writes the verdict on the stream, with a NUL, into `log` (which is cleared first). The stream is
 * cut into one piece of `first` bytes and others of `step`. */
void verdict_write(struct buffer *log, const void *bytes, size_t len, size_t first, size_t step);

/* Asserts that the verdict is `expected`, in one piece, cut in two at every place (of a long stream
 * at some), and byte by byte. */
void verdict_expect(const void *bytes, size_t len, const char *expected);

/* Of a text in the source. */
#define EXPECT(text, expected) verdict_expect(text, sizeof(text) - 1, expected)

/* Of a GET with that target, and of a GET and a POST with those fields besides Host. */
#define EXPECT_TARGET(target, expected)                                                            \
    EXPECT("GET " target " HTTP/1.1\r\nHost: h\r\n\r\n", expected)
#define EXPECT_GET(fields, expected) EXPECT("GET / HTTP/1.1\r\nHost: h\r\n" fields "\r\n", expected)
#define EXPECT_POST(fields_and_body, expected)                                                     \
    EXPECT("POST / HTTP/1.1\r\nHost: h\r\n" fields_and_body, expected)

#endif
