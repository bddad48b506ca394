/* SPDX-License-Identifier: MIT */
/* A replica's part in replication: what is committed.  Sans I/O but for its log: no socket, no
 * clock, no thread.  Time and messages come in as arguments, messages go out as bytes.
 *
 *   tick(now), receive(bytes), propose(entry)      any number of times
 *   round()         one durable commit (fsync) of term, vote and entries; then only
 *   pull()          the messages that depended on it, each to one peer
 *   committed()     what may be applied; read() it
 *
 * THE ORDER IS THE PROMISE: nothing that depends on a term, a vote or an entry can be pulled before
 * the round() that made it durable, and only min(committed, locally durable) is shown, so nothing
 * applied is ever truncated.
 *
 * One thread.  One voter alone runs through the same code.  Between two peers messages must come
 * in the order in which they were pulled (one stream a peer); they may be lost, and a broken stream
 * may begin anew.  docs/decisions has how Raft is driven and what the guards are for. */
#ifndef FAIRSLOT_NODE_REPLICA_H
#define FAIRSLOT_NODE_REPLICA_H

#include "base/types.h"

struct replica;

#define REPLICA_MEMBERS_MAX   16
#define REPLICA_ADDRESS_MAX   128                /* bytes with the closing 0 */
#define REPLICA_MESSAGE_BYTES (1024 * 1024)      /* a message holds entries up to here, or one */
#define REPLICA_MESSAGE_MAX   (64 * 1024 * 1024) /* no message is larger; receive() refuses */

enum replica_role {
    REPLICA_LEARNER = 0, /* gets the log, has no vote */
    REPLICA_VOTER = 1,
};

struct replica_member {
    uint64_t id;                       /* > 0, never used for another disk again */
    enum replica_role role;
    char address[REPLICA_ADDRESS_MAX]; /* of its peers' door; unique */
};

/* Where the log is kept.  replica_store.c has it over the store, tests/sim in memory with faults.
 * Borrowed spans are valid until the next call.  < 0: fatal, the process must end. */
struct replica_log {
    void *user;
    /* First and last index; first = last + 1 when empty. */
    uint64_t (*first)(void *user);
    uint64_t (*last)(void *user);
    int (*append)(void *user, uint64_t word, struct span entry);
    int (*truncate)(void *user, uint64_t index); /* index and all behind it */
    int (*set_vote)(void *user, uint64_t term, uint64_t vote);
    void (*vote)(void *user, uint64_t *ret_term, uint64_t *ret_vote);
    int (*commit)(void *user); /* durable: all of the above since the last one, or nothing */
    /* > 0: not there or damaged.  `word` is the replica's: term and kind. */
    int (*read)(void *user, uint64_t index, uint64_t *ret_word, struct span *ret_entry);
    /* An index whose effects are durable in the state, at most last(), and its term; 0, 0: none. */
    void (*durable)(void *user, uint64_t *ret_index, uint64_t *ret_term);
    /* The newest committed members, durable at once; kept because the log forgets.  Empty: none. */
    int (*keep_members)(void *user, uint64_t index, struct span members);
    int (*members)(void *user, uint64_t *ret_index, struct span *ret_members);
};

struct replica_options {
    uint64_t id;                          /* our own */
    const struct replica_member *members; /* the first ones, the same on all; count 0: we join */
    size_t members_count;
    struct replica_log log;
    uint32_t election_ms;                 /* 0: 300 */
    uint32_t heartbeat_ms;                /* 0: 50 */
    uint32_t seed;                        /* of the election timeouts */
    int64_t now_ms;                       /* monotonic, as in replica_tick() */
};

enum {
    REPLICA_E_NOT_LEADER = 1, /* or on the way to hand leadership over */
    REPLICA_E_DAMAGED = 2,
    REPLICA_E_MESSAGE = 3,    /* refused: no message of ours; nothing changed */
    REPLICA_E_BUSY = 4,       /* a change is under way, or nothing of this term is committed yet */
    REPLICA_E_MEMBER = 5,     /* no such member, or there already, or it would leave one voter */
    REPLICA_E_STATE = 6,      /* log and members do not fit each other: not a log of this replica */
};

/* 0 or < 0. */
int replica_new(const struct replica_options *options, struct replica **ret_replica);
/* Takes NULL. */
void replica_free(struct replica *r);
/* From the log.  A new log begins with the first members.  A voter alone leads and has committed
 * all of its log when this returns.  0, REPLICA_E_DAMAGED, REPLICA_E_STATE, or < 0. */
int replica_start(struct replica *r);

/* Monotonic milliseconds, never backwards.  0 or < 0. */
int replica_tick(struct replica *r, int64_t now_ms);
/* When it wants the next tick. */
int64_t replica_next_ms(const struct replica *r);
/* One message that `from` has pulled for us.  0, REPLICA_E_MESSAGE, REPLICA_E_BUSY (it offers a
 * state while one is wanted: dropped), or < 0. */
int replica_receive(struct replica *r, uint64_t from, struct span message);
/* The leader is gone, as its connection says, long before its silence would: it is forgotten, so
 * that whoever asks for a vote may have ours, and unless somebody has done so we ask in `wait_ms`.
 * A question of speed only: an election is right at any time, and takes a pre-vote that those who
 * hear the leader deny.  Nothing happens while none is followed. */
void replica_doubt(struct replica *r, int64_t now_ms, uint32_t wait_ms);
/* Proposes one entry (not empty); *ret_index is where it stands if it is ever committed: compare
 * the term that replica_read() then shows.  0, REPLICA_E_NOT_LEADER, or < 0. */
int replica_propose(struct replica *r, struct span entry, uint64_t *ret_index);
/* Entries for others may be pulled from now on, before the round that stores them here: they are no
 * promise.  In the order in which they were made; nothing passes a message that is one. */
void replica_early(struct replica *r);
/* One durable commit, if there is anything; moves the commit index.  < 0: end the process. */
int replica_round(struct replica *r);
/* The next message to send, borrowed until the next call but pull(); false: no more. */
bool replica_pull(struct replica *r, uint64_t *ret_to, struct span *ret_message);

uint64_t replica_id(const struct replica *r);
bool replica_is_leader(const struct replica *r);
/* It leads, and an entry of its own term is committed: everything acknowledged before it, by
 * whomever, is at or below replica_committed(). */
bool replica_is_ready(const struct replica *r);
/* Id of the leader that we know of, 0: none. */
uint64_t replica_leader(const struct replica *r);
/* The term that entries proposed now carry. */
uint64_t replica_term(const struct replica *r);
/* min(committed, locally durable): only this is ever applied. Never goes back. */
uint64_t replica_committed(const struct replica *r);
/* A committed entry, borrowed until the next call.  Empty: Raft's own, nothing to apply.
 * 0, REPLICA_E_DAMAGED (also when it is not there), or < 0. */
int replica_read(struct replica *r, uint64_t index, uint64_t *ret_term, struct span *ret_entry);

/* -- members ----------------------------------------------------------------------------------- */

/* The newest members, committed or not. */
size_t replica_members(const struct replica *r, struct replica_member out[REPLICA_MEMBERS_MAX]);
/* The entry of a change that is not committed yet; 0: none. */
uint64_t replica_changing(const struct replica *r);
/* Leader: how far a member's log is known to be durable; 0: unknown. */
uint64_t replica_match(const struct replica *r, uint64_t id);
/* One change at a time, done when its entry is committed: add as learner, make a voter, remove.
 * 0, REPLICA_E_NOT_LEADER, REPLICA_E_BUSY, REPLICA_E_MEMBER, or < 0. */
int replica_add(struct replica *r, const struct replica_member *learner);
int replica_promote(struct replica *r, uint64_t id);
int replica_remove(struct replica *r, uint64_t id);
/* Hands leadership to a voter; watch replica_is_leader().  Verdicts as above. */
int replica_transfer(struct replica *r, uint64_t id);

/* -- snapshots --------------------------------------------------------------------------------- */

/* The leader's log no longer has what we need. */
struct replica_want {
    uint64_t from;  /* the leader that said so; it may be gone, anybody's state will do */
    uint64_t index; /* at this index or later */
    uint64_t term;
};
/* A peer was told lately to fetch a state at that index: it has not said yet that it does, and will
 * ask for the entries behind it.  0: none was. */
uint64_t replica_told(const struct replica *r);
/* The members that belong to the state that is wanted, as replica_log.members has them; borrowed
 * until replica_installed(). 0 or < 0. */
int replica_want_members(struct replica *r, uint64_t *ret_index, struct span *ret_members);
/* True: fetch a state.  While it is wanted nothing is applied, no log is written. */
bool replica_wants(const struct replica *r, struct replica_want *ret_want);
/* The state is durable, the log is empty behind want.index with want.term (one commit).  To give up
 * instead: replica_free() and begin anew from the disk, which has not been touched.  0 or < 0. */
int replica_installed(struct replica *r);

#endif
