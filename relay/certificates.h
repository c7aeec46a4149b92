/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners' certificates: read, watched for changes, and handed to the workers. */
#ifndef RELAY_CERTIFICATES_H
#define RELAY_CERTIFICATES_H

#include <stdint.h>

#include "proto/base/error.h"
#include "proto/io/tls.h"
#include "relay/ref.h"

struct relay;
struct relay_config;

/* Changes when any of the configured files is replaced or written. */
uint64_t certificates_stamp(const struct relay_config *c);

/* Reads the configured files into one context for each worker; none if there are no certificates.
 * As tls_server_new; on failure nothing is left to free. */
int certificates_load(const struct relay_config *c, struct tickets *tickets, unsigned n_workers,
                      struct tls_server *tls[REF_WORKERS_MAX], struct error_text *e);

/* Gives them (NULL: those in use stay), and the relay's settings, to the workers that run. 0, or
 * ERROR_NOMEM, which is logged: the workers have not heard of it, and will with the next call. */
int certificates_hand_over(struct relay *relay, struct tls_server *tls[REF_WORKERS_MAX]);

#endif
