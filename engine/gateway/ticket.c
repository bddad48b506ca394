/* SPDX-License-Identifier: MIT */
/* Session tickets (RFC 8446, 4.6.1; sealed as RFC 5077, 4 recommends: AES-256-CBC, then
 * HMAC-SHA256).
 *
 *   seal:  newest key (a period old? then a new one first) -> name, iv, cipher, mac
 *   open:  the key of that name; not the newest: opened, and the client gets a fresh ticket
 *
 * Owns: up to three keys; they are wiped when they go.  A key of ours seals for one period and
 * opens for two more, so what a stolen process image opens ends after three hours.
 * Fails: an unknown name is a full handshake, never an error.  A file that cannot be read leaves
 * the keys as they are.
 * Invariant: under the lock only copies of keys are made; the ciphers run outside it.
 * No early data: a replayed booking would be sent again by the network, not by the person.
 * Not OpenSSL's own keys: they never change and belong to one context, so a reload of the
 * certificate would cost every client a full handshake at once. */
#include "gateway/ticket.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define TICKET_TEXT 256

struct ticket_key {
    uint8_t name[16];
    uint8_t hmac[32];
    uint8_t aes[32];
};

_Static_assert(sizeof(struct ticket_key) == TICKET_KEY_BYTES, "a key in a file is a key");

struct ticket_keys {
    pthread_mutex_t lock;
    struct ticket_key keys[TICKET_KEYS_MAX]; /* newest first */
    size_t count;
    int64_t made_us;    /* monotonic: when keys[0] came */
    uint32_t period_s;  /* of keys made here */
    EVP_CIPHER *cipher; /* owned: looked up once, not for each ticket */
    char *path;         /* NULL: keys are made here */
};

static int ticket_keys_rotate(struct ticket_keys *t)
{
    struct ticket_key fresh;
    if (RAND_bytes((unsigned char *)&fresh, sizeof fresh) != 1) {
        return err_origin(-EIO);
    }
    memmove(t->keys + 1, t->keys, sizeof t->keys - sizeof t->keys[0]);
    t->keys[0] = fresh;
    t->count += t->count < TICKET_KEYS_MAX;
    t->made_us = clock_mono_us();
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return 0;
}

/* The whole file into `keys`; 0: cannot be had, or is not one to three keys. */
static size_t ticket_read(const char *path, struct ticket_key *keys, char *ret_text)
{
    struct stat st;
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        snprintf(ret_text, TICKET_TEXT, "cannot read the ticket keys %.128s: %s", path,
                 strerror(errno));
        return 0;
    }
    size_t n = fread(keys, 1, sizeof *keys * TICKET_KEYS_MAX, file);
    bool is_whole = n > 0 && n % sizeof *keys == 0 && fgetc(file) == EOF && !ferror(file);
    if (fstat(fileno(file), &st) == 0 && (st.st_mode & 077)) {
        log_event(LOG_FILE_OPEN_TO_OTHERS, NULL, "%s can be read by others: chmod 600", path);
    }
    fclose(file);
    if (!is_whole) {
        snprintf(ret_text, TICKET_TEXT, "the ticket keys %.128s must be 80, 160 or 240 bytes: make "
                 "one with head -c 80 /dev/urandom", path);
        return 0;
    }
    return n / sizeof *keys;
}

int ticket_keys_reload(struct ticket_keys *t, char *ret_text)
{
    struct ticket_key keys[TICKET_KEYS_MAX] = {0};
    if (t->path == NULL) {
        return 0;
    }
    size_t count = ticket_read(t->path, keys, ret_text);
    if (count > 0) {
        pthread_mutex_lock(&t->lock);
        memcpy(t->keys, keys, sizeof keys);
        t->count = count;
        pthread_mutex_unlock(&t->lock);
    }
    OPENSSL_cleanse(keys, sizeof keys);
    return count > 0 ? 0 : TICKET_E_FILE;
}

int ticket_keys_new(const char *path, uint32_t period_s, struct ticket_keys **ret_keys,
                    char *ret_text)
{
    CHECK(period_s > 0);
    struct ticket_keys *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_mutex_init(&t->lock, NULL);
    t->period_s = period_s;
    t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    int r = 0;
    if (t->cipher == NULL) {
        ERR_clear_error();
        r = err_origin(-ENOMEM);
    } else if (path && *path) {
        t->path = strdup(path);
        r = t->path ? ticket_keys_reload(t, ret_text) : err_origin(-ENOMEM);
    } else {
        r = ticket_keys_rotate(t);
    }
    if (r) {
        ticket_keys_free(t);
        return r > 0 ? r : err_trace(r);
    }
    *ret_keys = t;
    return 0;
}

void ticket_keys_free(struct ticket_keys *t)
{
    if (t == NULL) {
        return;
    }
    pthread_mutex_destroy(&t->lock);
    EVP_CIPHER_free(t->cipher);
    free(t->path);
    OPENSSL_cleanse(t->keys, sizeof t->keys);
    free(t);
}

/* A copy of the key that seals now. */
static int ticket_newest(struct ticket_keys *t, struct ticket_key *ret_key)
{
    int r = 0;
    pthread_mutex_lock(&t->lock);
    int64_t end_us = t->made_us + (int64_t)t->period_s * SECOND_US;
    if (t->path == NULL && clock_mono_us() >= end_us) {
        r = ticket_keys_rotate(t);
    }
    *ret_key = t->keys[0];
    pthread_mutex_unlock(&t->lock);
    return r;
}

/* A copy of the key of that name, and its place; -1: none. */
static int ticket_named(struct ticket_keys *t, const uint8_t *name, struct ticket_key *ret_key)
{
    int place = -1;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->count && place < 0; i++) {
        if (CRYPTO_memcmp(t->keys[i].name, name, sizeof t->keys[i].name) == 0) {
            *ret_key = t->keys[i];
            place = (int)i;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return place;
}

static bool ticket_arm(const struct ticket_keys *t, const struct ticket_key *key,
                       const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac,
                                          sizeof key->hmac),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex2(cipher, t->cipher, key->aes, iv, is_sealing, NULL) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's contract: < 0 error, 0 no such key, 1 done, 2 done and the client needs a new one. */
static int ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                           EVP_MAC_CTX *mac, int is_sealing)
{
    struct ticket_keys *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key key;
    int place = 0;
    if (is_sealing) {
        if (ticket_newest(t, &key) < 0 ||
            RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) != 1) {
            return -1;
        }
        memcpy(name, key.name, sizeof key.name);
    } else {
        place = ticket_named(t, name, &key);
        if (place < 0) {
            return 0;
        }
    }
    bool is_armed = ticket_arm(t, &key, iv, cipher, mac, is_sealing);
    OPENSSL_cleanse(&key, sizeof key);
    /* In 1.3 a ticket is for one use (RFC 8446, C.4): whoever used one gets the next. */
    bool needs_new = !is_sealing && (place > 0 || SSL_version(ssl) == TLS1_3_VERSION);
    return !is_armed ? -1 : needs_new ? 2 : 1;
}

int ticket_keys_use(struct ticket_keys *t, SSL_CTX *context)
{
    SSL_CTX_set_app_data(context, t);
    SSL_CTX_set_timeout(context, 2L * TICKET_PERIOD_S);
    if (SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_callback) != 1 ||
        SSL_CTX_set_num_tickets(context, 1) != 1) {
        ERR_clear_error();
        return err_origin(-ENOMEM);
    }
    return 0;
}
