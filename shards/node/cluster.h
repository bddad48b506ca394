/* SPDX-License-Identifier: MIT */
/* What operators are told of a shard's replicas, and what they ask of them.
 * The writer's thread.  The answers are this replica's view: of itself what it is, of the others
 * what they last reported, and what Raft knows when it leads. */
#ifndef FAIRSLOT_NODE_CLUSTER_H
#define FAIRSLOT_NODE_CLUSTER_H

#include "base/arena.h"
#include "node/replica.h"
#include "proto/words.h"
#include "store/store.h"

struct cluster;

struct cluster_options {
    uint64_t id;
    struct replica *replica; /* borrowed, as store */
    struct store *store;
    const char *gateways;    /* where gateways reach us; copied */
};

/* 0 or < 0. */
int cluster_new(const struct cluster_options *options, struct cluster **ret_cluster);
/* Takes NULL. */
void cluster_free(struct cluster *c);

/* -- what the node hears and says -------------------------------------------------------------- */

/* Our own report (codec.h, struct node_report) for every peer, in the arena.  0 or < 0. */
int cluster_report(struct cluster *c, struct arena *arena, struct span *ret_report);
/* Anything came from that peer: `wall_us` its wall clock when it sent, `arrival_us` monotonic.
 * `report` is its report, or empty for any other message. */
void cluster_heard(struct cluster *c, uint64_t id, struct span report, int64_t wall_us,
                   int64_t arrival_us);
/* State hashes of one index were compared. */
void cluster_checked(struct cluster *c, uint64_t id, uint64_t index, bool is_same);
/* Another disk speaks under that id: it is not heard. */
void cluster_foreign(struct cluster *c, uint64_t id);
/* Where gateways reach the leader that we know of: for turned_away.  Empty: none, or not known. */
struct span cluster_leader_gateways(const struct cluster *c);

/* -- operators --------------------------------------------------------------------------------- */

/* A command that command_is_cluster(); spans of the verdict are in the arena.  Changes of members
 * go to the replica, whose next round makes them durable.  A replica that does not lead answers
 * those with REASON_NO_LEADER: turn them away before.  0 or < 0. */
int cluster_answer(struct cluster *c, const struct command *command, int64_t mono_us,
                   struct arena *arena, struct verdict *ret_verdict);
/* What follows from what was asked: a learner that has caught up gets its vote.  Now and then, by
 * the leader; a change of leader loses nothing, since it goes by the members alone.  0 or < 0. */
int cluster_turn(struct cluster *c, int64_t mono_us);

#endif
