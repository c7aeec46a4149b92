/* SPDX-License-Identifier: Apache-2.0 */
/* The agent as a process among others: limits, memory, and the file that tells where it is. */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include "agent/config.h"
#include "proto/base/error.h"

/* Before anything else is set up: ignores SIGPIPE, bounds files, threads and heaps. */
void process_prepare(void);

/* Writes runtime_file, if it is set, whole: {"pid", "version", "status_socket"}. `*path` is what
 * was written, owned, or NULL (none is set, or an error): a reload may bring another name. 0,
 * ERROR_IO, ERROR_NOMEM. */
int process_write_runtime(const struct config *c, char **path, struct error_text *e);
/* Removes the file, and frees its path. Accepts NULL. */
void process_remove_runtime(char *path);

/* Free heap to the kernel. Cheap; for now and then, since a large answer leaves some. */
void process_trim_heap(void);

/* Drops the pages of code and constants from the page tables, ours and the libraries'. Those that
 * are still used come back from the page cache as they are touched; what only the start and the TLS
 * handshake needed (most of libcrypto) does not. Once, when a tunnel is up. */
void process_trim_code(void);

#endif
