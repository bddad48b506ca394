/* SPDX-License-Identifier: MIT */
/* What the ledger's own files share; nobody else includes it.
 *
 * Records (key = space u64, position u64, tag, suffix; all numbers big-endian).  The two top bits
 * of a space say what kind it is, so that kinds never mix and one kind is one interval:
 *
 *   00  the state's own     (0, 0)                   'M'                     rules' version
 *                           (0, 0)                   'W'                     the sweep's cursor
 *                           (0, 0)                   'N'                     cordoned nodes
 *                           (0, 0)                   'Z' identity            its erasure under way
 *                           (0, name's first 8)      'p' pool id             catalogue, by name
 *                           (2^60, client)           'V' number nth          event
 *                           (2^60 | 1, hold)         'O'                     ticket that it came of
 *   01  a pool              (pool, 0)                'J'                     its restock under way
 *                           (pool, 0)                'P'                     policy
 *                           (pool, 2^63 + second)    'S' slug                slot
 *   10  a service class     (class, hash)            'E' identity number     ended, off the account
 *                           (class, hash)            'G' identity number     up to eight of his
 *                                                                            older verdicts
 *                           (class, hash)            'I' identity            account: holds, the
 *                                                                            newest verdicts, ...
 *                           (class, hash)            'R' identity request    clients' older ones
 *   11  identities          (3 << 62, hash)          'C' identity class      where accounts are
 *                           (3 << 62 | 1, hash)      'R' identity request    operators' verdicts
 *
 * What is read from the book is borrowed until the first put: every step decodes, decides,
 * encodes, and only then puts. */
#ifndef FAIRSLOT_LEDGER_PARTS_H
#define FAIRSLOT_LEDGER_PARTS_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "draw/draw.h"
#include "ledger/ledger.h"
#include "proto/codec.h"

/* First byte of every value: the oldest format that can say it.  So what needs nothing new is
 * written as it ever was, and a state of older rules is read as it stands. */
#define LEDGER_FORMAT_1  1
#define LEDGER_FORMAT    2  /* holds of several slots, changes, lapses, limits of a pool */
#define LEDGER_FORMAT_3  3  /* an account with marks of releases, or the newest request in it */
#define LEDGER_FORMAT_4  4  /* an account with its newest requests in it */
#define LEDGER_FORMAT_5  5  /* the same, with older ones in sheaves; a sheaf */
#define LEDGER_MARKS_MAX 16 /* of an account; those of ended releases are struck before */
#define LEDGER_MEMORY_HEAD 20 /* of a remembered verdict, before its snapshot */
#define LEDGER_MEMORY_INLINE 160 /* before rules 6: one verdict of at most so many is kept inside */
#define LEDGER_MEMORIES_MAX   8    /* since rules 6: verdicts inside an account */
#define LEDGER_MEMORIES_BYTES 1024 /* all of them, encoded, and the list of sheaves */
#define LEDGER_MEMORY_BYTES   256  /* one of them; a longer one lies beside the account */
#define LEDGER_SHEAVES_MAX    16   /* since rules 7: sheaves that an account knows */
#define LEDGER_ITEMS_MAX (LIVE_PER_IDENTITY_MAX + ENDED_PER_IDENTITY + 1)
#define LEDGER_ITEM_BYTES \
    (65 + POOL_ID_MAX + SLOT_DESK_MAX + 64 + 12 * (SLOTS_PER_HOLD - 1)) /* its record, at most */
#define LEDGER_SLOT_BYTES 128 /* a slot's record, at most */
#define LEDGER_ENDED_US  (30 * DAY_US) /* after its slot's end an ended item is still known */
#define LEDGER_POOLS     256 /* decoded pools kept; a power of two */
#define LEDGER_LATELY    64  /* of them found by name, without its hash; a power of two */
#define LEDGER_ITEM_BITS 12  /* of an item's number: its place in the log entry */
#define LEDGER_MACS      8   /* keys whose hash states are kept; a power of two */
#define LEDGER_HINTS     64  /* searches for free neighbours per log entry */
#define LEDGER_SECOND_MAX UINT64_C(253402300799) /* 9999-12-31T23:59:59Z, as the codec lets in */

enum {
    LEDGER_NONE = 1,     /* verdict of the lookups here: no such thing */
    LEDGER_ANSWERED = 2, /* of those that open a mutation: the verdict stands, nothing to write */
};

/* -- ledger_key.c ----------------------------------------------------------------------------- */

struct ledger_key {
    uint8_t bytes[BOOK_KEY_MAX];
    size_t len;
};

/* A key taken apart; suffix is borrowed. */
struct ledger_key_parts {
    struct routing_key at;
    uint8_t tag;
    struct span suffix;
};

#define LEDGER_SPACE_POOLS   (UINT64_C(1) << 62)
#define LEDGER_SPACE_CLASSES (UINT64_C(2) << 62)
#define LEDGER_SPACE_INDEX   (UINT64_C(3) << 62)
#define LEDGER_SPACE_ADMIN   (LEDGER_SPACE_INDEX | 1)

struct ledger_key ledger_key_make(struct routing_key at, uint8_t tag, struct span suffix);
/* Where a space begins, before every record in it. */
struct ledger_key ledger_key_space(uint64_t space);
struct ledger_key ledger_key_slot(uint64_t pool_space, const struct slot_key *slot);
struct ledger_key ledger_key_account(struct routing_key at, const struct identity *identity);
/* Of an ended item, beside the account whose key is given. */
struct ledger_key ledger_key_ended(const struct ledger_key *account, uint64_t number);
struct ledger_key ledger_key_request(struct routing_key at, const struct identity *identity,
                                     const struct request_id *request);
/* Of an operator: one place for all pools. */
struct ledger_key ledger_key_admin(const struct identity *identity,
                                   const struct request_id *request);
struct ledger_key ledger_key_index(const struct identity *identity, struct span service_class);
struct ledger_key ledger_key_catalogue(struct span pool_id);
/* False when it is none of ours. */
bool ledger_key_parse(struct span key, struct ledger_key_parts *ret_parts);
/* The slot's key out of its record's key; false when it is none. */
bool ledger_key_slot_of(const struct ledger_key_parts *parts, struct slot_key *ret_slot);
/* 32 bits that change with every byte of `bytes`: for page tokens. */
uint32_t ledger_key_check(struct span bytes);

static inline struct span ledger_key_span(const struct ledger_key *k)
{
    return (struct span){k->bytes, k->len};
}

/* -- ledger_record.c: values, both ways -------------------------------------------------------- */

struct ledger_slot {
    enum slot_state state;
    uint64_t version;
    int64_t duration_us;
    struct span desk;
    /* held and taken only: the item that has it */
    uint64_t owner;
    uint64_t number;
    int64_t expire_us;
    uint32_t item_version;
    bool is_follower;  /* held and taken only: of an item's slots not the first */
    bool was_returned; /* blocked only: what it is again when it is unblocked */
    int64_t since_us;  /* of a scarce pool: whole second in which it became free or ceased to be,
                          and so is told only behind it; 0: none that matters */
    int64_t lapse_us;  /* taken only, of the first: its reservation's; 0: none */
};

/* A hold and the reservation it became: one thing with one number. */
enum ledger_item_state {
    ITEM_LIVE = 1,
    ITEM_CONFIRMED = 2,
    ITEM_DROPPED = 3,
    ITEM_EXPIRED = 4,
    ITEM_CANCELLED = 5,
    ITEM_RECONFIRMED = 6,
    ITEM_LAPSED = 7,
};

/* One slot of an item. */
struct ledger_part {
    int64_t duration_us;
    uint64_t version; /* after this item's last change of it */
};

struct ledger_item {
    enum ledger_item_state state;
    uint64_t number;
    uint32_t version; /* of hold and reservation: 1, and one more with every state */
    struct span pool;
    struct slot_key slot; /* the first; the others follow it without a gap at its desk */
    struct span desk;
    struct ledger_part parts[SLOTS_PER_HOLD];
    uint8_t parts_count;
    uint8_t changes_left;  /* POOL_MAX_CHANGES until it is a reservation */
    int64_t create_us;     /* of the reservation; 0 before */
    int64_t expire_us;     /* of the hold */
    int64_t lapse_us;      /* it must be reconfirmed before; 0: it need not, or was */
    uint64_t log_index;    /* entry that made this state */
};

static inline bool ledger_item_is_reservation(const struct ledger_item *item)
{
    return item->state != ITEM_LIVE && item->state != ITEM_DROPPED && item->state != ITEM_EXPIRED;
}

/* A remembered verdict. */
struct ledger_memory {
    uint8_t format; /* of an item in the snapshot */
    uint64_t body_hash;
    int64_t log_time_us;
    enum command_kind kind;
    enum reason reason;
    /* Of a done one the item (without its format byte), the pool, or count and log index; of a
     * refusal its metadata. */
    struct span snapshot;
};

#define LEDGER_BESIDE_UNKNOWN INT64_MAX

/* What one identity has in one service class. */
struct ledger_account {
    bool has_others; /* this identity has accounts in other classes too */
    uint32_t day;      /* log time / 24 h of the count below */
    uint32_t requests; /* remembered on that day */
    int64_t freed_us;  /* when something was last given back in a pool with a cool-down; 0: never */
    size_t items_count;
    struct ledger_item items[LEDGER_ITEMS_MAX]; /* by number */
    struct ledger_item ended; /* not of the record: room for one that lies beside it */
    uint64_t marks[LEDGER_MARKS_MAX]; /* spaces of releases in which there is a ticket */
    size_t marks_count;
    bool has_memory; /* before rules 6: the newest request is here; older ones beside the account */
    struct request_id memory_id;
    struct ledger_memory memory; /* snapshot borrowed as the items' texts */
    struct span memories;        /* since rules 6 (ledger_memory.c); borrowed too */
    size_t memories_count;
    int64_t beside_us; /* log time until which a request may be remembered beside the account;
                          LEDGER_BESIDE_UNKNOWN: of a record that does not say it */
    struct span sheaves;  /* since rules 7 (ledger_sheaf.c): the list of them; borrowed too */
    size_t sheaves_count;
    uint64_t sheaf_next;  /* number of the next one; those of the list come right before it */
    size_t newest_len; /* of a verdict behind those, 0: none */
    uint8_t newest[LEDGER_MEMORY_BYTES];
};

/* Ended items that leave an account, encoded. */
struct ledger_spill {
    size_t count;
    struct {
        uint64_t number;
        size_t len;
        uint8_t bytes[LEDGER_ITEM_BYTES];
    } items[LEDGER_ITEMS_MAX];
};

/* Writing: the scribe turns bad when it does not fit. */
void ledger_record_slot(struct scribe *w, const struct ledger_slot *slot);
/* The oldest format that can say it. */
uint8_t ledger_item_format(const struct ledger_item *item);
bool ledger_pool_is_plain(const struct pool_view *pool); /* nothing newer than format 1 in it */
bool ledger_pool_has_ends(const struct pool_view *pool); /* what rules of version 3 know */
void ledger_record_item(struct scribe *w, const struct ledger_item *item, uint8_t format);
void ledger_record_ended(struct scribe *w, const struct ledger_item *item);
void ledger_record_account(struct scribe *w, const struct ledger_account *account);
void ledger_record_pool(struct scribe *w, const struct pool_view *pool);
void ledger_record_memory(struct scribe *w, const struct ledger_memory *memory);
/* Reading: 0, or -EBADMSG for bytes that nothing here made.  Spans borrow from `value`. */
int ledger_read_slot(struct span value, struct ledger_slot *ret_slot);
int ledger_read_item(struct span value, uint8_t format, struct ledger_item *ret_item);
int ledger_read_ended(struct span value, struct ledger_item *ret_item);
int ledger_read_account(struct span value, struct ledger_account *ret_account);
int ledger_read_pool(struct span value, struct pool_view *ret_pool);
int ledger_read_memory(struct span value, struct ledger_memory *ret_memory);

/* -- ledger_expiry.c: live holds by their expiry, reservations by their lapse ------------------ */

struct ledger_expiry_entry {
    int64_t expire_us;
    uint64_t space; /* of the pool */
    uint64_t owner;
    uint64_t number; /* unique: finds the entry */
    uint32_t version;
    bool is_reservation; /* lapses; else a hold that expires */
    uint32_t slot; /* of the table, where its place in the heap stands */
};

struct ledger_expiry {
    struct ledger_expiry_entry *entries; /* binary heap, earliest first */
    size_t count;
    size_t capacity;
    uint32_t *table; /* open addressing by number: heap place + 1, 0 is empty */
    size_t table_size; /* power of two, at least 2 * capacity */
};

void ledger_expiry_fini(struct ledger_expiry *e);
/* 0 or -ENOMEM.  The number must be new. */
int ledger_expiry_add(struct ledger_expiry *e, const struct ledger_expiry_entry *entry);
/* Nothing happens for a number that is not there. */
void ledger_expiry_remove(struct ledger_expiry *e, uint64_t number);
/* Up to `max` entries due at now_us, earliest first; the count.  0 when the arena is full. */
size_t ledger_expiry_due(const struct ledger_expiry *e, int64_t now_us, struct arena *arena,
                         const struct ledger_expiry_entry **out, size_t max);

/* -- the ledger -------------------------------------------------------------------------------- */

/* What of a pool every hold needs, decoded once. */
struct ledger_pool {
    uint64_t space; /* 0: empty */
    uint64_t class_space; /* ledger_identity_key() of its class */
    size_t id_len, class_len;
    uint8_t id[POOL_ID_MAX];
    uint8_t service_class[CLASS_MAX];
    enum assurance min_assurance;
    int64_t hold_ttl_us;
    uint32_t max_live, max_slots, max_changes;
    int64_t cool_down_us;
    int64_t reconfirm_open_us;
    int64_t reconfirm_by_us;
    int64_t appeal_us;
    int64_t return_wait_us;
    enum return_policy return_policy;
    size_t return_len;
    uint8_t return_release[RELEASE_ID_MAX];
    bool scarce;
};

/* An erasure under way. */
struct ledger_erasure {
    struct identity identity;
    struct identity asker;
    struct request_id request;
};

struct ledger {
    const struct book *book;     /* borrowed */
    bool is_new;                 /* no record of the rules' version yet */
    uint32_t version;            /* of the rules that this state follows */
    uint32_t rules;              /* of the newest ones that all replicas know; 0: not told */
    uint64_t hints_index;        /* log entry that the hints are counted for */
    uint32_t hints;              /* searches made for it */
    struct ledger_expiry ends;   /* derived: what comes after releases, by its instant */
    struct ledger_expiry expiry; /* derived from slots that are held, or lapse */
    uint64_t restocks[RESTOCKS_MAX]; /* derived: spaces of pools with a restock under way */
    size_t restocks_count;
    struct ledger_erasure erasures[ERASURES_MAX]; /* derived */
    size_t erasures_count;
    uint64_t coins[COINS_MAX]; /* derived: spaces of pools with RETURN_COIN, ascending */
    size_t coins_count;
    struct ledger_open *open; /* derived: releases that have not ended; RELEASES_OPEN_MAX */
    size_t open_count;
    uint16_t events_made; /* by the command being applied */
    struct { /* derived: keys and seeds of releases, as every ticket wants them */
        uint8_t key[32];
        bool is_set;
        struct draw_mac mac;
    } macs[LEDGER_MACS];
    struct ledger_pool pools[LEDGER_POOLS]; /* cache, by space */
    struct ledger_pool *lately[LEDGER_LATELY]; /* places in it, by the end of the id */
    size_t touches_count; /* not of the state: whoever answers wants to know */
    struct ledger_touch touches[LEDGER_TOUCH_MAX];
};

/* One command being applied. */
struct ledger_step {
    struct ledger *l;
    const struct command *c;
    uint64_t log_index;
    uint64_t number; /* of what this command makes */
    int64_t now_us;  /* log time */
    struct arena *arena;
    struct verdict *v;
};

/* That record will be read soon. */
void ledger_hint(struct ledger *l, const struct ledger_key *key);
/* The book, with breadcrumbs. get: 0, LEDGER_NONE, < 0. */
int ledger_get(struct ledger *l, const struct ledger_key *key, struct span *ret_value);
int ledger_next(struct ledger *l, struct span from, bool exclusive, struct span *ret_key,
                struct span *ret_value);
/* Puts what the scribe has; a scribe that turned bad is -EMSGSIZE. */
int ledger_put(struct ledger *l, const struct ledger_key *key, const struct scribe *w);
int ledger_del(struct ledger *l, const struct ledger_key *key);

/* For ledger_touched(). */
void ledger_touch_identity(struct ledger *l, const struct identity *identity);
void ledger_touch_release(struct ledger *l, uint64_t space);

/* Sets the verdict's reason; returns 0. */
int ledger_refuse(struct ledger_step *s, enum reason reason);
/* ledger_node.c */
int ledger_node_mark(struct ledger_step *s);
/* Nobody said who asks: the gateway lets such callers read the catalogue. */
bool ledger_is_anonymous(const struct command *c);
void ledger_meta(struct ledger_step *s, const char *key, struct span value);
/* A copy in the arena; ret_span->ptr is NULL only for len 0.  0 or -ENOMEM. */
int ledger_keep(struct arena *arena, struct span bytes, struct span *ret_span);

/* -- ledger_pool.c, ledger_slots.c ------------------------------------------------------------- */

/* 0, LEDGER_NONE, < 0.  Borrowed until another pool is looked up or made. */
int ledger_pool_find(struct ledger *l, struct span id, const struct ledger_pool **ret_pool);
/* NULL unless it was found lately; the same loan. */
const struct ledger_pool *ledger_pool_peek(struct ledger *l, struct span id);
/* The id of a pool by its space, for the shard's own commands. As above; lives in the arena. */
int ledger_pool_id(const struct ledger *l, uint64_t space, struct arena *arena,
                   struct span *ret_id);
/* When a reservation that is made now must be reconfirmed; 0: it need not. */
int64_t ledger_pool_lapse_us(const struct ledger_pool *pool, int64_t start_us, int64_t now_us);
/* The frame of an operator's mutation of a pool that exists: role, pool, request id.
 * 0: decide; LEDGER_ANSWERED; < 0. */
int ledger_pool_open(struct ledger_step *s, const struct ledger_pool **ret_pool,
                     struct ledger_key *ret_request);
int ledger_pool_create(struct ledger_step *s);
int ledger_pool_update(struct ledger_step *s);
int ledger_pool_get(struct ledger_step *s);
int ledger_pool_list(struct ledger_step *s);
int ledger_slots_create(struct ledger_step *s);
/* The slot, of a scarce pool, becomes free now or ceases to be. */
void ledger_slots_free_turned(struct ledger_slot *slot, const struct ledger_step *s);
int ledger_slots_list(struct ledger_step *s);
/* A walk over the slots of one pool, in the book's order. */
struct ledger_slots_walk {
    uint64_t space;
    struct span at; /* key of the last record, borrowed from the book, or the first key */
    bool exclusive;
};
/* 0; LEDGER_NONE at the end of the pool; < 0.  All borrowed from the book. */
int ledger_slots_step(struct ledger_step *s, struct ledger_slots_walk *w,
                      struct slot_key *ret_key, struct ledger_slot *ret_slot);
/* Metadata `key`: a count as text, 0 to 100,000. */
int ledger_meta_count(struct ledger_step *s, const char *key, size_t count);

static inline struct span ledger_pool_class(const struct ledger_pool *p)
{
    return (struct span){p->service_class, p->class_len};
}

struct routing_key ledger_pool_at(const struct ledger_pool *pool, const struct identity *identity);

/* -- ledger_account.c -------------------------------------------------------------------------- */

/* The caller's account; an empty one with LEDGER_NONE when there is none. */
int ledger_account_load(struct ledger_step *s, struct routing_key at,
                        struct ledger_account *ret_account);
struct ledger_item *ledger_account_item(struct ledger_account *account, uint64_t number,
                                        struct span pool);
/* A reservation that was cancelled or has lapsed, whether its lapse has come or not. */
bool ledger_item_is_over(const struct ledger_item *item, int64_t now_us);
/* Still counts against the entitlement. */
bool ledger_item_is_live(const struct ledger_item *item, int64_t now_us);
size_t ledger_account_live(const struct ledger_account *account, int64_t now_us);
/* An ended item is known until LEDGER_ENDED_US after its slot's end. */
bool ledger_item_is_known(const struct ledger_item *item, int64_t now_us);
/* Takes the oldest ended items out until the account keeps its bounds.  0 or < 0. */
int ledger_account_trim(struct ledger_step *s, struct ledger_account *account,
                        struct ledger_spill *ret_spill);
/* Puts the account's record and what left it. */
int ledger_account_put(struct ledger_step *s, const struct ledger_key *key,
                       const struct scribe *account, const struct ledger_spill *spill);
/* The item of the command's pool and number, in the account or beside it.  0, LEDGER_NONE, < 0. */
int ledger_account_pick(struct ledger_step *s, const struct ledger_key *key,
                        struct ledger_account *account, struct ledger_item **ret_item);
/* The ended item beside the account that follows number `after`.  0, LEDGER_NONE, < 0. */
int ledger_account_ended(struct ledger_step *s, const struct ledger_key *key, uint64_t after,
                         struct ledger_item *ret_item);
/* Whoever has the item that the command names by pool, owner and number: 0 with the account, its
 * key and the item in it; LEDGER_NONE; < 0. */
int ledger_account_owner(struct ledger_step *s, uint64_t class_space, struct ledger_key *ret_key,
                         struct ledger_account *ret_account, struct ledger_item **ret_item);
/* The i-th slot of an item, borrowed from it. */
struct slot_key ledger_item_slot(const struct ledger_item *item, size_t i);
/* The end of its last slot. */
int64_t ledger_item_end_us(const struct ledger_item *item);
/* Views in the arena, and into the verdict.  0 or -ENOMEM. */
int ledger_account_answer_hold(struct ledger_step *s, const struct ledger_item *item,
                               uint64_t owner);
int ledger_account_answer_reservation(struct ledger_step *s, const struct ledger_item *item,
                                      uint64_t owner);
int ledger_account_view(struct ledger_step *s, const struct ledger_item *item, uint64_t owner,
                        struct reservation_view *out);

/* -- ledger_class.c: the classes of one identity ----------------------------------------------- */

struct ledger_class {
    uint8_t bytes[CLASS_MAX];
    size_t len;
};

static inline struct span ledger_class_name(const struct ledger_class *c)
{
    return (struct span){c->bytes, c->len};
}

void ledger_class_enter(struct ledger_class *c, struct span name);
/* The next class after *c, by name, in which the identity has an account. 0, LEDGER_NONE, < 0. */
int ledger_class_next(struct ledger *l, const struct identity *identity, struct ledger_class *c);
/* 0: the request id is known in a class other than `own`, refused; LEDGER_NONE: it is not, and
 * whether there are other classes; < 0. */
int ledger_class_recall(struct ledger_step *s, struct span own, bool *ret_has_others);
/* Before the first account in `own` is written: its only other account gets the mark. 0 or < 0. */
int ledger_class_mark(struct ledger_step *s, struct span own);

/* -- ledger_scene.c: the frame of a client's mutation ------------------------------------------ */

/* Where it takes place. */
struct ledger_scene {
    const struct ledger_pool *pool;
    struct routing_key at; /* of the caller in the pool's class */
    bool is_new; /* the caller has no account in this class yet */
    struct ledger_account account;
};

/* What a decision writes besides the account, encoded: nothing in it borrows. */
struct ledger_outcome {
    size_t count;
    struct {
        struct ledger_key key;
        size_t len;
        uint8_t bytes[LEDGER_SLOT_BYTES];
    } slots[2 * SLOTS_PER_HOLD];
};

/* Not zeroed as a whole: 4 KiB, of which most use one slot. */
static inline void ledger_outcome_init(struct ledger_outcome *o)
{
    o->count = 0;
}
void ledger_outcome_add(struct ledger_outcome *o, const struct ledger_key *key,
                        const struct ledger_slot *slot);
int ledger_outcome_put(struct ledger_step *s, const struct ledger_outcome *o);

/* 0: decide; LEDGER_ANSWERED; < 0. */
int ledger_scene_open(struct ledger_step *s, struct ledger_scene *scene);
/* Writes what was decided, the verdict in s->v with it.  item: as it is now, part of the account
 * or beside it; NULL for a refusal. */
int ledger_scene_close(struct ledger_step *s, struct ledger_scene *scene,
                       const struct ledger_outcome *o, const struct ledger_item *item);
/* The same with a snapshot of another kind. */
int ledger_scene_close_with(struct ledger_step *s, struct ledger_scene *scene,
                            const struct ledger_outcome *o, struct span snapshot);
/* A refusal, remembered. */
int ledger_scene_refuse(struct ledger_step *s, struct ledger_scene *scene, enum reason reason);
/* A refusal that is not remembered, because waiting changes it; retry_us from now. */
int ledger_scene_wait(struct ledger_step *s, enum reason reason, int64_t retry_us);
/* REASON_OK with the caller's own item that the command names, else why not.  < 0. */
int ledger_scene_find(struct ledger_step *s, struct ledger_scene *scene, bool is_reservation,
                      struct ledger_item **ret_item);

/* -- ledger_choose.c: which slots -------------------------------------------------------------- */

/* Neighbours at one desk, all free.  Borrows from the book and the arena. */
struct ledger_run {
    uint64_t space; /* of the pool */
    struct slot_key first;
    size_t count;
    int64_t end_us; /* of the last one */
    struct ledger_slot slots[SLOTS_PER_HOLD];
};

/* What the command wants, `count` neighbours: REASON_OK, or why not (with its hints), or < 0. */
int ledger_choose(struct ledger_step *s, const struct ledger_pool *pool, size_t count,
                  struct ledger_run *ret_run);

/* -- ledger_hold.c, ledger_move.c, ledger_stock.c, ledger_restock.c, ledger_read.c, _sweep.c --- */

int ledger_hold_create(struct ledger_step *s);
/* Confirm, drop, cancel. */
int ledger_hold_change(struct ledger_step *s);
/* By the shard itself: a hold expires, a reservation lapses. */
int ledger_hold_end(struct ledger_step *s);
/* It can be neither confirmed nor dropped any more. */
bool ledger_hold_is_late(const struct ledger_step *s, const struct ledger_item *item);
/* Whether the pool lets this caller have `count` slots now: REASON_OK or why not. */
int ledger_hold_admit(struct ledger_step *s, const struct ledger_pool *pool, size_t count);
/* How long this caller has to wait in this pool; 0 or less: not. */
int64_t ledger_hold_cool_us(struct ledger_step *s, const struct ledger_scene *scene);
/* An item with who has it and where. */
struct ledger_owned {
    const struct ledger_pool *pool;
    uint64_t owner;
    struct ledger_item *item;
};
/* Its slots, all of them in state `from`, into state `to`, into the outcome. */
int ledger_hold_move(struct ledger_step *s, const struct ledger_owned *owned, enum slot_state from,
                     enum slot_state to, struct ledger_outcome *o);
/* The run's slots become the item's, held or taken as its state says. */
void ledger_hold_take(struct ledger_step *s, const struct ledger_scene *scene,
                      struct ledger_run *run, struct ledger_item *item,
                      struct ledger_outcome *o);
/* Expiry and lapse follow the item as it is now. */
int ledger_hold_follow(struct ledger_step *s, const struct ledger_scene *scene,
                       const struct ledger_item *item);
int ledger_move_reschedule(struct ledger_step *s);
int ledger_move_reconfirm(struct ledger_step *s);
/* Block, unblock. */
int ledger_stock_block(struct ledger_step *s);
int ledger_restock_begin(struct ledger_step *s);
int ledger_restock_step(struct ledger_step *s);
/* A restock under way, found at the start.  0 or -EBADMSG. */
int ledger_restock_load(struct ledger *l, uint64_t space);
/* Begins one that nobody asked for; nothing happens when there is one, or no room.  0 or < 0. */
int ledger_restock_own(struct ledger_step *s, uint64_t space);
/* By an operator: a live item goes back as if its owner had dropped or cancelled it; the account is
 * written with it. */
int ledger_hold_give_back(struct ledger_step *s, const struct ledger_owned *owned);
/* -- ledger_erase.c */
int ledger_erase(struct ledger_step *s);
int ledger_erase_step(struct ledger_step *s);
/* Those under way, found at the start.  0 or < 0. */
int ledger_erase_load(struct ledger *l);
/* Whoever asks is being erased: its mutations have to wait. */
bool ledger_erase_bars(const struct ledger *l, const struct command *c);
/* -- ledger_coin.c */
bool ledger_coin_has_room(const struct ledger *l, uint64_t space);
/* The pool's policy is that now. */
void ledger_coin_follow(struct ledger *l, uint64_t space, enum return_policy policy);
int ledger_coin(struct ledger_step *s);
int ledger_read_hold(struct ledger_step *s);
int ledger_read_reservation(struct ledger_step *s);
int ledger_read_reservations(struct ledger_step *s);
int ledger_sweep(struct ledger_step *s);

/* -- ledger_page.c ----------------------------------------------------------------------------- */

/* The command's page token: 0 and the key in it (in the arena); LEDGER_NONE for the first page.
 * Not of this list: REASON_PAGE_TOKEN_INVALID.  < 0. */
int ledger_page_read(const struct ledger_step *s, struct span *ret_key);
/* The token that goes on after `key`, into the verdict.  0 or -ENOMEM. */
int ledger_page_write(struct ledger_step *s, struct span key);

#endif
