/* SPDX-License-Identifier: Apache-2.0 */
/* Where to dial: the URL of a relay, and that of an HTTP proxy. No I/O. */
#ifndef AGENT_TUNNEL_URL_H
#define AGENT_TUNNEL_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* Longest name of DNS (RFC 1035 section 2.3.4), with NUL. */
#define URL_HOST_BYTES 254
/* "[", host, "]:65535". */
#define URL_AUTHORITY_BYTES (URL_HOST_BYTES + 8)

#define URL_RELAY_PORT 443

struct url {
    char host[URL_HOST_BYTES]; /* lower case; an IPv6 address without its brackets */
    uint16_t port;
    bool literal; /* the host is an IP address */
    bool v6;      /* ... of version 6 */
};

/* "wss://HOST[:PORT][/]"; the port is 443 by default. ws:// is refused: a token never travels
 * unencrypted. 0 or ERROR_SYNTAX, with a sentence that does not repeat the URL. */
int url_parse_relay(const char *text, struct url *u, struct error_text *e);

/* "[http://]HOST:PORT[/]". 0 or ERROR_SYNTAX. A user or a password in it is refused: they have
 * settings of their own, which do not end up in a log. */
int url_parse_proxy(const char *text, struct url *u, struct error_text *e);

/* "host", "host:8443" or "[::1]:8443", as a Host field has it: the port is left out if it is
 * `default_port` (0 = never left out). */
void url_format_authority(const struct url *u, uint16_t default_port,
                          char text[URL_AUTHORITY_BYTES]);

/* Both name the same place. */
bool url_equal(const struct url *a, const struct url *b);

#endif
