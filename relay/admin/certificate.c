/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates by OpenSSL. Extensions follow RFC 5280 4.2: an authority is marked as one
 * (basicConstraints and keyUsage critical), its path ends below it, and each certificate names its
 * own and its signer's key. */
#include "relay/admin/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/secret.h"

/* RFC 5280 4.1.2.2: at most 20 bytes, and positive. */
#define SERIAL_BYTES 16

/* RFC 5280 appendix A, ub-common-name. */
#define COMMON_NAME_CHARS_MAX 64

/* Names in subjectAltName: room for each and its "DNS:", and a comma. */
#define ALT_NAME_BYTES 264

struct extension {
    int nid;
    const char *value;
};

static const struct extension CA_EXTENSIONS[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

static const struct extension SERVER_EXTENSIONS[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

/* What goes into one certificate. Borrowed. */
struct plan {
    const char *common_name;
    const char *organization;
    int days;
    const struct extension *extensions;
    size_t n_extensions;
    const char *alt_names; /* NULL = none */
    X509 *issuer;          /* NULL = itself */
    EVP_PKEY *issuer_key;
};

static int fail(struct error_text *e)
{
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    ERR_clear_error();
    return error_set(e, ERROR_INTERNAL, "OpenSSL: %s", reason);
}

static bool add_extension(X509 *x, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, context, nid, value);
    bool added = extension != NULL && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_extensions(X509 *x, const struct plan *p)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, p->issuer == NULL ? x : p->issuer, x, NULL, NULL, 0);
    for (size_t i = 0; i < p->n_extensions; i++) {
        if (!add_extension(x, &context, p->extensions[i].nid, p->extensions[i].value)) {
            return false;
        }
    }
    return p->alt_names == NULL || add_extension(x, &context, NID_subject_alt_name, p->alt_names);
}

static bool set_serial(X509 *x)
{
    uint8_t bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, (int)sizeof(bytes)) != 1) {
        return false;
    }
    /* Positive, and with a first byte that is not zero. */
    bytes[0] = (uint8_t)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, (int)sizeof(bytes), NULL);
    bool set = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) != NULL;
    BN_free(number);
    return set;
}

static bool add_name(X509_NAME *name, const char *field, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, -1,
                                      -1, 0) == 1;
}

static bool set_names(X509 *x, const struct plan *p)
{
    X509_NAME *subject = X509_get_subject_name(x);
    if ((p->organization != NULL && !add_name(subject, "O", p->organization)) ||
        !add_name(subject, "CN", p->common_name)) {
        return false;
    }
    return X509_set_issuer_name(x, p->issuer == NULL ? subject
                                                     : X509_get_subject_name(p->issuer)) == 1;
}

static bool set_validity(X509 *x, int days, int64_t now_s)
{
    time_t now = now_s;
    return X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, &now) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(x), days - 1, 0, &now) != NULL;
}

/* A signed certificate for the key, or NULL. */
static X509 *issue(const struct plan *p, EVP_PKEY *key, int64_t now_s)
{
    X509 *x = X509_new();
    if (x != NULL && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
        set_validity(x, p->days, now_s) && X509_set_pubkey(x, key) == 1 && set_names(x, p) &&
        add_extensions(x, p) &&
        X509_sign(x, p->issuer_key == NULL ? key : p->issuer_key, EVP_sha256()) > 0) {
        return x;
    }
    X509_free(x);
    return NULL;
}

/* The text in a memory BIO, owned by the caller; frees the BIO. NULL on failure. */
static char *take_text(BIO *bio, bool written)
{
    char *data = NULL;
    char *text = NULL;
    long len = written ? BIO_get_mem_data(bio, &data) : 0;

    if (len > 0) {
        text = strndup(data, (size_t)len);
        secret_cleanse(data, (size_t)len);
    }
    BIO_free(bio);
    return text;
}

static char *certificate_text(X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return bio == NULL ? NULL : take_text(bio, PEM_write_bio_X509(bio, x) == 1);
}

static char *key_text(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    return bio == NULL
               ? NULL
               : take_text(bio, PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

static bool fingerprint_of(const X509 *x, char text[CERTIFICATE_FINGERPRINT_BYTES])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (X509_digest(x, EVP_sha256(), hash, &len) != 1 || len != 32) {
        return false;
    }
    for (unsigned i = 0; i < len; i++) {
        (void)snprintf(text + 3 * (size_t)i, 4, "%02X%s", hash[i], i + 1 < len ? ":" : "");
    }
    return true;
}

/* "DNS:relay.example,IP:10.0.0.1"; owned. */
static char *join_alt_names(const char *const *hosts, size_t n_hosts)
{
    char *text = calloc(n_hosts, ALT_NAME_BYTES);
    struct in6_addr address;
    size_t len = 0;

    for (size_t i = 0; text != NULL && i < n_hosts; i++) {
        bool is_address = inet_pton(AF_INET, hosts[i], &address) == 1 ||
                          inet_pton(AF_INET6, hosts[i], &address) == 1;
        int n = snprintf(text + len, ALT_NAME_BYTES, "%s%s:%.*s", i == 0 ? "" : ",",
                         is_address ? "IP" : "DNS", ALT_NAME_BYTES - 8, hosts[i]);
        len += n < 0 ? 0 : (size_t)n;
    }
    return text;
}

static int make_ca(const char *host, EVP_PKEY *key, int64_t now_s, X509 **ca, struct error_text *e)
{
    char name[COMMON_NAME_CHARS_MAX + 1];
    const struct plan plan = {
        .common_name = name,
        .organization = "Thinknx relay",
        .days = CERTIFICATE_CA_DAYS,
        .extensions = CA_EXTENSIONS,
        .n_extensions = sizeof(CA_EXTENSIONS) / sizeof(CA_EXTENSIONS[0]),
    };

    (void)snprintf(name, sizeof(name), "CA of %s", host);
    *ca = issue(&plan, key, now_s);
    return *ca == NULL ? fail(e) : 0;
}

static int make_server(const char *const *hosts, size_t n_hosts, X509 *ca, EVP_PKEY *ca_key,
                       EVP_PKEY *key, int64_t now_s, X509 **server, struct error_text *e)
{
    char name[COMMON_NAME_CHARS_MAX + 1];
    char *alt_names = join_alt_names(hosts, n_hosts);
    const struct plan plan = {
        .common_name = name,
        .days = CERTIFICATE_SERVER_DAYS,
        .extensions = SERVER_EXTENSIONS,
        .n_extensions = sizeof(SERVER_EXTENSIONS) / sizeof(SERVER_EXTENSIONS[0]),
        .alt_names = alt_names,
        .issuer = ca,
        .issuer_key = ca_key,
    };

    if (alt_names == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    /* Clients look at subjectAltName alone, so a long name may be cut here. */
    (void)snprintf(name, sizeof(name), "%s", hosts[0]);
    *server = issue(&plan, key, now_s);
    free(alt_names);
    return *server == NULL ? fail(e) : 0;
}

static int write_texts(X509 *ca, EVP_PKEY *ca_key, X509 *server, EVP_PKEY *server_key,
                       struct certificate_set *set, struct error_text *e)
{
    *set = (struct certificate_set){
        .ca = certificate_text(ca),
        .ca_key = key_text(ca_key),
        .server = certificate_text(server),
        .server_key = key_text(server_key),
    };
    if (set->ca == NULL || set->ca_key == NULL || set->server == NULL || set->server_key == NULL ||
        !fingerprint_of(ca, set->ca_fingerprint)) {
        certificate_set_free(set);
        return fail(e);
    }
    return 0;
}

int certificate_make_set(const char *const *hosts, size_t n_hosts, int64_t now_s,
                         struct certificate_set *set, struct error_text *e)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *server_key = EVP_EC_gen("P-256");
    X509 *ca = NULL;
    X509 *server = NULL;
    int rc = ca_key == NULL || server_key == NULL ? fail(e) : 0;

    if (rc == 0) {
        rc = make_ca(hosts[0], ca_key, now_s, &ca, e);
    }
    if (rc == 0) {
        rc = make_server(hosts, n_hosts, ca, ca_key, server_key, now_s, &server, e);
    }
    if (rc == 0) {
        rc = write_texts(ca, ca_key, server, server_key, set, e);
    }
    X509_free(server);
    X509_free(ca);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(ca_key);
    return rc;
}

static void free_secret(char *text)
{
    if (text != NULL) {
        secret_cleanse(text, strlen(text));
        free(text);
    }
}

void certificate_set_free(struct certificate_set *set)
{
    free(set->ca);
    free(set->server);
    free_secret(set->ca_key);
    free_secret(set->server_key);
    *set = (struct certificate_set){.ca = NULL};
}

static X509 *read_certificate(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    X509 *x = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return x;
}

int certificate_find_ca(const char *ca_path, const char *server_path, char **pem,
                        char fingerprint[CERTIFICATE_FINGERPRINT_BYTES])
{
    X509 *ca = read_certificate(ca_path);
    X509 *server = read_certificate(server_path);
    char *text = NULL;

    if (ca != NULL && server != NULL && X509_verify(server, X509_get0_pubkey(ca)) == 1 &&
        fingerprint_of(ca, fingerprint)) {
        text = certificate_text(ca);
    }
    X509_free(server);
    X509_free(ca);
    ERR_clear_error(); /* of files that are not there */
    if (text == NULL) {
        return ERROR_NOT_FOUND;
    }
    *pem = text;
    return 0;
}
