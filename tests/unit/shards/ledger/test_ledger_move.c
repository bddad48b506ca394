/* SPDX-License-Identifier: MIT */
/* Several slots as one thing, moves, lapses, blocked slots, restocks: the corners that a model does
 * not reach by chance, and what stands in the records. */
#include "ledger/ledger_parts.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

static struct command choose(struct kit *k, const char *pool, unsigned person, int64_t start_us,
                             uint32_t count)
{
    struct command c = kit_command(k, COMMAND_CREATE_HOLD, pool, person);
    c.select_us = start_us;
    c.select_count = count;
    return c;
}

static struct command reschedule(struct kit *k, const char *pool, unsigned person,
                                 const uint64_t id[2], int64_t start_us)
{
    struct command c = choose(k, pool, person, start_us, 0);
    c.kind = COMMAND_RESCHEDULE;
    c.owner = id[0];
    c.number = id[1];
    return c;
}

/* A reservation of `count` neighbours in city at the time of slot `slot`. */
static void reserved(struct kit *k, unsigned person, unsigned slot, uint32_t count,
                     uint64_t ret_id[2])
{
    struct command c = choose(k, "city", person, kit_slot(slot).start_us, count);
    EQ(kit_apply(k, &c), REASON_OK);
    ret_id[0] = k->v.holds ? k->v.holds[0].owner : 0;
    ret_id[1] = k->v.holds ? k->v.holds[0].number : 0;
    EQ(kit_change(k, COMMAND_CONFIRM_HOLD, "city", person, ret_id), REASON_OK);
}

static size_t count_of(struct kit *k, const char *pool, enum slot_state state)
{
    struct command c = kit_command(k, COMMAND_LIST_SLOTS, pool, 1);
    size_t n = 0;
    c.to_us = INT64_MAX;
    c.page_size = PAGE_SIZE_MAX;
    c.roles = ROLE_OPERATOR;
    EQ(kit_apply(k, &c), REASON_OK);
    for (size_t i = 0; i < k->v.slots_count; i++) {
        n += k->v.slots[i].state == state;
    }
    return n;
}

static struct command own(enum command_kind kind, const char *pool, const uint64_t id[2],
                          uint64_t version)
{
    return (struct command){.kind = kind, .pool = span_of(pool), .owner = id[0], .number = id[1],
                            .version = version};
}

/* -- what a move leaves behind ----------------------------------------------------------------- */

static void test_move_after_restarts(void)
{
    struct kit k;
    uint64_t id[2];
    kit_init(&k);
    struct pool_view p = kit_policy("city", "passport");
    p.reconfirm_by_us = HOUR_US;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 60), REASON_OK);
    reserved(&k, 1, 0, 3, id);
    int64_t due_us = kit_slot(0).start_us - HOUR_US;
    EQ(ledger_next_expiry_us(k.l), due_us);
    EQ(kit_reopen(&k), 0);
    EQ(ledger_next_expiry_us(k.l), due_us); /* once, for the first of three slots */
    struct command c = reschedule(&k, "city", 1, id, kit_slot(20).start_us);
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.reservations[0].slots_count, 3);
    due_us = kit_slot(20).start_us - HOUR_US;
    EQ(ledger_next_expiry_us(k.l), due_us);
    EQ(kit_reopen(&k), 0);
    EQ(ledger_next_expiry_us(k.l), due_us);
    EQ(count_of(&k, "city", SLOT_TAKEN), 3);
    EQ(count_of(&k, "city", SLOT_RETURNED), 3);
    /* The lapse of what it was before means nothing any more. */
    k.now_us = due_us;
    struct command old = own(COMMAND_LAPSE, "city", id, 2);
    EQ(kit_apply(&k, &old), REASON_OK);
    EQ(count_of(&k, "city", SLOT_TAKEN), 3);
    struct command early = own(COMMAND_LAPSE, "city", id, 3);
    k.now_us = due_us - 1;
    EQ(kit_apply(&k, &early), REASON_OK);
    EQ(count_of(&k, "city", SLOT_TAKEN), 3);
    /* From its instant on it has ended, whether the command has come or not. */
    k.now_us = due_us;
    EQ(kit_change(&k, COMMAND_RECONFIRM, "city", 1, id), REASON_RESERVATION_ENDED);
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 1, id), REASON_RESERVATION_ENDED);
    EQ(kit_expire(&k), 1);
    EQ(count_of(&k, "city", SLOT_RETURNED), 6);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id), REASON_OK);
    EQ(k.v.reservations[0].state, RESERVATION_LAPSED);
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    kit_fini(&k);
}

/* Nobody could let it lapse before its time came: it is what it was, and asked about no more. */
static void test_lapse_after_the_appointment(void)
{
    struct kit k;
    uint64_t id[2];
    kit_init(&k);
    struct pool_view p = kit_policy("city", "passport");
    p.reconfirm_by_us = HOUR_US;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 4), REASON_OK);
    reserved(&k, 1, 0, 2, id);
    k.now_us = KIT_START + DAY_US;
    EQ(kit_expire(&k), 1);
    EQ(count_of(&k, "city", SLOT_TAKEN), 2);
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    EQ(kit_reopen(&k), 0);
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    kit_fini(&k);
}

static void test_reconfirm_takes_the_lapse_off(void)
{
    struct kit k;
    uint64_t id[2], late[2];
    kit_init(&k);
    struct pool_view p = kit_policy("city", "passport");
    p.reconfirm_by_us = HOUR_US;
    p.reconfirm_open_us = 2 * HOUR_US;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 8), REASON_OK);
    reserved(&k, 1, 0, 2, id);
    EQ(kit_change(&k, COMMAND_RECONFIRM, "city", 1, id), REASON_RECONFIRM_EARLY);
    OK(k.v.retry_ms > 0);
    k.now_us = KIT_START - 2 * HOUR_US;
    reserved(&k, 2, 0, 1, late); /* made while the window is open: it need not */
    EQ(k.v.reservations[0].reconfirm_us, 0);
    EQ(kit_change(&k, COMMAND_RECONFIRM, "city", 1, id), REASON_OK);
    EQ(k.v.reservations[0].state, RESERVATION_RECONFIRMED);
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    EQ(kit_reopen(&k), 0);
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    k.now_us = KIT_START - 1;
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id), REASON_OK);
    EQ(k.v.reservations[0].state, RESERVATION_RECONFIRMED);
    kit_fini(&k);
}

/* -- the largest account ----------------------------------------------------------------------- */

/* Sixteen reservations of eight slots, with the longest names that there are. */
static void test_the_largest_account_fits(void)
{
    static const char pool[] = "p23456789012345678901234567890123456789012345678901234567890123";
    static const char slug[] = "d23456789012345678901234";
    static const char desk[] = "D234567890123456789012345678901234567890123456789012345678901234";
    struct new_slot made[8];
    struct kit k;
    kit_init(&k);
    struct pool_view p = kit_policy(pool, pool);
    p.max_live = 16;
    p.max_changes = 100;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    for (int i = 0; i < 17; i++) {
        struct command c = kit_command(&k, COMMAND_CREATE_SLOTS, pool, 9999);
        for (int j = 0; j < 8; j++) {
            made[j] = (struct new_slot){KIT_START + i * DAY_US + j * 60 * SECOND_US,
                                        60 * SECOND_US, span_of(slug), span_of(desk)};
        }
        c.roles = ROLE_OPERATOR;
        c.new_slots = made;
        c.new_slots_count = 8;
        EQ(kit_apply(&k, &c), REASON_OK);
        c = choose(&k, pool, 1, KIT_START + i * DAY_US, 8);
        EQ(kit_apply(&k, &c), i < 16 ? REASON_OK : REASON_IDENTITY_QUOTA);
        if (i < 16) {
            uint64_t id[2] = {k.v.holds[0].owner, k.v.holds[0].number};
            EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, pool, 1, id), REASON_OK);
        }
    }
    struct routing_key at = ledger_identity_key(span_of(pool), &(struct identity){0});
    struct identity who = kit_person(1);
    at = ledger_identity_key(span_of(pool), &who);
    struct ledger_key key = ledger_key_account(at, &who);
    struct span value;
    EQ(k.m.book.get(&k.m, ledger_key_span(&key), &value), 0);
    printf("# %zu bytes of %d\n", value.len, BOOK_VALUE_MAX);
    OK(value.len <= BOOK_VALUE_MAX && value.len > 4096);
    kit_fini(&k);
}

/* What needs nothing new is written as it ever was: format 1. */
static void test_plain_records_are_of_format_1(void)
{
    struct kit k;
    uint64_t id[2];
    size_t newer = 0;
    kit_init(&k);
    EQ(kit_pool(&k, "city", "passport"), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 8), REASON_OK);
    kit_held(&k, "city", 1, 0, id);
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id), REASON_OK);
    kit_held(&k, "city", 1, 1, id);
    for (int round = 0; round < 2; round++) {
        newer = 0;
        for (size_t i = 0; i < k.m.count; i++) {
            struct span record, value;
            membook_at(&k.m, i, &record, &value);
            newer += value.ptr[0] == LEDGER_FORMAT && record.ptr[16] != 'M';
        }
        EQ(newer > 0, round == 1);
        struct command c = choose(&k, "city", 2, kit_slot(2).start_us, 2);
        EQ(kit_apply(&k, &c), REASON_OK);
    }
    kit_fini(&k);
}

/* -- restock ----------------------------------------------------------------------------------- */

/* 2,000 returned slots, restarts at every step: each freed once, the count exact, one answer. */
static void test_restock_by_steps(void)
{
    struct kit k;
    kit_init(&k);
    struct pool_view p = kit_policy("city", "passport");
    p.max_live = 16;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 2000), REASON_OK);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t id[2];
        kit_held(&k, "city", 1, i, id);
        EQ(kit_change(&k, COMMAND_DROP_HOLD, "city", 1, id), REASON_OK);
    }
    struct command first = kit_command(&k, COMMAND_RESTOCK, "city", 9999);
    struct command other = kit_command(&k, COMMAND_RESTOCK, "city", 9998);
    first.roles = other.roles = ROLE_OPERATOR;
    EQ(kit_apply(&k, &first), REASON_RESTOCK_RUNNING);
    size_t steps = 0;
    while (ledger_next_expiry_us(k.l) == 0) {
        struct command due[4];
        struct arena arena;
        arena_init(&arena, 1 << 16);
        EQ(ledger_due(k.l, k.now_us, &arena, due, 4), 1);
        EQ(due[0].kind, COMMAND_RESTOCK_STEP);
        EQ(kit_apply(&k, &other), REASON_RESTOCK_RUNNING);
        EQ(kit_apply(&k, &first), REASON_RESTOCK_RUNNING);
        struct command changed = first;
        changed.body_hash++;
        EQ(kit_apply(&k, &changed), REASON_REQUEST_ID_REUSED);
        uint64_t puts = k.m.puts;
        EQ(kit_apply(&k, &due[0]), REASON_OK);
        OK(k.m.puts - puts <= 258); /* no command does more than 256 items */
        EQ(kit_apply(&k, &due[0]), REASON_OK); /* proposed twice: the next part, or nothing */
        EQ(kit_reopen(&k), 0);
        arena_fini(&arena);
        steps++;
        OK(steps < 20);
        if (steps >= 20) {
            break;
        }
    }
    EQ(kit_apply(&k, &first), REASON_OK);
    EQ(k.v.changed_count, 2000);
    uint64_t log_index = k.v.log_index;
    EQ(kit_apply(&k, &first), REASON_OK);
    OK(k.v.changed_count == 2000 && k.v.log_index == log_index);
    EQ(kit_apply(&k, &other), REASON_RESTOCK_RUNNING); /* a walk of its own; there is nothing */
    for (int i = 0; i < 3; i++) {
        struct command step = {.kind = COMMAND_RESTOCK_STEP, .pool = span_of("city")};
        EQ(kit_apply(&k, &step), REASON_OK);
    }
    EQ(kit_apply(&k, &other), REASON_OK);
    EQ(k.v.changed_count, 0);
    EQ(count_of(&k, "city", SLOT_FREE), 1000); /* of a page */
    kit_fini(&k);
}

static void test_restocks_are_few(void)
{
    struct kit k;
    kit_init(&k);
    for (int i = 0; i <= RESTOCKS_MAX; i++) {
        char pool[16];
        snprintf(pool, sizeof pool, "p%d", i);
        EQ(kit_pool(&k, pool, pool), REASON_OK);
        EQ(kit_slots(&k, pool, 0, 1100), REASON_OK); /* more than one part looks at */
        struct command c = kit_command(&k, COMMAND_RESTOCK, pool, 9999);
        c.roles = ROLE_OPERATOR;
        EQ(kit_apply(&k, &c), i < RESTOCKS_MAX ? REASON_RESTOCK_RUNNING : REASON_RESTOCKS_FULL);
    }
    EQ(kit_reopen(&k), 0);
    size_t rounds = 0;
    while (ledger_next_expiry_us(k.l) == 0 && rounds < 100) {
        rounds += kit_expire(&k);
    }
    EQ(rounds, RESTOCKS_MAX);
    kit_fini(&k);
}

/* -- selectors --------------------------------------------------------------------------------- */

/* Thousands of people want any desk of a hundred: the choices spread over all desks. */
static void test_choices_spread(void)
{
    enum { DESKS = 100, PEOPLE = 3000 };
    static struct new_slot made[DESKS];
    static char slugs[DESKS][8];
    size_t wins[DESKS] = {0}, most = 0, least = PEOPLE;
    struct kit k;
    kit_init(&k);
    EQ(kit_pool(&k, "city", "passport"), REASON_OK);
    for (int i = 0; i < DESKS; i++) {
        snprintf(slugs[i], sizeof slugs[i], "d%02d", i);
        made[i] = (struct new_slot){KIT_START, 600 * SECOND_US, span_of(slugs[i]), span_of("D")};
    }
    struct command c = kit_command(&k, COMMAND_CREATE_SLOTS, "city", 9999);
    c.roles = ROLE_OPERATOR;
    c.new_slots = made;
    c.new_slots_count = DESKS;
    EQ(kit_apply(&k, &c), REASON_OK);
    for (unsigned person = 1; person <= PEOPLE; person++) {
        struct command ask = choose(&k, "city", person, KIT_START, 1);
        EQ(kit_apply(&k, &ask), REASON_OK);
        uint64_t id[2] = {k.v.holds[0].owner, k.v.holds[0].number};
        int desk = (k.v.holds[0].slots[0].key.slug.ptr[1] - '0') * 10 +
                   k.v.holds[0].slots[0].key.slug.ptr[2] - '0';
        wins[desk]++;
        EQ(kit_change(&k, COMMAND_DROP_HOLD, "city", person, id), REASON_OK);
        struct command again = kit_command(&k, COMMAND_RESTOCK, "city", 9999);
        again.roles = ROLE_OPERATOR;
        EQ(kit_apply(&k, &again), REASON_OK);
    }
    for (int i = 0; i < DESKS; i++) {
        most = wins[i] > most ? wins[i] : most;
        least = wins[i] < least ? wins[i] : least;
    }
    printf("# %d people, %d desks: %zu to %zu each\n", PEOPLE, DESKS, least, most);
    OK(least >= 10 && most <= 60); /* 30 on average, 5.4 standard deviations */
    kit_fini(&k);
}

/* Two services of one class count together, whatever number of slots an appointment has. */
static void test_quota_counts_appointments(void)
{
    struct kit k;
    uint64_t id[2];
    kit_init(&k);
    EQ(kit_pool(&k, "city", "passport"), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 60), REASON_OK);
    reserved(&k, 1, 0, 8, id);
    reserved(&k, 1, 20, 1, id);
    struct command c = choose(&k, "city", 1, kit_slot(30).start_us, 1);
    EQ(kit_apply(&k, &c), REASON_IDENTITY_QUOTA);
    EQS(kit_meta(&k, "max_active"), "2");
    struct command move = reschedule(&k, "city", 1, id, kit_slot(30).start_us);
    EQ(kit_apply(&k, &move), REASON_OK); /* a move needs no room */
    kit_fini(&k);
}

int main(void)
{
    KIT_RUN(test_move_after_restarts);
    KIT_RUN(test_lapse_after_the_appointment);
    KIT_RUN(test_reconfirm_takes_the_lapse_off);
    KIT_RUN(test_the_largest_account_fits);
    KIT_RUN(test_plain_records_are_of_format_1);
    KIT_RUN(test_restock_by_steps);
    KIT_RUN(test_restocks_are_few);
    KIT_RUN(test_choices_spread);
    KIT_RUN(test_quota_counts_appointments);
    return tap_done();
}
