/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's beginning. While it lasts, an allocation that fails ends the program.
 *
 * And OpenSSL's memory. So that idle connections hold no buffer (SSL_MODE_RELEASE_BUFFERS), each
 * SSL_read and each SSL_write allocates one for a record and frees it again. They are too long for
 * malloc's cache of a thread: each is cut from its neighbours and merged with them again. So a
 * thread keeps the one that it freed last. */
#include "proto/io/crypto.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/store.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/poison.h"

/* A record's buffer is longer than its payload: by its header, tag and padding, a few hundred
 * bytes. All are allocated with the same length, so that what one left serves the next. */
#define RECORD_PAYLOAD_BYTES 16384
#define RECORD_BUFFER_BYTES  (RECORD_PAYLOAD_BYTES + 1024)
/* malloc may give so much more than was asked for. */
#define MALLOC_SLACK_BYTES 64

/* Both written before there is a second thread. */
static bool starting;
static pthread_key_t thread_end; /* its value is set in threads that have kept a buffer */

static _Thread_local bool failed;
static _Thread_local void *spare_record; /* owned */

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

static void *allocate_record(size_t len)
{
    void *p = spare_record != NULL ? spare_record : malloc(RECORD_BUFFER_BYTES);
    spare_record = NULL;
    if (p != NULL) {
        poison(p, RECORD_BUFFER_BYTES); /* what is behind `len` is not the record's */
        unpoison(p, len);
    }
    return check(p, len);
}

static void *allocate(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    if (len > RECORD_PAYLOAD_BYTES && len <= RECORD_BUFFER_BYTES) {
        return allocate_record(len);
    }
    return check(malloc(len), len);
}

static void *allocate_again(void *old, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return check(realloc(old, len), len);
}

/* True of every buffer from allocate_record, and of what may serve as one. */
static bool can_hold_record(void *p)
{
    size_t len = malloc_usable_size(p);
    return len >= RECORD_BUFFER_BYTES && len <= RECORD_BUFFER_BYTES + MALLOC_SLACK_BYTES;
}

static void on_thread_end(void *spare)
{
    void **record = spare;
    free(*record);
    *record = NULL;
}

static bool is_end_watched(void)
{
    return pthread_getspecific(thread_end) != NULL ||
           pthread_setspecific(thread_end, &spare_record) == 0;
}

static void release(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    /* Dozens of times a request: what OpenSSL's queue of errors does not hold. */
    if (p == NULL) {
        return;
    }
    if (spare_record == NULL && can_hold_record(p) && is_end_watched()) {
        poison(p, RECORD_BUFFER_BYTES);
        spare_record = p;
        return;
    }
    free(p);
}

/* A type stands in no parentheses. NOLINTBEGIN(bugprone-macro-parentheses) */
#define IGNORE(type)                                                                               \
    static void ignore_##type(type *algorithm, void *user)                                         \
    {                                                                                              \
        (void)algorithm;                                                                           \
        (void)user;                                                                                \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

IGNORE(EVP_MD)
IGNORE(EVP_CIPHER)
IGNORE(EVP_MAC)
IGNORE(EVP_KDF)
IGNORE(EVP_RAND)
IGNORE(EVP_KEYMGMT)
IGNORE(EVP_KEYEXCH)
IGNORE(EVP_SIGNATURE)
IGNORE(EVP_ASYM_CIPHER)
IGNORE(EVP_KEM)
IGNORE(OSSL_DECODER)
IGNORE(OSSL_STORE_LOADER)

/* OpenSSL makes the algorithms of a kind when the first of them is asked for. Those for which there
 * is no memory just then are not there ever after, and without one of them no handshake comes to
 * its end any more. So all are made now, but those that write keys: only `init` does that. */
static void make_algorithms(void)
{
    EVP_MD_do_all_provided(NULL, ignore_EVP_MD, NULL);
    EVP_CIPHER_do_all_provided(NULL, ignore_EVP_CIPHER, NULL);
    EVP_MAC_do_all_provided(NULL, ignore_EVP_MAC, NULL);
    EVP_KDF_do_all_provided(NULL, ignore_EVP_KDF, NULL);
    EVP_RAND_do_all_provided(NULL, ignore_EVP_RAND, NULL);
    EVP_KEYMGMT_do_all_provided(NULL, ignore_EVP_KEYMGMT, NULL);
    EVP_KEYEXCH_do_all_provided(NULL, ignore_EVP_KEYEXCH, NULL);
    EVP_SIGNATURE_do_all_provided(NULL, ignore_EVP_SIGNATURE, NULL);
    EVP_ASYM_CIPHER_do_all_provided(NULL, ignore_EVP_ASYM_CIPHER, NULL);
    EVP_KEM_do_all_provided(NULL, ignore_EVP_KEM, NULL);
    OSSL_DECODER_do_all_provided(NULL, ignore_OSSL_DECODER, NULL);
    OSSL_STORE_LOADER_do_all_provided(NULL, ignore_OSSL_STORE_LOADER, NULL);
}

void crypto_start(void)
{
    unsigned char byte;

    if (pthread_key_create(&thread_end, on_thread_end) != 0) {
        give_up();
    }
    starting = CRYPTO_set_mem_functions(allocate, allocate_again, release) == 1;
    if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1 ||
        RAND_bytes(&byte, sizeof(byte)) != 1) {
        give_up();
    }
    make_algorithms();
    starting = false;
}

bool crypto_memory_failed(void)
{
    bool was = failed;
    failed = false;
    return was;
}
