/* SPDX-License-Identifier: Apache-2.0 */
/* The process: limits, memory, runtime file. */
#include "agent/process.h"

#include <jansson.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/runtime_file.h"
#include "proto/json/json_text.h"

/* libwebsockets sizes its tables by the limit of files. 32 relays with two descriptors for
 * each tunnel, and for each that drains, and 64 connections to the server are some 500. */
#define FILES_MAX 1024

/* For the name resolver, the only thing that blocks: two relays at once do not wait for each other,
 * and each thread costs memory. */
#define RESOLVER_THREADS "2"

void process_prepare(void)
{
    struct rlimit files;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)setenv("UV_THREADPOOL_SIZE", RESOLVER_THREADS, 0);
    (void)mallopt(M_ARENA_MAX, 1); /* the other threads only resolve names */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > FILES_MAX) {
        files.rlim_cur = FILES_MAX;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* a larger table only costs memory */
    }
}

int process_write_runtime(const struct config *c, char **path, struct error_text *e)
{
    *path = NULL;
    if (c->runtime_file == NULL) {
        return 0;
    }
    json_t *runtime = json_pack("{s:i, s:s, s:s}", "pid", (int)getpid(), "version", TNX_VERSION,
                                "status_socket", c->status_socket);
    char *text = json_text_format(runtime, JSON_COMPACT);
    char *copy = strdup(c->runtime_file);
    json_decref(runtime);
    int rc = text == NULL || copy == NULL ? error_set(e, ERROR_NOMEM, "no memory")
                                          : runtime_file_write(c->runtime_file, text, e);
    free(text);
    if (rc != 0) {
        free(copy);
        return rc;
    }
    *path = copy;
    return 0;
}

void process_remove_runtime(char *path)
{
    if (path != NULL) {
        (void)unlink(path); /* it may have been removed already */
        free(path);
    }
}

void process_trim_heap(void)
{
    (void)malloc_trim(0); /* says whether there was any */
}

static int drop_pages(struct dl_phdr_info *object, size_t size, void *user)
{
    uintptr_t page = *(const uintptr_t *)user;
    (void)size;

    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) != 0) {
            continue; /* only what is never written is the same when it comes back */
        }
        uintptr_t begin = (uintptr_t)object->dlpi_addr + segment->p_vaddr;
        uintptr_t end = begin + segment->p_filesz;
        begin &= ~(page - 1);
        /* A hint: the kernel may say no. */
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void process_trim_code(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)dl_iterate_phdr(drop_pages, &page); /* what drop_pages returns */
}
