/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text to values and back. An allocation of jansson's that fails is noted until this thread
 * makes a text, which then fails: it may be without what did not fit, for who puts a value together
 * does not look at each member. In a parse it is served all the same, from a reserve that is as
 * large as jansson's buffer for a text can become; jansson then gets no further byte of the input,
 * and gives up without damage. */
#include "proto/json/json_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* jansson doubles its buffer, from 16 bytes on, whenever the text in it does not fit. */
#define RESERVE_MIN 64

/* What is being parsed by this thread, and what it has been refused; all zero: nothing. */
static _Thread_local struct {
    char *reserve; /* given to the first allocation that fails in a parse */
    size_t reserve_len;
    bool failed;        /* in this parse, or since the last text */
    bool failed_before; /* the parse */
} now;

/* Bytes in memory, or those of a file. */
struct input {
    const char *text;
    FILE *file; /* NULL: text */
    size_t len; /* left */
};

static void *allocate(size_t len)
{
    void *p = malloc(len);
    if (p != NULL) {
        return p;
    }
    bool first = !now.failed;
    now.failed = true;
    return first && len <= now.reserve_len ? now.reserve : NULL;
}

static void release(void *p)
{
    if (p != now.reserve) {
        free(p);
    }
}

void json_text_start(void)
{
    json_set_alloc_funcs(allocate, release);
}

/* A byte at a time, so that jansson has none in store when an allocation has failed. */
static size_t next_byte(void *buffer, size_t cap, void *user)
{
    struct input *in = user;
    (void)cap;
    if (now.failed) {
        return (size_t)-1;
    }
    if (in->len == 0) {
        return 0;
    }
    int byte = in->file != NULL ? getc(in->file) : (unsigned char)*in->text++;
    if (byte == EOF) {
        return ferror(in->file) != 0 ? (size_t)-1 : 0;
    }
    *(unsigned char *)buffer = (unsigned char)byte;
    in->len--;
    return 1;
}

/* As jansson sets it: the code is the last byte of the text. */
static void set_error(json_error_t *e, enum json_error_code code, const char *source,
                      const char *text)
{
    *e = (json_error_t){.line = -1, .column = -1};
    (void)snprintf(e->source, sizeof(e->source), "%s", source); /* cut if too long */
    (void)snprintf(e->text, sizeof(e->text) - 1, "%s", text);
    e->text[sizeof(e->text) - 1] = (char)code;
}

static json_t *parse(struct input *in, size_t flags, json_error_t *e)
{
    now.failed_before = now.failed;
    now.failed = in->len > SIZE_MAX / 2 - RESERVE_MIN;
    if (!now.failed) {
        now.reserve_len = 2 * in->len + RESERVE_MIN;
        now.reserve = malloc(now.reserve_len);
        now.failed = now.reserve == NULL;
    }
    json_t *value = json_load_callback(next_byte, in, flags, e);
    if (now.failed) {
        json_decref(value); /* before the reserve, of which it may be a part */
        value = NULL;
        set_error(e, json_error_out_of_memory, "", "no memory");
    }
    free(now.reserve);
    now.reserve = NULL;
    now.reserve_len = 0;
    now.failed |= now.failed_before;
    return value;
}

json_t *json_text_parse(const char *text, size_t len, size_t flags, json_error_t *e)
{
    struct input in = {.text = text, .len = len};
    json_error_t unused;

    return parse(&in, flags, e != NULL ? e : &unused);
}

json_t *json_text_load(const char *path, size_t flags, json_error_t *e)
{
    json_error_t unused;
    struct stat s;
    struct input in = {.file = fopen(path, "re")};
    json_t *value = NULL;

    if (e == NULL) {
        e = &unused;
    }
    if (in.file == NULL || fstat(fileno(in.file), &s) < 0) {
        set_error(e, json_error_cannot_open_file, path, strerror(errno));
    } else {
        in.len = s.st_size > 0 ? (size_t)s.st_size : 0; /* what comes behind is not read */
        value = parse(&in, flags, e);
    }
    if (in.file != NULL) {
        (void)fclose(in.file); /* only read */
    }
    return value;
}

bool json_text_failed(void)
{
    bool failed = now.failed;
    now.failed = false;
    return failed;
}

char *json_text_format(const json_t *value, size_t flags)
{
    char *text = value != NULL ? json_dumps(value, flags) : NULL;
    if (json_text_failed()) {
        free(text);
        text = NULL;
    }
    return text;
}
