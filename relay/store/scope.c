/* SPDX-License-Identifier: Apache-2.0 */
/* What a scope allows.
 *
 * The parameters are read as a building's server might read them, in all its possible ways at
 * once: where two readings could differ (a name twice, in another case, with brackets or doubly
 * escaped, a ";" that some take for "&", an escaped "&" that some split at), the request is
 * refused. */
#include "relay/store/scope.h"

#include <string.h>

#include "proto/http/controller.h"
#include "proto/http/query.h"
#include "relay/store/scope_rules.h"

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

/* Decodes a name or value that all servers read alike: one that decodes before it splits, or
 * decodes twice, or folds what is no ASCII, would see more in it than stands there. */
static bool decode_plain(struct span raw, bool is_name, char text[SCOPE_WORD_BYTES])
{
    if (span_find(raw, ';') != raw.len || query_decode(raw, text, SCOPE_WORD_BYTES) != 0) {
        return false;
    }
    for (const char *p = text; *p != '\0'; p++) {
        bool ok = is_name ? scope_is_name_char(*p) : *p == ' ' || scope_is_plain_char(*p);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* One parameter is looked at: `*n` counts those that are `name`, whose decoded value goes to
 * `value`. False = in doubt. */
static bool look_at(const struct query_param *p, const char *name, char value[SCOPE_WORD_BYTES],
                    size_t *n)
{
    char decoded[SCOPE_WORD_BYTES];
    char other[SCOPE_WORD_BYTES];
    char bare[SCOPE_WORD_BYTES];

    if (!decode_plain(p->name, true, decoded)) {
        return false;
    }
    if (strcmp(decoded, name) == 0) {
        *n += 1;
        return p->has_value && decode_plain(p->value, false, value);
    }
    skeleton(decoded, bare);
    /* "_charset_" tells some servers how to read all the others. */
    return strncmp(bare, name, strlen(name)) != 0 && strcmp(bare, "charset") != 0 &&
           decode_plain(p->value, false, other);
}

/* The one value of the parameter, from query or form. False if there is none or any doubt. */
static bool read_param(const struct scope_request *r, const char *name,
                       char value[SCOPE_WORD_BYTES])
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

/* "" or "charset=utf-8": in another charset the same bytes are other parameters. */
static bool form_params_clear(struct span params)
{
    struct span rest = span_trim(params);
    struct span name = span_trim(span_cut(&rest, '='));
    struct span value = span_trim(rest);

    if (params.p == NULL || name.len == 0) {
        return params.p == NULL;
    }
    return span_equal_nocase(name, span_of("charset")) &&
           (span_equal_nocase(value, span_of("utf-8")) ||
            span_equal_nocase(value, span_of("\"utf-8\"")));
}

/* False for a body that a server could read in a way we do not know. */
static bool body_is_clear(const struct scope_request *r)
{
    struct span params = r->content_type;

    if (r->body.len == 0) {
        return true;
    }
    struct span type = span_trim(span_cut(&params, ';'));
    return r->is_post && !r->is_encoded &&
           span_equal_nocase(type, span_of("application/x-www-form-urlencoded")) &&
           form_params_clear(params);
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

    if (scope_parse_group(span_of(group), &address) != 0) {
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
    char value[SCOPE_WORD_BYTES] = "";

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
    if (c == NULL || (scope->read_only && c->role != CONTROLLER_GET) || !body_is_clear(r)) {
        return false;
    }
    if (scope->lists_controllers &&
        (scope->controllers & UINT64_C(1) << controller_index(c)) == 0) {
        return false;
    }
    return !lists_targets || target_allowed(scope, c, r);
}
