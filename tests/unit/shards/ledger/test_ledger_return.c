/* SPDX-License-Identifier: MIT */
/* Goal: what is given back returns by the pool's way, and whoever gave it back gains nothing.
 *   the coin comes up once in return_wait, throw by throw alike, and its release offers what was
 *   returned, no more; nothing returned: nothing is left of it
 *   over 2,000 throws' seeds the canceller of the only slot wins it again as often as any other
 *   a named way: another release does not offer it; a pool that is not scarce frees it */
#include "base/prng.h"
#include "draw/draw.h"
#include "ledger/ledger_release.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define POOL   "city"
#define PEOPLE 10

static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
static struct release_policy policy;
static struct release_words words;

static int ask(struct kit *k, enum command_kind kind, unsigned person, const char *release,
               struct release_words w)
{
    struct command c = kit_command(k, kind, POOL, person);
    words = w;
    words.id = span_of(release);
    c.release = &words;
    c.roles = person == 9999 ? ROLE_OPERATOR : 0;
    return kit_apply(k, &c);
}

static void settle(struct kit *k)
{
    struct arena arena;
    struct command due[64];
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 1000 && ledger_due(k->l, k->now_us, &arena, due, 64) > 0; i++) {
        EQ(kit_apply(k, &due[0]), REASON_OK);
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

static int announce(struct kit *k, const char *release)
{
    policy = (struct release_policy){.serving = RELEASE_BY_PREFERENCE,
                                     .entry_open_us = k->now_us,
                                     .entry_close_us = k->now_us + 60 * SECOND_US,
                                     .slots_from_us = KIT_START,
                                     .slots_to_us = KIT_START + 30 * DAY_US};
    int r = ask(k, COMMAND_CREATE_RELEASE, 9999, release,
                (struct release_words){.policy = &policy, .secret = {secret, sizeof secret}});
    settle(k);
    return r;
}

static int close_release(struct kit *k, const char *release)
{
    int r = ask(k, COMMAND_CHANGE_RELEASE, 9999, release,
                (struct release_words){.action = RELEASE_ACTION_CLOSE});
    settle(k);
    return r;
}

static void throw_coin(struct kit *k, uint64_t n)
{
    struct command c = {.kind = COMMAND_COIN};
    uint8_t random[COIN_RANDOM];
    struct prng p;
    prng_init(&p, n);
    for (size_t i = 0; i < sizeof random; i++) {
        random[i] = (uint8_t)prng_below(&p, 256);
    }
    c.random = (struct span){random, sizeof random};
    EQ(kit_apply(k, &c), REASON_OK);
}

static void open_pool(struct kit *k, enum return_policy way, int64_t wait_us, bool scarce)
{
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(k);
    k->m.is_strict = false;
    p.scarce = scarce;
    p.max_live = 1;
    p.return_policy = way;
    p.return_wait_us = wait_us;
    p.return_release = way == RETURN_NAMED ? span_of("later") : (struct span){0};
    EQ(kit_pool_of(k, &p), REASON_OK);
}

/* One slot, that person 0 had and gave back after its release was closed. */
static void given_back(struct kit *k, enum return_policy way, int64_t wait_us)
{
    open_pool(k, way, wait_us, true);
    EQ(kit_slots(k, POOL, 0, 1), REASON_OK);
    EQ(announce(k, "first"), REASON_OK);
    EQ(ask(k, COMMAND_CREATE_TICKET, 0, "first", (struct release_words){.slot_count = 1}),
       REASON_OK);
    k->now_us += 60 * SECOND_US;
    settle(k);
    EQ(ask(k, COMMAND_GET_TICKET, 0, "first", (struct release_words){.slot_count = 0}), REASON_OK);
    uint64_t id[2] = {k->v.ticket->hold_owner, k->v.ticket->hold_number};
    EQ(kit_change(k, COMMAND_CONFIRM_HOLD, POOL, 0, id), REASON_OK);
    EQ(close_release(k, "first"), REASON_OK);
    EQ(kit_change(k, COMMAND_CANCEL_RESERVATION, POOL, 0, id), REASON_OK);
}

/* The state that the slot is in, as an operator sees it. */
static enum slot_state slot_is(struct kit *k)
{
    struct command c = kit_command(k, COMMAND_LIST_SLOTS, POOL, 9999);
    c.roles = ROLE_OPERATOR;
    c.to_us = INT64_MAX;
    c.page_size = 1;
    EQ(kit_apply(k, &c), REASON_OK);
    return k->v.slots[0].state;
}

static void test_the_coin_is_fair(void)
{
    struct kit k;
    unsigned heads = 0, early = 0;
    open_pool(&k, RETURN_COIN, 20 * 60 * SECOND_US, true);
    OK(ledger_wants_coin(k.l));
    size_t records = k.m.count;
    for (uint64_t n = 0; n < 20000; n++) { /* nothing is returned: heads leave nothing */
        k.now_us += 60 * SECOND_US;
        throw_coin(&k, n);
        heads += k.l->open_count > 0;
        early += k.l->open_count > 0 && n < 10000;
        settle(&k);
        EQ(k.l->open_count, 0);
    }
    EQ(k.m.count, records);
    OK(heads > 1000 - 124 && heads < 1000 + 124); /* 20,000 / 20, four standard deviations */
    OK(early > 500 - 88 && early < 500 + 88);
    EQ(kit_reopen(&k), 0);
    OK(ledger_wants_coin(k.l));
    kit_fini(&k);
}

/* Everybody takes part in the coin's release; who gets the slot? */
static unsigned winner(uint64_t seed)
{
    struct kit k;
    char id[64];
    unsigned won = PEOPLE;
    given_back(&k, RETURN_COIN, 60 * SECOND_US); /* heads at every throw */
    EQ(slot_is(&k), SLOT_RETURNED);
    throw_coin(&k, 77 * seed + 1);
    snprintf(id, sizeof id, "returned-%llu", (unsigned long long)k.log_index);
    settle(&k);
    for (unsigned i = 0; i < PEOPLE; i++) {
        EQ(ask(&k, COMMAND_CREATE_TICKET, i, id, (struct release_words){.slot_count = 1}),
           REASON_OK);
    }
    k.now_us += 610 * SECOND_US;
    settle(&k);
    for (unsigned i = 0; i < PEOPLE; i++) {
        EQ(ask(&k, COMMAND_GET_TICKET, i, id, (struct release_words){.slot_count = 0}),
           REASON_OK);
        if (k.v.ticket->state == TICKET_OFFERED) {
            EQ(won, PEOPLE);
            won = i;
        }
    }
    OK(won < PEOPLE);
    kit_fini(&k);
    return won;
}

static void test_who_freed_it_gains_nothing(void)
{
    unsigned wins[PEOPLE + 1] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        wins[winner(seed)]++;
    }
    /* 2,000 / 10, standard deviation 13.4: four of them for the canceller, as for the others. */
    for (unsigned i = 0; i < PEOPLE; i++) {
        printf("# person %u: %u of 2000%s\n", i, wins[i], i == 0 ? " (gave it back)" : "");
        OK(wins[i] > 200 - 54 && wins[i] < 200 + 54);
    }
}

static void test_named_and_next(void)
{
    struct kit k;
    given_back(&k, RETURN_NAMED, 60 * SECOND_US);
    OK(!ledger_wants_coin(k.l));
    EQ(announce(&k, "other"), REASON_RELEASE_EMPTY); /* it waits for another one */
    EQ(announce(&k, "later"), REASON_OK);
    EQ(ask(&k, COMMAND_GET_RELEASE, 1, "later", (struct release_words){.slot_count = 0}),
       REASON_OK);
    EQ(k.v.releases->slot_count, 1);
    kit_fini(&k);
    given_back(&k, RETURN_NEXT, 60 * SECOND_US);
    EQ(announce(&k, "other"), REASON_OK);
    kit_fini(&k);
}

/* Cancelled, dropped, expired: all of it waits for the coin, and it frees all of it. */
static void test_without_scarcity(void)
{
    struct kit k;
    uint64_t id[2];
    open_pool(&k, RETURN_COIN, 60 * SECOND_US, false);
    EQ(kit_slots(&k, POOL, 0, 600), REASON_OK);
    for (unsigned i = 0; i < 600; i++) {
        kit_held(&k, POOL, i, i, id);
        if (i % 3) {
            EQ(kit_change(&k, i % 3 == 1 ? COMMAND_DROP_HOLD : COMMAND_CONFIRM_HOLD, POOL, i, id),
               REASON_OK);
        }
        if (i % 3 == 2) {
            EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, POOL, i, id), REASON_OK);
        }
    }
    k.now_us += 601 * SECOND_US;
    settle(&k);
    EQ(slot_is(&k), SLOT_RETURNED);
    throw_coin(&k, 1);
    EQ(k.l->restocks_count, 1);
    EQ(kit_reopen(&k), 0);
    settle(&k);
    EQ(k.l->restocks_count, 0);
    struct command c = kit_command(&k, COMMAND_LIST_SLOTS, POOL, 1);
    c.to_us = INT64_MAX;
    c.page_size = PAGE_SIZE_MAX;
    c.free_only = true;
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.slots_count, 600);
    kit_fini(&k);
}

static void test_few_pools_have_one(void)
{
    struct kit k;
    kit_init(&k);
    for (int i = 0; i <= COINS_MAX; i++) {
        char id[16];
        snprintf(id, sizeof id, "pool-%d", i);
        struct pool_view p = kit_policy(id, "c");
        p.return_policy = RETURN_COIN;
        EQ(kit_pool_of(&k, &p), i < COINS_MAX ? REASON_OK : REASON_FIELD_INVALID);
    }
    EQ(kit_reopen(&k), 0);
    EQ(k.l->coins_count, COINS_MAX);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_the_coin_is_fair);
    TAP_RUN(test_who_freed_it_gains_nothing);
    TAP_RUN(test_named_and_next);
    TAP_RUN(test_without_scarcity);
    TAP_RUN(test_few_pools_have_one);
    return tap_done();
}
