/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of proto/io: self-signed certificates with their keys, as PEM files in a temporary
 * directory. */
#ifndef TESTS_UNIT_IO_PAIR_FILES_H
#define TESTS_UNIT_IO_PAIR_FILES_H

#include <stdint.h>

#include "proto/io/tls.h"

#define PAIR_PATH_BYTES 128

/* The two files of a pair, and the pair that borrows their names. */
struct pair_files {
    char certificate[PAIR_PATH_BYTES];
    char private_key[PAIR_PATH_BYTES];
    struct tls_pair pair;
};

/* Makes the directory, which the files of this header go into; removes it with all of them. Both
 * return 0, as cmocka's group set-up and tear-down. */
int pair_files_set_up(void **state);
int pair_files_tear_down(void **state);

/* Makes an ECDSA P-256 certificate for the DNS name `host`, valid until `until_s` (seconds since
 * 1970), and its key. */
void pair_files_make(struct pair_files *f, const char *host, int64_t until_s);

/* Writes `text` into a file of that name; `path` has PAIR_PATH_BYTES. */
void pair_files_write(const char *name, const char *text, char *path);

#endif
