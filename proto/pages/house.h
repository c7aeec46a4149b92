/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in a building: rooms and their devices, from a device file in JSON (as the
 * simulator's
 * --devices has it) or CSV. Whoever gives the file is not trusted: numbers, lengths and characters
 * are checked, and what is not known of a device is left out. */
#ifndef PROTO_PAGES_HOUSE_H
#define PROTO_PAGES_HOUSE_H

#include <jansson.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "proto/base/span.h"

/* Rooms, devices in all, and bytes of a name or a GUID (without NUL). */
#define HOUSE_ROOMS_MAX   1000
#define HOUSE_DEVICES_MAX 10000
#define HOUSE_NAME_BYTES  128
#define HOUSE_GUID_BYTES  64
/* Longest file that an agent reads, ... */
#define HOUSE_FILE_BYTES_MAX ((size_t)256 * 1024)
/* ... and longest list, as compact JSON, that it gives to its relay: a line of CSV names no
 * members, and a device without a name gets one. What any such file can become fits. */
#define HOUSE_LIST_BYTES_MAX ((size_t)2 * 1024 * 1024)
/* Values in a JSON text, as many as its commas and opening brackets: no file of
 * HOUSE_FILE_BYTES_MAX holds more that means anything, and a list less. A hostile one of "[],[],"
 * would take a hundred bytes of memory for each of its own. */
#define HOUSE_VALUES_MAX (HOUSE_FILE_BYTES_MAX / 2)

/* {"rooms": [{"name", "devices": [{"class", "guid", "name", "dimmable"?, "min"?, "max"?}]}]} of
 * what was given, owned; `*n_devices` counts them. ERROR_CONFIG with a sentence, ERROR_NOMEM. */
int house_take(const json_t *given, json_t **house, size_t *n_devices, struct error_text *e);

/* The same from a file's text: JSON if it begins with "{", else CSV. Its first line names the
 * columns: room, class, guid and, where wanted, name, dimmable, min, max; in any order, parted by
 * commas or semicolons. */
int house_parse(struct span text, json_t **house, size_t *n_devices, struct error_text *e);

#endif
