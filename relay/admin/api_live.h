/* SPDX-License-Identifier: Apache-2.0 */
/* The live log of requests, as server-sent events. */
#ifndef RELAY_ADMIN_API_LIVE_H
#define RELAY_ADMIN_API_LIVE_H

struct admin_session;

/* Streams at once. */
#define API_STREAMS_MAX 16
/* How often new requests are looked for. */
#define API_STREAM_TICK_MS 250
/* A stream ends after this; the browser opens it again, and is asked who it is. */
#define API_STREAM_LIFE_MS (10 * 60 * 1000)

/* The session is closed. Idempotent. */
void api_stream_close(struct admin_session *s);

#endif
