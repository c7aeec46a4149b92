/* SPDX-License-Identifier: Apache-2.0 */
/* How the store carries many keys: `keys [N]` makes a database of N keys (a million) in a temporary
 * folder, then prints one figure a line: the time to open and load it, the memory it takes, the
 * cost of a look-up, and how long a change by another connection takes to become live. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"
#include "relay/store/keys.h"
#include "relay/store/servers.h"
#include "relay/store/store.h"
#include "relay/store/value.h"

#define KEYS_DEFAULT    1000000
#define KEYS_PER_SERVER 10
#define LOOKUPS         2000000
#define CHANGES         20
/* A change that takes longer has failed. */
#define CHANGE_MAX_US 5000000

struct bench {
    char folder[64];
    char path[96];
    size_t n_keys;
    struct credential *keys; /* owned */
    struct error_text e;
};

static void die(const struct bench *b, const char *what)
{
    (void)fprintf(stderr, "keys: %s: %s\n", what, b->e.text);
    exit(1);
}

static int run(struct bench *b, struct database *db, const char *sql, int64_t id,
               const uint8_t *hash, const char *text)
{
    sqlite3_stmt *statement = NULL;
    int rc = database_prepare(db, sql, &statement, &b->e);
    if (rc != 0) {
        return rc;
    }
    value_bind_int(statement, 1, id);
    value_bind_blob(statement, 2, hash, CREDENTIAL_HASH_BYTES);
    value_bind_text(statement, 3, span_of(text));
    return database_run(db, statement, &b->e);
}

static const char ADD_SERVER[] =
    "INSERT INTO servers (id, token_hash, serial, created_at) VALUES (?, ?, ?, 1)";
static const char ADD_KEY[] =
    "INSERT INTO keys (server_id, hash, scope, created_at, created_by) VALUES (?, ?, ?, 1, 'b')";

/* Every other key has a scope, one of a few. */
static const char *scope_of(size_t i)
{
    static const char *const SCOPES[] = {"", "{\"read_only\":true}", "",
                                         "{\"cidrs\":[\"10.0.0.0/8\"],\"groups\":[\"1/2/*\"]}"};
    return SCOPES[i % (sizeof(SCOPES) / sizeof(SCOPES[0]))];
}

static void fill(struct bench *b, struct database *db)
{
    char serial[32];

    if (database_begin(db, &b->e) != 0) {
        die(b, "begin");
    }
    for (size_t i = 0; i < b->n_keys; i++) {
        int64_t server = (int64_t)(i / KEYS_PER_SERVER) + 1;
        struct credential *key = &b->keys[i];
        (void)snprintf(serial, sizeof(serial), "TNX-%07" PRId64, server);
        if (credential_make(key) != 0 ||
            (i % KEYS_PER_SERVER == 0 && run(b, db, ADD_SERVER, server, key->hash, serial) != 0) ||
            run(b, db, ADD_KEY, server, key->hash, scope_of(i)) != 0) {
            die(b, "fill");
        }
    }
    if (database_commit(db, &b->e) != 0) {
        die(b, "commit");
    }
}

static void make(struct bench *b)
{
    struct database *db = NULL;

    (void)snprintf(b->folder, sizeof(b->folder), "/tmp/bench-keys-XXXXXX");
    if (mkdtemp(b->folder) == NULL) {
        die(b, strerror(errno));
    }
    (void)snprintf(b->path, sizeof(b->path), "%s/relay.db", b->folder);
    b->keys = calloc(b->n_keys, sizeof(*b->keys));
    if (b->keys == NULL) {
        die(b, "no memory");
    }
    if (database_create(b->path, &b->e) != 0 || database_open(b->path, false, &db, &b->e) != 0) {
        die(b, "create");
    }
    fill(b, db);
    database_close(db);
}

static size_t rss_kb(void)
{
    char line[128] = "";
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL) {
        return 0;
    }
    char *resident = fgets(line, sizeof(line), f) == NULL ? NULL : strchr(line, ' ');
    (void)fclose(f); /* only read from */
    return resident == NULL ? 0
                            : strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* Processor time of this thread: what others do on the machine does not count. */
static uint64_t cpu_us(void)
{
    struct timespec t = {0, 0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail: the clock exists */
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The share of opening that is PRAGMA quick_check. */
static void measure_check(struct bench *b)
{
    struct database *db = NULL;
    uint64_t start_us = clock_now_us();
    if (database_open(b->path, true, &db, &b->e) != 0) {
        die(b, "check");
    }
    (void)printf("quick_check_ms %" PRIu64 "\n", (clock_now_us() - start_us) / 1000);
    database_close(db);
}

/* The keys in an order that no cache foresees, side by side: a request brings its key along, so
 * fetching it from all over the memory would not be the directory's cost. Owned. */
static char *line_up(const struct bench *b)
{
    char *texts = malloc((size_t)LOOKUPS * CREDENTIAL_CHARS);
    size_t at = 0;

    for (size_t i = 0; texts != NULL && i < LOOKUPS; i++) {
        at = (at + 7368787) % b->n_keys;
        memcpy(texts + i * CREDENTIAL_CHARS, b->keys[at].text, CREDENTIAL_CHARS);
    }
    return texts;
}

/* Returns how many were found. */
static size_t look_up(struct directory_reader *r, const char *texts, const char *name)
{
    const struct directory_server *server = NULL;
    size_t n_found = 0;
    uint64_t start_us = cpu_us();

    for (size_t i = 0; i < LOOKUPS; i++) {
        struct span key = {texts + i * CREDENTIAL_CHARS, CREDENTIAL_CHARS};
        n_found += directory_find_key(r, key, 1000, &server) != NULL ? 1 : 0;
        directory_leave(r);
    }
    (void)printf("%s %" PRIu64 "\n", name, (cpu_us() - start_us) * 1000 / LOOKUPS);
    return n_found;
}

static void measure_lookups(const struct bench *b, struct store *s)
{
    struct directory_reader *r = directory_join(store_directory(s));
    char *texts = line_up(b);

    if (r == NULL || texts == NULL) {
        die(b, "no memory");
    }
    /* Twice: a first use is noted for the last-used times, a second in the same second is not. */
    if (look_up(r, texts, "lookup_first_use_ns") != LOOKUPS ||
        look_up(r, texts, "lookup_again_ns") != LOOKUPS) {
        die(b, "a key was not found");
    }
    for (size_t i = 0; i < LOOKUPS; i++) {
        texts[i * CREDENTIAL_CHARS] = '-';
    }
    if (look_up(r, texts, "lookup_unknown_ns") != 0) {
        die(b, "a key was found that is none");
    }
    free(texts);
    directory_part(r);
}

/* Revokes keys from another connection and waits until each is refused. */
static void measure_changes(struct bench *b, struct store *s)
{
    const struct audit_actor by = {"operator:bench", 1};
    struct directory_reader *r = directory_join(store_directory(s));
    struct database *db = NULL;
    uint64_t worst_us = 0;

    if (r == NULL || database_open(b->path, false, &db, &b->e) != 0) {
        die(b, "open");
    }
    for (int64_t id = 1; id <= CHANGES; id++) {
        if (keys_revoke(db, id, NULL, &by, &b->e) != 0) {
            die(b, "revoke");
        }
        uint64_t start_us = clock_now_us();
        while (directory_key_usable(r, id, 1000) && clock_now_us() - start_us < CHANGE_MAX_US) {
            directory_leave(r);
            (void)usleep(200);
        }
        uint64_t took_us = clock_now_us() - start_us;
        worst_us = took_us > worst_us ? took_us : worst_us;
    }
    (void)printf("change_live_worst_ms %" PRIu64 "\n", worst_us / 1000);
    directory_part(r);
    database_close(db);
}

static void measure(struct bench *b)
{
    struct store *s = NULL;

    measure_check(b);
    size_t before_kb = rss_kb();
    uint64_t start_us = clock_now_us();
    uint64_t start_cpu_us = cpu_us();
    if (store_open(b->path, NULL, &s, &b->e) != 0) {
        die(b, "open");
    }
    uint64_t took_us = clock_now_us() - start_us;
    uint64_t took_cpu_us = cpu_us() - start_cpu_us;
    size_t used_kb = rss_kb() - before_kb;
    (void)printf("store_open_ms %" PRIu64 "\nstore_open_cpu_ms %" PRIu64 "\n", took_us / 1000,
                 took_cpu_us / 1000);
    (void)printf("rss_kb %zu\nrss_bytes_per_key %zu\n", used_kb, used_kb * 1024 / b->n_keys);
    measure_lookups(b, s);
    measure_changes(b, s);
    start_us = clock_now_us();
    store_close(s);
    (void)printf("store_close_ms %" PRIu64 "\n", (clock_now_us() - start_us) / 1000);
}

static void clean_up(struct bench *b)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};
    char path[128];

    for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", b->path, SUFFIXES[i]);
        (void)unlink(path); /* the journals are gone already, as a rule */
    }
    (void)rmdir(b->folder);
    free(b->keys);
}

int main(int argc, char **argv)
{
    struct bench b = {.n_keys = KEYS_DEFAULT};
    uint64_t n = 0;

    if (argc > 1) {
        if (span_parse_u64(span_of(argv[1]), 100000000, &n) != 0 || n < CHANGES) {
            (void)fprintf(stderr, "usage: keys [N]\n");
            return 2;
        }
        b.n_keys = (size_t)n;
    }
    (void)printf("keys %zu\n", b.n_keys);
    uint64_t start_us = clock_now_us();
    make(&b);
    (void)printf("make_ms %" PRIu64 "\n", (clock_now_us() - start_us) / 1000);
    measure(&b);
    clean_up(&b);
    return 0;
}
