/* SPDX-License-Identifier: Apache-2.0 */
/* Running commands with their output kept. */
#include "tests/unit/store/shell.h"

#include <fcntl.h>

#include "relay/admin/commands.h"

/* Words of one command line. */
#define ARGS_MAX 128
/* And its bytes. */
#define LINE_BYTES 8192

static void read_back(int fd, char *text, size_t cap)
{
    ssize_t n = pread(fd, text, cap - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(close(fd), 0);
}

/* Opens an unnamed file in place of `fd`; returns it and, in `saved`, what was there. */
static int redirect(int fd, const char *folder, int *saved)
{
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    *saved = dup(fd);
    assert_true(*saved >= 0);
    assert_int_equal(dup2(file, fd), fd);
    return file;
}

static void restore(int fd, int saved)
{
    assert_int_equal(dup2(saved, fd), fd);
    assert_int_equal(close(saved), 0);
}

/* Runs "server list --json …" (words separated by blanks) and keeps what it prints. */
int shell_run(struct shell *f, const char *line)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } COMMANDS[] = {{"init", command_init},
                    {"server", command_server},
                    {"key", command_key},
                    {"audit", command_audit},
                    {"backup", command_backup}};
    char words[LINE_BYTES];
    char *argv[ARGS_MAX + 1] = {NULL};
    int argc = 0;
    int saved_out = -1;
    int saved_err = -1;
    int code = -1;
    char *rest = words;

    assert_int_equal(span_copy(span_of(line), words, sizeof(words)), 0);
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        assert_in_range(argc, 0, ARGS_MAX - 1);
        argv[argc++] = word;
    }
    (void)fflush(stdout);
    int out = redirect(1, f->folder, &saved_out);
    int err = redirect(2, f->folder, &saved_err);
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        if (strcmp(COMMANDS[i].name, argv[0]) == 0) {
            code = COMMANDS[i].run(argc, argv);
        }
    }
    (void)fflush(stdout);
    restore(1, saved_out);
    restore(2, saved_err);
    read_back(out, f->out, sizeof(f->out));
    read_back(err, f->err, sizeof(f->err));
    return code;
}

/* The same with --config, which must succeed. */
void shell_must(struct shell *f, const char *line)
{
    char whole[LINE_BYTES];
    (void)snprintf(whole, sizeof(whole), "%s --config %s", line, f->conf);
    if (shell_run(f, whole) != 0) {
        fail_msg("%s: %s", line, f->err);
    }
    assert_string_equal(f->err, "");
}

void shell_must_fail(struct shell *f, const char *line, int code, const char *sentence)
{
    char whole[LINE_BYTES];
    (void)snprintf(whole, sizeof(whole), "%s --config %s", line, f->conf);
    assert_int_equal(shell_run(f, whole), code);
    assert_string_equal(f->out, "");
    assert_contains(f->err, sentence);
}

json_t *shell_json(const struct shell *f)
{
    json_t *json = json_loads(f->out, 0, NULL);
    if (json == NULL) {
        fail_msg("no JSON: %s", f->out);
    }
    return json;
}

const char *shell_member(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    if (text == NULL) {
        fail_msg("no member %s", name);
    }
    return text;
}

void shell_init(struct shell *f)
{
    char line[512];
    *f = (struct shell){.folder = "/tmp/test-commands-XXXXXX"};
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->dir, sizeof(f->dir), "%s/etc", f->folder);
    (void)snprintf(f->conf, sizeof(f->conf), "%s/relay.conf", f->dir);
    (void)snprintf(line, sizeof(line),
                   "init --dir %s --host relay.example --host 10.1.2.3 --listen 127.0.0.1:0 "
                   "--http-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0",
                   f->dir);
    if (shell_run(f, line) != 0) {
        fail_msg("%s", f->err);
    }
}

void shell_close(struct shell *f)
{
    scratch_remove(f->folder);
}

void shell_path(const struct shell *f, const char *name, char path[160])
{
    (void)snprintf(path, 160, "%s/%s", f->dir, name);
}

unsigned shell_mode(const struct shell *f, const char *name)
{
    char path[160];
    struct stat st;
    shell_path(f, name, path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}
