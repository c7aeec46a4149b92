/* SPDX-License-Identifier: Apache-2.0 */
/* Who the client of a request is by the fields that proxies add to it: Forwarded (RFC 7239) and
 * X-Forwarded-For. Pure. */
#ifndef RELAY_FRONT_FORWARDED_H
#define RELAY_FRONT_FORWARDED_H

#include "proto/http/request.h"
#include "relay/front/proxy.h"

/* Proxies that a request may have come through; more, and its client has no address. */
#define FORWARDED_HOPS_MAX 32

/* Of a request that trusted `peer` sent: the rightmost address in its Forwarded or X-Forwarded-For
 * fields that is not itself trusted; the leftmost if all are; `peer` if there is no such field. If
 * that place holds no address, or the two fields name different clients (one of them is then the
 * client's own invention), nobody: AF_UNSPEC. */
void forwarded_find_client(const struct proxy_trust *t, const struct request *r,
                           const union proxy_address *peer, union proxy_address *client);

#endif
