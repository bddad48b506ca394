/* SPDX-License-Identifier: MIT */
/* Goal: the shares are exact, nobody is delayed by somebody else's many calls, and a full queue
 * refuses its own newest only. */
#include "fair/fairq.h"

#include <sodium/crypto_shorthash.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

struct work {
    struct fairq_entry entry;
    uint32_t who; /* number of the identity */
};

static struct identity identity_of(uint32_t who)
{
    struct identity i = {0};
    memcpy(i.bytes, &who, sizeof who);
    return i;
}

static struct fairq *queue_of(const uint32_t *weights, uint32_t per_identity, uint32_t identities)
{
    struct fairq_options o = {.waiting_per_identity = per_identity, .identities_max = identities};
    struct fairq *q = NULL;
    memcpy(o.secret, "sixteen secret b", sizeof o.secret);
    memcpy(o.weights, weights, sizeof o.weights);
    EQ(fairq_new(&o, &q), 0);
    return q;
}

static int push(struct fairq *q, struct work *w, uint32_t who, enum fairq_class class)
{
    struct fairq_place at = {.identity = identity_of(who)};
    w->entry.class = class;
    w->who = who;
    return fairq_push(q, &at, &w->entry);
}

static struct work *pull(struct fairq *q)
{
    struct fairq_entry *e;
    return fairq_pull(q, &e, 1) ? CONTAINER_OF(e, struct work, entry) : NULL;
}

static const uint32_t weights_house[FAIRQ_CLASSES] = {8, 4, 2, 1};

/* With the gateway's own cap: who sends thousands is cut off at it, and whoever comes then waits
 * for one call of the flood, not for all of them. */
static void test_flood_at_the_cap(void)
{
    static struct work flood[8000], others[100];
    uint32_t refused = 0, turns = 0, served = 0;
    struct fairq *q = queue_of(weights_house, WAITING_PER_IDENTITY, CALLS_MAX);
    for (uint32_t i = 0; i < 8000; i++) {
        refused += push(q, &flood[i], 1, FAIRQ_RESERVE) == FAIRQ_E_FULL_IDENTITY;
    }
    EQ(refused, 8000 - WAITING_PER_IDENTITY);
    EQ(fairq_waiting(q), WAITING_PER_IDENTITY);
    for (uint32_t i = 0; i < 100; i++) {
        EQ(push(q, &others[i], 2 + i, FAIRQ_RESERVE), 0);
    }
    while (served < 100) {
        struct work *w = pull(q);
        OK(w != NULL);
        turns++;
        served += w->who != 1;
    }
    OK(turns <= 102);
    fairq_free(q);
}

/* The test of h2o's scheduler: 100 turns of 256 + 128 + 32 + 1. */
static void test_exact_share_of_classes(void)
{
    static const uint32_t weights[FAIRQ_CLASSES] = {256, 128, 32, 1};
    static struct work works[FAIRQ_CLASSES][40];
    uint32_t counts[FAIRQ_CLASSES] = {0};
    struct fairq *q = queue_of(weights, 1, 200);
    for (uint32_t c = 0; c < FAIRQ_CLASSES; c++) {
        for (uint32_t i = 0; i < 40; i++) {
            EQ(push(q, &works[c][i], c * 40 + i, (enum fairq_class)c), 0);
        }
    }
    for (int n = 0; n < 41700; n++) {
        struct work *w = pull(q);
        counts[w->entry.class]++;
        OK(push(q, w, w->who, w->entry.class) == 0);
    }
    EQ(counts[0], 25600);
    EQ(counts[1], 12800);
    EQ(counts[2], 3200);
    EQ(counts[3], 100);
    fairq_free(q);
}

/* An empty class costs the others nothing, and saves nothing up for later. */
static void test_empty_class_forfeits(void)
{
    static struct work works[64];
    struct fairq_entry *out[64];
    struct fairq *q = queue_of(weights_house, 16, 64);
    for (uint32_t i = 0; i < 20; i++) {
        EQ(push(q, &works[i], i, FAIRQ_SEARCH), 0);
    }
    EQ(fairq_pull(q, out, 12), 12); /* 12 turns in which the others could have saved up */
    for (uint32_t i = 20; i < 40; i++) {
        EQ(push(q, &works[i], i, FAIRQ_READ), 0);
    }
    EQ(fairq_pull(q, out, 9), 9);
    uint32_t reads = 0;
    for (int i = 0; i < 9; i++) {
        reads += out[i]->class == FAIRQ_READ;
    }
    EQ(reads, 6); /* weight 2 against 1, not 24 saved ones */
    fairq_free(q);
}

/* Two identities that always wait alternate: then no window can show a difference over one. */
static void test_equal_identities(void)
{
    enum { STEADY = 12, OTHERS = 20, CALLS = 4 };
    static struct work steady[STEADY][CALLS], others[OTHERS];
    static uint32_t seen[STEADY][STEADY]; /* [a][b]: a was served since b was */
    struct prng p;
    prng_init(&p, 11);
    struct fairq *q = queue_of(weights_house, CALLS, 64);
    for (uint32_t i = 0; i < STEADY; i++) {
        for (int k = 0; k < (i % 2 ? CALLS : 2); k++) { /* some wait with two, some with four */
            EQ(push(q, &steady[i][k], i, FAIRQ_RESERVE), 0);
        }
    }
    for (int n = 0; n < 200000; n++) {
        struct work *o = &others[prng_below(&p, OTHERS)];
        if (prng_below(&p, 3) == 0 && o->entry.flow == NULL) {
            (void)push(q, o, STEADY + (uint32_t)prng_below(&p, OTHERS),
                       prng_below(&p, 2) ? FAIRQ_RESERVE : FAIRQ_READ);
        } else if (prng_below(&p, 5) == 0) {
            fairq_remove(q, &o->entry);
        }
        struct work *w = pull(q);
        if (w->who >= STEADY) {
            continue;
        }
        for (uint32_t b = 0; b < STEADY; b++) {
            OK(b == w->who || seen[w->who][b] == 0);
            seen[w->who][b] = 1;
            seen[b][w->who] = 0;
        }
        OK(push(q, w, w->who, FAIRQ_RESERVE) == 0);
    }
    fairq_free(q);
}

static void test_own_newest_is_refused(void)
{
    struct work a[4] = {0}, b = {0};
    struct fairq *q = queue_of(weights_house, 3, 8);
    EQ(push(q, &a[0], 1, FAIRQ_CONTROL), 0);
    EQ(push(q, &a[1], 1, FAIRQ_READ), 0);
    EQ(push(q, &a[2], 1, FAIRQ_READ), 0);
    EQ(push(q, &a[3], 1, FAIRQ_SEARCH), FAIRQ_E_FULL_IDENTITY); /* all classes together */
    OK(a[3].entry.flow == NULL);
    EQ(push(q, &b, 2, FAIRQ_SEARCH), 0);
    EQ(fairq_waiting(q), 4);
    EQ(fairq_waiting_identities(q), 2);
    OK(pull(q) == &a[0]);
    EQ(push(q, &a[3], 1, FAIRQ_READ), 0); /* room again */
    OK(pull(q) == &a[1]);
    OK(pull(q) == &a[2]);
    OK(pull(q) == &b);
    OK(pull(q) == &a[3]);
    OK(pull(q) == NULL);
    EQ(fairq_waiting(q), 0);
    EQ(fairq_waiting_identities(q), 0);
    fairq_free(q);
}

static void test_identities_max(void)
{
    static struct work w[10];
    struct fairq *q = queue_of(weights_house, 4, 5);
    for (uint32_t i = 0; i < 5; i++) {
        EQ(push(q, &w[i], i, FAIRQ_READ), 0);
    }
    EQ(push(q, &w[5], 5, FAIRQ_CONTROL), FAIRQ_E_FULL);
    OK(w[5].entry.flow == NULL);
    EQ(push(q, &w[6], 4, FAIRQ_READ), 0); /* one that waits already has its place */
    fairq_remove(q, &w[2].entry);
    EQ(push(q, &w[5], 5, FAIRQ_CONTROL), 0);
    EQ(push(q, &w[2], 2, FAIRQ_READ), FAIRQ_E_FULL);
    EQ(fairq_waiting_identities(q), 5);
    fairq_free(q);
    fairq_free(NULL);
}

static void test_remove_anywhere(void)
{
    struct work w[5] = {0};
    struct fairq *q = queue_of(weights_house, 8, 8);
    for (uint32_t i = 0; i < 5; i++) {
        EQ(push(q, &w[i], i / 4, FAIRQ_READ), 0); /* 0: four calls, 1: one */
    }
    fairq_remove(q, &w[0].entry); /* first */
    fairq_remove(q, &w[2].entry); /* middle */
    fairq_remove(q, &w[2].entry); /* again: nothing */
    EQ(fairq_waiting(q), 3);
    OK(pull(q) == &w[1]);
    OK(pull(q) == &w[4]);
    fairq_remove(q, &w[3].entry); /* last of all */
    OK(pull(q) == NULL);
    EQ(fairq_waiting_identities(q), 0);
    struct fairq_entry never = {0};
    fairq_remove(q, &never);
    fairq_free(q);
}

static void test_many_calls_delay_nobody(void)
{
    enum { FLOOD = 10000, PEOPLE = 50 };
    static struct work flood[FLOOD], people[PEOPLE];
    struct fairq_entry *out[2 * PEOPLE];
    struct fairq *q = queue_of(weights_house, FLOOD, 100);
    for (int i = 0; i < FLOOD; i++) {
        EQ(push(q, &flood[i], 0, FAIRQ_RESERVE), 0);
    }
    for (uint32_t i = 0; i < PEOPLE; i++) {
        EQ(push(q, &people[i], 1 + i, FAIRQ_RESERVE), 0);
    }
    size_t n = fairq_pull(q, out, PEOPLE + 1); /* one round of the ring */
    EQ(n, PEOPLE + 1);
    for (int i = 0; i < PEOPLE; i++) {
        OK(people[i].entry.flow == NULL);
    }
    EQ(fairq_waiting(q), FLOOD - 1);
    EQ(fairq_waiting_identities(q), 1);
    fairq_free(q);
}

/* A newcomer waits behind the ring: leaving and coming back under fresh names gains nothing. */
static void test_no_priority_for_new(void)
{
    struct work w[4] = {0};
    struct fairq *q = queue_of(weights_house, 8, 8);
    for (uint32_t i = 0; i < 3; i++) {
        EQ(push(q, &w[i], i, FAIRQ_READ), 0);
    }
    EQ(push(q, &w[3], 9, FAIRQ_READ), 0);
    for (int i = 0; i < 4; i++) {
        OK(pull(q) == &w[i]);
    }
    fairq_free(q);
}

/* Keys chosen to fall on one place under a secret that an attacker guessed. */
static void flood_keys(const uint8_t *guess, struct fairq_place *out, size_t count)
{
    uint64_t at = 0;
    for (size_t n = 0; n < count; at++) {
        uint8_t hash[crypto_shorthash_BYTES], key[17] = {0}; /* identity and kind */
        memcpy(key, &at, sizeof at);
        memcpy(out[n].identity.bytes, key, 16);
        crypto_shorthash(hash, key, sizeof key, guess);
        n += hash[0] == 0x5a && (hash[1] & 0x1f) == 0x05;
    }
}

static void test_hash_flood(void)
{
    enum { KEYS = 400 };
    static struct work w[KEYS];
    static struct fairq_place keys[KEYS];
    struct fairq_options o = {.weights = {8, 4, 2, 1}, .waiting_per_identity = 4,
                              .identities_max = 2048};
    size_t probes[2];
    flood_keys(o.secret, keys, KEYS);
    for (int known = 0; known < 2; known++) {
        struct fairq *q = NULL;
        memset(o.secret, known ? 0 : 0xc3, sizeof o.secret);
        EQ(fairq_new(&o, &q), 0);
        for (int i = 0; i < KEYS; i++) {
            w[i] = (struct work){.entry.class = FAIRQ_READ};
            EQ(fairq_push(q, &keys[i], &w[i].entry), 0);
        }
        for (int i = 0; i < KEYS; i += 2) { /* holes in the long run close again */
            fairq_remove(q, &w[i].entry);
        }
        for (int i = 1; i < KEYS; i += 2) {
            EQ(fairq_push(q, &keys[i], &w[i - 1].entry), 0); /* found, not made */
        }
        EQ(fairq_waiting_identities(q), KEYS / 2);
        for (int i = 1; i < KEYS; i += 2) {
            OK(pull(q) == &w[i]);
        }
        probes[known] = fairq_probe_max(q);
        fairq_free(q);
    }
    OK(probes[0] <= 16);   /* the secret is not known: like any other keys */
    OK(probes[1] >= KEYS); /* and the test would see it if it were */
}

int main(void)
{
    TAP_RUN(test_exact_share_of_classes);
    TAP_RUN(test_empty_class_forfeits);
    TAP_RUN(test_equal_identities);
    TAP_RUN(test_own_newest_is_refused);
    TAP_RUN(test_identities_max);
    TAP_RUN(test_remove_anywhere);
    TAP_RUN(test_many_calls_delay_nobody);
    TAP_RUN(test_flood_at_the_cap);
    TAP_RUN(test_no_priority_for_new);
    TAP_RUN(test_hash_flood);
    return tap_done();
}
