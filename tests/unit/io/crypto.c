/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/io/crypto.h: which memory OpenSSL gets back. Its start without memory:
 * tests/blackbox; what it was refused: tls.c. */
#include "proto/io/crypto.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* As OpenSSL 3.0 asks for them. */
#define READ_BUFFER_BYTES  16712
#define WRITE_BUFFER_BYTES 16568

static void *take(size_t len)
{
    void *p = OPENSSL_malloc(len);
    assert_non_null(p);
    memset(p, 0xa5, len); /* all of it is there, or AddressSanitizer ends this */
    return p;
}

/* What is kept becomes something else. */
static int forget_spare(void **state)
{
    (void)state;
    OPENSSL_free(OPENSSL_realloc(take(READ_BUFFER_BYTES), (size_t)2 * READ_BUFFER_BYTES));
    return 0;
}

static void test_crypto_buffer_of_a_record_serves_the_next_one(void **state)
{
    (void)state;
    void *first = take(WRITE_BUFFER_BYTES);
    uintptr_t at = (uintptr_t)first;
    OPENSSL_free(first);
    void *second = take(READ_BUFFER_BYTES);
    assert_true((uintptr_t)second == at);
    OPENSSL_free(second);
}

static void test_crypto_buffers_in_use_are_apart(void **state)
{
    (void)state;
    void *a = take(READ_BUFFER_BYTES);
    void *b = take(WRITE_BUFFER_BYTES);
    assert_ptr_not_equal(a, b);
    OPENSSL_free(a);
    OPENSSL_free(b); /* one is kept, and this is the second */
    a = take(READ_BUFFER_BYTES);
    b = take(READ_BUFFER_BYTES);
    assert_ptr_not_equal(a, b);
    OPENSSL_free(b);
    OPENSSL_free(a);
}

/* What is kept is given to nothing that is no buffer of a record, and is of no other's memory. */
static void test_crypto_other_memory_is_not_of_records(void **state)
{
    (void)state;
    static const size_t others[] = {0, 1, 16384, 17409, 20000, 65536};
    void *kept = take(READ_BUFFER_BYTES);
    OPENSSL_free(kept);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        void *p = OPENSSL_malloc(others[i]);
        assert_ptr_not_equal(p, kept);
        OPENSSL_free(p);
    }
    void *record = take(READ_BUFFER_BYTES);
    assert_ptr_equal(record, kept);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        OPENSSL_free(OPENSSL_malloc(others[i]));
        (void)forget_spare(state);
    }
    OPENSSL_free(record);
}

static void test_crypto_much_memory_is_not_kept(void **state)
{
    (void)state;
    OPENSSL_free(OPENSSL_malloc(65536));
    void *record = take(READ_BUFFER_BYTES);
    assert_in_range(malloc_usable_size(record), READ_BUFFER_BYTES, 20000);
    OPENSSL_free(record);
}

static void test_crypto_buffer_that_grows_stays_whole(void **state)
{
    (void)state;
    uint8_t *p = take(READ_BUFFER_BYTES);
    p = OPENSSL_realloc(p, (size_t)2 * READ_BUFFER_BYTES);
    assert_non_null(p);
    assert_int_equal(p[READ_BUFFER_BYTES - 1], 0xa5);
    OPENSSL_free(p);
    p = OPENSSL_malloc(100);
    p = OPENSSL_realloc(p, READ_BUFFER_BYTES);
    memset(p, 0xa5, READ_BUFFER_BYTES);
    OPENSSL_free(p);
    OPENSSL_free(take(READ_BUFFER_BYTES));
}

static void *give_and_take(void *arg)
{
    OPENSSL_free(arg); /* of another thread */
    return take(READ_BUFFER_BYTES);
}

static void *keep_until_end(void *arg)
{
    OPENSSL_free(arg);
    return NULL;
}

/* What a thread keeps ends with it: leaks are looked for at the end of this program. */
static void test_crypto_buffers_go_from_thread_to_thread(void **state)
{
    (void)state;
    pthread_t thread;
    void *theirs = NULL;
    OPENSSL_free(take(READ_BUFFER_BYTES));
    void *ours = take(READ_BUFFER_BYTES);
    assert_int_equal(pthread_create(&thread, NULL, give_and_take, ours), 0);
    assert_int_equal(pthread_join(thread, &theirs), 0);
    OPENSSL_free(theirs);
    ours = take(WRITE_BUFFER_BYTES);
    assert_true((uintptr_t)ours == (uintptr_t)theirs);
    assert_int_equal(pthread_create(&thread, NULL, keep_until_end, ours), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

#define CASE(name) cmocka_unit_test_teardown(name, forget_spare)

int main(void)
{
    crypto_start();
    const struct CMUnitTest tests[] = {
        CASE(test_crypto_buffer_of_a_record_serves_the_next_one),
        CASE(test_crypto_buffers_in_use_are_apart),
        CASE(test_crypto_other_memory_is_not_of_records),
        CASE(test_crypto_much_memory_is_not_kept),
        CASE(test_crypto_buffer_that_grows_stays_whole),
        CASE(test_crypto_buffers_go_from_thread_to_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
