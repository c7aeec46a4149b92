/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener: /metrics (Prometheus), /healthz, /readyz and /status (JSON), plain HTTP on
 * loopback. Served by worker 0. */
#ifndef RELAY_ADMIN_ADMIN_H
#define RELAY_ADMIN_ADMIN_H

struct worker;

/* Takes an accepted socket of an admin listener. */
void admin_accept(struct worker *w, int fd);

#endif
