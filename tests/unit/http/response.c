/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto/http/response. Each case is an answer and the log of what the parser tells;
 * each answer is fed in one piece, cut in two at every place, and byte by byte. */
#include "proto/http/response.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buffer.h"
#include "proto/base/error.h"

#define LOG_BYTES_MAX (256 * 1024)

struct fixture {
    struct response r;
    struct buffer log;
    bool in_data; /* pieces of a body are one entry */
    bool to_head;
};

static void note(struct fixture *f, const char *text, size_t len)
{
    assert_int_equal(buffer_append(&f->log, text, len), 0);
}

static void note_text(struct fixture *f, const char *text)
{
    note(f, text, strlen(text));
}

static void note_head(struct fixture *f)
{
    char line[96];
    (void)snprintf(line, sizeof(line), "%d 1.%d len=%lld", f->r.status, f->r.minor,
                   (long long)f->r.body_bytes);
    note_text(f, line);
    note_text(f, f->r.keep_alive ? " keep" : " close");
    if (f->r.keep_alive_s != RESPONSE_KEEP_ALIVE_UNSAID) {
        (void)snprintf(line, sizeof(line), " idle=%u", f->r.keep_alive_s);
        note_text(f, line);
    }
    for (size_t i = 0; i < f->r.n_fields; i++) {
        note_text(f, " [");
        note(f, f->r.fields[i].name.p, f->r.fields[i].name.len);
        note_text(f, "=");
        note(f, f->r.fields[i].value.p, f->r.fields[i].value.len);
        note_text(f, "]");
    }
}

/* Feeds until END or a failure. False when nothing more can be fed. */
static bool feed(struct fixture *f, const char *bytes, size_t len)
{
    /* A copy of exact size: reading past it is found by the sanitizer, and so is a span that is
     * used after its input went away. */
    char *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    struct span input = {copy, len};
    enum response_event event = RESPONSE_EVENT_NONE;
    int rc = 0;
    do {
        rc = response_next(&f->r, &input, &event);
        if (rc < 0) {
            note_text(f, " !");
            note_text(f, f->r.why);
            break;
        }
        if (event == RESPONSE_EVENT_HEAD) {
            note_head(f);
        } else if (event == RESPONSE_EVENT_DATA) {
            assert_true(f->r.data.len > 0);
            note_text(f, f->in_data ? "" : " <");
            note(f, f->r.data.p, f->r.data.len);
            f->in_data = true;
        } else if (event == RESPONSE_EVENT_END) {
            char rest[32];
            (void)snprintf(rest, sizeof(rest), "%s end+%zu", f->in_data ? ">" : "", input.len);
            note_text(f, rest);
        } else {
            assert_int_equal(input.len, 0);
        }
    } while (event == RESPONSE_EVENT_HEAD || event == RESPONSE_EVENT_DATA);
    free(copy);
    return rc == 0 && event == RESPONSE_EVENT_NONE;
}

static void start(struct fixture *f)
{
    buffer_clear(&f->log);
    f->in_data = false;
    response_begin(&f->r, f->to_head);
}

static void finish(struct fixture *f)
{
    if (f->r.state == RESPONSE_COMPLETE || f->r.state == RESPONSE_FAILED) {
        return;
    }
    int rc = response_finish(&f->r);
    note_text(f, f->in_data ? ">" : "");
    note_text(f, rc == 0 ? " eof-end" : " !cut off");
    assert_true(rc == 0 || rc == ERROR_CLOSED);
}

/* The count behind "end+" depends on where the answer was cut. An expected refusal without a
 * phrase (" !") may be llhttp's, whose phrases change, or ours. */
static void expect_log(struct fixture *f, const char *expected, bool whole)
{
    assert_int_equal(buffer_append(&f->log, "", 1), 0);
    char *got = (char *)f->log.data + f->log.start;
    if (strcmp(expected, " !") == 0 && strncmp(got, expected, 2) == 0) {
        return;
    }
    char *rest = strstr(got, "end+");
    size_t len = rest == NULL || whole ? strlen(got) : (size_t)(rest - got);
    if (strncmp(got, expected, len) != 0 || (whole && strlen(expected) != len)) {
        fail_msg("got      \"%s\"\nexpected \"%s\"", got, expected);
    }
}

static void run_case(bool to_head, const char *bytes, size_t len, const char *expected)
{
    struct fixture f = {.to_head = to_head};
    response_init(&f.r);
    buffer_init(&f.log, LOG_BYTES_MAX);
    start(&f);
    feed(&f, bytes, len);
    finish(&f);
    expect_log(&f, expected, true);
    for (size_t cut = 1; cut < len; cut++) {
        start(&f);
        if (feed(&f, bytes, cut)) {
            feed(&f, bytes + cut, len - cut);
        }
        finish(&f);
        expect_log(&f, expected, false);
    }
    start(&f);
    for (size_t i = 0; i < len && feed(&f, bytes + i, 1); i++) {
    }
    finish(&f);
    expect_log(&f, expected, false);
    buffer_close(&f.log);
    response_close(&f.r);
    response_close(&f.r);
}

#define CASE(bytes, expected)      run_case(false, "" bytes, sizeof(bytes) - 1, expected)
#define REFUSED                    " !"
#define HEAD_CASE(bytes, expected) run_case(true, "" bytes, sizeof(bytes) - 1, expected)

static void sized_bodies(void **state)
{
    (void)state;
    CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
         "200 1.1 len=5 keep [Content-Length=5] [A=b] <hello> end+0");
    CASE("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
         "404 1.1 len=0 keep [Content-Length=0] end+0");
    CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
         "200 1.1 len=5 keep [Content-Length=5] <hell> !cut off");
    CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
         "200 1.1 len=5 keep [Content-Length=5] !cut off");
    CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", " !cut off");
    CASE("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx",
         "200 1.1 len=9223372036854775807 keep [Content-Length=9223372036854775807] <x> !cut off");
}

static void status_lines(void **state)
{
    (void)state;
    CASE("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
         "200 1.1 len=0 keep [Content-Length=0] end+0");
    CASE("HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n",
         "599 1.1 len=0 keep [Content-Length=0] end+0");
    CASE("HTTP/1.1 200 caf\xe9 \t!\r\nContent-Length: 0\r\n\r\n",
         "200 1.1 len=0 keep [Content-Length=0] end+0");
}

static void malformed_status_lines(void **state)
{
    (void)state;
    const char *wrong = " !malformed status line";
    CASE("<html>", wrong);
    CASE("\r\nHTTP/1.1 200 OK\r\n\r\n", wrong);
    CASE(" HTTP/1.1 200 OK\r\n\r\n", wrong);
    CASE("http/1.1 200 OK\r\n\r\n", wrong);
    CASE("HTTP/0.9 200 OK\r\n\r\n", wrong);
    CASE("HTTP/2.0 200 OK\r\n\r\n", wrong);
    CASE("HTTP/1.2 200 OK\r\n\r\n", wrong);
    CASE("HTTP/1.10 200 OK\r\n\r\n", wrong);
    CASE("HTTP/1.1  200 OK\r\n\r\n", wrong);
    CASE("HTTP/1.1\t200 OK\r\n\r\n", wrong);
    CASE("HTTP/1.1 2000 OK\r\n\r\n", wrong);
    CASE("HTTP/1.1 20 OK\r\n\r\n", wrong);
    CASE("HTTP/1.1 20x OK\r\n\r\n", wrong);
    CASE("HTTP/1.1 200OK\r\n\r\n", wrong);
    CASE("ICY 200 OK\r\n\r\n", wrong);
    CASE("HTTP/1.1 200 OK\n\n", " !CR or LF alone");
    CASE("HTTP/1.1 099 OK\r\n\r\n", " !status that cannot be passed on");
    CASE("HTTP/1.1 600 OK\r\n\r\n", " !status that cannot be passed on");
    CASE("HTTP/1.1 000 OK\r\n\r\n", " !status that cannot be passed on");
}

static void malformed_fields(void **state)
{
    (void)state;
    CASE("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", " !folded header field");
    CASE("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", " !folded header field");
    CASE("HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n", " !folded header field");
    CASE("HTTP/1.1 200 OK\r\n: b\r\n\r\n", " !empty field name");
    CASE("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", " !CR or LF alone");
    CASE("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", " !CR or LF alone");
    CASE("HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", " !CR or LF alone");
    CASE("HTTP/1.1 200 OK\r\nA: b\r\n\n", " !CR or LF alone");
    CASE("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", " !control character in the head");
    CASE("HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n", " !control character in the head");
    CASE("HTTP/1.1 200 OK\r\nA: b\x7f\r\n\r\n", " !control character in the head");
    CASE("HTTP/1.1 200 O\0K\r\n\r\n", " !control character in the head");
    CASE("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", REFUSED);
    CASE("HTTP/1.1 200 OK\r\nA b\r\n\r\n", REFUSED);
    CASE("HTTP/1.1 200 OK\r\nA\r\n\r\n", REFUSED);
    CASE("HTTP/1.1 200 OK\r\nA(: b\r\n\r\n", REFUSED);
    CASE("HTTP/1.1 200 OK\r\nA\xe9: b\r\n\r\n", REFUSED);
}

static void field_values_as_they_came(void **state)
{
    (void)state;
    CASE("HTTP/1.1 204 x\r\nA:\r\nB:  \t \r\nC:c \t\r\nD: a  b\tc:d\r\nE: caf\xe9\r\na: 2\r\n\r\n",
         "204 1.1 len=0 keep [A=] [B=] [C=c] [D=a  b\tc:d] [E=caf\xe9] [a=2] end+0");
    CASE("HTTP/1.1 204 x\r\nConnection:\r\nContent-Type:\r\nConnection: ,\r\nKeep-Alive:\r\n\r\n",
         "204 1.1 len=0 keep [Connection=] [Content-Type=] [Connection=,] [Keep-Alive=] end+0");
    CASE("HTTP/1.1 204 x\r\nTransfer-Encodings: x\r\nContent-Lengths: y\r\nUpgrade: h2c\r\n"
         "Connection: upgrade\r\n\r\n",
         "204 1.1 len=0 keep [Transfer-Encodings=x] [Content-Lengths=y] [Upgrade=h2c] "
         "[Connection=upgrade] end+0");
}

static void bodies_that_must_not_be(void **state)
{
    (void)state;
    HEAD_CASE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
              "200 1.1 len=5 keep [Content-Length=5] end+0");
    HEAD_CASE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
              "200 1.1 len=-1 keep [Transfer-Encoding=chunked] end+0");
    HEAD_CASE("HTTP/1.1 200 OK\r\n\r\n", "200 1.1 len=-1 keep end+0");
    CASE("HTTP/1.1 204 No\r\n\r\n", "204 1.1 len=0 keep end+0");
    CASE("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n",
         "204 1.1 len=0 keep [Content-Length=7] end+0");
    CASE("HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n",
         "304 1.1 len=7 keep [Content-Length=7] end+0");
    CASE("HTTP/1.1 304 No\r\n\r\n", "304 1.1 len=-1 keep end+0");
}

static void body_until_close(void **state)
{
    (void)state;
    CASE("HTTP/1.1 200 OK\r\n\r\nhello\r\n\r\n", "200 1.1 len=-1 close <hello\r\n\r\n> eof-end");
    CASE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
         "200 1.0 len=-1 close [Connection=keep-alive] eof-end");
}

static void chunked_bodies(void **state)
{
    (void)state;
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define TOLD    "200 1.1 len=-1 keep [Transfer-Encoding=chunked]"
    CASE(CHUNKED "5\r\nhello\r\n0\r\n\r\n", TOLD " <hello> end+0");
    CASE(CHUNKED "5;a=b;c=\"d\"\r\nhello\r\n6\r\n world\r\n000\r\n\r\n",
         TOLD " <hello world> end+0");
    CASE(CHUNKED "A\r\n0123456789\r\n0\r\nX: y\r\nZ: w\r\n\r\n", TOLD " <0123456789> end+0");
    CASE(CHUNKED "0\r\n\r\n", TOLD " end+0");
    CASE(CHUNKED "5\r\nhello\r\n", TOLD " <hello> !cut off");
    CASE(CHUNKED "5\r\nhello\r\n0\r\n", TOLD " <hello> !cut off");
    CASE(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n", TOLD " <hello !malformed chunk");
    CASE(CHUNKED "5\nhello", TOLD " !malformed chunk");
    CASE(CHUNKED "5 \r\nhello", TOLD " !malformed chunk");
    CASE(CHUNKED "-5\r\nhello", TOLD " !malformed chunk");
    CASE(CHUNKED "0x5\r\nhello", TOLD " !malformed chunk");
    CASE(CHUNKED "\r\n", TOLD " !malformed chunk");
    CASE(CHUNKED "5;a=\nb\r\nhello", TOLD " !malformed chunk");
    CASE(CHUNKED "100000000\r\n", TOLD " !malformed chunk");
    CASE(CHUNKED "0\r\n x\r\n\r\n", TOLD " !malformed chunk");
}

static void framing_in_doubt(void **state)
{
    (void)state;
#define OK "HTTP/1.1 200 OK\r\n"
    const char *wrong = " !Transfer-Encoding that is not exactly one chunked";
    CASE(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 5, 5\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: +5\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: -5\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 0x5\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 5 5\r\n\r\n", REFUSED);
    CASE(OK "Content-Length:\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 9223372036854775808\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 99999999999999999999\r\n\r\n", REFUSED);
    CASE(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", REFUSED);
    CASE(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", REFUSED);
    CASE(OK "Transfer-Encoding: gzip, chunked\r\n\r\n", wrong);
    CASE(OK "Transfer-Encoding: gzip\r\n\r\n", wrong);
    CASE(OK "Transfer-Encoding: chunked, chunked\r\n\r\n", wrong);
    CASE(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", wrong);
    CASE(OK "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", wrong);
    CASE(OK "Transfer-Encoding:\r\n\r\n", wrong);
    CASE(OK "Transfer-Encoding: xchunked\r\n\r\n", wrong);
    CASE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", wrong);
    HEAD_CASE(OK "Transfer-Encoding: gzip\r\n\r\n", wrong);
    CASE("HTTP/1.1 204 No\r\nContent-Length: x\r\n\r\n", REFUSED);
    CASE("HTTP/1.1 304 No\r\nTransfer-Encoding: x\r\n\r\n", wrong);
}

static void keep_alive_decision(void **state)
{
    (void)state;
#define NO "HTTP/1.1 204 No\r\n"
    CASE(NO "Connection: close\r\n\r\n", "204 1.1 len=0 close [Connection=close] end+0");
    CASE(NO "Connection: x, CLOSE\r\n\r\n", "204 1.1 len=0 close [Connection=x, CLOSE] end+0");
    CASE(NO "Connection: keep-alive\r\nConnection: close\r\n\r\n",
         "204 1.1 len=0 close [Connection=keep-alive] [Connection=close] end+0");
    CASE(NO "Connection: closed\r\n\r\n", "204 1.1 len=0 keep [Connection=closed] end+0");
    CASE("HTTP/1.0 204 No\r\n\r\n", "204 1.0 len=0 close end+0");
    CASE("HTTP/1.0 204 No\r\nConnection: Keep-Alive\r\n\r\n",
         "204 1.0 len=0 keep [Connection=Keep-Alive] end+0");
    CASE(NO "Keep-Alive: timeout=5, max=100\r\n\r\n",
         "204 1.1 len=0 keep idle=5 [Keep-Alive=timeout=5, max=100] end+0");
    CASE(NO "Keep-Alive: max=3,Timeout = 0\r\n\r\n",
         "204 1.1 len=0 keep idle=0 [Keep-Alive=max=3,Timeout = 0] end+0");
    CASE(NO "Keep-Alive: timeout=x,timeout,timeout=\r\n\r\n",
         "204 1.1 len=0 keep [Keep-Alive=timeout=x,timeout,timeout=] end+0");
}

static void interim_answers(void **state)
{
    (void)state;
    CASE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n"
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
         "200 1.1 len=2 keep [Content-Length=2] <ok> end+0");
    CASE("HTTP/1.1 100 Continue\r\n\r\n", " !cut off");
    CASE("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
         " !status that cannot be passed on");
    CASE("HTTP/1.1 100 Continue\r\n\r\n\r\n", " !malformed status line");
}

static void interim_answers_are_counted(void **state)
{
    (void)state;
#define INTERIM "HTTP/1.1 102 x\r\n\r\n"
#define FOUR    INTERIM INTERIM INTERIM INTERIM
    CASE(FOUR FOUR "HTTP/1.1 204 x\r\n\r\n", "204 1.1 len=0 keep end+0");
    CASE(FOUR FOUR INTERIM "HTTP/1.1 204 x\r\n\r\n", " !too many interim answers");
    assert_int_equal(RESPONSE_INTERIM_MAX, 8);
}

static void bytes_behind_the_end_are_left(void **state)
{
    (void)state;
    CASE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
         "200 1.1 len=2 keep [Content-Length=2] <ok> end+19");
    CASE("HTTP/1.1 204 No\r\n\r\nX", "204 1.1 len=0 keep end+1");
    CASE(CHUNKED "0\r\n\r\n\r\n", TOLD " end+2");
    HEAD_CASE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
              "200 1.1 len=2 keep [Content-Length=2] end+2");
}

static void one_parser_serves_many_answers(void **state)
{
    (void)state;
    struct fixture f = {.to_head = false};
    response_init(&f.r);
    buffer_init(&f.log, LOG_BYTES_MAX);
    for (int i = 0; i < 3; i++) {
        start(&f);
        feed(&f, "garbage", 7);
        start(&f);
        feed(&f, OK "Content-Length: 2\r\n\r\nok", strlen(OK) + 23);
        assert_int_equal(response_finish(&f.r), 0);
        expect_log(&f, "200 1.1 len=2 keep [Content-Length=2] <ok> end+0", true);
    }
    buffer_close(&f.log);
    response_close(&f.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sized_bodies),
        cmocka_unit_test(status_lines),
        cmocka_unit_test(malformed_status_lines),
        cmocka_unit_test(malformed_fields),
        cmocka_unit_test(field_values_as_they_came),
        cmocka_unit_test(bodies_that_must_not_be),
        cmocka_unit_test(body_until_close),
        cmocka_unit_test(chunked_bodies),
        cmocka_unit_test(framing_in_doubt),
        cmocka_unit_test(keep_alive_decision),
        cmocka_unit_test(interim_answers),
        cmocka_unit_test(interim_answers_are_counted),
        cmocka_unit_test(bytes_behind_the_end_are_left),
        cmocka_unit_test(one_parser_serves_many_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
