/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the session: what session.c (requests and answers) and session_life.c (the connection)
 * share. */
#ifndef RELAY_FRONT_SESSION_INTERNAL_H
#define RELAY_FRONT_SESSION_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct session;

/* Looks at bytes that were read. The session may be gone afterwards, if it became a tunnel. */
void session_process(struct session *s, const uint8_t *bytes, size_t len);

/* Bytes that cannot be looked at yet; reading stops until they have been. */
void session_keep_rest(struct session *s, const uint8_t *bytes, size_t len);

void session_set_deadline(struct session *s, uint32_t ms);

/* The current request is over: its memory is kept for the next, or freed. */
void session_give_request(struct session *s);

/* Takes it off all lists and frees it. Its connection is closed, or is a tunnel's. */
void session_forget(struct session *s);

#endif
