/* SPDX-License-Identifier: Apache-2.0 */
/* argon2id. */
#include "relay/admin/password.h"

#include <sodium.h>
#include <string.h>

_Static_assert(crypto_pwhash_argon2id_STRBYTES <= OPERATORS_PASSWORD_BYTES, "a hash fits");

/* Of a password that nobody has: what is compared with where there is no operator. */
static const char NOBODY[] = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

int password_check(const char *password, struct error_text *e)
{
    size_t len = strlen(password);
    if (len < PASSWORD_BYTES_MIN || len > PASSWORD_BYTES_MAX) {
        return error_set(e, ERROR_CONFIG, "a password has %d to %d characters", PASSWORD_BYTES_MIN,
                         PASSWORD_BYTES_MAX);
    }
    return 0;
}

int password_hash(const char *password, char hash[OPERATORS_PASSWORD_BYTES], struct error_text *e)
{
    if (sodium_init() < 0) {
        return error_set(e, ERROR_INTERNAL, "libsodium does not start");
    }
    if (crypto_pwhash_argon2id_str(hash, password, strlen(password),
                                   crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE,
                                   crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE) != 0) {
        return error_set(e, ERROR_NOMEM, "not enough memory to hash a password");
    }
    return 0;
}

bool password_matches(const char *password, const char *hash)
{
    bool exists = hash[0] != '\0';
    if (sodium_init() < 0) {
        return false;
    }
    bool same =
        crypto_pwhash_argon2id_str_verify(exists ? hash : NOBODY, password, strlen(password)) == 0;
    return same && exists;
}
