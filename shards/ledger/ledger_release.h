/* SPDX-License-Identifier: MIT */
/* What the ledger's files about releases share; beside ledger_parts.h.
 *
 * Records of one release, all in its own space (001 and 61 bits of a hash of its name):
 *
 *   (release, 0)                'H' chunk          root and first id of 256 leaves, for proofs
 *   (release, 0)                'J' number         what happened to its slots (ledger_journal.c)
 *   (release, 0)                'K' cohort rank id the order, once ranked
 *   (release, 0)                'L'                the release
 *   (release, 0)                'M'                its manifest
 *   (release, 0)                'N' number         a slot that it offers
 *   (release, 0)                'P' part           a trustee's key, then its part
 *   (release, 0)                'U' act-by id      a turn that somebody has
 *   (release, 0)                'V' number         what its report counts
 *   (release, 0)                'Y'                the tree while it is sealed
 *   (release, id's first 8)     'T' ticket id      a ticket
 * and   (pool, 1) 'L' release id  the pool's catalogue of releases.
 *
 * A release is a machine of small steps: whatever is much (listing slots, sealing, ranking,
 * serving, closing) goes RELEASE_STEP records at a time, by a cursor in its record, each step a
 * command of the log that names the version it goes on from.  So a round stays short, and a crash
 * in any state goes on where the log ends. */
#ifndef FAIRSLOT_LEDGER_RELEASE_H
#define FAIRSLOT_LEDGER_RELEASE_H

#include "draw/manifest.h"
#include "draw/preferences.h"
#include "ledger/ledger_parts.h"

#define RELEASE_STEP 256 /* records that one step touches, about */
#define LEDGER_SPACE_RELEASES (UINT64_C(1) << 61)

/* 'P' records: keys of trustees are 0 to 4, their parts 16 to 20, the beacon's value 255. */
enum { RELEASE_PART_RECORD = 16 };

enum ledger_phase {
    PHASE_LISTING = 1, /* announced, its slots are being listed */
    PHASE_ANNOUNCED = 2,
    PHASE_ENTRY = 3,
    PHASE_SEALING = 4, /* no ticket changes any more, the root is being made */
    PHASE_SEALED = 5,  /* waits for the parts of the seed */
    PHASE_RANKING = 6,
    PHASE_SERVING = 7,
    PHASE_STANDBY = 8, /* everybody was served once */
    PHASE_CLOSING = 9,
    PHASE_CLOSED = 10,
    PHASE_CANCELLED = 11,
};

/* Numbers of a release's record, in the record's order: new ones go to the end. */
#define LEDGER_RELEASE_NUMBERS(X)                                                               \
    X(version)         /* grows with every change and step */                                   \
    X(log_index)       /* of the last change */                                                 \
    X(entry_open_us)                                                                            \
    X(entry_close_us)                                                                           \
    X(entry_grace_us)                                                                           \
    X(close_us)                                                                                 \
    X(cohort_us)                                                                                \
    X(turn_us)                                                                                  \
    X(accept_us)                                                                                \
    X(parts_wait_us)                                                                            \
    X(slots_from_us)                                                                            \
    X(slots_to_us)                                                                              \
    X(slots_count)                                                                              \
    X(tickets_count)   /* leaves */                                                             \
    X(seal_us)         /* log time at which the root stood; 0: not yet */                       \
    X(rank_threshold)                                                                           \
    X(served_count)    /* winners, or turns given */                                            \
    X(cohort)          /* of the last one served */                                             \
    X(turns_live)                                                                               \
    X(freed_count)     /* slots that came back since a pass over standby began */               \
    X(lapse_us)        /* no turn lapses before: the release was paused */                      \
    X(cut_off)         /* rank of the last of cohort 0 that the first pass gave something */    \
    X(counting)        /* stage of the report (ledger_report.c); 0: not begun */

/* The same, of a release that has ended; in the record only then. */
#define LEDGER_RELEASE_ENDS(X)                                                                  \
    X(over_us)         /* log time at which it ended */                                         \
    X(burn_us)         /* its key is burned then */                                             \
    X(sweep_us)        /* its records go then, the key burned */

#define LEDGER_RELEASE_HASHES(X) \
    X(release_key) X(operator_seed) X(manifest_hash) X(slots_hash) X(root) X(seed)

struct ledger_release {
    uint64_t space;
    uint64_t pool_space;
    enum ledger_phase phase;
    enum release_serving serving;
    bool is_paused;
    bool is_draining;
    bool is_scanning;    /* a pass over standby is under way */
    bool is_returned;    /* made by the coin, of returned slots alone */
    bool is_burned;      /* its key is gone, and whose the tickets were */
    bool is_journaled;   /* made by rules of version 5 or newer */
    uint8_t trustees_count;
    uint8_t parts_mask;  /* bit n: trustee n's part is there; bit 7: the beacon's */
#define LEDGER_RELEASE_NUMBER(name) uint64_t name;
    LEDGER_RELEASE_NUMBERS(LEDGER_RELEASE_NUMBER)
    LEDGER_RELEASE_ENDS(LEDGER_RELEASE_NUMBER)
#undef LEDGER_RELEASE_NUMBER
#define LEDGER_RELEASE_HASH(name) uint8_t name[32];
    LEDGER_RELEASE_HASHES(LEDGER_RELEASE_HASH)
#undef LEDGER_RELEASE_HASH
    uint64_t journal_count;   /* events; by turn: tickets that left.  0 unless is_journaled */
    struct ledger_key cursor; /* of the work under way; len 0: at its beginning */
    struct ledger_key scan;   /* of the pass over standby */
    uint8_t pool_len, id_len, display_len, beacon_len;
    uint8_t pool[POOL_ID_MAX];
    uint8_t id[RELEASE_ID_MAX];
    uint8_t display[POOL_TEXT_MAX];
    uint8_t beacon[RELEASE_BEACON_MAX];
};

#define LEDGER_RELEASE_BEACON_BIT 0x80
#define LEDGER_RELEASE_BYTES      1536 /* a record, at most */

struct ledger_ticket {
    struct ticket_id id;
    struct identity identity;
    enum ticket_state state; /* as last written; ledger_ticket_now() is what holds */
    enum assurance assurance;
    uint64_t client;     /* through which it was filed last; 0: nobody said */
    uint32_t version;
    uint32_t leaf_version;
    bool is_leaf_withdrawn;
    bool is_burned;      /* nobody's any more: `identity` is the nonce of its leaf */
    uint32_t cohort;
    uint32_t wish;       /* that was met, from 1; 0: none */
    uint64_t number;     /* of its first entry: grows with arrival */
    int64_t entered_us;
    int64_t act_by_us;   /* of one that left a journaled release: LEDGER_LEFT_...() */
    uint64_t hold;       /* 0: none */
    uint64_t log_index;
    int64_t first_us;    /* start of what it got in the first pass; 0: nothing */
    struct span first_slug;
    struct span preferences;
};

#define LEDGER_TICKET_BYTES (136 + SLOT_DESK_MAX + DRAW_PREFERENCES_MAX)

/* A release that has not ended: derived from the book, in memory. */
struct ledger_open {
    uint64_t space;
    uint64_t pool_space;
    uint64_t version;
    enum ledger_phase phase;
    int64_t from_us, to_us; /* of its slots' starts */
    int64_t due_us;         /* when its next step is to be proposed; INT64_MAX: never */
    struct draw_stock *listed; /* while its slots are being listed */
    struct draw_stock *stock;  /* the same afterwards; free: nobody has it */
    size_t read_len;          /* the record as it was read last, and what it says: every ticket */
    uint8_t read_bytes[LEDGER_RELEASE_BYTES]; /* of a rush asks for the same; 0: none yet */
    struct ledger_release read;
};

/* -- ledger_release_record.c ------------------------------------------------------------------- */

uint64_t ledger_release_space(struct span pool, struct span id);
struct ledger_key ledger_release_key(uint64_t space, uint8_t tag);
struct ledger_key ledger_release_key_number(uint64_t space, uint8_t tag, uint64_t number);
struct ledger_key ledger_release_key_order(uint64_t space, uint32_t cohort, uint64_t rank,
                                           const struct ticket_id *id);
struct ledger_key ledger_release_key_turn(uint64_t space, int64_t act_by_us,
                                          const struct ticket_id *id);
struct ledger_key ledger_release_key_ticket(uint64_t space, const struct ticket_id *id);
struct ledger_key ledger_release_key_named(uint64_t pool_space, struct span id);
void ledger_record_release(struct scribe *w, const struct ledger_release *r);
int ledger_read_release(struct span value, struct ledger_release *ret_release);
void ledger_record_ticket(struct scribe *w, const struct ledger_ticket *t);
/* Spans borrow from `value`. */
int ledger_read_ticket(struct span value, const struct ticket_id *id, struct ledger_ticket *out);
void ledger_record_offered(struct scribe *w, const struct draw_slot *slot);
int ledger_read_offered(struct span value, struct draw_slot *ret_slot);
/* One of the release's records that is bytes alone, with the format byte before them. */
int ledger_release_put_bytes(struct ledger_step *s, const struct ledger_key *key,
                             struct span bytes);
/* 0, LEDGER_NONE, < 0; borrowed from the book. */
int ledger_release_get_bytes(struct ledger_step *s, const struct ledger_key *key,
                             struct span *ret_bytes);

/* -- ledger_release.c -------------------------------------------------------------------------- */

static inline struct span ledger_release_id(const struct ledger_release *r)
{
    return (struct span){r->id, r->id_len};
}

static inline bool ledger_release_is_over(const struct ledger_release *r)
{
    return r->phase >= PHASE_CLOSED;
}

/* Its records are being ended, or wait for that: it counts as absent. */
static inline bool ledger_release_is_gone(const struct ledger_release *r, int64_t now_us)
{
    return r->is_burned && (int64_t)r->sweep_us <= now_us;
}

/* Does a slot in that state go into the pool's release of that name? */
static inline bool ledger_release_offers(const struct ledger_pool *pool, struct span id,
                                         enum slot_state state)
{
    bool is_awaited = pool->return_policy != RETURN_NAMED ||
                      span_equal((struct span){pool->return_release, pool->return_len}, id);
    return state == SLOT_FREE || (state == SLOT_RETURNED && is_awaited);
}

/* The command's release.  0, LEDGER_NONE, < 0. */
int ledger_release_find(struct ledger_step *s, struct ledger_release *ret_release);
int ledger_release_load(struct ledger *l, uint64_t space, struct ledger_release *ret_release);
/* Counts the version and puts the record; the open one follows. */
int ledger_release_put(struct ledger_step *s, struct ledger_release *r);
int ledger_release_create(struct ledger_step *s);
int ledger_release_change(struct ledger_step *s);
int ledger_release_add_part(struct ledger_step *s);
/* ledger_release_view.c; the answer has the release as its record is. */
int ledger_release_get(struct ledger_step *s);
int ledger_release_list(struct ledger_step *s);
int ledger_release_answer(struct ledger_step *s, const struct ledger_release *r);
int ledger_release_reveal(struct ledger_step *s); /* ledger_result.c */
/* The answer of a mutation again, out of its snapshot. */
int ledger_release_recalled(struct ledger_step *s, struct span snapshot);
struct span ledger_release_pool(const struct ledger_release *r);

/* -- ledger_open.c: what is open --------------------------------------------------------------- */

struct ledger_open *ledger_open_find(struct ledger *l, uint64_t space);
/* The open release that offers this slot of the pool; NULL: none. *ret_slot is its number. */
struct ledger_open *ledger_open_offering(struct ledger *l, uint64_t pool_space,
                                         const struct slot_key *slot, uint32_t *ret_slot);
bool ledger_open_overlaps(const struct ledger *l, uint64_t pool_space, int64_t from_us,
                          int64_t to_us);
/* 0 or -ENOMEM; at most RELEASES_OPEN_MAX, the caller's to check. */
int ledger_open_add(struct ledger *l, const struct ledger_release *r);
void ledger_open_remove(struct ledger *l, uint64_t space);
void ledger_open_fini(struct ledger *l);
/* The next slot of the list, free: a scarce pool's, nobody can take it meanwhile.  0, -ENOMEM. */
int ledger_open_list(struct ledger_open *o, const struct draw_slot *slot);
/* The list is whole: it is the stock.  0 or -ENOMEM. */
int ledger_open_stock(struct ledger_open *o);
/* Version and next due instant follow the record. */
void ledger_open_follow(struct ledger *l, const struct ledger_release *r);
/* The known release that follows *space, which becomes its own; its record is borrowed from the
 * book.  0, LEDGER_NONE, < 0. */
int ledger_open_next(struct ledger *l, uint64_t *space, struct span *ret_value);
/* Every release that has not ended, found at the start. */
int ledger_open_load(struct ledger *l);
/* Steps that are due; the count. */
size_t ledger_open_due(const struct ledger *l, int64_t now_us, struct command *out, size_t max);
int64_t ledger_open_next_us(const struct ledger *l);
/* A slot of the pool came back: if an open release offers it, that release gets it. */
int ledger_open_freed(struct ledger_step *s, uint64_t pool_space, const struct slot_key *slot);

/* -- ledger_release_step.c, ledger_release_serve.c --------------------------------------------- */

int ledger_release_step(struct ledger_step *s);
/* The ticket behind the cursor, which moves to it: 0, LEDGER_NONE at the end, < 0. */
int ledger_release_next_ticket(struct ledger_step *s, struct ledger_release *r,
                               struct ledger_ticket *out);
int ledger_release_serve(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o);
int ledger_release_turns(struct ledger_step *s, struct ledger_release *r, struct ledger_open *o);
/* Cohort whose window has ended last at now_us. */
uint32_t ledger_release_cohort_closed(const struct ledger_release *r, int64_t now_us);

/* The chain's slots as they stand in the book, whose first is number `first`. */
int ledger_release_run(struct ledger_step *s, const struct ledger_open *o, uint32_t first,
                       uint32_t count, struct ledger_run *run);

/* -- ledger_report.c --------------------------------------------------------------------------- */

/* The next part of the report: 0 when it is whole, LEDGER_NONE when there is more to do, < 0. */
int ledger_report_step(struct ledger_step *s, struct ledger_release *r);
int ledger_report_get(struct ledger_step *s);

/* -- ledger_end.c: what comes after the end ---------------------------------------------------- */

/* The release has ended just now: what will be done to it, and when.  0 or < 0. */
int ledger_end_begin(struct ledger_step *s, struct ledger_release *r);
/* One that has ended, found at the start.  0 or -ENOMEM. */
int ledger_end_load(struct ledger *l, const struct ledger_release *r);
int ledger_end_step(struct ledger_step *s);
/* Steps that are due; the count. */
size_t ledger_end_due(const struct ledger *l, int64_t now_us, struct arena *arena,
                      struct command *out, size_t max);
int64_t ledger_end_next_us(const struct ledger *l);
/* The nonce of a ticket's leaf. */
void ledger_ticket_nonce(struct ledger *l, const struct ledger_release *r,
                         const struct ledger_ticket *t, uint8_t ret_nonce[16]);
/* By an operator: withdrawn, where its owner could.  0, REASON_ERASE_RUNNING, < 0. */
int ledger_ticket_leave(struct ledger_step *s, struct ledger_release *r,
                        const struct ticket_id *id);
/* Nobody's any more, with its state as it came out.  0 or < 0. */
int ledger_ticket_burn(struct ledger_step *s, const struct ledger_release *r,
                       const struct ticket_id *id);

/* -- ledger_journal.c: what came back ---------------------------------------------------------- */

enum ledger_journal_kind {
    JOURNAL_BACK = 1, /* a slot came back */
    JOURNAL_PASS = 2, /* a pass over standby begins */
    JOURNAL_WON = 3,  /* it gives a ticket something */
    JOURNAL_LEFT = 4, /* a ticket that had nothing left */
    JOURNAL_END = 5,  /* the release was closed */
};

/* How far both walks over the order are: the last ticket that each looked at. */
struct ledger_walks {
    bool has_first;   /* false: it is at its beginning */
    bool has_standby; /* false: no pass over standby is under way */
    struct ticket_id first;
    struct ticket_id standby;
};

struct ledger_event_of_return {
    enum ledger_journal_kind kind;
    struct ticket_id ticket; /* of WON and LEFT */
    uint32_t wish;           /* of WON, from 1 */
    uint32_t slots_count;    /* of BACK: 1, and WON */
    uint32_t slots[DRAW_CHAIN_MAX];
    struct ledger_walks walks; /* of all but WON */
};

#define LEDGER_JOURNAL_BYTES 64 /* a record, at most */

/* What act_by_us says of a ticket that left behind the seal; 0 where nothing is journaled. */
static inline uint64_t ledger_left_number(const struct ledger_ticket *t)
{
    return (uint64_t)t->act_by_us / 2; /* of the journal's count when it had */
}
static inline bool ledger_left_waiting(const struct ledger_ticket *t)
{
    return t->act_by_us & 1; /* before it was looked at */
}

/* How far both walks are now; not of one that is closing. */
void ledger_journal_walks(const struct ledger_release *r, struct ledger_walks *out);
/* Appends the event with the walks; nothing where no journal is kept.  The caller puts *r. */
int ledger_journal_put(struct ledger_step *s, struct ledger_release *r,
                       struct ledger_event_of_return *e);
/* 0; < 0 when it is not there. */
int ledger_journal_get(struct ledger_step *s, const struct ledger_release *r, uint64_t number,
                       struct ledger_event_of_return *out);
int ledger_journal_back(struct ledger_step *s, struct ledger_release *r, uint32_t slot);
/* Before its state changes; puts *r, the caller puts *t. */
int ledger_journal_left(struct ledger_step *s, struct ledger_release *r, struct ledger_ticket *t);
/* It is closing from here on: the walks end, and its cursor is free for the work of closing. */
int ledger_journal_end(struct ledger_step *s, struct ledger_release *r);

/* -- ledger_turn.c ----------------------------------------------------------------------------- */

/* What lets a caller hold a slot of a scarce pool. */
struct ledger_turn {
    struct ledger_release release;
    struct ledger_ticket ticket;
    bool has_ticket; /* by turn; else first come */
    uint32_t first;  /* slot number */
    uint32_t count;
};

/* REASON_OK with what the command gets, or why not; < 0. */
int ledger_turn_choose(struct ledger_step *s, const struct ledger_pool *pool, size_t count,
                       struct ledger_turn *t, struct ledger_run *run);
/* The hold stands: the turn is used, the slots are out of the stock. */
int ledger_turn_used(struct ledger_step *s, struct ledger_turn *t, uint64_t hold);

/* -- ledger_ticket.c, ledger_proof.c ----------------------------------------------------------- */

int ledger_ticket_load(struct ledger_step *s, uint64_t space, const struct ticket_id *id,
                       struct ledger_ticket *ret_ticket);
int ledger_ticket_put(struct ledger_step *s, uint64_t space, const struct ledger_ticket *t);
/* `key`, a release's key or seed, ready for messages: hashing its pads each time is half the cost.
 * Borrowed until the next call. */
const struct draw_mac *ledger_ticket_mac(struct ledger *l, const uint8_t key[32]);
void ledger_ticket_forget_macs(struct ledger *l); /* when a key is burned */
/* Of a release whose seed is known. */
uint64_t ledger_ticket_rank(struct ledger *l, const struct ledger_release *r,
                            const struct ticket_id *id);
void ledger_ticket_leaf(const struct ledger_ticket *t, const uint8_t nonce[16],
                        struct draw_hash *ret_leaf);
int ledger_ticket_create(struct ledger_step *s);
int ledger_ticket_delete(struct ledger_step *s);
int ledger_ticket_get(struct ledger_step *s);
int ledger_ticket_recalled(struct ledger_step *s, struct span snapshot);
/* Live tickets of the command's identity in the scene's class, but that of `except`; strikes the
 * marks of those that are not. */
int ledger_ticket_live(struct ledger_step *s, struct ledger_scene *scene, uint64_t except,
                       uint32_t *ret_count);
void ledger_ticket_id(struct ledger *l, const struct ledger_release *r,
                      const struct identity *identity, struct ticket_id *ret_id);
/* What holds of a ticket at log time. */
struct ledger_ticket_now {
    enum ticket_state state;
    const char *outcome; /* static */
    uint64_t owner;      /* of its hold */
    bool is_reservation;
};
int ledger_ticket_now(struct ledger_step *s, const struct ledger_release *r,
                      const struct ledger_ticket *t, struct ledger_ticket_now *out);
int ledger_ticket_view(struct ledger_step *s, const struct ledger_release *r,
                       const struct ledger_ticket *t, struct ticket_view **ret_view);
/* The command's ticket of the release: 0 with it, or answered (LEDGER_ANSWERED), < 0. */
int ledger_ticket_pick(struct ledger_step *s, struct ledger_release *r, struct ledger_ticket *t);
int ledger_proof_get(struct ledger_step *s);
/* The ticket behind the key, which moves to it: 0, LEDGER_NONE, < 0. */
int ledger_proof_next(struct ledger_step *s, uint64_t space, struct ledger_key *at,
                      struct ledger_ticket *out);
/* The key of the page token, a ticket id in hex, or before the first ticket: 0, a reason, < 0. */
int ledger_proof_from(struct ledger_step *s, uint64_t space, struct ledger_key *ret_key);
/* A page token: goes on behind this ticket. */
int ledger_proof_token(struct ledger_step *s, const uint8_t id[16]);
int ledger_result_get(struct ledger_step *s);
int ledger_bundle_tickets(struct ledger_step *s);
int ledger_bundle_slots(struct ledger_step *s);
/* A ticket as the bundle has it, with the state that holds now.  0 or < 0. */
int ledger_proof_row(struct ledger_step *s, const struct ledger_release *r,
                     const struct ledger_ticket *t, struct ticket_row *out);
int ledger_export(struct ledger_step *s); /* ledger_export.c */

#endif
