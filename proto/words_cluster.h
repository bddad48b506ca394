/* SPDX-License-Identifier: MIT */
/* The plain words of a shard's replicas: part of words.h, which says whose spans are borrowed and
 * from where.  What a replica knows of itself and, when it leads, of the others. */
#ifndef FAIRSLOT_PROTO_WORDS_CLUSTER_H
#define FAIRSLOT_PROTO_WORDS_CLUSTER_H

#include "base/types.h"

#define CLUSTER_NODES_MAX   16 /* members of a shard */
#define CLUSTER_ADDRESS_MAX 127 /* bytes of tcp://HOST:PORT */
#define CLUSTER_ID_MAX      INT64_MAX /* of a node: 1 to this */
#define CLUSTER_LAG_MAX     10000   /* entries behind: with more it is given no leadership */

/* Values as fairslot.admin.v1.Node.State. */
enum node_state {
    NODE_UNKNOWN = 0,  /* this replica does not lead: it has no news of that one */
    NODE_UP = 1,
    NODE_CORDONED = 2, /* leads only if nobody else can */
    NODE_DRAINING = 3, /* cordoned, and still leads something */
    NODE_DRAINED = 4,  /* not told: who leads nothing is NODE_CORDONED */
    NODE_DOWN = 5,     /* the leader has not heard it for CLUSTER_DOWN_US */
};

/* What goes on with a node.  Its name is all that is remembered: operations/add-node-4. */
enum node_change { NODE_CHANGE_ADD = 1, NODE_CHANGE_REMOVE = 2, NODE_CHANGE_DRAIN = 3 };

/* Stand in logs: never renumber. */
enum node_mark { NODE_MARK_NONE = 0, NODE_MARK_CORDON = 1 };

#define CLUSTER_DOWN_US (2 * SECOND_US)
#define CLUSTER_CUT_US  SECOND_US /* the same, when there is no connection to it either */

/* Values as fairslot.admin.v1.Replica.StateCheck. */
enum state_check {
    STATE_UNCHECKED = 0, /* no state hash of the same index is known of both */
    STATE_SAME = 1,
    STATE_DIFFERS = 2,
};

/* One member.  What is not known of it is 0, but where another value is said. */
struct cluster_node_view {
    uint64_t id;
    struct span address;  /* of its door for peers; empty: it is alone and has none */
    struct span gateways; /* where gateways reach it; empty: not known */
    bool is_voter;
    bool is_self;         /* the replica that answers */
    enum node_state state;
    uint64_t match_index;   /* its log is durable up to here */
    uint64_t applied_index;
    uint64_t behind;        /* entries, of what is committed */
    int64_t silent_us;      /* since it was heard last; < 0: not known */
    bool has_clock;
    int64_t clock_us;       /* its wall clock less that of the replica that answers */
    struct span version;    /* of its program; empty: not known */
    uint64_t signs;         /* what tells its signing key from others'; 0: not known */
    uint64_t disk_free_bytes;
    uint64_t map_used_bytes, map_limit_bytes; /* of the state; limit 0: not known */
    bool is_short_of_room;  /* it refuses what makes new things */
    bool is_disk_foreign;   /* another disk came under this id: it is not heard */
    bool is_twice;          /* two processes speak as it: a copy of its directory */
    bool repairs;            /* its state is damaged, and it fetches another one's */
    enum state_check check;
};

/* Values as fairslot.admin.v1.Problem.Kind. */
enum cluster_problem_kind {
    PROBLEM_NO_QUORUM = 1,
    PROBLEM_NO_LEADER = 2,
    PROBLEM_NODE_DOWN = 3,
    PROBLEM_NODE_LAGS = 4,
    PROBLEM_CLOCK = 5,
    PROBLEM_DISK = 6,
    PROBLEM_VERSIONS = 7,
    PROBLEM_TWO_DISKS = 8,
    PROBLEM_STATE_DIFFERS = 9,
    PROBLEM_CATCHING_UP = 10,
    PROBLEM_TWO_VOTERS = 11,
    PROBLEM_REPAIR = 12,
    PROBLEM_SIGNING_KEY = 13,
};

struct cluster_problem_view {
    enum cluster_problem_kind kind;
    uint64_t node;         /* 0: of the whole shard */
    struct span text;      /* a sentence */
    struct span next_step; /* what to do */
};

#define CLUSTER_PROBLEMS_MAX (CLUSTER_NODES_MAX * 8 + 4)

struct cluster_view {
    uint8_t cluster_id[16];
    uint64_t self;          /* id of the replica that answers */
    uint64_t leader;        /* 0: none that it knows of */
    uint64_t term;
    uint64_t commit_index;
    uint64_t applied_index;
    int64_t log_time_us;    /* of the last applied entry */
    uint64_t lag_max;       /* entries behind that are no problem yet */
    struct span version;    /* of our program */
    uint64_t signs;         /* of our signing key */
    struct span next_page_token;
    const struct cluster_node_view *nodes; /* by id */
    size_t nodes_count;
    const struct cluster_problem_view *problems;
    size_t problems_count;
};

#endif
