/* SPDX-License-Identifier: Apache-2.0 */
/* The access log: one line per request, keys by their id and never by themselves. */
#ifndef RELAY_FRONT_ACCESS_H
#define RELAY_FRONT_ACCESS_H

struct session;
struct worker;

/* The line of the session's current request, from session->result; the request has ended, and its
 * total_us is set. */
void access_log(struct session *s);

/* The Date field's value now (IMF-fixdate, RFC 9110 5.6.7); made once a second. */
const char *access_http_date(struct worker *w);

#endif
