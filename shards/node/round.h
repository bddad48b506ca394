/* SPDX-License-Identifier: MIT */
/* One round: what has arrived, as one log entry.  Writer thread only.
 * Commands of an entry: the shard's own first (expiries, sweep), then the accepted mutations of
 * each batch in order; an item's place in the entry follows from that on both sides of the log. */
#ifndef FAIRSLOT_NODE_ROUND_H
#define FAIRSLOT_NODE_ROUND_H

#include "ledger/ledger.h"
#include "node/intake.h"
#include "node/replica.h"
#include "store/store.h"

#define ROUND_DUE_MAX 256                 /* expiries in one round */
#define ROUND_OWN_MAX (ROUND_DUE_MAX + 3) /* a sweep, a throw of the coin, a node's mark */
#define ROUND_BYTES   BATCH_BYTES_MAX     /* a round takes no further batch after these bytes */

struct round {
    struct list batches;     /* intake_batch.node: to be answered when `index` is committed */
    uint64_t index;          /* of its entry; reads alone: the entry that they must not miss */
    uint64_t term;           /* of its entry */
    bool has_entry;
    int64_t log_time_us;     /* of every command in it */
    bool spares_holds;       /* nothing expires or lapses in it */
    size_t own_count;
    size_t commands_count;   /* own and accepted */
    struct arena arena;      /* spans of own, packed commands, the packed entry */
    struct command own[ROUND_OWN_MAX];
    struct span commands[ROUND_ITEMS_MAX];
};

/* What decides at intake, before the log. */
struct round_gate {
    int64_t now_us; /* monotonic, against deadlines */
    enum store_room room;
    const struct ledger *ledger;          /* whose rules know what may be written */
    const struct replica_member *members; /* whom operators may cordon */
    size_t members_count;
    bool has_older;                       /* a member's program is known to be older than ours */
};

int round_new(struct round **ret_round);
/* Takes NULL. */
void round_free(struct round *r);
/* Empty again; its batches must be gone. */
void round_reset(struct round *r);

/* One more of the shard's own, between round_own() and round_judge().  0 or < 0. */
int round_add(struct round *r, const struct command *command);
/* Judges every item of every batch and collects the accepted mutations. */
void round_judge(struct round *r, const struct round_gate *gate);
/* The shard's own commands, before round_judge(): up to ROUND_DUE_MAX holds that are due, and a
 * sweep, and from *coin_at_us (monotonic, as now_us) on a throw of the coin where a pool waits for
 * one; it is a minute later then.  0 or < 0. */
int round_own(struct round *r, const struct ledger *ledger, bool sweep, int64_t now_us,
              int64_t *coin_at_us);
/* Packs the entry, which may be empty (a barrier: reads alone, among other replicas).  Borrowed
 * until round_reset().  0 or < 0. */
int round_pack(struct round *r, struct span *ret_entry);

#endif
