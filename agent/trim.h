/* SPDX-License-Identifier: Apache-2.0 */
/* Gives back memory that is not needed any more. */
#ifndef AGENT_TRIM_H
#define AGENT_TRIM_H

/* Free heap to the kernel. Cheap; for now and then, since a large answer leaves some. */
void trim_heap(void);

/* Drops the pages of code and constants from the page tables, ours and the libraries'. Those that
 * are still used come back from the page cache as they are touched; what only the start and the TLS
 * handshake needed (most of libcrypto) does not. Once, when a tunnel is up. */
void trim_code(void);

#endif
