/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of system/serverStatus. */
#include "tests/simulator/serverstatus.h"

#include <string.h>
#include <time.h>

static void write_text(struct writer *w, const char *key, const char *text)
{
    writer_text(w, key);
    writer_json(w, span_of(text));
}

static void write_uptime(struct writer *w, const char *key, uint64_t seconds)
{
    writer_text(w, key);
    writer_uint(w, seconds / 86400);
    writer_text(w, " days ");
    writer_uint(w, seconds / 3600 % 24);
    writer_text(w, " hours ");
    writer_uint(w, seconds / 60 % 60);
    writer_text(w, " min\"");
}

static void write_time(struct writer *w, const char *key, int64_t wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;
    char text[32] = "";

    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(text, sizeof text, "%H:%M:%S %Y-%m-%d", &parts); /* "" if it does not fit */
    }
    write_text(w, key, text);
}

void serverstatus_write(const struct serverstatus *s, struct writer *w)
{
    static const char PADDING[] = ",\"padding\":\"\"}";
    size_t before = w->out->len;
    size_t len = 0;

    write_text(w, "{\"namespace\":", "system/serverStatus");
    write_text(w, ",\"version\":", s->version);
    write_uptime(w, ",\"process_uptime\":\"", s->process_uptime_s);
    write_uptime(w, ",\"server_uptime\":\"", s->server_uptime_s);
    write_time(w, ",\"config_time\":", s->config_time_wall_s);
    writer_text(w, ",\"connected_clients\":");
    writer_uint(w, s->n_clients);
    write_text(w, ",\"pbx_users\":", s->pbx_users);
    len = w->out->len - before + strlen(PADDING);
    if (s->padded_to_bytes >= len) {
        writer_text(w, ",\"padding\":\"");
        writer_fill(w, 'x', s->padded_to_bytes - len);
        writer_text(w, "\"");
    }
    writer_text(w, "}");
}
