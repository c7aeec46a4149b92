/* SPDX-License-Identifier: Apache-2.0 */
/* Resident memory. */
#include "agent/trim.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void trim_heap(void)
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

void trim_code(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)dl_iterate_phdr(drop_pages, &page); /* what drop_pages returns */
}
