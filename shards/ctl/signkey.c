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
#include <openssl/x509v3.h>
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

/* The certificates that stand behind the first one: what leads up to the authority.  NULL: none. */
static STACK_OF(X509) *signkey_chain(FILE *file)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *x;
    while (chain && (x = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(chain, x) == 0) {
            X509_free(x);
            break;
        }
    }
    return chain;
}

/* X509_V_OK or why not. */
static int signkey_verify(X509_STORE *store, X509 *x, STACK_OF(X509) *chain, int purpose)
{
    X509_STORE_CTX *c = X509_STORE_CTX_new();
    int why = X509_V_ERR_OUT_OF_MEM;
    if (c && X509_STORE_CTX_init(c, store, x, chain) == 1 &&
        X509_STORE_CTX_set_purpose(c, purpose) == 1) {
        why = X509_verify_cert(c) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(c);
    }
    X509_STORE_CTX_free(c);
    return why;
}

bool signkey_belongs(const char *certificate, const char *authority, const char *name,
                     char *ret_text)
{
    FILE *file = fopen(certificate, "re");
    X509 *x = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    STACK_OF(X509) *chain = x ? signkey_chain(file) : NULL;
    X509_STORE *store = X509_STORE_new();
    int why = X509_V_ERR_OUT_OF_MEM;
    bool belongs = false;
    ret_text[0] = 0;
    if (store == NULL || X509_STORE_load_file(store, authority) != 1) {
        snprintf(ret_text, 256, "%.200s holds no certificate of an authority", authority);
    } else if (x == NULL || chain == NULL) {
        snprintf(ret_text, 256, "%.200s holds no certificate", certificate);
    } else if ((why = signkey_verify(store, x, chain, X509_PURPOSE_SSL_SERVER)) != X509_V_OK ||
               (why = signkey_verify(store, x, chain, X509_PURPOSE_SSL_CLIENT)) != X509_V_OK) {
        snprintf(ret_text, 256, "%.70s is not believed by whoever trusts %.70s: %.60s",
                 certificate, authority, X509_verify_cert_error_string(why));
    } else if (X509_check_host(x, name, strlen(name), 0, NULL) != 1) {
        snprintf(ret_text, 256, "%.120s does not carry the DNS name %.80s (inside.name)",
                 certificate, name);
    } else {
        belongs = true;
    }
    ERR_clear_error();
    sk_X509_pop_free(chain, X509_free);
    X509_STORE_free(store);
    X509_free(x);
    if (file) {
        fclose(file);
    }
    return belongs;
}
