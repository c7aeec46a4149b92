/* SPDX-License-Identifier: Apache-2.0 */
/* Reading INI files. inih cuts lines into sections, keys and values; the lines come from a text in
 * memory through our own reader, which knows their numbers and refuses what inih would bend:
 * overlong lines, control characters, continuation lines, unknown sections without keys. */
#include "proto/base/conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/buffer.h"
#include "proto/base/conf_value.h"
#include "proto/base/span.h"

/* Largest file. Ours have some dozens of lines; a wrong path should not eat the memory. */
#define FILE_BYTES (256 * 1024)

/* Line end and NUL, which inih counts into its longest line. */
#define LINE_END_BYTES 3

/* Debian's inih is set at run time by these variables; elsewhere its longest line is compiled in
 * (200) and these do not exist, hence weak. The reader goes by the size that inih asks for. */
/* NOLINTBEGIN(readability-redundant-declaration): Debian's ini.h declares them, but not weak. */
extern bool ini_use_stack __attribute__((weak));
extern int ini_max_line __attribute__((weak));
extern int ini_initial_alloc __attribute__((weak));
/* NOLINTEND(readability-redundant-declaration) */

struct reading {
    const char *name;   /* of the file, for errors */
    const char *folder; /* that relative paths start from; NULL = leave them */
    struct span rest;   /* of the text */
    const struct conf_key *keys;
    size_t n_keys;
    void *settings;
    int *lines; /* per key: where it was given; 0 = not yet */
    int line;
    int failed_line; /* 0 = none */
    int rc;
    struct error_text *e;
};

static int fail(struct reading *r, int code, const struct conf_key *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Records a failure, here, and puts its place in front; `key` may be NULL. Returns `code`. */
static int fail(struct reading *r, int code, const struct conf_key *key, const char *format, ...)
{
    char reason[ERROR_TEXT_BYTES];
    char place[sizeof(":-2147483648")] = "";
    va_list args;

    va_start(args, format);
    if (vsnprintf(reason, sizeof(reason), format, args) < 0) {
        reason[0] = '\0';
    }
    va_end(args);
    if (r->line > 0) {
        (void)snprintf(place, sizeof(place), ":%d", r->line);
    }
    r->rc = code;
    r->failed_line = r->line;
    if (key == NULL) {
        return error_set(r->e, code, "%s%s: %s", r->name, place, reason);
    }
    return error_set(r->e, code, "%s%s: [%s] %s: %s", r->name, place, key->section, key->name,
                     reason);
}

static int fail_nomem(struct reading *r)
{
    return fail(r, ERROR_NOMEM, NULL, "no memory");
}

static int store(struct reading *r, const struct conf_key *key, const char *value)
{
    struct error_text reason = {""};
    int rc = conf_value_store(key, value, r->folder, r->line, r->settings, &reason);
    return rc == 0 ? 0 : fail(r, rc, key, "%s", reason.text);
}

/* One pair, found by inih. Nonzero = go on. */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;

    if (r->rc != 0) {
        return 0;
    }
    for (size_t i = 0; i < r->n_keys; i++) {
        const struct conf_key *key = &r->keys[i];
        if (strcmp(key->section, section) != 0 || strcmp(key->name, name) != 0) {
            continue;
        }
        if (r->lines[i] != 0 && key->kind != CONF_TEXT_LIST) {
            (void)fail(r, ERROR_CONFIG, key, "given twice, first on line %d", r->lines[i]);
            return 0;
        }
        r->lines[i] = r->line;
        return store(r, key, value) == 0 ? 1 : 0;
    }
    if (section[0] == '\0') {
        (void)fail(r, ERROR_CONFIG, NULL, "%s: key outside of a section", name);
    } else {
        (void)fail(r, ERROR_CONFIG, NULL, "[%s] %s: unknown key", section, name);
    }
    return 0;
}

/* inih says nothing of a section without keys, so its name is checked before inih sees it. */
static int check_section(struct reading *r, struct span line)
{
    struct span name = {line.p + 1, line.len - 1};
    name.len = span_find(name, ']');
    for (size_t i = 0; i < r->n_keys; i++) {
        if (span_equal(name, span_of(r->keys[i].section))) {
            return 0;
        }
    }
    return fail(r, ERROR_CONFIG, NULL, "[%.*s]: unknown section", (int)name.len, name.p);
}

static int check_line(struct reading *r, struct span line, size_t max_len)
{
    if (line.len > max_len) {
        return fail(r, ERROR_CONFIG, NULL, "line longer than %zu bytes", max_len);
    }
    for (size_t i = 0; i < line.len; i++) {
        uint8_t byte = (uint8_t)line.p[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return fail(r, ERROR_CONFIG, NULL, "control character in column %zu", i + 1);
        }
    }
    return line.len > 0 && line.p[0] == '[' ? check_section(r, line) : 0;
}

/* The next line for inih, or NULL at the end and after a failure. `num` is the room in `str`.
 * Blanks in front are left out: to inih an indented line continues the value before it. */
static char *on_line(char *str, int num, void *stream)
{
    struct reading *r = stream;
    size_t max_len = num > CONF_LINE_BYTES ? CONF_LINE_BYTES : (size_t)num - 1;

    if (r->rc != 0 || r->rest.len == 0) {
        return NULL;
    }
    r->line++;
    struct span line = span_cut(&r->rest, '\n');
    if (line.len > 0 && line.p[line.len - 1] == '\r') {
        line.len--;
    }
    line = span_trim(line);
    if (check_line(r, line, max_len) != 0 || span_copy(line, str, (size_t)num) != 0) {
        return NULL;
    }
    return str;
}

static void set_up_inih(void)
{
    if (&ini_use_stack != NULL && &ini_max_line != NULL && &ini_initial_alloc != NULL) {
        ini_use_stack = false;
        ini_max_line = CONF_LINE_BYTES + LINE_END_BYTES;
        ini_initial_alloc = CONF_LINE_BYTES + LINE_END_BYTES;
    }
}

static int read_lines(struct reading *r)
{
    set_up_inih();
    /* The line that inih could not read; it goes on after that one, and so may we have. */
    int line = ini_parse_stream(on_line, r, on_pair, r);
    if (line < 0) {
        return fail_nomem(r);
    }
    if (line > 0 && (r->rc == 0 || line < r->failed_line)) {
        r->line = line;
        return fail(r, ERROR_CONFIG, NULL, "neither a [section] nor key = value");
    }
    return r->rc;
}

static int fill_in(struct reading *r)
{
    r->line = 0;
    for (size_t i = 0; i < r->n_keys; i++) {
        const struct conf_key *key = &r->keys[i];
        if (r->lines[i] != 0) {
            continue;
        }
        if (key->required) {
            return fail(r, ERROR_CONFIG, key, "missing");
        }
        if (key->fallback != NULL) {
            int rc = store(r, key, key->fallback);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

static int parse(const char *name, const char *folder, struct span text,
                 const struct conf_key *keys, size_t n_keys, void *settings, struct error_text *e)
{
    struct reading r = {.name = name,
                        .folder = folder,
                        .rest = text,
                        .keys = keys,
                        .n_keys = n_keys,
                        .settings = settings,
                        .e = e};

    r.lines = calloc(n_keys + 1, sizeof(*r.lines));
    if (r.lines == NULL) {
        return fail_nomem(&r);
    }
    int rc = read_lines(&r);
    if (rc == 0) {
        rc = fill_in(&r);
    }
    free(r.lines);
    if (rc != 0) {
        conf_free(keys, n_keys, settings);
    }
    return rc;
}

int conf_parse(const char *name, const char *text, size_t len, const struct conf_key *keys,
               size_t n_keys, void *settings, struct error_text *e)
{
    return parse(name, NULL, (struct span){text, len}, keys, n_keys, settings, e);
}

/* The whole file. 0, ERROR_LIMIT, ERROR_NOMEM, or ERROR_IO with errno. */
static int read_file(int fd, struct buffer *text)
{
    for (;;) {
        uint8_t *room = NULL;
        int rc = buffer_reserve(text, 1, &room);
        if (rc != 0) {
            return rc;
        }
        ssize_t n = read(fd, room, text->cap - text->start - text->len);
        if (n == 0) {
            return 0;
        }
        if (n > 0) {
            buffer_commit(text, (size_t)n);
        } else if (errno != EINTR) {
            return ERROR_IO;
        }
    }
}

static int load(const char *path, struct buffer *text, struct error_text *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return error_set(e, ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    }
    int rc = read_file(fd, text);
    int reason = errno;
    (void)close(fd); /* only read from: nothing can be lost */
    switch (rc) {
    case 0: return 0;
    case ERROR_LIMIT:
        return error_set(e, ERROR_CONFIG, "%s: longer than %d bytes", path, FILE_BYTES);
    case ERROR_NOMEM: return error_set(e, rc, "%s: no memory", path);
    default: return error_set(e, ERROR_IO, "cannot read %s: %s", path, strerror(reason));
    }
}

/* The absolute folder of a file; owned. 0, ERROR_NOMEM, ERROR_IO. */
static int folder_of(const char *path, char **folder, struct error_text *e)
{
    char *absolute = NULL;

    if (path[0] == '/') {
        absolute = strdup(path);
    } else {
        char *cwd = getcwd(NULL, 0);
        if (cwd == NULL) {
            return error_set(e, ERROR_IO, "cannot find the current folder: %s", strerror(errno));
        }
        absolute = conf_value_join(cwd, path);
        free(cwd);
    }
    if (absolute == NULL) {
        return error_set(e, ERROR_NOMEM, "%s: no memory", path);
    }
    *strrchr(absolute, '/') = '\0';
    *folder = absolute;
    return 0;
}

int conf_read(const char *path, const struct conf_key *keys, size_t n_keys, void *settings,
              struct error_text *e)
{
    struct buffer text;
    char *folder = NULL;

    buffer_init(&text, FILE_BYTES + 1); /* the byte in which the end is looked for */
    int rc = load(path, &text, e);
    if (rc == 0) {
        rc = folder_of(path, &folder, e);
    }
    if (rc == 0) {
        struct span all = {(const char *)buffer_bytes(&text), text.len};
        rc = parse(path, folder, all, keys, n_keys, settings, e);
    }
    free(folder);
    buffer_close(&text);
    return rc;
}

void conf_free(const struct conf_key *keys, size_t n_keys, void *settings)
{
    for (size_t i = 0; i < n_keys; i++) {
        conf_value_free(&keys[i], settings);
    }
}

/* A numeric address or a host name (RFC 1123 characters). Digits and points alone must be a whole
 * IPv4 address, lest "192.168.1" pass as a name. */
static bool is_host(const char *host)
{
    struct in_addr v4;
    bool numeric = true;
    if (host[0] == '-' || host[0] == '.') {
        return false;
    }
    for (const char *p = host; *p != '\0'; p++) {
        bool digit = (*p >= '0' && *p <= '9') || *p == '.';
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '-';
        if (!digit && !letter) {
            return false;
        }
        numeric = numeric && digit;
    }
    return !numeric || inet_pton(AF_INET, host, &v4) == 1;
}

int conf_parse_address(const char *text, char host[CONF_HOST_BYTES], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    char copy[CONF_HOST_BYTES];
    struct in6_addr v6;
    uint64_t number = 0;

    if (colon == NULL || span_parse_u64(span_of(colon + 1), UINT16_MAX, &number) != 0) {
        return ERROR_SYNTAX;
    }
    struct span name = {text, (size_t)(colon - text)};
    bool bracketed = name.len >= 2 && name.p[0] == '[' && name.p[name.len - 1] == ']';
    if (bracketed) {
        name.p++;
        name.len -= 2;
    }
    if (span_copy(name, copy, sizeof(copy)) != 0) {
        return ERROR_SYNTAX;
    }
    if (bracketed ? inet_pton(AF_INET6, copy, &v6) != 1 : name.len > 0 && !is_host(copy)) {
        return ERROR_SYNTAX;
    }
    memcpy(host, copy, name.len + 1);
    *port = (uint16_t)number;
    return 0;
}
