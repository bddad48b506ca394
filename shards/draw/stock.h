/* SPDX-License-Identifier: MIT */
/* The stock of a release while it is served: which slots are free, and which is the first that a
 * wish can have.  PURE.  docs/draw.md, "Allocation", is the law.
 *
 * Slots are numbered 0..count-1 in the order of the manifest: by start, then by desk.  Neighbours
 * are slots of one desk of which one ends when the other starts.  A wish is an interval of numbers;
 * it is met by the lowest number from which `slot_count` neighbours are free.
 * Serial dictatorship: in rank order, each ticket takes the first of its wishes that can be met.
 * Asking and changing are O(DRAW_CHAIN_MAX * log64(count)).  One thread. */
#ifndef FAIRSLOT_DRAW_STOCK_H
#define FAIRSLOT_DRAW_STOCK_H

#include <stddef.h>

#include "base/limits.h"
#include "base/types.h"

#define DRAW_CHAIN_MAX 8                  /* neighbours that one ticket may ask for */
#define DRAW_STOCK_MAX (UINT32_C(1) << 24) /* slots of one release */
#define DRAW_NONE      UINT32_MAX

/* A slot of the manifest's list. */
struct draw_slot {
    int64_t start_us;
    int64_t end_us;
    uint8_t slug_len; /* of its desk: 1 to SLOT_DESK_MAX */
    char slug[SLOT_DESK_MAX];
};

/* Half-open interval of slot numbers. */
struct draw_wish {
    uint32_t from;
    uint32_t to;
};

struct draw_stock;

/* `slots` are in order (draw_slot_compare()), each once, and copied; all are taken at first.
 * Returns 0, or -ENOMEM.  About 60 bytes a slot. */
int draw_stock_new(const struct draw_slot *slots, uint32_t count, struct draw_stock **ret_stock);
/* One more slot, behind all others in their order; taken at first.  0, or -ENOMEM.  Room doubles:
 * up to twice as many bytes a slot. */
int draw_stock_add(struct draw_stock *s, const struct draw_slot *slot);
void draw_stock_free(struct draw_stock *s); /* takes NULL */
/* The manifest's order: by start, then by slug as bytes.  < 0, 0 or > 0. */
int draw_slot_compare(const struct draw_slot *a, const struct draw_slot *b);
uint32_t draw_stock_count(const struct draw_stock *s);
const struct draw_slot *draw_stock_slot(const struct draw_stock *s, uint32_t slot);
/* The number of this slot; DRAW_NONE: it is not in the list. */
uint32_t draw_stock_find(const struct draw_stock *s, int64_t start_us, struct span slug);
/* The slots that start in [from_us, to_us). */
struct draw_wish draw_stock_interval(const struct draw_stock *s, int64_t from_us, int64_t to_us);
uint32_t draw_stock_free_count(const struct draw_stock *s);
bool draw_stock_is_free(const struct draw_stock *s, uint32_t slot);
/* The neighbour that starts when `slot` ends; DRAW_NONE: it has none. */
uint32_t draw_stock_next(const struct draw_stock *s, uint32_t slot);
/* Becomes free, or is taken; what it was before does not matter. */
void draw_stock_put(struct draw_stock *s, uint32_t slot);
void draw_stock_take(struct draw_stock *s, uint32_t slot);
/* The first slot of the chain that meets the wish; DRAW_NONE: it cannot be met.  slot_count is 1 to
 * DRAW_CHAIN_MAX; an interval beyond the stock is cut.  Changes nothing. */
uint32_t draw_stock_first(const struct draw_stock *s, struct draw_wish wish, uint32_t slot_count);
/* Serial dictatorship, one ticket: takes the chain of the first wish that can be met and returns
 * its first slot, *ret_wish says which wish it was; DRAW_NONE: none, nothing is taken. */
uint32_t draw_stock_serve(struct draw_stock *s, const struct draw_wish *wishes, size_t wishes_count,
                          uint32_t slot_count, size_t *ret_wish);

#endif
