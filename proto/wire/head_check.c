/* SPDX-License-Identifier: Apache-2.0 */
/* What texts in a head may look like. Both ends check, so that neither depends on the other for
 * its safety: no text that passes can end a line of HTTP or climb out of a path. */
#include "proto/wire/head_check.h"

#include "proto/base/charset.h"
#include "proto/base/text.h"

/* Length of the dot at the start of `s`: 1 for ".", 3 for "%2e", 0 for anything else. */
static size_t dot_len(struct span s)
{
    if (s.len >= 1 && s.p[0] == '.') {
        return 1;
    }
    if (s.len >= 3 && s.p[0] == '%' && s.p[1] == '2' && (s.p[2] == 'e' || s.p[2] == 'E')) {
        return 3;
    }
    return 0;
}

/* True if `s` starts with a segment of one or two dots and nothing else. */
static bool is_dot_segment(struct span s)
{
    for (int n_dots = 0; n_dots < 2; n_dots++) {
        size_t n = dot_len(s);
        if (n == 0) {
            return false;
        }
        s.p += n;
        s.len -= n;
        if (s.len == 0 || s.p[0] == '/') {
            return true;
        }
    }
    return false;
}

bool head_check_path(struct span path)
{
    if (path.len == 0 || path.p[0] != '/') {
        return false;
    }
    if (text_is_path(path)) {
        return true;
    }
    if (!head_check_visible(path)) {
        return false;
    }
    for (size_t i = 0; i < path.len; i++) {
        if (path.p[i] == '?' || path.p[i] == '#') {
            return false;
        }
        struct span rest = {path.p + i + 1, path.len - i - 1};
        if (path.p[i] == '/' && is_dot_segment(rest)) {
            return false;
        }
    }
    return true;
}

bool head_check_visible(struct span text)
{
    return text_is_visible(text);
}

bool head_check_name(struct span name)
{
    /* Nearly all are of the letters of a name. */
    return name.len > 0 && (text_is_name(name) || charset_covers(&CHARSET_TOKEN, name));
}

bool head_check_value(struct span value)
{
    /* Hardly any has a tab. */
    return text_run(value) == value.len || charset_covers(&CHARSET_FIELD_VALUE, value);
}
