/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the agent's pages, built in. */
#ifndef AGENT_PAGES_TABLE_H
#define AGENT_PAGES_TABLE_H

#include "proto/pages/asset.h"

extern const struct asset_table AGENT_PAGES;

#endif
