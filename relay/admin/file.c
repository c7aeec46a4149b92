/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that a command makes. */
#include "relay/admin/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_join(const char *folder, const char *name, char path[FILE_PATH_BYTES],
              struct error_text *e)
{
    int n = snprintf(path, FILE_PATH_BYTES, "%s/%s", folder, name);
    return n < 0 || n >= FILE_PATH_BYTES
               ? error_set(e, ERROR_CONFIG, "the path %.64s… is too long", folder)
               : 0;
}

int file_folder(const char *file, char path[FILE_PATH_BYTES], struct error_text *e)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - file);

    if (len >= FILE_PATH_BYTES) {
        return error_set(e, ERROR_CONFIG, "the path %.64s… is too long", file);
    }
    if (slash == NULL) {
        (void)snprintf(path, FILE_PATH_BYTES, ".");
    } else {
        (void)snprintf(path, FILE_PATH_BYTES, "%.*s", len == 0 ? 1 : (int)len, file);
    }
    return 0;
}

int file_make_folder(const char *path, struct error_text *e)
{
    struct stat st;

    if (mkdir(path, S_IRWXU | S_IRGRP | S_IXGRP) == 0) {
        return 0;
    }
    if (errno != EEXIST) {
        return error_set(e, ERROR_IO, "cannot make the folder %s: %s", path, strerror(errno));
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return error_set(e, ERROR_IO, "%s is there already and is no folder", path);
    }
    return 0;
}

/* 0, or -1 with errno. */
static int write_all(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

int file_create(const char *path, mode_t mode, const char *text, struct error_text *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, mode);
    if (fd < 0) {
        return error_set(e, errno == EEXIST ? ERROR_EXISTS : ERROR_IO, "cannot create %s: %s", path,
                         strerror(errno));
    }
    /* fchmod: the umask may have taken too much away. */
    bool failed = write_all(fd, text) != 0 || fchmod(fd, mode) != 0 || fsync(fd) != 0;
    int reason = errno;
    if (close(fd) != 0 && !failed) {
        failed = true;
        reason = errno;
    }
    if (failed) {
        (void)unlink(path); /* half a file is worse than none; the first reason is reported */
        return error_set(e, ERROR_IO, "cannot write %s: %s", path, strerror(reason));
    }
    return 0;
}

int file_join_group(const char *path, bool owner, mode_t mode, struct error_text *e)
{
    char folder[FILE_PATH_BYTES];
    struct stat st;

    int rc = geteuid() == 0 ? file_folder(path, folder, e) : 0;
    if (rc != 0 || geteuid() != 0) {
        return rc;
    }
    if (stat(folder, &st) != 0) {
        return error_set(e, ERROR_IO, "cannot look at %s: %s", folder, strerror(errno));
    }
    if (st.st_gid == 0) {
        return 0;
    }
    if (lchown(path, owner ? st.st_uid : 0, st.st_gid) != 0 || chmod(path, mode) != 0) {
        return error_set(e, ERROR_IO, "cannot give %s to the group of its folder: %s", path,
                         strerror(errno));
    }
    return 0;
}

int file_check_absent(const char *path, struct error_text *e)
{
    struct stat st;

    if (lstat(path, &st) == 0) {
        return error_set(e, ERROR_EXISTS, "%s is there already; nothing is overwritten", path);
    }
    if (errno != ENOENT) {
        return error_set(e, ERROR_IO, "cannot look at %s: %s", path, strerror(errno));
    }
    return 0;
}
