/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations of the API share: reading what was asked, setting the answer. */
#include <string.h>

#include "proto/http/query.h"
#include "relay/admin/api.h"

void api_answer(struct api_call *c, unsigned status, json_t *value)
{
    json_decref(c->answer);
    c->answer = value;
    c->status = status;
    if (value == NULL) {
        c->status = 500;
        c->answer = json_pack("{s:s, s:s}", "error", "out of memory", "reason", "internal");
    }
}

void api_refuse(struct api_call *c, unsigned status, const char *reason, const char *sentence)
{
    api_answer(c, status, json_pack("{s:s, s:s}", "error", sentence, "reason", reason));
}

static const struct {
    int code;
    unsigned status;
    const char *reason;
} REFUSALS[] = {
    {ERROR_CONFIG, 400, "bad_request"},  {ERROR_SYNTAX, 400, "bad_request"},
    {ERROR_NOT_FOUND, 404, "not_found"}, {ERROR_EXISTS, 409, "exists"},
    {ERROR_STATE, 409, "wrong_state"},   {ERROR_LIMIT, 409, "limit"},
    {ERROR_REFUSED, 403, "refused"},     {ERROR_IO, 503, "store"},
};

void api_fail(struct api_call *c, int code, const struct error_text *e)
{
    for (size_t i = 0; i < sizeof(REFUSALS) / sizeof(REFUSALS[0]); i++) {
        if (REFUSALS[i].code == code) {
            api_refuse(c, REFUSALS[i].status, REFUSALS[i].reason, e->text);
            return;
        }
    }
    api_refuse(c, 500, "internal", error_name(code));
}

int api_get_text(const struct api_call *c, const char *name, const char **text,
                 struct error_text *e)
{
    const json_t *value = json_object_get(c->body, name);

    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
        return error_set(e, ERROR_CONFIG, "\"%s\" must be a text", name);
    }
    *text = json_string_value(value);
    return 0;
}

int api_get_uint(const struct api_call *c, const char *name, uint32_t max, uint32_t *value,
                 struct error_text *e)
{
    const json_t *number = json_object_get(c->body, name);
    json_int_t n = json_integer_value(number);

    if (number == NULL || json_is_null(number)) {
        return 0;
    }
    if (!json_is_integer(number) || n < 0 || n > max) {
        return error_set(e, ERROR_CONFIG, "\"%s\" must be a number from 0 to %u", name, max);
    }
    *value = (uint32_t)n;
    return 0;
}

int api_get_bool(const struct api_call *c, const char *name, bool *value, struct error_text *e)
{
    const json_t *flag = json_object_get(c->body, name);

    if (flag == NULL || json_is_null(flag)) {
        return 0;
    }
    if (!json_is_boolean(flag)) {
        return error_set(e, ERROR_CONFIG, "\"%s\" must be true or false", name);
    }
    *value = json_is_true(flag);
    return 0;
}

int api_check_members(const struct api_call *c, const char *const *names, struct error_text *e)
{
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach(c->body, key, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], key) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return error_set(e, ERROR_CONFIG, "unknown member \"%.32s\"", key);
        }
    }
    return 0;
}

void api_get_param(const struct api_call *c, const char *name, char *text, size_t cap)
{
    struct query_param p;

    if (!query_find(span_of(c->query), span_of(name), &p) || query_decode(p.value, text, cap) < 0) {
        text[0] = '\0';
    }
}
