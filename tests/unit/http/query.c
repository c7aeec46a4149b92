/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto/http/query. */
#include "proto/http/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"

static void assert_span(struct span s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.p, text, s.len);
}

static void parameters_as_they_stand(void **state)
{
    (void)state;
    struct span rest = span_of("&guid=a%20b&&cmd=&fb&=x&k=v=w&");
    struct query_param p;
    assert_true(query_next(&rest, &p));
    assert_span(p.name, "guid");
    assert_span(p.value, "a%20b");
    assert_true(p.has_value);
    assert_true(query_next(&rest, &p));
    assert_span(p.name, "cmd");
    assert_int_equal(p.value.len, 0);
    assert_true(p.has_value);
    assert_true(query_next(&rest, &p));
    assert_span(p.name, "fb");
    assert_false(p.has_value);
    assert_true(query_next(&rest, &p));
    assert_int_equal(p.name.len, 0);
    assert_span(p.value, "x");
    assert_true(query_next(&rest, &p));
    assert_span(p.name, "k");
    assert_span(p.value, "v=w");
    assert_false(query_next(&rest, &p));
    assert_false(query_next(&rest, &p));
    assert_span(p.name, "k");
}

static void empty_queries(void **state)
{
    (void)state;
    struct query_param p;
    struct span nothing = {NULL, 0};
    struct span ampersands = span_of("&&&");
    assert_false(query_next(&nothing, &p));
    assert_false(query_next(&ampersands, &p));
    assert_false(query_has(span_of(""), span_of("fb")));
}

static void names_are_compared_decoded(void **state)
{
    (void)state;
    struct span fb = span_of("fb");
    assert_true(query_has(span_of("guid=1&&cmd=50&fb"), fb));
    assert_true(query_has(span_of("fb=1"), fb));
    assert_true(query_has(span_of("%66%62"), fb));
    assert_false(query_has(span_of("FB"), fb));
    assert_false(query_has(span_of("fbx&xfb&f&guid=fb"), fb));
    assert_false(query_has(span_of("fb%&fb%2&fb%zz&%"), fb));
    assert_true(query_has(span_of("a+b=1"), span_of("a b")));
}

static void first_of_several_is_found(void **state)
{
    (void)state;
    struct query_param p;
    assert_true(query_find(span_of("a=1&b=2&b=3"), span_of("b"), &p));
    assert_span(p.value, "2");
    assert_false(query_find(span_of("a=1"), span_of("b"), &p));
    assert_span(p.value, "2");
}

static void decoding(void **state)
{
    (void)state;
    char text[8];
    assert_int_equal(query_decode(span_of("a%2Bb+c"), text, sizeof(text)), 0);
    assert_string_equal(text, "a+b c");
    assert_int_equal(query_decode(span_of(""), text, sizeof(text)), 0);
    assert_string_equal(text, "");
    assert_int_equal(query_decode(span_of("1234567"), text, sizeof(text)), 0);
    assert_int_equal(query_decode(span_of("12345678"), text, sizeof(text)), ERROR_LIMIT);
    assert_int_equal(query_decode(span_of(""), text, 0), ERROR_LIMIT);
    const char *const bad[] = {"%", "%1", "a%", "%g0", "%0g", "%00", "% 1", "%%"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(query_decode(span_of(bad[i]), text, sizeof(text)), ERROR_SYNTAX);
    }
    assert_int_equal(query_decode((struct span){"a\0", 2}, text, sizeof(text)), ERROR_SYNTAX);
}

static void encoding(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(query_encode(span_of("a-Z_0.~ &=\xff"), text, sizeof(text)), ERROR_LIMIT);
    assert_int_equal(query_encode(span_of("a-~ &\xff"), text, sizeof(text)), 0);
    assert_string_equal(text, "a-~%20%26%FF");
    assert_int_equal(query_encode(span_of("abc"), text, 4), 0);
    assert_int_equal(query_encode(span_of("abc"), text, 3), ERROR_LIMIT);
    assert_int_equal(query_encode(span_of("&"), text, 4), 0);
    assert_int_equal(query_encode(span_of("&"), text, 3), ERROR_LIMIT);
    assert_int_equal(query_encode(span_of(""), text, 0), ERROR_LIMIT);
}

static void what_is_encoded_decodes_to_itself(void **state)
{
    (void)state;
    char raw[256];
    char encoded[3 * 255 + 1];
    char decoded[256];
    for (int i = 0; i < 255; i++) {
        raw[i] = (char)(unsigned char)(i + 1);
    }
    raw[255] = '\0';
    assert_int_equal(query_encode(span_of(raw), encoded, sizeof(encoded)), 0);
    assert_int_equal(query_decode(span_of(encoded), decoded, sizeof(decoded)), 0);
    assert_string_equal(decoded, raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_as_they_stand),
        cmocka_unit_test(empty_queries),
        cmocka_unit_test(names_are_compared_decoded),
        cmocka_unit_test(first_of_several_is_found),
        cmocka_unit_test(decoding),
        cmocka_unit_test(encoding),
        cmocka_unit_test(what_is_encoded_decodes_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
