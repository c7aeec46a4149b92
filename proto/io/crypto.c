/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's beginning. While it lasts, an allocation that fails ends the program. */
#include "proto/io/crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool starting; /* written before there is a second thread */
static _Thread_local bool failed;

/* Not exit(): what OpenSSL has registered for the end would run into its half as well. */
static void give_up(void)
{
    (void)fprintf(stderr, "%s: OpenSSL cannot start: no memory, or its configuration is broken\n",
                  program_invocation_short_name);
    _exit(1);
}

/* `p` is what malloc or realloc has given for `len` bytes. */
static void *check(void *p, size_t len)
{
    if (p == NULL && len > 0) {
        failed = true;
        if (starting) {
            give_up();
        }
    }
    return p;
}

static void *allocate(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return check(malloc(len), len);
}

static void *allocate_again(void *old, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return check(realloc(old, len), len);
}

static void release(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

void crypto_start(void)
{
    unsigned char byte;

    starting = CRYPTO_set_mem_functions(allocate, allocate_again, release) == 1;
    if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1 ||
        RAND_bytes(&byte, sizeof(byte)) != 1) {
        give_up();
    }
    starting = false;
}

bool crypto_memory_failed(void)
{
    bool was = failed;
    failed = false;
    return was;
}
