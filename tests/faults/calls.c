/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of libc, other than those that allocate, that can be made to fail: they do what
 * libc's do, but for the call that inject_fails() chooses. Read and write fail on sockets and
 * regular files only: libuv takes the failure of its own wake-up descriptors for the end of the
 * world. */
#include "tests/faults/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int give(int code)
{
    errno = code;
    return -1;
}

/* True if the call on `fd` is to fail; sets errno as such a descriptor would. */
static bool io_fails(enum kind kind, int fd, int of_socket, int of_file)
{
    struct stat s;
    if (fstat(fd, &s) != 0 || !(S_ISSOCK(s.st_mode) || S_ISREG(s.st_mode)) || !inject_fails(kind)) {
        return false;
    }
    errno = S_ISSOCK(s.st_mode) ? of_socket : of_file;
    return true;
}

/* glibc's own names of parameters are reserved ones.
 * NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
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
    return inject_fails(ACCEPT) ? give(EMFILE) : next(fd, address, len, flags);
}

int socket(int domain, int type, int protocol)
{
    KEEP(socket)
    return inject_fails(SOCKET) ? give(EMFILE) : next(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    KEEP(connect)
    return inject_fails(CONNECT) ? give(ENETUNREACH) : next(fd, address, len);
}

int open(const char *path, int flags, ...)
{
    KEEP(open)
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return inject_fails(OPEN) ? give(EMFILE) : next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    KEEP(open64)
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return inject_fails(OPEN) ? give(EMFILE) : next(path, flags, mode);
}

int fsync(int fd)
{
    KEEP(fsync)
    return inject_fails(SYNC) ? give(EIO) : next(fd);
}

int fdatasync(int fd)
{
    KEEP(fdatasync)
    return inject_fails(SYNC) ? give(EIO) : next(fd);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *user)
{
    KEEP(pthread_create)
    return inject_fails(MAKE) ? EAGAIN : next(thread, attributes, run, user);
}

int pipe2(int fds[2], int flags)
{
    KEEP(pipe2)
    return inject_fails(MAKE) ? give(EMFILE) : next(fds, flags);
}

int eventfd(unsigned count, int flags)
{
    KEEP(eventfd)
    return inject_fails(MAKE) ? give(EMFILE) : next(count, flags);
}

int epoll_create1(int flags)
{
    KEEP(epoll_create1)
    return inject_fails(MAKE) ? give(EMFILE) : next(flags);
}

/* glibc opens the file without open(). */
FILE *fopen64(const char *path, const char *mode)
{
    KEEP(fopen64)
    if (inject_fails(MAKE)) {
        errno = EMFILE;
        return NULL;
    }
    return next(path, mode);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    KEEP(getaddrinfo)
    return inject_fails(MAKE) ? EAI_AGAIN : next(name, service, hints, found);
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
    KEEP(bind)
    return inject_fails(OPTION) ? give(EADDRINUSE) : next(fd, address, len);
}

int listen(int fd, int backlog)
{
    KEEP(listen)
    return inject_fails(OPTION) ? give(EADDRINUSE) : next(fd, backlog);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    KEEP(setsockopt)
    return inject_fails(OPTION) ? give(ENOBUFS) : next(fd, level, name, value, len);
}

/* Not SO_ERROR: libuv does not look whether it got an answer to that. */
int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    KEEP(getsockopt)
    bool spared = level == SOL_SOCKET && name == SO_ERROR;
    return !spared && inject_fails(OPTION) ? give(ENOBUFS) : next(fd, level, name, value, len);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
    KEEP(getsockname)
    return inject_fails(OPTION) ? give(ENOBUFS) : next(fd, address, len);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
    KEEP(getpeername)
    return inject_fails(OPTION) ? give(ENOTCONN) : next(fd, address, len);
}

int shutdown(int fd, int how)
{
    KEEP(shutdown)
    return inject_fails(OPTION) ? give(ENOTCONN) : next(fd, how);
}

/* Taking a lock only: nothing else of it can fail on a descriptor that is there. */
int fcntl64(int fd, int command, ...)
{
    KEEP(fcntl64)
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    bool locks = command == F_SETLK && ((const struct flock *)argument)->l_type != F_UNLCK;
    return locks && inject_fails(FILES) ? give(ENOLCK) : next(fd, command, argument);
}

int ftruncate64(int fd, off64_t len)
{
    KEEP(ftruncate64)
    return inject_fails(FILES) ? give(EIO) : next(fd, len);
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t from)
{
    KEEP(mmap64)
    if (fd >= 0 && inject_fails(FILES)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return next(at, len, protection, flags, fd, from);
}

int stat64(const char *path, struct stat64 *found)
{
    KEEP(stat64)
    return inject_fails(FILES) ? give(EIO) : next(path, found);
}

int lstat64(const char *path, struct stat64 *found)
{
    KEEP(lstat64)
    return inject_fails(FILES) ? give(EIO) : next(path, found);
}

int fchmod(int fd, mode_t mode)
{
    KEEP(fchmod)
    return inject_fails(FILES) ? give(EPERM) : next(fd, mode);
}

int unlink(const char *path)
{
    KEEP(unlink)
    return inject_fails(FILES) ? give(EIO) : next(path);
}

int rename(const char *from, const char *to)
{
    KEEP(rename)
    return inject_fails(FILES) ? give(EIO) : next(from, to);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    KEEP(epoll_ctl)
    return inject_fails(EPOLL) ? give(ENOSPC) : next(epoll, op, fd, event);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
