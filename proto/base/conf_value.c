/* SPDX-License-Identifier: Apache-2.0 */
/* One function for each kind of key. Plain members are written with memcpy: the table knows only
 * where they are. */
#include "proto/base/conf_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/span.h"

static int fail_nomem(struct error_text *reason)
{
    return error_set(reason, ERROR_NOMEM, "no memory");
}

static int fail_empty(struct error_text *reason)
{
    return error_set(reason, ERROR_CONFIG, "may not be empty");
}

static int store_text(const char *text, char *member, struct error_text *reason)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return fail_nomem(reason);
    }
    memcpy(member, &copy, sizeof(copy));
    return 0; /* cppcheck-suppress memleak ; the member has it */
}

char *conf_value_join(const char *folder, const char *name)
{
    size_t cap = strlen(folder) + strlen("/") + strlen(name) + 1;
    char *path = malloc(cap);
    if (path != NULL) {
        (void)snprintf(path, cap, "%s/%s", folder, name);
    }
    return path;
}

static int store_path(const char *text, const char *folder, char *member, struct error_text *reason)
{
    if (text[0] == '\0') {
        return fail_empty(reason);
    }
    if (text[0] == '/' || folder == NULL) {
        return store_text(text, member, reason);
    }
    char *path = conf_value_join(folder, text);
    if (path == NULL) {
        return fail_nomem(reason);
    }
    memcpy(member, &path, sizeof(path));
    return 0;
}

static int store_uint(const struct conf_key *key, const char *text, char *member,
                      struct error_text *reason)
{
    uint64_t number = 0;
    if (span_parse_u64(span_of(text), key->max, &number) != 0 || number < key->min) {
        return error_set(reason, ERROR_CONFIG, "not a whole number from %u to %u", key->min,
                         key->max);
    }
    uint32_t narrow = (uint32_t)number;
    memcpy(member, &narrow, sizeof(narrow));
    return 0;
}

/* "0.5": at most three digits behind the point. */
static int parse_fraction_ms(struct span text, uint64_t *ms)
{
    struct span whole = span_cut(&text, '.');
    uint64_t seconds = 0;
    uint64_t part = 0;

    if (text.len > 3 || span_parse_u64(whole, UINT32_MAX, &seconds) != 0 ||
        span_parse_u64(text, 999, &part) != 0) {
        return ERROR_SYNTAX;
    }
    for (size_t i = text.len; i < 3; i++) {
        part *= 10;
    }
    *ms = seconds * 1000 + part;
    return 0;
}

static int parse_ms(const char *text, uint64_t *ms)
{
    int64_t seconds = 0;
    if (strchr(text, '.') != NULL) {
        return parse_fraction_ms(span_of(text), ms);
    }
    if (clock_parse_duration_s(text, &seconds) != 0 || seconds > UINT32_MAX) {
        return ERROR_SYNTAX;
    }
    *ms = (uint64_t)seconds * 1000;
    return 0;
}

static int store_seconds(const struct conf_key *key, const char *text, char *member,
                         struct error_text *reason)
{
    uint64_t ms = 0;
    if (parse_ms(text, &ms) != 0) {
        return error_set(reason, ERROR_CONFIG,
                         "not a time: write seconds (30, 0.5) or a number with s, m, h or d");
    }
    if (ms < key->min || ms > key->max) {
        return error_set(reason, ERROR_CONFIG, "not between %u.%03u and %u.%03u seconds",
                         key->min / 1000, key->min % 1000, key->max / 1000, key->max % 1000);
    }
    uint32_t narrow = (uint32_t)ms;
    memcpy(member, &narrow, sizeof(narrow));
    return 0;
}

static int store_bool(const char *text, char *member, struct error_text *reason)
{
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (size_t side = 0; side < 2; side++) {
            if (span_equal_nocase(span_of(text), span_of(words[i][side]))) {
                bool flag = side == 1;
                memcpy(member, &flag, sizeof(flag));
                return 0;
            }
        }
    }
    return error_set(reason, ERROR_CONFIG, "neither yes nor no");
}

/* "a, b, c", cut to size. */
static void list_choices(const char *const *choices, char *text, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; choices[i] != NULL && len < cap; i++) {
        int n = snprintf(text + len, cap - len, "%s%s", i == 0 ? "" : ", ", choices[i]);
        len += n < 0 ? cap : (size_t)n;
    }
}

static int store_choice(const struct conf_key *key, const char *text, char *member,
                        struct error_text *reason)
{
    char known[ERROR_TEXT_BYTES / 2] = "";

    for (int i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(text, key->choices[i]) == 0) {
            memcpy(member, &i, sizeof(i));
            return 0;
        }
    }
    list_choices(key->choices, known, sizeof(known));
    return error_set(reason, ERROR_CONFIG, "not one of: %s", known);
}

static int store_item(const char *text, int line, struct conf_list *list, struct error_text *reason)
{
    if (text[0] == '\0') {
        return fail_empty(reason);
    }
    if (list->n_values == CONF_VALUES_MAX) {
        return error_set(reason, ERROR_CONFIG, "given more than %d times", CONF_VALUES_MAX);
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return fail_nomem(reason);
    }
    list->values[list->n_values] = copy;
    list->lines[list->n_values] = line;
    list->n_values++;
    return 0;
}

int conf_value_store(const struct conf_key *key, const char *text, const char *folder, int line,
                     void *settings, struct error_text *reason)
{
    char *member = (char *)settings + key->offset;

    if (key->required && text[0] == '\0') {
        return fail_empty(reason);
    }
    switch (key->kind) {
    case CONF_TEXT: return store_text(text, member, reason);
    case CONF_PATH: return store_path(text, folder, member, reason);
    case CONF_UINT: return store_uint(key, text, member, reason);
    case CONF_SECONDS: return store_seconds(key, text, member, reason);
    case CONF_BOOL: return store_bool(text, member, reason);
    case CONF_CHOICE: return store_choice(key, text, member, reason);
    case CONF_TEXT_LIST: return store_item(text, line, (struct conf_list *)(void *)member, reason);
    default: return error_set(reason, ERROR_INTERNAL, "unknown kind of key");
    }
}

static void free_text(char *member)
{
    char *text = NULL;
    char *const none = NULL;
    memcpy(&text, member, sizeof(text));
    free(text);
    memcpy(member, &none, sizeof(none));
}

static void free_list(struct conf_list *list)
{
    for (size_t i = 0; i < list->n_values; i++) {
        free(list->values[i]);
    }
    *list = (struct conf_list){.n_values = 0};
}

void conf_value_free(const struct conf_key *key, void *settings)
{
    char *member = (char *)settings + key->offset;

    switch (key->kind) {
    case CONF_TEXT:
    case CONF_PATH: free_text(member); break;
    case CONF_TEXT_LIST: free_list((struct conf_list *)(void *)member); break;
    case CONF_UINT:
    case CONF_SECONDS:
    case CONF_BOOL:
    case CONF_CHOICE:
    default: break;
    }
}
