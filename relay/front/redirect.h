/* SPDX-License-Identifier: Apache-2.0 */
/* The plain-HTTP listener's only answer: the same path and query at the configured https:// URL,
 * never at what the request's Host claims. */
#ifndef RELAY_FRONT_REDIRECT_H
#define RELAY_FRONT_REDIRECT_H

#include <stdbool.h>

struct session;

/* Answers the session's request. Always false: it goes nowhere else. */
bool redirect_answer(struct session *s);

#endif
