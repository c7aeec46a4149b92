/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/runtime_file.h. */
#include "proto/base/runtime_file.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/tnx-runtime-XXXXXX";
static char path[sizeof(folder) + 16];
static char new_path[sizeof(path) + 4];
static struct error_text e;

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/run.json", folder);
    (void)snprintf(new_path, sizeof(new_path), "%s.new", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void assert_text(const char *expected)
{
    char text[64] = "";
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof(text) - 1, f), strlen(expected));
    (void)fclose(f);
    assert_string_equal(text, expected);
}

static void assert_nothing_beside_it(void)
{
    struct stat about;
    assert_int_equal(stat(new_path, &about), -1);
}

static void test_the_last_text_stands_in_the_file(void **state)
{
    (void)state;
    assert_int_equal(runtime_file_write(path, "first, and longer", &e), 0);
    assert_int_equal(runtime_file_write(path, "second", &e), 0);
    assert_text("second");
    assert_nothing_beside_it();
}

/* A file size limit is what a full disk looks like: opening works, writing does not. */
static void test_a_full_disk_leaves_the_file_as_it_was_and_none_beside_it(void **state)
{
    struct rlimit before;
    (void)state;

    assert_int_equal(runtime_file_write(path, "as it was", &e), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct rlimit full = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    int rc = runtime_file_write(path, "changed", &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, ERROR_IO);
    assert_non_null(strstr(e.text, "run.json: File too large"));
    assert_text("as it was");
    assert_nothing_beside_it();
}

static void test_a_folder_in_its_place_is_an_error_that_leaves_nothing(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(runtime_file_write(path, "text", &e), ERROR_IO);
    assert_int_equal(rmdir(path), 0);
    assert_nothing_beside_it();
}

static void test_a_missing_folder_and_a_path_without_end_are_errors(void **state)
{
    char endless[RUNTIME_FILE_PATH_BYTES];
    (void)state;

    assert_int_equal(runtime_file_write("/nowhere/run.json", "text", &e), ERROR_IO);
    assert_string_equal(e.text, "cannot write /nowhere/run.json: No such file or directory");
    memset(endless, 'a', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_int_equal(runtime_file_write(endless, "text", &e), ERROR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_text_stands_in_the_file),
        cmocka_unit_test(test_a_full_disk_leaves_the_file_as_it_was_and_none_beside_it),
        cmocka_unit_test(test_a_folder_in_its_place_is_an_error_that_leaves_nothing),
        cmocka_unit_test(test_a_missing_folder_and_a_path_without_end_are_errors),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
