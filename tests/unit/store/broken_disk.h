/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that can be full or read-only on command: a SQLite file system in front of the real one,
 * which becomes the default for all connections opened later. */
#ifndef TESTS_UNIT_STORE_BROKEN_DISK_H
#define TESTS_UNIT_STORE_BROKEN_DISK_H

/* Once per process, before the first connection. */
void broken_disk_install(void);

/* What every write gives from now on, in all threads: SQLITE_OK (works), SQLITE_FULL,
 * SQLITE_IOERR_WRITE. */
void broken_disk_set(int result);

#endif
