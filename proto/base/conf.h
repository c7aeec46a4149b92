/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: INI read with inih against a table of the known keys. Every error names
 * file, line and key. */
#ifndef PROTO_BASE_CONF_H
#define PROTO_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* Longest line of a file (without its end), and most values of one key that may be repeated.
 * Debian's inih takes lines of this length; one with upstream's fixed buffer ends at 199. */
#define CONF_LINE_BYTES 1024
#define CONF_VALUES_MAX 32

enum conf_kind {
    CONF_TEXT,     /* char *, owned by the settings; may be empty unless required */
    CONF_PATH,     /* char *, made absolute against the file's folder; may not be empty */
    CONF_UINT,     /* uint32_t between min and max */
    CONF_SECONDS,  /* uint32_t of milliseconds; written as seconds, "0.5" allowed, or "90s" "15m" */
    CONF_BOOL,     /* bool: yes/no, true/false, on/off, 1/0 */
    CONF_CHOICE,   /* int: index of the value in `choices` */
    CONF_TEXT_LIST /* struct conf_list: the key may be repeated; values may not be empty */
};

struct conf_list {
    char *values[CONF_VALUES_MAX]; /* owned */
    int lines[CONF_VALUES_MAX];    /* where each stood, for later errors */
    size_t n_values;
};

/* One known key. `offset` is where its member lives in the settings struct. */
struct conf_key {
    const char *section;
    const char *name;
    enum conf_kind kind;
    size_t offset;
    uint32_t min; /* CONF_UINT; CONF_SECONDS in ms */
    uint32_t max;
    const char *const *choices; /* CONF_CHOICE, NULL-terminated */
    bool required;
    const char *fallback; /* written as in a file; NULL = zero / NULL / empty */
};

/* Reads `path` into the zeroed settings struct `settings` by the table (`n_keys` rows). All
 * defaults are filled in. Unknown sections and keys, a key given twice (but for lists), a missing
 * required key, a bad value and an overlong line are errors.
 * 0; ERROR_IO (cannot be read); ERROR_CONFIG; ERROR_NOMEM. On failure nothing is left to free.
 * `e` reads "relay.conf:12: [https] listen: …". */
int conf_read(const char *path, const struct conf_key *keys, size_t n_keys, void *settings,
              struct error_text *e);

/* As conf_read from a text in memory; `name` stands for the file in errors, relative paths stay
 * as they are. For tests and fuzzing. */
int conf_parse(const char *name, const char *text, size_t len, const struct conf_key *keys,
               size_t n_keys, void *settings, struct error_text *e);

/* Frees what the table's members own, and zeroes them. */
void conf_free(const struct conf_key *keys, size_t n_keys, void *settings);

/* "ADDR:PORT", "[V6]:PORT" or ":PORT" (all addresses, both families) split and checked; host ""
 * for the last form. 0 or ERROR_SYNTAX. `host` must hold CONF_HOST_BYTES. */
#define CONF_HOST_BYTES 256
int conf_parse_address(const char *text, char host[CONF_HOST_BYTES], uint16_t *port);

#endif
