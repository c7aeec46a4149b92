/* SPDX-License-Identifier: Apache-2.0 */
/* A private certificate authority and the server certificate it signs, for set-ups without
 * internet. ECDSA P-256 throughout. */
#ifndef RELAY_ADMIN_CERTIFICATE_H
#define RELAY_ADMIN_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* What clients accept of a private authority's server certificate: 825 days, counted here with the
 * day that both certificates begin early, for clocks that are late. */
#define CERTIFICATE_SERVER_DAYS 824
#define CERTIFICATE_CA_DAYS     3652

/* "AB:CD:…" of a SHA-256, with NUL. */
#define CERTIFICATE_FINGERPRINT_BYTES 96

/* All PEM texts, owned. */
struct certificate_set {
    char *ca;
    char *ca_key;
    char *server;
    char *server_key;
    char ca_fingerprint[CERTIFICATE_FINGERPRINT_BYTES];
};

/* Makes all four. `hosts` are DNS names and IP addresses (checked by the caller); the first names
 * the certificate. 0, ERROR_INTERNAL (OpenSSL), ERROR_NOMEM. */
int certificate_make_set(const char *const *hosts, size_t n_hosts, int64_t now_s,
                         struct certificate_set *set, struct error_text *e);

/* Cleanses and frees. Idempotent. */
void certificate_set_free(struct certificate_set *set);

/* Reads the certificate in `ca_path` (the first, if there are several) as PEM text (owned) with its
 * fingerprint, if it has signed the one in `server_path`; else ERROR_NOT_FOUND. */
int certificate_find_ca(const char *ca_path, const char *server_path, char **pem,
                        char fingerprint[CERTIFICATE_FINGERPRINT_BYTES]);

#endif
