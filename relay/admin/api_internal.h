/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the API share besides api.h. */
#ifndef RELAY_ADMIN_API_INTERNAL_H
#define RELAY_ADMIN_API_INTERNAL_H

#include "relay/admin/api.h"

/* The cookie of a login. */
#define API_COOKIE "tnx_login"

/* POST /servers/SERIAL/devices: checks the tree of rooms and devices, and keeps it. */
void api_import_devices(struct api_call *c, struct database *db);

#endif
