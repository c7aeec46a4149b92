/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a request may go to a building: key, rate limits, path, method, scope. What it refuses it
 * has answered. */
#ifndef RELAY_FRONT_ADMISSION_H
#define RELAY_FRONT_ADMISSION_H

#include <stdbool.h>

struct session;

/* The request's head is complete: judges all that does not depend on its body, in an order that
 * tells a stranger nothing (a refused key is refused the same way whatever else is wrong). False:
 * answered. */
bool admission_admit(struct session *s);

/* The request is complete: judges the rest and sends it on its way, or answers it. */
void admission_dispatch(struct session *s);

#endif
