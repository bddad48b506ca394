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
                            struct writer *w);

/* -- ledger_memory.c: inside the account ------------------------------------------------------- */

/* Verdicts that go beside an account; snapshots in the arena, or borrowed from it. */
struct ledger_besides {
    size_t count;
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
    account->newest_len = 0;
    account->beside_us = 0;
}

/* Are that many there, each as long as it says? */
bool ledger_memories_are_whole(struct span entries, size_t count);
/* Rules before 6 say nothing of what lies beside: it is looked for always. */
static inline bool ledger_memory_may_lie_beside(const struct ledger_step *s,
                                                const struct ledger_account *account)
{
    return s->l->version < 6 || account->beside_us > s->now_us;
}

/* The verdict of the command's request in this account.  0, LEDGER_NONE, < 0. */
int ledger_memory_find(struct ledger_step *s, const struct ledger_account *account,
                       struct ledger_memory *ret_memory);
/* Before the item's slots or texts change, or it leaves the account.  0 or < 0. */
int ledger_memory_settle(struct ledger_step *s, struct ledger_account *account, uint64_t number);
/* Remembers the verdict of the command's request, in the account or beside it.  number: of the item
 * whose snapshot it has, 0: of none.  0 or < 0. */
int ledger_memory_add(struct ledger_step *s, struct ledger_account *account, uint64_t number,
                      const struct ledger_memory *m, struct ledger_besides *ret_besides);
/* An account that rules before 6 wrote, as those of 6 have it.  0 or -ENOMEM. */
int ledger_memory_renew(struct ledger_step *s, struct ledger_account *account);

#endif
