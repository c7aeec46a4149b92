/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in to the pages, and out.
 *
 * POST /session: on the store thread the operator's row is read; is the name not locked, a thread
 * of libuv's pool compares the password (argon2id takes its time and 64 MiB); then the store thread
 * once more, to begin the login or to count the failure. An unknown name takes as long and is
 * answered as a wrong password is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bucket.h"
#include "proto/base/clock.h"
#include "proto/base/secret.h"
#include "relay/admin/admin_session.h"
#include "relay/admin/api_internal.h"
#include "relay/admin/password.h"

/* Passwords compared at once, and attempts of all browsers together per second. */
#define CHECKS_MAX     2
#define ATTEMPTS_PER_S 2
#define ATTEMPTS_BURST 10

/* What the pool works on. */
struct password_work {
    uv_work_t req;
    struct api_call *call; /* worker's thread only */
    bool matches;
    char password[PASSWORD_BYTES_MAX + 1];
    char hash[OPERATORS_PASSWORD_BYTES];
};

static void describe_session(struct api_call *c, const char *name, const char *csrf)
{
    struct relay *relay = c->worker->relay;
    char url[SETTINGS_URL_BYTES] = "";

    pthread_mutex_lock(&relay->reload_lock);
    memcpy(url, relay->settings.public_url, sizeof(url));
    pthread_mutex_unlock(&relay->reload_lock);
    api_answer(c, 200,
               json_pack("{s:b, s:s?, s:s?, s:s, s:s, s:s}", "login_required",
                         c->needs_login ? 1 : 0, "operator", name, "csrf", csrf, "public_url", url,
                         "version", TNX_VERSION, "role", "relay"));
}

static void show_session(struct api_call *c, struct database *db)
{
    struct error_text e = {""};

    if (!c->needs_login) {
        describe_session(c, "local", c->worker->relay->csrf);
        return;
    }
    int rc = operators_find_login(db, span_of(c->cookie), c->actor.now_s, &c->login, &e);
    if (rc == 0) {
        describe_session(c, c->login.name, c->login.csrf);
    } else if (rc == ERROR_REFUSED) {
        describe_session(c, NULL, NULL);
    } else {
        api_fail(c, rc, &e);
    }
}

static void find_account(struct api_call *c, struct database *db)
{
    static struct bucket attempts;
    const struct bucket_rate rate = {ATTEMPTS_PER_S, ATTEMPTS_BURST};
    struct error_text e = {""};
    const char *name = "";
    const char *password = "";

    if (!bucket_take(&attempts, rate, clock_now_us(), NULL)) {
        api_refuse(c, 429, "rate_limited", "too many attempts; wait a moment");
        return;
    }
    int rc = api_get_text(c, "name", &name, &e);
    rc = rc == 0 ? api_get_text(c, "password", &password, &e) : rc;
    if (rc == 0 && strlen(password) > PASSWORD_BYTES_MAX) {
        rc = error_set(&e, ERROR_CONFIG, "the password is too long");
    }
    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    rc = operators_find(db, name, &c->account, &e);
    if (rc == ERROR_IO || rc == ERROR_NOMEM) {
        api_fail(c, rc, &e);
    } else if (rc == 0 && c->account.locked_until_s > c->actor.now_s) {
        api_refuse(c, 429, "locked", "too many wrong passwords; wait some minutes");
    }
}

/* ---- the second visit to the store ---- */

static void begin_login(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    struct credential cookie;
    int rc = operators_log_in(db, &c->account, c->actor.now_s, &cookie, &c->login, &e);

    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    (void)snprintf(c->set_cookie, sizeof(c->set_cookie),
                   API_COOKIE "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s", cookie.text,
                   OPERATORS_LOGIN_S, c->is_tls ? "; Secure" : "");
    credential_cleanse(&cookie);
    describe_session(c, c->login.name, c->login.csrf);
}

static void note_failure(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    char who[AUDIT_WHO_BYTES];
    const struct audit_actor by = {who, c->actor.now_s};

    (void)snprintf(who, sizeof(who), "browser:%s", c->client);
    if (c->account.id != 0) {
        (void)operators_note_failure(db, &c->account, &by, &e); /* the answer is the same */
    }
    api_refuse(c, 401, "login_refused", "wrong name or password");
}

static void run_verdict(void *user, struct database *db)
{
    struct api_call *c = user;
    if (c->password_is_right) {
        begin_login(c, db);
    } else {
        note_failure(c, db);
    }
}

/* ---- the pool ---- */

static void on_work(uv_work_t *req)
{
    struct password_work *work = req->data;
    work->matches = password_matches(work->password, work->hash);
}

static void on_worked(uv_work_t *req, int status)
{
    struct password_work *work = req->data;
    struct api_call *c = work->call;
    c->worker->n_password_checks--;
    c->password_is_right = status == 0 && work->matches;
    secret_cleanse(work, sizeof(*work));
    free(work);
    (void)api_run(c, run_verdict); /* answered in either case */
}

static int start_work(struct api_call *c)
{
    const char *password = json_string_value(json_object_get(c->body, "password"));
    struct password_work *work = calloc(1, sizeof(*work));

    if (work == NULL) {
        return ERROR_NOMEM;
    }
    work->req.data = work;
    work->call = c;
    (void)snprintf(work->password, sizeof(work->password), "%s", password != NULL ? password : "");
    memcpy(work->hash, c->account.password, sizeof(work->hash));
    if (uv_queue_work(&c->worker->loop, &work->req, on_work, on_worked) < 0) {
        free(work);
        return ERROR_NOMEM;
    }
    c->worker->n_password_checks++;
    return 0;
}

static void check_password(struct api_call *c)
{
    if (c->worker->n_password_checks >= CHECKS_MAX) {
        api_refuse(c, 429, "rate_limited", "others are logging in; wait a moment");
    } else if (start_work(c) < 0) {
        api_refuse(c, 500, "internal", "out of memory");
    } else {
        c->is_waiting = true;
    }
}

static void end_session(struct api_call *c, struct database *db)
{
    struct error_text e = {""};
    int rc = operators_log_out(db, span_of(c->cookie), &e);

    if (rc != 0) {
        api_fail(c, rc, &e);
        return;
    }
    (void)snprintf(c->set_cookie, sizeof(c->set_cookie),
                   API_COOKIE "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0%s",
                   c->is_tls ? "; Secure" : "");
    api_answer(c, 200, json_pack("{s:b}", "ended", 1));
}

const struct api_route API_LOGIN_ROUTES[] = {
    {"GET", "/session", API_OPEN, show_session, NULL},
    {"POST", "/session", API_OPEN, find_account, check_password},
    {"POST", "/session/end", API_CHANGE, end_session, NULL},
    {NULL, NULL, API_OPEN, NULL, NULL},
};
