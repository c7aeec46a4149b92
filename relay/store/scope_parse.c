/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes from JSON. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http/controller.h"
#include "proto/json/json_text.h"
#include "relay/store/scope_rules.h"

bool scope_is_plain_char(char c)
{
    return c > 0x20 && c < 0x7f && strchr("%+&;?#\"\\", c) == NULL;
}

bool scope_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static int add_controller(struct scope *s, struct span item, struct error_text *e)
{
    const struct controller *c = controller_find(item);
    if (c == NULL) {
        return error_set(e, ERROR_SYNTAX, "scope: \"%.*s\" is no controller of the Thinknx API",
                         item.len > 64 ? 64 : (int)item.len, item.p);
    }
    assert(controller_index(c) < 64);
    s->controllers |= UINT64_C(1) << controller_index(c);
    return 0;
}

static int add_guid(struct scope *s, struct span item, struct error_text *e)
{
    if (item.len == 0 || item.len >= SCOPE_WORD_BYTES) {
        return error_set(e, ERROR_SYNTAX, "scope: a GUID has 1 to %d characters",
                         SCOPE_WORD_BYTES - 1);
    }
    for (size_t i = 0; i < item.len; i++) {
        if (!scope_is_plain_char(item.p[i])) {
            return error_set(e, ERROR_SYNTAX,
                             "scope: a GUID may hold no blanks, nor any of %% + & ; ? # \" \\");
        }
    }
    char *copy = malloc(item.len + 1);
    if (copy == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    memcpy(copy, item.p, item.len);
    copy[item.len] = '\0';
    s->guids[s->n_guids++] = copy;
    return 0;
}

/* A decimal without leading zeros. */
static int parse_part(struct span part, unsigned max, unsigned *value)
{
    uint64_t number = 0;
    if ((part.len > 1 && part.p[0] == '0') || span_parse_u64(part, max, &number) != 0) {
        return ERROR_SYNTAX;
    }
    *value = (unsigned)number;
    return 0;
}

#define MAIN_MAX   31
#define MIDDLE_MAX 7
#define SUB_MAX    255

int scope_parse_group(struct span text, uint16_t *address)
{
    unsigned main_part = 0;
    unsigned middle = 0;
    unsigned sub = 0;
    struct span first = span_cut(&text, '/');
    struct span second = span_cut(&text, '/');

    if (parse_part(first, MAIN_MAX, &main_part) != 0 ||
        parse_part(second, MIDDLE_MAX, &middle) != 0 || parse_part(text, SUB_MAX, &sub) != 0) {
        return ERROR_SYNTAX;
    }
    *address = (uint16_t)(main_part << 11 | middle << 8 | sub);
    return 0;
}

/* "1/2/3", "1/2/...*" and "1/...*" (a star for all that follows). */
static int parse_range(struct span text, struct group_range *range)
{
    struct span star = span_of("*");
    struct span rest = text;
    struct span first = span_cut(&rest, '/');
    unsigned main_part = 0;
    unsigned middle = 0;
    uint16_t address = 0;

    if (scope_parse_group(text, &address) == 0) {
        *range = (struct group_range){address, address};
        return 0;
    }
    if (parse_part(first, MAIN_MAX, &main_part) != 0) {
        return ERROR_SYNTAX;
    }
    if (span_equal(rest, star)) {
        *range =
            (struct group_range){(uint16_t)(main_part << 11), (uint16_t)(main_part << 11 | 0x7ff)};
        return 0;
    }
    struct span second = span_cut(&rest, '/');
    if (parse_part(second, MIDDLE_MAX, &middle) != 0 || !span_equal(rest, star)) {
        return ERROR_SYNTAX;
    }
    *range = (struct group_range){(uint16_t)(main_part << 11 | middle << 8),
                                  (uint16_t)(main_part << 11 | middle << 8 | 0xff)};
    return 0;
}

static int add_group(struct scope *s, struct span item, struct error_text *e)
{
    if (parse_range(item, &s->groups[s->n_groups]) != 0) {
        return error_set(e, ERROR_SYNTAX,
                         "scope: \"%.*s\" is no KNX group: write 1/2/3, 1/2/* or 1/*",
                         item.len > 64 ? 64 : (int)item.len, item.p);
    }
    s->n_groups++;
    return 0;
}

static int add_cidr(struct scope *s, struct span item, struct error_text *e)
{
    if (cidr_parse(item, &s->cidrs[s->n_cidrs]) != 0) {
        return error_set(e, ERROR_SYNTAX,
                         "scope: \"%.*s\" is no block of addresses: write 10.0.0.0/8 or "
                         "2001:db8::/32, with zeroes behind the prefix",
                         item.len > 64 ? 64 : (int)item.len, item.p);
    }
    s->n_cidrs++;
    return 0;
}

typedef int (*add_item)(struct scope *s, struct span item, struct error_text *e);

static int check_list(const char *name, const json_t *list, struct error_text *e)
{
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return error_set(e, ERROR_SYNTAX, "scope: \"%s\" must be a list that is not empty", name);
    }
    if (json_array_size(list) > SCOPE_ITEMS_MAX) {
        return error_set(e, ERROR_LIMIT, "scope: more than %d %s", SCOPE_ITEMS_MAX, name);
    }
    return 0;
}

/* Where `list` is NULL nothing is done; else `*lists` becomes true. */
static int read_list(struct scope *s, const char *name, const json_t *list, bool *lists,
                     add_item add, struct error_text *e)
{
    if (list == NULL) {
        return 0;
    }
    int rc = check_list(name, list, e);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item)) {
            return error_set(e, ERROR_SYNTAX, "scope: \"%s\" must be a list of texts", name);
        }
        rc = add(s, (struct span){json_string_value(item), json_string_length(item)}, e);
    }
    *lists = true;
    return rc;
}

static int check_members(json_t *object, struct error_text *e)
{
    static const char *const known[] = {"read_only", "controllers", "guids", "groups", "cidrs"};
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(object, name, value)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            found = found || strcmp(name, known[i]) == 0;
        }
        if (!found) {
            /* An unknown restriction must not become no restriction. */
            return error_set(e, ERROR_SYNTAX, "scope: \"%.64s\" is unknown", name);
        }
    }
    return 0;
}

/* At least one, for calloc may give NULL for nothing. */
static size_t places_for(const json_t *object, const char *name)
{
    size_t n = json_array_size(json_object_get(object, name));
    return n == 0 ? 1 : n > SCOPE_ITEMS_MAX ? SCOPE_ITEMS_MAX : n;
}

static int make_room(struct scope *s, const json_t *object)
{
    s->guids = calloc(places_for(object, "guids"), sizeof(*s->guids));
    s->groups = calloc(places_for(object, "groups"), sizeof(*s->groups));
    s->cidrs = calloc(places_for(object, "cidrs"), sizeof(*s->cidrs));
    return s->guids != NULL && s->groups != NULL && s->cidrs != NULL ? 0 : ERROR_NOMEM;
}

static int read_members(struct scope *s, json_t *object, struct error_text *e)
{
    const json_t *read_only = json_object_get(object, "read_only");
    int rc = check_members(object, e);

    if (rc == 0 && read_only != NULL && !json_is_boolean(read_only)) {
        rc = error_set(e, ERROR_SYNTAX, "scope: \"read_only\" must be true or false");
    }
    s->read_only = json_is_true(read_only);
    if (rc == 0) {
        rc = read_list(s, "controllers", json_object_get(object, "controllers"),
                       &s->lists_controllers, add_controller, e);
    }
    if (rc == 0) {
        rc = read_list(s, "guids", json_object_get(object, "guids"), &s->lists_guids, add_guid, e);
    }
    if (rc == 0) {
        rc = read_list(s, "groups", json_object_get(object, "groups"), &s->lists_groups, add_group,
                       e);
    }
    if (rc == 0) {
        rc = read_list(s, "cidrs", json_object_get(object, "cidrs"), &s->lists_cidrs, add_cidr, e);
    }
    return rc;
}

static bool allows_everything(const struct scope *s)
{
    return !s->read_only && !s->lists_controllers && !s->lists_guids && !s->lists_groups &&
           !s->lists_cidrs;
}

static int read_object(json_t *object, struct scope **scope, struct error_text *e)
{
    if (!json_is_object(object)) {
        return error_set(e, ERROR_SYNTAX, "scope: not a JSON object");
    }
    struct scope *made = calloc(1, sizeof(*made));
    if (made == NULL || make_room(made, object) != 0) {
        scope_free(made);
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = read_members(made, object, e);
    if (rc != 0 || allows_everything(made)) {
        scope_free(made);
        made = NULL;
    }
    if (rc == 0) {
        *scope = made;
    }
    return rc;
}

int scope_parse(struct span json, struct scope **scope, struct error_text *e)
{
    json_error_t error;

    if (json.len > SCOPE_TEXT_BYTES_MAX) {
        return error_set(e, ERROR_LIMIT, "scope: longer than %d bytes", SCOPE_TEXT_BYTES_MAX);
    }
    json_t *object = json_text_parse(json.p, json.len, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        return json_error_code(&error) == json_error_out_of_memory
                   ? error_set(e, ERROR_NOMEM, "no memory")
                   : error_set(e, ERROR_SYNTAX, "scope: not JSON (%.100s, column %d)", error.text,
                               error.column);
    }
    int rc = read_object(object, scope, e);
    json_decref(object);
    return rc;
}

void scope_free(struct scope *scope)
{
    if (scope == NULL) {
        return;
    }
    for (size_t i = 0; i < scope->n_guids; i++) {
        free(scope->guids[i]);
    }
    free(scope->guids);
    free(scope->groups);
    free(scope->cidrs);
    free(scope);
}
