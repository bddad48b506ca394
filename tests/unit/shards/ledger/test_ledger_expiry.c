/* SPDX-License-Identifier: MIT */
/* The heap of live holds against a naive list, and its rebuild from the book. */
#include "base/prng.h"
#include "ledger/ledger_parts.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define MANY 3000

static struct ledger_expiry_entry naive[MANY];
static size_t naive_count;

static int compare(const void *a, const void *b)
{
    const struct ledger_expiry_entry *x = a, *y = b;
    if (x->expire_us != y->expire_us) {
        return x->expire_us < y->expire_us ? -1 : 1;
    }
    return x->number < y->number ? -1 : x->number > y->number;
}

static void same_as_naive(const struct ledger_expiry *e, struct arena *arena)
{
    const struct ledger_expiry_entry *due[MANY];
    arena_reset(arena);
    qsort(naive, naive_count, sizeof naive[0], compare);
    size_t n = ledger_expiry_due(e, INT64_MAX, arena, due, MANY);
    EQ(n, naive_count);
    for (size_t i = 0; i < n; i++) {
        OK(due[i]->number == naive[i].number && due[i]->expire_us == naive[i].expire_us);
    }
    int64_t half = naive_count ? naive[naive_count / 2].expire_us : 0;
    size_t expected = 0;
    while (expected < naive_count && expected < 100 && naive[expected].expire_us <= half) {
        expected++;
    }
    EQ(ledger_expiry_due(e, half, arena, due, 100), expected);
    for (size_t i = 0; i < expected; i++) {
        OK(due[i]->number == naive[i].number);
    }
}

static void test_against_naive(void)
{
    struct ledger_expiry e = {0};
    struct arena arena;
    struct prng p;
    arena_init(&arena, 1 << 20);
    prng_init(&p, 5);
    naive_count = 0;
    for (uint64_t step = 1; step <= 40000; step++) {
        bool grows = step / 4000 % 2 == 0;
        if (naive_count < MANY && (naive_count == 0 || prng_below(&p, 10) < (grows ? 7 : 3))) {
            struct ledger_expiry_entry x = {.expire_us = (int64_t)prng_below(&p, 500),
                                            .number = step << (step % 3 * 12)};
            naive[naive_count++] = x;
            EQ(ledger_expiry_add(&e, &x), 0);
        } else {
            size_t at = prng_below(&p, naive_count);
            ledger_expiry_remove(&e, naive[at].number);
            naive[at] = naive[--naive_count];
        }
        ledger_expiry_remove(&e, UINT64_MAX); /* never there */
        EQ(e.count, naive_count);
        if (step % 1000 == 0) {
            same_as_naive(&e, &arena);
        }
    }
    ledger_expiry_fini(&e);
    arena_fini(&arena);
}

static void test_rebuilt_from_the_book(void)
{
    struct kit k;
    struct command before[200], after[200];
    struct arena arena;
    char pool[8];
    uint64_t id[2];
    arena_init(&arena, 1 << 20);
    kit_init(&k);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(pool, sizeof pool, "p-%u", i);
        struct pool_view v = kit_policy(pool, "c");
        v.hold_ttl_us = (10 - i) * SECOND_US;
        v.max_live = 16;
        EQ(kit_pool_of(&k, &v), REASON_OK);
        EQ(kit_slots(&k, pool, 0, 30), REASON_OK);
        for (unsigned j = 0; j < 20; j++) {
            kit_held(&k, pool, 1 + j, j, id);
            if (j % 4 == 0) {
                EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, pool, 1 + j, id), REASON_OK);
            }
            k.now_us += 1000;
        }
    }
    int64_t next = ledger_next_expiry_us(k.l);
    size_t n = ledger_due(k.l, INT64_MAX, &arena, before, 200);
    EQ(n, 150);
    EQ(kit_reopen(&k), 0);
    EQ(ledger_next_expiry_us(k.l), next);
    EQ(ledger_due(k.l, INT64_MAX, &arena, after, 200), n);
    for (size_t i = 0; i < n; i++) {
        OK(before[i].owner == after[i].owner && before[i].number == after[i].number);
        OK(before[i].version == after[i].version && span_equal(before[i].pool, after[i].pool));
        EQ(after[i].kind, COMMAND_EXPIRE_HOLD);
    }
    k.now_us += DAY_US;
    while (kit_expire(&k) > 0) {
    }
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    EQ(kit_look(&k, "p-3", 1).state, SLOT_RETURNED);
    EQ(kit_look(&k, "p-3", 0).state, SLOT_TAKEN);
    arena_fini(&arena);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_against_naive);
    TAP_RUN(test_rebuilt_from_the_book);
    return tap_done();
}
