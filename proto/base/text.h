/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of text without controls, looked at eight bytes at a time: heads, targets and what is logged
 * are long, and nearly all of them are nothing else. */
#ifndef PROTO_BASE_TEXT_H
#define PROTO_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/span.h"

/* Length of the run at the start that has neither controls (below 0x20, a tab too) nor DEL. Bytes
 * from 0x80 on belong to it. */
size_t text_run(struct span s);

/* Is all of it printable ASCII without spaces (0x21-0x7e)? True for an empty text. */
bool text_is_visible(struct span s);

/* Is all of it letters of ASCII, digits and hyphens? True for an empty text. */
bool text_is_name(struct span s);

/* The same, and slashes and underscores: neither dots nor escapes. */
bool text_is_path(struct span s);

/* Is it visible, and without the three that have a meaning in a line of the log: " = \ */
bool text_is_plain(struct span s);

/* Length without a character of UTF-8 that was cut off at the end. Whether the rest is UTF-8 is not
 * looked at. */
size_t text_whole_characters(struct span s);

#endif
