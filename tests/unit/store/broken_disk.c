/* SPDX-License-Identifier: Apache-2.0 */
/* A thin layer over SQLite's own "unix" file system. */
#include "tests/unit/store/broken_disk.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

struct file {
    sqlite3_file base;
    const sqlite3_io_methods *real;
    sqlite3_io_methods broken; /* the real ones but for xWrite, xTruncate and xSync */
    /* The real file follows. */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs vfs;
static _Atomic int write_result;

/* The real file is opened in place; its methods are replaced by ours, which call them with the
 * same pointer, so nothing needs translating but the three. The table of methods is found behind
 * the real file. */
static struct file *behind(sqlite3_file *f)
{
    size_t offset = ((size_t)real_vfs->szOsFile + 15) / 16 * 16;
    return (struct file *)(void *)((char *)f + offset);
}

static int on_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 offset)
{
    int result = atomic_load(&write_result);
    return result != SQLITE_OK ? result : behind(f)->real->xWrite(f, bytes, n, offset);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int result = atomic_load(&write_result);
    return result != SQLITE_OK ? SQLITE_IOERR_TRUNCATE : behind(f)->real->xTruncate(f, size);
}

static int on_open(sqlite3_vfs *self, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    (void)self;
    int result = real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
    if (result == SQLITE_OK && f->pMethods != NULL) {
        struct file *file = behind(f);
        file->real = f->pMethods;
        file->broken = *f->pMethods;
        file->broken.xWrite = on_write;
        file->broken.xTruncate = on_truncate;
        f->pMethods = &file->broken;
    }
    return result;
}

void broken_disk_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    assert(real_vfs != NULL);
    vfs = *real_vfs;
    vfs.zName = "broken";
    vfs.szOsFile = (int)(((size_t)real_vfs->szOsFile + 15) / 16 * 16 + sizeof(struct file));
    vfs.xOpen = on_open;
    int result = sqlite3_vfs_register(&vfs, 1);
    assert(result == SQLITE_OK);
    (void)result;
}

void broken_disk_set(int result)
{
    atomic_store(&write_result, result);
}
