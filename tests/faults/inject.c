/* SPDX-License-Identifier: Apache-2.0 */
/* A library to be preloaded (LD_PRELOAD) that makes one call into libc fail when it is told to,
 * whoever calls: our own code, libuv, OpenSSL, SQLite, libwebsockets.
 *
 * It is controlled through a file, a struct control, that the test maps too (TNX_FAULT_FILE), so
 * that a program that runs already can be hit in the middle of what it does. Without that variable,
 * and in programs that are not ours, it does nothing. Read and write fail on sockets and regular
 * files only: libuv takes the failure of its own wake-up descriptors for the end of the world. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

/* The order is the test's too (faults.py). */
enum kind { MEMORY, READ, WRITE, ACCEPT, SOCKET, CONNECT, OPEN, SYNC, EPOLL, N_KINDS };

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

static bool fails(enum kind kind)
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

static int give(int code)
{
    errno = code;
    return -1;
}

/* True if the call on `fd` is to fail; sets errno as such a descriptor would. */
static bool io_fails(enum kind kind, int fd, int of_socket, int of_file)
{
    struct stat s;
    if (control == NULL || fstat(fd, &s) != 0 || !(S_ISSOCK(s.st_mode) || S_ISREG(s.st_mode)) ||
        !fails(kind)) {
        return false;
    }
    errno = S_ISSOCK(s.st_mode) ? of_socket : of_file;
    return true;
}

/* The libc's (or a sanitizer's) function of that name. */
#define NEXT(name) ((typeof(&(name)))dlsym(RTLD_NEXT, #name))
#define KEEP(name)                                                                                 \
    static typeof(&(name)) next;                                                                   \
    if (next == NULL) {                                                                            \
        next = NEXT(name);                                                                         \
    }

/* glibc's own names of parameters are reserved ones.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
void *malloc(size_t size)
{
    KEEP(malloc)
    if (fails(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(size);
}

void *calloc(size_t n, size_t size)
{
    KEEP(calloc)
    if (fails(MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(n, size);
}

void *realloc(void *p, size_t size)
{
    KEEP(realloc)
    if (size > 0 && fails(MEMORY)) {
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

ssize_t read(int fd, void *bytes, size_t len)
{
    KEEP(read)
    return io_fails(READ, fd, ECONNRESET, EIO) ? -1 : next(fd, bytes, len);
}

ssize_t pread64(int fd, void *bytes, size_t len, off64_t at)
{
    KEEP(pread64)
    return io_fails(READ, fd, EIO, EIO) ? -1 : next(fd, bytes, len, at);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    KEEP(recv)
    return io_fails(READ, fd, ECONNRESET, EIO) ? -1 : next(fd, bytes, len, flags);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    KEEP(write)
    return io_fails(WRITE, fd, EPIPE, ENOSPC) ? -1 : next(fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    KEEP(writev)
    return io_fails(WRITE, fd, EPIPE, ENOSPC) ? -1 : next(fd, parts, n);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    KEEP(pwrite64)
    return io_fails(WRITE, fd, EIO, ENOSPC) ? -1 : next(fd, bytes, len, at);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    KEEP(send)
    return io_fails(WRITE, fd, EPIPE, ENOSPC) ? -1 : next(fd, bytes, len, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    KEEP(sendmsg)
    return io_fails(WRITE, fd, EPIPE, ENOSPC) ? -1 : next(fd, m, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    KEEP(accept4)
    return fails(ACCEPT) ? give(EMFILE) : next(fd, address, len, flags);
}

int socket(int domain, int type, int protocol)
{
    KEEP(socket)
    return fails(SOCKET) ? give(EMFILE) : next(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    KEEP(connect)
    return fails(CONNECT) ? give(ENETUNREACH) : next(fd, address, len);
}

int open(const char *path, int flags, ...)
{
    KEEP(open)
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails(OPEN) ? give(EMFILE) : next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    KEEP(open64)
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails(OPEN) ? give(EMFILE) : next(path, flags, mode);
}

int fsync(int fd)
{
    KEEP(fsync)
    return fails(SYNC) ? give(EIO) : next(fd);
}

int fdatasync(int fd)
{
    KEEP(fdatasync)
    return fails(SYNC) ? give(EIO) : next(fd);
}

struct epoll_event;
int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    KEEP(epoll_ctl)
    return fails(EPOLL) ? give(ENOSPC) : next(epoll, op, fd, event);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
