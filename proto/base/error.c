/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the error codes, and the sentence that goes with a failure. */
#include "proto/base/error.h"

#include <stdarg.h>
#include <stdio.h>

const char *error_name(int code)
{
    switch (code) {
    case 0: return "ok";
    case ERROR_NOMEM: return "no memory";
    case ERROR_LIMIT: return "limit reached";
    case ERROR_SYNTAX: return "malformed";
    case ERROR_STATE: return "wrong state";
    case ERROR_NOT_FOUND: return "not found";
    case ERROR_EXISTS: return "exists already";
    case ERROR_IO: return "input or output failed";
    case ERROR_PEER: return "protocol broken by peer";
    case ERROR_TIMEOUT: return "timed out";
    case ERROR_CLOSED: return "closed by the other end";
    case ERROR_REFUSED: return "refused";
    case ERROR_CONFIG: return "configuration is wrong";
    case ERROR_INTERNAL: return "internal error";
    default: return "unknown error";
    }
}

int error_set(struct error_text *e, int code, const char *format, ...)
{
    if (e != NULL) {
        va_list args;
        va_start(args, format);
        if (vsnprintf(e->text, sizeof(e->text), format, args) < 0) {
            e->text[0] = '\0';
        }
        va_end(args);
    }
    return code;
}
