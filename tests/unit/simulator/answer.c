/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of tests/simulator/answer, broken, serverstatus and writer. */
#include "tests/simulator/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/simulator/broken.h"
#include "tests/simulator/serverstatus.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define HEAD                                                                                       \
    "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nServer: thinknx-simulator/" TNX_VERSION                  \
    "\r\nContent-Type: application/json\r\n"

static struct answer answer;
static struct buffer out;
static struct writer w;

static int setup(void **state)
{
    (void)state;
    answer_init(&answer);
    buffer_init(&out, ANSWER_MAX);
    writer_init(&w, &out);
    return buffer_append(&answer.body, "{\"abcdefg\":12345}", 17);
}

static int teardown(void **state)
{
    (void)state;
    answer_close(&answer);
    buffer_close(&out);
    return 0;
}

static void out_is(const char *text)
{
    assert_int_equal(writer_end(&w), 0);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(buffer_bytes(&out), text, out.len);
    buffer_clear(&out);
}

static void plain(void **state)
{
    (void)state;
    answer_write(&answer, DATE, &w);
    out_is(HEAD "Content-Length: 17\r\n\r\n{\"abcdefg\":12345}");
    answer.head_only = true;
    answer.close = true;
    answer_write(&answer, DATE, &w);
    out_is(HEAD "Content-Length: 17\r\nConnection: close\r\n\r\n");
}

static void dates(void **state)
{
    (void)state;
    char date[ANSWER_DATE_BYTES];
    answer_format_date(784111777, date);
    assert_string_equal(date, DATE);
}

static bool written(enum broken kind)
{
    return broken_write(kind, &answer, DATE, &w);
}

static void kinds(void **state)
{
    (void)state;
    assert_false(written(BROKEN_NONE));
    out_is(HEAD "Content-Length: 17\r\n\r\n{\"abcdefg\":12345}");
    assert_true(written(BROKEN_HTTP09));
    out_is("{\"abcdefg\":12345}");
    assert_false(written(BROKEN_SHORT_BODY));
    out_is(HEAD "Content-Length: 17\r\n\r\n{\"abcde");
    assert_true(written(BROKEN_EARLY_CLOSE));
    out_is(HEAD "Content-Length: 17\r\n\r\n{\"abcdefg");
    assert_true(written(BROKEN_NO_LENGTH_CLOSE));
    out_is(HEAD "\r\n{\"abcdefg\":12345}");
    assert_false(written(BROKEN_CR_IN_VALUE));
    out_is(HEAD "X-Value: one\rContent-Length: 0\r\nContent-Length: 17\r\n\r\n{\"abcdefg\":12345}");
    assert_false(written(BROKEN_DUPLICATE_LENGTH));
    out_is(HEAD "Content-Length: 3\r\nContent-Length: 17\r\n\r\n{\"abcdefg\":12345}");
    assert_false(written(BROKEN_CHUNKED));
    out_is(HEAD "Transfer-Encoding: chunked\r\n\r\n00000005\r\n{\"abc\r\n00000005;name=value\r\n"
                "defg\"\r\n00000007\r\n:12345}\r\n0\r\nX-Trailer: behind the body\r\n\r\n");
}

static void a_huge_head(void **state)
{
    (void)state;
    assert_false(written(BROKEN_HUGE_HEAD));
    assert_true(out.len > 131072 && out.len < 131072 + 512);
}

static void status_fields(void **state)
{
    (void)state;
    struct serverstatus s = {
        .version = "01.02.03.04",
        .process_uptime_s = 59,
        .server_uptime_s = 2 * 86400 + 3 * 3600 + 4 * 60 + 5,
        .config_time_wall_s = 784111777,
        .n_clients = 3,
        .pbx_users = "101,102",
    };
    serverstatus_write(&s, &w);
    out_is("{\"namespace\":\"system/serverStatus\",\"version\":\"01.02.03.04\","
           "\"process_uptime\":\"0 days 0 hours 0 min\",\"server_uptime\":\"2 days 3 hours 4 min\","
           "\"config_time\":\"08:49:37 1994-11-06\",\"connected_clients\":3,"
           "\"pbx_users\":\"101,102\"}");
}

static void status_padding(void **state)
{
    (void)state;
    struct serverstatus s = {.version = "1", .pbx_users = ""};
    serverstatus_write(&s, &w);
    size_t bare = out.len;
    for (uint32_t more = 13; more < 40; more++) {
        buffer_clear(&out);
        s.padded_to_bytes = (uint32_t)bare + more;
        serverstatus_write(&s, &w);
        assert_int_equal(out.len, bare + more);
    }
    buffer_clear(&out);
    s.padded_to_bytes = 1000000;
    serverstatus_write(&s, &w);
    assert_int_equal(out.len, 1000000);
}

static void escaping(void **state)
{
    (void)state;
    writer_json(&w, (struct span){"a\"\\\n\x7f\xff\0z", 8});
    out_is("\"a\\\"\\\\\\u000a\\u007f\\u00ff\\u0000z\"");
    writer_json(&w, (struct span){NULL, 0});
    out_is("\"\"");
    writer_uint(&w, UINT64_MAX);
    writer_uint(&w, 0);
    out_is("184467440737095516150");
}

static void the_first_failure_is_kept(void **state)
{
    (void)state;
    struct buffer small;
    struct writer tight;
    buffer_init(&small, 4);
    writer_init(&tight, &small);
    writer_text(&tight, "abc");
    writer_text(&tight, "def");
    writer_text(&tight, "g");
    assert_true(writer_end(&tight) < 0);
    assert_int_equal(small.len, 3);
    buffer_close(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain, setup, teardown),
        cmocka_unit_test_setup_teardown(dates, setup, teardown),
        cmocka_unit_test_setup_teardown(kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(a_huge_head, setup, teardown),
        cmocka_unit_test_setup_teardown(status_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(status_padding, setup, teardown),
        cmocka_unit_test_setup_teardown(escaping, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_failure_is_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
