/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are wrong on purpose. */
#include "tests/simulator/broken.h"

#include <string.h>

#include "proto/base/error.h"

/* Larger than any sane limit for a head. */
#define HUGE_HEAD_BYTES 131072

/* By how much short-body is short. */
#define MISSING_BYTES 10

struct kind_name {
    const char *name;
    enum broken kind;
};

static const struct kind_name KINDS[] = {
    {"none", BROKEN_NONE},
    {"garbage", BROKEN_GARBAGE},
    {"http09", BROKEN_HTTP09},
    {"short-body", BROKEN_SHORT_BODY},
    {"two-answers", BROKEN_TWO_ANSWERS},
    {"huge-head", BROKEN_HUGE_HEAD},
    {"cr-in-value", BROKEN_CR_IN_VALUE},
    {"bad-chunk", BROKEN_BAD_CHUNK},
    {"no-length-close", BROKEN_NO_LENGTH_CLOSE},
    {"early-close-mid-body", BROKEN_EARLY_CLOSE},
    {"empty-header-name", BROKEN_EMPTY_HEADER_NAME},
    {"duplicate-length", BROKEN_DUPLICATE_LENGTH},
    {"length-and-chunked", BROKEN_LENGTH_AND_CHUNKED},
    {"1xx-first", BROKEN_1XX_FIRST},
    {"chunked", BROKEN_CHUNKED},
};

int broken_parse(const char *name, enum broken *kind)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(name, KINDS[i].name) == 0) {
            *kind = KINDS[i].kind;
            return 0;
        }
    }
    return ERROR_NOT_FOUND;
}

const char *broken_names(void)
{
    return "none, garbage, http09, short-body, two-answers, huge-head, cr-in-value, bad-chunk, "
           "no-length-close, early-close-mid-body, empty-header-name, duplicate-length, "
           "length-and-chunked, 1xx-first, chunked";
}

static struct span body_of(const struct answer *a)
{
    return (struct span){(const char *)buffer_bytes(&a->body), a->body.len};
}

static void write_length(uint64_t len, struct writer *w)
{
    writer_text(w, "Content-Length: ");
    writer_uint(w, len);
    writer_text(w, "\r\n");
}

/* An answer whose framing fields are `framing`, without its body. */
static void write_head(const struct answer *a, const char *date, const char *framing,
                       struct writer *w)
{
    answer_write_start(a, date, w);
    writer_text(w, framing);
    answer_write_end(a, w);
}

/* An answer of the announced length, with a line that does not belong there. */
static void write_with_line(const struct answer *a, const char *date, const char *line,
                            struct writer *w)
{
    answer_write_start(a, date, w);
    writer_text(w, line);
    write_length(a->body.len, w);
    answer_write_end(a, w);
    writer_span(w, body_of(a));
}

static void write_huge_head(const struct answer *a, const char *date, struct writer *w)
{
    answer_write_start(a, date, w);
    for (size_t i = 0; i < HUGE_HEAD_BYTES / 1024; i++) {
        writer_text(w, "X-Huge: ");
        writer_fill(w, 'h', 1014); /* 1024 with name and line end */
        writer_text(w, "\r\n");
    }
    write_length(a->body.len, w);
    answer_write_end(a, w);
    writer_span(w, body_of(a));
}

static void write_chunk(struct span data, const char *extension, struct writer *w)
{
    static const char DIGITS[] = "0123456789abcdef";
    char size[9] = "00000000";

    if (data.len == 0) {
        return; /* it would be the last chunk */
    }
    for (size_t i = 0; i < 8; i++) {
        size[7 - i] = DIGITS[data.len >> (4 * i) & 15];
    }
    writer_text(w, size);
    writer_text(w, extension);
    writer_text(w, "\r\n");
    writer_span(w, data);
    writer_text(w, "\r\n");
}

static void write_chunks(const struct answer *a, struct writer *w)
{
    struct span body = body_of(a);
    size_t third = body.len / 3;

    write_chunk((struct span){body.p, third}, "", w);
    write_chunk((struct span){body.p + third, third}, ";name=value", w);
    write_chunk((struct span){body.p + 2 * third, body.len - 2 * third}, "", w);
    writer_text(w, "0\r\nX-Trailer: behind the body\r\n\r\n");
}

static void write_short(const struct answer *a, const char *date, size_t missing, struct writer *w)
{
    struct span body = body_of(a);

    answer_write_start(a, date, w);
    write_length(a->body.len, w);
    answer_write_end(a, w);
    writer_span(w, (struct span){body.p, body.len > missing ? body.len - missing : 0});
}

/* The kinds that have no body for HEAD either way. */
static void write_chunked_kind(enum broken kind, const struct answer *a, const char *date,
                               struct writer *w)
{
    write_head(a, date,
               kind == BROKEN_LENGTH_AND_CHUNKED
                   ? "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"
                   : "Transfer-Encoding: chunked\r\n",
               w);
    if (kind == BROKEN_BAD_CHUNK) {
        writer_text(w, "zz\r\nnothing\r\n0\r\n\r\n");
    } else if (!a->head_only) {
        write_chunks(a, w);
    }
}

bool broken_write(enum broken kind, const struct answer *a, const char *date, struct writer *w)
{
    bool closes = a->close;

    switch (kind) {
    case BROKEN_NONE: answer_write(a, date, w); break;
    case BROKEN_GARBAGE:
        writer_text(w, "\x16\x03\x01 this is no HTTP at all\r\n\r\n");
        closes = true;
        break;
    case BROKEN_HTTP09:
        writer_span(w, body_of(a));
        closes = true;
        break;
    case BROKEN_SHORT_BODY: write_short(a, date, MISSING_BYTES, w); break;
    case BROKEN_TWO_ANSWERS:
        answer_write(a, date, w);
        answer_write(a, date, w);
        break;
    case BROKEN_HUGE_HEAD: write_huge_head(a, date, w); break;
    case BROKEN_CR_IN_VALUE:
        write_with_line(a, date, "X-Value: one\rContent-Length: 0\r\n", w);
        break;
    case BROKEN_BAD_CHUNK:
    case BROKEN_CHUNKED:
    case BROKEN_LENGTH_AND_CHUNKED: write_chunked_kind(kind, a, date, w); break;
    case BROKEN_NO_LENGTH_CLOSE:
        write_head(a, date, "", w);
        writer_span(w, body_of(a));
        closes = true;
        break;
    case BROKEN_EARLY_CLOSE:
        write_short(a, date, a->body.len / 2, w);
        closes = true;
        break;
    case BROKEN_EMPTY_HEADER_NAME: write_with_line(a, date, ": no name\r\n", w); break;
    case BROKEN_DUPLICATE_LENGTH: write_with_line(a, date, "Content-Length: 3\r\n", w); break;
    case BROKEN_1XX_FIRST:
        writer_text(w, "HTTP/1.1 102 Processing\r\n\r\n"
                       "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
        answer_write(a, date, w);
        break;
    }
    return closes;
}
