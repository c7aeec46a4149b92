/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a command, read against a table of the known ones. */
#ifndef RELAY_ADMIN_OPTIONS_H
#define RELAY_ADMIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* Most values of one repeated option, and most words that are no options. */
#define OPTIONS_VALUES_MAX 64
#define OPTIONS_WORDS_MAX  8
/* Most options of one command. */
#define OPTIONS_MAX 32

enum option_kind {
    OPTION_FLAG, /* bool */
    OPTION_TEXT, /* const char *, borrowed from argv */
    OPTION_UINT, /* uint32_t between min and max */
    OPTION_LIST  /* struct option_list: repeated, borrowed from argv */
};

struct option_list {
    const char *values[OPTIONS_VALUES_MAX];
    size_t n_values;
};

struct option_row {
    const char *name; /* without dashes */
    enum option_kind kind;
    void *value;
    uint32_t min; /* OPTION_UINT */
    uint32_t max;
};

/* What is left when the options are taken away. */
struct option_words {
    const char *words[OPTIONS_WORDS_MAX];
    size_t n_words;
    uint32_t given; /* a bit for each row whose option was there */
};

/* Reads argv[1] and what follows; options and words may be mixed. "-h" is "--help" where there is
 * one. An option that takes a value and is given twice is an error, but for lists. 0, or
 * ERROR_CONFIG with a sentence. */
int options_parse(int argc, char **argv, const struct option_row *rows, size_t n_rows,
                  struct option_words *words, struct error_text *e);

/* Refuses an option of another verb of the same command: silence would let people believe that it
 * had an effect. `allowed` are names separated by blanks; config, json and help always are.
 * `verb` is for the sentence. 0, or ERROR_CONFIG. */
int options_allow(const struct option_row *rows, size_t n_rows, const struct option_words *words,
                  const char *verb, const char *allowed, struct error_text *e);

#endif
