/* SPDX-License-Identifier: Apache-2.0 */
/* What a key may do: read-only, lists of controllers, GUIDs, KNX group prefixes, and the client
 * addresses it may be used from. Pure: no I/O, no database.
 *
 * When in doubt, refuse. Under any rule but CIDRs: an unknown controller, a body that is no form in
 * UTF-8, or a compressed one. Under lists of GUIDs or groups also: a repeated `guid` or `group`, or
 * one that stands both in the query and in the body, an undecodable escape, a name or value that
 * holds anything beyond plain ASCII, and what a second decoding or another separator would split.
 */
#ifndef RELAY_STORE_SCOPE_H
#define RELAY_STORE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/error.h"
#include "proto/base/span.h"

/* Items in each list, and the longest text of the whole scope. */
#define SCOPE_ITEMS_MAX      256
#define SCOPE_TEXT_BYTES_MAX 16384

struct scope;

/* What is asked for. Everything borrowed. */
struct scope_request {
    struct span controller; /* behind /api/V1/ */
    struct span query;      /* raw */
    bool is_post;
    struct span content_type; /* empty = none, or more than one */
    bool is_encoded;          /* it has a Content-Encoding */
    struct span body;
    const struct sockaddr *client;
};

/* Parses the JSON form stored in the database:
 * {"read_only":true,"controllers":["power"],"guids":["…"],"groups":["1/2/
 * *"],"cidrs":["10.0.0.0/8"]} (without the blank). Every member is optional; an empty object allows
 * everything: *scope is NULL then. ERROR_SYNTAX with a sentence, ERROR_LIMIT, ERROR_NOMEM. */
int scope_parse(struct span json, struct scope **scope, struct error_text *e);
void scope_free(struct scope *scope);

/* True if allowed. `scope` NULL allows everything. */
bool scope_allows(const struct scope *scope, const struct scope_request *r);

#endif
