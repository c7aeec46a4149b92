/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/options. */
#include "tests/simulator/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(struct options *o, struct error_text *e, const char *a, const char *b,
                 const char *c, const char *d)
{
    const char *const given[] = {"thinknx-simulator", a, b, c, d, NULL};
    char texts[6][128];
    char *argv[6];
    int argc = 0;
    for (; argc < 5 && given[argc] != NULL; argc++) {
        assert_int_equal(span_copy(span_of(given[argc]), texts[argc], sizeof texts[argc]), 0);
        argv[argc] = texts[argc];
    }
    argv[argc] = NULL;
    return options_parse(argc, argv, o, e);
}

static void defaults(void **state)
{
    (void)state;
    struct options o;
    struct error_text e = {""};
    assert_int_equal(parse(&o, &e, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(o.action, OPTIONS_RUN);
    assert_string_equal(o.host, "127.0.0.1");
    assert_int_equal(o.port, 5051);
    assert_int_equal(o.auth, AUTH_NONE);
    assert_true(o.offers[DIGEST_MD5] && o.offers[DIGEST_SHA256]);
    assert_int_equal(o.switches.feedback_delay_ms, 50);
}

static void values(void **state)
{
    (void)state;
    struct options o;
    struct error_text e = {""};
    assert_int_equal(parse(&o, &e, "--listen", "[::1]:0", "--digest-algorithm=MD5", "--stall"), 0);
    assert_string_equal(o.host, "::1");
    assert_int_equal(o.port, 0);
    assert_true(o.offers[DIGEST_MD5] && !o.offers[DIGEST_SHA256]);
    assert_true(o.switches.stall);
    assert_int_equal(parse(&o, &e, "--user=u", "--password-file=f", NULL, NULL), 0);
    assert_int_equal(o.auth, AUTH_ANY);
    assert_int_equal(parse(&o, &e, "--user=u", "--password-file=f", "--auth", "digest"), 0);
    assert_int_equal(o.auth, AUTH_DIGEST);
    assert_int_equal(parse(&o, &e, "--log-level", "debug", "--nonce-lifetime-s", "5"), 0);
    assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(o.nonce_lifetime_s, 5);
    assert_int_equal(parse(&o, &e, "--help", NULL, NULL, NULL), 0);
    assert_int_equal(o.action, OPTIONS_HELP);
}

static void errors_name_what_is_wrong(void **state)
{
    (void)state;
    static const char *const WRONG[][2] = {
        {"--listen=nowhere", "nowhere"},  {"--nonsense", "--nonsense"},
        {"--listen", "--listen"},         {"extra", "extra"},
        {"--auth=ntlm", "ntlm"},          {"--auth=basic", "--user"},
        {"--keepalive-s=x", "keepalive"}, {"--max-connections=70000", "max-connections"},
        {"--log-level=loud", "loud"},     {"--nonce-count=down", "down"},
        {"--user=u", "--password-file"},  {"--broken-answer=rubbish", "rubbish"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct options o;
        struct error_text e = {""};
        assert_int_equal(parse(&o, &e, WRONG[i][0], NULL, NULL, NULL), ERROR_CONFIG);
        if (strstr(e.text, WRONG[i][1]) == NULL) {
            fail_msg("%s: %s", WRONG[i][0], e.text);
        }
    }
}

static void help_names_every_switch(void **state)
{
    (void)state;
    for (size_t i = 0; i < switches_count(); i++) {
        assert_non_null(strstr(options_usage(), switches_name(i)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(errors_name_what_is_wrong),
        cmocka_unit_test(help_names_every_switch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
