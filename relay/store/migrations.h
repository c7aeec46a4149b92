/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the database, as the steps that lead from an empty file to the newest version.
 * Steps are only ever added: databases in buildings have run the old ones. */
#ifndef RELAY_STORE_MIGRATIONS_H
#define RELAY_STORE_MIGRATIONS_H

#include <stddef.h>

/* PRAGMA application_id of our files: "TNXR". */
#define MIGRATIONS_APPLICATION_ID 0x544e5852

/* What the `changes` table says has changed. */
enum change_kind { CHANGE_SERVER = 1, CHANGE_KEY = 2 };

/* The SQL of the step from version `i` to `i + 1`; i < migrations_count(). Static. */
const char *migrations_step(size_t i);
size_t migrations_count(void);

#endif
