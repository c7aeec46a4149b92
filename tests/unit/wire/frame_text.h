/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from readable text; the language of tests/conformance/tunnel/README.md. */
#ifndef TESTS_UNIT_WIRE_FRAME_TEXT_H
#define TESTS_UNIT_WIRE_FRAME_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire/head.h"
#include "tests/unit/wire/event_log.h"

/* Longest word of a line, and most words. */
#define FRAME_TEXT_WORD_BYTES 1024
#define FRAME_TEXT_WORDS_MAX  48

/* A line cut into words: `name`, `"text with \x00 escapes"`, `key=value`, `key="value"`. */
struct frame_text_line {
    struct frame_text_word {
        char key[32]; /* "" for a plain word */
        uint8_t value[FRAME_TEXT_WORD_BYTES];
        size_t len;
    } words[FRAME_TEXT_WORDS_MAX];
    size_t n_words;
};

/* Fails the test if the line cannot be read. */
void frame_text_split(const char *text, struct frame_text_line *line);

/* The plain word at `i` (without counting key=value ones) as text or number; "" or 0 if absent. */
const char *frame_text_word(const struct frame_text_line *line, size_t i);
uint64_t frame_text_number(const struct frame_text_line *line, size_t i);

/* The value of `key`, or `fallback`. */
uint64_t frame_text_option(const struct frame_text_line *line, const char *key, uint64_t fallback);
struct span frame_text_span(const struct frame_text_line *line, const char *key,
                            const char *fallback);

/* The plain word at `i` as bytes; "*1000" stands for a thousand "x". Borrowed until the next call.
 */
struct span frame_text_bytes(const struct frame_text_line *line, size_t i);

/* Request and response heads from the words from `at` on. `fields` has HEAD_FIELDS_MAX. */
struct head_request frame_text_request(const struct frame_text_line *line, size_t at,
                                       struct head_field *fields);
struct head_response frame_text_response(const struct frame_text_line *line, size_t at,
                                         struct head_field *fields);

enum head_reset frame_text_reset(const char *word);
enum head_goaway frame_text_goaway(const char *word);
uint8_t frame_text_delivered(const char *word);

/* Packs the frame that the words from `at` on describe. Its length. */
size_t frame_text_pack(const struct frame_text_line *line, size_t at, uint8_t *frame, size_t cap);

#endif
