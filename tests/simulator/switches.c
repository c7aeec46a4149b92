/* SPDX-License-Identifier: Apache-2.0 */
/* What a test can change about the simulator. */
#include "tests/simulator/switches.h"

#include <jansson.h>
#include <string.h>

#include "proto/base/span.h"

/* Longest delay: ten minutes. */
#define DELAY_MS_MAX 600000

#define FEEDBACK_DELAY_MS 50

enum kind { KIND_NUMBER, KIND_FLAG, KIND_BROKEN };

struct known {
    const char *name;
    enum kind kind;
    size_t offset;
    uint32_t max;
};

static const struct known SWITCHES[] = {
    {"feedback-delay-ms", KIND_NUMBER, offsetof(struct switches, feedback_delay_ms), DELAY_MS_MAX},
    {"answer-delay-ms", KIND_NUMBER, offsetof(struct switches, answer_delay_ms), DELAY_MS_MAX},
    {"drop-answers", KIND_NUMBER, offsetof(struct switches, drop_answers), UINT32_MAX},
    {"broken-answer", KIND_BROKEN, offsetof(struct switches, broken_answer), 0},
    {"answer-status", KIND_NUMBER, offsetof(struct switches, answer_status), 599},
    {"big-body", KIND_NUMBER, offsetof(struct switches, big_body_bytes), ANSWER_BODY_MAX},
    {"close-after", KIND_NUMBER, offsetof(struct switches, close_after), UINT32_MAX},
    {"refuse-connections", KIND_FLAG, offsetof(struct switches, refuse_connections), 0},
    {"stall", KIND_FLAG, offsetof(struct switches, stall), 0},
};

#define N_SWITCHES (sizeof SWITCHES / sizeof SWITCHES[0])

void switches_init(struct switches *s)
{
    *s = (struct switches){.feedback_delay_ms = FEEDBACK_DELAY_MS};
}

size_t switches_count(void)
{
    return N_SWITCHES;
}

const char *switches_name(size_t i)
{
    return SWITCHES[i].name;
}

bool switches_is_flag(size_t i)
{
    return SWITCHES[i].kind == KIND_FLAG;
}

static void *member(struct switches *s, const struct known *k)
{
    return (char *)s + k->offset;
}

static int set_number(struct switches *s, const struct known *k, uint64_t value,
                      struct error_text *e)
{
    if (value > k->max) {
        return error_set(e, ERROR_CONFIG, "%s: at most %u", k->name, k->max);
    }
    if (k->offset == offsetof(struct switches, answer_status) && value > 0 && value < 400) {
        return error_set(e, ERROR_CONFIG, "%s: 0, or 400 to 599", k->name);
    }
    memcpy(member(s, k), &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
    return 0;
}

static int set_broken(struct switches *s, const struct known *k, const char *name,
                      struct error_text *e)
{
    if (broken_parse(name, &s->broken_answer) != 0) {
        return error_set(e, ERROR_CONFIG, "%s: \"%.32s\" is none of %s", k->name, name,
                         broken_names());
    }
    return 0;
}

int switches_set(struct switches *s, size_t i, const char *text, struct error_text *e)
{
    const struct known *k = &SWITCHES[i];
    uint64_t value = 0;

    if (k->kind == KIND_FLAG) {
        memcpy(member(s, k), &(bool){true}, sizeof(bool));
        return 0;
    }
    if (k->kind == KIND_BROKEN) {
        return set_broken(s, k, text, e);
    }
    if (span_parse_u64(span_of(text), UINT32_MAX, &value) != 0) {
        return error_set(e, ERROR_CONFIG, "%s: \"%.32s\" is no number", k->name, text);
    }
    return set_number(s, k, value, e);
}

static const struct known *find(const char *name)
{
    for (size_t i = 0; i < N_SWITCHES; i++) {
        if (strcmp(name, SWITCHES[i].name) == 0) {
            return &SWITCHES[i];
        }
    }
    return NULL;
}

static int set_json(struct switches *s, const char *name, const json_t *value, struct error_text *e)
{
    const struct known *k = find(name);

    if (k == NULL) {
        return error_set(e, ERROR_CONFIG, "there is no switch \"%.64s\"", name);
    }
    if (k->kind == KIND_FLAG && json_is_boolean(value)) {
        memcpy(member(s, k), &(bool){json_is_true(value)}, sizeof(bool));
        return 0;
    }
    if (k->kind == KIND_BROKEN && json_is_string(value)) {
        return set_broken(s, k, json_string_value(value), e);
    }
    if (k->kind == KIND_NUMBER && json_is_integer(value) && json_integer_value(value) >= 0) {
        return set_number(s, k, (uint64_t)json_integer_value(value), e);
    }
    return error_set(e, ERROR_CONFIG, "%s: a value of this kind is not possible", name);
}

int switches_read(const char *path, const struct switches *base, struct switches *s,
                  struct error_text *e)
{
    json_error_t why;
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    struct switches read = *base;
    struct error_text reason = {""};
    const char *name = NULL;
    json_t *value = NULL;
    int rc = 0;

    if (json == NULL) {
        return error_set(e, ERROR_CONFIG, "%s:%d: %s", path, why.line, why.text);
    }
    if (!json_is_object(json)) {
        rc = error_set(&reason, ERROR_CONFIG, "this is no JSON object");
    }
    json_object_foreach(json, name, value)
    {
        if (rc == 0) {
            rc = set_json(&read, name, value, &reason);
        }
    }
    json_decref(json);
    if (rc != 0) {
        return error_set(e, rc, "%s: %.400s", path, reason.text);
    }
    *s = read;
    return 0;
}
