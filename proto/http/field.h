/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for single parts of an HTTP message: names and values of header fields, which of them
 * may be forwarded, the Host field and the path of a target. Pure functions; nothing is changed,
 * kept or normalised. */
#ifndef PROTO_HTTP_FIELD_H
#define PROTO_HTTP_FIELD_H

#include <stdbool.h>

#include "proto/base/span.h"

/* Longest host in a Host field, without brackets and port (RFC 1035 2.3.4). */
#define FIELD_HOST_BYTES_MAX 255

/* 0-15, or -1 if it is no hexadecimal digit. */
int field_hex_value(char c);

/* One or more tchar (RFC 9110 5.6.2): what a method and a field's name are made of. */
bool field_is_token(struct span s);

/* A field's value, already trimmed: any bytes but controls; the tab is allowed. That shuts out CR,
 * LF and NUL, and with them every fold. Bytes 0x80-0xff (obs-text, RFC 9110 5.5) are allowed: old
 * servers put Latin-1 into values, and those bytes cannot end a line. */
bool field_value_ok(struct span value);

/* Belongs to one connection and is never forwarded (RFC 9110 7.6.1): Connection, Keep-Alive,
 * Proxy and Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, HTTP2-Settings. What a Connection
 * field names besides is asked with field_connection_lists. Letter case is ignored, and `_` counts
 * as `-`, because servers that pass fields on as CGI variables cannot tell them apart. */
bool field_is_hop_by_hop(struct span name);

/* Dropped from a caller's request before it goes to a building, besides the hop-by-hop fields:
 * what relay and agent set themselves (Host, Content-Length, Expect, X-Request-Id), what is meant
 * for the relay or says who the caller is (Authorization, Cookie, Forwarded, X-Forwarded-*, Via,
 * X-Real-IP and its relatives), and what makes some servers take another method or path than the
 * one that was checked (X-HTTP-Method-Override, X-Original-URL and their relatives). Letter case
 * and `_` as above. */
bool field_is_private(struct span name);

/* True if a server could take `name` for `known` (in lower case with hyphens): letter case and `_`
 * as above. */
bool field_name_reads(struct span name, const char *known);

/* True if the comma-separated value of a Connection field names `name`. */
bool field_connection_lists(struct span connection_value, struct span name);

/* True if the Host field's value is a host that a caller can have reached us by: a DNS name
 * (letters, digits, `-`, `_`, `.`; 1 to FIELD_HOST_BYTES_MAX bytes), an IPv4 address or a
 * bracketed IPv6 address, each with an optional `:port` (1-65535). Narrower than RFC 3986 3.2.2 on
 * purpose: no user part, no %-escapes, no `,` (two Host fields joined into one), no empty port. */
bool field_host_ok(struct span value);

/* True if the path of a target, without its query, can be forwarded as it is: it begins with `/`,
 * all bytes are 0x21-0x7e without `#`, `?` and `\`, and every % begins a valid escape of a
 * printable ASCII character that is not `/`, `\` or `%`. Dot segments (`.`, `..`) are refused,
 * escaped ones and those with parameters (`..;x`) too. Nothing in the API's paths needs more, and
 * whatever is accepted means the same to every server. */
bool target_path_ok(struct span path);

#endif
