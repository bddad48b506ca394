/* SPDX-License-Identifier: MIT */
/* Entries from the log into the state: at start, and what another replica proposed.  Nobody waits
 * for these verdicts.  Writer thread only. */
#ifndef FAIRSLOT_NODE_REPLAY_H
#define FAIRSLOT_NODE_REPLAY_H

#include "base/arena.h"
#include "ledger/ledger.h"
#include "node/replica.h"

struct replay {
    struct store *store;     /* borrowed, as the next two */
    struct replica *replica;
    struct ledger *ledger;
    struct arena entry;      /* one entry, unpacked */
    struct arena verdict;    /* one verdict, thrown away */
};

void replay_init(struct replay *p, struct store *store, struct replica *replica,
                 struct ledger *ledger);
/* Takes a zeroed one. */
void replay_fini(struct replay *p);

/* Applies the committed entry at `index`, which is the next one.  0, REPLAY_E_DAMAGED, or < 0. */
enum { REPLAY_E_DAMAGED = 1 };
int replay_entry(struct replay *p, uint64_t index);
/* Everything committed that the state has not got durably; flushes in between when the overlay is
 * full.  As replay_entry(), with *ret_index the entry that is damaged. */
int replay_run(struct replay *p, uint64_t *ret_index);

#endif
