/* SPDX-License-Identifier: MIT */
/* The ledger: what a slot is and who holds it.  PURE: apply(command, log time) -> verdict and
 * effects on the book.  No clock, random device, file, socket, thread.  The same log gives the same
 * bytes on every replica, compiler and optimisation level.
 *
 * Calls fail (< 0) only when the book fails or memory ends: the shard must stop then.  A refusal is
 * data: verdict.reason.  One thread. */
#ifndef FAIRSLOT_LEDGER_LEDGER_H
#define FAIRSLOT_LEDGER_LEDGER_H

#include "base/arena.h"
#include "ledger/book.h"
#include "proto/words.h"

/* Of the rules and record formats; stands in the state.  A state keeps its rules until
 * COMMAND_RAISE, which the leader proposes once every replica's program knows newer ones
 * (ledger_rules()): until then what is newer is refused (METHOD_PLANNED).
 * 2: holds of several slots, selectors, reschedule, reconfirm and lapse, blocked slots, restock,
 * changing a pool and its newer limits.
 * 3: ends of releases (their keys burned, their records gone), erasure of an identity, the ways in
 * which slots return, events.
 * 4: cordoned nodes.
 * 5: erasure by steps, the journal of returns of a release.
 * 6: an account remembers its newest verdicts, not only one.
 * 7: what it has no room for goes into sheaves.
 * 8: a hold ends by its expiry in the log, not by the clock. */
#ifndef LEDGER_VERSION /* tests/e2e/test_replicas_planted.py makes a program of before */
#define LEDGER_VERSION 8
#endif
/* Of a new state.  Never changes: what an entry does must not hang on the program that applies it,
 * and the first entries of a log may be applied by a newer one than wrote them. */
#define LEDGER_VERSION_FIRST 3

struct ledger;

/* Reads the state's own records (version, derived indexes: the heap of live holds by expiry is
 * rebuilt by one pass over held slots).
 * Returns 0, LEDGER_E_VERSION when the state was written by newer rules, or < 0.  `book` is
 * borrowed until ledger_free(). */
enum { LEDGER_E_VERSION = 1 };
int ledger_new(const struct book *book, struct ledger **ret_ledger);
void ledger_free(struct ledger *l);

/* Applies one command of the log.  log_index and `item` (its place in the entry) number what it
 * makes; log_time_us never goes back.  *ret_verdict borrows from `arena` and the command.
 * Also called for reads by the writer, after the round's commit: they put nothing.
 * Arena: about 1 KiB a mutation, up to 300 KiB a list of PAGE_SIZE_MAX; a full one is the end of
 * memory (-ENOMEM), so whoever applies gives each list room of its own.
 * A client's verdict is remembered with its request id for 24 h of log time, except POOL_UNKNOWN,
 * ROLE_MISSING, RATE_LIMITED, COOL_DOWN, RECONFIRM_EARLY, RESTOCK_RUNNING, RESTOCKS_FULL,
 * ERASE_RUNNING, ERASURES_FULL, and what validate_only says.  Who may say the shard's own kinds is
 * checked before the log (codec_batch_unpack() lets no gateway). */
int ledger_apply(struct ledger *l, const struct command *command, uint64_t log_index, uint32_t item,
                 int64_t log_time_us, struct arena *arena, struct verdict *ret_verdict);

/* The command will be applied soon, behind LEDGER_EXPECT_AHEAD others: what it reads may be fetched
 * meanwhile (book.h hint).  Changes nothing. */
#define LEDGER_EXPECT_AHEAD 2
void ledger_expect(struct ledger *l, const struct command *command);

/* Somebody whose ticket may look different now, or (identity all zero) whoever has a ticket in the
 * release; neither: everybody. */
struct ledger_touch {
    struct identity identity;
    uint64_t release; /* codec_release_hash() */
};
#define LEDGER_TOUCH_MAX 1024 /* more between two looks become "everybody" */

/* What was applied since the last call; borrowed until the next ledger_apply().  The count. */
size_t ledger_touched(struct ledger *l, const struct ledger_touch **ret_touches);

/* The rules are as new as this program. */
bool ledger_is_newest(const struct ledger *l);
/* The lowest LEDGER_VERSION of all replicas' programs: up to there ledger_due() proposes newer
 * rules.  0, until told: none. */
void ledger_rules(struct ledger *l, uint32_t known);
/* Do the rules of this state know the command?  One that they do not know is refused, and is best
 * kept out of the log: an older replica could not even read it. */
bool ledger_knows(const struct ledger *l, const struct command *c);

/* The instant at which ledger_due() has something to say; INT64_MAX for none. */
int64_t ledger_next_expiry_us(const struct ledger *l);
/* Up to `max` commands of the shard itself that are due at log_time_us, without changing anything:
 * the leader proposes them.  First what the state waits for (newer rules, restocks, erasures), then
 * expiries and lapses, oldest first.  Spans borrow from `arena`.  Returns the count. */
size_t ledger_due(const struct ledger *l, int64_t log_time_us, struct arena *arena,
                  struct command *out, size_t max);

/* Does a pool wait for a throw of the coin?  Then whoever leads proposes COMMAND_COIN with fresh
 * random bytes once a minute. */
bool ledger_wants_coin(const struct ledger *l);

/* Did an operator cordon the node?  0 or < 0. */
int ledger_is_cordoned(struct ledger *l, uint64_t node, bool *ret_is);

/* Routing (also used by gateways to find a range).  The two top bits of the space say what kind it
 * is: 01 pools, 10 service classes (ledger_parts.h has the whole table of records). */
struct routing_key ledger_pool_key(struct span pool_id);
/* Position is a hash of class and identity, so it differs from class to class. */
struct routing_key ledger_identity_key(struct span service_class, const struct identity *identity);

/* Is there such a pool, and do its slots leave only through releases? */
bool ledger_is_scarce(struct ledger *l, struct span pool);

#endif
