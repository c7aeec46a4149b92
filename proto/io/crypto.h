/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's beginning: whole, or the program ends.
 *
 * OpenSSL (3.0) goes on with half of its default context when memory ends while it is made, and
 * crashes at the first use; and without the algorithms for which there was no memory. */
#ifndef PROTO_IO_CRYPTO_H
#define PROTO_IO_CRYPTO_H

#include <stdbool.h>

/* Makes what all uses of OpenSSL share: context, configuration, providers, their algorithms, random
 * numbers. First in the program, before any other use of OpenSSL and any thread. Without memory for
 * it the program ends, with a sentence and exit code 1; so it does if openssl.cnf is broken. Later
 * failures are errors of the calls that have them. From then on each thread keeps one buffer that
 * OpenSSL has freed, of a record's length, for its next record. */
void crypto_start(void);

/* True if OpenSSL was refused memory on this thread since this was last asked. For what it counts
 * as done all the same: a certificate whose key did not fit is loaded without it, and never
 * verifies anything. */
bool crypto_memory_failed(void);

#endif
