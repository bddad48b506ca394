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
 * Invariant: a slot is in sets[n] only if it is in sets[n-1].
 * Roads not taken: union-find over "next free" is smaller, but cannot put back, and standby lives
 * on what is given back; a scan is O(slots) for the last of a million tickets.
 * Fails only when memory ends, in draw_stock_new(). */
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
    uint32_t free_count;
    uint32_t words_counts[STOCK_LEVELS]; /* of one set, by level */
    struct draw_slot *slots;
    uint32_t *next;  /* neighbour after each slot, or DRAW_NONE */
    uint32_t *prev;  /* the one before */
    uint64_t *words; /* of all sets */
    struct stock_set sets[DRAW_CHAIN_MAX];
};

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

static int stock_sets_new(struct draw_stock *s)
{
    size_t words = 0;
    uint32_t bits = s->count;
    for (int level = 0; level < STOCK_LEVELS; level++) {
        s->words_counts[level] = (bits + 63) >> 6;
        words += s->words_counts[level];
        bits = s->words_counts[level];
    }
    s->words = calloc(words * DRAW_CHAIN_MAX + 1, sizeof *s->words);
    s->next = calloc(s->count + (size_t)1, sizeof *s->next);
    s->prev = calloc(s->count + (size_t)1, sizeof *s->prev);
    s->slots = calloc(s->count + (size_t)1, sizeof *s->slots);
    if (s->slots == NULL || s->words == NULL || s->next == NULL || s->prev == NULL) {
        return err_origin(-ENOMEM);
    }
    uint64_t *at = s->words;
    for (int n = 0; n < DRAW_CHAIN_MAX; n++) {
        for (int level = 0; level < STOCK_LEVELS; level++) {
            s->sets[n].levels[level] = at;
            at += s->words_counts[level];
        }
    }
    return 0;
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

/* Of pointers into the array of slots: by desk, then as the list. */
static int stock_by_desk(const void *a, const void *b)
{
    const struct draw_slot *const *x = a, *const *y = b;
    int order = stock_slugs(*x, *y);
    return order ? order : *x < *y ? -1 : 1;
}

/* Sorted by desk, whoever may follow a slot stands right behind it. */
static int stock_neighbours_new(struct draw_stock *s)
{
    const struct draw_slot **desks = malloc((s->count + (size_t)1) * sizeof *desks);
    if (desks == NULL) {
        return err_origin(-ENOMEM);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        CHECK(i == 0 || draw_slot_compare(&s->slots[i - 1], &s->slots[i]) < 0);
        s->next[i] = s->prev[i] = DRAW_NONE;
        desks[i] = &s->slots[i];
    }
    qsort(desks, s->count, sizeof *desks, stock_by_desk);
    for (uint32_t i = 1; i < s->count; i++) {
        const struct draw_slot *a = desks[i - 1], *b = desks[i];
        if (stock_slugs(a, b) == 0 && a->end_us == b->start_us) {
            s->next[a - s->slots] = (uint32_t)(b - s->slots);
            s->prev[b - s->slots] = (uint32_t)(a - s->slots);
        }
    }
    free(desks);
    return 0;
}

int draw_stock_new(const struct draw_slot *slots, uint32_t count, struct draw_stock **ret_stock)
{
    CHECK(count <= DRAW_STOCK_MAX);
    struct draw_stock *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_origin(-ENOMEM);
    }
    s->count = count;
    int r = stock_sets_new(s);
    if (r == 0 && count > 0) {
        memcpy(s->slots, slots, count * sizeof *slots);
        r = stock_neighbours_new(s);
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
