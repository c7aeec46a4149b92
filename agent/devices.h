/* SPDX-License-Identifier: Apache-2.0 */
/* The device file of the building, for the agent's own pages and for the relay's. It is read when
 * it is asked for, so that a change needs no reload. */
#ifndef AGENT_DEVICES_H
#define AGENT_DEVICES_H

#include <jansson.h>

#include "agent/config.h"
#include "agent/forward.h"
#include "proto/base/error.h"

/* The file at `path` as rooms and devices (proto/pages/house.h); owned. ERROR_IO, ERROR_LIMIT (more
 * than HOUSE_FILE_BYTES_MAX), ERROR_CONFIG, ERROR_NOMEM, with a sentence. */
int devices_read(const char *path, json_t **house, struct error_text *e);

/* Whether the device files that the configuration names can be used as they stand. `path` is that
 * of the configuration, for the sentence, which says of the file what the log would. ERROR_CONFIG,
 * ERROR_NOMEM. */
int devices_check(const struct config *c, const char *path, struct error_text *e);

/* The relay's request for HEAD_DEVICES_PATH; no client of the relay's can make it. Answered from
 * the file, or refused; what follows of the stream is the forward's. */
void devices_on_request(const struct config *c, struct forward *f, struct mux *m, uint32_t stream,
                        const struct head_request *head, bool end, void **stream_user);

#endif
