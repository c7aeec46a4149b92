/* SPDX-License-Identifier: Apache-2.0 */
/* The keys in the database: enabled, listed, rotated, revoked. As servers.h: each operation is one
 * transaction that holds its audit row, a refused one leaves a row too, `e` may not be NULL. */
#ifndef RELAY_STORE_KEYS_H
#define RELAY_STORE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bucket.h"
#include "proto/base/error.h"
#include "relay/store/audit.h"
#include "relay/store/credential.h"
#include "relay/store/database.h"
#include "relay/store/directory.h"

/* "k_" and a number, with NUL: what people and logs call a key. */
#define KEYS_ID_BYTES 24

/* Largest rate, per second, and burst. */
#define KEYS_RATE_MAX 1000000

/* Overlap of a rotation unless another is asked for. */
#define KEYS_OVERLAP_S (24 * 3600)

enum key_state { KEY_ACTIVE, KEY_ROTATED /* replaced, in its overlap */, KEY_EXPIRED, KEY_REVOKED };

struct key {
    int64_t id;
    char serial[DIRECTORY_SERIAL_BYTES];
    char label[DIRECTORY_LABEL_BYTES];
    enum key_state state;
    struct bucket_rate rate; /* per_s 0 = the relay's default */
    struct span scope;       /* JSON; empty = everything; borrowed while visited */
    int64_t expires_at_s;    /* all times: wall clock, 0 = never */
    int64_t created_at_s;
    char created_by[AUDIT_WHO_BYTES];
    int64_t rotated_at_s;
    int64_t rotated_to; /* id of its successor, 0 = none */
    int64_t revoked_at_s;
    int64_t last_used_at_s;
};

/* What a new key is to be. All borrowed, all may be zero. */
struct key_settings {
    const char *label;
    struct bucket_rate rate;
    struct span scope; /* as scope_parse takes it; stored as it stands */
    int64_t expires_at_s;
};

/* What is to change of a key; what is not set stays as it is. All borrowed. */
struct key_change {
    const char *label; /* NULL = stays */
    bool sets_rate;
    bool sets_burst;
    struct bucket_rate rate; /* per_s 0 = the relay's default; burst 0 = keys_default_burst */
    bool sets_expiry;
    int64_t expires_at_s; /* 0 = never */
    bool clears_scope;    /* before `scope` is looked at */
    struct span scope;    /* a JSON object whose members take the place of those of the key's scope;
                             null takes one away. Empty = nothing changes */
};

/* What enabling and rotating give; the caller cleanses. */
struct key_made {
    int64_t id;
    char serial[DIRECTORY_SERIAL_BYTES];
    struct credential key;
};

void keys_format_id(int64_t id, char text[KEYS_ID_BYTES]);
/* "k_12". 0 or ERROR_CONFIG with a sentence. */
int keys_parse_id(const char *text, int64_t *id, struct error_text *e);

/* Twice the rate, as far as KEYS_RATE_MAX allows: one that could be given as well. */
uint32_t keys_default_burst(uint32_t per_s);

/* "active", "rotated", "expired", "revoked". Static. */
const char *keys_state_name(enum key_state state);

/* ERROR_NOT_FOUND (no such server), ERROR_CONFIG (label, scope, rate, expiry), ERROR_IO. */
int keys_enable(struct database *db, const char *serial, const struct key_settings *settings,
                const struct audit_actor *by, struct key_made *made, struct error_text *e);

/* Changes an active key in place: its text stays the same, and is shown to nobody. The audit's row
 * says what it was before and what it is now. ERROR_NOT_FOUND, ERROR_STATE (revoked, expired or
 * rotated), ERROR_CONFIG (as keys_enable; nothing is to change), ERROR_IO. */
int keys_change(struct database *db, int64_t id, const struct key_change *change,
                const struct audit_actor *by, struct error_text *e);

/* Makes a successor with the same settings; the old key works for `overlap_s` longer at most.
 * ERROR_NOT_FOUND, ERROR_STATE (revoked, expired or rotated already), ERROR_IO. */
int keys_rotate(struct database *db, int64_t id, int64_t overlap_s, const struct audit_actor *by,
                struct key_made *made, struct error_text *e);

/* Ends a key for good; does nothing (0) if it is revoked already. `serial` not NULL: only if it is
 * a key of this server. ERROR_NOT_FOUND, ERROR_IO. */
int keys_revoke(struct database *db, int64_t id, const char *serial, const struct audit_actor *by,
                struct error_text *e);

/* Visits the keys of one server, or all (`serial` NULL), in the order they were made. `visit` may
 * not use the database. ERROR_NOT_FOUND (no such server). */
int keys_list(struct database *db, const char *serial, int64_t now_s,
              void (*visit)(void *user, const struct key *key), void *user, struct error_text *e);

/* Visits one key. `visit` may not use the database. ERROR_NOT_FOUND. */
int keys_show(struct database *db, int64_t id, int64_t now_s,
              void (*visit)(void *user, const struct key *key), void *user, struct error_text *e);

/* Keys of the server that were made since, whatever became of them. */
int keys_count_since(struct database *db, int64_t server_id, int64_t since_s, int64_t *n,
                     struct error_text *e);

/* Notes when a key was last used, inside the caller's transaction; never moves it back. */
int keys_note_use(struct database *db, int64_t id, int64_t used_at_s, struct error_text *e);

#endif
