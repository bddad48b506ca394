/* SPDX-License-Identifier: MIT */
/* The model that test_ledger_model.c holds the ledger against: three pools, their slots, who has
 * what, and what must come of a wish.  So naive that it can be checked by reading it. */
#ifndef FAIRSLOT_TESTS_LEDGER_MODEL_H
#define FAIRSLOT_TESTS_LEDGER_MODEL_H

#include "base/prng.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define STEPS   5000
#define PEOPLE  24
#define POOLS   3
#define SLOTS   500
#define ITEMS   STEPS
#define TTL_US  (30 * SECOND_US)
#define MAX_OF(pool) ((pool) == 2 ? 3u : 2u)
#define RUN_MAX 4
#define CHANGES 1
/* Only these pools have these policies. */
#define COOL_US(pool)  ((pool) == 2 ? 4 * SECOND_US : 0)
#define LAPSE_US(pool) ((pool) == 2 ? 0 : HOUR_US + HOUR_US / 2)

static const char *const pools[POOLS] = {"city", "village", "cars"};
static const int class_of[POOLS] = {0, 0, 1};

static struct {
    enum slot_state state;
    uint64_t version;
    int holder; /* index of the item, -1 none */
} slots[POOLS][SLOTS];

static struct {
    unsigned person;
    int pool, slot, count; /* slots slot, slot + 2, ...: one desk */
    enum { M_LIVE, M_CONFIRMED, M_DROPPED, M_EXPIRED, M_CANCELLED, M_SURE, M_LAPSED } state;
    int64_t expire_us, lapse_us;
    int changes;
    uint32_t version;
    uint64_t id[2];
} items[ITEMS];
static bool was_returned[POOLS][SLOTS];
static int64_t freed_us[PEOPLE + 1][2]; /* by class; of pools with a cool-down */
static int items_count;

static struct kit k;
static struct prng prng;
static size_t verdicts[REASON_COUNT];

static int64_t start_of(int slot)
{
    return kit_slot((unsigned)slot).start_us;
}

static int64_t end_of(int i)
{
    return start_of(items[i].slot + 2 * (items[i].count - 1)) + 600 * SECOND_US;
}

static bool is_kept(int i)
{
    return items[i].state == M_CONFIRMED || items[i].state == M_SURE;
}

static bool counts(int i)
{
    return items[i].state == M_LIVE || (is_kept(i) && end_of(i) > k.now_us);
}

static bool is_free_run(int pool, int slot, int count)
{
    for (int i = 0; i < count; i++, slot += 2) {
        if (slot >= SLOTS || slots[pool][slot].state != SLOT_FREE ||
            start_of(slot) / DAY_US != start_of(slot - 2 * i) / DAY_US) {
            return false;
        }
    }
    return true;
}

/* The desk that a selector must get: 0, 1, or 2 when both are as good; -1 for none. */
static int desk_for(int pool, int time, int count)
{
    bool is_free[2], is_end[2];
    for (int desk = 0; desk < 2; desk++) {
        int behind = 2 * (time + count) + desk;
        is_free[desk] = is_free_run(pool, 2 * time + desk, count);
        is_end[desk] = behind >= SLOTS || slots[pool][behind].state != SLOT_FREE;
    }
    return !is_free[0] && !is_free[1]        ? -1
           : is_free[0] != is_free[1]        ? is_free[1]
           : is_end[0] != is_end[1]          ? is_end[1]
                                             : 2;
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
    int pool = items[i].pool;
    bool is_new = slots[pool][items[i].slot].state != slot_state;
    items[i].state = state;
    for (int j = 0, slot = items[i].slot; j < items[i].count; j++, slot += 2) {
        slots[pool][slot].state = slot_state;
        slots[pool][slot].version += is_new;
        slots[pool][slot].holder = slot_state == SLOT_RETURNED ? -1 : i;
    }
    if (slot_state == SLOT_RETURNED && COOL_US(pool) && state != M_SURE) {
        freed_us[items[i].person][class_of[pool]] = k.now_us;
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

/* What the answer says about the item's slots is what the model knows. */
static void same_slots(int i, const struct slot_view *views, size_t count)
{
    EQ(count, items[i].count);
    for (size_t j = 0; j < count && (int)count == items[i].count; j++) {
        int slot = items[i].slot + 2 * (int)j;
        EQ(views[j].key.start_us, start_of(slot));
        OK(span_equal(views[j].key.slug, kit_slot((unsigned)slot).slug));
        EQ(views[j].version, slots[items[i].pool][slot].version);
        EQ(views[j].state, slots[items[i].pool][slot].state);
    }
}

/* What is wanted: a slot by name, or `count` neighbours of any desk at a time. */
struct want {
    bool by_time;
    int slot, count;
    struct slot_key key;
};

static struct want invent_want(void)
{
    struct want w = {.slot = (int)prng_below(&prng, prng_below(&prng, 2) ? SLOTS : 40)};
    w.by_time = prng_below(&prng, 2);
    w.count = w.by_time ? 1 + (int)prng_below(&prng, RUN_MAX) : 1;
    return w;
}

static void say_want(struct want *w, struct command *c)
{
    w->key = kit_slot((unsigned)w->slot);
    if (w->by_time) {
        c->select_us = w->key.start_us;
        c->select_count = (uint32_t)w->count;
    } else {
        c->slots = &w->key;
        c->slots_count = 1;
    }
}

/* Why not; REASON_OK with w->slot where it must be, or at desk 0 of two equal ones. */
static enum reason foretell_want(int pool, struct want *w, bool *ret_either)
{
    *ret_either = false;
    if (start_of(w->slot) <= k.now_us) {
        return REASON_SLOT_PAST;
    }
    if (!w->by_time) {
        return is_free_run(pool, w->slot, w->count) ? REASON_OK : REASON_SLOT_TAKEN;
    }
    int desk = desk_for(pool, w->slot / 2, w->count);
    w->slot = w->slot / 2 * 2 + (desk == 1);
    *ret_either = desk == 2;
    return desk < 0 ? REASON_SLOT_TAKEN : REASON_OK;
}

/* Of two equal desks the ledger has chosen one. */
static void learn_desk(struct want *w, const struct slot_view *first)
{
    w->slot += span_equal(first->key.slug, span_of("b"));
}

#endif
