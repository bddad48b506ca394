/* SPDX-License-Identifier: MIT */
/* The plain words of the house: what a caller asks (struct command) and what the shard decides
 * (struct verdict).  proto/codec_*.c turn public messages, batches and log entries into these and
 * back, and check every bound on the way, once; behind it nobody checks again.
 * Spans are borrowed: from the decoded message's arena, or from the verdict's arena.
 * Times: microseconds since the epoch, UTC. */
#ifndef FAIRSLOT_PROTO_WORDS_H
#define FAIRSLOT_PROTO_WORDS_H

#include "base/limits.h"
#include "base/types.h"
#include "proto/reason.h"
#include "proto/words_cluster.h"
#include "proto/words_release.h"

/* Stand in logs: never renumber.  Mutations first; reads from 100 on leave no entry. */
enum command_kind {
    COMMAND_CREATE_POOL = 1,         /* new_pool, pool, request_id; operator */
    COMMAND_CREATE_SLOTS = 2,        /* pool, new_slots, request_id, validate_only; operator */
    COMMAND_CREATE_HOLD = 3,         /* pool, slots (1) or select_us and _count, request_id */
    COMMAND_CONFIRM_HOLD = 4,        /* pool, owner, number, etag ("" any), request_id */
    COMMAND_DROP_HOLD = 5,           /* pool, owner, number, request_id */
    COMMAND_CANCEL_RESERVATION = 6,  /* pool, owner, number, etag ("" any), request_id */
    COMMAND_EXPIRE_HOLD = 7,         /* pool, owner, number, version; by the shard itself */
    COMMAND_SWEEP = 8,               /* ends old records from a cursor in the state; by the shard */
    COMMAND_RESCHEDULE = 9,          /* pool, owner, number, slots (1) or select_us and _count (0:
                                        as many as before), etag ("" any), request_id */
    COMMAND_RECONFIRM = 10,          /* pool, owner, number, etag ("" any), request_id */
    COMMAND_UPDATE_POOL = 11,        /* pool, new_pool, pool_mask, etag, request_id; operator */
    COMMAND_BLOCK_SLOTS = 12,        /* pool, slots (ascending), note, request_id; operator */
    COMMAND_UNBLOCK_SLOTS = 13,      /* as COMMAND_BLOCK_SLOTS */
    COMMAND_RESTOCK = 14,            /* pool, note, request_id; operator */
    COMMAND_RESTOCK_STEP = 15,       /* pool; by the shard itself */
    COMMAND_LAPSE = 16,              /* pool, owner, number, version; by the shard itself */
    COMMAND_RAISE = 17,              /* version: of the rules; by the shard itself */
    COMMAND_CREATE_RELEASE = 30,     /* pool, release: id, policy, secret; request_id; operator */
    COMMAND_CHANGE_RELEASE = 31,     /* pool, release: id, action; etag, request_id; operator */
    COMMAND_ADD_PART = 32,           /* pool, release: id, part, bytes; request_id; operator */
    COMMAND_CREATE_TICKET = 33,      /* pool, release: id, wishes, slot_count; request_id */
    COMMAND_DELETE_TICKET = 34,      /* pool, release: id, ticket; request_id */
    COMMAND_STEP_RELEASE = 35,       /* owner (the release's space), version; by the shard itself */
    COMMAND_END_RELEASE = 36,        /* owner (the release's space); by the shard itself */
    COMMAND_COIN = 37,               /* random (COIN_RANDOM bytes); by the shard itself */
    COMMAND_ERASE = 38,              /* note (identity, 32 hex digits), request_id; operator */
    COMMAND_MARK_NODE = 39,          /* number (node), version (enum node_mark); operator */
    COMMAND_ERASE_STEP = 40,         /* identity (whose); by the shard itself */
    COMMAND_LIST_POOLS = 100,        /* page_size, page_token */
    COMMAND_GET_POOL = 101,          /* pool */
    COMMAND_LIST_SLOTS = 102,        /* pool, from_us, to_us, free_only, page_size, page_token */
    COMMAND_GET_HOLD = 103,          /* pool, owner, number */
    COMMAND_GET_RESERVATION = 104,   /* pool, owner, number */
    COMMAND_LIST_RESERVATIONS = 105, /* pool ("-": all), page_size, page_token */
    COMMAND_WATCH_SLOTS = 106,       /* pool; the gateway serves it, no shard is sent one */
    COMMAND_LIST_RELEASES = 130,     /* pool, page_size, page_token */
    COMMAND_GET_RELEASE = 131,       /* pool, release: id */
    COMMAND_GET_TICKET = 132,        /* pool, release: id, ticket */
    COMMAND_GET_PROOF = 133,         /* pool, release: id, ticket */
    COMMAND_LIST_TICKETS = 134,      /* pool, release: id; page; auditor or operator: the bundle */
    COMMAND_LIST_OFFERED = 135,      /* pool, release: id; page: the slots of the manifest */
    COMMAND_GET_REPORT = 137,        /* pool, release: id */
    COMMAND_GET_RESULT = 138,        /* pool, release: id; page */
    COMMAND_REVEAL_SEED = 141,       /* pool, release: id, bytes (32, or none); operator */
    COMMAND_WATCH_TICKET = 136,      /* as GET_TICKET; the gateway serves it by asking that */
    COMMAND_LIST_EVENTS = 139,       /* pool ("-": all), release: id or NULL, page; client */
    COMMAND_WATCH_EVENTS = 140,      /* the same; the gateway serves it by asking that */
    COMMAND_EXPORT_RELEASE = 142,    /* pool, release: id, bytes (hashes of the files late and,
                                        once it has begun, returns, so far),
                                        action (1: preferences withheld); page_token; the same */
    COMMAND_GET_CLUSTER = 200,       /* operator; answered by any replica, as it sees it; note: the
                                        cluster that is meant, 32 hex digits, or empty */
    COMMAND_LIST_NODES = 201,        /* page; the same */
    COMMAND_LIST_SHARDS = 202,       /* page; the same */
    COMMAND_ADD_NODE = 203,          /* number (node), note (its peers' URL), validate_only */
    COMMAND_REMOVE_NODE = 204,       /* number (node), validate_only; operator; the leader */
    COMMAND_TRANSFER_LEADER = 205,   /* number (node), validate_only; operator; the leader */
    COMMAND_DRAIN_NODE = 206,        /* the same */
    COMMAND_GET_OPERATION = 207,     /* number (node), version (enum node_change); the leader */
};

static inline bool command_is_read(enum command_kind kind)
{
    return kind >= 100;
}

/* About the replicas, not about what is booked: the node answers, they never reach the ledger. */
static inline bool command_is_cluster(enum command_kind kind)
{
    return kind >= COMMAND_GET_CLUSTER;
}

/* A replica that does not lead answers them all the same, from what it has applied: what everybody
 * may see (its answer says as of when), and what the cluster looks like from there. */
static inline bool command_is_snapshot(enum command_kind kind)
{
    return kind == COMMAND_LIST_POOLS || kind == COMMAND_GET_POOL || kind == COMMAND_LIST_SLOTS ||
           kind == COMMAND_LIST_RELEASES || kind == COMMAND_GET_RELEASE ||
           kind == COMMAND_GET_REPORT || kind == COMMAND_GET_RESULT ||
           kind == COMMAND_GET_CLUSTER || kind == COMMAND_LIST_NODES ||
           kind == COMMAND_LIST_SHARDS;
}

/* Only the shard itself may say them: they come in no batch. */
static inline bool command_is_own(enum command_kind kind)
{
    return kind == COMMAND_EXPIRE_HOLD || kind == COMMAND_SWEEP || kind == COMMAND_RESTOCK_STEP ||
           kind == COMMAND_LAPSE || kind == COMMAND_RAISE || kind == COMMAND_STEP_RELEASE ||
           kind == COMMAND_END_RELEASE || kind == COMMAND_COIN || kind == COMMAND_ERASE_STEP;
}

enum role {
    ROLE_OPERATOR = 1 << 0,
    ROLE_VIEWER = 1 << 1,
    ROLE_CLERK = 1 << 2,
    ROLE_AUDITOR = 1 << 3,
};

enum assurance {
    ASSURANCE_NONE = 0,
    ASSURANCE_LOW = 1,
    ASSURANCE_SUBSTANTIAL = 2,
    ASSURANCE_HIGH = 3,
};

/* Values as fairslot.v1.Slot.State. */
enum slot_state {
    SLOT_FREE = 1,
    SLOT_HELD = 2,
    SLOT_TAKEN = 3,
    SLOT_BLOCKED = 4,
    SLOT_RETURNED = 5,
};

/* Values as fairslot.v1.Hold.State. */
enum hold_state { HOLD_LIVE = 1, HOLD_CONFIRMED = 2, HOLD_DROPPED = 3, HOLD_EXPIRED = 4 };

/* Values as fairslot.v1.Reservation.State. */
enum reservation_state {
    RESERVATION_CONFIRMED = 1,
    RESERVATION_RECONFIRMED = 2,
    RESERVATION_CANCELLED = 3,
    RESERVATION_LAPSED = 6,
};

struct new_slot {
    int64_t start_us;
    int64_t duration_us;
    struct span slug;
    struct span desk; /* at most 64 bytes, as people read it */
};

/* Values as fairslot.v1.Pool.ReturnPolicy; RETURN_NEXT where nothing is said. */
enum return_policy { RETURN_NEXT = 1, RETURN_NAMED = 2, RETURN_COIN = 3 };

/* A pool's policy, as asked for and as stored. */
struct pool_view {
    struct span id;
    struct span display_name;
    struct span office;
    struct span service;
    struct span service_class;
    struct span time_zone;
    enum assurance min_assurance;
    int64_t hold_ttl_us;   /* 1 s to 24 h */
    uint32_t max_live;     /* 1 to LIVE_PER_IDENTITY_MAX */
    bool scarce;
    uint32_t max_slots;    /* of one hold, 1 to SLOTS_PER_HOLD */
    uint32_t max_changes;  /* of one reservation, 0 to POOL_CHANGES_MAX */
    int64_t cool_down_us;  /* after something was given back; 0: none, to 30 days */
    int64_t reconfirm_open_us; /* before the start; 0: at once, to 90 days */
    int64_t reconfirm_by_us;   /* before the start; 0: nobody has to, to 30 days */
    int64_t appeal_us;     /* release keys are burned so long after the end; to 3650 days */
    enum return_policy return_policy;
    int64_t return_wait_us;    /* mean of the coin: 1 min to 30 days */
    struct span return_release; /* the one that RETURN_NAMED means; "" else */
    uint64_t version;      /* goes out as the etag */
};

#define POOL_APPEAL_US      (30 * DAY_US)            /* when the pool says nothing */
#define POOL_RETURN_WAIT_US (6 * 60 * 60 * SECOND_US) /* the same */
#define POOL_MAX_SLOTS    SLOTS_PER_HOLD /* when the pool says nothing */
#define POOL_MAX_CHANGES  2              /* the same */
#define POOL_CHANGES_MAX  100

/* What UpdatePool may change; bits stand in logs: never renumber.  X(NAME, path). */
#define POOL_FIELDS(X)                                    \
    X(DISPLAY_NAME, 0, "display_name")                    \
    X(OFFICE, 1, "office")                                \
    X(SERVICE, 2, "service")                              \
    X(TIME_ZONE, 3, "time_zone")                          \
    X(MIN_ASSURANCE, 4, "min_assurance")                  \
    X(HOLD_TTL, 5, "hold_ttl")                            \
    X(MAX_LIVE, 6, "max_live_per_identity")               \
    X(SCARCE, 7, "scarce")                                \
    X(MAX_SLOTS, 8, "max_slots_per_hold")                 \
    X(MAX_CHANGES, 9, "max_changes")                      \
    X(COOL_DOWN, 10, "cancel_cool_down")                  \
    X(RECONFIRM_OPEN, 11, "reconfirm_open")               \
    X(RECONFIRM_BY, 12, "reconfirm_by")                   \
    X(APPEAL, 13, "appeal_period")                        \
    X(RETURN_POLICY, 14, "return_policy")                 \
    X(RETURN_WAIT, 15, "return_wait")                     \
    X(RETURN_RELEASE, 16, "return_release")

enum pool_field {
#define POOL_FIELD_ENUM(name, bit, path) POOL_FIELD_##name = 1 << (bit),
    POOL_FIELDS(POOL_FIELD_ENUM)
#undef POOL_FIELD_ENUM
    POOL_FIELDS_ALL = (1 << 17) - 1
};

struct command {
    enum command_kind kind;
    struct identity identity; /* zero for the shard's own commands and for anonymous reads */
    enum assurance assurance;
    uint32_t roles; /* enum role */
    uint64_t client;  /* keyed hash of the token's authorised party; 0: nobody said */
    bool is_client;   /* of LIST_EVENTS: asks for all of the client's, not for one's own */
    struct request_id request_id;
    uint64_t body_hash;
    struct span pool;
    uint64_t owner;
    uint64_t number;
    uint64_t version;
    const struct slot_key *slots;
    size_t slots_count;
    int64_t select_us;     /* start of the first slot; whole seconds */
    uint32_t select_count; /* neighbours */
    struct span etag;
    const struct pool_view *new_pool;
    uint32_t pool_mask;    /* enum pool_field: what of new_pool counts */
    struct span note;      /* an operator's reason, at most NOTE_MAX bytes */
    const struct new_slot *new_slots;
    size_t new_slots_count;
    struct span random;    /* from the leader's random device */
    const struct release_words *release; /* NULL: nothing about releases */
    bool validate_only;
    int64_t from_us;
    int64_t to_us;
    bool free_only;
    uint32_t page_size; /* 1 to PAGE_SIZE_MAX */
    struct span page_token;
};

struct slot_view {
    struct slot_key key;
    int64_t duration_us;
    struct span desk;
    enum slot_state state;
    uint64_t version;
};

struct hold_view {
    struct span pool;
    uint64_t owner;
    uint64_t number;
    enum hold_state state;
    const struct slot_view *slots;
    size_t slots_count;
    int64_t expire_us;
    uint64_t version;   /* goes out as the etag */
    uint64_t log_index; /* entry that made this state */
};

struct reservation_view {
    struct span pool;
    uint64_t owner;
    uint64_t number; /* the hold's: reservations/r... beside holds/h... */
    enum reservation_state state;
    const struct slot_view *slots;
    size_t slots_count;
    int64_t create_us;
    int32_t changes_left;
    int64_t reconfirm_us; /* it must be reconfirmed before; 0: it need not */
    uint64_t version;
    uint64_t log_index;
};

enum result_kind {
    RESULT_NONE,
    RESULT_POOL,         /* pools[0] */
    RESULT_POOLS,        /* pools, next_page_token */
    RESULT_SLOTS,        /* pool, slots, next_page_token, as_of_us */
    RESULT_SLOTS_CHANGED, /* changed_count, log_index: created, blocked, unblocked, restocked */
    RESULT_HOLD,         /* holds[0] */
    RESULT_RESERVATION,  /* reservations[0] */
    RESULT_RESERVATIONS, /* reservations, next_page_token */
    RESULT_RELEASE,      /* releases[0] */
    RESULT_RELEASES,     /* releases, next_page_token */
    RESULT_TICKET,       /* ticket */
    RESULT_PROOF,        /* proof, ticket */
    RESULT_OPERATION,    /* log_index: done, and what its name says */
    RESULT_TICKETS,      /* rows, next_page_token */
    RESULT_REPORT,       /* report */
    RESULT_OUTCOME,      /* releases[0], outcomes, next_page_token */
    RESULT_EXPORT,       /* piece, next_page_token; releases[0] for the file signatures */
    RESULT_EVENTS,       /* events, next_page_token, resume_token */
    RESULT_CLUSTER,      /* cluster */
    RESULT_NODES,        /* cluster */
    RESULT_SHARDS,       /* cluster */
    RESULT_SHARD,        /* cluster */
    RESULT_NODE_CHANGE,  /* node, change, is_done */
    RESULT_NODE,         /* cluster, node */
};

/* What the operator's key signed as the answer left (docs/draw.md, "Signatures"). */
struct verdict_signed {
    uint8_t key[32]; /* public */
    bool has_manifest, has_root, has_receipt;
    uint8_t manifest[64];
    uint8_t root[64];
    uint8_t receipt[64];
};

#define VERDICT_META_MAX 6

struct verdict_meta {
    const char *key; /* static */
    struct span value;
};

/* What the shard decided.  A refusal is data: reason, where to look, when to come back. */
struct verdict {
    enum reason reason;
    uint32_t retry_ms;  /* 0: the reason's own */
    const char *field;  /* static; for FIELD_INVALID */
    struct verdict_meta meta[VERDICT_META_MAX];
    size_t meta_count;
    enum result_kind result;
    struct span pool; /* of RESULT_SLOTS */
    const struct pool_view *pools;
    size_t pools_count;
    const struct slot_view *slots;
    size_t slots_count;
    const struct hold_view *holds;
    const struct reservation_view *reservations;
    size_t reservations_count;
    uint32_t changed_count;
    const struct release_view *releases;
    size_t releases_count;
    const struct ticket_view *ticket;
    const struct ticket_proof_view *proof;
    const struct verdict_signed *is_signed; /* NULL: nothing is */
    const struct ticket_row *rows;
    size_t rows_count;
    const struct report_view *report;
    const struct outcome_view *outcomes;
    const struct piece_view *piece;
    const struct event_view *events;
    size_t events_count;
    struct span resume_token;
    const struct cluster_view *cluster;
    uint64_t node;         /* that is being added, removed or drained */
    enum node_change change;
    bool is_done;          /* of RESULT_NODE_CHANGE */
    uint64_t log_index;
    struct span next_page_token;
    int64_t as_of_us;
    uint64_t as_of_index;  /* of a read while nobody leads: the last entry that it has seen */
};

#endif
