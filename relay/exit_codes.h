/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs' exit codes mean. */
#ifndef RELAY_EXIT_CODES_H
#define RELAY_EXIT_CODES_H

enum exit_code { EXIT_CODE_OK = 0, EXIT_CODE_FAILURE = 1, EXIT_CODE_CONFIG = 2 };

#endif
