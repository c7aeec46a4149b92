/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the database as JSON. */
#include "relay/store/describe.h"

#include <string.h>

#include "proto/base/clock.h"
#include "proto/json/json_text.h"

json_t *describe_time(int64_t wall_s)
{
    char text[CLOCK_ISO_BYTES];
    if (wall_s == 0) {
        return json_null();
    }
    clock_format(wall_s, text);
    return json_string(text);
}

json_t *describe_text(const char *text)
{
    json_t *made = json_string(text);
    if (made != NULL) {
        return made;
    }
    char plain[AUDIT_DETAIL_BYTES];
    size_t n = 0;
    for (; n < sizeof(plain) - 1 && text[n] != '\0'; n++) {
        bool is_ascii = (unsigned char)text[n] < 0x80;
        plain[n] = '?';
        if (is_ascii) {
            plain[n] = text[n];
        }
    }
    plain[n] = '\0';
    return json_string(plain);
}

/* 0 is the relay's default: null. */
static json_t *number_of(uint32_t value)
{
    return value == 0 ? json_null() : json_integer(value);
}

static json_t *id_of(int64_t id)
{
    char text[KEYS_ID_BYTES];
    if (id == 0) {
        return json_null();
    }
    keys_format_id(id, text);
    return json_string(text);
}

static json_t *scope_of(struct span scope)
{
    return scope.len == 0 ? json_null() : json_text_parse(scope.p, scope.len, 0, NULL);
}

json_t *describe_server(const struct server *server)
{
    return json_pack("{s:s, s:o, s:s, s:b, s:o, s:o, s:I, s:o}", "serial", server->serial, "name",
                     describe_text(server->name), "state", server->enabled ? "enabled" : "disabled",
                     "may_enable_keys", server->may_enable_keys ? 1 : 0, "command_rate",
                     number_of(server->command_rate.per_s), "command_burst",
                     number_of(server->command_rate.burst), "keys", (json_int_t)server->n_keys,
                     "created_at", describe_time(server->created_at_s));
}

json_t *describe_key(const struct key *key)
{
    return json_pack("{s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
                     id_of(key->id), "serial", key->serial, "label", describe_text(key->label),
                     "state", keys_state_name(key->state), "rate", number_of(key->rate.per_s),
                     "burst", number_of(key->rate.burst), "scope", scope_of(key->scope),
                     "expires_at", describe_time(key->expires_at_s), "created_at",
                     describe_time(key->created_at_s), "created_by", describe_text(key->created_by),
                     "rotated_at", describe_time(key->rotated_at_s), "rotated_to",
                     id_of(key->rotated_to), "revoked_at", describe_time(key->revoked_at_s),
                     "last_used_at", describe_time(key->last_used_at_s));
}

json_t *describe_audit(const struct audit_row *row)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:b, s:o}", "id", (json_int_t)row->id, "at",
                     describe_time(row->at_s), "who", describe_text(row->who), "what",
                     describe_text(row->what), "object", describe_text(row->object), "refused",
                     row->refused ? 1 : 0, "detail", describe_text(row->detail));
}
