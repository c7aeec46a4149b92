/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text to values and back, also when memory ends in the middle.
 *
 * jansson (2.14) does not look at each of its own failures: a text that does not fit while it is
 * parsed is read beyond its end, and a name that does not fit while it is formatted is left out of
 * a result that counts as good. Here every allocation of jansson's that fails makes the whole of it
 * fail, and an allocation that failed while a thread put a value together makes that thread's next
 * text fail. So nobody need look whether each member and item fitted that ends up in a text; at
 * worst another text than the damaged one is told to be out of memory. */
#ifndef PROTO_JSON_JSON_TEXT_H
#define PROTO_JSON_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Gives jansson its allocator. Once, at the beginning of the program, before any other thread and
 * any value; without it the functions below do the same but for the failures. */
void json_text_start(void);

/* `flags` as for json_loadb. Returns owned (json_decref), or NULL: no JSON, or no memory; `*e`,
 * which may be NULL, says which. Any thread. */
json_t *json_text_parse(const char *text, size_t len, size_t flags, json_error_t *e);

/* The same with the text of a file, which `*e` names; `flags` as for json_load_file. For files of
 * the operator's: reads to its end, whatever its size. */
json_t *json_text_load(const char *path, size_t flags, json_error_t *e);

/* `flags` as for json_dumps. Returns owned (free), or NULL: no memory, now or since this thread's
 * last text, or not a value that can be a text. `value` may be NULL, which gives NULL. Any thread.
 */
char *json_text_format(const json_t *value, size_t flags);

/* True if an allocation has failed that this thread's next text would tell of; forgets it. For who
 * hands a value over to another thread, which makes the text. */
bool json_text_failed(void);

#endif
