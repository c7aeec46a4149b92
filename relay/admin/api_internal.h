/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the API share besides api.h. */
#ifndef RELAY_ADMIN_API_INTERNAL_H
#define RELAY_ADMIN_API_INTERNAL_H

#include "relay/admin/api.h"

/* The cookie of a login. */
#define API_COOKIE "tnx_login"

/* Device files that are being fetched, or read, at once, per worker. */
#define API_DEVICE_CALLS_MAX 4

/* POST /servers/SERIAL/devices: checks the tree of rooms and devices, and keeps it; no rooms:
 * forgets what was kept. */
void api_import_devices(struct api_call *c, struct database *db);
/* GET /servers/SERIAL/devices: what was kept, else what the agent gives. */
void api_show_devices(struct api_call *c, struct database *db);
void api_ask_for_devices(struct api_call *c);

#endif
