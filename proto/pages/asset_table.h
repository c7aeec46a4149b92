/* SPDX-License-Identifier: Apache-2.0 */
/* What embed.cmake makes of the pages' files. */
#ifndef PROTO_PAGES_ASSET_TABLE_H
#define PROTO_PAGES_ASSET_TABLE_H

#include "proto/pages/asset.h"

extern const struct asset ASSET_TABLE[];
extern const size_t ASSET_TABLE_LEN;

#endif
