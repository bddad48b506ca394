/* SPDX-License-Identifier: MIT */
/* 100,000 random holds (named, or any desk then, of several neighbours), confirms, drops, cancels,
 * moves, reconfirmations, expiries, lapses, blocked slots and restocks, many at the same instant,
 * against a model so naive that it can be checked by reading it.  The model foretells every verdict
 * but which of two equal desks; the whole book is audited in between. */
#include "tests/unit/shards/ledger/ledger_model.h"

#define EPOCHS  20

static void step_hold(void)
{
    unsigned person = 1 + (unsigned)prng_below(&prng, PEOPLE);
    int pool = (int)prng_below(&prng, POOLS);
    struct want w = invent_want();
    struct command c = kit_command(&k, COMMAND_CREATE_HOLD, pools[pool], person);
    bool either;
    say_want(&w, &c);
    int64_t cool_us = freed_us[person][class_of[pool]] + COOL_US(pool);
    bool is_cool = COOL_US(pool) && freed_us[person][class_of[pool]] && cool_us > k.now_us;
    enum reason expected = foretell_want(pool, &w, &either);
    expected = is_cool                                         ? REASON_COOL_DOWN
               : expected != REASON_OK                         ? expected
               : live_of(person, class_of[pool]) >= MAX_OF(pool) ? REASON_IDENTITY_QUOTA
                                                               : REASON_OK;
    tell(expected, kit_apply(&k, &c));
    if (expected == REASON_OK && k.v.result == RESULT_HOLD) {
        int i = items_count++;
        if (either) {
            learn_desk(&w, &k.v.holds[0].slots[0]);
        }
        memset(&items[i], 0, sizeof items[i]);
        items[i].person = person;
        items[i].pool = pool;
        items[i].slot = w.slot;
        items[i].count = w.count;
        items[i].expire_us = k.now_us + TTL_US;
        items[i].version = 1;
        items[i].id[0] = k.v.holds[0].owner;
        items[i].id[1] = k.v.holds[0].number;
        move(i, M_LIVE, SLOT_HELD);
        same_slots(i, k.v.holds[0].slots, k.v.holds[0].slots_count);
        OK(live_of(person, class_of[pool]) <= MAX_OF(pool));
        verdicts[REASON_CANCELLED] += w.count > 1; /* counts runs */
    }
}

static int64_t lapse_of(int pool, int slot)
{
    int64_t at = start_of(slot) - LAPSE_US(pool);
    return LAPSE_US(pool) && at > k.now_us ? at : 0;
}

static bool is_over(int i)
{
    return items[i].state == M_CANCELLED || items[i].state == M_LAPSED ||
           (items[i].state == M_CONFIRMED && items[i].lapse_us && items[i].lapse_us <= k.now_us);
}

static enum reason foretell(enum command_kind kind, int i, unsigned person)
{
    bool is_cancel = kind == COMMAND_CANCEL_RESERVATION;
    bool is_move = kind == COMMAND_RESCHEDULE || kind == COMMAND_RECONFIRM;
    bool is_reservation = is_kept(i) || items[i].state == M_CANCELLED ||
                          items[i].state == M_LAPSED;
    if ((is_cancel || is_move) && !is_reservation) {
        return REASON_RESERVATION_UNKNOWN;
    }
    if (items[i].person != person) {
        return REASON_NOT_YOUR_RESERVATION;
    }
    if (is_move) {
        return is_over(i)                             ? REASON_RESERVATION_ENDED
               : start_of(items[i].slot) <= k.now_us ? REASON_SLOT_PAST
                                                      : REASON_OK;
    }
    if (is_cancel) {
        return is_over(i)              ? REASON_RESERVATION_ENDED
               : end_of(i) <= k.now_us ? REASON_SLOT_PAST
                                       : REASON_OK;
    }
    bool is_due = kit_rules < 8 && items[i].state == M_LIVE && k.now_us >= items[i].expire_us;
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
        items[i].version++;
        if (kind == COMMAND_CONFIRM_HOLD) {
            items[i].lapse_us = lapse_of(pool, slot);
            items[i].changes = CHANGES;
            move(i, M_CONFIRMED, SLOT_TAKEN);
            same_slots(i, k.v.reservations[0].slots, k.v.reservations[0].slots_count);
            OK(k.v.reservations[0].reconfirm_us == items[i].lapse_us);
        } else {
            move(i, kind == COMMAND_DROP_HOLD ? M_DROPPED : M_CANCELLED, SLOT_RETURNED);
        }
    }
}

static int recent_item(void)
{
    int recent = items_count > 30 && prng_below(&prng, 10) ? 30 : items_count;
    return items_count - 1 - (int)prng_below(&prng, (uint64_t)recent);
}

/* Mostly one that is a reservation, if there is one among the last few. */
static int kept_item(void)
{
    int i = recent_item();
    for (int tries = 0; tries < 20 && !is_kept(i) && prng_below(&prng, 20); tries++) {
        i = recent_item();
    }
    return i;
}

static void step_reschedule(void)
{
    if (items_count == 0) {
        return;
    }
    int i = kept_item(), pool = items[i].pool;
    bool either = false;
    unsigned person = prng_below(&prng, 10) ? items[i].person
                                            : 1 + (unsigned)prng_below(&prng, PEOPLE);
    struct want w = invent_want();
    struct command c = kit_command(&k, COMMAND_RESCHEDULE, pools[pool], person);
    c.owner = items[i].id[0];
    c.number = items[i].id[1];
    say_want(&w, &c);
    if (!w.by_time || prng_below(&prng, 3) == 0) {
        c.select_count = 0; /* as many as it has */
        w.count = items[i].count;
    }
    enum reason expected = foretell(COMMAND_RESCHEDULE, i, person);
    if (expected == REASON_OK) {
        expected = items[i].changes == 0 ? REASON_CHANGES_USED_UP
                                         : foretell_want(pool, &w, &either);
    }
    tell(expected, kit_apply(&k, &c));
    if (expected == REASON_OK && k.v.result == RESULT_RESERVATION) {
        const struct reservation_view *v = &k.v.reservations[0];
        if (either) {
            learn_desk(&w, &v->slots[0]);
        }
        OK(v->owner == items[i].id[0] && v->number == items[i].id[1]);
        int64_t freed = freed_us[person][class_of[pool]];
        move(i, M_CONFIRMED, SLOT_RETURNED);
        freed_us[person][class_of[pool]] = freed; /* a move is no giving back */
        items[i].slot = w.slot;
        items[i].count = w.count;
        items[i].lapse_us = lapse_of(pool, w.slot);
        items[i].changes--;
        items[i].version++;
        move(i, M_CONFIRMED, SLOT_TAKEN);
        same_slots(i, v->slots, v->slots_count);
        EQ(v->changes_left, items[i].changes);
        EQ(v->version, items[i].version);
        verdicts[REASON_STILL_QUEUED]++; /* counts moves */
    }
}

static void step_reconfirm(void)
{
    if (items_count == 0) {
        return;
    }
    int i = kept_item();
    enum reason expected = foretell(COMMAND_RECONFIRM, i, items[i].person);
    tell(expected, kit_change(&k, COMMAND_RECONFIRM, pools[items[i].pool], items[i].person,
                              items[i].id));
    if (expected == REASON_OK) {
        items[i].version += items[i].state != M_SURE;
        items[i].lapse_us = 0;
        move(i, M_SURE, SLOT_TAKEN);
        EQ(k.v.reservations[0].state, RESERVATION_RECONFIRMED);
        EQ(k.v.reservations[0].version, items[i].version);
        same_slots(i, k.v.reservations[0].slots, k.v.reservations[0].slots_count);
    }
}

static void step_block(void)
{
    bool undo = prng_below(&prng, 2);
    int pool = (int)prng_below(&prng, POOLS), first = (int)prng_below(&prng, SLOTS - 5);
    struct slot_key keys[5];
    struct command c = kit_command(&k, undo ? COMMAND_UNBLOCK_SLOTS : COMMAND_BLOCK_SLOTS,
                                   pools[pool], 9999);
    enum reason expected = REASON_OK;
    size_t changed = 0;
    for (int i = 0; i < 5; i++) {
        enum slot_state state = slots[pool][first + i].state;
        keys[i] = kit_slot((unsigned)(first + i));
        if (!undo && (state == SLOT_HELD || state == SLOT_TAKEN)) {
            expected = REASON_SLOT_TAKEN;
        }
        changed += (state == SLOT_BLOCKED) == undo;
    }
    c.roles = ROLE_OPERATOR;
    c.slots = keys;
    c.slots_count = 5;
    tell(expected, kit_apply(&k, &c));
    if (expected != REASON_OK) {
        return;
    }
    EQ(k.v.changed_count, changed);
    for (int i = first; i < first + 5; i++) {
        enum slot_state *state = &slots[pool][i].state;
        if (undo && *state == SLOT_BLOCKED) {
            *state = was_returned[pool][i] ? SLOT_RETURNED : SLOT_FREE;
            slots[pool][i].version++;
        } else if (!undo && *state != SLOT_BLOCKED) {
            was_returned[pool][i] = *state == SLOT_RETURNED;
            *state = SLOT_BLOCKED;
            slots[pool][i].version++;
        }
    }
}

static void step_restock(void)
{
    int pool = (int)prng_below(&prng, POOLS), r;
    size_t freed = 0;
    struct command c = kit_command(&k, COMMAND_RESTOCK, pools[pool], 9999);
    c.roles = ROLE_OPERATOR;
    for (int i = 0; i < SLOTS; i++) {
        if (slots[pool][i].state == SLOT_RETURNED && start_of(i) > k.now_us) {
            slots[pool][i].state = SLOT_FREE;
            slots[pool][i].version++;
            freed++;
        }
    }
    while ((r = kit_apply(&k, &c)) == REASON_RESTOCK_RUNNING) {
        struct command step = {.kind = COMMAND_RESTOCK_STEP, .pool = span_of(pools[pool])};
        EQ(ledger_next_expiry_us(k.l), 0);
        EQ(kit_apply(&k, &step), REASON_OK);
    }
    EQ(r, REASON_OK);
    EQ(k.v.changed_count, freed);
    verdicts[REASON_RESTOCK_RUNNING] += freed > 0; /* counts restocks */
}

static bool is_due(int i)
{
    return (items[i].state == M_LIVE && items[i].expire_us <= k.now_us) ||
           (items[i].state == M_CONFIRMED && items[i].lapse_us && items[i].lapse_us <= k.now_us);
}

static void end(int i)
{
    bool is_hold = items[i].state == M_LIVE;
    items[i].version++;
    items[i].lapse_us = 0;
    move(i, is_hold ? M_EXPIRED : M_LAPSED, SLOT_RETURNED);
    verdicts[is_hold ? REASON_INTERNAL : REASON_NO_LEADER]++; /* counts expiries and lapses */
}

/* Any hold, due or not, dead or alive: as a leader that is late, early or doubled would. */
static void step_expire(void)
{
    if (items_count == 0) {
        return;
    }
    bool is_lapse = prng_below(&prng, 3) == 0;
    int i = is_lapse ? kept_item() : recent_item();
    struct command c = {.kind = is_lapse ? COMMAND_LAPSE : COMMAND_EXPIRE_HOLD,
                        .pool = span_of(pools[items[i].pool]), .owner = items[i].id[0],
                        .number = items[i].id[1],
                        .version = items[i].version - (prng_below(&prng, 10) == 0)};
    EQ(kit_apply(&k, &c), REASON_OK);
    if (is_due(i) && is_lapse == (items[i].state == M_CONFIRMED) &&
        c.version == items[i].version) {
        end(i);
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
        expected += is_due(i);
    }
    EQ(n, expected < 64 ? expected : 64);
    for (size_t j = 0; j < n; j++) {
        EQ(kit_apply(&k, &due[j]), REASON_OK);
        for (int i = 0; i < items_count; i++) {
            if (items[i].id[1] == due[j].number) {
                OK(is_due(i));
                EQ(due[j].version, items[i].version);
                EQ(due[j].kind, items[i].state == M_LIVE ? COMMAND_EXPIRE_HOLD : COMMAND_LAPSE);
                end(i);
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
        int held[ITEMS] = {0};
        EQ(kit_apply(&k, &c), REASON_OK);
        EQ(k.v.slots_count, SLOTS); /* none made, none lost */
        for (int i = 0; i < SLOTS && k.v.slots_count == SLOTS; i++) {
            EQ(k.v.slots[i].state, slots[pool][i].state);
            OK(k.v.slots[i].version == slots[pool][i].version);
            bool is_owned = slots[pool][i].state == SLOT_HELD || slots[pool][i].state == SLOT_TAKEN;
            EQ(is_owned, slots[pool][i].holder >= 0);
            if (is_owned && slots[pool][i].holder >= 0) {
                held[slots[pool][i].holder]++;
            }
        }
        for (int i = 0; i < items_count; i++) { /* all of its slots, or none */
            bool owns = items[i].pool == pool && (items[i].state == M_LIVE || is_kept(i));
            EQ(held[i], owns ? items[i].count : 0);
        }
    }
    int64_t next = INT64_MAX;
    for (int i = 0; i < items_count; i++) {
        int64_t at = items[i].state == M_LIVE ? items[i].expire_us
                     : items[i].state == M_CONFIRMED && items[i].lapse_us ? items[i].lapse_us
                                                                          : INT64_MAX;
        next = at < next ? at : next;
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
    memset(freed_us, 0, sizeof freed_us);
    for (int pool = 0; pool < POOLS; pool++) {
        struct pool_view p = kit_policy(pools[pool], class_of[pool] ? "cars" : "passport");
        p.hold_ttl_us = TTL_US;
        p.max_live = MAX_OF(pool);
        p.max_changes = CHANGES;
        p.cool_down_us = COOL_US(pool);
        p.reconfirm_by_us = LAPSE_US(pool);
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
        if (what < 35) {
            step_hold();
        } else if (what < 66) {
            step_change();
        } else if (what < 78) {
            step_reschedule();
        } else if (what < 82) {
            step_reconfirm();
        } else if (what < 84) {
            step_block();
        } else if (what < 85) {
            step_restock();
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
            const char *name = i == REASON_INTERNAL          ? "(expired)"
                               : i == REASON_NO_LEADER       ? "(lapsed)"
                               : i == REASON_CANCELLED       ? "(neighbours held)"
                               : i == REASON_STILL_QUEUED    ? "(moved)"
                               : i == REASON_RESTOCK_RUNNING ? "(restocked)"
                                                             : reason_name((enum reason)i);
            printf("# %-22s %zu\n", name, verdicts[i]);
        }
    }
    static const enum reason all[] = {REASON_OK, REASON_SLOT_TAKEN, REASON_SLOT_PAST,
        REASON_IDENTITY_QUOTA, REASON_HOLD_EXPIRED, REASON_HOLD_ENDED, REASON_RESERVATION_ENDED,
        REASON_NOT_YOUR_RESERVATION, REASON_HOLD_UNKNOWN, REASON_RESERVATION_UNKNOWN,
        REASON_INTERNAL, REASON_CANCELLED, REASON_STILL_QUEUED,
        REASON_RESTOCK_RUNNING, REASON_COOL_DOWN, REASON_CHANGES_USED_UP};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        OK(verdicts[all[i]] > 100); /* the model was asked about each of them */
    }
    OK(verdicts[REASON_NO_LEADER] > 20); /* few reservations live to see theirs */
}

int main(void)
{
    KIT_RUN(test_against_the_model);
    return tap_done();
}
