/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of relays and proxies. */
#include "agent/tunnel/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/span.h"

/* Longest label of a name (RFC 1035 section 2.3.4). */
#define LABEL_BYTES_MAX 63

static bool is_label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text >= 'A' && *text <= 'Z') {
            *text = (char)(*text - 'A' + 'a');
        }
    }
}

/* Labels of 1 to 63 letters, digits, "-" and "_" with dots between them. */
static bool is_name(const char *host)
{
    size_t n = 0;
    for (const char *c = host; *c != '\0'; c++) {
        if (*c == '.') {
            if (n == 0) {
                return false;
            }
            n = 0;
        } else if (!is_label_byte(*c) || ++n > LABEL_BYTES_MAX) {
            return false;
        }
    }
    return n > 0;
}

static int parse_host(struct span host, bool bracketed, struct url *u, struct error_text *e)
{
    unsigned char address[sizeof(struct in6_addr)];

    if (host.len == 0) {
        return error_set(e, ERROR_SYNTAX, "the host is missing");
    }
    if (span_copy(host, u->host, sizeof(u->host)) != 0) {
        return error_set(e, ERROR_SYNTAX, "the host is longer than %d bytes", URL_HOST_BYTES - 1);
    }
    to_lower(u->host);
    u->v6 = bracketed;
    u->literal = bracketed || inet_pton(AF_INET, u->host, address) == 1;
    if (bracketed && inet_pton(AF_INET6, u->host, address) != 1) {
        return error_set(e, ERROR_SYNTAX, "there is no IPv6 address between the brackets");
    }
    if (!u->literal && !is_name(u->host)) {
        return error_set(e, ERROR_SYNTAX, "the host is neither a name nor an address");
    }
    return 0;
}

/* "HOST", "HOST:PORT", "[V6]" or "[V6]:PORT". */
static int parse_authority(struct span text, uint16_t default_port, struct url *u,
                           struct error_text *e)
{
    bool bracketed = text.len > 0 && text.p[0] == '[';
    size_t end = span_find(text, bracketed ? ']' : ':');
    struct span host = {text.p + (bracketed ? 1 : 0), end - (bracketed ? 1 : 0)};
    uint64_t port = default_port;

    if (bracketed && end == text.len) {
        return error_set(e, ERROR_SYNTAX, "the closing bracket of the address is missing");
    }
    end += bracketed ? 1 : 0;
    if (end < text.len) {
        struct span digits = {text.p + end + 1, text.len - end - 1};
        if (text.p[end] != ':' || span_parse_u64(digits, UINT16_MAX, &port) != 0 || port == 0) {
            return error_set(e, ERROR_SYNTAX, "the port is not a number from 1 to 65535");
        }
    } else if (port == 0) {
        return error_set(e, ERROR_SYNTAX, "the port is missing: write host:port");
    }
    u->port = (uint16_t)port;
    return parse_host(host, bracketed, u, e);
}

/* The text behind `scheme`, or false if it has another one. */
static bool cut_scheme(struct span *text, const char *scheme)
{
    struct span wanted = span_of(scheme);
    struct span head = {text->p, text->len < wanted.len ? text->len : wanted.len};
    if (!span_equal_nocase(head, wanted)) {
        return false;
    }
    *text = (struct span){text->p + wanted.len, text->len - wanted.len};
    return true;
}

static int parse_rest(struct span rest, uint16_t default_port, struct url *u, struct error_text *e)
{
    struct url parsed = {.port = 0};

    if (span_find(rest, '@') < rest.len) {
        return error_set(e, ERROR_SYNTAX, "user and password do not belong into a URL");
    }
    size_t end = span_find(rest, '/');
    if (end + 1 < rest.len) {
        return error_set(e, ERROR_SYNTAX, "there may be no path behind the host");
    }
    rest.len = end;
    int rc = parse_authority(rest, default_port, &parsed, e);
    if (rc == 0) {
        *u = parsed;
    }
    return rc;
}

int url_parse_relay(const char *text, struct url *u, struct error_text *e)
{
    struct span rest = span_of(text);

    if (cut_scheme(&rest, "ws://")) {
        return error_set(e, ERROR_SYNTAX, "ws:// is not encrypted: write wss://");
    }
    if (!cut_scheme(&rest, "wss://")) {
        return error_set(e, ERROR_SYNTAX, "it must start with wss://");
    }
    return parse_rest(rest, URL_RELAY_PORT, u, e);
}

int url_parse_proxy(const char *text, struct url *u, struct error_text *e)
{
    struct span rest = span_of(text);

    if (cut_scheme(&rest, "https://") || cut_scheme(&rest, "socks")) {
        return error_set(e, ERROR_SYNTAX,
                         "only plain HTTP proxies are supported: http://HOST:PORT");
    }
    (void)cut_scheme(&rest, "http://"); /* it may be left out */
    return parse_rest(rest, 0, u, e);
}

void url_format_authority(const struct url *u, uint16_t default_port,
                          char text[URL_AUTHORITY_BYTES])
{
    const char *open = u->v6 ? "[" : "";
    const char *close = u->v6 ? "]" : "";

    /* Both fit: URL_AUTHORITY_BYTES is counted for them. */
    if (u->port == default_port) {
        (void)snprintf(text, URL_AUTHORITY_BYTES, "%s%s%s", open, u->host, close);
    } else {
        (void)snprintf(text, URL_AUTHORITY_BYTES, "%s%s%s:%u", open, u->host, close,
                       (unsigned)u->port);
    }
}

bool url_equal(const struct url *a, const struct url *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}
