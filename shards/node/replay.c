/* SPDX-License-Identifier: MIT */
/* The log into the state.  Owns two arenas; store, replica and ledger are borrowed.
 * happy path: read, unpack, apply each command in its place, note the index, let the store turn.
 * The same calls with the same numbers and the same log time as when the entry was decided, so the
 * same bytes: that is all that makes a replay right.
 * Fails: REPLAY_E_DAMAGED for an entry that is not there or cannot be decoded: going on without it
 * would silently change what was acknowledged; < 0 from the disk or out of memory. */
#include "node/replay.h"

#include "base/check.h"
#include "base/err.h"
#include "proto/codec.h"
#include "store/store.h"

#define REPLAY_ARENA_KEPT (2u * 1024 * 1024)
#define REPLAY_ARENA_MAX (512u * 1024 * 1024) /* ROUND_ITEMS_MAX commands full of slots */

/* A block of its own for usual entries, which stays; without it there is one all the same. */
static void replay_warm(struct arena *a)
{
    (void)arena_alloc(a, REPLAY_ARENA_KEPT);
    arena_reset(a);
}

void replay_init(struct replay *p, struct store *store, struct replica *replica,
                 struct ledger *ledger)
{
    *p = (struct replay){.store = store, .replica = replica, .ledger = ledger};
    arena_init(&p->entry, REPLAY_ARENA_MAX);
    replay_warm(&p->entry);
    arena_init(&p->verdict, REPLAY_ARENA_MAX);
}

void replay_fini(struct replay *p)
{
    arena_fini(&p->entry);
    arena_fini(&p->verdict);
}

int replay_entry(struct replay *p, uint64_t index)
{
    CHECK(index == store_applied_index(p->store) + 1);
    uint64_t term;
    struct span bytes;
    int64_t log_time_us;
    struct command *commands;
    size_t count;
    int r = replica_read(p->replica, index, &term, &bytes);
    if (r) {
        return r > 0 ? REPLAY_E_DAMAGED : err_trace(r);
    }
    if (bytes.len == 0) { /* Raft's own: nothing to apply, but an index that is done */
        store_applied(p->store, index, term, store_applied_time_us(p->store));
        return 0;
    }
    arena_reset(&p->entry);
    r = codec_entry_unpack(bytes, &p->entry, &log_time_us, &commands, &count);
    if (r) {
        return r > 0 ? REPLAY_E_DAMAGED : err_trace(r);
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        struct verdict verdict = {0};
#ifdef PLANT_REPLAY_LOSES /* never defined but by tests/e2e, which must catch it */
        if (index % 500 == 499) {
            continue;
        }
#endif
        if (i + LEDGER_EXPECT_AHEAD < count) {
            ledger_expect(p->ledger, &commands[i + LEDGER_EXPECT_AHEAD]);
        }
        arena_reset(&p->verdict);
        r = ledger_apply(p->ledger, &commands[i], index, (uint32_t)i, log_time_us, &p->verdict,
                         &verdict);
    }
    if (r == 0) {
        store_applied(p->store, index, term, log_time_us);
    }
    return err_fold(r);
}

int replay_run(struct replay *p, uint64_t *ret_index)
{
    uint64_t committed = replica_committed(p->replica);
#ifdef PLANT_SKIP_REPLAY /* never defined but by tests/durability, which must catch it */
    store_applied(p->store, committed, 1, store_applied_time_us(p->store));
#endif
    for (uint64_t index = store_applied_index(p->store) + 1; index <= committed; index++) {
        int r = replay_entry(p, index);
        if (r > 0) {
            *ret_index = index;
        }
        r = r ? r : err_fold(store_turn(p->store));
        if (r == 0 && store_overlay_full(p->store)) {
            r = err_fold(store_flush(p->store));
        }
        if (r) {
            return err_trace(r);
        }
    }
    return 0;
}
