/* SPDX-License-Identifier: MIT */
/* The plain words of releases and tickets: part of words.h, which says whose spans are borrowed
 * and from where.  Times: microseconds since the epoch, UTC; lengths of time in microseconds. */
#ifndef FAIRSLOT_PROTO_WORDS_RELEASE_H
#define FAIRSLOT_PROTO_WORDS_RELEASE_H

#include "base/limits.h"
#include "base/types.h"

/* Values as fairslot.v1.Release.Serving. */
enum release_serving {
    RELEASE_BY_PREFERENCE = 1,
    RELEASE_BY_TURN = 2,
    RELEASE_FIRST_COME = 3,
};

/* Values as fairslot.v1.Release.State. */
enum release_state {
    RELEASE_ANNOUNCED = 1,
    RELEASE_ENTRY = 2,
    RELEASE_SEALED = 3,
    RELEASE_RANKED = 4,
    RELEASE_SERVING = 5,
    RELEASE_STANDBY = 6,
    RELEASE_CLOSED = 7,
    RELEASE_CANCELLED = 8,
    RELEASE_PAUSED = 9, /* only in views: a release in any state may be paused */
};

/* Values as fairslot.v1.Ticket.State. */
enum ticket_state {
    TICKET_ENTERED = 1,
    TICKET_WAITING = 2,
    TICKET_TURN = 3,
    TICKET_OFFERED = 4,
    TICKET_STANDBY = 5,
    TICKET_USED = 6,
    TICKET_LOST = 7,
    TICKET_WITHDRAWN = 8,
    TICKET_LAPSED = 9,
};

/* What an operator does to a release.  Stand in logs: never renumber. */
enum release_action {
    RELEASE_ACTION_OPEN = 1,   /* entry opens now instead of at its time */
    RELEASE_ACTION_CLOSE = 2,  /* what nobody took goes to the return pool */
    RELEASE_ACTION_CANCEL = 3, /* before it is served: nobody gets anything */
    RELEASE_ACTION_PAUSE = 4,  /* nobody is served and no turn ends until it is resumed */
    RELEASE_ACTION_RESUME = 5,
    RELEASE_ACTION_DRAIN = 6,  /* no further ticket; whoever has one is served */
};

#define RELEASE_PART_BEACON 255 /* number of the last part; trustees' are 0 to 4 */
#define RELEASE_SECRET      64  /* bytes: release key, operator seed */

/* As asked for and as stored. */
struct release_policy {
    struct span display_name;
    enum release_serving serving;
    int64_t entry_open_us;
    int64_t entry_close_us;
    int64_t entry_grace_us;
    int64_t close_us;      /* 0: by CloseRelease alone */
    int64_t cohort_us;     /* 0: no later cohorts */
    int64_t turn_us;
    int64_t accept_us;     /* 0: the pool's hold_ttl */
    int64_t parts_wait_us;
    int64_t slots_from_us; /* half-open interval of starts */
    int64_t slots_to_us;
    struct span trustee_keys[RELEASE_TRUSTEES_MAX]; /* DER */
    uint32_t trustees_count;
    struct span beacon;
};

/* A slot inside its pool. */
struct slot_key {
    int64_t start_us; /* whole seconds */
    struct span slug; /* [a-z0-9-]{1,24} */
};

/* One wish of a ticket. */
struct ticket_wish {
    enum { WISH_SLOT = 1, WISH_CLASS = 2, WISH_ANY = 3 } kind;
    struct slot_key slot; /* of WISH_SLOT */
    int64_t from_us;      /* of WISH_CLASS; half-open */
    int64_t to_us;
};

/* What a command says about releases and tickets. */
#define TICKET_FOR_STREAM 1 /* the gateway asks, for a WatchTicket that its caller holds open */

struct release_words {
    struct span id;     /* of the release */
    struct span ticket; /* 16 bytes; empty: one's own */
    const struct ticket_wish *wishes;
    size_t wishes_count;
    uint32_t slot_count; /* neighbours: 1 to SLOTS_PER_HOLD */
    enum release_action action;
    uint32_t part;      /* 0 to 4, or RELEASE_PART_BEACON; of GET_TICKET: TICKET_FOR_STREAM */
    struct span bytes;  /* the part */
    struct span secret; /* RELEASE_SECRET bytes that the gateway drew */
    const struct release_policy *policy;
};

struct release_view {
    struct span pool;
    struct span id;
    struct release_policy policy; /* with the times that hold now */
    enum release_state state;
    uint32_t slot_count;
    struct span manifest;    /* its text; empty until the slots are listed */
    uint8_t manifest_hash[32];
    uint8_t operator_commitment[32];
    uint8_t ticket_root[32];
    uint8_t operator_seed[32];
    uint8_t seed[32];
    bool is_sealed;          /* ticket_root and tickets_count hold */
    bool is_ranked;          /* seed and operator_seed hold */
    uint64_t tickets_count;
    uint64_t rank_threshold; /* of cohort `cohort` */
    uint64_t cut_off;        /* last rank of cohort 0 that got something when first served */
    uint32_t cohort;
    uint64_t served_count;   /* winners, or turns given */
    int64_t seal_us;         /* log time; 0: not yet */
    struct span parts[RELEASE_TRUSTEES_MAX]; /* empty: not there */
    struct span beacon_value;
    uint64_t version;        /* goes out as the etag */
    uint64_t log_index;
};

struct ticket_view {
    struct span pool;
    struct span release;
    uint8_t id[16];
    enum ticket_state state;
    const struct ticket_wish *wishes;
    size_t wishes_count;
    uint32_t slot_count;
    uint32_t cohort;
    bool is_ranked;
    uint64_t rank;
    uint64_t ahead;          /* about how many come before it, once ranked */
    int64_t act_by_us;       /* 0: nothing to act on */
    uint64_t hold_owner;
    uint64_t hold_number;    /* 0: none */
    uint64_t reservation;    /* the same number once it is one; 0: not */
    const char *outcome;     /* static; "" */
    uint32_t leaf_version;   /* counts changes before sealing */
    uint8_t leaf[32];
    uint8_t nonce[16];       /* of the leaf: its owner's */
    uint8_t manifest_hash[32];
    bool is_receipt;         /* to be signed: it was just written, or is being proved */
    uint64_t version;        /* goes out as the etag */
    uint64_t log_index;
};

struct ticket_proof_view {
    uint8_t leaf[32];
    uint8_t root[32];
    uint8_t seed[32];
    uint64_t index;   /* of the leaf, by ticket id */
    uint64_t count;
    uint8_t (*path)[32];
    size_t path_count;
    uint64_t rank;
    uint64_t cut_off; /* rank of the last one who got something; 0: nobody */
};

/* A ticket as the bundle has it. */
struct ticket_row {
    uint8_t id[16];
    uint32_t cohort;
    uint32_t version;
    bool is_withdrawn;
    struct span preferences; /* canonical bytes (docs/draw.md) */
    uint8_t nonce[16];
    uint64_t number;         /* grows with arrival */
    enum ticket_state state;
    uint32_t wish;           /* that was met, from 1; 0: none */
    int64_t first_us;        /* start of the first slot it got in the first pass */
    struct span first_slug;
    uint32_t assurance;
};

/* A piece of a bundle's file. */
struct piece_view {
    const char *file;  /* static */
    struct span bytes; /* of the file signatures none: they are made of what is signed */
};

/* A group of identities in a report.  Counts below 5 are -1; ratios are millionths. */
struct report_population {
    const char *label; /* static: names the rule */
    int64_t identities, requests, slots;
    bool is_known;     /* the ratio is */
    bool is_hidden;    /* a count is below 5: low to high is all that is said */
    uint64_t advantage, low, high;
};

#define REPORT_POPULATIONS 6 /* the last one is the suspected */
#define REPORT_DECILES     10

struct report_view {
    struct span pool, release;
    int64_t as_of_us;
    uint64_t slots_offered;
    int64_t slots_given, slots_taken, identities;
    struct report_population populations[REPORT_POPULATIONS];
    int64_t entered[REPORT_DECILES], wins[REPORT_DECILES]; /* by arrival */
    uint64_t jain;                                         /* millionths */
    uint64_t wait_p50_us, wait_p95_us;
    uint64_t hold_waste;                                   /* millionths */
    bool is_alarm;
};

/* A page of a release's result: as many ids, outcomes and slots. */
struct outcome_view {
    size_t count;
    uint8_t (*ids)[16];
    uint8_t *outcomes;      /* enum outcome */
    struct slot_key *slots; /* the first one of who won */
};

/* Stand in answers: never renumber.  Won: OUTCOME_WON and the number of the wish, from 1. */
enum outcome {
    OUTCOME_WITHDRAWN = 1,
    OUTCOME_LOST = 2,
    OUTCOME_TURN = 3,    /* had a turn */
    OUTCOME_WAITING = 4, /* had none */
    OUTCOME_LEFT = 5,    /* gave its place up after sealing */
    OUTCOME_WON = 16,
};

/* What becomes of releases and tickets, for whoever filed them.  Numbers stand in the state: never
 * renumber.  X(NAME, number): from EVENT_OF_TICKET on it is about a ticket. */
#define EVENT_KINDS(X)                                                                          \
    X(RELEASE_ANNOUNCED, 1)                                                                     \
    X(RELEASE_ENTRY, 2)                                                                         \
    X(RELEASE_SEALED, 3)                                                                        \
    X(RELEASE_RANKED, 4)                                                                        \
    X(RELEASE_SERVING, 5)                                                                       \
    X(RELEASE_STANDBY, 6)                                                                       \
    X(RELEASE_CLOSED, 7)                                                                        \
    X(RELEASE_CANCELLED, 8)                                                                     \
    X(TICKET_WITHDRAWN, 16)                                                                     \
    X(TURN_GIVEN, 17)                                                                           \
    X(TURN_EXPIRED, 18)                                                                         \
    X(TICKET_LOST, 19) /* in no record: follows from the release's end */                       \
    X(TURN_USED, 32)                                                                            \
    X(OFFER_MADE, 33)                                                                           \
    X(STANDBY_OFFER_MADE, 34)                                                                   \
    X(HOLD_CONFIRMED, 35)                                                                       \
    X(HOLD_DROPPED, 36)                                                                         \
    X(HOLD_EXPIRED, 37)                                                                         \
    X(RESERVATION_CANCELLED, 38)                                                                \
    X(RESERVATION_LAPSED, 39)                                                                   \
    X(RESERVATION_RESCHEDULED, 40)                                                              \
    X(RESERVATION_RECONFIRMED, 41)

#define EVENT_OF_TICKET 16
#define EVENT_OF_HOLD   32 /* and of a reservation: has owner and number besides */

enum event_kind {
#define EVENT_KIND_ENUM(name, number) EVENT_##name = (number),
    EVENT_KINDS(EVENT_KIND_ENUM)
#undef EVENT_KIND_ENUM
};

static inline bool event_is_of_reservation(enum event_kind kind)
{
    return kind == EVENT_HOLD_CONFIRMED || kind >= EVENT_RESERVATION_CANCELLED;
}

struct event_view {
    enum event_kind kind;
    struct span pool;
    struct span release;
    uint8_t ticket[16];  /* from EVENT_OF_TICKET on */
    uint64_t owner;      /* from EVENT_OF_HOLD on */
    uint64_t number;
    int64_t time_us;
    int64_t act_by_us;   /* 0: nothing to do */
    const char *outcome; /* static; "" */
    uint64_t at;         /* log index and place in the entry, as LEDGER_ITEM_BITS has it */
    uint16_t nth;        /* of what one command made */
    bool at_ticket;      /* follows from its release's event: one for each ticket */
    uint64_t log_index;
};

#endif
