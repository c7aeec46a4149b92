/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an answer to a browser, with the fields that keep the pages safe: a strict
 * Content-Security-Policy (nothing from any other host, no inline script or style), no framing, no
 * guessing of types, no referrer. Pure. */
#ifndef PROTO_PAGES_REPLY_H
#define PROTO_PAGES_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buffer.h"
#include "proto/http/request.h"
#include "proto/pages/asset.h"

/* Longest value of a Set-Cookie field, with NUL. */
#define REPLY_COOKIE_BYTES 256

struct reply {
    unsigned status;
    const char *phrase;
    const char *type;   /* NULL = no content */
    size_t body_bytes;  /* ignored for a stream */
    bool is_stream;     /* the body ends with the connection */
    const char *etag;   /* NULL = not to be kept by anybody */
    bool is_gzip;       /* the body is compressed */
    const char *cookie; /* of Set-Cookie; NULL = none */
};

/* Appends the head. The connection is closed after every answer. ERROR_LIMIT, ERROR_NOMEM. */
int reply_format_head(const struct reply *reply, struct buffer *out);

/* Appends the whole answer with a file of the pages: 200, or 304 if the browser has it already.
 * ERROR_LIMIT, ERROR_NOMEM. */
int reply_format_asset(const struct asset *asset, const struct request *r, struct buffer *out);

#endif
