/* SPDX-License-Identifier: MIT */
/* What operators are told of a shard's replicas, and what they ask of them.
 * The writer's thread.  The answers are this replica's view: of itself what it is, of the others
 * what they last said, and what Raft knows when it leads. */
#ifndef FAIRSLOT_NODE_CLUSTER_H
#define FAIRSLOT_NODE_CLUSTER_H

#include "base/arena.h"
#include "ledger/ledger.h"
#include "node/peering.h"
#include "node/replica.h"
#include "proto/words.h"
#include "store/store.h"

/* Where the answers come from; all borrowed. */
struct cluster {
    uint64_t id;             /* our own */
    uint8_t cluster_id[16];
    struct replica *replica;
    struct peering *peering; /* NULL: a voter alone */
    struct store *store;
    struct ledger *ledger;
    const char *door;        /* where gateways reach us */
    const char *program;     /* our version */
    uint64_t signs;          /* signer_mark() of our key */
    uint64_t lag_max;        /* entries behind that are no problem yet; 0: CLUSTER_LAG_MAX */
};

/* A command that command_is_cluster(); spans of the verdict are in the arena or the command.
 * Changes of members go to the replica, whose next round makes them durable.  0 or < 0. */
int cluster_answer(const struct cluster *c, const struct command *command, struct arena *arena,
                   struct verdict *ret_verdict);
/* After the ledger's own verdict on COMMAND_MARK_NODE: the node as it is now. */
int cluster_marked(const struct cluster *c, uint64_t node, struct arena *arena,
                   struct verdict *ret_verdict);
/* A learner that has caught up gets its vote; a cordoned leader hands over.  By the leader, now and
 * then.  It goes by members and state alone, so a change of leader loses nothing.  0 or < 0. */
int cluster_turn(const struct cluster *c, struct arena *arena);

/* -- cluster_view.c --------------------------------------------------------------------------- */

/* Everything but problems and pages.  0 or -ENOMEM. */
int cluster_view(const struct cluster *c, struct arena *arena, struct cluster_view *ret_view);
/* The node in the view, or NULL. */
const struct cluster_node_view *cluster_view_node(const struct cluster_view *view, uint64_t id);
/* A member other than `but` that has no vote yet; 0: none. */
uint64_t cluster_view_learner(const struct cluster_view *view, uint64_t but);

/* -- cluster_problems.c (pure) ----------------------------------------------------------------- */

/* What is wrong, by what the view says; into the arena.  0 or -ENOMEM. */
int cluster_problems(struct cluster_view *view, struct arena *arena);

#endif
