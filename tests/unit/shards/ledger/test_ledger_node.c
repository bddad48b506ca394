/* SPDX-License-Identifier: MIT */
/* Cordoned nodes: in the state, in order whatever the order of the commands, bounded, and not known
 * to older rules. */
#include "tests/unit/shards/ledger/ledger_kit.h"

static int mark(struct kit *k, uint64_t node, enum node_mark what, uint32_t roles)
{
    struct command c = kit_command(k, COMMAND_MARK_NODE, "", 1);
    c.number = node;
    c.version = what;
    c.roles = roles;
    return kit_apply(k, &c);
}

/* A state of the newest rules. */
static void begin(struct kit *k)
{
    struct command raise = {.kind = COMMAND_RAISE, .version = LEDGER_VERSION};
    kit_init(k);
    EQ(kit_apply(k, &raise), REASON_OK);
}

static bool is_cordoned(struct kit *k, uint64_t node)
{
    bool is = false;
    EQ(ledger_is_cordoned(k->l, node, &is), 0);
    return is;
}

static void test_marks(void)
{
    struct kit k, other;
    begin(&k);
    begin(&other);
    OK(!is_cordoned(&k, 1));
    EQ(mark(&k, 1, NODE_MARK_CORDON, 0), REASON_ROLE_MISSING);
    EQ(mark(&k, 3, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&k, 1, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&k, INT64_MAX, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&k, 1, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK); /* it is so already */
    OK(is_cordoned(&k, 1) && is_cordoned(&k, 3) && is_cordoned(&k, INT64_MAX));
    OK(!is_cordoned(&k, 2));
    EQ(kit_reopen(&k), 0);
    OK(is_cordoned(&k, 3));
    EQ(mark(&k, 3, NODE_MARK_NONE, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&k, 7, NODE_MARK_NONE, ROLE_OPERATOR), REASON_OK);
    OK(is_cordoned(&k, 1) && !is_cordoned(&k, 3));
    EQ(mark(&other, 1, NODE_MARK_NONE, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&other, 1, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&other, INT64_MAX, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    OK(membook_hash(&k.m) == membook_hash(&other.m)); /* the same marks, the same bytes */
    kit_fini(&k);
    kit_fini(&other);
}

static void test_many(void)
{
    struct kit k;
    begin(&k);
    for (uint64_t i = 64; i > 0; i--) {
        EQ(mark(&k, i, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    }
    EQ(mark(&k, 65, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_NODE_NOT_READY);
    EQ(mark(&k, 64, NODE_MARK_NONE, ROLE_OPERATOR), REASON_OK);
    EQ(mark(&k, 65, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    OK(is_cordoned(&k, 1) && is_cordoned(&k, 65) && !is_cordoned(&k, 64));
    kit_fini(&k);
}

static void test_damage(void)
{
    static const uint8_t key[17] = {[16] = 'N'};
    static const uint8_t bad[][7] = {{1, 0, 0, 0, 1, 0, 0}, {9, 0, 0, 0, 0, 0, 0},
                                     {1, 0, 0, 0, 65, 0, 0}};
    struct kit k;
    bool is;
    kit_init(&k);
    for (size_t i = 0; i < 3; i++) {
        EQ(k.m.book.put(&k.m, (struct span){key, 17}, (struct span){bad[i], 7}), 0);
        OK(ledger_is_cordoned(k.l, 1, &is) < 0);
    }
    kit_fini(&k);
}

/* A new state has the rules that every program knew, whatever the one that makes it knows. */
static void test_older_rules(void)
{
    struct kit k;
    struct command due[4];
    kit_init(&k);
    struct command c = kit_command(&k, COMMAND_MARK_NODE, "", 1);
    c.number = 1;
    OK(!ledger_knows(k.l, &c));
    EQ(mark(&k, 1, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_METHOD_PLANNED);
    EQ(ledger_due(k.l, k.now_us, &k.arena, due, 4), 0);
    ledger_rules(k.l, LEDGER_VERSION_FIRST); /* somebody knows no more */
    EQ(ledger_due(k.l, k.now_us, &k.arena, due, 4), 0);
    ledger_rules(k.l, LEDGER_VERSION);
    EQ(ledger_due(k.l, k.now_us, &k.arena, due, 4), 1);
    EQ(kit_apply(&k, &due[0]), REASON_OK);
    EQ(ledger_due(k.l, k.now_us, &k.arena, due, 4), 0);
    OK(ledger_knows(k.l, &c));
    EQ(mark(&k, 1, NODE_MARK_CORDON, ROLE_OPERATOR), REASON_OK);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_marks);
    TAP_RUN(test_many);
    TAP_RUN(test_damage);
    TAP_RUN(test_older_rules);
    return tap_done();
}
