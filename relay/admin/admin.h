/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener, served by worker 0: /metrics (Prometheus), /healthz, /readyz and /status as
 * before any page; the pages and the admin API (relay/admin/api.h).
 *
 * Who may use pages and API: on a loopback listener everybody who can reach it (or who has logged
 * in, [admin] login = always), as long as the request names this machine (no DNS rebinding) and
 * comes from no other site's page. On any other listener who has logged in, and only over TLS
 * ([admin] tls = yes). */
#ifndef RELAY_ADMIN_ADMIN_H
#define RELAY_ADMIN_ADMIN_H

#include <stdbool.h>

struct worker;

/* Takes an accepted socket of an admin listener. */
void admin_accept(struct worker *w, int fd, bool is_loopback);

/* The worker ends: streams are closed, no request is waited for any more; at once: nor is an answer
 * that is not taken. What an operation under way gives is still told. */
void admin_retire(struct worker *w, bool at_once);

#endif
