/* SPDX-License-Identifier: MIT */
/* The ledger's view of the state (struct book) over three layers.  Writer thread only. */
#ifndef FAIRSLOT_STORE_VIEW_H
#define FAIRSLOT_STORE_VIEW_H

#include "ledger/book.h"
#include "store/overlay.h"
#include "store/stateenv.h"

#define VIEW_HINTS 4 /* between the first and the second look at a hint */

/* Embedded in the store, which sets the layers. */
struct view {
    struct overlay *live;         /* newest; puts and dels go here */
    const struct overlay *frozen; /* on its way to disk; NULL when there is none */
    struct stateenv *state;       /* oldest: its snapshot */
    bool between;                 /* has effects that no applied index covers yet */
    bool is_damaged;              /* a record was not as it was written */
    uint64_t effects;             /* of all puts and dels so far: record_effect() */
    uint32_t hinted[VIEW_HINTS];  /* ring: tags of the newest hints */
    unsigned hints;               /* so far */
    struct book book;             /* self is this view */
};

void view_init(struct view *v, struct overlay *live, struct stateenv *state);

#endif
