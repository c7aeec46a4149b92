/* SPDX-License-Identifier: Apache-2.0 */
/* The people who may log in to the pages, and their logins. Passwords come here as hashes only
 * (relay/admin/password.h makes them). As servers.h: each change is one transaction that holds its
 * audit row, a refused one leaves a row too, `e` may not be NULL. */
#ifndef RELAY_STORE_OPERATORS_H
#define RELAY_STORE_OPERATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "relay/store/audit.h"
#include "relay/store/credential.h"
#include "relay/store/database.h"

/* Longest name, and longest hash as libsodium writes it (crypto_pwhash_STRBYTES), with NUL. */
#define OPERATORS_NAME_BYTES     33
#define OPERATORS_PASSWORD_BYTES 128
#define OPERATORS_MAX            1000

/* Wrong passwords in a row that are free; then each locks the name, at first for LOCK_S, twice as
 * long each time, at most LOCK_S_MAX. */
#define OPERATORS_FREE_FAILURES 5
#define OPERATORS_LOCK_S        30
#define OPERATORS_LOCK_S_MAX    900

/* A login ends when it has not been used for so long, and so long after it began at the latest. */
#define OPERATORS_IDLE_S  (30 * 60)
#define OPERATORS_LOGIN_S (12 * 3600)
/* Logins kept; the one that was idle longest makes room for a new one. */
#define OPERATORS_LOGINS_MAX 200

struct operator_account {
    int64_t id;
    char name[OPERATORS_NAME_BYTES];
    char password[OPERATORS_PASSWORD_BYTES]; /* hash; to be cleansed */
    int64_t created_at_s;
    char created_by[AUDIT_WHO_BYTES];
    uint32_t n_failures;
    int64_t locked_until_s;
};

/* 1 to 32 of a-z 0-9 . _ - ; ERROR_CONFIG with a sentence. */
int operators_check_name(const char *name, struct error_text *e);

/* ERROR_EXISTS, ERROR_CONFIG (name), ERROR_LIMIT. */
int operators_add(struct database *db, const char *name, const char *password_hash,
                  const struct audit_actor *by, struct error_text *e);

/* Puts another password in, unlocks, ends all logins. ERROR_NOT_FOUND. */
int operators_set_password(struct database *db, const char *name, const char *password_hash,
                           const struct audit_actor *by, struct error_text *e);

/* Ends all logins, too. ERROR_NOT_FOUND. */
int operators_remove(struct database *db, const char *name, const struct audit_actor *by,
                     struct error_text *e);

/* ERROR_NOT_FOUND, ERROR_IO. */
int operators_find(struct database *db, const char *name, struct operator_account *account,
                   struct error_text *e);

/* Visits all by name, without their passwords. `visit` may not use the database. */
int operators_list(struct database *db,
                   void (*visit)(void *user, const struct operator_account *account), void *user,
                   struct error_text *e);

/* A wrong password was given: counts, and maybe locks. */
int operators_note_failure(struct database *db, const struct operator_account *account,
                           const struct audit_actor *by, struct error_text *e);

/* One login. */
struct operator_login {
    int64_t operator_id;
    char name[OPERATORS_NAME_BYTES];
    char csrf[CREDENTIAL_BYTES];
};

/* The right password was given: begins a login. `cookie` and login->csrf are to be shown to the
 * browser, once; cleanse. ERROR_NOT_FOUND (removed, or given another password meanwhile),
 * ERROR_INTERNAL (no randomness). */
int operators_log_in(struct database *db, const struct operator_account *account, int64_t now_s,
                     struct credential *cookie, struct operator_login *login, struct error_text *e);

/* The login of a cookie, which is used now. ERROR_REFUSED if there is none, or it has ended. */
int operators_find_login(struct database *db, struct span cookie, int64_t now_s,
                         struct operator_login *login, struct error_text *e);

/* Ends it; 0 also if there is none. */
int operators_log_out(struct database *db, struct span cookie, struct error_text *e);

#endif
