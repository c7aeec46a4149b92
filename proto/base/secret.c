/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping secrets: in memory, in files, and in the process. */
#include "proto/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest secret, its line end (CR LF), and one byte that proves it too long. */
#define READ_BYTES (SECRET_BYTES + 2)

void secret_cleanse(void *bytes, size_t len)
{
    if (len > 0) {
        explicit_bzero(bytes, len);
    }
}

bool secret_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    volatile uint64_t difference = 0; /* every step is taken, whatever it holds already */
    uint64_t one = 0;
    uint64_t other = 0;
    for (; len >= sizeof(one); len -= sizeof(one), x += sizeof(one), y += sizeof(one)) {
        memcpy(&one, x, sizeof(one));
        memcpy(&other, y, sizeof(other));
        difference = difference | (one ^ other);
    }
    for (size_t i = 0; i < len; i++) {
        difference = difference | (uint64_t)(x[i] ^ y[i]);
    }
    return difference == 0;
}

/* Reads until a newline, the end or `cap` bytes. Their number, or -1 with errno. */
static ssize_t read_line(int fd, char *text, size_t cap)
{
    size_t len = 0;
    while (len < cap && memchr(text, '\n', len) == NULL) {
        ssize_t n = read(fd, text + len, cap - len);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            len += (size_t)n;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return (ssize_t)len;
}

/* Length of the first line without its end. */
static size_t line_len(const char *text, size_t len)
{
    const char *newline = memchr(text, '\n', len);
    size_t n = newline == NULL ? len : (size_t)(newline - text);
    return n > 0 && newline != NULL && text[n - 1] == '\r' ? n - 1 : n;
}

static bool has_control(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static int read_secret(int fd, const char *path, char secret[SECRET_BYTES], struct error_text *e)
{
    char text[READ_BYTES] = {0};
    struct stat st;
    int rc = 0;

    if (fstat(fd, &st) != 0) {
        return error_set(e, ERROR_IO, "cannot stat %s: %s", path, strerror(errno));
    }
    if ((st.st_mode & S_IRWXO) != 0) {
        return error_set(e, ERROR_CONFIG, "%s is open to everybody: run chmod 600 %s", path, path);
    }
    ssize_t n = read_line(fd, text, sizeof(text));
    if (n < 0) {
        return error_set(e, ERROR_IO, "cannot read %s: %s", path, strerror(errno));
    }
    size_t len = line_len(text, (size_t)n);
    if (len == 0) {
        rc = error_set(e, ERROR_CONFIG, "%s is empty: its first line must be the secret", path);
    } else if (len >= SECRET_BYTES) {
        rc = error_set(e, ERROR_CONFIG, "the first line of %s is longer than %d bytes", path,
                       SECRET_BYTES - 1);
    } else if (has_control(text, len)) {
        rc = error_set(e, ERROR_CONFIG, "the first line of %s holds a control character", path);
    } else {
        memcpy(secret, text, len);
        secret[len] = '\0';
    }
    secret_cleanse(text, sizeof(text));
    return rc;
}

int secret_read_file(const char *path, char secret[SECRET_BYTES], struct error_text *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return error_set(e, ERROR_IO, "cannot open %s: %s", path, strerror(errno));
    }
    int rc = read_secret(fd, path, secret, e);
    (void)close(fd); /* only read from: nothing can be lost */
    return rc;
}

/* 0, or -1 with errno. */
static int write_all(int fd, const char *text, size_t len)
{
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

int secret_write_file(const char *path, const char *secret, struct error_text *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return error_set(e, errno == EEXIST ? ERROR_EXISTS : ERROR_IO, "cannot create %s: %s", path,
                         strerror(errno));
    }
    /* Synced: the only copy of a token must outlive a power cut. */
    bool failed =
        write_all(fd, secret, strlen(secret)) != 0 || write_all(fd, "\n", 1) != 0 || fsync(fd) != 0;
    int reason = errno;
    if (close(fd) != 0 && !failed) {
        failed = true;
        reason = errno;
    }
    if (failed) {
        (void)unlink(path); /* half a secret is worse than none; the first reason is reported */
        return error_set(e, ERROR_IO, "cannot write %s: %s", path, strerror(reason));
    }
    return 0;
}

void secret_harden_process(void)
{
    const struct rlimit none = {0, 0};
    /* Best effort, as the header says: a sandbox may forbid either. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
}
