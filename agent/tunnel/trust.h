/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the relay is who it should be: the TLS context of the tunnels to one relay, and the
 * verdict on the certificate that it shows.
 *
 * The certificate must verify against the system's roots, or against `ca_file` and nothing else,
 * and must name the host. With pins the server's key must moreover be one of them. Pins without a
 * ca_file replace the check of chain, host and dates: the key itself is the identity then, and a
 * self-signed certificate is welcome.
 *
 * A pin is the SHA-256 of the key (the DER of SubjectPublicKeyInfo, RFC 7469 section 2.4), not of
 * the certificate: it survives renewals that keep the key.
 *
 * libwebsockets' own judgement is not used: its name check cuts names at 127 bytes and at the first
 * colon, and its later check forgives certificates that are not valid yet. */
#ifndef AGENT_TUNNEL_TRUST_H
#define AGENT_TUNNEL_TRUST_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/tunnel/url.h"
#include "proto/base/error.h"

#define TRUST_PIN_BYTES 32
#define TRUST_PINS_MAX  32

struct trust_settings {
    const struct url *relay;                /* copied */
    const char *ca_file;                    /* NULL = the system's roots */
    const uint8_t (*pins)[TRUST_PIN_BYTES]; /* copied */
    size_t n_pins;                          /* at most TRUST_PINS_MAX */
};

struct trust;

/* 0, ERROR_CONFIG (ca_file cannot be read or holds no certificate), ERROR_NOMEM. */
int trust_new(const struct trust_settings *settings, struct trust **t, struct error_text *e);

/* New settings for the connections that begin from now on. On failure the old ones stay. Errors as
 * trust_new. */
int trust_change(struct trust *t, const struct trust_settings *settings, struct error_text *e);

/* Only when no connection uses the context any more. Accepts NULL. */
void trust_free(struct trust *t);

/* Returns borrowed until trust_free. Clients made from it verify on their own. */
SSL_CTX *trust_context(struct trust *t);

/* A handshake begins: the last verdict is forgotten. One at a time. */
void trust_begin(struct trust *t);

/* The handshake has begun: its first byte is made, so there is a TCP connection, and a proxy in
 * between has let it through. */
bool trust_began(const struct trust *t);

/* The handshake since trust_begin showed an acceptable certificate. The token may be sent only if
 * this is true. */
bool trust_passed(const struct trust *t);

/* Why not, as one sentence; "" if nothing was judged or all was well. Borrowed until the next
 * trust_begin. */
const char *trust_reason(const struct trust *t);

/* 64 hexadecimal digits, with or without colons, or "sha256//" and base64, as curl writes it. 0 or
 * ERROR_SYNTAX. */
int trust_parse_pin(const char *text, uint8_t pin[TRUST_PIN_BYTES]);

#endif
