/* SPDX-License-Identifier: Apache-2.0 */
/* Where the Thinknx server is: the parts of its URL (an origin in the words of RFC 6454). */
#ifndef AGENT_UPSTREAM_ORIGIN_H
#define AGENT_UPSTREAM_ORIGIN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/http/field.h"

/* The local API's port. */
#define ORIGIN_PORT_DEFAULT 5051

struct origin {
    char host[FIELD_HOST_BYTES_MAX + 1];      /* a name, or an address without brackets */
    char service[6];                          /* the port as text */
    char authority[FIELD_HOST_BYTES_MAX + 9]; /* the Host field's value */
    bool is_literal; /* `host` is an address: `address` has it, with the port */
    struct sockaddr_storage address;
};

/* Parses "http://host[:port][/]". 0; ERROR_CONFIG (anything else: another scheme, a path, a user).
 */
int origin_parse(const char *url, struct origin *o, struct error_text *e);

#endif
