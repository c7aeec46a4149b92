/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing the running relay by a new process. The new one learns whom it replaces from the
 * environment, and believes it only if that is its parent. */
#include "relay/replace.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/base/notify.h"

#define ENVIRONMENT_NAME "THINKNX_RELAY_REPLACES"

void replace_init(struct replace *r)
{
    memset(r, 0, sizeof(*r));
    ssize_t len = readlink("/proc/self/exe", r->program, sizeof(r->program) - 1);
    r->program[len > 0 ? len : 0] = '\0';
}

static void on_child_closed(uv_handle_t *handle)
{
    struct replace *r = handle->data;
    r->running = false;
}

static void on_child_exit(uv_process_t *child, int64_t status, int signal)
{
    log_event(LOG_LEVEL_ERROR, "the new process ended, this one goes on serving",
              log_int("status", status), log_int("signal", signal));
    uv_close((uv_handle_t *)child, on_child_closed);
}

int replace_start(struct replace *r, uv_loop_t *loop, const char *config_path, struct error_text *e)
{
    char config[REPLACE_PATH_BYTES];
    char environment[32];
    if (r->running) {
        return error_set(e, ERROR_STATE, "a new process is being started already");
    }
    (void)snprintf(config, sizeof(config), "%s", config_path);
    (void)snprintf(environment, sizeof(environment), "%ld", (long)getpid());
    if (setenv(ENVIRONMENT_NAME, environment, 1) < 0) {
        return error_set(e, ERROR_NOMEM, "out of memory");
    }
    char serve[] = "serve";
    char option[] = "--config";
    char *arguments[] = {r->program, serve, option, config, NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data = {.fd = STDOUT_FILENO}},
        {.flags = UV_INHERIT_FD, .data = {.fd = STDERR_FILENO}},
    };
    uv_process_options_t options = {
        .exit_cb = on_child_exit,
        .file = r->program,
        .args = arguments,
        .flags = UV_PROCESS_DETACHED, /* it outlives this process */
        .stdio = stdio,
        .stdio_count = 3,
    };
    r->child.data = r;
    int failed = uv_spawn(loop, &r->child, &options);
    (void)unsetenv(ENVIRONMENT_NAME);
    if (failed < 0) {
        r->running = true; /* until its handle is closed */
        uv_close((uv_handle_t *)&r->child, on_child_closed);
        return error_set(e, ERROR_IO, "cannot start %s: %s", r->program, uv_strerror(failed));
    }
    uv_unref((uv_handle_t *)&r->child);
    r->running = true;
    return 0;
}

/* 0 if there is none. */
static long old_pid(void)
{
    const char *text = getenv(ENVIRONMENT_NAME);
    long pid = text != NULL ? strtol(text, NULL, 10) : 0;
    return pid > 1 && pid == (long)getppid() ? pid : 0;
}

bool replace_expected(void)
{
    return old_pid() != 0;
}

void replace_finish(void)
{
    long pid = old_pid();
    if (pid == 0) {
        return;
    }
    (void)unsetenv(ENVIRONMENT_NAME);
    (void)notify_sendf("MAINPID=%ld", (long)getpid());
    log_event(LOG_LEVEL_INFO, "taking over", log_int("from_pid", pid));
    (void)kill((pid_t)pid, SIGTERM);
}
