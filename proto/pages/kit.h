/* SPDX-License-Identifier: Apache-2.0 */
/* The Integration Kit's API as an OpenAPI 3.1 document, made from the table of controllers. The
 * pages build their forms from it; the members "x-…" are theirs, and say what OpenAPI cannot: the
 * class and the part of a device, whether a call changes it, whether only a dimmable light has it.
 */
#ifndef PROTO_PAGES_KIT_H
#define PROTO_PAGES_KIT_H

#include <jansson.h>

/* Returns owned; NULL when out of memory. `base_url` is what the paths follow
 * ("https://relay.example/KEY/api/V1"); a "{key}" in it is described as a variable. */
json_t *kit_describe(const char *base_url);

#endif
