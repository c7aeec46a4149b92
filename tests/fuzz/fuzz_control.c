/* SPDX-License-Identifier: Apache-2.0 */
/* What a building asks of the relay about its keys, against a real database: lines, each the number
 * of an operation as one byte and its body. Every answer is JSON that fits; a key that was made has
 * a scope that can be read; there are never more of them than an hour allows; and the neighbour's
 * key stays as it is. */
#include <ftw.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/store/control.h"
#include "relay/store/keys.h"
#include "relay/store/scope.h"
#include "relay/store/servers.h"

#define NOW 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char folder[64] = "/dev/shm/tnx-fuzz-XXXXXX";
static struct database *db;
static int64_t neighbours_key;

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static void end(void)
{
    database_close(db);
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void add_server(const char *serial)
{
    const struct server_settings settings = {.serial = serial};
    const struct audit_actor by = {"operator:fuzz", NOW};
    struct credential token;
    struct error_text e;
    int64_t id = 0;
    require(servers_add(db, &settings, &by, &id, &token, &e) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const struct key_settings settings = {.label = "neighbour"};
    const struct audit_actor by = {"operator:fuzz", NOW};
    struct key_made made;
    struct error_text e;
    char path[96];

    (void)argc;
    (void)argv;
    require(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/relay.db", folder);
    require(database_create(path, &e) == 0 && database_open(path, false, &db, &e) == 0);
    require(atexit(end) == 0);
    add_server("TNX-1");
    add_server("TNX-2");
    require(keys_enable(db, "TNX-2", &settings, &by, &made, &e) == 0);
    neighbours_key = made.id;
    return 0;
}

static void run_sql(const char *sql)
{
    sqlite3_stmt *statement = NULL;
    struct error_text e;
    require(database_prepare(db, sql, &statement, &e) == 0);
    require(database_run(db, statement, &e) == 0);
}

struct seen {
    size_t n;
    bool neighbours_key_is_active;
};

static void look_at(void *user, const struct key *key)
{
    struct seen *seen = user;
    struct scope *scope = NULL;
    struct error_text e;

    seen->n++;
    require(scope_parse(key->scope.len == 0 ? span_of("{}") : key->scope, &scope, &e) == 0);
    scope_free(scope);
    seen->neighbours_key_is_active |= key->id == neighbours_key && key->state == KEY_ACTIVE;
}

static struct seen look(const char *serial)
{
    struct seen seen = {0, false};
    struct error_text e;
    require(keys_list(db, serial, NOW, look_at, &seen, &e) == 0);
    return seen;
}

static void check_answer(enum control_status status, uint16_t op, const struct buffer *answer)
{
    json_t *json = json_loadb((const char *)buffer_bytes(answer), answer->len, 0, NULL);

    require(answer->len <= CONTROL_ANSWER_BYTES && json != NULL);
    if (status != CONTROL_DONE) {
        require(json_string_value(json_object_get(json, "error")) != NULL);
    } else if (op == CONTROL_KEY_ENABLE) {
        const char *key = json_string_value(json_object_get(json, "key"));
        require(key != NULL && credential_is_well_formed(span_of(key)));
    } else if (op == CONTROL_KEY_LIST) {
        require(json_array_size(json) <= CONTROL_LIST_MAX);
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct directory_live live = {0};
    struct directory_server server = {
        .id = 1, .serial = "TNX-1", .enabled = true, .may_enable_keys = true, .live = &live};
    struct control_time now = {NOW, 1000000};
    struct span rest = {(const char *)data, size};
    struct buffer answer;

    buffer_init(&answer, CONTROL_ANSWER_BYTES);
    while (rest.p != NULL && rest.len > 0) {
        struct span body = span_cut(&rest, '\n');
        uint16_t op = body.len == 0 ? 0 : (uint8_t)body.p[0];
        body = body.len == 0 ? body : (struct span){body.p + 1, body.len - 1};
        now.monotonic_us += 1000000 / CONTROL_CALLS_PER_S;
        buffer_clear(&answer);
        enum control_status status =
            control_call(db, &server, "https://relay.example", op, body, now, &answer);
        check_answer(status, op, &answer);
    }
    buffer_close(&answer);
    require(look("TNX-1").n <= CONTROL_KEYS_PER_HOUR);
    require(look("TNX-2").neighbours_key_is_active);
    run_sql("DELETE FROM keys WHERE server_id = 1");
    run_sql("DELETE FROM audit");
    return 0;
}
