/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings, printed. */
#include "proto/base/conf_list.h"

#include <inttypes.h>
#include <string.h>

static void print_choices(const char *const *choices, FILE *to)
{
    for (size_t i = 0; choices[i] != NULL; i++) {
        (void)fprintf(to, "%s%s", i > 0 ? ", " : "", choices[i]);
    }
}

static void print_kind(const struct conf_key *key, FILE *to)
{
    switch (key->kind) {
    case CONF_TEXT: (void)fputs("text", to); return;
    case CONF_PATH: (void)fputs("path", to); return;
    case CONF_UINT: (void)fprintf(to, "%" PRIu32 " to %" PRIu32, key->min, key->max); return;
    case CONF_SECONDS:
        (void)fprintf(to, "seconds, %g to %g", key->min / 1000.0, key->max / 1000.0);
        return;
    case CONF_BOOL: (void)fputs("yes, no", to); return;
    case CONF_CHOICE: print_choices(key->choices, to); return;
    case CONF_TEXT_LIST: (void)fputs("text, may be repeated", to); return;
    default: return;
    }
}

void conf_list_print(const struct conf_key *keys, size_t n_keys, FILE *to)
{
    const char *section = "";
    for (size_t i = 0; i < n_keys; i++) {
        const struct conf_key *key = &keys[i];
        if (strcmp(section, key->section) != 0) {
            (void)fprintf(to, "%s[%s]\n", i > 0 ? "\n" : "", key->section);
            section = key->section;
        }
        (void)fprintf(to, "%s =%s%s ; %s", key->name, key->fallback != NULL ? " " : "",
                      key->fallback != NULL ? key->fallback : "",
                      key->required ? "required: " : "");
        print_kind(key, to);
        (void)fputc('\n', to);
    }
}
