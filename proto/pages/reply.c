/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of answers to browsers. */
#include "proto/pages/reply.h"

#include <stdio.h>

#include "proto/base/error.h"

static const char SAFETY[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

/* "Name: value" CRLF, or nothing for NULL. */
static int append_field(struct buffer *out, const char *name, const char *value)
{
    char line[REPLY_COOKIE_BYTES + 64];
    int len = value == NULL ? 0 : snprintf(line, sizeof(line), "%s: %s\r\n", name, value);

    return len < 0 || (size_t)len >= sizeof(line) ? ERROR_LIMIT
                                                  : buffer_append(out, line, (size_t)len);
}

static int append_length(const struct reply *reply, struct buffer *out)
{
    char text[24];

    if (reply->is_stream || reply->status == 304) {
        return 0;
    }
    (void)snprintf(text, sizeof(text), "%zu", reply->body_bytes);
    return append_field(out, "Content-Length", text);
}

int reply_format_head(const struct reply *reply, struct buffer *out)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", reply->status, reply->phrase);
    int rc = buffer_append(out, line, (size_t)len);

    rc = rc == 0 ? append_field(out, "Content-Type", reply->type) : rc;
    rc = rc == 0 ? append_length(reply, out) : rc;
    rc = rc == 0 ? append_field(out, "Content-Encoding", reply->is_gzip ? "gzip" : NULL) : rc;
    rc = rc == 0 ? append_field(out, "Vary", reply->etag != NULL ? "Accept-Encoding" : NULL) : rc;
    rc = rc == 0 ? append_field(out, "ETag", reply->etag) : rc;
    rc = rc == 0 ? append_field(out, "Cache-Control", reply->etag != NULL ? "no-cache" : "no-store")
                 : rc;
    rc = rc == 0 ? append_field(out, "Set-Cookie", reply->cookie) : rc;
    rc = rc == 0 ? buffer_append(out, SAFETY, sizeof(SAFETY) - 1) : rc;
    return rc == 0 ? buffer_append(out, "Connection: close\r\n\r\n", 21) : rc;
}

/* True if one of the codings in Accept-Encoding is gzip, and not with q=0. */
static bool takes_gzip(const struct request *r)
{
    struct span rest = request_field(r, "Accept-Encoding");

    while (rest.p != NULL) {
        struct span weight = span_trim(span_cut(&rest, ','));
        struct span coding = span_trim(span_cut(&weight, ';'));
        if (span_equal_nocase(coding, span_of("gzip"))) {
            return !span_equal(span_trim(weight), span_of("q=0"));
        }
    }
    return false;
}

int reply_format_asset(const struct asset *asset, const struct request *r, struct buffer *out)
{
    bool is_gzip = asset->gzip.len > 0 && takes_gzip(r);
    struct span body = is_gzip ? asset->gzip : asset->plain;
    struct reply reply = {.status = 200,
                          .phrase = "OK",
                          .type = asset->type,
                          .body_bytes = body.len,
                          .etag = asset->etag,
                          .is_gzip = is_gzip};

    if (span_equal(request_field(r, "If-None-Match"), span_of(asset->etag))) {
        reply.status = 304;
        reply.phrase = "Not Modified";
        return reply_format_head(&reply, out);
    }
    int rc = reply_format_head(&reply, out);
    return rc == 0 && r->method != REQUEST_HEAD ? buffer_append(out, body.p, body.len) : rc;
}
