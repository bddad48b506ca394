/* SPDX-License-Identifier: MIT */
/* 100,000 random holds, confirms, drops, cancels and expiries, many at the same instant, against
 * a model so naive that it can be checked by reading it.  The model foretells every verdict; the
 * whole book is audited in between. */
#include "base/prng.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define EPOCHS  20
#define STEPS   5000
#define PEOPLE  12
#define POOLS   3
#define SLOTS   500
#define ITEMS   STEPS
#define TTL_US  (10 * SECOND_US)
#define MAX_OF(pool) ((pool) == 2 ? 3u : 2u)

static const char *const pools[POOLS] = {"city", "village", "cars"};
static const int class_of[POOLS] = {0, 0, 1};

static struct {
    enum slot_state state;
    uint64_t version;
    int holder; /* index of the item, -1 none */
} slots[POOLS][SLOTS];

static struct {
    unsigned person;
    int pool, slot;
    enum { M_LIVE, M_CONFIRMED, M_DROPPED, M_EXPIRED, M_CANCELLED } state;
    int64_t expire_us;
    uint64_t id[2];
} items[ITEMS];
static int items_count;

static struct kit k;
static struct prng prng;
static size_t verdicts[REASON_COUNT];

static int64_t end_of(int slot)
{
    return kit_slot((unsigned)slot).start_us + 600 * SECOND_US;
}

static bool counts(int i)
{
    return items[i].state == M_LIVE ||
           (items[i].state == M_CONFIRMED && end_of(items[i].slot) > k.now_us);
}

static unsigned live_of(unsigned person, int service_class)
{
    unsigned n = 0;
    for (int i = 0; i < items_count; i++) {
        n += items[i].person == person && class_of[items[i].pool] == service_class &&
             counts(i);
    }
    return n;
}

static void move(int i, int state, enum slot_state slot_state)
{
    int pool = items[i].pool, slot = items[i].slot;
    items[i].state = state;
    slots[pool][slot].state = slot_state;
    slots[pool][slot].version++;
    if (slot_state == SLOT_RETURNED) {
        slots[pool][slot].holder = -1;
    }
}

static void tell(enum reason expected, int got)
{
    if ((int)expected != got) {
        printf("# log index %llu: %s, not %s\n", (unsigned long long)k.log_index,
               got >= 0 ? reason_name((enum reason)got) : "fatal", reason_name(expected));
    }
    EQ(got, expected);
    verdicts[expected]++;
}

static void step_hold(void)
{
    unsigned person = 1 + (unsigned)prng_below(&prng, PEOPLE);
    int pool = (int)prng_below(&prng, POOLS);
    int slot = (int)prng_below(&prng, prng_below(&prng, 2) ? SLOTS : 40);
    enum reason expected =
        kit_slot((unsigned)slot).start_us <= k.now_us                     ? REASON_SLOT_PAST
        : slots[pool][slot].state != SLOT_FREE                            ? REASON_SLOT_TAKEN
        : live_of(person, class_of[pool]) >= MAX_OF(pool) ? REASON_IDENTITY_QUOTA
                                                                          : REASON_OK;
    tell(expected, kit_hold(&k, pools[pool], person, (unsigned)slot));
    if (expected == REASON_OK && k.v.result == RESULT_HOLD) {
        int i = items_count++;
        items[i].person = person;
        items[i].pool = pool;
        items[i].slot = slot;
        items[i].expire_us = k.now_us + TTL_US;
        items[i].id[0] = k.v.holds[0].owner;
        items[i].id[1] = k.v.holds[0].number;
        slots[pool][slot].holder = i;
        move(i, M_LIVE, SLOT_HELD);
        EQ(k.v.holds[0].slots[0].version, slots[pool][slot].version);
        OK(live_of(person, class_of[pool]) <= MAX_OF(pool));
    }
}

static enum reason foretell(enum command_kind kind, int i, unsigned person)
{
    bool is_cancel = kind == COMMAND_CANCEL_RESERVATION;
    bool is_reservation = items[i].state == M_CONFIRMED || items[i].state == M_CANCELLED;
    if (is_cancel && !is_reservation) {
        return REASON_RESERVATION_UNKNOWN;
    }
    if (items[i].person != person) {
        return REASON_NOT_YOUR_RESERVATION;
    }
    if (is_cancel) {
        return items[i].state == M_CANCELLED            ? REASON_RESERVATION_ENDED
               : end_of(items[i].slot) <= k.now_us ? REASON_SLOT_PAST
                                                   : REASON_OK;
    }
    bool is_due = items[i].state == M_LIVE && k.now_us >= items[i].expire_us;
    if (items[i].state == M_EXPIRED || is_due) {
        return REASON_HOLD_EXPIRED;
    }
    bool has_started = kit_slot((unsigned)items[i].slot).start_us <= k.now_us;
    return items[i].state != M_LIVE                         ? REASON_HOLD_ENDED
           : kind == COMMAND_CONFIRM_HOLD && has_started ? REASON_SLOT_PAST
                                                         : REASON_OK;
}

static void step_change(void)
{
    static const enum command_kind kinds[] = {COMMAND_CONFIRM_HOLD, COMMAND_CONFIRM_HOLD,
                                              COMMAND_DROP_HOLD, COMMAND_CANCEL_RESERVATION};
    if (items_count == 0) {
        return;
    }
    enum command_kind kind = kinds[prng_below(&prng, 4)];
    int recent = items_count > 30 && prng_below(&prng, 10) ? 30 : items_count;
    int i = items_count - 1 - (int)prng_below(&prng, (uint64_t)recent);
    unsigned person = prng_below(&prng, 10) ? items[i].person
                                            : 1 + (unsigned)prng_below(&prng, PEOPLE);
    if (prng_below(&prng, 100) == 0) { /* a number that nothing has */
        uint64_t id[2] = {items[i].id[0], items[i].id[1] + 1};
        tell(kind == COMMAND_CANCEL_RESERVATION ? REASON_RESERVATION_UNKNOWN : REASON_HOLD_UNKNOWN,
             kit_change(&k, kind, pools[items[i].pool], person, id));
        return;
    }
    enum reason expected = foretell(kind, i, person);
    tell(expected, kit_change(&k, kind, pools[items[i].pool], person, items[i].id));
    if (expected == REASON_OK) {
        int pool = items[i].pool, slot = items[i].slot;
        EQ(slots[pool][slot].holder, i);
        if (kind == COMMAND_CONFIRM_HOLD) {
            move(i, M_CONFIRMED, SLOT_TAKEN);
            EQ(k.v.reservations[0].slots[0].version, slots[pool][slot].version);
        } else {
            move(i, kind == COMMAND_DROP_HOLD ? M_DROPPED : M_CANCELLED, SLOT_RETURNED);
        }
    }
}

/* Any hold, due or not, dead or alive: as a leader that is late, early or doubled would. */
static void step_expire(void)
{
    if (items_count == 0) {
        return;
    }
    int recent = items_count > 30 ? 30 : items_count;
    int i = items_count - 1 - (int)prng_below(&prng, (uint64_t)recent);
    struct command c = {.kind = COMMAND_EXPIRE_HOLD, .pool = span_of(pools[items[i].pool]),
                        .owner = items[i].id[0], .number = items[i].id[1], .version = 1};
    EQ(kit_apply(&k, &c), REASON_OK);
    if (items[i].state == M_LIVE && items[i].expire_us <= k.now_us) {
        move(i, M_EXPIRED, SLOT_RETURNED);
        verdicts[REASON_INTERNAL]++; /* counts expiries */
    }
}

/* What the leader would propose is exactly what the model calls due. */
static void step_due(void)
{
    struct command due[64];
    struct arena arena;
    arena_init(&arena, 1 << 20);
    size_t n = ledger_due(k.l, k.now_us, &arena, due, 64), expected = 0;
    for (int i = 0; i < items_count; i++) {
        expected += items[i].state == M_LIVE && items[i].expire_us <= k.now_us;
    }
    EQ(n, expected < 64 ? expected : 64);
    for (size_t j = 0; j < n; j++) {
        EQ(kit_apply(&k, &due[j]), REASON_OK);
        for (int i = 0; i < items_count; i++) {
            if (items[i].id[1] == due[j].number) {
                OK(items[i].state == M_LIVE && items[i].expire_us <= k.now_us);
                move(i, M_EXPIRED, SLOT_RETURNED);
            }
        }
    }
    arena_fini(&arena);
}

static void audit(void)
{
    for (int pool = 0; pool < POOLS; pool++) {
        struct command c = kit_command(&k, COMMAND_LIST_SLOTS, pools[pool], 1);
        c.to_us = INT64_MAX;
        c.page_size = PAGE_SIZE_MAX;
        EQ(kit_apply(&k, &c), REASON_OK);
        EQ(k.v.slots_count, SLOTS); /* none made, none lost */
        for (int i = 0; i < SLOTS && k.v.slots_count == SLOTS; i++) {
            EQ(k.v.slots[i].state, slots[pool][i].state);
            OK(k.v.slots[i].version == slots[pool][i].version);
            bool is_owned = slots[pool][i].state == SLOT_HELD || slots[pool][i].state == SLOT_TAKEN;
            EQ(is_owned, slots[pool][i].holder >= 0);
        }
    }
    int64_t next = INT64_MAX;
    for (int i = 0; i < items_count; i++) {
        bool owns = items[i].state == M_LIVE || items[i].state == M_CONFIRMED;
        EQ(owns, slots[items[i].pool][items[i].slot].holder == i);
        next = items[i].state == M_LIVE && items[i].expire_us < next ? items[i].expire_us : next;
    }
    OK(ledger_next_expiry_us(k.l) == next);
}

static void epoch(uint64_t seed)
{
    static const int64_t pauses[] = {0, 0, 0, 0, 1, SECOND_US, 3 * SECOND_US, TTL_US};
    prng_init(&prng, seed);
    kit_init(&k);
    k.m.is_strict = seed % 4 == 0;
    k.now_us = KIT_START - HOUR_US / 2;
    items_count = 0;
    for (int pool = 0; pool < POOLS; pool++) {
        struct pool_view p = kit_policy(pools[pool], class_of[pool] ? "cars" : "passport");
        p.hold_ttl_us = TTL_US;
        p.max_live = MAX_OF(pool);
        EQ(kit_pool_of(&k, &p), REASON_OK);
        EQ(kit_slots(&k, pools[pool], 0, SLOTS), REASON_OK);
        for (int i = 0; i < SLOTS; i++) {
            slots[pool][i].state = SLOT_FREE;
            slots[pool][i].version = 1;
            slots[pool][i].holder = -1;
        }
    }
    for (int i = 0; i < STEPS && !tap_broken; i++) {
        uint64_t what = prng_below(&prng, 100);
        if (what < 40) {
            step_hold();
        } else if (what < 85) {
            step_change();
        } else if (what < 98) {
            step_expire();
        } else {
            step_due();
        }
        k.now_us += pauses[prng_below(&prng, sizeof pauses / sizeof pauses[0])] / 2;
        if (i % 500 == 499) {
            audit();
        }
        if (i % 1700 == 1699) {
            EQ(kit_reopen(&k), 0); /* nothing depends on what is in memory only */
        }
    }
    kit_fini(&k);
}

static void test_against_the_model(void)
{
    for (uint64_t seed = 1; seed <= EPOCHS && !tap_broken; seed++) {
        epoch(seed);
        if (tap_broken) {
            printf("# seed %llu\n", (unsigned long long)seed);
        }
    }
    for (int i = 0; i < REASON_COUNT; i++) {
        if (verdicts[i]) {
            const char *name = i == REASON_INTERNAL ? "(expired)" : reason_name((enum reason)i);
            printf("# %-22s %zu\n", name, verdicts[i]);
        }
    }
    static const enum reason all[] = {REASON_OK, REASON_SLOT_TAKEN, REASON_SLOT_PAST,
        REASON_IDENTITY_QUOTA, REASON_HOLD_EXPIRED, REASON_HOLD_ENDED, REASON_RESERVATION_ENDED,
        REASON_NOT_YOUR_RESERVATION, REASON_HOLD_UNKNOWN, REASON_RESERVATION_UNKNOWN,
        REASON_INTERNAL};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        OK(verdicts[all[i]] > 100); /* the model was asked about each of them */
    }
}

int main(void)
{
    TAP_RUN(test_against_the_model);
    return tap_done();
}
