/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of proto/base/text.h: each byte at each place of texts that are shorter and longer than the
 * words they are looked at in. */
#include "proto/base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define LEN_MAX 26

static bool is_text(unsigned byte)
{
    return byte >= 0x20 && byte != 0x7f;
}

static bool is_visible(unsigned byte)
{
    return byte >= 0x21 && byte <= 0x7e;
}

/* Calls `check` with every byte at every place of a text of every length, `around` elsewhere. */
static void for_every_byte_and_place(char around, void (*check)(struct span s, size_t at))
{
    char text[LEN_MAX];
    for (size_t len = 1; len <= LEN_MAX; len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(text, around, sizeof(text));
                text[at] = (char)byte;
                check((struct span){text, len}, at);
            }
        }
    }
}

static void check_run(struct span s, size_t at)
{
    size_t expected = is_text((unsigned char)s.p[at]) ? s.len : at;
    assert_int_equal(text_run(s), expected);
}

static void test_text_run_ends_at_the_first_control_or_del_wherever_it_is(void **state)
{
    (void)state;
    for_every_byte_and_place('a', check_run);
    for_every_byte_and_place(' ', check_run);
    for_every_byte_and_place('\xff', check_run);
}

static void test_text_run_ends_at_the_first_of_several(void **state)
{
    (void)state;
    char text[] = "abcdefgh";
    for (size_t first = 0; first < 8; first++) {
        for (size_t second = first + 1; second < 8; second++) {
            memcpy(text, "abcdefgh", 8);
            text[first] = '\x7f';
            text[second] = '\n';
            assert_int_equal(text_run((struct span){text, 8}), first);
            text[first] = '\0';
            text[second] = '\x7f';
            assert_int_equal(text_run((struct span){text, 8}), first);
        }
    }
}

static void check_visible(struct span s, size_t at)
{
    assert_int_equal(text_is_visible(s), is_visible((unsigned char)s.p[at]));
}

static void test_text_is_visible_looks_at_every_character(void **state)
{
    (void)state;
    for_every_byte_and_place('!', check_visible);
    for_every_byte_and_place('~', check_visible);
}

static void check_plain(struct span s, size_t at)
{
    unsigned char byte = (unsigned char)s.p[at];
    bool is_special = byte == '"' || byte == '=' || byte == '\\';
    assert_int_equal(text_is_plain(s), is_visible(byte) && !is_special);
}

static void test_text_is_plain_looks_at_every_character(void **state)
{
    (void)state;
    for_every_byte_and_place('!', check_plain);
    for_every_byte_and_place('~', check_plain);
}

static bool is_name(unsigned byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-';
}

static void check_name(struct span s, size_t at)
{
    assert_int_equal(text_is_name(s), is_name((unsigned char)s.p[at]));
}

static void test_text_is_name_looks_at_every_character(void **state)
{
    (void)state;
    for_every_byte_and_place('-', check_name);
    for_every_byte_and_place('z', check_name);
}

static void check_path(struct span s, size_t at)
{
    unsigned char byte = (unsigned char)s.p[at];
    assert_int_equal(text_is_path(s), is_name(byte) || byte == '/' || byte == '_');
}

static void test_text_is_path_looks_at_every_character(void **state)
{
    (void)state;
    for_every_byte_and_place('/', check_path);
    for_every_byte_and_place('Z', check_path);
}

static void test_text_that_is_empty_is_visible_and_has_no_run(void **state)
{
    (void)state;
    assert_true(text_is_visible(span_of(NULL)));
    assert_true(text_is_plain(span_of(NULL)));
    assert_true(text_is_name(span_of(NULL)));
    assert_true(text_is_path(span_of(NULL)));
    assert_int_equal(text_run(span_of(NULL)), 0);
}

static void test_text_loses_only_a_character_that_is_cut_off_at_its_end(void **state)
{
    (void)state;
    static const char *const CHARACTERS[] = {"a", "\u00e9", "\u20ac", "\U0001f600"};
    for (size_t i = 0; i < sizeof(CHARACTERS) / sizeof(CHARACTERS[0]); i++) {
        char text[16];
        size_t whole = strlen(CHARACTERS[i]);
        for (size_t before = 0; before <= 4; before += 4) { /* nothing, or two characters */
            memcpy(text, "\u00e9\u00e9", before);
            memcpy(text + before, CHARACTERS[i], whole);
            for (size_t kept = 0; kept < whole; kept++) {
                assert_int_equal(text_whole_characters((struct span){text, before + kept}), before);
            }
            assert_int_equal(text_whole_characters((struct span){text, before + whole}),
                             before + whole);
        }
    }
}

static void test_text_that_is_no_utf_8_keeps_its_end(void **state)
{
    (void)state;
    assert_int_equal(text_whole_characters((struct span){NULL, 0}), 0);
    assert_int_equal(text_whole_characters((struct span){"\x80\x80", 2}), 2);
    assert_int_equal(text_whole_characters((struct span){"a\x80\x80\x80\x80", 5}), 5);
    assert_int_equal(text_whole_characters((struct span){"\xc3\xa9\xa9", 3}), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_run_ends_at_the_first_control_or_del_wherever_it_is),
        cmocka_unit_test(test_text_run_ends_at_the_first_of_several),
        cmocka_unit_test(test_text_is_visible_looks_at_every_character),
        cmocka_unit_test(test_text_is_name_looks_at_every_character),
        cmocka_unit_test(test_text_is_path_looks_at_every_character),
        cmocka_unit_test(test_text_is_plain_looks_at_every_character),
        cmocka_unit_test(test_text_that_is_empty_is_visible_and_has_no_run),
        cmocka_unit_test(test_text_loses_only_a_character_that_is_cut_off_at_its_end),
        cmocka_unit_test(test_text_that_is_no_utf_8_keeps_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
