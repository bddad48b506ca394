/* SPDX-License-Identifier: MIT */
/* Exactly once: the same request id gets the same bytes for 24 h, another body is refused; then
 * the record is as good as gone, and the sweep takes it. */
#include "ledger/ledger_parts.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

static struct slot_key key;

static struct command hold_command(struct kit *k, unsigned person, unsigned slot)
{
    struct command c = kit_command(k, COMMAND_CREATE_HOLD, "city", person);
    key = kit_slot(slot);
    c.slots = &key;
    c.slots_count = 1;
    return c;
}

static void open_city(struct kit *k)
{
    kit_init(k);
    EQ(kit_pool(k, "city", "passport"), REASON_OK);
    EQ(kit_slots(k, "city", 0, 20), REASON_OK);
}

/* The answer's bytes now must be those of `first`; the book must stay as it is. */
static void same_again(struct kit *k, const struct command *c, const uint8_t *first, size_t len)
{
    static uint8_t again[4096];
    uint64_t hash = membook_hash(&k->m);
    EQ(kit_apply(k, c), REASON_OK);
    EQ(kit_answer(k, again, sizeof again), len);
    OK(memcmp(first, again, len) == 0);
    OK(membook_hash(&k->m) == hash);
}

static void test_same_answer_for_every_kind(void)
{
    static uint8_t created[4096], confirmed[4096], dropped[4096], cancelled[4096], pool[4096];
    struct kit k;
    size_t n[5];
    open_city(&k);
    struct pool_view policy = kit_policy("village", "c");
    policy.display_name = span_of("The village");
    struct command p = kit_command(&k, COMMAND_CREATE_POOL, "village", 9);
    p.roles = ROLE_OPERATOR;
    p.new_pool = &policy;
    EQ(kit_apply(&k, &p), REASON_OK);
    n[0] = kit_answer(&k, pool, sizeof pool);

    struct command hold = hold_command(&k, 1, 0);
    EQ(kit_apply(&k, &hold), REASON_OK);
    n[1] = kit_answer(&k, created, sizeof created);
    struct command confirm = kit_command(&k, COMMAND_CONFIRM_HOLD, "city", 1);
    confirm.owner = k.v.holds[0].owner;
    confirm.number = k.v.holds[0].number;
    k.now_us += SECOND_US;
    EQ(kit_apply(&k, &confirm), REASON_OK);
    n[2] = kit_answer(&k, confirmed, sizeof confirmed);
    struct command cancel = kit_command(&k, COMMAND_CANCEL_RESERVATION, "city", 1);
    cancel.owner = confirm.owner;
    cancel.number = confirm.number;
    EQ(kit_apply(&k, &cancel), REASON_OK);
    n[3] = kit_answer(&k, cancelled, sizeof cancelled);
    struct command other = hold_command(&k, 1, 1);
    EQ(kit_apply(&k, &other), REASON_OK);
    struct command drop = kit_command(&k, COMMAND_DROP_HOLD, "city", 1);
    drop.owner = k.v.holds[0].owner;
    drop.number = k.v.holds[0].number;
    EQ(kit_apply(&k, &drop), REASON_OK);
    n[4] = kit_answer(&k, dropped, sizeof dropped);
    /* All of them later, after everything has changed, and after a restart. */
    for (int round = 0; round < 2; round++) {
        k.now_us += HOUR_US;
        same_again(&k, &p, pool, n[0]);
        key = kit_slot(0);
        same_again(&k, &hold, created, n[1]);
        same_again(&k, &confirm, confirmed, n[2]);
        same_again(&k, &cancel, cancelled, n[3]);
        same_again(&k, &drop, dropped, n[4]);
        EQ(kit_reopen(&k), 0);
    }
    kit_fini(&k);
}

static void test_slots_again(void)
{
    struct kit k;
    open_city(&k);
    struct new_slot one = {KIT_START, SECOND_US, span_of("x"), span_of("X")};
    struct command c = kit_command(&k, COMMAND_CREATE_SLOTS, "city", 9999);
    c.roles = ROLE_OPERATOR;
    c.new_slots = &one;
    c.new_slots_count = 1;
    EQ(kit_apply(&k, &c), REASON_OK);
    uint64_t index = k.v.log_index;
    EQ(kit_apply(&k, &c), REASON_OK);
    OK(k.v.log_index == index && k.v.changed_count == 1);
    c.body_hash++;
    EQ(kit_apply(&k, &c), REASON_REQUEST_ID_REUSED);
    c.request_id = kit_request(12345);
    EQ(kit_apply(&k, &c), REASON_SLOT_EXISTS);
    kit_fini(&k);
}

static void test_refusals_are_remembered(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    kit_held(&k, "city", 1, 0, id);
    struct command c = hold_command(&k, 2, 0);
    EQ(kit_apply(&k, &c), REASON_SLOT_TAKEN);
    static const char next_free[] = "s20261201t0900-b,s20261201t0910-a,s20261201t0910-b,"
                                    "s20261201t0920-a,s20261201t0920-b";
    EQS(kit_meta(&k, "next_free"), next_free);
    EQ(kit_hold(&k, "city", 3, 1), REASON_OK); /* the next one goes */
    EQ(kit_apply(&k, &c), REASON_SLOT_TAKEN);
    EQS(kit_meta(&k, "next_free"), next_free); /* the same answer all the same */
    EQ(k.v.meta_count, 1);
    /* The slot that the body means is another one now, and free: the first answer stands. */
    key = kit_slot(5);
    EQ(kit_apply(&k, &c), REASON_SLOT_TAKEN);
    EQ(kit_look(&k, "city", 5).state, SLOT_FREE);
    /* POOL_UNKNOWN has no place to be remembered at: nothing was decided. */
    struct command n = hold_command(&k, 2, 0);
    n.pool = span_of("later");
    EQ(kit_apply(&k, &n), REASON_POOL_UNKNOWN);
    EQ(kit_pool(&k, "later", "c"), REASON_OK);
    EQ(kit_slots(&k, "later", 0, 2), REASON_OK);
    EQ(kit_apply(&k, &n), REASON_OK);
    kit_fini(&k);
}

static void test_metadata_is_remembered(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    kit_held(&k, "city", 1, 0, id);
    kit_held(&k, "city", 1, 1, id);
    struct command c = hold_command(&k, 1, 2);
    struct new_slot one = {KIT_START, SECOND_US, span_of("b"), span_of("B")};
    struct command s = kit_command(&k, COMMAND_CREATE_SLOTS, "city", 9);
    s.roles = ROLE_OPERATOR;
    s.new_slots = &one;
    s.new_slots_count = 1;
    for (int i = 0; i < 2; i++) {
        EQ(kit_apply(&k, &c), REASON_IDENTITY_QUOTA);
        EQS(kit_meta(&k, "max_active"), "2");
        EQ(kit_apply(&k, &s), REASON_SLOT_EXISTS);
        EQS(kit_meta(&k, "slot"), "s20261201t0900-b");
        EQ(kit_reopen(&k), 0);
    }
    kit_fini(&k);
}

static void test_another_body(void)
{
    struct kit k;
    open_city(&k);
    struct command c = hold_command(&k, 1, 0);
    EQ(kit_apply(&k, &c), REASON_OK);
    uint64_t hash = membook_hash(&k.m);
    c.body_hash++;
    EQ(kit_apply(&k, &c), REASON_REQUEST_ID_REUSED);
    c.body_hash--;
    c.kind = COMMAND_DROP_HOLD;
    EQ(kit_apply(&k, &c), REASON_REQUEST_ID_REUSED);
    OK(membook_hash(&k.m) == hash);
    c.kind = COMMAND_CREATE_HOLD;
    EQ(kit_apply(&k, &c), REASON_OK);
    /* The same id of another identity is another request. */
    struct command other = hold_command(&k, 2, 1);
    other.request_id = c.request_id;
    EQ(kit_apply(&k, &other), REASON_OK);
    kit_fini(&k);
}

/* One id, one request, whatever pool and class it names: the second is found out. */
static void test_other_classes(void)
{
    static const char *const pools[] = {"city", "cars", "dogs", "boats", "birds"};
    struct kit k;
    open_city(&k);
    for (int i = 1; i < 5; i++) {
        EQ(kit_pool(&k, pools[i], pools[i]), REASON_OK);
        EQ(kit_slots(&k, pools[i], 0, 20), REASON_OK);
    }
    struct request_id ids[5];
    for (unsigned i = 0; i < 5; i++) {
        struct command c = hold_command(&k, 1, i);
        c.pool = span_of(pools[i]);
        ids[i] = c.request_id;
        for (unsigned j = 0; j < i; j++) { /* a class in which nothing is known yet */
            c.request_id = ids[j];
            uint64_t hash = membook_hash(&k.m);
            EQ(kit_apply(&k, &c), REASON_REQUEST_ID_REUSED);
            OK(membook_hash(&k.m) == hash);
        }
        c.request_id = ids[i];
        EQ(kit_apply(&k, &c), REASON_OK);
    }
    EQ(kit_reopen(&k), 0);
    for (unsigned i = 0; i < 25; i++) { /* and all that are known now, both ways */
        struct command c = hold_command(&k, 1, 10);
        c.pool = span_of(pools[i / 5]);
        c.request_id = ids[i % 5];
        EQ(kit_apply(&k, &c), REASON_REQUEST_ID_REUSED);
    }
    struct command other = hold_command(&k, 2, 11);
    other.request_id = ids[3];
    EQ(kit_apply(&k, &other), REASON_OK); /* of somebody else: another request */
    struct command later = hold_command(&k, 1, 12);
    later.request_id = ids[3];
    k.now_us += DAY_US;
    EQ(kit_apply(&k, &later), REASON_OK);
    kit_fini(&k);
}

/* Whoever stays in one class pays nothing for it: the book is asked as often as before. */
static void test_one_class_costs_nothing(void)
{
    struct kit k;
    open_city(&k);
    struct command c = hold_command(&k, 1, 0);
    EQ(kit_apply(&k, &c), REASON_OK);
    k.m.nexts = 0;
    c = hold_command(&k, 1, 1);
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.m.nexts, 0);
    kit_fini(&k);
}

static void test_operators_ids(void)
{
    struct kit k;
    open_city(&k);
    struct pool_view x = kit_policy("x", "c"), y = kit_policy("y", "c");
    struct command c = kit_command(&k, COMMAND_CREATE_POOL, "x", 9);
    c.roles = ROLE_OPERATOR;
    c.new_pool = &x;
    EQ(kit_apply(&k, &c), REASON_OK);
    struct command other = c;
    other.pool = span_of("y");
    other.new_pool = &y;
    other.body_hash++;
    EQ(kit_apply(&k, &other), REASON_REQUEST_ID_REUSED);
    struct new_slot one = {KIT_START, SECOND_US, span_of("x"), span_of("X")};
    struct command s = kit_command(&k, COMMAND_CREATE_SLOTS, "city", 9);
    s.roles = ROLE_OPERATOR;
    s.new_slots = &one;
    s.new_slots_count = 1;
    EQ(kit_apply(&k, &s), REASON_OK);
    s.pool = span_of("x");
    s.body_hash++;
    EQ(kit_apply(&k, &s), REASON_REQUEST_ID_REUSED);
    s.request_id = c.request_id;
    EQ(kit_apply(&k, &s), REASON_REQUEST_ID_REUSED);
    s.identity = kit_person(8); /* another operator's */
    EQ(kit_apply(&k, &s), REASON_OK);
    kit_fini(&k);
}

static void test_after_a_day(void)
{
    struct kit k;
    open_city(&k);
    struct command c = hold_command(&k, 1, 0);
    EQ(kit_apply(&k, &c), REASON_OK);
    uint64_t number = k.v.holds[0].number;
    k.now_us += DAY_US - 1;
    EQ(kit_apply(&k, &c), REASON_OK);
    OK(k.v.holds[0].number == number);
    k.now_us++;
    EQ(kit_apply(&k, &c), REASON_SLOT_TAKEN); /* a new request: and it is still held */
    EQ(kit_expire(&k), 1);
    c.request_id = kit_request(555);
    key = kit_slot(1);
    EQ(kit_apply(&k, &c), REASON_OK);
    kit_fini(&k);
}

/* Records of verdicts, each its own or some of a person in one. */
static size_t beside(struct kit *k)
{
    return kit_count(k, 'R') + kit_count(k, 'G');
}

static void test_sweep(void)
{
    struct kit k;
    struct command sweep = {.kind = COMMAND_SWEEP};
    open_city(&k);
    for (unsigned i = 0; i < 700; i++) {
        struct command c = hold_command(&k, i, 0);
        EQ(kit_apply(&k, &c), i == 0 ? REASON_OK : REASON_SLOT_TAKEN);
        EQ(beside(&k), 2 + i); /* the newest are in the account */
        for (int n = kit_rules < 6 ? 1 : LEDGER_MEMORIES_MAX; n-- > 0;) {
            struct command next = hold_command(&k, i, 0);
            EQ(beside(&k), 2 + i);
            EQ(kit_apply(&k, &next), REASON_SLOT_TAKEN);
        }
        EQ(kit_apply(&k, &c), i == 0 ? REASON_OK : REASON_SLOT_TAKEN); /* known, beside it */
    }
    size_t before = beside(&k); /* two of the operator's too */
    EQ(before, 702);
    for (int i = 0; i < 30; i++) { /* young: nothing goes, however often */
        EQ(kit_apply(&k, &sweep), REASON_OK);
    }
    EQ(beside(&k), before);
    k.now_us += DAY_US;
    struct command young = hold_command(&k, 5000, 1);
    EQ(kit_apply(&k, &young), REASON_OK);
    size_t rest = before;
    for (int i = 0; i < 30 && rest > 0; i++) {
        k.m.nexts = 0;
        EQ(kit_apply(&k, &sweep), REASON_OK);
        OK(k.m.nexts <= 256);
        size_t now = beside(&k);
        OK(now <= rest && rest - now <= 256);
        rest = now;
        EQ(kit_reopen(&k), 0); /* the cursor is in the state */
    }
    EQ(rest, 0);
    EQ(kit_count(&k, 'S'), 20);
    EQ(kit_count(&k, 'I'), 701);
    EQ(kit_apply(&k, &young), REASON_OK); /* what is left is still known */
    kit_fini(&k);
}

static void test_requests_of_a_day(void)
{
    struct kit k;
    open_city(&k);
    k.m.is_strict = false;
    k.now_us = KIT_NOW - KIT_NOW % DAY_US;
    for (int i = 0; i < REQUESTS_PER_IDENTITY_DAY; i++) {
        struct command c = hold_command(&k, 1, 1000);
        if (kit_apply(&k, &c) != REASON_SLOT_UNKNOWN) {
            OK(false);
        }
    }
    struct command c = hold_command(&k, 1, 0);
    uint64_t hash = membook_hash(&k.m);
    EQ(kit_apply(&k, &c), REASON_RATE_LIMITED);
    EQ(k.v.retry_ms, DAY_US / 1000 + 1);
    OK(membook_hash(&k.m) == hash); /* not remembered */
    struct command other = hold_command(&k, 2, 1);
    EQ(kit_apply(&k, &other), REASON_OK); /* others are served */
    key = kit_slot(0);
    k.now_us += DAY_US;
    EQ(kit_apply(&k, &c), REASON_OK);
    kit_fini(&k);
}

int main(void)
{
    KIT_RUN(test_same_answer_for_every_kind);
    KIT_RUN(test_slots_again);
    KIT_RUN(test_refusals_are_remembered);
    KIT_RUN(test_metadata_is_remembered);
    KIT_RUN(test_another_body);
    KIT_RUN(test_other_classes);
    KIT_RUN(test_one_class_costs_nothing);
    KIT_RUN(test_operators_ids);
    KIT_RUN(test_after_a_day);
    KIT_RUN(test_sweep);
    KIT_RUN(test_requests_of_a_day);
    return tap_done();
}
