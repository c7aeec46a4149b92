/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/base/runtime_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool put_text(FILE *f, const char *text)
{
    bool written = fputs(text, f) >= 0;
    return fclose(f) == 0 && written;
}

int runtime_file_write(const char *path, const char *text, struct error_text *e)
{
    char new_path[RUNTIME_FILE_PATH_BYTES];
    int len = snprintf(new_path, sizeof(new_path), "%s.new", path);

    if (len < 0 || (size_t)len >= sizeof(new_path)) {
        return error_set(e, ERROR_CONFIG, "runtime_file: path too long");
    }
    FILE *f = fopen(new_path, "we");
    if (f != NULL && put_text(f, text) && rename(new_path, path) == 0) {
        return 0;
    }
    (void)error_set(e, ERROR_IO, "cannot write %s: %s", path, strerror(errno));
    if (f != NULL) {
        (void)unlink(new_path);
    }
    return ERROR_IO;
}
