/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of header fields, Host and paths; see field.h for the rules. */
#include "proto/http/field.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/base/charset.h"
#include "proto/base/text.h"

#define PORT_MAX 65535

static const struct span HOP_BY_HOP_NAMES[] = {
    SPAN_LITERAL("connection"), SPAN_LITERAL("keep-alive"),     SPAN_LITERAL("proxy"),
    SPAN_LITERAL("te"),         SPAN_LITERAL("trailer"),        SPAN_LITERAL("transfer-encoding"),
    SPAN_LITERAL("upgrade"),    SPAN_LITERAL("http2-settings"),
};

static const struct span PRIVATE_NAMES[] = {
    SPAN_LITERAL("host"),
    SPAN_LITERAL("cookie"),
    SPAN_LITERAL("cookie2"),
    SPAN_LITERAL("authorization"),
    SPAN_LITERAL("content-length"),
    SPAN_LITERAL("expect"),
    SPAN_LITERAL("via"),
    SPAN_LITERAL("forwarded"),
    SPAN_LITERAL("x-request-id"),
    SPAN_LITERAL("x-forwarded"),
    SPAN_LITERAL("x-real-ip"),
    SPAN_LITERAL("x-client-ip"),
    SPAN_LITERAL("x-cluster-client-ip"),
    SPAN_LITERAL("true-client-ip"),
    SPAN_LITERAL("cf-connecting-ip"),
    SPAN_LITERAL("x-original-url"),
    SPAN_LITERAL("x-original-method"),
    SPAN_LITERAL("x-rewrite-url"),
    SPAN_LITERAL("x-http-method"),
    SPAN_LITERAL("x-http-method-override"),
    SPAN_LITERAL("x-method-override"),
};

#define N_NAMES(names) (sizeof(names) / sizeof((names)[0]))

int field_hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool field_is_token(struct span s)
{
    /* Nearly all are of the letters of a name. */
    return s.len > 0 && (text_is_name(s) || charset_covers(&CHARSET_TOKEN, s));
}

bool field_value_ok(struct span value)
{
    /* Hardly any has a tab. */
    return text_run(value) == value.len || charset_covers(&CHARSET_FIELD_VALUE, value);
}

static unsigned char fold_name_byte(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned char)(c - 'A' + 'a');
    }
    return c == '_' ? '-' : (unsigned char)c;
}

/* `prefix` is in lower case with hyphens. */
static bool name_starts(struct span name, struct span prefix)
{
    if (name.len < prefix.len) {
        return false;
    }
    for (size_t i = 0; i < prefix.len; i++) {
        if (fold_name_byte(name.p[i]) != (unsigned char)prefix.p[i]) {
            return false;
        }
    }
    return true;
}

static bool name_reads(struct span name, struct span known)
{
    return name.len == known.len && name_starts(name, known);
}

bool field_name_reads(struct span name, const char *known)
{
    return name_reads(name, span_of(known));
}

static bool name_is_one_of(struct span name, const struct span *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        if (name_reads(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool field_is_hop_by_hop(struct span name)
{
    return name_is_one_of(name, HOP_BY_HOP_NAMES, N_NAMES(HOP_BY_HOP_NAMES)) ||
           name_starts(name, span_of("proxy-"));
}

bool field_is_private(struct span name)
{
    return name_is_one_of(name, PRIVATE_NAMES, N_NAMES(PRIVATE_NAMES)) ||
           name_starts(name, span_of("x-forwarded-"));
}

bool field_connection_lists(struct span connection_value, struct span name)
{
    struct span rest = connection_value;
    while (rest.p != NULL) {
        if (span_equal_nocase(span_trim(span_cut(&rest, ',')), name)) {
            return true;
        }
    }
    return false;
}

static bool is_ipv6(struct span s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    /* A NUL in the span would hide what follows it from inet_pton. */
    return field_value_ok(s) && span_copy(s, text, sizeof(text)) == 0 &&
           inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_dns_name(struct span s)
{
    static const struct charset name = {{
        CHARSET_DIGITS | CHARSET_LOW('-') | CHARSET_LOW('.'),
        CHARSET_LETTERS | CHARSET_HIGH('_'),
    }};
    return s.len > 0 && s.len <= FIELD_HOST_BYTES_MAX && charset_covers(&name, s);
}

/* Nothing, or ":" and a port. */
static bool is_port_part(struct span s)
{
    uint64_t port = 0;
    if (s.len == 0) {
        return true;
    }
    struct span digits = {s.p + 1, s.len - 1};
    return s.p[0] == ':' && span_parse_u64(digits, PORT_MAX, &port) == 0 && port > 0;
}

bool field_host_ok(struct span value)
{
    bool bracketed = value.len > 0 && value.p[0] == '[';
    size_t end = span_find(value, bracketed ? ']' : ':');
    if (!bracketed) {
        return is_dns_name((struct span){value.p, end}) &&
               is_port_part((struct span){value.p + end, value.len - end});
    }
    if (end == value.len) {
        return false;
    }
    return is_ipv6((struct span){value.p + 1, end - 1}) &&
           is_port_part((struct span){value.p + end + 1, value.len - end - 1});
}

/* Decodes the character at `*i` and moves behind it. False if it may not stand in a path. */
static bool next_path_char(struct span s, size_t *i, unsigned char *decoded)
{
    unsigned char c = (unsigned char)s.p[*i];
    if (c < 0x21 || c > 0x7e || c == '#' || c == '?' || c == '\\') {
        return false;
    }
    *i += 1;
    if (c == '%') {
        int high = s.len - *i < 2 ? -1 : field_hex_value(s.p[*i]);
        int low = high < 0 ? -1 : field_hex_value(s.p[*i + 1]);
        if (low < 0) {
            return false;
        }
        *i += 2;
        c = (unsigned char)(high * 16 + low);
        if (c < 0x20 || c > 0x7e || c == '/' || c == '\\' || c == '%') {
            return false;
        }
    }
    *decoded = c;
    return true;
}

static bool path_segment_ok(struct span s)
{
    size_t n_chars = 0; /* before the first ";", as are the dots */
    size_t n_dots = 0;
    bool in_params = false;
    for (size_t i = 0; i < s.len;) {
        unsigned char c = 0;
        if (!next_path_char(s, &i, &c)) {
            return false;
        }
        in_params = in_params || c == ';';
        if (!in_params) {
            n_chars++;
            n_dots += c == '.' ? 1 : 0;
        }
    }
    return n_dots != n_chars || (n_dots != 1 && n_dots != 2);
}

bool target_path_ok(struct span path)
{
    if (path.len == 0 || path.p[0] != '/') {
        return false;
    }
    /* Neither dots nor escapes nor parameters: no segment needs a closer look. */
    if (text_is_path(path)) {
        return true;
    }
    struct span rest = {path.p + 1, path.len - 1};
    while (rest.p != NULL) {
        if (!path_segment_ok(span_cut(&rest, '/'))) {
            return false;
        }
    }
    return true;
}
