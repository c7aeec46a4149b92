/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/conf.h: files, their paths, and addresses. */
#include "proto/base/conf.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct settings {
    char *database;
    char *runtime_file;
    uint32_t workers;
};

#define AT(member) .offset = offsetof(struct settings, member)

static const struct conf_key keys[] = {
    {.section = "relay", .name = "database", .kind = CONF_PATH, AT(database), .required = true},
    {.section = "relay",
     .name = "runtime_file",
     .kind = CONF_PATH,
     AT(runtime_file),
     .fallback = "run.json"},
    {.section = "relay",
     .name = "workers",
     .kind = CONF_UINT,
     AT(workers),
     .min = 1,
     .max = 64,
     .fallback = "4"},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

#define MINIMUM "[relay]\ndatabase = relay.db\n"

static struct settings s;
static struct error_text e;

static int set_up(void **state)
{
    (void)state;
    s = (struct settings){0};
    e.text[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conf_free(keys, N_KEYS, &s);
    return 0;
}

/* A file in a folder of its own. */
static char folder[] = "/tmp/tnx-conf-XXXXXX";
static char path[sizeof(folder) + 16];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/relay.conf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void write_file(const char *text, size_t filler)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    for (size_t i = 0; i < filler; i++) {
        assert_int_equal(fputc('\n', f), '\n');
    }
    assert_int_equal(fclose(f), 0);
}

static void test_conf_read_makes_paths_absolute_against_the_files_folder(void **state)
{
    (void)state;
    char expected[128];
    write_file("[relay]\ndatabase = relay.db\nruntime_file = /run/relay.json\n", 0);
    assert_int_equal(conf_read(path, keys, N_KEYS, &s, &e), 0);
    (void)snprintf(expected, sizeof(expected), "%s/relay.db", folder);
    assert_string_equal(s.database, expected);
    assert_string_equal(s.runtime_file, "/run/relay.json");
}

static void test_conf_read_of_a_relative_path_makes_absolute_paths_too(void **state)
{
    (void)state;
    char expected[128];
    char *before = getcwd(NULL, 0);
    write_file(MINIMUM, 0);
    assert_int_equal(chdir(folder), 0);
    int rc = conf_read("relay.conf", keys, N_KEYS, &s, &e);
    assert_int_equal(chdir(before), 0);
    free(before);
    assert_int_equal(rc, 0);
    (void)snprintf(expected, sizeof(expected), "%s/relay.db", folder);
    assert_string_equal(s.database, expected);
    (void)snprintf(expected, sizeof(expected), "%s/run.json", folder);
    assert_string_equal(s.runtime_file, expected);
}

static void test_conf_read_names_the_file_in_errors(void **state)
{
    (void)state;
    char expected[128];
    write_file(MINIMUM "workers = 0\n", 0);
    assert_int_equal(conf_read(path, keys, N_KEYS, &s, &e), ERROR_CONFIG);
    (void)snprintf(expected, sizeof(expected),
                   "%s:3: [relay] workers: not a whole number from 1 to 64", path);
    assert_string_equal(e.text, expected);
}

static void test_conf_read_of_no_file_or_a_folder_is_an_io_error(void **state)
{
    (void)state;
    assert_int_equal(conf_read("/nonexistent/relay.conf", keys, N_KEYS, &s, &e), ERROR_IO);
    assert_string_equal(e.text, "cannot open /nonexistent/relay.conf: No such file or directory");
    assert_int_equal(conf_read("/", keys, N_KEYS, &s, &e), ERROR_IO);
    assert_string_equal(e.text, "cannot read /: Is a directory");
}

static void test_conf_read_refuses_a_file_one_byte_past_the_limit(void **state)
{
    (void)state;
    size_t filler = (size_t)256 * 1024 - strlen(MINIMUM);
    write_file(MINIMUM, filler);
    assert_int_equal(conf_read(path, keys, N_KEYS, &s, &e), 0);
    conf_free(keys, N_KEYS, &s);
    write_file(MINIMUM, filler + 1);
    assert_int_equal(conf_read(path, keys, N_KEYS, &s, &e), ERROR_CONFIG);
    assert_non_null(strstr(e.text, "longer than 262144 bytes"));
}

static void assert_address(const char *text, const char *host, uint16_t port)
{
    char got_host[CONF_HOST_BYTES];
    uint16_t got_port = 0;
    assert_int_equal(conf_parse_address(text, got_host, &got_port), 0);
    assert_string_equal(got_host, host);
    assert_int_equal(got_port, port);
}

static void test_conf_address_is_split_into_host_and_port(void **state)
{
    (void)state;
    assert_address("0.0.0.0:443", "0.0.0.0", 443);
    assert_address("[::1]:80", "::1", 80);
    assert_address("[::]:0", "::", 0);
    assert_address(":9090", "", 9090);
    assert_address("relay.example:65535", "relay.example", 65535);
    assert_address("3com.example:1", "3com.example", 1);
}

static void test_conf_address_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "443",      "localhost",    "localhost:",  "a:65536", "a:-1",
        "a:1b",    "::1:80",   "[::1]",        "[::1]80",     "[]:80",   "[127.0.0.1]:80",
        "[::g]:1", "1.2.3:80", "256.1.1.1:80", "1.2.3.4.5:1", "a b:80",  "*:80",
        "a/b:80",  "-a:80",    ".a:80",        "[::1:80",     "::1]:80", "a::80"};
    char host[CONF_HOST_BYTES] = "z";
    uint16_t port = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (conf_parse_address(bad[i], host, &port) != ERROR_SYNTAX) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
    assert_string_equal(host, "z");
    assert_int_equal(port, 42);
}

static void test_conf_address_holds_the_longest_host_and_refuses_one_byte_more(void **state)
{
    (void)state;
    char text[CONF_HOST_BYTES + 8];
    char host[CONF_HOST_BYTES];
    uint16_t port = 0;
    memset(text, 'a', sizeof(text));
    memcpy(text + CONF_HOST_BYTES - 1, ":80", 4);
    assert_int_equal(conf_parse_address(text, host, &port), 0);
    assert_int_equal(strlen(host), CONF_HOST_BYTES - 1);
    memcpy(text + CONF_HOST_BYTES - 1, "a:80", 5);
    assert_int_equal(conf_parse_address(text, host, &port), ERROR_SYNTAX);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conf_read_makes_paths_absolute_against_the_files_folder),
        CASE(test_conf_read_of_a_relative_path_makes_absolute_paths_too),
        CASE(test_conf_read_names_the_file_in_errors),
        CASE(test_conf_read_of_no_file_or_a_folder_is_an_io_error),
        CASE(test_conf_read_refuses_a_file_one_byte_past_the_limit),
        CASE(test_conf_address_is_split_into_host_and_port),
        CASE(test_conf_address_refuses_what_is_none),
        CASE(test_conf_address_holds_the_longest_host_and_refuses_one_byte_more),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
