/* SPDX-License-Identifier: MIT */
/* The issuers and their keys of this moment.
 * Owns: every struct issuer, one held key set for each, the tenant key.
 *
 *   issuer -> current set -> key -> mark {issuer, slot, generation}
 *             slots: [print, generation]   a key that leaves: generation + 1, its tokens are
 * strange
 *
 * Happy path: keyring_take() for a signature: a lock, a counter; keyring_is_live() for a token that
 * is remembered: one atomic load.
 * Fails: a set that cannot be read changes nothing.
 * Invariants: a key's slot and generation stay the same as long as some set has the very same key
 * (kid, algorithm, numbers), so a refresh forgets nobody; once it is missing from a set its marks
 * are dead for good, even if it comes back.
 * Roads not taken: emptying the token cache at each new set (everybody would verify at once). */
#include "gateway/keyring.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define TEXT_SIZE 256

struct slot {
    uint8_t print[KEYSET_PRINT_BYTES];
    bool is_used;
    atomic_uint generation;
};

struct place {
    struct issuer_rules *issuer;
    struct keyset *set; /* held; NULL: none */
    struct slot slots[ISSUER_KEYS_MAX];
};

struct keyring {
    pthread_mutex_t lock; /* sets, prints, is_used */
    struct place places[ISSUERS_MAX];
    size_t count;
    uint8_t tenant_key[KEYRING_TENANT_KEY];
};

static int place_init(struct keyring *ring, const struct issuer_options *options, char *ret_text)
{
    struct issuer_rules *issuer;
    int r = issuer_new(options, &issuer, ret_text);
    if (r) {
        return r == ISSUER_E_OPTIONS ? KEYRING_E_OPTIONS : err_trace(r);
    }
    const char *twice = NULL;
    for (size_t i = 0; i < ring->count; i++) {
        const struct issuer_rules *other = ring->places[i].issuer;
        twice = strcmp(other->iss, issuer->iss) == 0 ? "issuer" : twice;
        twice = strcmp(other->name, issuer->name) == 0 ? "name" : twice;
    }
    ring->places[ring->count++].issuer = issuer; /* freed with the ring from here on */
    if (twice) {
        snprintf(ret_text, TEXT_SIZE, "issuer %s: another issuer has its %s", issuer->name, twice);
        return KEYRING_E_OPTIONS;
    }
    return 0;
}

int keyring_new(const struct issuer_options *options, size_t count, const uint8_t *tenant_key,
                struct keyring **ret_ring, char *ret_text)
{
    ret_text[0] = '\0';
    if (count == 0 || count > ISSUERS_MAX) {
        snprintf(ret_text, TEXT_SIZE, "1 to %d issuers are needed", ISSUERS_MAX);
        return KEYRING_E_OPTIONS;
    }
    struct keyring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        return err_origin(-ENOMEM);
    }
    pthread_mutex_init(&ring->lock, NULL);
    memcpy(ring->tenant_key, tenant_key, sizeof ring->tenant_key);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        r = place_init(ring, &options[i], ret_text);
    }
    if (r) {
        keyring_free(ring);
        return r;
    }
    *ret_ring = ring;
    return 0;
}

void keyring_free(struct keyring *ring)
{
    if (ring == NULL) {
        return;
    }
    for (size_t i = 0; i < ring->count; i++) {
        keyset_drop(ring->places[i].set);
        issuer_free(ring->places[i].issuer);
    }
    pthread_mutex_destroy(&ring->lock);
    OPENSSL_cleanse(ring->tenant_key, sizeof ring->tenant_key);
    free(ring);
}

size_t keyring_count(const struct keyring *ring)
{
    return ring->count;
}

const struct issuer_rules *keyring_issuer(const struct keyring *ring, size_t number)
{
    CHECK(number < ring->count);
    return ring->places[number].issuer;
}

bool keyring_find(const struct keyring *ring, const char *iss, size_t *ret_number)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (strcmp(ring->places[i].issuer->iss, iss) == 0) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

const uint8_t *keyring_tenant_key(const struct keyring *ring)
{
    return ring->tenant_key;
}

/* -- keys come and go -------------------------------------------------------------------------- */

static struct keyset_key *set_has(struct keyset *set, const uint8_t *print)
{
    for (size_t i = 0; set && i < set->count; i++) {
        if (memcmp(set->keys[i].print, print, KEYSET_PRINT_BYTES) == 0) {
            return &set->keys[i];
        }
    }
    return NULL;
}

/* The slot that knows this key, else an empty one; there is one, a set has no more keys than this
 * and those that left have gone before. */
static size_t slot_for(struct place *p, const uint8_t *print)
{
    size_t empty = ISSUER_KEYS_MAX;
    for (size_t i = 0; i < ISSUER_KEYS_MAX; i++) {
        if (p->slots[i].is_used && memcmp(p->slots[i].print, print, KEYSET_PRINT_BYTES) == 0) {
            return i;
        }
        empty = !p->slots[i].is_used && empty == ISSUER_KEYS_MAX ? i : empty;
    }
    CHECK(empty < ISSUER_KEYS_MAX);
    return empty;
}

/* Under the lock.  `set` may be NULL. */
static void slots_follow(struct place *p, size_t number, struct keyset *set)
{
    for (size_t i = 0; i < ISSUER_KEYS_MAX; i++) {
        struct slot *s = &p->slots[i];
        if (s->is_used && set_has(set, s->print) == NULL) {
            s->is_used = false;
            atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
        }
    }
    for (size_t i = 0; set && i < set->count; i++) {
        struct keyset_key *key = &set->keys[i];
        size_t at = slot_for(p, key->print);
        struct slot *s = &p->slots[at];
        s->is_used = true;
        memcpy(s->print, key->print, sizeof s->print);
        key->mark = (struct key_mark){(uint16_t)number, (uint16_t)at,
                                      atomic_load_explicit(&s->generation, memory_order_relaxed)};
    }
}

static void place_set(struct keyring *ring, size_t number, struct keyset *set)
{
    CHECK(number < ring->count);
    struct place *p = &ring->places[number];
    pthread_mutex_lock(&ring->lock);
    slots_follow(p, number, set);
    struct keyset *old = p->set;
    p->set = set;
    pthread_mutex_unlock(&ring->lock);
    keyset_drop(old);
}

int keyring_put(struct keyring *ring, size_t number, struct span jwks, char *ret_text)
{
    struct keyset *set;
    int r = keyset_read(jwks, keyring_issuer(ring, number)->algorithms, &set, ret_text);
    if (r) {
        return r == KEYSET_E_KEYS ? KEYRING_E_KEYS : err_trace(r);
    }
    place_set(ring, number, set);
    return 0;
}

void keyring_clear(struct keyring *ring, size_t number)
{
    place_set(ring, number, NULL);
}

struct keyset *keyring_take(struct keyring *ring, size_t number)
{
    CHECK(number < ring->count);
    pthread_mutex_lock(&ring->lock);
    struct keyset *set = ring->places[number].set;
    if (set) {
        keyset_hold(set);
    }
    pthread_mutex_unlock(&ring->lock);
    return set;
}

bool keyring_is_live(const struct keyring *ring, struct key_mark mark)
{
    if (mark.issuer >= ring->count || mark.slot >= ISSUER_KEYS_MAX) {
        return false;
    }
    const struct slot *s = &ring->places[mark.issuer].slots[mark.slot];
    return atomic_load_explicit(&s->generation, memory_order_acquire) == mark.generation;
}
