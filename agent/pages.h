/* SPDX-License-Identifier: Apache-2.0 */
/* The pages that the agent serves in the building, for the installer on site: the Integration Kit
 * of this one server, its keys, and which leg is broken. On loopback only, for there is no login;
 * who works from another machine comes through ssh -L. One request per connection, parsed as
 * strictly as the relay's front does it. */
#ifndef AGENT_PAGES_H
#define AGENT_PAGES_H

#include <uv.h>

#include "agent/answer.h"
#include "proto/base/error.h"

/* Connections at once; more are closed. */
#define PAGES_VISITS_MAX 32
/* A visit, with a call and its feedback, is answered by then. */
#define PAGES_VISIT_MS 60000
/* So much longer an answer may take to leave that came only then. */
#define PAGES_LATE_MS 5000
/* Longest body of a request, and device file. */
#define PAGES_BODY_BYTES_MAX   65536
#define PAGES_DEVICE_BYTES_MAX (1024 * 1024)

struct pages;

/* Listens at `listen` ("127.0.0.1:8081"). `about` tells what is current. ERROR_IO (cannot listen),
 * ERROR_NOMEM. */
int pages_open(uv_loop_t *loop, const char *listen,
               void (*about)(void *user, struct answer_about *about), void *user, struct pages **p,
               struct error_text *e);

/* Closes all; `on_closed` follows, from the loop. */
void pages_close(struct pages *p, void (*on_closed)(void *user), void *user);

#endif
