/* SPDX-License-Identifier: Apache-2.0 */
/* What may be done with keys, tokens and passwords. */
#ifndef PROTO_BASE_SECRET_H
#define PROTO_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

/* Longest secret read from a file, with its NUL. */
#define SECRET_BYTES 256

/* Overwrites in a way that the compiler may not leave out. NULL is allowed with len 0. */
void secret_cleanse(void *bytes, size_t len);

/* True if equal, in time that depends on `len` only. */
bool secret_equal(const void *a, const void *b, size_t len);

/* First line of a file, without its line end. Fails if the file is empty, is longer than
 * SECRET_BYTES - 1, holds a control character, or can be read or written by others than owner and
 * group
 * (`chmod 600` is what the sentence asks for). ERROR_IO or ERROR_CONFIG. The caller cleanses. */
int secret_read_file(const char *path, char secret[SECRET_BYTES], struct error_text *e);

/* Creates a file of mode 0600 that holds the secret and a newline; never overwrites.
 * ERROR_EXISTS, ERROR_IO. */
int secret_write_file(const char *path, const char *secret, struct error_text *e);

/* No core files, no ptrace by others (prctl PR_SET_DUMPABLE, RLIMIT_CORE). Called first by the
 * daemons' main; failing is not fatal. */
void secret_harden_process(void);

#endif
