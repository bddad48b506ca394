/* SPDX-License-Identifier: MIT */
/* Goal: what people see of a scarce pool is one snapshot a second, whatever happens within it: a
 * change shows only when the second is over, nothing shows when something comes back, and operators
 * see what is. */
#include "tests/unit/shards/ledger/ledger_kit.h"

#define POOL "city"

static void open_pool(struct kit *k, bool scarce)
{
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(k);
    p.scarce = scarce;
    EQ(kit_pool_of(k, &p), REASON_OK);
    EQ(kit_slots(k, POOL, 0, 3), REASON_OK);
}

/* How many are free, as seen by a role. */
static size_t free_count(struct kit *k, uint32_t roles)
{
    struct command c = kit_command(k, COMMAND_LIST_SLOTS, POOL, 7);
    size_t n = 0;
    c.roles = roles;
    c.from_us = 0;
    c.to_us = INT64_MAX;
    c.page_size = 50;
    EQ(kit_apply(k, &c), REASON_OK);
    for (size_t i = 0; i < k->v.slots_count; i++) {
        n += k->v.slots[i].state == SLOT_FREE;
        OK(roles || k->v.slots[i].version == 0);
    }
    if (roles == 0) {
        EQ(k->v.as_of_us % SECOND_US, 0);
    }
    return n;
}

static void turn(struct kit *k, enum command_kind kind)
{
    struct command c = kit_command(k, kind, POOL, 9999);
    struct slot_key key = kit_slot(0);
    c.roles = ROLE_OPERATOR;
    c.slots = &key;
    c.slots_count = 1;
    EQ(kit_apply(k, &c), REASON_OK);
}

static void test_a_change_shows_when_the_second_is_over(void)
{
    struct kit k;
    open_pool(&k, true);
    k.now_us += 5 * SECOND_US + 300000;
    EQ(free_count(&k, 0), 3);
    turn(&k, COMMAND_BLOCK_SLOTS);
    EQ(free_count(&k, ROLE_OPERATOR), 2);
    EQ(free_count(&k, 0), 3);
    k.now_us += 699999;
    EQ(free_count(&k, 0), 3);
    EQ(kit_reopen(&k), 0); /* nothing of it is only in memory */
    EQ(free_count(&k, 0), 3);
    k.now_us += 1;
    EQ(free_count(&k, 0), 2);
    turn(&k, COMMAND_UNBLOCK_SLOTS);
    EQ(free_count(&k, 0), 2);
    k.now_us += SECOND_US;
    EQ(free_count(&k, 0), 3);
    kit_fini(&k);
}

static void test_to_and_fro_within_a_second_is_nothing(void)
{
    struct kit k;
    open_pool(&k, true);
    k.now_us += SECOND_US;
    for (int i = 0; i < 3; i++) {
        turn(&k, COMMAND_BLOCK_SLOTS);
        EQ(free_count(&k, 0), 3);
        turn(&k, COMMAND_UNBLOCK_SLOTS);
        EQ(free_count(&k, 0), 3);
    }
    turn(&k, COMMAND_BLOCK_SLOTS);
    EQ(free_count(&k, 0), 3);
    k.now_us += SECOND_US;
    EQ(free_count(&k, 0), 2);
    kit_fini(&k);
}

static void test_other_pools_are_as_they_are(void)
{
    struct kit k;
    open_pool(&k, false);
    k.now_us += 300000;
    turn(&k, COMMAND_BLOCK_SLOTS);
    EQ(free_count(&k, ROLE_OPERATOR), 2);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_a_change_shows_when_the_second_is_over);
    TAP_RUN(test_to_and_fro_within_a_second_is_nothing);
    TAP_RUN(test_other_pools_are_as_they_are);
    return tap_done();
}
