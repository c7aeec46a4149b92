/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a scope, shared by the part that parses it and the part that judges by it. */
#ifndef RELAY_STORE_SCOPE_RULES_H
#define RELAY_STORE_SCOPE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/span.h"
#include "relay/store/cidr.h"
#include "relay/store/scope.h"

/* Longest GUID that can be listed, and longest name or value that is looked into. */
#define SCOPE_WORD_BYTES 128

/* Group addresses have 16 bits: 5 main, 3 middle, 8 sub (KNX standard, 03_05_01). */
struct group_range {
    uint16_t first;
    uint16_t last;
};

struct scope {
    bool read_only;
    bool lists_controllers;
    bool lists_guids;
    bool lists_groups;
    bool lists_cidrs;
    uint64_t controllers; /* a bit for each place in the table of controllers */
    char **guids;         /* owned */
    size_t n_guids;
    struct group_range *groups; /* owned */
    size_t n_groups;
    struct cidr *cidrs; /* owned */
    size_t n_cidrs;
};

/* What a GUID or another value may hold: printable ASCII that means nothing in a query, nor after
 * it was decoded once more. */
bool scope_is_plain_char(char c);

/* What the name of a parameter may hold. */
bool scope_is_name_char(char c);

/* "1/2/3" alone: other notations of the same address are refused, for we do not know what the
 * building's server makes of them. 0 or ERROR_SYNTAX. */
int scope_parse_group(struct span text, uint16_t *address);

#endif
