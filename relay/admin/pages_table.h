/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the relay's pages, built in. */
#ifndef RELAY_ADMIN_PAGES_TABLE_H
#define RELAY_ADMIN_PAGES_TABLE_H

#include "proto/pages/asset.h"

extern const struct asset_table RELAY_PAGES;

#endif
