/* SPDX-License-Identifier: MIT */
/* "Did you mean": the nearest word.  Pure. */
#ifndef FAIRSLOT_BASE_GUESS_H
#define FAIRSLOT_BASE_GUESS_H

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) from `a` to `b`; words over 31 bytes: 99. */
unsigned guess_distance(const char *a, const char *b);

/* Feed candidates one by one; `best` stays NULL when none is near enough (a third of the word). */
struct guess {
    const char *word;   /* what was typed; borrowed */
    const char *best;   /* nearest so far; borrowed */
    unsigned distance;  /* of best */
};
void guess_init(struct guess *g, const char *word);
void guess_offer(struct guess *g, const char *candidate);

#endif
