/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapped allocation functions (ld --wrap). */
#include "tests/unit/base/allocator.h"

/* The linker's --wrap option asks for these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
char *__wrap_strdup(const char *text);

static bool armed;
static bool refused;
static size_t n_left;

void allocator_refuse_after(size_t n)
{
    armed = true;
    refused = false;
    n_left = n;
}

bool allocator_reset(void)
{
    armed = false;
    return refused;
}

static bool refuse(void)
{
    if (!armed || n_left-- > 0) {
        return false;
    }
    armed = false;
    refused = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuse() ? NULL : __real_calloc(n, size);
}

char *__wrap_strdup(const char *text)
{
    return refuse() ? NULL : __real_strdup(text);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
