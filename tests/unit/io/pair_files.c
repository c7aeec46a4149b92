/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys in a temporary directory. */
#include "tests/unit/io/pair_files.h"

#include <dirent.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define DAY_S 86400

static char directory[] = "/tmp/tnx-pair-files-XXXXXX";
static unsigned n_made;

int pair_files_set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static void format_path(char *path, const char *name)
{
    int len = snprintf(path, PAIR_PATH_BYTES, "%s/%s", directory, name);
    assert_in_range(len, 1, PAIR_PATH_BYTES - 1);
}

int pair_files_tear_down(void **state)
{
    (void)state;
    DIR *d = opendir(directory);
    if (d == NULL) {
        return -1;
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), entry->d_name, 0);
        }
    }
    (void)closedir(d);
    return rmdir(directory);
}

void pair_files_write(const char *name, const char *text, char *path)
{
    format_path(path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void add_host(X509 *x, const char *host)
{
    char text[PAIR_PATH_BYTES];
    X509V3_CTX context;
    (void)snprintf(text, sizeof(text), "DNS:%s", host);
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, text);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* By its text: on 32-bit machines OpenSSL's time_t is smaller than ours. */
static void set_time(ASN1_TIME *to, int64_t at_s)
{
    const time_t at = (time_t)at_s;
    struct tm tm;
    char text[] = "YYYYMMDDHHMMSSZ";
    assert_non_null(gmtime_r(&at, &tm));
    assert_int_equal(strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm), sizeof(text) - 1);
    assert_int_equal(ASN1_TIME_set_string_X509(to, text), 1);
}

static X509 *sign_for(const char *host, EVP_PKEY *key, int64_t until_s)
{
    X509 *x = X509_new();
    assert_non_null(x);
    X509_NAME *name = X509_get_subject_name(x);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), (long)n_made), 1);
    set_time(X509_getm_notBefore(x), until_s - 100 * DAY_S);
    set_time(X509_getm_notAfter(x), until_s);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)host, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x, name), 1);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    add_host(x, host);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

void pair_files_make(struct pair_files *f, const char *host, int64_t until_s)
{
    char name[32];
    n_made++;
    (void)snprintf(name, sizeof(name), "cert-%u.pem", n_made);
    format_path(f->certificate, name);
    (void)snprintf(name, sizeof(name), "key-%u.pem", n_made);
    format_path(f->private_key, name);
    f->pair = (struct tls_pair){.certificate = f->certificate, .private_key = f->private_key};

    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *x = sign_for(host, key, until_s);
    FILE *file = fopen(f->certificate, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, x), 1);
    assert_int_equal(fclose(file), 0);
    file = fopen(f->private_key, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(x);
    EVP_PKEY_free(key);
}
