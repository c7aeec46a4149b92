/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's query (or form body) and controller: parameters are borrowed from the text, found
 * the same way by both look-ups, and what is decoded and encoded again means the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http/controller.h"
#include "proto/http/query.h"

#define TEXT_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise)
{
    if (!promise) {
        abort();
    }
}

static bool is_inside(struct span part, struct span whole)
{
    return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

/* decode(encode(decode(raw))) is decode(raw). */
static void check_codec(struct span raw)
{
    static char text[TEXT_BYTES_MAX];
    static char again[3 * TEXT_BYTES_MAX];
    static char back[TEXT_BYTES_MAX];
    if (query_decode(raw, text, sizeof(text)) < 0) {
        return;
    }
    require(strlen(text) <= raw.len);
    require(query_encode(span_of(text), again, sizeof(again)) == 0);
    require(query_decode(span_of(again), back, sizeof(back)) == 0);
    require(strcmp(text, back) == 0);
    struct query_param found = {.has_value = false};
    require(query_find(span_of(again), span_of(text), &found) == (again[0] != '\0'));
}

/* A parameter that is there is found by its name, at its first place. */
static void check_found(struct span query, const struct query_param *p)
{
    static char name[TEXT_BYTES_MAX];
    struct query_param found;
    if (query_decode(p->name, name, sizeof(name)) < 0) {
        return;
    }
    require(query_has(query, span_of(name)) && query_find(query, span_of(name), &found));
    require(is_inside(found.name, query) && is_inside(found.value, query));
    require(found.name.p <= p->name.p);
}

static void check_controller(struct span text)
{
    const struct controller *c = controller_find(text);
    if (c != NULL) {
        require(text.len == c->name_len && memcmp(text.p, c->name, text.len) == 0);
        require(controller_at(controller_index(c)) == c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1);
    require(copy != NULL);
    memcpy(copy, data, size);
    struct span query = {copy, size};
    struct span rest = query;
    struct query_param p;
    size_t n = 0;
    while (query_next(&rest, &p)) {
        require(is_inside(p.name, query) && is_inside(p.value, query));
        require(p.has_value || p.value.len == 0);
        require(++n <= size);
        check_codec(p.name);
        check_codec(p.value);
        if (n <= 16) {
            check_found(query, &p);
        }
    }
    check_controller(query);
    free(copy);
    return 0;
}
