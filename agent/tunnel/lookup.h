/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of one host: asked for anew at each attempt, and remembered, because a resolver is
 * often silent just when a line is down or has just returned.
 *
 * One question at a time: a resolver that hangs (glibc's may do so for half a minute) keeps one of
 * libuv's four threads and not more; who asks meanwhile waits for the same answer. */
#ifndef AGENT_TUNNEL_LOOKUP_H
#define AGENT_TUNNEL_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <uv.h>

#include "agent/tunnel/url.h"

/* Addresses kept; further ones are left out. */
#define LOOKUP_ADDRESSES_MAX 8

struct lookup_query;

/* `status`: 0, or libuv's error. From the loop. */
typedef void (*lookup_done)(void *user, int status);

struct lookup {
    uv_loop_t *loop;
    struct lookup_query *query; /* with the resolver; NULL = none */
    struct url to;              /* of the last question */
    struct sockaddr_storage addresses[LOOKUP_ADDRESSES_MAX];
    size_t n_addresses;
    lookup_done on_done; /* NULL = nobody waits */
    void *user;
};

void lookup_init(struct lookup *l, uv_loop_t *loop);

/* No callback follows. A resolver at work keeps the loop alive until it is back. */
void lookup_close(struct lookup *l);

/* Asks for the host of `to`, or joins the question that is under way. Another host or port forgets
 * the addresses of the one before. 0, and on_done follows unless lookup_stop comes first;
 * ERROR_NOMEM. */
int lookup_start(struct lookup *l, const struct url *to, lookup_done on_done, void *user);

/* The answer is not waited for any more; it is remembered when it comes. */
void lookup_stop(struct lookup *l);

/* The last good answer for `to`, with its port: the families in turn, beginning with the one that
 * the system prefers (RFC 6724), each in the system's order. `*n` = 0 if there never was one.
 * Borrowed until the loop runs. */
const struct sockaddr_storage *lookup_addresses(const struct lookup *l, size_t *n);

#endif
