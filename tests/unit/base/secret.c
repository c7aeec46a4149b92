/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/secret.h. */
#include "proto/base/secret.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/tnx-secret-XXXXXX";
static char path[sizeof(folder) + 16];
static char secret[SECRET_BYTES];
static struct error_text e;

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/secret", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int set_up(void **state)
{
    (void)state;
    memset(secret, 'z', sizeof(secret));
    e.text[0] = '\0';
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void write_file(const char *bytes, size_t len, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void assert_reads(const char *content, const char *expected)
{
    write_file(content, strlen(content), 0600);
    assert_int_equal(secret_read_file(path, secret, &e), 0);
    assert_string_equal(secret, expected);
}

static void assert_refused(const char *content, size_t len, const char *reason)
{
    write_file(content, len, 0600);
    assert_int_equal(secret_read_file(path, secret, &e), ERROR_CONFIG);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, reason));
    assert_int_equal(secret[0], 'z');
}

static void test_secret_cleanse_leaves_zeroes_and_touches_nothing_else(void **state)
{
    (void)state;
    char bytes[] = "xsecretx";
    secret_cleanse(bytes + 1, 6);
    assert_memory_equal(bytes, "x\0\0\0\0\0\0x", 8);
    secret_cleanse(NULL, 0);
}

static void test_secret_equal_sees_a_difference_in_any_byte(void **state)
{
    (void)state;
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    assert_true(secret_equal(a, b, sizeof(a)));
    assert_true(secret_equal(NULL, NULL, 0));
    for (size_t i = 0; i < sizeof(a); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b[i] = (uint8_t)(1U << bit);
            assert_false(secret_equal(a, b, sizeof(a)));
            b[i] = 0;
        }
    }
}

static void test_secret_equal_compares_secrets_of_every_length(void **state)
{
    (void)state;
    uint8_t a[18] = {0};
    uint8_t b[18] = {0};
    for (size_t len = 1; len < sizeof(a); len++) {
        b[len] = 1; /* just behind it */
        assert_true(secret_equal(a, b, len));
        b[len] = 0;
        b[len - 1] = 1;
        assert_false(secret_equal(a, b, len));
        b[len - 1] = 0;
    }
}

static void test_secret_is_the_first_line_without_its_end(void **state)
{
    (void)state;
    assert_reads("token\n", "token");
    assert_reads("token", "token");
    assert_reads("token\r\n", "token");
    assert_reads("token\nsecond\n", "token");
    assert_reads(" with blanks \n", " with blanks ");
    assert_reads("caf\xc3\xa9\n", "caf\xc3\xa9");
}

static void test_secret_of_the_greatest_length_is_read_and_one_byte_more_refused(void **state)
{
    (void)state;
    char content[SECRET_BYTES + 3];
    memset(content, 'a', sizeof(content));
    memcpy(content + SECRET_BYTES - 1, "\r\n", 3);
    write_file(content, strlen(content), 0600);
    assert_int_equal(secret_read_file(path, secret, &e), 0);
    assert_int_equal(strlen(secret), SECRET_BYTES - 1);
    secret[0] = 'z';
    memcpy(content + SECRET_BYTES - 1, "a\r\n", 4);
    assert_refused(content, strlen(content), "longer than 255");
    assert_refused(content, SECRET_BYTES, "longer than 255");
}

static void test_secret_file_without_a_secret_is_refused(void **state)
{
    (void)state;
    assert_refused("", 0, "empty");
    assert_refused("\n", 1, "empty");
    assert_refused("\r\n", 2, "empty");
    assert_refused("\nsecond\n", 8, "empty");
}

static void test_secret_with_a_control_character_is_refused(void **state)
{
    (void)state;
    assert_refused("a\0b\n", 4, "control");
    assert_refused("a\tb\n", 4, "control");
    assert_refused("a\rb\n", 4, "control");
    assert_refused("a\x7f\n", 3, "control");
}

static void test_secret_open_to_others_is_refused_with_the_remedy(void **state)
{
    (void)state;
    static const mode_t open_modes[] = {0604, 0644, 0602, 0666};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        write_file("token\n", 6, open_modes[i]);
        assert_int_equal(secret_read_file(path, secret, &e), ERROR_CONFIG);
        assert_non_null(strstr(e.text, "chmod 600"));
        assert_int_equal(secret[0], 'z');
    }
    write_file("token\n", 6, 0640);
    assert_int_equal(secret_read_file(path, secret, &e), 0);
    write_file("token\n", 6, 0400);
    assert_int_equal(secret_read_file(path, secret, &e), 0);
}

static void test_secret_error_never_holds_the_secret(void **state)
{
    (void)state;
    assert_refused("hunter2\x01\n", 9, "control");
    assert_null(strstr(e.text, "hunter2"));
    write_file("hunter2\n", 8, 0644);
    assert_int_equal(secret_read_file(path, secret, &e), ERROR_CONFIG);
    assert_null(strstr(e.text, "hunter2"));
}

static void test_secret_missing_or_unreadable_is_an_io_error(void **state)
{
    (void)state;
    assert_int_equal(secret_read_file(path, secret, &e), ERROR_IO);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(secret_read_file(folder, secret, &e), ERROR_IO);
    assert_int_equal(secret_read_file(folder, secret, NULL), ERROR_IO);
    assert_int_equal(secret[0], 'z');
}

static void test_secret_written_is_private_and_reads_back(void **state)
{
    (void)state;
    struct stat st;
    mode_t before = umask(0);
    assert_int_equal(secret_write_file(path, "token", &e), 0);
    (void)umask(before);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 6);
    assert_int_equal(secret_read_file(path, secret, &e), 0);
    assert_string_equal(secret, "token");
}

static void test_secret_write_never_overwrites(void **state)
{
    (void)state;
    assert_int_equal(secret_write_file(path, "first", &e), 0);
    assert_int_equal(secret_write_file(path, "second", &e), ERROR_EXISTS);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(secret_read_file(path, secret, &e), 0);
    assert_string_equal(secret, "first");
    assert_int_equal(secret_write_file("/nonexistent/secret", "x", &e), ERROR_IO);
}

static void test_secret_write_that_fails_leaves_no_file(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit tiny = {2, 2};
        int rc = 1;
        if (signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &tiny) == 0) {
            rc = secret_write_file(path, "token", &e) == ERROR_IO ? 0 : 2;
        }
        _exit(rc);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_secret_hardened_process_leaves_no_core(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit core = {1, 1};
        secret_harden_process();
        _exit(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && getrlimit(RLIMIT_CORE, &core) == 0 &&
                      core.rlim_cur == 0 && core.rlim_max == 0
                  ? 0
                  : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_secret_cleanse_leaves_zeroes_and_touches_nothing_else),
        CASE(test_secret_equal_sees_a_difference_in_any_byte),
        CASE(test_secret_equal_compares_secrets_of_every_length),
        CASE(test_secret_is_the_first_line_without_its_end),
        CASE(test_secret_of_the_greatest_length_is_read_and_one_byte_more_refused),
        CASE(test_secret_file_without_a_secret_is_refused),
        CASE(test_secret_with_a_control_character_is_refused),
        CASE(test_secret_open_to_others_is_refused_with_the_remedy),
        CASE(test_secret_error_never_holds_the_secret),
        CASE(test_secret_missing_or_unreadable_is_an_io_error),
        CASE(test_secret_written_is_private_and_reads_back),
        CASE(test_secret_write_never_overwrites),
        CASE(test_secret_write_that_fails_leaves_no_file),
        CASE(test_secret_hardened_process_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
