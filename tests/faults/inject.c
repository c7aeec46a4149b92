/* SPDX-License-Identifier: Apache-2.0 */
/* A library to be preloaded (LD_PRELOAD) that makes one call into libc fail when it is told to,
 * whoever calls: our own code, libuv, OpenSSL, SQLite, libwebsockets. Here is which call, and what
 * allocates; the other functions are in calls.c.
 *
 * It is controlled through a file, a struct control, that the test maps too (TNX_FAULT_FILE), so
 * that a program that runs already can be hit in the middle of what it does. Without that
 * variable, and in programs that are not ours, it does nothing. */
#include "tests/faults/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

/* The test's too; none of the programs' own. */
enum { LIBUV_GAVE_UP = 77 };

struct row {
    _Atomic int64_t countdown; /* the call that takes it from 1 to 0 fails; at 0 nothing does */
    _Atomic uint64_t n_calls;
    _Atomic uint64_t n_failed;
};

/* Where a program allocates: all return addresses from there up to main or the thread's start. */
struct site {
    _Atomic uint64_t hash; /* 0: free */
    _Atomic uint64_t n_calls;
};

enum {
    N_SITES = 1 << 16, /* a start of the relay has 2,600 */
    SITE_FRAMES = 64,  /* deeper than any, but for a recursion, which is cut there */
};

struct control {
    struct row rows[N_KINDS];
    _Atomic uint64_t counts_sites; /* true: each allocation is counted with its site */
    _Atomic uint64_t wanted_site;  /* only its allocations count down; 0: all do */
    struct site sites[N_SITES];    /* at hash % N_SITES, or the next that was free */
};

static struct control *control;
static const struct link_map *ourselves;
/* Inside what does not live without memory: what the sanitizer calls for itself when a thread
 * starts, and what is said so of below. */
static _Thread_local bool exempt;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("TNX_FAULT_FILE");
    if (path == NULL || strncmp(program_invocation_short_name, "thinknx-", 8) != 0) {
        return;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    struct dl_find_object found;
    if (memory != MAP_FAILED && _dl_find_object(&control, &found) == 0) {
        ourselves = found.dlfo_link_map;
        control = memory;
    }
}

struct walk {
    uint64_t hash;
    unsigned n_frames;
};

/* Adds a return address, as its place in its library, which is loaded elsewhere each time. Those in
 * ours do not count: they say how we came here. */
static _Unwind_Reason_Code add_frame(struct _Unwind_Context *frame, void *data)
{
    struct walk *w = data;
    uintptr_t at = _Unwind_GetIP(frame);
    struct dl_find_object object;
    if (_dl_find_object((void *)at, &object) == 0) {
        if (object.dlfo_link_map == ourselves) {
            return _URC_NO_REASON;
        }
        at -= (uintptr_t)object.dlfo_map_start;
    }
    w->hash = (w->hash ^ at) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 by the golden ratio */
    w->hash ^= w->hash >> 32;
    return ++w->n_frames < SITE_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void count_site(uint64_t hash)
{
    for (size_t i = 0; i < N_SITES; i++) {
        struct site *s = &control->sites[(hash + i) % N_SITES];
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&s->hash, &found, hash) || found == hash) {
            atomic_fetch_add(&s->n_calls, 1);
            return;
        }
    }
}

/* True if this allocation counts down. Only looks where it is made if somebody wants to know: that
 * takes longer than the allocation. */
static bool counts_down(bool armed)
{
    bool counts = atomic_load(&control->counts_sites) != 0;
    uint64_t wanted = atomic_load(&control->wanted_site);
    if (!counts && (!armed || wanted == 0)) {
        return armed;
    }
    struct walk w = {0};
    exempt = true;
    _Unwind_Backtrace(add_frame, &w);
    exempt = false;
    if (counts) {
        count_site(w.hash);
    }
    return armed && (wanted == 0 || wanted == w.hash);
}

bool inject_fails(enum kind kind)
{
    if (control == NULL || exempt) {
        return false;
    }
    struct row *r = &control->rows[kind];
    atomic_fetch_add(&r->n_calls, 1);
    bool armed = atomic_load(&r->countdown) > 0;
    if (kind == MEMORY) {
        armed = counts_down(armed);
    }
    if (!armed || atomic_fetch_sub(&r->countdown, 1) != 1) {
        return false;
    }
    atomic_fetch_add(&r->n_failed, 1);
    return true;
}

/* glibc's own names of parameters are reserved ones.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
void *malloc(size_t size)
{
    KEEP(malloc)
    if (inject_fails(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(size);
}

void *calloc(size_t n, size_t size)
{
    KEEP(calloc)
    if (inject_fails(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(n, size);
}

void *realloc(void *p, size_t size)
{
    KEEP(realloc)
    if (size > 0 && inject_fails(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(p, size);
}

char *strdup(const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = malloc(len);
    return copy == NULL ? NULL : memcpy(copy, text, len);
}

char *strndup(const char *text, size_t most)
{
    size_t len = strnlen(text, most);
    char *copy = malloc(len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    KEEP(posix_memalign)
    return inject_fails(MEMORY) ? ENOMEM : next(p, alignment, size);
}

int pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes)
{
    KEEP(pthread_getattr_np)
    exempt = true;
    int err = next(thread, attributes);
    exempt = false;
    return err;
}

/* glibc 2.36 crashes by itself when memory ends while it reads /etc/nsswitch.conf. */
struct passwd *getpwuid(uid_t uid)
{
    KEEP(getpwuid)
    exempt = true;
    struct passwd *found = next(uid);
    exempt = false;
    return found;
}

/* libuv has no other way to say that there is no room for one more descriptor to watch. That is
 * known, and told apart from our own ends. */
void abort(void)
{
    void *caller = __builtin_return_address(0);
    struct dl_find_object object;
    if (control != NULL && _dl_find_object(caller, &object) == 0 &&
        strstr(object.dlfo_link_map->l_name, "/libuv.so") != NULL) {
        _exit(LIBUV_GAVE_UP);
    }
    KEEP(abort)
    next();
    __builtin_unreachable();
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
