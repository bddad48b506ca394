/* SPDX-License-Identifier: MIT */
/* Goal: a release serves its order and nothing else, whatever people do meanwhile.
 *   one draw whole: more than one chunk of leaves, every proof, the pure rooms' own result
 *   random crowds by preference and by turn, with an audit of the whole book and a reopened ledger
 *   beside the running one: no slot with two holders, no identity over its entitlement, turns never
 *   more than free slots
 *   killed behind every command: the same bytes as the undisturbed run
 *   confirm against expire at one instant, 100,000 times: exactly one wins */
#include "base/prng.h"
#include "draw/stock.h"
#include "ledger/ledger_release.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define POOL "city"
#define PEOPLE 700
#define SLOTS 120

static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
static struct release_policy policy;
static struct release_words words;
static struct ticket_wish wishes[TICKET_WISHES_MAX];

static bool is_torn; /* kits of this file restart after every command */

static void open_pool(struct kit *k, uint32_t slots)
{
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(k);
    k->restarts = is_torn;
    p.scarce = true;
    p.max_live = 1;
    EQ(kit_pool_of(k, &p), REASON_OK);
    EQ(kit_slots(k, POOL, 0, slots), REASON_OK);
}

/* Whatever the shard would say by itself, until nothing is due. */
static void settle(struct kit *k)
{
    struct arena arena;
    struct command due[64];
    size_t n = 1;
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 2000 && n > 0; i++) {
        arena_reset(&arena);
        n = ledger_due(k->l, k->now_us, &arena, due, 64);
        for (size_t j = 0; j < n; j++) {
            EQ(kit_apply(k, &due[j]), REASON_OK);
        }
    }
    EQ(n, 0); /* else a shard would write forever, with nothing to do */
    arena_fini(&arena);
}

static int64_t cohort_us; /* of releases that are announced; 0: nobody may come later */

static void announce(struct kit *k, enum release_serving serving)
{
    policy = (struct release_policy){.serving = serving,
                                     .entry_open_us = k->now_us,
                                     .entry_close_us = k->now_us + 60 * SECOND_US,
                                     .entry_grace_us = 10 * SECOND_US,
                                     .turn_us = 90 * SECOND_US,
                                     .cohort_us = cohort_us,
                                     .slots_from_us = KIT_START,
                                     .slots_to_us = KIT_START + 30 * DAY_US};
    words = (struct release_words){.id = span_of("r"),
                                   .policy = &policy,
                                   .secret = {secret, sizeof secret}};
    struct command c = kit_command(k, COMMAND_CREATE_RELEASE, POOL, 9999);
    c.roles = ROLE_OPERATOR;
    c.release = &words;
    EQ(kit_apply(k, &c), REASON_OK);
    settle(k);
}

static int ticket(struct kit *k, enum command_kind kind, unsigned person, size_t wishes_count)
{
    struct command c = kit_command(k, kind, POOL, person);
    words = (struct release_words){.id = span_of("r"), .wishes = wishes,
                                   .wishes_count = wishes_count};
    words.slot_count = kind == COMMAND_CREATE_TICKET;
    c.release = &words;
    return kit_apply(k, &c);
}

static void wish_slots(struct prng *p, size_t count, uint32_t slots)
{
    for (size_t i = 0; i < count; i++) {
        wishes[i] = (struct ticket_wish){.kind = prng_below(p, 5) ? WISH_SLOT : WISH_ANY};
        wishes[i].slot = kit_slot((unsigned)prng_below(p, slots));
    }
}

/* -- one draw whole ---------------------------------------------------------------------------- */

static void test_a_draw_and_its_proofs(void)
{
    struct kit k;
    struct prng p;
    prng_init(&p, 5);
    open_pool(&k, SLOTS);
    announce(&k, RELEASE_BY_PREFERENCE);
    for (unsigned i = 0; i < PEOPLE; i++) {
        size_t n = prng_below(&p, 4);
        wish_slots(&p, n, SLOTS);
        EQ(ticket(&k, COMMAND_CREATE_TICKET, i, n), REASON_OK);
    }
    EQ(ticket(&k, COMMAND_GET_PROOF, 0, 0), REASON_RELEASE_STATE);
    k.now_us += 71 * SECOND_US;
    settle(&k);
    uint64_t best_lost = UINT64_MAX, worst_won = 0, last_won = 0;
    unsigned won = 0;
    for (unsigned i = 0; i < PEOPLE; i++) {
        EQ(ticket(&k, COMMAND_GET_PROOF, i, 0), REASON_OK);
        const struct ticket_proof_view *proof = k.v.proof;
        struct draw_hash leaf, root;
        memcpy(leaf.bytes, proof->leaf, 32);
        memcpy(root.bytes, proof->root, 32);
        EQ(proof->count, PEOPLE);
        OK(draw_path_check(&leaf, proof->index, proof->count, (void *)proof->path,
                           (unsigned)proof->path_count, &root));
        leaf.bytes[3] ^= 1;
        OK(!draw_path_check(&leaf, proof->index, proof->count, (void *)proof->path,
                            (unsigned)proof->path_count, &root));
        bool is_won = k.v.ticket->state == TICKET_OFFERED;
        bool is_any = k.v.ticket->wishes[k.v.ticket->wishes_count - 1].kind == WISH_ANY;
        won += is_won;
        last_won = is_won && proof->rank > last_won ? proof->rank : last_won;
        if (is_any && is_won && proof->rank > worst_won) {
            worst_won = proof->rank;
        }
        if (is_any && !is_won && proof->rank < best_lost) {
            best_lost = proof->rank;
        }
    }
    EQ(won, SLOTS);
    OK(worst_won < best_lost); /* of those who take whatever is left */
    EQ(ticket(&k, COMMAND_GET_PROOF, 0, 0), REASON_OK);
    EQ(k.v.proof->cut_off, last_won); /* behind it nobody got anything */
    kit_fini(&k);
}

/* -- refusals ---------------------------------------------------------------------------------- */

/* A person may bring a trustee's part.  What is refused of that is not kept: else anybody could
 * fill the book, one request id after the other. */
static void test_wrong_parts_leave_nothing(void)
{
    struct kit k;
    open_pool(&k, SLOTS);
    announce(&k, RELEASE_BY_PREFERENCE);
    size_t records = k.m.count;
    for (unsigned i = 0; i < 50; i++) {
        struct command c = kit_command(&k, COMMAND_ADD_PART, POOL, 7);
        words = (struct release_words){.id = span_of(i % 2 ? "r" : "none"),
                                       .bytes = span_of("no signature")};
        c.release = &words;
        EQ(kit_apply(&k, &c), i % 2 ? REASON_RELEASE_STATE : REASON_RELEASE_UNKNOWN);
    }
    EQ(k.m.count, records);
    kit_fini(&k);
}

static int announce_between(struct kit *k, int64_t from_us, int64_t to_us)
{
    struct command c = kit_command(k, COMMAND_CREATE_RELEASE, POOL, 9999);
    policy = (struct release_policy){.serving = RELEASE_BY_PREFERENCE,
                                     .entry_open_us = k->now_us,
                                     .entry_close_us = k->now_us + 60 * SECOND_US,
                                     .slots_from_us = from_us,
                                     .slots_to_us = to_us};
    words = (struct release_words){.id = span_of("r"),
                                   .policy = &policy,
                                   .secret = {secret, sizeof secret}};
    c.roles = ROLE_OPERATOR;
    c.release = &words;
    return kit_apply(k, &c);
}

static void test_nothing_to_release(void)
{
    struct kit k;
    open_pool(&k, 4);
    EQ(announce_between(&k, KIT_START + DAY_US, KIT_START + 2 * DAY_US), REASON_RELEASE_EMPTY);
    EQ(announce_between(&k, KIT_START - DAY_US, KIT_START), REASON_RELEASE_EMPTY);
    EQ(k.l->open_count, 0);
    EQ(announce_between(&k, KIT_START, KIT_START + DAY_US), REASON_OK);
    EQ(k.l->open_count, 1);
    kit_fini(&k);
}

/* -- audit ------------------------------------------------------------------------------------- */

/* Live items of all accounts against the slots: each names the other. */
static void audit(struct kit *k, uint32_t slots)
{
    struct command c = kit_command(k, COMMAND_LIST_SLOTS, POOL, 9999);
    uint32_t owned = 0, in_items = 0;
    c.roles = ROLE_OPERATOR; /* others see free or taken, and no more */
    c.to_us = INT64_MAX;
    c.page_size = PAGE_SIZE_MAX;
    EQ(kit_apply(k, &c), REASON_OK);
    EQ(k->v.slots_count, slots);
    for (size_t i = 0; i < k->v.slots_count; i++) {
        owned += k->v.slots[i].state == SLOT_HELD || k->v.slots[i].state == SLOT_TAKEN;
    }
    for (unsigned person = 0; person < PEOPLE; person++) {
        struct identity id = kit_person(person);
        struct routing_key at = ledger_identity_key(span_of(POOL), &id);
        struct ledger_key key = ledger_key_account(at, &id);
        struct ledger_account account;
        struct span value;
        if (k->m.book.get(&k->m, ledger_key_span(&key), &value) != 0) {
            continue;
        }
        EQ(ledger_read_account(value, &account), 0);
        size_t live = 0;
        for (size_t i = 0; i < account.items_count; i++) {
            bool is_held = account.items[i].state == ITEM_LIVE;
            bool is_taken = account.items[i].state == ITEM_CONFIRMED;
            live += is_held || is_taken;
            in_items += is_held || is_taken ? account.items[i].parts_count : 0;
        }
        OK(live <= 1);
    }
    EQ(owned, in_items);
}

/* What is derived at a start is what was kept while running. */
static void audit_open(struct kit *k)
{
    struct ledger *other;
    EQ(ledger_new(&k->m.book, &other), 0);
    EQ(other->open_count, k->l->open_count);
    for (size_t i = 0; i < k->l->open_count; i++) {
        struct ledger_open *a = &k->l->open[i], *b = ledger_open_find(other, a->space);
        struct ledger_release r;
        OK(b != NULL && ledger_release_load(k->l, a->space, &r) == 0);
        EQ(a->version, b->version);
        EQ(a->due_us, b->due_us);
        EQ(draw_stock_free_count(a->stock), draw_stock_free_count(b->stock));
        for (uint32_t s = 0; s < draw_stock_count(a->stock); s++) {
            OK(draw_stock_is_free(a->stock, s) == draw_stock_is_free(b->stock, s));
        }
        OK(r.turns_live <= draw_stock_free_count(a->stock));
    }
    ledger_free(other);
}

/* -- random crowds ----------------------------------------------------------------------------- */

/* The ticket of a person says what it has, if anything. */
static void act(struct kit *k, struct prng *p, unsigned person)
{
    struct command c;
    struct slot_key slot;
    if (ticket(k, COMMAND_GET_TICKET, person, 0) != REASON_OK) {
        return;
    }
    const struct ticket_view *t = k->v.ticket;
    uint64_t owner = t->hold_owner, number = t->hold_number;
    enum ticket_state state = t->state;
    bool is_reservation = t->reservation != 0;
    if (state == TICKET_TURN && prng_below(p, 3)) {
        slot = kit_slot((unsigned)prng_below(p, SLOTS));
        c = kit_command(k, COMMAND_CREATE_HOLD, POOL, person);
        words = (struct release_words){.id = span_of("r")};
        c.release = &words;
        c.slots = &slot;
        c.slots_count = 1;
    } else if (number != 0) {
        uint64_t what = prng_below(p, 10);
        enum command_kind kind = is_reservation ? COMMAND_CANCEL_RESERVATION
                                 : what < 6     ? COMMAND_CONFIRM_HOLD
                                                : COMMAND_DROP_HOLD;
        if (is_reservation && what < 8) {
            return;
        }
        c = kit_command(k, kind, POOL, person);
        c.owner = owner;
        c.number = number;
    } else {
        return;
    }
    OK(kit_apply(k, &c) >= 0);
}

static int change(struct kit *k, enum release_action action)
{
    struct command c = kit_command(k, COMMAND_CHANGE_RELEASE, POOL, 9999);
    words = (struct release_words){.id = span_of("r"), .action = action};
    c.roles = ROLE_OPERATOR;
    c.release = &words;
    return kit_apply(k, &c);
}

/* Somebody comes late or leaves, or the operator pauses and goes on. */
static void disturb(struct kit *k, struct prng *p)
{
    unsigned person = (unsigned)prng_below(p, PEOPLE);
    uint64_t what = prng_below(p, 40);
    if (what < 8) {
        wish_slots(p, 2, SLOTS);
        OK(ticket(k, COMMAND_CREATE_TICKET, person, policy.serving == RELEASE_BY_TURN ? 0 : 2) >=
           0);
    } else if (what < 10) {
        OK(ticket(k, COMMAND_DELETE_TICKET, person, 0) >= 0);
    } else if (what < 12) {
        EQ(change(k, what == 10 ? RELEASE_ACTION_PAUSE : RELEASE_ACTION_RESUME), REASON_OK);
    }
}

static void crowd(enum release_serving serving, uint64_t seed)
{
    struct kit k;
    struct prng p;
    prng_init(&p, seed);
    open_pool(&k, SLOTS);
    announce(&k, serving);
    for (int i = 0; i < 1500; i++) {
        wish_slots(&p, 2, SLOTS);
        int r = ticket(&k, prng_below(&p, 8) ? COMMAND_CREATE_TICKET : COMMAND_DELETE_TICKET,
                       (unsigned)prng_below(&p, PEOPLE), 2);
        OK(r == REASON_OK || r == REASON_TICKET_UNKNOWN || r == REASON_TICKET_ENDED);
    }
    k.now_us += 70 * SECOND_US;
    for (int i = 0; i < 4000; i++) {
        if (prng_below(&p, 10) == 0) {
            k.now_us += (int64_t)prng_below(&p, 60) * SECOND_US;
        }
        if (prng_below(&p, 3) == 0) {
            settle(&k);
        }
        if (i % 997 == 996) {
            EQ(kit_reopen(&k), 0);
        }
        act(&k, &p, (unsigned)prng_below(&p, PEOPLE));
        if (cohort_us) {
            disturb(&k, &p);
        }
        if (i % 1000 == 0) {
            settle(&k);
            audit(&k, SLOTS);
            audit_open(&k);
        }
    }
    EQ(change(&k, RELEASE_ACTION_CLOSE), REASON_OK);
    settle(&k);
    audit(&k, SLOTS);
    EQ(k.l->open_count, 0);
    kit_fini(&k);
}

static void test_crowds_by_preference(void)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        crowd(RELEASE_BY_PREFERENCE, seed);
    }
}

static void test_crowds_by_turn(void)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        crowd(RELEASE_BY_TURN, 100 + seed);
    }
}

/* Late cohorts, people who leave, pauses: the same audits. */
static void test_crowds_disturbed(void)
{
    cohort_us = 5 * SECOND_US;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        crowd(seed % 2 ? RELEASE_BY_TURN : RELEASE_BY_PREFERENCE, 200 + seed);
    }
    cohort_us = 0;
}

/* -- restarts ---------------------------------------------------------------------------------- */

/* A release from announcing to the end, by a seed; in every state somebody does something. */
static void whole_life(struct kit *k, enum release_serving serving, uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed);
    open_pool(k, SLOTS);
    k->m.is_strict = false; /* the crowds' tests look at that */
    announce(k, serving);
    for (int i = 0; i < 600; i++) {
        wish_slots(&p, 2, SLOTS);
        OK(ticket(k, prng_below(&p, 8) ? COMMAND_CREATE_TICKET : COMMAND_DELETE_TICKET,
                  (unsigned)prng_below(&p, 400), 2) >= 0);
    }
    k->now_us += 70 * SECOND_US;
    for (int i = 0; i < 800; i++) {
        if (prng_below(&p, 10) == 0) {
            k->now_us += (int64_t)prng_below(&p, 60) * SECOND_US;
        }
        if (prng_below(&p, 3) == 0) {
            settle(k);
        }
        act(k, &p, (unsigned)prng_below(&p, 400));
    }
    EQ(change(k, RELEASE_ACTION_CLOSE), REASON_OK);
    settle(k);
    EQ(k->l->open_count, 0);
}

/* Killed behind every single command, so in every state and between any two steps of one: the book
 * is the undisturbed run's, byte for byte.  Tickets, ranks, winners, holds, verdicts. */
static void restarts(enum release_serving serving)
{
    struct kit calm, torn;
    whole_life(&calm, serving, 11);
    is_torn = true;
    whole_life(&torn, serving, 11);
    is_torn = false;
    OK(torn.restarts_count > 1000 && calm.restarts_count == 0);
    EQ(calm.log_index, torn.log_index);
    EQ(calm.m.count, torn.m.count);
    OK(membook_hash(&calm.m) == membook_hash(&torn.m));
    kit_fini(&calm);
    kit_fini(&torn);
}

static void test_restarts_by_preference(void)
{
    restarts(RELEASE_BY_PREFERENCE);
}

static void test_restarts_by_turn(void)
{
    restarts(RELEASE_BY_TURN);
}

/* -- confirm against expire -------------------------------------------------------------------- */

static void test_confirm_against_expire(void)
{
    struct kit k;
    struct prng p;
    unsigned confirmed = 0, expired = 0;
    struct pool_view policy_open = kit_policy(POOL, POOL);
    prng_init(&p, 9);
    kit_init(&k);
    k.m.is_strict = false; /* a copy of the book for each lookup is not what this is about */
    policy_open.max_live = 16;
    EQ(kit_pool_of(&k, &policy_open), REASON_OK);
    EQ(kit_slots(&k, POOL, 0, 2000), REASON_OK);
    for (unsigned i = 0; i < 100000; i++) {
        struct slot_key slot = kit_slot(i % 2000);
        struct command c = kit_command(&k, COMMAND_CREATE_HOLD, POOL, i);
        c.slots = &slot;
        c.slots_count = 1;
        if (i >= 2000 && i % 2000 == 0) { /* the slots again */
            struct command restock = kit_command(&k, COMMAND_RESTOCK, POOL, 9999);
            restock.roles = ROLE_OPERATOR;
            OK(kit_apply(&k, &restock) >= 0);
            settle(&k);
        }
        if (kit_apply(&k, &c) != REASON_OK) {
            printf("# hold %u: %s\n", i, reason_name(k.v.reason));
            OK(false);
            break;
        }
        uint64_t owner = k.v.holds->owner, number = k.v.holds->number;
        int64_t expire_us = k.v.holds->expire_us;
        struct command confirm = kit_command(&k, COMMAND_CONFIRM_HOLD, POOL, i);
        struct command expire = kit_command(&k, COMMAND_EXPIRE_HOLD, POOL, 0);
        confirm.owner = expire.owner = owner;
        confirm.number = expire.number = number;
        expire.version = 1;
        expire.identity = (struct identity){{0}};
        int64_t was_us = k.now_us;
        bool is_first = prng_below(&p, 2), is_late = prng_below(&p, 2);
        k.now_us = is_late ? expire_us : expire_us - 1;
        if (!is_first) {
            OK(kit_apply(&k, &expire) == REASON_OK);
        }
        bool won = kit_apply(&k, &confirm) == REASON_OK;
        if (is_first) {
            OK(kit_apply(&k, &expire) == REASON_OK);
        }
        EQ(won, !is_late);
        struct command get = kit_command(&k, COMMAND_GET_HOLD, POOL, i);
        get.owner = owner;
        get.number = number;
        EQ(kit_apply(&k, &get), REASON_OK);
        EQ(k.v.holds->state, won ? HOLD_CONFIRMED : HOLD_EXPIRED);
        confirmed += won;
        expired += !won;
        if (won) {
            struct command cancel = kit_command(&k, COMMAND_CANCEL_RESERVATION, POOL, i);
            cancel.owner = owner;
            cancel.number = number;
            OK(kit_apply(&k, &cancel) == REASON_OK);
        } else if (is_first) {
            settle(&k);
        }
        k.now_us = was_us;
    }
    OK(confirmed > 40000 && expired > 40000);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_a_draw_and_its_proofs);
    TAP_RUN(test_wrong_parts_leave_nothing);
    TAP_RUN(test_nothing_to_release);
    TAP_RUN(test_crowds_by_preference);
    TAP_RUN(test_crowds_by_turn);
    TAP_RUN(test_crowds_disturbed);
    TAP_RUN(test_restarts_by_preference);
    TAP_RUN(test_restarts_by_turn);
    TAP_RUN(test_confirm_against_expire);
    return tap_done();
}
