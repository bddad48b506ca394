/* SPDX-License-Identifier: MIT */
/* What replica.c and its parts share; nobody else includes this.  Only these files know Raft.
 *   replica.c          rounds: events in, updates out, in the order that is safe
 *   replica_start.c    from a log to a running core
 *   replica_guards.c   what the core gets wrong, each with its reason
 *   replica_wire.c     messages as bytes, checked when they come
 *   replica_members.c  membership, one change at a time */
#ifndef FAIRSLOT_NODE_REPLICA_PARTS_H
#define FAIRSLOT_NODE_REPLICA_PARTS_H

#include <raft.h>

#include "node/replica.h"

/* The guards look into its structs, and after this version messages and snapshots change owners. */
#if RAFT_VERSION_NUMBER != 2201
#error "libraft 0.22.1 and no other: deploy/install build takes it from Debian's backports"
#endif

#define REPLICA_KIND_SHIFT 56 /* of a log word: kind above, term below; 0 so that old logs read */
#define REPLICA_ENTRIES_MAX 256 /* in one message */

enum replica_kind {
    REPLICA_COMMAND = 0,
    REPLICA_BARRIER = 1,
    REPLICA_CHANGE = 2,
};

/* A change of members in the log; its bytes too: the log may forget it before it is told. */
struct replica_pending {
    uint64_t index;
    uint8_t *bytes; /* owned */
    size_t len;
};

struct replica_out {
    uint64_t to;
    size_t at, len; /* in replica.out_bytes */
    bool is_early;  /* it promises nothing that waits for the commit */
};

struct replica {
    struct raft raft;
    struct replica_log log;
    uint64_t id;
    struct replica_member first_members[REPLICA_MEMBERS_MAX];
    size_t first_members_count;
    int64_t now_ms;
    int64_t fired_ms;          /* of the last RAFT_TIMEOUT: one an instant */
    int64_t leader_ms;         /* when a leader of our term last spoke to us */
    unsigned undoubted_ms;     /* election timeout before a doubt made it shorter; 0: none did */
    bool is_dirty;             /* something waits for the log's commit ... */
    bool is_vote_dirty;        /* ... and so do term and vote */
    bool is_leading;           /* as of the last step */
    bool wants_barrier;        /* G3: leader of a new term that has no entry yet */
    uint64_t leading_term;
    uint64_t barrier_index;    /* of an entry of our own term; 0: none */
    uint64_t committed;        /* the most that the core ever said */
    uint64_t durable;          /* last index that a commit has made durable */
    uint64_t trail_first;      /* first index that the core thinks the log has */
    uint64_t told_index;       /* a peer was last told to fetch a state at this index ... */
    int64_t told_ms;           /* ... then; 0: never */
    uint64_t base_index;       /* its newest snapshot */
    uint64_t base_term;
    struct replica_pending *changes; /* in the log, not yet told to be committed */
    size_t changes_count, changes_cap;
    uint64_t members_index;    /* of the newest committed members */
    uint8_t *members_bytes;    /* encoded by the core; owned */
    size_t members_len;
    struct replica_out *outs;
    size_t outs_count, outs_cap;
    size_t outs_ready;         /* may be pulled */
    size_t outs_pulled;
    uint8_t *out_bytes;
    size_t out_len, out_cap;
    bool is_wanting;
    struct replica_want want;
    struct raft_snapshot_metadata want_metadata; /* its configuration is ours */
    void *want_members;        /* the same, encoded by the core; owned */
};

/* replica.c */
int replica_step(struct replica *r, struct raft_event *event);
int replica_submit(struct replica *r, enum raft_entry_type type, struct span entry,
                   uint64_t *ret_index);
int replica_error(int rv);
int replica_note_change(struct replica *r, uint64_t index, const void *bytes, size_t len);
void replica_drop_changes(struct replica *r, uint64_t index); /* index and all behind it */
int replica_keep(struct replica *r, uint64_t index, const void *bytes, size_t len);

static inline uint64_t replica_word(enum raft_entry_type type, uint64_t term)
{
    uint64_t kind = type == RAFT_COMMAND ? REPLICA_COMMAND
                    : type == RAFT_BARRIER ? REPLICA_BARRIER : REPLICA_CHANGE;
    return kind << REPLICA_KIND_SHIFT | term;
}

static inline enum raft_entry_type replica_word_type(uint64_t word)
{
    uint64_t kind = word >> REPLICA_KIND_SHIFT;
    return kind == REPLICA_COMMAND ? RAFT_COMMAND
           : kind == REPLICA_BARRIER ? RAFT_BARRIER : RAFT_CHANGE;
}

static inline uint64_t replica_word_term(uint64_t word)
{
    return word & ((UINT64_C(1) << REPLICA_KIND_SHIFT) - 1);
}

/* replica_guards.c: what the core saw, before and after it did. */
struct replica_seen {
    bool is_request;      /* a vote was asked for */
    bool is_stale;        /* the message's term was older than ours */
    struct raft_request_vote vote;
};
/* False: the core must not see it, and need not. */
void replica_undoubt(struct replica *r);
bool replica_guards_wanted(struct replica *r, const struct raft_message *m);
void replica_guards_before(struct replica *r, struct raft_message *m,
                           struct replica_seen *ret_seen);
/* True: term or vote changed and must be made durable. */
bool replica_guards_after(struct replica *r, const struct replica_seen *seen,
                          struct raft_message *m);
/* The end of a piece of entries first..last that may be one message. */
uint64_t replica_guards_split(struct replica *r, uint64_t first, uint64_t last);
bool replica_guards_change_allowed(struct replica *r, const struct raft_configuration *next);
bool replica_guards_alone(uint64_t id, const struct raft_configuration *c);

/* replica_wire.c */
int replica_wire_send(struct replica *r, const struct raft_message *m);
/* 0, REPLICA_E_MESSAGE, or < 0.  *ret_entries is freed by the caller; batch and snapshot belong to
 * the core once it has taken the message. */
int replica_wire_read(struct replica *r, uint64_t from, struct span bytes,
                      struct raft_message *ret_message);
void replica_wire_drop(struct raft_message *m);

#endif
