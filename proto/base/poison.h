/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is kept for its next use is nobody's until then: where the program is built with
 * AddressSanitizer, who touches it ends it, as if it had been freed. Nothing otherwise. */
#ifndef PROTO_BASE_POISON_H
#define PROTO_BASE_POISON_H

#include <stddef.h>

#ifdef __has_feature
#define POISON_CLANG __has_feature(address_sanitizer)
#else
#define POISON_CLANG 0
#endif

#if defined(__SANITIZE_ADDRESS__) || POISON_CLANG
#include <sanitizer/asan_interface.h>

static inline void poison(const void *p, size_t bytes)
{
    __asan_poison_memory_region(p, bytes);
}

static inline void unpoison(const void *p, size_t bytes)
{
    __asan_unpoison_memory_region(p, bytes);
}
#else
static inline void poison(const void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}

static inline void unpoison(const void *p, size_t bytes)
{
    (void)p;
    (void)bytes;
}
#endif

#endif
