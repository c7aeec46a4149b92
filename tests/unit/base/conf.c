/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/conf.h: what is in a text. */
#include "proto/base/conf.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/base/allocator.h"

struct settings {
    char *name;
    char *database;
    char *runtime_file;
    uint32_t workers;
    uint32_t server_ms;
    uint32_t grace_ms;
    bool read_only;
    int auth;
    struct conf_list listen;
};

static const char *const auths[] = {"digest", "basic", "none", NULL};

#define AT(member) .offset = offsetof(struct settings, member)

static const struct conf_key keys[] = {
    {.section = "relay", .name = "name", .kind = CONF_TEXT, AT(name)},
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
    {.section = "timeouts",
     .name = "server",
     .kind = CONF_SECONDS,
     AT(server_ms),
     .min = 100,
     .max = 3600000,
     .fallback = "10"},
    {.section = "timeouts", .name = "grace", .kind = CONF_SECONDS, AT(grace_ms), .max = UINT32_MAX},
    {.section = "relay", .name = "read_only", .kind = CONF_BOOL, AT(read_only)},
    {.section = "server",
     .name = "auth",
     .kind = CONF_CHOICE,
     AT(auth),
     .choices = auths,
     .fallback = "basic"},
    {.section = "https", .name = "listen", .kind = CONF_TEXT_LIST, AT(listen)},
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

/* The required key, on line 1 and 2; what a case is about follows on line 3. */
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
    (void)allocator_reset();
    conf_free(keys, N_KEYS, &s);
    return 0;
}

static int parse(const char *text)
{
    conf_free(keys, N_KEYS, &s);
    s = (struct settings){0};
    return conf_parse("relay.conf", text, strlen(text), keys, N_KEYS, &s, &e);
}

static void assert_parses(const char *text)
{
    if (parse(text) != 0) {
        fail_msg("%s", e.text);
    }
}

/* What owns memory is gone after a failure, or the leak checker speaks up. */
static void assert_fails(const char *text, const char *sentence)
{
    assert_int_equal(parse(text), ERROR_CONFIG);
    assert_string_equal(e.text, sentence);
    assert_null(s.database);
    assert_int_equal(s.listen.n_values, 0);
}

static void test_conf_reads_every_kind_of_key(void **state)
{
    (void)state;
    assert_parses("# comment\n"
                  "; comment\n"
                  "\n"
                  "[relay]\r\n"
                  "name = Rue de l'Eglise 1 ; inline comment\n"
                  "database=/var/lib/relay.db\n"
                  "workers = 64\n"
                  "read_only = yes\n"
                  "[timeouts]\n"
                  "server = 0.5\n"
                  "grace = 15m\n"
                  "[server]\n"
                  "auth = none\n"
                  "[https]\n"
                  "listen = 0.0.0.0:443\n"
                  "listen = [::]:443");
    assert_string_equal(s.name, "Rue de l'Eglise 1");
    assert_string_equal(s.database, "/var/lib/relay.db");
    assert_int_equal(s.workers, 64);
    assert_true(s.read_only);
    assert_int_equal(s.server_ms, 500);
    assert_int_equal(s.grace_ms, 900000);
    assert_int_equal(s.auth, 2);
    assert_int_equal(s.listen.n_values, 2);
    assert_string_equal(s.listen.values[0], "0.0.0.0:443");
    assert_string_equal(s.listen.values[1], "[::]:443");
    assert_int_equal(s.listen.lines[0], 15);
    assert_int_equal(s.listen.lines[1], 16);
}

static void test_conf_fills_in_the_defaults(void **state)
{
    (void)state;
    assert_parses(MINIMUM);
    assert_null(s.name);
    assert_string_equal(s.runtime_file, "run.json");
    assert_int_equal(s.workers, 4);
    assert_int_equal(s.server_ms, 10000);
    assert_int_equal(s.grace_ms, 0);
    assert_false(s.read_only);
    assert_int_equal(s.auth, 1);
    assert_int_equal(s.listen.n_values, 0);
}

static void test_conf_a_section_may_be_continued_later(void **state)
{
    (void)state;
    assert_parses(MINIMUM "[server]\n[relay]\nworkers = 2\n");
    assert_int_equal(s.workers, 2);
}

static void test_conf_blanks_in_front_change_nothing(void **state)
{
    (void)state;
    assert_parses("  [relay]\n\t database = relay.db\n   workers = 2\n");
    assert_string_equal(s.database, "relay.db");
    assert_int_equal(s.workers, 2);
}

static void test_conf_names_file_line_section_and_key_of_a_bad_value(void **state)
{
    (void)state;
    assert_fails(MINIMUM "workers = many\n",
                 "relay.conf:3: [relay] workers: not a whole number from 1 to 64");
    assert_fails(MINIMUM "read_only = perhaps\n",
                 "relay.conf:3: [relay] read_only: neither yes nor no");
    assert_fails(MINIMUM "[server]\nauth = magic\n",
                 "relay.conf:4: [server] auth: not one of: digest, basic, none");
    assert_fails(MINIMUM "[https]\nlisten = a:1\nlisten =\n",
                 "relay.conf:5: [https] listen: may not be empty");
    assert_fails(MINIMUM "runtime_file =\n",
                 "relay.conf:3: [relay] runtime_file: may not be empty");
}

static void test_conf_refuses_unknown_sections_and_keys(void **state)
{
    (void)state;
    assert_fails(MINIMUM "worker = 1\n", "relay.conf:3: [relay] worker: unknown key");
    assert_fails(MINIMUM "[https]\nworkers = 1\n", "relay.conf:4: [https] workers: unknown key");
    assert_fails(MINIMUM "[relais]\nworkers = 1\n", "relay.conf:3: [relais]: unknown section");
    assert_fails(MINIMUM "\n  [relais] ; no keys\n", "relay.conf:4: [relais]: unknown section");
    assert_fails(MINIMUM "[]\n", "relay.conf:3: []: unknown section");
    assert_fails("workers = 1\n", "relay.conf:1: workers: key outside of a section");
    assert_fails(MINIMUM "= 1\n", "relay.conf:3: [relay] : unknown key");
}

static void test_conf_refuses_a_key_twice_unless_it_is_a_list(void **state)
{
    (void)state;
    assert_fails(MINIMUM "workers = 1\nworkers = 1\n",
                 "relay.conf:4: [relay] workers: given twice, first on line 3");
}

static void test_conf_refuses_a_missing_or_empty_required_key(void **state)
{
    (void)state;
    assert_fails("", "relay.conf: [relay] database: missing");
    assert_fails("[relay]\nworkers = 1\n", "relay.conf: [relay] database: missing");
    assert_fails("[relay]\ndatabase =\n", "relay.conf:2: [relay] database: may not be empty");
}

static void test_conf_refuses_a_line_that_is_neither_section_nor_pair(void **state)
{
    (void)state;
    assert_fails(MINIMUM "workers\n", "relay.conf:3: neither a [section] nor key = value");
    assert_fails("[relay\n", "relay.conf:1: neither a [section] nor key = value");
    /* To inih an indented line continues the value before it; to us it is a bare line. */
    assert_fails(MINIMUM "  more\n", "relay.conf:3: neither a [section] nor key = value");
}

static void test_conf_reports_the_first_of_several_errors(void **state)
{
    (void)state;
    assert_fails(MINIMUM "bare\nworkers = x\n",
                 "relay.conf:3: neither a [section] nor key = value");
    assert_fails(MINIMUM "workers = x\nbare\n",
                 "relay.conf:3: [relay] workers: not a whole number from 1 to 64");
    assert_fails(MINIMUM "bare\n[relais]\n", "relay.conf:3: neither a [section] nor key = value");
}

static void test_conf_reads_the_longest_line_and_refuses_one_byte_more(void **state)
{
    (void)state;
    char text[CONF_LINE_BYTES + 64] = MINIMUM "name = ";
    size_t start = strlen(MINIMUM);
    memset(text + strlen(text), 'a', start + CONF_LINE_BYTES - strlen(text));
    assert_parses(text);
    assert_int_equal(strlen(s.name), CONF_LINE_BYTES - strlen("name = "));
    text[start + CONF_LINE_BYTES] = '\r';
    text[start + CONF_LINE_BYTES + 1] = '\n';
    assert_parses(text);
    text[start + CONF_LINE_BYTES] = 'a';
    assert_fails(text, "relay.conf:3: line longer than 1024 bytes");
    text[start] = '#';
    assert_fails(text, "relay.conf:3: line longer than 1024 bytes");
}

static void test_conf_reads_the_most_values_of_a_list_and_refuses_one_more(void **state)
{
    (void)state;
    char text[2048] = MINIMUM "[https]\n";
    for (int i = 0; i < CONF_VALUES_MAX; i++) {
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "listen = :%d\n", i);
    }
    assert_parses(text);
    assert_int_equal(s.listen.n_values, CONF_VALUES_MAX);
    assert_string_equal(s.listen.values[CONF_VALUES_MAX - 1], ":31");
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "listen = :32\n");
    assert_fails(text, "relay.conf:36: [https] listen: given more than 32 times");
}

static void test_conf_refuses_control_characters(void **state)
{
    (void)state;
    static const char nul[] = MINIMUM "name = a\0b\n";
    assert_fails(MINIMUM "name = a\x1b[2J\n", "relay.conf:3: control character in column 9");
    assert_fails(MINIMUM "name = a\rb\n", "relay.conf:3: control character in column 9");
    assert_int_equal(conf_parse("relay.conf", nul, sizeof(nul) - 1, keys, N_KEYS, &s, &e),
                     ERROR_CONFIG);
    assert_string_equal(e.text, "relay.conf:3: control character in column 9");
}

static void test_conf_numbers_are_read_at_their_limits_and_refused_past_them(void **state)
{
    (void)state;
    assert_parses(MINIMUM "workers = 1\n");
    assert_parses(MINIMUM "workers = 64\n");
    assert_int_equal(parse(MINIMUM "workers = 0\n"), ERROR_CONFIG);
    assert_int_equal(parse(MINIMUM "workers = 65\n"), ERROR_CONFIG);
    assert_int_equal(parse(MINIMUM "workers = 4294967297\n"), ERROR_CONFIG);
    assert_int_equal(parse(MINIMUM "workers = -1\n"), ERROR_CONFIG);
    assert_int_equal(parse(MINIMUM "workers = 1 # no comment\n"), ERROR_CONFIG);
    assert_int_equal(parse(MINIMUM "workers =\n"), ERROR_CONFIG);
}

static void assert_seconds(const char *value, uint32_t ms)
{
    char text[128];
    (void)snprintf(text, sizeof(text), MINIMUM "[timeouts]\ngrace = %s\n", value);
    assert_parses(text);
    assert_int_equal(s.grace_ms, ms);
}

static void test_conf_times_are_seconds_fractions_or_have_a_unit(void **state)
{
    (void)state;
    assert_seconds("0", 0);
    assert_seconds("30", 30000);
    assert_seconds("0.5", 500);
    assert_seconds("1.25", 1250);
    assert_seconds("0.001", 1);
    assert_seconds("90s", 90000);
    assert_seconds("15m", 900000);
    assert_seconds("24h", 86400000);
    assert_seconds("7d", 604800000);
    assert_seconds("4294967.295", UINT32_MAX);
}

static void test_conf_refuses_what_is_no_time_and_times_out_of_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "soon",
                                      "1.",
                                      "0.0001",
                                      ".5",
                                      "1.5s",
                                      "-1",
                                      "1 s",
                                      "4294967.296",
                                      "4294968",
                                      "1,5",
                                      "1.2.3",
                                      "99999999999999999999",
                                      "9223372036854775807"};
    char text[128];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(text, sizeof(text), MINIMUM "[timeouts]\ngrace = %s\n", bad[i]);
        assert_int_equal(parse(text), ERROR_CONFIG);
    }
    assert_parses(MINIMUM "[timeouts]\nserver = 0.1\n");
    assert_parses(MINIMUM "[timeouts]\nserver = 1h\n");
    assert_fails(MINIMUM "[timeouts]\nserver = 0.099\n",
                 "relay.conf:4: [timeouts] server: not between 0.100 and 3600.000 seconds");
    assert_int_equal(parse(MINIMUM "[timeouts]\nserver = 3600.001\n"), ERROR_CONFIG);
}

static void test_conf_reads_yes_and_no_in_all_their_forms(void **state)
{
    (void)state;
    static const char *const yes[] = {"yes", "true", "on", "1", "Yes", "TRUE"};
    static const char *const no[] = {"no", "false", "off", "0", "No", "OFF"};
    char text[64];
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        (void)snprintf(text, sizeof(text), MINIMUM "read_only = %s\n", yes[i]);
        assert_parses(text);
        assert_true(s.read_only);
        (void)snprintf(text, sizeof(text), MINIMUM "read_only = %s\n", no[i]);
        assert_parses(text);
        assert_false(s.read_only);
    }
    assert_int_equal(parse(MINIMUM "read_only =\n"), ERROR_CONFIG);
    assert_int_equal(parse(MINIMUM "read_only = 2\n"), ERROR_CONFIG);
}

static void test_conf_free_is_idempotent(void **state)
{
    (void)state;
    assert_parses(MINIMUM "name = a\n[https]\nlisten = :1\n");
    conf_free(keys, N_KEYS, &s);
    assert_null(s.name);
    assert_null(s.database);
    assert_int_equal(s.listen.n_values, 0);
    conf_free(keys, N_KEYS, &s);
}

static void test_conf_leaves_nothing_behind_when_memory_runs_out(void **state)
{
    (void)state;
    const char *text = MINIMUM "name = a\n[https]\nlisten = :1\nlisten = :2\n";
    size_t n = 0;
    for (;; n++) {
        allocator_refuse_after(n);
        int rc = parse(text);
        if (!allocator_reset()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ERROR_NOMEM);
        assert_non_null(strstr(e.text, "no memory"));
        assert_null(s.database);
        assert_int_equal(s.listen.n_values, 0);
    }
    assert_true(n >= 6);
}

static void test_conf_errors_may_be_ignored(void **state)
{
    (void)state;
    assert_int_equal(conf_parse("x", "a", 1, keys, N_KEYS, &s, NULL), ERROR_CONFIG);
    assert_int_equal(conf_read("/nonexistent", keys, N_KEYS, &s, NULL), ERROR_IO);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_conf_reads_every_kind_of_key),
        CASE(test_conf_fills_in_the_defaults),
        CASE(test_conf_a_section_may_be_continued_later),
        CASE(test_conf_blanks_in_front_change_nothing),
        CASE(test_conf_names_file_line_section_and_key_of_a_bad_value),
        CASE(test_conf_refuses_unknown_sections_and_keys),
        CASE(test_conf_refuses_a_key_twice_unless_it_is_a_list),
        CASE(test_conf_refuses_a_missing_or_empty_required_key),
        CASE(test_conf_refuses_a_line_that_is_neither_section_nor_pair),
        CASE(test_conf_reports_the_first_of_several_errors),
        CASE(test_conf_reads_the_longest_line_and_refuses_one_byte_more),
        CASE(test_conf_reads_the_most_values_of_a_list_and_refuses_one_more),
        CASE(test_conf_refuses_control_characters),
        CASE(test_conf_numbers_are_read_at_their_limits_and_refused_past_them),
        CASE(test_conf_times_are_seconds_fractions_or_have_a_unit),
        CASE(test_conf_refuses_what_is_no_time_and_times_out_of_range),
        CASE(test_conf_reads_yes_and_no_in_all_their_forms),
        CASE(test_conf_free_is_idempotent),
        CASE(test_conf_leaves_nothing_behind_when_memory_runs_out),
        CASE(test_conf_errors_may_be_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
