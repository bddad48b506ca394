/* SPDX-License-Identifier: MIT */
/* Who calls, by bearer token.
 * Owns: the keyring, its keeper, and the memory of tokens that they accepted.
 *
 *   token --SHA-256--> first 8 bytes --> index (u32, open addressing) --> entries (a ring)
 *                                                  whole hash compared      next: the oldest
 *
 * happy path: one hash, one probe.  An unknown token goes to a worker and comes back to be
 * remembered; the worker never sees the cache.
 * ways to fail: a refusal by reason; < 0 only when OpenSSL cannot hash.
 * invariants: an entry is found by all 32 bytes of the hash, so no token can be given another's
 * identity; a token is never kept, only its hash; each lookup compares exp again; an entry is
 * believed for TOKEN_CACHE_S, so that a withdrawn assurance is noticed within that time, and only
 * while the key that signed it counts, so that a withdrawn key is noticed at the next call.
 * cost: 72 bytes an entry and 8 of index or less, from calloc at full size and touched when used.
 * roads not taken: remembering refusals (junk is new each time, and it would push out what is
 * good), LRU (entries end by time and in order, the ring is as good), a seeded index (only tokens
 * that the issuer signed get in, and one token has one spelling), a memo per connection (it would
 * have to keep the token, and saves one microsecond). */
#include "gateway/auth.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"
#include "base/metrics.h"

#define HASH_BYTES  32
#define INDEX_SIZE  (1u << 19)
#define INDEX_EMPTY 0

_Static_assert(INDEX_SIZE >= 2 * TOKEN_CACHE_MAX, "at most half full: searches stay short");
_Static_assert((int)REASON_COUNT < (int)AUTH_E_UNKNOWN, "no reason may look like UNKNOWN");

struct auth_entry {
    uint8_t hash[HASH_BYTES]; /* SHA-256 of the token */
    struct verified verified;
    int64_t until_us;         /* from then on the signature is checked again; exp counts besides */
};

struct auth {
    atomic_uint holders;        /* whoever made it, each loop, each token that is being verified */
    struct keyring *ring;
    struct refresh *refresh;
    EVP_MD *sha256;             /* fetched once: EVP_sha256() would be looked up at each use */
    EVP_MD_CTX *ctx;            /* reused by the loop thread, unless is_shared */
    pthread_mutex_t mutex;      /* when is_shared: over entries and index */
    bool is_shared;
    struct auth_entry *entries; /* TOKEN_CACHE_MAX */
    uint32_t *index;            /* entry number + 1, or INDEX_EMPTY */
    uint32_t entries_count;     /* used ones */
    uint32_t entry_next;        /* place of the next one; when all are used: the oldest */
};

/* -- the cache --------------------------------------------------------------------------------- */

static uint32_t entry_home(const uint8_t *hash)
{
    uint64_t head;
    memcpy(&head, hash, sizeof head);
    return (uint32_t)head & (INDEX_SIZE - 1);
}

/* The place that names the token's entry, or the empty place where it would go. */
static uint32_t cache_find(const struct auth *a, const uint8_t *hash)
{
    uint32_t place = entry_home(hash);
    while (a->index[place] != INDEX_EMPTY &&
           memcmp(a->entries[a->index[place] - 1].hash, hash, HASH_BYTES) != 0) {
        place = (place + 1) & (INDEX_SIZE - 1);
    }
    return place;
}

/* Empties a place and moves back whatever had been pushed past it (Knuth 6.4 R). */
static void cache_remove(struct auth *a, uint32_t hole)
{
    CHECK(a->index[hole] != INDEX_EMPTY);
    for (uint32_t at = (hole + 1) & (INDEX_SIZE - 1); a->index[at] != INDEX_EMPTY;
         at = (at + 1) & (INDEX_SIZE - 1)) {
        uint32_t home = entry_home(a->entries[a->index[at] - 1].hash);
        if (((at - home) & (INDEX_SIZE - 1)) >= ((at - hole) & (INDEX_SIZE - 1))) {
            a->index[hole] = a->index[at];
            hole = at;
        }
    }
    a->index[hole] = INDEX_EMPTY;
}

/* The token's entry, made when there is none; the oldest goes when all are used. */
static struct auth_entry *cache_take(struct auth *a, const uint8_t *hash)
{
    uint32_t place = cache_find(a, hash);
    if (a->index[place] != INDEX_EMPTY) {
        return &a->entries[a->index[place] - 1];
    }
    struct auth_entry *e = &a->entries[a->entry_next];
    if (a->entries_count < TOKEN_CACHE_MAX) {
        a->entries_count++;
    } else {
        cache_remove(a, cache_find(a, e->hash));
        place = cache_find(a, hash); /* places may have moved */
    }
    memcpy(e->hash, hash, HASH_BYTES);
    a->index[place] = a->entry_next + 1;
    a->entry_next = (a->entry_next + 1) % TOKEN_CACHE_MAX;
    return e;
}

/* Outside the lock: most of what a lookup costs. */
static int token_hash(struct auth *a, struct span token, uint8_t *ret_hash)
{
    EVP_MD_CTX *ctx = a->is_shared ? EVP_MD_CTX_new() : a->ctx;
    bool is_good = ctx && EVP_DigestInit_ex2(ctx, a->sha256, NULL) &&
                   EVP_DigestUpdate(ctx, token.ptr, token.len) &&
                   EVP_DigestFinal_ex(ctx, ret_hash, NULL);
    if (a->is_shared) {
        EVP_MD_CTX_free(ctx);
    }
    if (!is_good) {
        ERR_clear_error();
        return err_origin(-EIO);
    }
    return 0;
}

static void cache_lock(struct auth *a)
{
    if (a->is_shared) {
        pthread_mutex_lock(&a->mutex);
    }
}

static void cache_unlock(struct auth *a)
{
    if (a->is_shared) {
        pthread_mutex_unlock(&a->mutex);
    }
}

/* 0 and *ret_entry when the token is remembered. */
static int cache_read(struct auth *a, const uint8_t *hash, struct auth_entry *ret_entry)
{
    cache_lock(a);
    uint32_t number = a->index[cache_find(a, hash)];
    if (number != INDEX_EMPTY) {
        *ret_entry = a->entries[number - 1];
    }
    cache_unlock(a);
    return number == INDEX_EMPTY ? AUTH_E_UNKNOWN : 0;
}

/* -- keys -------------------------------------------------------------------------------------- */

static int keys_open(struct auth *a, const struct auth_options *options, char *ret_text)
{
    int r = keyring_new(options->issuers, options->issuers_count, options->tenant_key, &a->ring,
                        ret_text);
    if (r) {
        return r == KEYRING_E_OPTIONS ? AUTH_E_OPTIONS : err_trace(r);
    }
    r = refresh_new(a->ring, &a->refresh, ret_text);
    return r == REFRESH_E_KEYS ? AUTH_E_KEYS : err_trace(r);
}

int auth_new(const struct auth_options *options, struct auth **ret_auth, char *ret_text)
{
    ret_text[0] = '\0';
    struct auth *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return err_origin(-ENOMEM);
    }
    a->is_shared = options->is_shared;
    atomic_init(&a->holders, 1);
    pthread_mutex_init(&a->mutex, NULL);
    a->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    a->ctx = EVP_MD_CTX_new();
    a->entries = calloc(TOKEN_CACHE_MAX, sizeof *a->entries);
    a->index = calloc(INDEX_SIZE, sizeof *a->index);
    int r = a->sha256 && a->ctx && a->entries && a->index ? keys_open(a, options, ret_text)
                                                          : err_origin(-ENOMEM);
    if (r) {
        auth_drop(a);
        return err_trace(r);
    }
    *ret_auth = a;
    return 0;
}

struct auth *auth_hold(struct auth *a)
{
    CHECK(atomic_fetch_add(&a->holders, 1) > 0);
    return a;
}

void auth_drop(struct auth *a)
{
    if (a && atomic_fetch_sub(&a->holders, 1) == 1) {
        refresh_free(a->refresh);
        keyring_free(a->ring);
        free(a->index);
        free(a->entries);
        EVP_MD_CTX_free(a->ctx);
        EVP_MD_free(a->sha256);
        pthread_mutex_destroy(&a->mutex);
        free(a);
    }
}

void auth_show(const struct auth *a)
{
    for (size_t i = 0; i < keyring_count(a->ring); i++) {
        metrics_label_name(METRICS_LABEL_issuer, i, keyring_issuer(a->ring, i)->name);
    }
}

void auth_refresh(struct auth *a)
{
    refresh_now(a->refresh);
}

bool auth_is_busy(struct auth *a, size_t issuer)
{
    return refresh_is_busy(a->refresh, issuer);
}

size_t auth_issuers_count(const struct auth *a)
{
    return keyring_count(a->ring);
}

void auth_issuer_state(struct auth *a, size_t issuer, struct refresh_state *ret_state)
{
    refresh_state(a->refresh, issuer, ret_state);
}

/* -- a call ------------------------------------------------------------------------------------ */

int auth_bearer(struct span header, struct span *ret_token)
{
    static const char scheme[] = "Bearer ";
    const size_t len = sizeof scheme - 1;
    if (header.len <= len || strncasecmp((const char *)header.ptr, scheme, len) != 0) {
        return REASON_TOKEN_MISSING;
    }
    struct span token = {header.ptr + len, header.len - len};
    while (token.len > 0 && *token.ptr == ' ') { /* 1*SP (RFC 9110 11.4) */
        token.ptr++;
        token.len--;
    }
    if (token.len == 0) {
        return REASON_TOKEN_MISSING;
    }
    if (token.len > TOKEN_MAX) {
        return REASON_TOKEN_INVALID;
    }
    *ret_token = token;
    return 0;
}

int auth_lookup(struct auth *a, struct span header, int64_t now_wall_us,
                struct verified *ret_verified)
{
    uint8_t hash[HASH_BYTES];
    struct span token;
    int r = auth_bearer(header, &token);
    if (r) {
        return r;
    }
    r = token_hash(a, token, hash);
    if (r) {
        return err_trace(r);
    }
    struct auth_entry e;
    r = cache_read(a, hash, &e);
    if (r) {
        return r;
    }
    if (e.verified.exp_us <= now_wall_us) {
        return REASON_TOKEN_EXPIRED;
    }
    if (e.until_us <= now_wall_us || !keyring_is_live(a->ring, e.verified.mark)) {
        return AUTH_E_UNKNOWN;
    }
    *ret_verified = e.verified;
    return 0;
}

/* A kid that is not among the issuer's keys: perhaps they have changed. */
static int kid_unknown(struct auth *a, struct auth_trouble *trouble)
{
    switch (refresh_ask(a->refresh, trouble->issuer, &trouble->retry_ms)) {
    case REFRESH_BUSY:
        return AUTH_E_BUSY;
    default:
        return REASON_TOKEN_INVALID;
    }
}

int auth_verify(struct auth *a, struct span token, int64_t now_wall_us,
                struct verified *ret_verified, struct auth_trouble *ret_trouble)
{
    *ret_trouble = (struct auth_trouble){0};
    int r = verify_token(a->ring, token, now_wall_us, ret_verified, &ret_trouble->issuer);
    if (r == VERIFY_E_KID) {
        return kid_unknown(a, ret_trouble);
    }
    if (r == VERIFY_E_KEYS) {
        ret_trouble->retry_ms = refresh_wait_ms(a->refresh, ret_trouble->issuer);
        return REASON_KEYS_UNAVAILABLE;
    }
    return r;
}

int auth_remember(struct auth *a, struct span token, const struct verified *verified,
                  int64_t now_wall_us)
{
    uint8_t hash[HASH_BYTES];
    CHECK(token.len > 0 && token.len <= TOKEN_MAX);
    int r = token_hash(a, token, hash);
    if (r) {
        return err_trace(r);
    }
    cache_lock(a);
    struct auth_entry *e = cache_take(a, hash);
    e->verified = *verified;
    e->until_us = now_wall_us + TOKEN_CACHE_S * SECOND_US;
    cache_unlock(a);
    return 0;
}
