/* SPDX-License-Identifier: Apache-2.0 */
/* Small files that a command makes or copies. Nothing is ever overwritten. */
#ifndef RELAY_ADMIN_FILE_H
#define RELAY_ADMIN_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/base/error.h"

/* Longest path, with NUL. */
#define FILE_PATH_BYTES PATH_MAX

/* "FOLDER/NAME". 0, or ERROR_CONFIG (too long). */
int file_join(const char *folder, const char *name, char path[FILE_PATH_BYTES],
              struct error_text *e);

/* The folder a file is in ("." for a bare name). 0, or ERROR_CONFIG (too long). */
int file_folder(const char *file, char path[FILE_PATH_BYTES], struct error_text *e);

/* Makes the folder, mode 0750, unless it is there. ERROR_IO. */
int file_make_folder(const char *path, struct error_text *e);

/* Makes a file of exactly this mode and content, safe on disk. ERROR_EXISTS, ERROR_IO. */
int file_create(const char *path, mode_t mode, const char *text, struct error_text *e);

/* Gives a file to its folder's group, and if `owner` to its owner too, where root made it: what a
 * service is to read in its own folder is not for root alone. With `mode`, for it is root's choice
 * who else may read. Does nothing for anybody but root, nor in a folder of root's group. ERROR_IO.
 */
int file_join_group(const char *path, bool owner, mode_t mode, struct error_text *e);

/* 0 if there is nothing of this name; ERROR_EXISTS, ERROR_IO. */
int file_check_absent(const char *path, struct error_text *e);

#endif
