/* SPDX-License-Identifier: MIT */
/* The operator's signing key: made once, by `fairslot release key` or by the first start.
 *   libcrypto draws it -> PEM in memory -> keyfile (0600 at once, whole or not at all)
 * Never overwritten: with another key, receipts that people hold would no longer speak.
 * Owns nothing when it returns; fails as keyfile does. */
#include "ctl/signkey.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "ctl/keyfile.h"

int signkey_create(const char *path)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *memory = BIO_new(BIO_s_secmem());
    char *text = NULL;
    int r = -ENOMEM;
    if (key && memory && PEM_write_bio_PKCS8PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL)) {
        long n = BIO_get_mem_data(memory, &text);
        r = keyfile_create(path, (struct span){(const uint8_t *)text, (size_t)n}, 0600);
    }
    BIO_free(memory);
    EVP_PKEY_free(key);
    return r < 0 ? err_fold(r) : r;
}

int signkey_ensure(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file) {
        fclose(file);
        return 0;
    }
    int r = signkey_create(path);
    return r == KEYFILE_E_EXISTS ? 0 : r;
}

bool signkey_public(const char *path, struct draw_key *ret_key)
{
    FILE *file = fopen(path, "re");
    size_t n = sizeof ret_key->bytes;
    if (file == NULL) {
        return false;
    }
    EVP_PKEY *key = PEM_read_PUBKEY(file, NULL, NULL, NULL);
    if (key == NULL) {
        rewind(file);
        key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    }
    fclose(file);
    bool ok = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 &&
              EVP_PKEY_get_raw_public_key(key, ret_key->bytes, &n) == 1;
    EVP_PKEY_free(key);
    return ok;
}

bool signkey_matches(const char *certificate, const char *key)
{
    FILE *first = fopen(certificate, "re"), *second = fopen(key, "re");
    X509 *x = first ? PEM_read_X509(first, NULL, NULL, NULL) : NULL;
    EVP_PKEY *k = second ? PEM_read_PrivateKey(second, NULL, NULL, NULL) : NULL;
    bool matches = x && k && X509_check_private_key(x, k) == 1;
    ERR_clear_error();
    X509_free(x);
    EVP_PKEY_free(k);
    if (first) {
        fclose(first);
    }
    if (second) {
        fclose(second);
    }
    return matches;
}
