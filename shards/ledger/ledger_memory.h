/* SPDX-License-Identifier: MIT */
/* Remembered verdicts: exactly once.  The ledger's own files only, as ledger_parts.h. */
#ifndef FAIRSLOT_LEDGER_MEMORY_H
#define FAIRSLOT_LEDGER_MEMORY_H

#include "ledger/ledger_parts.h"

/* -- ledger_request.c: exactly once ------------------------------------------------------------ */

/* 0: answered from memory, the step is done; LEDGER_NONE: it must be decided; < 0. */
int ledger_request_recall(struct ledger_step *s, const struct ledger_key *key, uint64_t owner);
/* A verdict stands there that is not forgotten yet. 0, LEDGER_NONE, < 0. */
int ledger_request_is_known(struct ledger_step *s, const struct ledger_key *key);
/* The same for a verdict that was found: 0 answered, LEDGER_NONE when it is forgotten, < 0. */
int ledger_request_recall_from(struct ledger_step *s, const struct ledger_memory *m,
                               uint64_t owner);
static inline bool ledger_memory_is_over(const struct ledger_memory *m, int64_t now_us)
{
    return m->log_time_us + DAY_US <= now_us;
}
#define LEDGER_META_BYTES 512 /* five slot ids are the most that is said beside a reason */
/* The verdict in s->v as it is remembered; `meta_bytes` (LEDGER_META_BYTES) has a refusal's. */
struct ledger_memory ledger_request_memory(struct ledger_step *s, uint8_t format,
                                           struct span snapshot, uint8_t *meta_bytes);
/* Remembers the verdict in s->v, with the snapshot of what was done (of a refusal empty). */
int ledger_request_remember(struct ledger_step *s, const struct ledger_key *key, uint8_t format,
                            struct span snapshot);
/* Sets RESULT_SLOTS_CHANGED with count and log index, and their snapshot (12 bytes into `w`). */
void ledger_request_counted(struct ledger_step *s, size_t count, uint64_t log_index,
                            struct scribe *w);

/* -- ledger_memory.c: inside the account ------------------------------------------------------- */

#define LEDGER_MEMORY_ID 16 /* bytes of an entry's request id, its first part */

/* Verdicts that go beside an account; snapshots in the arena, or borrowed from it. */
struct ledger_besides {
    struct span sheaf; /* a sheaf's record; len 0: none */
    uint64_t sheaf_number;
    size_t count;      /* of verdicts that each get a record of their own */
    struct {
        struct request_id request;
        struct ledger_memory memory;
    } verdicts[LEDGER_MEMORIES_MAX + 1];
};

/* Nothing remembered, inside or beside. */
static inline void ledger_account_no_memory(struct ledger_account *account)
{
    account->has_memory = false;
    account->memories = (struct span){0};
    account->memories_count = 0;
    account->sheaves = (struct span){0};
    account->sheaves_count = 0;
    account->sheaf_next = 0;
    account->newest_len = 0;
    account->beside_us = 0;
}

/* The entry at the reader, stepped over: its id and its body. */
static inline bool ledger_memory_next(struct reader *r, const uint8_t **ret_id,
                                      struct span *ret_body)
{
    if (!reader_take(r, LEDGER_MEMORY_ID, ret_id)) {
        return false;
    }
    *ret_body = reader_span16(r);
    return !r->bad;
}

/* Are that many there, each as long as it says? */
bool ledger_memories_are_whole(struct span entries, size_t count);
/* Rules before 6 say nothing of what lies beside: it is looked for always. */
static inline bool ledger_memory_may_lie_beside(const struct ledger_step *s,
                                                const struct ledger_account *account)
{
    return s->l->version < 6 || account->beside_us > s->now_us;
}

/* The verdict of the command's request in the account that lies at `at`, or in one of its sheaves
 * (the snapshot is the book's then).  0, LEDGER_NONE, < 0. */
int ledger_memory_find(struct ledger_step *s, struct routing_key at,
                       const struct ledger_account *account, struct ledger_memory *ret_memory);
/* Before the item's slots or texts change, or it leaves the account.  0 or < 0. */
int ledger_memory_settle(struct ledger_step *s, struct ledger_account *account, uint64_t number);
/* Remembers the verdict of the command's request, in the account or beside it.  number: of the item
 * whose snapshot it has, 0: of none.  0 or < 0. */
int ledger_memory_add(struct ledger_step *s, struct ledger_account *account, uint64_t number,
                      const struct ledger_memory *m, struct ledger_besides *ret_besides);
/* The account's record when nothing is remembered with it.  An item that left may have made its
 * verdicts so long that the record would be too long: then, and only then, they go beside.
 * 0 or < 0. */
int ledger_memory_record(struct ledger_step *s, struct ledger_account *account, struct scribe *w,
                         struct ledger_besides *ret_besides);
/* What goes beside that identity's account.  0 or < 0. */
int ledger_memory_put(struct ledger_step *s, struct routing_key at,
                      const struct identity *identity, const struct ledger_besides *besides);
/* An account that rules before 6 wrote, as those of 6 have it.  0 or -ENOMEM. */
int ledger_memory_renew(struct ledger_step *s, struct ledger_account *account);

/* -- ledger_sheaf.c: older ones, eight in a record --------------------------------------------- */

#define LEDGER_SHEAF_HEAD 10
#define LEDGER_SHEAF_BYTES                                                                    \
    (LEDGER_SHEAF_HEAD + /* a sheaf's record, at most */                                       \
     LEDGER_MEMORIES_MAX * (LEDGER_MEMORY_ID + 2 + LEDGER_MEMORY_HEAD + LEDGER_ITEM_BYTES))

_Static_assert(LEDGER_SHEAF_BYTES <= BOOK_VALUE_MAX, "a record");
_Static_assert(LEDGER_ITEM_BYTES >= LEDGER_MEMORY_BYTES, "a verdict of an account fits");

/* One that is being made. */
struct ledger_sheaf {
    uint64_t until_s; /* second of log time at which all of it is over */
    size_t count;
    uint16_t marks[LEDGER_MEMORIES_MAX];
};

/* The account's list, in its record. */
int ledger_read_sheaves(struct reader *r, struct ledger_account *ret_account);
void ledger_record_sheaves(struct scribe *w, const struct ledger_account *account);
/* Those of the list that are over go. */
void ledger_sheaves_forget(struct ledger_account *account, int64_t now_us);
struct ledger_key ledger_key_sheaf(struct routing_key at, const struct identity *identity,
                                   uint64_t number);
/* The entry of the command's request that is not over; *ret_body borrowed from the book.  0,
 * LEDGER_NONE, < 0. */
int ledger_sheaf_find(struct ledger_step *s, struct routing_key at,
                      const struct ledger_account *account, struct span *ret_body);
/* May the sweep take the record?  0 or -EBADMSG. */
int ledger_sheaf_is_over(struct span value, int64_t now_us, bool *ret_is_over);
/* Making one: each verdict, then the first bytes of its record, then the account's list. */
void ledger_sheaf_add(struct ledger_sheaf *sheaf, const uint8_t id[LEDGER_MEMORY_ID],
                      const struct ledger_memory *m);
void ledger_sheaf_head(uint8_t head[LEDGER_SHEAF_HEAD], const struct ledger_sheaf *sheaf);
int ledger_sheaf_note(struct ledger_step *s, struct ledger_account *account,
                      const struct ledger_sheaf *sheaf);

#endif
