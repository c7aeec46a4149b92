/* SPDX-License-Identifier: Apache-2.0 */
/* The text of what goes to a client. */
#include "relay/front/answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/decimal.h"
#include "proto/base/error.h"
#include "proto/http/field.h"

/* Longest head of a relay's own answer, and its longest body. */
#define OWN_HEAD_BYTES 1024
#define OWN_BODY_BYTES 384
/* One year: what HSTS preload lists ask for at least. */
#define HSTS_FIELD "Strict-Transport-Security: max-age=31536000\r\n"

static const struct {
    unsigned status;
    const char *word;
    const char *sentence;
} reasons[] = {
    [ANSWER_BAD_REQUEST] = {400, "bad_request", "malformed request"},
    [ANSWER_KEY_REFUSED] = {403, "key_refused", "unknown or unusable key"},
    [ANSWER_NOT_ALLOWED] = {403, "not_allowed", "this key does not allow this call"},
    [ANSWER_NO_SUCH_PATH] = {404, "no_such_path", "only /KEY/api/V1/... is served"},
    [ANSWER_METHOD_NOT_ALLOWED] = {405, "method_not_allowed", "only GET, HEAD and POST"},
    [ANSWER_CLIENT_TIMEOUT] = {408, "client_timeout", "the request did not come in time"},
    [ANSWER_BODY_TOO_LARGE] = {413, "too_large", "body too large"},
    [ANSWER_LINE_TOO_LARGE] = {414, "too_large", "request line too long"},
    [ANSWER_HEAD_TOO_LARGE] = {431, "too_large", "header fields too large"},
    [ANSWER_EXPECTATION_FAILED] = {417, "expectation_failed", "only Expect: 100-continue is known"},
    [ANSWER_RATE_LIMITED] = {429, "rate_limited", "too many requests"},
    [ANSWER_INTERNAL] = {500, "internal", "the relay failed"},
    [ANSWER_SERVER_UNREACHABLE] = {502, "server_unreachable",
                                   "the building's server cannot be reached by its agent"},
    [ANSWER_SERVER_AUTH] = {502, "server_auth",
                            "the building's server refuses the agent's credentials"},
    [ANSWER_BAD_ANSWER] = {502, "bad_answer", "the building's server gave an unusable answer"},
    [ANSWER_SERVER_OFFLINE] = {503, "server_offline", "the building is not connected"},
    [ANSWER_OVERLOADED] = {503, "overloaded", "too many requests in flight to this building"},
    [ANSWER_TUNNEL_LOST] = {502, "tunnel_lost",
                            "the connection to the building broke before its answer"},
    [ANSWER_SERVER_TIMEOUT] = {504, "server_timeout",
                               "the building's server did not answer in time"},
    [ANSWER_AGENT_REFUSED] = {502, "agent_refused", "the building's agent refused this call"},
    [ANSWER_UPGRADE_REQUIRED] = {426, "upgrade_required", "websocket version 13 is needed"},
};

unsigned answer_status(enum answer_reason reason)
{
    return reasons[reason].status;
}

const char *answer_word(enum answer_reason reason)
{
    return reasons[reason].word;
}

const char *answer_phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

static const char *delivered_text(enum head_delivered delivered)
{
    switch (delivered) {
    case HEAD_DELIVERED_NO: return "false";
    case HEAD_DELIVERED_YES: return "true";
    case HEAD_DELIVERED_UNKNOWN:
    default: return "\"unknown\"";
    }
}

static int append_text(struct buffer *out, const char *text)
{
    return buffer_append(out, text, strlen(text));
}

/* Writes it at `to`, where there is room; returns what is behind it. Inline: literals, of which a
 * head mostly consists, are then copied with a move or two. */
static inline uint8_t *put(uint8_t *to, struct span s)
{
    if (s.len > 0) { /* else it may be NULL */
        memcpy(to, s.p, s.len);
    }
    return to + s.len;
}

static struct span connection_field(const struct answer_context *c)
{
    static const struct span closes = SPAN_LITERAL("Connection: close\r\n");
    static const struct span keeps = SPAN_LITERAL("Connection: keep-alive\r\n");
    if (!c->keep_alive) {
        return closes;
    }
    return c->minor == 0 ? keeps : (struct span){NULL, 0};
}

/* Fields that every answer has, and the empty line behind them. */
static int append_common(struct buffer *out, const struct answer_context *c)
{
    static const struct span before_date = SPAN_LITERAL("Date: ");
    static const struct span after_date = SPAN_LITERAL("\r\n");
    static const struct span before_id = SPAN_LITERAL("X-Request-Id: ");
    static const struct span after_id = SPAN_LITERAL("\r\n");
    static const struct span end = SPAN_LITERAL("\r\n");
    struct span date = span_of(c->date);
    struct span hsts = span_of(c->is_tls ? HSTS_FIELD : NULL);
    struct span connection = connection_field(c);
    size_t len = before_date.len + date.len + after_date.len + hsts.len + before_id.len +
                 c->request_id.len + after_id.len + connection.len + end.len;
    uint8_t *to = NULL;
    int err = buffer_reserve(out, len, &to);
    if (err < 0) {
        return err;
    }
    to = put(put(put(to, before_date), date), after_date);
    to = put(to, hsts);
    to = put(put(put(to, before_id), c->request_id), after_id);
    (void)put(put(to, connection), end);
    buffer_commit(out, len);
    return 0;
}

/* Retry-After (RFC 9110 10.2.3) and the fields of draft-ietf-httpapi-ratelimit-headers. */
static size_t format_limits(char *text, size_t cap, enum answer_reason reason,
                            const struct answer_details *d)
{
    int len = 0;
    if (reason == ANSWER_METHOD_NOT_ALLOWED) {
        len = snprintf(text, cap, "Allow: GET, HEAD, POST\r\n");
    } else if (reason == ANSWER_UPGRADE_REQUIRED) {
        /* A sender of Upgrade must name it in Connection (RFC 9110 7.8). */
        len = snprintf(text, cap,
                       "Upgrade: websocket\r\nConnection: upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\n");
    } else if (reason == ANSWER_RATE_LIMITED) {
        uint32_t window_s =
            d->rate.per_s > 0 ? (d->rate.burst + d->rate.per_s - 1) / d->rate.per_s : 1;
        len = snprintf(text, cap,
                       "Retry-After: %" PRIu32 "\r\nRateLimit-Policy: \"%s\";q=%" PRIu32
                       ";w=%" PRIu32 "\r\nRateLimit: \"%s\";r=0;t=%" PRIu32 "\r\n",
                       d->retry_after_s, d->policy, d->rate.burst, window_s, d->policy, d->reset_s);
    } else if (d->retry_after_s > 0) {
        len = snprintf(text, cap, "Retry-After: %" PRIu32 "\r\n", d->retry_after_s);
    }
    return len > 0 && (size_t)len < cap ? (size_t)len : 0;
}

int answer_format(struct buffer *out, const struct answer_context *c, enum answer_reason reason,
                  const struct answer_details *d)
{
    char body[OWN_BODY_BYTES];
    char head[OWN_HEAD_BYTES];
    char limits[256];
    int body_len =
        snprintf(body, sizeof(body), "{\"error\":\"%s%s%s\",\"reason\":\"%s\",\"delivered\":%s}\n",
                 reasons[reason].sentence, d->why != NULL ? ": " : "", d->why != NULL ? d->why : "",
                 reasons[reason].word, delivered_text(d->delivered));
    size_t limits_len = format_limits(limits, sizeof(limits), reason, d);
    int head_len =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                 "Cache-Control: no-store\r\n%.*s",
                 reasons[reason].status, answer_phrase(reasons[reason].status), body_len,
                 (int)limits_len, limits);
    if (body_len < 0 || (size_t)body_len >= sizeof(body) || head_len < 0 ||
        (size_t)head_len >= sizeof(head)) {
        return ERROR_LIMIT;
    }
    int err = buffer_append(out, head, (size_t)head_len);
    if (err == 0) {
        err = append_common(out, c);
    }
    return err == 0 && !c->head_only ? buffer_append(out, body, (size_t)body_len) : err;
}

/* ---- a building's answers ---- */

/* Orders to the web server that may stand in front of the relay: nginx would serve a file of its
 * own for X-Accel-Redirect, Apache and lighttpd for X-Sendfile. */
static bool is_order(struct span name)
{
    static const struct span orders[] = {SPAN_LITERAL("X-Accel-"), SPAN_LITERAL("X-Sendfile"),
                                         SPAN_LITERAL("X-Lighttpd-"), SPAN_LITERAL("X-LiteSpeed-")};
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct span start = {name.p, orders[i].len};
        if (name.len >= start.len && span_equal_nocase(start, orders[i])) {
            return true;
        }
    }
    return false;
}

/* All buildings share the relay's origin in a browser's eyes, and the relay speaks for the
 * connection: what would set state for the origin, or what the relay writes itself, is dropped. */
static bool field_passes(struct span name)
{
    static const struct span dropped[] = {
        SPAN_LITERAL("Content-Length"),   SPAN_LITERAL("Date"),
        SPAN_LITERAL("X-Request-Id"),     SPAN_LITERAL("Strict-Transport-Security"),
        SPAN_LITERAL("Set-Cookie"),       SPAN_LITERAL("Set-Cookie2"),
        SPAN_LITERAL("Alt-Svc"),          SPAN_LITERAL("Clear-Site-Data"),
        SPAN_LITERAL("WWW-Authenticate"), SPAN_LITERAL("Authentication-Info"),
        SPAN_LITERAL("Public-Key-Pins"),  SPAN_LITERAL("Service-Worker-Allowed"),
        SPAN_LITERAL("Expect-CT"),        SPAN_LITERAL("NEL"),
        SPAN_LITERAL("Report-To"),        SPAN_LITERAL("Server"),
    };
    if (field_is_hop_by_hop(name) || is_order(name)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
        if (span_equal_nocase(name, dropped[i])) {
            return false;
        }
    }
    return true;
}

/* A whole line of three parts, or nothing. */
static inline int append_line(struct buffer *out, struct span first, struct span second,
                              struct span third)
{
    static const struct span end = SPAN_LITERAL("\r\n");
    size_t len = first.len + second.len + third.len + end.len;
    uint8_t *to = NULL;
    int err = buffer_reserve(out, len, &to);
    if (err < 0) {
        return err;
    }
    (void)put(put(put(put(to, first), second), third), end);
    buffer_commit(out, len);
    return 0;
}

static int append_field(struct buffer *out, const struct head_field *f)
{
    return append_line(out, f->name, (struct span)SPAN_LITERAL(": "), f->value);
}

static int append_length(struct buffer *out, int64_t body_bytes)
{
    char digits[DECIMAL_BYTES];
    struct span length = {digits, decimal_format((uint64_t)body_bytes, digits)};
    return append_line(out, (struct span)SPAN_LITERAL("Content-Length"),
                       (struct span)SPAN_LITERAL(": "), length);
}

static int append_framing(struct buffer *out, const struct head_response *head,
                          enum answer_framing framing)
{
    switch (framing) {
    case ANSWER_LENGTH: return append_length(out, head->body_bytes);
    case ANSWER_CHUNKED: return append_text(out, "Transfer-Encoding: chunked\r\n");
    case ANSWER_NO_BODY:
        /* HEAD and 304 may tell the length that a GET's body would have (RFC 9110 8.6). */
        return head->status == 204 || head->body_bytes <= 0 ? 0
                                                            : append_length(out, head->body_bytes);
    case ANSWER_CLOSE:
    default: return 0;
    }
}

static int append_status_line(struct buffer *out, unsigned status)
{
    char number[DECIMAL_BYTES + 1];
    if (status == 200) { /* nearly all */
        return append_text(out, "HTTP/1.1 200 OK\r\n");
    }
    size_t len = decimal_format(status, number);
    number[len++] = ' ';
    return append_line(out, (struct span)SPAN_LITERAL("HTTP/1.1 "), (struct span){number, len},
                       span_of(answer_phrase(status)));
}

int answer_format_head(struct buffer *out, const struct answer_context *c,
                       const struct head_response *head, enum answer_framing framing)
{
    int err = append_status_line(out, head->status);
    for (size_t i = 0; i < head->n_fields && err == 0; i++) {
        if (field_passes(head->fields[i].name)) {
            err = append_field(out, &head->fields[i]);
        }
    }
    if (err == 0) {
        err = append_framing(out, head, framing);
    }
    return err == 0 ? append_common(out, c) : err;
}
