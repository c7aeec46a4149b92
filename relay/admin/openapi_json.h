/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.json, built in. */
#ifndef RELAY_ADMIN_OPENAPI_JSON_H
#define RELAY_ADMIN_OPENAPI_JSON_H

#include <stddef.h>

extern const unsigned char OPENAPI_JSON[];
extern const size_t OPENAPI_JSON_BYTES;

#endif
