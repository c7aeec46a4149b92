/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing times. */
#include "proto/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/error.h"
#include "proto/base/span.h"

/* Times with a four-digit year (RFC 3339 knows no others): 0000-01-01 to 9999-12-31. */
#define WALL_MIN_S (-62167219200)
#define WALL_MAX_S 253402300799

/* In "2026-01-31T23:59:59.000Z". */
#define MILLISECONDS_AT 20

uint64_t clock_now_us(void)
{
    struct timespec now = {0, 0};
    /* Cannot fail: the clock exists on every Linux, and the pointer is good. */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    return us == 0 ? 1 : us;
}

uint64_t clock_now_ms(void)
{
    return clock_now_us() / 1000;
}

int64_t clock_wall_s(void)
{
    return (int64_t)time(NULL);
}

uint64_t clock_wall_us(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &now); /* as above */
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Writes "2026-01-31T23:59:59" and then `tail`. */
static void format_utc(int64_t wall_s, const char *tail, char text[CLOCK_ISO_BYTES])
{
    struct tm utc = {0};
    time_t t = wall_s;

    if (t < WALL_MIN_S) {
        t = WALL_MIN_S;
    } else if (t > WALL_MAX_S) {
        t = WALL_MAX_S;
    }
    (void)gmtime_r(&t, &utc);
    (void)snprintf(text, CLOCK_ISO_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u%s",
                   (unsigned)(utc.tm_year + 1900) % 10000, (unsigned)(utc.tm_mon + 1) % 100,
                   (unsigned)utc.tm_mday % 100, (unsigned)utc.tm_hour % 100,
                   (unsigned)utc.tm_min % 100, (unsigned)utc.tm_sec % 100, tail);
}

/* A log line per request asks for it: what is true for a whole second is made once. */
void clock_format_us(uint64_t wall_us, char text[CLOCK_ISO_BYTES])
{
    static _Thread_local struct {
        uint64_t second;
        char text[CLOCK_ISO_BYTES]; /* with 000 for the milliseconds */
    } last;
    uint64_t second = wall_us / 1000000;

    if (second != last.second || last.text[0] == '\0') {
        format_utc((int64_t)second, ".000Z", last.text);
        last.second = second;
    }
    memcpy(text, last.text, sizeof(last.text));
    unsigned ms = (unsigned)(wall_us / 1000 % 1000);
    text[MILLISECONDS_AT] = (char)('0' + ms / 100);
    text[MILLISECONDS_AT + 1] = (char)('0' + ms / 10 % 10);
    text[MILLISECONDS_AT + 2] = (char)('0' + ms % 10);
}

void clock_format(int64_t wall_s, char text[CLOCK_ISO_BYTES])
{
    format_utc(wall_s, "Z", text);
}

int clock_parse_duration_s(const char *text, int64_t *seconds)
{
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    struct span digits = span_of(text);
    uint64_t scale = 1;
    uint64_t n = 0;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (digits.len > 0 && digits.p[digits.len - 1] == units[i].letter) {
            scale = units[i].seconds;
            digits.len--;
            break;
        }
    }
    if (span_parse_u64(digits, INT64_MAX / scale, &n) != 0) {
        return ERROR_SYNTAX;
    }
    *seconds = (int64_t)(n * scale);
    return 0;
}
