/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the device file. */
#include "agent/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/log.h"
#include "proto/json/json_text.h"
#include "proto/pages/house.h"

/* A file that is no file (a pipe, a terminal) could hold the loop up. */
static int open_file(const char *path, FILE **file, struct error_text *e)
{
    struct stat st;
    FILE *opened = NULL;

    if (stat(path, &st) != 0) {
        return error_set(e, ERROR_IO, "%s: %s", path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return error_set(e, ERROR_IO, "%s: not a plain file", path);
    }
    opened = fopen(path, "re");
    if (opened == NULL) {
        return error_set(e, ERROR_IO, "%s: %s", path, strerror(errno));
    }
    *file = opened;
    return 0;
}

static int read_text(const char *path, char *text, size_t *len, struct error_text *e)
{
    FILE *file = NULL;
    int rc = open_file(path, &file, e);

    if (rc != 0) {
        return rc;
    }
    *len = fread(text, 1, HOUSE_FILE_BYTES_MAX + 1, file);
    if (ferror(file) != 0) {
        rc = error_set(e, ERROR_IO, "%s: cannot be read", path);
    } else if (*len > HOUSE_FILE_BYTES_MAX) {
        rc = error_set(e, ERROR_LIMIT, "%s: more than %zu bytes", path, HOUSE_FILE_BYTES_MAX);
    }
    (void)fclose(file); /* was only read */
    return rc;
}

int devices_read(const char *path, json_t **house, struct error_text *e)
{
    char *text = malloc(HOUSE_FILE_BYTES_MAX + 1);
    struct error_text why = {""};
    size_t len = 0;
    size_t n = 0;

    if (text == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    int rc = read_text(path, text, &len, e);
    if (rc == 0) {
        rc = house_parse((struct span){text, len}, house, &n, &why);
        if (rc != 0) {
            (void)error_set(e, rc, "%s: %s", path, why.text);
        }
    }
    free(text);
    return rc;
}

static int check(const char *file, const char *path, const char *section, struct error_text *e)
{
    struct error_text why = {""};
    json_t *house = NULL;
    int rc = file != NULL ? devices_read(file, &house, &why) : 0;

    json_decref(house);
    if (rc == 0 || rc == ERROR_NOMEM) {
        return rc == 0 ? 0 : error_set(e, rc, "%s", why.text);
    }
    return config_wrong(path, section, "devices", why.text, e);
}

int devices_check(const struct config *c, const char *path, struct error_text *e)
{
    int rc = check(c->devices, path, "server", e);
    return rc != 0 ? rc : check(c->pages_devices, path, "pages", e);
}

/* JSON text, owned; {"error"} unless the status is 200. NULL when out of memory. */
static char *answer(const struct config *c, unsigned *status)
{
    struct error_text e = {""};
    json_t *house = NULL;

    if (c->devices == NULL) {
        *status = 404;
        return strdup("{\"error\":\"no device file here\"}");
    }
    if (devices_read(c->devices, &house, &e) != 0) {
        /* The path is nobody's business outside the building. */
        log_event(LOG_LEVEL_WARN, "device file unusable", log_text("reason", e.text));
        *status = 503;
        return strdup("{\"error\":\"the device file cannot be used; the agent's log says why\"}");
    }
    char *text = json_text_format(house, JSON_COMPACT);
    json_decref(house);
    if (text == NULL) {
        log_event(LOG_LEVEL_WARN, "device file unusable", log_text("reason", "no memory"));
    }
    *status = 200;
    return text;
}

void devices_on_request(const struct config *c, struct forward *f, struct mux *m, uint32_t stream,
                        const struct head_request *head, bool end, void **stream_user)
{
    unsigned status = 0;
    char *text = NULL;

    if (head->method != HEAD_METHOD_GET || !end) {
        mux_reset(m, stream, HEAD_RESET_REFUSED, HEAD_DELIVERED_NO);
        return;
    }
    if (!forward_may_answer(f, m, stream)) {
        return;
    }
    text = answer(c, &status);
    if (text == NULL) {
        mux_reset(m, stream, HEAD_RESET_INTERNAL, HEAD_DELIVERED_NO);
        return;
    }
    forward_answer(f, m, stream, status, span_of(text), stream_user);
    free(text);
}
