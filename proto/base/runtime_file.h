/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which a program says where it can be reached, for those that start it. */
#ifndef PROTO_BASE_RUNTIME_FILE_H
#define PROTO_BASE_RUNTIME_FILE_H

#include "proto/base/error.h"

/* Longest path, in bytes with its NUL and the ".new" that the file has while it is written. */
#define RUNTIME_FILE_PATH_BYTES 4096

/* Puts `text` into `path`, whole or not at all for whoever waits for it. Blocks. ERROR_CONFIG for a
 * path that is too long; ERROR_IO leaves no other file behind. */
int runtime_file_write(const char *path, const char *text, struct error_text *e);

#endif
