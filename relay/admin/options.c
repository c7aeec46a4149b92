/* SPDX-License-Identifier: Apache-2.0 */
/* Options by getopt_long. */
#include "relay/admin/options.h"

#include <assert.h>
#include <getopt.h>
#include <string.h>

#include "proto/base/span.h"

/* getopt_long returns the row's index plus this, out of the way of characters. */
#define ROW_BASE 256

static int store_value(const struct option_row *row, const char *text, bool seen,
                       struct error_text *e)
{
    struct option_list *list = row->value;
    uint64_t number = 0;

    if (seen && (row->kind == OPTION_TEXT || row->kind == OPTION_UINT)) {
        return error_set(e, ERROR_CONFIG, "--%s is given twice", row->name);
    }
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)row->value = true; return 0;
    case OPTION_TEXT: *(const char **)row->value = text; return 0;
    case OPTION_UINT:
        if (span_parse_u64(span_of(text), row->max, &number) != 0 || number < row->min) {
            return error_set(e, ERROR_CONFIG, "--%s must be a whole number from %u to %u",
                             row->name, row->min, row->max);
        }
        *(uint32_t *)row->value = (uint32_t)number;
        return 0;
    case OPTION_LIST:
        if (list->n_values == OPTIONS_VALUES_MAX) {
            return error_set(e, ERROR_CONFIG, "--%s is given more than %d times", row->name,
                             OPTIONS_VALUES_MAX);
        }
        list->values[list->n_values++] = text;
        return 0;
    default: return error_set(e, ERROR_INTERNAL, "unknown kind of option");
    }
}

static void fill_long(const struct option_row *rows, size_t n_rows, struct option *options)
{
    for (size_t i = 0; i < n_rows; i++) {
        options[i] = (struct option){.name = rows[i].name,
                                     .has_arg = rows[i].kind == OPTION_FLAG ? no_argument
                                                                            : required_argument,
                                     .val = ROW_BASE + (int)i};
    }
    options[n_rows] = (struct option){.name = NULL};
}

static int find_help(const struct option_row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (strcmp(rows[i].name, "help") == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int keep_word(struct option_words *words, const char *word, struct error_text *e)
{
    if (words->n_words == OPTIONS_WORDS_MAX) {
        return error_set(e, ERROR_CONFIG, "too many arguments");
    }
    words->words[words->n_words++] = word;
    return 0;
}

/* What getopt_long could not make sense of; the value behind a "=" is not repeated. */
static int complain(char **argv, int argc, bool missing, struct error_text *e)
{
    const char *given = optind > 0 && optind <= argc ? argv[optind - 1] : "?";
    int len = (int)strcspn(given, "=");

    if (optopt != 0 && optopt < ROW_BASE && !missing) {
        return error_set(e, ERROR_CONFIG, "-%c is no option here", optopt);
    }
    return error_set(e, ERROR_CONFIG, missing ? "%.*s needs a value" : "%.*s is no option here",
                     len > 64 ? 64 : len, given);
}

int options_parse(int argc, char **argv, const struct option_row *rows, size_t n_rows,
                  struct option_words *words, struct error_text *e)
{
    struct option options[OPTIONS_MAX + 1];
    bool seen[OPTIONS_MAX] = {false};
    int help = find_help(rows, n_rows);
    int rc = 0;

    assert(n_rows <= OPTIONS_MAX);
    fill_long(rows, n_rows, options);
    *words = (struct option_words){.n_words = 0};
    optind = 0; /* GNU: start anew, whatever was parsed before */
    opterr = 0;
    while (rc == 0) {
        /* "-": words come in between as option 1; ":": a missing value is told apart. */
        int found = getopt_long(argc, argv, "-:h", options, NULL);
        if (found == -1) {
            break;
        }
        if (found == 'h' && help >= 0) {
            found = ROW_BASE + help;
        }
        if (found == 1) {
            rc = keep_word(words, optarg, e);
        } else if (found >= ROW_BASE) {
            size_t i = (size_t)(found - ROW_BASE);
            rc = store_value(&rows[i], optarg, seen[i], e);
            seen[i] = true;
            words->given |= UINT32_C(1) << i;
        } else {
            rc = complain(argv, argc, found == ':', e);
        }
    }
    for (; rc == 0 && optind < argc; optind++) {
        rc = keep_word(words, argv[optind], e);
    }
    return rc;
}

static bool is_listed(struct span list, const char *name)
{
    while (list.p != NULL) {
        if (span_equal(span_cut(&list, ' '), span_of(name))) {
            return true;
        }
    }
    return false;
}

int options_allow(const struct option_row *rows, size_t n_rows, const struct option_words *words,
                  const char *verb, const char *allowed, struct error_text *e)
{
    static const char ALWAYS[] = "config json help";

    for (size_t i = 0; i < n_rows; i++) {
        if ((words->given & UINT32_C(1) << i) != 0 && !is_listed(span_of(ALWAYS), rows[i].name) &&
            !is_listed(span_of(allowed), rows[i].name)) {
            return error_set(e, ERROR_CONFIG, "%s takes no --%s", verb, rows[i].name);
        }
    }
    return 0;
}
