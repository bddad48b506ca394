/* SPDX-License-Identifier: MIT */
/* Live holds by the instant at which they expire.  Derived from the book, in memory only.
 *
 *   heap: entries, earliest first        table: number -> place in the heap, and back by entry.slot
 *
 * Most holds are confirmed or dropped long before they expire, so an entry must leave from the
 * middle: stale ones would pile up for a whole hold time (25,000/s * 10 min).  Hence the table.
 * Add, remove: O(log n).  Owns both arrays; they grow by doubling and never shrink.
 * Fails by -ENOMEM on growth only.  Order is total (expiry, then number), so that every replica
 * would propose the same; nothing in the book depends on it. */
#include <errno.h>
#include <stdlib.h>

#include "ledger/ledger_parts.h"

#define EXPIRY_FIRST 1024

void ledger_expiry_fini(struct ledger_expiry *e)
{
    free(e->entries);
    free(e->table);
    *e = (struct ledger_expiry){0};
}

static bool ledger_expiry_before(const struct ledger_expiry_entry *a,
                                 const struct ledger_expiry_entry *b)
{
    return a->expire_us != b->expire_us ? a->expire_us < b->expire_us : a->number < b->number;
}

/* -- the table --------------------------------------------------------------------------------- */

static size_t ledger_expiry_home(const struct ledger_expiry *e, uint64_t number)
{
    uint64_t h = number * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 32) & (e->table_size - 1);
}

static size_t ledger_expiry_probe(const struct ledger_expiry *e, uint64_t number)
{
    size_t at = ledger_expiry_home(e, number);
    while (e->table[at] != 0 && e->entries[e->table[at] - 1].number != number) {
        at = (at + 1) & (e->table_size - 1);
    }
    return at;
}

/* Empties a slot of the table and closes the gap behind it (Knuth 6.4, algorithm R). */
static void ledger_expiry_unslot(struct ledger_expiry *e, size_t hole)
{
    size_t mask = e->table_size - 1;
    for (size_t at = (hole + 1) & mask; e->table[at] != 0; at = (at + 1) & mask) {
        struct ledger_expiry_entry *entry = &e->entries[e->table[at] - 1];
        size_t home = ledger_expiry_home(e, entry->number);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            e->table[hole] = e->table[at];
            entry->slot = (uint32_t)hole;
            hole = at;
        }
    }
    e->table[hole] = 0;
}

/* -- the heap ---------------------------------------------------------------------------------- */

static void ledger_expiry_place(struct ledger_expiry *e, size_t at,
                                const struct ledger_expiry_entry *entry)
{
    e->entries[at] = *entry;
    e->table[entry->slot] = (uint32_t)at + 1;
}

static void ledger_expiry_up(struct ledger_expiry *e, size_t at, struct ledger_expiry_entry entry)
{
    while (at > 0 && ledger_expiry_before(&entry, &e->entries[(at - 1) / 2])) {
        ledger_expiry_place(e, at, &e->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    ledger_expiry_place(e, at, &entry);
}

static void ledger_expiry_down(struct ledger_expiry *e, size_t at,
                               struct ledger_expiry_entry entry)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= e->count) {
            break;
        }
        if (child + 1 < e->count &&
            ledger_expiry_before(&e->entries[child + 1], &e->entries[child])) {
            child++;
        }
        if (!ledger_expiry_before(&e->entries[child], &entry)) {
            break;
        }
        ledger_expiry_place(e, at, &e->entries[child]);
        at = child;
    }
    ledger_expiry_place(e, at, &entry);
}

static int ledger_expiry_grow(struct ledger_expiry *e)
{
    size_t capacity = e->capacity ? e->capacity * 2 : EXPIRY_FIRST;
    if (capacity > UINT32_MAX / 4) {
        return err_origin(-ENOMEM);
    }
    uint32_t *table = calloc(capacity * 2, sizeof *table);
    struct ledger_expiry_entry *entries = realloc(e->entries, capacity * sizeof *entries);
    if (entries) {
        e->entries = entries;
    }
    if (table == NULL || entries == NULL) {
        free(table);
        return err_origin(-ENOMEM);
    }
    free(e->table);
    e->table = table;
    e->table_size = capacity * 2;
    e->capacity = capacity;
    for (size_t i = 0; i < e->count; i++) {
        size_t at = ledger_expiry_probe(e, e->entries[i].number);
        e->entries[i].slot = (uint32_t)at;
        e->table[at] = (uint32_t)i + 1;
    }
    return 0;
}

int ledger_expiry_add(struct ledger_expiry *e, const struct ledger_expiry_entry *entry)
{
    if (e->count == e->capacity) {
        int r = ledger_expiry_grow(e);
        if (r) {
            return err_trace(r);
        }
    }
    struct ledger_expiry_entry added = *entry;
    size_t at = ledger_expiry_probe(e, entry->number);
    CHECK(e->table[at] == 0);
    added.slot = (uint32_t)at;
    ledger_expiry_up(e, e->count++, added);
    return 0;
}

void ledger_expiry_remove(struct ledger_expiry *e, uint64_t number)
{
    if (e->count == 0) {
        return;
    }
    size_t slot = ledger_expiry_probe(e, number);
    if (e->table[slot] == 0) {
        return;
    }
    size_t at = e->table[slot] - 1;
    ledger_expiry_unslot(e, slot);
    struct ledger_expiry_entry last = e->entries[--e->count];
    if (at == e->count) {
        return;
    }
    if (at > 0 && ledger_expiry_before(&last, &e->entries[(at - 1) / 2])) {
        ledger_expiry_up(e, at, last);
    } else {
        ledger_expiry_down(e, at, last);
    }
}

/* -- what is due ------------------------------------------------------------------------------- */

/* A second heap, of places in the first: the next candidates. */
struct ledger_expiry_front {
    const struct ledger_expiry *e;
    size_t *places;
    size_t count;
};

static bool ledger_expiry_front_before(const struct ledger_expiry_front *f, size_t a, size_t b)
{
    return ledger_expiry_before(&f->e->entries[f->places[a]], &f->e->entries[f->places[b]]);
}

static void ledger_expiry_front_swap(struct ledger_expiry_front *f, size_t a, size_t b)
{
    size_t place = f->places[a];
    f->places[a] = f->places[b];
    f->places[b] = place;
}

static void ledger_expiry_front_push(struct ledger_expiry_front *f, size_t place)
{
    size_t at = f->count++;
    f->places[at] = place;
    for (; at > 0 && ledger_expiry_front_before(f, at, (at - 1) / 2); at = (at - 1) / 2) {
        ledger_expiry_front_swap(f, at, (at - 1) / 2);
    }
}

static size_t ledger_expiry_front_pull(struct ledger_expiry_front *f)
{
    size_t place = f->places[0];
    f->places[0] = f->places[--f->count];
    for (size_t at = 0, child; (child = 2 * at + 1) < f->count; at = child) {
        child += child + 1 < f->count && ledger_expiry_front_before(f, child + 1, child);
        if (!ledger_expiry_front_before(f, child, at)) {
            break;
        }
        ledger_expiry_front_swap(f, at, child);
    }
    return place;
}

size_t ledger_expiry_due(const struct ledger_expiry *e, int64_t now_us, struct arena *arena,
                         const struct ledger_expiry_entry **out, size_t max)
{
    size_t n = 0;
    if (e->count == 0 || max == 0 || e->entries[0].expire_us > now_us) {
        return 0;
    }
    struct ledger_expiry_front f = {.e = e};
    f.places = arena_alloc(arena, (max + 2) * sizeof *f.places);
    if (f.places == NULL) {
        return 0;
    }
    ledger_expiry_front_push(&f, 0);
    while (n < max && f.count > 0) {
        size_t place = ledger_expiry_front_pull(&f);
        out[n++] = &e->entries[place];
        for (size_t child = 2 * place + 1; child <= 2 * place + 2 && child < e->count; child++) {
            if (e->entries[child].expire_us <= now_us) {
                ledger_expiry_front_push(&f, child);
            }
        }
    }
    return n;
}
