/* SPDX-License-Identifier: MIT */
/* What a ticket asks for: bytes <-> wishes <-> intervals of slot numbers.  PURE.  docs/draw.md,
 * "Preferences".  The bytes are what the leaf's hash covers, so there is one spelling of each. */
#ifndef FAIRSLOT_DRAW_PREFERENCES_H
#define FAIRSLOT_DRAW_PREFERENCES_H

#include "draw/stock.h"

#define DRAW_WISHES_MAX      8
#define DRAW_PREFERENCES_MAX (2 + DRAW_WISHES_MAX * (1 + 8 + 1 + SLOT_DESK_MAX)) /* bytes */

enum draw_want_kind { DRAW_WANT_SLOT = 1, DRAW_WANT_CLASS = 2, DRAW_WANT_ANY = 3 };

struct draw_want {
    enum draw_want_kind kind;
    int64_t from_us;  /* of a slot its start; none of "any" */
    int64_t to_us;    /* of a class alone; exclusive */
    struct span slug; /* of a slot alone */
};

struct draw_preferences {
    uint32_t slot_count; /* 1 to DRAW_CHAIN_MAX */
    uint32_t count;      /* 1 to DRAW_WISHES_MAX */
    struct draw_want wants[DRAW_WISHES_MAX];
};

/* Returns the length. */
size_t draw_preferences_write(const struct draw_preferences *p, uint8_t out[DRAW_PREFERENCES_MAX]);
/* Spans borrow from `bytes`.  False: nothing that draw_preferences_write() writes. */
bool draw_preferences_read(struct span bytes, struct draw_preferences *ret_preferences);
/* As intervals of the stock's numbers: one a wish, empty where the list has no such slot. */
void draw_preferences_wishes(const struct draw_preferences *p, const struct draw_stock *stock,
                             struct draw_wish out[DRAW_WISHES_MAX]);

#endif
