/* SPDX-License-Identifier: MIT */
/* The stock of a release.  Pure.
 * Owns: for each chain length n a set of the slots from which n neighbours are free, and each
 * slot's neighbours.  A set is a tree of bits, 64 to a word: the first member at or after a number
 * is found by one word a level, three levels for 200,000 slots.
 *
 *   sets[0]  free               sets[n-1]  n neighbours from here are free
 *   take(i): i leaves every set, and so does whoever needs i: its k-th neighbour before, from n > k
 *   put(i):  the run of free neighbours from each of those is counted again
 *
 * It grows slot by slot (doubling), so that a release's listing spreads the work over its steps:
 * who may follow whom is found by each desk's newest slot, in a table that is as large as the desks
 * are many.
 * Invariant: a slot is in sets[n] only if it is in sets[n-1].
 * Roads not taken: union-find over "next free" is smaller, but cannot put back, and standby lives
 * on what is given back; a scan is O(slots) for the last of a million tickets.
 * Fails only when memory ends, in draw_stock_new() and draw_stock_add(). */
#include "draw/stock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define STOCK_LEVELS 4 /* 64^4 = DRAW_STOCK_MAX */

_Static_assert(UINT64_C(1) << (6 * STOCK_LEVELS) == DRAW_STOCK_MAX, "the top is one word");

struct stock_set {
    uint64_t *levels[STOCK_LEVELS]; /* [0]: a bit a slot; above: a bit a word that is not 0 */
};

struct draw_stock {
    uint32_t count;
    uint32_t capacity;
    uint32_t free_count;
    uint32_t words_counts[STOCK_LEVELS]; /* of one set, by level */
    struct draw_slot *slots;
    uint32_t *next;  /* neighbour after each slot, or DRAW_NONE */
    uint32_t *prev;  /* the one before */
    uint64_t *words; /* of all sets */
    struct stock_set sets[DRAW_CHAIN_MAX];
    uint32_t *desks; /* open addressing by slug: newest slot of a desk + 1; 0 is empty */
    uint32_t desks_count, desks_size; /* size: a power of two, at least twice the count */
};

#define STOCK_FIRST 1024 /* slots at first */
#define STOCK_DESKS 256  /* of the table at first */

static bool stock_set_has(const struct stock_set *set, uint32_t i)
{
    return set->levels[0][i >> 6] >> (i & 63) & 1;
}

static void stock_set_add(struct stock_set *set, uint32_t i)
{
    for (int level = 0; level < STOCK_LEVELS; level++) {
        set->levels[level][i >> 6] |= UINT64_C(1) << (i & 63);
        i >>= 6;
    }
}

static void stock_set_remove(struct stock_set *set, uint32_t i)
{
    for (int level = 0; level < STOCK_LEVELS; level++) {
        uint64_t *word = &set->levels[level][i >> 6];
        *word &= ~(UINT64_C(1) << (i & 63));
        if (*word != 0) {
            return;
        }
        i >>= 6;
    }
}

/* The lowest member >= from; DRAW_NONE.  Up until a word has a later bit, then down to it. */
static uint32_t stock_set_first(const struct draw_stock *s, const struct stock_set *set,
                                uint32_t from)
{
    uint32_t i = from;
    for (int level = 0; level < STOCK_LEVELS && i >> 6 < s->words_counts[level]; level++) {
        uint64_t rest = set->levels[level][i >> 6] & ~UINT64_C(0) << (i & 63);
        if (rest != 0) {
            i = (i & ~UINT32_C(63)) | (uint32_t)__builtin_ctzll(rest);
            while (level-- > 0) {
                i = i << 6 | (uint32_t)__builtin_ctzll(set->levels[level][i]);
            }
            return i;
        }
        i = (i >> 6) + 1;
    }
    return DRAW_NONE;
}

/* Room for `capacity` slots in the sets, which keep what they have. */
static int stock_sets_grow(struct draw_stock *s, uint32_t capacity)
{
    uint32_t counts[STOCK_LEVELS];
    size_t words = 0;
    uint32_t bits = capacity;
    for (int level = 0; level < STOCK_LEVELS; level++) {
        counts[level] = (bits + 63) >> 6;
        words += counts[level];
        bits = counts[level];
    }
    uint64_t *grown = calloc(words * DRAW_CHAIN_MAX + 1, sizeof *grown), *at = grown;
    if (grown == NULL) {
        return err_origin(-ENOMEM);
    }
    for (int n = 0; n < DRAW_CHAIN_MAX; n++) {
        for (int level = 0; level < STOCK_LEVELS; level++) {
            if (s->words_counts[level] > 0) {
                memcpy(at, s->sets[n].levels[level], s->words_counts[level] * sizeof *at);
            }
            s->sets[n].levels[level] = at;
            at += counts[level];
        }
    }
    free(s->words);
    s->words = grown;
    memcpy(s->words_counts, counts, sizeof counts);
    return 0;
}

static int stock_grow(struct draw_stock *s, uint32_t capacity)
{
    CHECK(capacity > s->capacity && capacity <= DRAW_STOCK_MAX);
    struct draw_slot *slots = realloc(s->slots, capacity * sizeof *slots);
    s->slots = slots ? slots : s->slots;
    uint32_t *next = realloc(s->next, capacity * sizeof *next);
    s->next = next ? next : s->next;
    uint32_t *prev = realloc(s->prev, capacity * sizeof *prev);
    s->prev = prev ? prev : s->prev;
    if (slots == NULL || next == NULL || prev == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = stock_sets_grow(s, capacity);
    s->capacity = r ? s->capacity : capacity;
    return err_trace(r);
}

static int stock_slugs(const struct draw_slot *a, const struct draw_slot *b)
{
    size_t n = a->slug_len < b->slug_len ? a->slug_len : b->slug_len;
    int order = memcmp(a->slug, b->slug, n);
    return order ? order : a->slug_len - b->slug_len;
}

int draw_slot_compare(const struct draw_slot *a, const struct draw_slot *b)
{
    if (a->start_us != b->start_us) {
        return a->start_us < b->start_us ? -1 : 1;
    }
    return stock_slugs(a, b);
}

/* FNV-1a with a last mix: desks are an operator's own. */
static uint32_t stock_hash(const struct draw_slot *slot)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < slot->slug_len; i++) {
        h = (h ^ (uint8_t)slot->slug[i]) * UINT64_C(0x100000001b3);
    }
    return (uint32_t)(h >> 32 ^ h);
}

/* Where the slot's desk stands in the table, or would. */
static uint32_t *stock_desk(const struct draw_stock *s, const struct draw_slot *slot)
{
    uint32_t i = stock_hash(slot);
    for (;; i++) {
        uint32_t *at = &s->desks[i & (s->desks_size - 1)];
        if (*at == 0 || stock_slugs(&s->slots[*at - 1], slot) == 0) {
            return at;
        }
    }
}

static int stock_desks_grow(struct draw_stock *s)
{
    uint32_t size = s->desks_size ? 2 * s->desks_size : STOCK_DESKS, was_size = s->desks_size;
    uint32_t *was = s->desks, *grown = calloc(size, sizeof *grown);
    if (grown == NULL) {
        return err_origin(-ENOMEM);
    }
    s->desks = grown;
    s->desks_size = size;
    for (uint32_t i = 0; i < was_size; i++) {
        if (was[i] != 0) {
            *stock_desk(s, &s->slots[was[i] - 1]) = was[i];
        }
    }
    free(was);
    return 0;
}

int draw_stock_add(struct draw_stock *s, const struct draw_slot *slot)
{
    uint32_t i = s->count;
    CHECK(i < DRAW_STOCK_MAX);
    CHECK(i == 0 || draw_slot_compare(&s->slots[i - 1], slot) < 0);
    uint32_t more = s->capacity ? 2 * s->capacity : STOCK_FIRST;
    int r = i < s->capacity ? 0 : stock_grow(s, more < DRAW_STOCK_MAX ? more : DRAW_STOCK_MAX);
    if (r == 0 && 2 * (s->desks_count + 1) > s->desks_size) {
        r = stock_desks_grow(s);
    }
    if (r) {
        return err_trace(r);
    }
    uint32_t *desk = stock_desk(s, slot);
    s->slots[i] = *slot;
    s->next[i] = s->prev[i] = DRAW_NONE;
    if (*desk != 0 && s->slots[*desk - 1].end_us == slot->start_us) {
        s->prev[i] = *desk - 1;
        s->next[*desk - 1] = i;
    }
    s->desks_count += *desk == 0;
    *desk = ++s->count;
    return 0;
}

int draw_stock_new(const struct draw_slot *slots, uint32_t count, struct draw_stock **ret_stock)
{
    CHECK(count <= DRAW_STOCK_MAX);
    struct draw_stock *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_origin(-ENOMEM);
    }
    int r = count > 0 ? stock_grow(s, count) : 0;
    for (uint32_t i = 0; i < count && r == 0; i++) {
        r = draw_stock_add(s, &slots[i]);
    }
    if (r) {
        draw_stock_free(s);
        return err_trace(r);
    }
    *ret_stock = s;
    return 0;
}

void draw_stock_free(struct draw_stock *s)
{
    if (s) {
        free(s->slots);
        free(s->prev);
        free(s->next);
        free(s->words);
        free(s->desks);
        free(s);
    }
}

uint32_t draw_stock_count(const struct draw_stock *s)
{
    return s->count;
}

uint32_t draw_stock_free_count(const struct draw_stock *s)
{
    return s->free_count;
}

const struct draw_slot *draw_stock_slot(const struct draw_stock *s, uint32_t slot)
{
    CHECK(slot < s->count);
    return &s->slots[slot];
}

/* How many slots of the list come before `key`. */
static uint32_t stock_before(const struct draw_stock *s, const struct draw_slot *key)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (draw_slot_compare(&s->slots[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t draw_stock_find(const struct draw_stock *s, int64_t start_us, struct span slug)
{
    struct draw_slot key = {.start_us = start_us, .slug_len = (uint8_t)slug.len};
    if (slug.len == 0 || slug.len > sizeof key.slug) {
        return DRAW_NONE;
    }
    memcpy(key.slug, slug.ptr, slug.len);
    uint32_t at = stock_before(s, &key);
    return at < s->count && draw_slot_compare(&s->slots[at], &key) == 0 ? at : DRAW_NONE;
}

struct draw_wish draw_stock_interval(const struct draw_stock *s, int64_t from_us, int64_t to_us)
{
    /* Without a slug a key comes before every slot of its start. */
    return (struct draw_wish){stock_before(s, &(struct draw_slot){.start_us = from_us}),
                              stock_before(s, &(struct draw_slot){.start_us = to_us})};
}

bool draw_stock_is_free(const struct draw_stock *s, uint32_t slot)
{
    CHECK(slot < s->count);
    return stock_set_has(&s->sets[0], slot);
}

uint32_t draw_stock_next(const struct draw_stock *s, uint32_t slot)
{
    CHECK(slot < s->count);
    return s->next[slot];
}

void draw_stock_take(struct draw_stock *s, uint32_t slot)
{
    CHECK(slot < s->count);
    if (!stock_set_has(&s->sets[0], slot)) {
        return;
    }
    s->free_count--;
    uint32_t i = slot;
    for (unsigned k = 0; k < DRAW_CHAIN_MAX && i != DRAW_NONE; k++, i = s->prev[i]) {
        for (unsigned n = k; n < DRAW_CHAIN_MAX && stock_set_has(&s->sets[n], i); n++) {
            stock_set_remove(&s->sets[n], i);
        }
    }
}

void draw_stock_put(struct draw_stock *s, uint32_t slot)
{
    CHECK(slot < s->count);
    if (stock_set_has(&s->sets[0], slot)) {
        return;
    }
    s->free_count++;
    stock_set_add(&s->sets[0], slot);
    unsigned run = 0; /* free neighbours from slot on, itself among them */
    for (uint32_t i = slot; run < DRAW_CHAIN_MAX && i != DRAW_NONE && stock_set_has(&s->sets[0], i);
         i = s->next[i]) {
        run++;
    }
    uint32_t i = slot;
    for (unsigned k = 0; k < DRAW_CHAIN_MAX && i != DRAW_NONE && stock_set_has(&s->sets[0], i);
         k++, i = s->prev[i]) {
        for (unsigned n = 1; n < DRAW_CHAIN_MAX && n < run + k; n++) {
            stock_set_add(&s->sets[n], i);
        }
    }
}

uint32_t draw_stock_first(const struct draw_stock *s, struct draw_wish wish, uint32_t slot_count)
{
    CHECK(slot_count >= 1 && slot_count <= DRAW_CHAIN_MAX);
    uint32_t first = stock_set_first(s, &s->sets[slot_count - 1], wish.from);
    return first < wish.to ? first : DRAW_NONE;
}

uint32_t draw_stock_serve(struct draw_stock *s, const struct draw_wish *wishes, size_t wishes_count,
                          uint32_t slot_count, size_t *ret_wish)
{
    for (size_t w = 0; w < wishes_count; w++) {
        uint32_t first = draw_stock_first(s, wishes[w], slot_count);
        if (first == DRAW_NONE) {
            continue;
        }
        uint32_t slot = first;
        for (uint32_t n = 0; n < slot_count; n++) {
            CHECK(slot != DRAW_NONE);
            uint32_t next = s->next[slot];
            draw_stock_take(s, slot);
            slot = next;
        }
        *ret_wish = w;
        return first;
    }
    return DRAW_NONE;
}
