/* SPDX-License-Identifier: MIT */
/* Goal: an identity with thousands of records is erased by steps, none of them large.
 *   nothing of it is left, its slots are returned, every other record stays
 *   opened again behind every step it comes to the same bytes
 *   meanwhile it can look and change nothing, others notice nothing; asked twice, answered alike
 *   a sealed release ends the job; jobs are few; a spoiled job is damage */
#include "draw/draw.h"
#include "ledger/ledger_release.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define ME       0x5a3c71 /* bytes that stand nowhere by chance */
#define OTHER    2
#define CLASSES  90
#define RELEASES 70
#define ASKED    2500 /* requests that are remembered */
#define STEP_MAX (256 + 32)

static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};

static void begin(struct kit *k, uint32_t rules)
{
    struct command raise = {.kind = COMMAND_RAISE, .version = rules};
    kit_init(k);
    EQ(kit_apply(k, &raise), REASON_OK);
}

static int ask(struct kit *k, enum command_kind kind, const char *pool, unsigned person,
               struct release_words words)
{
    struct command c = kit_command(k, kind, pool, person);
    words.id = span_of("r");
    c.release = &words;
    c.roles = person == 9999 ? ROLE_OPERATOR : 0;
    return kit_apply(k, &c);
}

/* One step of what is due; false when nothing is.  None is large. */
static bool step(struct kit *k)
{
    struct arena arena;
    struct command due[64];
    arena_init(&arena, 1 << 20);
    size_t n = ledger_due(k->l, k->now_us, &arena, due, 64);
    if (n > 0) {
        uint64_t changes = k->m.puts + k->m.dels;
        bool is_ours = due[0].kind == COMMAND_ERASE_STEP;
        EQ(kit_apply(k, &due[0]), REASON_OK);
        OK(!is_ours || k->m.puts + k->m.dels - changes <= STEP_MAX);
    }
    arena_fini(&arena);
    return n > 0;
}

static void settle(struct kit *k)
{
    for (int i = 0; i < 1000 && step(k); i++) {
    }
}

/* A scarce pool with an open release, in entry, that person 1 and 2 have tickets in. */
static void open_release(struct kit *k, const char *pool)
{
    struct pool_view p = kit_policy(pool, pool);
    struct release_policy policy = {.serving = RELEASE_BY_PREFERENCE,
                                    .entry_open_us = k->now_us,
                                    .entry_close_us = k->now_us + 60 * SECOND_US,
                                    .slots_from_us = KIT_START,
                                    .slots_to_us = KIT_START + 30 * DAY_US};
    p.scarce = true;
    EQ(kit_pool_of(k, &p), REASON_OK);
    EQ(kit_slots(k, pool, 0, 2), REASON_OK);
    EQ(ask(k, COMMAND_CREATE_RELEASE, pool, 9999,
           (struct release_words){.policy = &policy, .secret = {secret, sizeof secret}}),
       REASON_OK);
    settle(k);
    EQ(ask(k, COMMAND_CREATE_TICKET, pool, ME, (struct release_words){.slot_count = 1}),
       REASON_OK);
    EQ(ask(k, COMMAND_CREATE_TICKET, pool, OTHER, (struct release_words){.slot_count = 1}),
       REASON_OK);
}

/* Two live things and one that ended in each class, tickets, remembered refusals. */
static void furnish(struct kit *k)
{
    char pool[16];
    uint64_t id[2];
    begin(k, LEDGER_VERSION);
    for (unsigned i = 0; i < CLASSES; i++) {
        snprintf(pool, sizeof pool, "c%03u", i);
        EQ(kit_pool(k, pool, pool), REASON_OK);
        EQ(kit_slots(k, pool, 0, 6), REASON_OK);
        kit_held(k, pool, ME, 0, id);
        EQ(kit_change(k, COMMAND_CONFIRM_HOLD, pool, ME, id), REASON_OK);
        kit_held(k, pool, ME, 1, id);
        EQ(kit_change(k, COMMAND_DROP_HOLD, pool, ME, id), REASON_OK);
        kit_held(k, pool, ME, 2, id);
        kit_held(k, pool, OTHER, 3, id);
    }
    for (unsigned i = 0; i < RELEASES; i++) {
        snprintf(pool, sizeof pool, "r%03u", i);
        open_release(k, pool);
    }
    for (unsigned i = 0; i < ASKED; i++) {
        uint64_t none[2] = {1, i};
        OK(kit_change(k, COMMAND_DROP_HOLD, "c000", ME, none) > 0);
    }
}

/* -- the whole --------------------------------------------------------------------------------- */

static void judge(struct kit *k)
{
    char pool[16];
    EQ(kit_records_of(k, ME), 0);
    for (unsigned i = 0; i < CLASSES; i++) {
        snprintf(pool, sizeof pool, "c%03u", i);
        EQ(kit_look(k, pool, 0).state, SLOT_RETURNED);
        EQ(kit_look(k, pool, 2).state, SLOT_RETURNED);
        EQ(kit_look(k, pool, 3).state, SLOT_HELD);
    }
    for (unsigned i = 0; i < RELEASES; i++) {
        snprintf(pool, sizeof pool, "r%03u", i);
        EQ(ask(k, COMMAND_GET_TICKET, pool, ME, (struct release_words){.slot_count = 0}),
           REASON_OK);
        EQ(k->v.ticket->state, TICKET_WITHDRAWN);
        EQ(ask(k, COMMAND_GET_TICKET, pool, OTHER, (struct release_words){.slot_count = 0}),
           REASON_OK);
        EQ(k->v.ticket->state, TICKET_ENTERED);
    }
}

static void test_by_steps(void)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        struct kit k;
        char hex[33];
        furnish(&k);
        OK(kit_records_of(&k, ME) > ASKED);
        k.restarts = i == 1; /* as after a kill behind each command, or by another leader */
        struct command erase = kit_erasure(&k, ME, hex);
        uint64_t changes = k.m.puts + k.m.dels;
        EQ(kit_apply(&k, &erase), REASON_ERASE_RUNNING);
        OK(k.m.puts + k.m.dels - changes <= STEP_MAX);
        EQ(ledger_next_expiry_us(k.l), 0); /* it wants to go on */
        size_t steps = 0;
        while (k.l->erasures_count > 0 && steps < 1000 && step(&k)) {
            steps++;
        }
        OK(steps >= (CLASSES * 8 + RELEASES * 6 + ASKED) / 256);
        EQ(kit_apply(&k, &erase), REASON_OK); /* remembered */
        EQ(k.v.result, RESULT_OPERATION);
        EQ(k.v.log_index + 1, k.log_index);
        hashes[i] = membook_hash(&k.m);
        judge(&k);
        EQ(kit_expire(&k), 0); /* nothing of it waits to expire */
        kit_fini(&k);
    }
    EQ(hashes[0], hashes[1]);
}

/* -- meanwhile --------------------------------------------------------------------------------- */

static void test_meanwhile(void)
{
    struct kit k;
    char hex[33], other_hex[33];
    uint64_t id[2];
    furnish(&k);
    struct command erase = kit_erasure(&k, ME, hex);
    struct command again = kit_erasure(&k, ME, hex);
    struct command reused = kit_erasure(&k, 77, other_hex);
    reused.request_id = erase.request_id;
    EQ(kit_apply(&k, &erase), REASON_ERASE_RUNNING);
    while (k.l->erasures_count > 0) {
        EQ(kit_hold(&k, "c001", ME, 5), REASON_ERASE_RUNNING);
        EQ(ask(&k, COMMAND_CREATE_TICKET, "r001", ME, (struct release_words){.slot_count = 1}),
           REASON_ERASE_RUNNING);
        struct command list = kit_command(&k, COMMAND_LIST_RESERVATIONS, "-", ME);
        list.page_size = 10;
        EQ(kit_apply(&k, &list), REASON_OK);
        kit_held(&k, "c001", OTHER, 5, id);
        EQ(kit_change(&k, COMMAND_DROP_HOLD, "c001", OTHER, id), REASON_OK);
        struct command free_it = kit_command(&k, COMMAND_RESTOCK, "c001", 9999);
        free_it.roles = ROLE_OPERATOR;
        EQ(kit_apply(&k, &free_it), REASON_OK);
        EQ(kit_apply(&k, &erase), REASON_ERASE_RUNNING);
        EQ(kit_apply(&k, &again), REASON_ERASE_RUNNING);
        EQ(kit_apply(&k, &reused), REASON_REQUEST_ID_REUSED);
        OK(step(&k));
    }
    struct command late = {.kind = COMMAND_ERASE_STEP, .identity = kit_person(ME)};
    EQ(kit_apply(&k, &late), REASON_OK); /* proposed twice: nothing happens */
    EQ(kit_apply(&k, &erase), REASON_OK);
    uint64_t index = k.v.log_index;
    EQ(kit_apply(&k, &erase), REASON_OK);
    EQ(k.v.log_index, index);
    EQ(kit_apply(&k, &again), REASON_OK); /* one of its own: there is nothing */
    OK(k.v.log_index > index);
    EQ(kit_records_of(&k, ME), 0);
    kit_held(&k, "c001", ME, 5, id); /* it may come back */
    kit_fini(&k);
}

/* -- what ends it, what it refuses ------------------------------------------------------------- */

/* Sealed in the middle of it: the job goes, nothing is remembered, the same request begins again
 * and is done when the release is served. */
static void test_a_sealed_release(void)
{
    struct kit k;
    char hex[33];
    furnish(&k);
    struct command erase = kit_erasure(&k, ME, hex);
    EQ(kit_apply(&k, &erase), REASON_ERASE_RUNNING);
    EQ(k.l->erasures_count, 1);
    k.now_us += 60 * SECOND_US;
    struct command due[64];
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (int pass = 0; pass < 4; pass++) { /* entry ends everywhere, sealing begins */
        arena_reset(&arena);
        size_t n = ledger_due(k.l, k.now_us, &arena, due, 64);
        for (size_t i = 0; i < n; i++) {
            if (due[i].kind == COMMAND_STEP_RELEASE) {
                EQ(kit_apply(&k, &due[i]), REASON_OK);
            }
        }
    }
    struct command go_on = {.kind = COMMAND_ERASE_STEP, .identity = kit_person(ME)};
    for (int i = 0; i < 100 && k.l->erasures_count > 0; i++) {
        EQ(kit_apply(&k, &go_on), REASON_OK);
    }
    EQ(k.l->erasures_count, 0);
    OK(kit_records_of(&k, ME) > ASKED); /* accounts come after the tickets */
    int r = kit_apply(&k, &erase);
    EQ(r, REASON_ERASE_RUNNING);
    EQ(kit_reopen(&k), 0);
    for (int i = 0; r == REASON_ERASE_RUNNING && i < 100; i++) {
        settle(&k);
        r = kit_apply(&k, &erase);
    }
    EQ(r, REASON_OK);
    EQ(kit_records_of(&k, ME), 0);
    arena_fini(&arena);
    kit_fini(&k);
}

static void test_few_at_once(void)
{
    struct kit k;
    char hex[33];
    begin(&k, LEDGER_VERSION);
    EQ(kit_pool(&k, "city", "city"), REASON_OK);
    for (unsigned person = 1; person <= ERASURES_MAX + 1; person++) {
        for (uint64_t i = 0; i < 500; i++) { /* more records than one command takes */
            uint64_t none[2] = {1, i};
            kit_change(&k, COMMAND_DROP_HOLD, "city", person, none);
        }
        struct command erase = kit_erasure(&k, person, hex);
        EQ(kit_apply(&k, &erase),
           person <= ERASURES_MAX ? REASON_ERASE_RUNNING : REASON_ERASURES_FULL);
    }
    EQ(kit_reopen(&k), 0);
    EQ(k.l->erasures_count, ERASURES_MAX);
    settle(&k);
    for (unsigned person = 1; person <= ERASURES_MAX; person++) {
        EQ(kit_records_of(&k, person), 0);
    }
    struct command erase = kit_erasure(&k, ERASURES_MAX + 1, hex);
    EQ(kit_apply(&k, &erase), REASON_ERASE_RUNNING);
    kit_fini(&k);
}

/* Every byte of a job's record cut or changed: damage, or another job; never a crash. */
static void test_a_spoiled_job(void)
{
    struct kit k;
    char hex[33];
    uint8_t bytes[BOOK_VALUE_MAX];
    struct span value;
    furnish(&k);
    struct command erase = kit_erasure(&k, ME, hex);
    struct command go_on = {.kind = COMMAND_ERASE_STEP, .identity = kit_person(ME)};
    EQ(kit_apply(&k, &erase), REASON_ERASE_RUNNING);
    struct ledger_key key = ledger_key_make((struct routing_key){0, 0}, 'Z',
                                            (struct span){go_on.identity.bytes, 16});
    EQ(k.m.book.get(&k.m, ledger_key_span(&key), &value), 0);
    size_t len = value.len;
    memcpy(bytes, value.ptr, len);
    for (size_t cut = 0; cut < len; cut++) {
        EQ(k.m.book.put(&k.m, ledger_key_span(&key), (struct span){bytes, cut}), 0);
        bool is_whole = cut == 43; /* up to a cursor that has not begun */
        OK((kit_reopen(&k) == 0) == is_whole);
    }
    for (size_t i = 41; i < len; i++) {
        bytes[i] ^= 0xff;
        EQ(k.m.book.put(&k.m, ledger_key_span(&key), (struct span){bytes, len}), 0);
        if (kit_reopen(&k) == 0) {
            kit_apply(&k, &go_on); /* says so, or goes on from somewhere */
        }
        bytes[i] ^= 0xff;
    }
    kit_fini(&k);
}

/* An entry that older rules wrote does what it did then: tickets cost nothing, 256 records went at
 * once. */
static void test_by_older_rules(void)
{
    struct kit k;
    char hex[33], pool[16];
    begin(&k, 4);
    EQ(kit_pool(&k, "c000", "c000"), REASON_OK);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(pool, sizeof pool, "r%03u", i);
        open_release(&k, pool);
    }
    for (unsigned i = 0; i < 230; i++) {
        uint64_t none[2] = {1, i};
        OK(kit_change(&k, COMMAND_DROP_HOLD, "c000", ME, none) > 0);
    }
    struct command erase = kit_erasure(&k, ME, hex);
    EQ(kit_apply(&k, &erase), REASON_OK);
    EQ(kit_records_of(&k, ME), 0);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_by_steps);
    TAP_RUN(test_meanwhile);
    TAP_RUN(test_a_sealed_release);
    TAP_RUN(test_few_at_once);
    TAP_RUN(test_a_spoiled_job);
    TAP_RUN(test_by_older_rules);
    return tap_done();
}
