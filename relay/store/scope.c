/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes: parsed once from JSON, then asked for every request.
 *
 * The parameters are read as a building's server might read them, in all its possible ways at
 * once: where two readings could differ (a name twice, in another case, with brackets or doubly
 * escaped, a ";" that some take for "&"), the request is refused. */
#include "relay/store/scope.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http/controller.h"
#include "proto/http/query.h"
#include "relay/store/cidr.h"

/* Longest GUID that can be listed, and longest name or value that is looked into. */
#define TEXT_BYTES_MAX 128

/* Group addresses have 16 bits: 5 main, 3 middle, 8 sub (KNX standard, 03_05_01). */
struct group_range {
    uint16_t first;
    uint16_t last;
};

struct scope {
    bool read_only;
    bool lists_controllers;
    bool lists_guids;
    bool lists_groups;
    bool lists_cidrs;
    uint64_t controllers; /* a bit for each place in the table of controllers */
    char **guids;         /* owned */
    size_t n_guids;
    struct group_range *groups; /* owned */
    size_t n_groups;
    struct cidr *cidrs; /* owned */
    size_t n_cidrs;
};

/* Parsing the JSON */

static bool plain_char(char c)
{
    return c > 0x20 && c < 0x7f && strchr("%+&;#\"\\", c) == NULL;
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
    if (item.len == 0 || item.len >= TEXT_BYTES_MAX) {
        return error_set(e, ERROR_SYNTAX, "scope: a GUID has 1 to %d characters",
                         TEXT_BYTES_MAX - 1);
    }
    for (size_t i = 0; i < item.len; i++) {
        if (!plain_char(item.p[i])) {
            return error_set(e, ERROR_SYNTAX,
                             "scope: a GUID may hold no blanks, nor any of %% + & ; # \" \\");
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

/* "1/2/3" alone: other notations of the same address are refused, for we do not know what the
 * building's server makes of them. */
static int parse_group(struct span text, uint16_t *address)
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

    if (parse_group(text, &address) == 0) {
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
    json_t *object = json_loadb(json.p, json.len, JSON_REJECT_DUPLICATES, &error);
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

/* Judging a request */

/* Letters and digits of a name in lower case: what is left when a server overlooks the rest. */
static void skeleton(const char *name, char *out)
{
    for (; *name != '\0'; name++) {
        char c = *name;
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            *out++ = c;
        }
    }
    *out = '\0';
}

/* One parameter is looked at: `*n` counts those that are `name`, whose decoded value goes to
 * `value`. False = in doubt. */
static bool look_at(const struct query_param *p, const char *name, char value[TEXT_BYTES_MAX],
                    size_t *n)
{
    char decoded[TEXT_BYTES_MAX];
    char bare[TEXT_BYTES_MAX];

    if (span_find(p->name, ';') != p->name.len || span_find(p->value, ';') != p->value.len ||
        query_decode(p->name, decoded, sizeof(decoded)) != 0 || strchr(decoded, '%') != NULL) {
        return false;
    }
    if (strcmp(decoded, name) == 0) {
        *n += 1;
        return p->has_value && query_decode(p->value, value, TEXT_BYTES_MAX) == 0;
    }
    skeleton(decoded, bare);
    return strncmp(bare, name, strlen(name)) != 0;
}

/* The one value of the parameter, from query or form. False if there is none or any doubt. */
static bool read_param(const struct scope_request *r, const char *name, char value[TEXT_BYTES_MAX])
{
    const struct span parts[] = {r->query, r->body};
    struct query_param p;
    size_t n = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct span rest = parts[i];
        while (query_next(&rest, &p)) {
            if (!look_at(&p, name, value, &n)) {
                return false;
            }
        }
    }
    return n == 1;
}

/* A body that a server could read in a way we do not know. */
static bool body_is_clear(const struct scope_request *r)
{
    struct span type = r->content_type;

    if (r->body.len == 0) {
        return true;
    }
    type = span_trim(span_cut(&type, ';'));
    return r->is_post && span_equal_nocase(type, span_of("application/x-www-form-urlencoded"));
}

static bool guid_listed(const struct scope *s, const char *guid)
{
    for (size_t i = 0; i < s->n_guids; i++) {
        if (strcmp(s->guids[i], guid) == 0) {
            return true;
        }
    }
    return false;
}

static bool group_listed(const struct scope *s, const char *group)
{
    uint16_t address = 0;

    if (parse_group(span_of(group), &address) != 0) {
        return false;
    }
    for (size_t i = 0; i < s->n_groups; i++) {
        if (s->groups[i].first <= address && address <= s->groups[i].last) {
            return true;
        }
    }
    return false;
}

/* A list of GUIDs alone allows no telegrams, and a list of groups alone no devices: either could
 * be used to get around the other. */
static bool target_allowed(const struct scope *s, const struct controller *c,
                           const struct scope_request *r)
{
    char value[TEXT_BYTES_MAX] = "";

    switch (c->target) {
    case CONTROLLER_TARGET_GUID:
        return s->lists_guids && read_param(r, "guid", value) && guid_listed(s, value);
    case CONTROLLER_TARGET_GROUP:
        return s->lists_groups && read_param(r, "group", value) && group_listed(s, value);
    case CONTROLLER_TARGET_NONE: return true;
    default: return false;
    }
}

static bool client_allowed(const struct scope *s, const struct sockaddr *client)
{
    for (size_t i = 0; i < s->n_cidrs; i++) {
        if (cidr_contains(&s->cidrs[i], client)) {
            return true;
        }
    }
    return !s->lists_cidrs;
}

bool scope_allows(const struct scope *scope, const struct scope_request *r)
{
    if (scope == NULL) {
        return true;
    }
    if (!client_allowed(scope, r->client)) {
        return false;
    }
    bool lists_targets = scope->lists_guids || scope->lists_groups;
    if (!scope->read_only && !scope->lists_controllers && !lists_targets) {
        return true;
    }
    const struct controller *c = controller_find(r->controller);
    if (c == NULL || (scope->read_only && c->role != CONTROLLER_GET)) {
        return false;
    }
    if (scope->lists_controllers &&
        (scope->controllers & UINT64_C(1) << controller_index(c)) == 0) {
        return false;
    }
    return !lists_targets || (body_is_clear(r) && target_allowed(scope, c, r));
}
