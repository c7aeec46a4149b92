/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests a listener of pages takes from a browser. A page of another site must neither
 * make its visitor's browser act here (cross-site requests) nor read what is here by giving its own
 * name our address (DNS rebinding). Pure. */
#ifndef PROTO_PAGES_GUARD_H
#define PROTO_PAGES_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/http/request.h"

/* True if the Host field names this machine's loopback (localhost, 127.0.0.0/8, [::1]), with any
 * port, or one of the `names` (of the configuration; no port). */
bool guard_host_ok(const struct request *r, const char *const *names, size_t n_names);

/* False if a browser says that the request comes from a page of another origin (Sec-Fetch-Site,
 * Origin), or leaves open where an Origin should be ("null"). `is_tls` is how we were reached. */
bool guard_same_origin(const struct request *r, bool is_tls);

/* True if a request that changes something is one that no page of another site can send: same
 * origin, and a JSON body (which a plain form cannot have). The token against forged requests is
 * checked elsewhere. */
bool guard_may_change(const struct request *r, bool is_tls);

/* The value of the cookie `name`; empty with p == NULL if it is not there, or there twice. */
struct span guard_cookie(const struct request *r, const char *name);

#endif
