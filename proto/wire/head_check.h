/* SPDX-License-Identifier: Apache-2.0 */
/* What texts in a head may look like (PROTOCOL.md section 4.3). Private to proto/wire. */
#ifndef PROTO_WIRE_HEAD_CHECK_H
#define PROTO_WIRE_HEAD_CHECK_H

#include <stdbool.h>

#include "proto/base/span.h"

/* Starts with "/", bytes 0x21-0x7e but "?" and "#", no segment "." or ".." (percent-encoded dots
 * count as dots). */
bool head_check_path(struct span path);

/* Bytes 0x21-0x7e only; may be empty. */
bool head_check_visible(struct span text);

/* A non-empty token of RFC 9110 section 5.6.2. */
bool head_check_name(struct span name);

/* Free of controls but the tab. */
bool head_check_value(struct span value);

#endif
