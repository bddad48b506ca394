/* SPDX-License-Identifier: MIT */
/* Goal: what a release leaves behind ends by its rule, and nothing else does.
 *   after the appeal period no record says whose a ticket was, the root still comes out of the
 *   rows, and what each came to stays; 30 days after the last appointment nothing is left
 *   a ledger that is opened again between any two steps comes to the same bytes
 *   no step touches more than 256 items */
#include "draw/draw.h"
#include "ledger/ledger_release.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define POOL   "city"
#define PEOPLE 700
#define SLOTS  40

static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
static struct release_policy policy;
static struct release_words words;

static int ask(struct kit *k, enum command_kind kind, unsigned person, struct release_words w)
{
    struct command c = kit_command(k, kind, POOL, person);
    words = w;
    words.id = span_of("r");
    c.release = &words;
    c.roles = person == 9999 ? ROLE_OPERATOR : 0;
    c.page_size = kind == COMMAND_LIST_TICKETS ? 500 : 0;
    return kit_apply(k, &c);
}

/* Whatever is due, one by one; each within its 256 items and what goes with them. */
static void settle(struct kit *k, bool reopens)
{
    struct arena arena;
    struct command due[64];
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        arena_reset(&arena);
        size_t n = ledger_due(k->l, k->now_us, &arena, due, 64);
        if (n == 0) {
            break;
        }
        uint64_t puts = k->m.puts, dels = k->m.dels;
        EQ(kit_apply(k, &due[0]), REASON_OK);
        OK(k->m.puts - puts <= 2 * RELEASE_STEP + 8 && k->m.dels - dels <= RELEASE_STEP + 8);
        if (reopens) {
            EQ(kit_reopen(k), 0);
        }
    }
    arena_fini(&arena);
}

/* A release that was held, confirmed in part and closed. */
static void release_day(struct kit *k, int64_t appeal_us)
{
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(k);
    p.scarce = true;
    p.max_live = 1;
    p.appeal_us = appeal_us;
    EQ(kit_pool_of(k, &p), REASON_OK);
    EQ(kit_slots(k, POOL, 0, SLOTS), REASON_OK);
    policy = (struct release_policy){.serving = RELEASE_BY_PREFERENCE,
                                     .entry_open_us = k->now_us,
                                     .entry_close_us = k->now_us + 60 * SECOND_US,
                                     .slots_from_us = KIT_START,
                                     .slots_to_us = KIT_START + 30 * DAY_US};
    EQ(ask(k, COMMAND_CREATE_RELEASE, 9999,
           (struct release_words){.policy = &policy, .secret = {secret, sizeof secret}}),
       REASON_OK);
    settle(k, false);
    for (unsigned i = 0; i < PEOPLE; i++) {
        EQ(ask(k, COMMAND_CREATE_TICKET, i, (struct release_words){.slot_count = 1}), REASON_OK);
    }
    EQ(ask(k, COMMAND_DELETE_TICKET, 5, (struct release_words){.slot_count = 0}), REASON_OK);
    k->now_us += 60 * SECOND_US;
    settle(k, false);
    for (unsigned i = 0; i < PEOPLE; i += 2) {
        if (ask(k, COMMAND_GET_TICKET, i, (struct release_words){.slot_count = 0}) == REASON_OK &&
            k->v.ticket->state == TICKET_OFFERED) {
            uint64_t id[2] = {k->v.ticket->hold_owner, k->v.ticket->hold_number};
            EQ(kit_change(k, COMMAND_CONFIRM_HOLD, POOL, i, id), REASON_OK);
        }
    }
    EQ(ask(k, COMMAND_CHANGE_RELEASE, 9999,
           (struct release_words){.action = RELEASE_ACTION_CLOSE}),
       REASON_OK);
    settle(k, false);
    EQ(k->l->open_count, 0);
}

/* The root out of the rows; how many were used into *ret_used. */
static void root_of_rows(struct kit *k, struct draw_hash *ret_root, unsigned *ret_used)
{
    struct draw_tree tree;
    struct command c = kit_command(k, COMMAND_LIST_TICKETS, POOL, 9999);
    uint8_t token[128];
    draw_tree_init(&tree);
    *ret_used = 0;
    do {
        words = (struct release_words){.id = span_of("r")};
        c.release = &words;
        c.roles = ROLE_OPERATOR;
        c.page_size = 500;
        EQ(kit_apply(k, &c), REASON_OK);
        for (size_t i = 0; i < k->v.rows_count; i++) {
            const struct ticket_row *row = &k->v.rows[i];
            struct draw_hash preferences, leaf;
            struct ticket_id id;
            memcpy(id.bytes, row->id, sizeof id.bytes);
            draw_preferences_hash(row->preferences, row->nonce, &preferences);
            draw_leaf(&id, row->version,
                      row->is_withdrawn ? DRAW_LEAF_WITHDRAWN : DRAW_LEAF_ENTERED, &preferences,
                      &leaf);
            draw_tree_add(&tree, &leaf);
            *ret_used += row->wish > 0;
        }
        if (k->v.next_page_token.len > 0) {
            memcpy(token, k->v.next_page_token.ptr, k->v.next_page_token.len);
        }
        c.page_token = (struct span){token, k->v.next_page_token.len};
    } while (c.page_token.len > 0);
    EQ(tree.count, PEOPLE);
    draw_tree_root(&tree, ret_root);
}

/* Records of the release in which somebody's identity stands. */
static size_t named_records(struct kit *k, size_t *ret_all)
{
    uint64_t space = ledger_release_space(span_of(POOL), span_of("r"));
    size_t named = 0;
    *ret_all = 0;
    for (size_t i = 0; i < k->m.count; i++) {
        struct ledger_key_parts parts;
        struct span key, value;
        membook_at(&k->m, i, &key, &value);
        if (!ledger_key_parse(key, &parts) || parts.at.space != space) {
            continue;
        }
        *ret_all += 1;
        for (unsigned n = 0; parts.tag == 'T' && n < PEOPLE; n++) {
            struct identity who = kit_person(n);
            named += value.len >= 17 && memcmp(value.ptr + 1, who.bytes, 16) == 0;
        }
    }
    return named;
}

static void test_the_key_is_burned(void)
{
    struct kit k;
    struct draw_hash root, again;
    unsigned used, used_again;
    size_t all;
    release_day(&k, 2 * DAY_US);
    root_of_rows(&k, &root, &used);
    OK(used == SLOTS);
    EQ(named_records(&k, &all), PEOPLE);
    k.now_us += 2 * DAY_US - SECOND_US;
    settle(&k, false);
    EQ(named_records(&k, &all), PEOPLE); /* not before its time */
    EQ(ask(&k, COMMAND_GET_TICKET, 7, (struct release_words){.slot_count = 0}), REASON_OK);
    EQ(k.v.ticket->state == TICKET_LOST || k.v.ticket->state == TICKET_LAPSED, 1);
    k.now_us += SECOND_US;
    settle(&k, true);
    EQ(named_records(&k, &all), 0);
    OK(all > PEOPLE);
    root_of_rows(&k, &again, &used_again);
    OK(memcmp(&root, &again, sizeof root) == 0);
    EQ(used, used_again);
    EQ(ask(&k, COMMAND_GET_TICKET, 7, (struct release_words){.slot_count = 0}),
       REASON_TICKET_UNKNOWN);
    EQ(ask(&k, COMMAND_GET_RELEASE, 7, (struct release_words){.slot_count = 0}), REASON_OK);
    OK(memcmp(k.v.releases->ticket_root, root.bytes, 32) == 0);
    struct ledger_release r;
    static const uint8_t zero[32];
    EQ(ledger_release_load(k.l, ledger_release_space(span_of(POOL), span_of("r")), &r), 0);
    OK(r.is_burned && memcmp(r.release_key, zero, 32) == 0);
    kit_fini(&k);
}

static void test_records_end(void)
{
    struct kit k;
    size_t all;
    release_day(&k, 2 * DAY_US);
    k.now_us = KIT_START + (SLOTS / 2) * 600 * SECOND_US + LEDGER_ENDED_US - SECOND_US;
    settle(&k, false);
    named_records(&k, &all);
    OK(all > PEOPLE);
    k.now_us += SECOND_US;
    EQ(ask(&k, COMMAND_GET_RELEASE, 7, (struct release_words){.slot_count = 0}),
       REASON_RELEASE_UNKNOWN); /* the sweep has not met it yet */
    settle(&k, true);
    named_records(&k, &all);
    EQ(all, 0);
    EQ(k.l->ends.count, 0);
    struct command list = kit_command(&k, COMMAND_LIST_RELEASES, POOL, 7);
    list.page_size = 10;
    EQ(kit_apply(&k, &list), REASON_OK);
    EQ(k.v.releases_count, 0);
    kit_fini(&k);
}

/* Opened again behind every command, or never: the same bytes. */
static void test_same_bytes(void)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        struct kit k;
        release_day(&k, DAY_US);
        k.now_us += 3 * DAY_US;
        settle(&k, i == 1);
        hashes[i] = membook_hash(&k.m);
        kit_fini(&k);
    }
    EQ(hashes[0], hashes[1]);
}

/* A retry of a ticket's own request, when the release's key is gone: told so, the shard lives. */
static void test_retry_after_the_end(void)
{
    struct kit k;
    release_day(&k, SECOND_US);
    struct command c = kit_command(&k, COMMAND_CREATE_TICKET, POOL, 7);
    c.request_id = kit_request(10); /* person 7's: pool, slots, release, tickets 0 to 7 */
    for (uint64_t n = 1; n < 20; n++) {
        c.request_id = kit_request(n);
        c.body_hash = n * 7919;
        words = (struct release_words){.id = span_of("r"), .slot_count = 1};
        c.release = &words;
        k.now_us += SECOND_US;
        settle(&k, false);
        int r = kit_apply(&k, &c);
        OK(r == REASON_RELEASE_ENDED || r == REASON_REQUEST_ID_REUSED);
    }
    kit_fini(&k);
}

/* -- erasure ----------------------------------------------------------------------------------- */

static int erase(struct kit *k, unsigned person)
{
    char hex[33];
    struct command c = kit_erasure(k, person, hex);
    int r;
    for (int i = 0; (r = kit_apply(k, &c)) == REASON_ERASE_RUNNING && i < 100; i++) {
        EQ(kit_reopen(k), 0);
    }
    EQ(kit_apply(k, &c), r); /* the same again */
    return r;
}

static void test_an_identity_is_erased(void)
{
    struct kit k;
    struct draw_hash root, again;
    unsigned used, used_again, winner = PEOPLE;
    release_day(&k, 30 * DAY_US);
    root_of_rows(&k, &root, &used);
    for (unsigned i = 0; i < PEOPLE && winner == PEOPLE; i += 2) {
        if (ask(&k, COMMAND_GET_TICKET, i, (struct release_words){.slot_count = 0}) == REASON_OK &&
            k.v.ticket->state == TICKET_USED) {
            winner = i;
        }
    }
    OK(winner < PEOPLE);
    for (unsigned i = 0; i < 300; i++) { /* verdicts to be forgotten, more than one command's */
        uint64_t id[2] = {1, i};
        OK(kit_change(&k, COMMAND_DROP_HOLD, POOL, winner, id) > 0);
    }
    struct command list = kit_command(&k, COMMAND_LIST_SLOTS, POOL, 9999);
    unsigned taken[2] = {0, 0};
    OK(kit_records_of(&k, winner) > 256);
    for (int pass = 0; pass < 2; pass++) {
        if (pass) {
            EQ(erase(&k, winner), REASON_OK);
            EQ(k.v.result, RESULT_OPERATION);
            EQ(kit_records_of(&k, winner), 0);
        }
        list.roles = ROLE_OPERATOR;
        list.to_us = INT64_MAX;
        list.page_size = PAGE_SIZE_MAX;
        EQ(kit_apply(&k, &list), REASON_OK);
        for (size_t i = 0; i < k.v.slots_count; i++) {
            taken[pass] += k.v.slots[i].state == SLOT_TAKEN;
        }
    }
    EQ(taken[1] + 1, taken[0]); /* given back, and to nobody */
    root_of_rows(&k, &again, &used_again);
    OK(memcmp(&root, &again, sizeof root) == 0 && used == used_again);
    EQ(kit_reopen(&k), 0);
    EQ(erase(&k, 50000), REASON_OK); /* nobody ever saw it */
    kit_fini(&k);
}

/* In entry it leaves the set, and may come back; sealed sets wait. */
static void test_erased_before_the_draw(void)
{
    struct kit k;
    struct pool_view p = kit_policy(POOL, POOL);
    kit_init(&k);
    p.scarce = true;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(kit_slots(&k, POOL, 0, 2), REASON_OK);
    policy = (struct release_policy){.serving = RELEASE_BY_PREFERENCE,
                                     .entry_open_us = k.now_us,
                                     .entry_close_us = k.now_us + 60 * SECOND_US,
                                     .slots_from_us = KIT_START,
                                     .slots_to_us = KIT_START + 30 * DAY_US};
    EQ(ask(&k, COMMAND_CREATE_RELEASE, 9999,
           (struct release_words){.policy = &policy, .secret = {secret, sizeof secret}}),
       REASON_OK);
    settle(&k, false);
    for (unsigned i = 1; i < 6; i++) {
        EQ(ask(&k, COMMAND_CREATE_TICKET, i, (struct release_words){.slot_count = 1}), REASON_OK);
    }
    EQ(erase(&k, 1), REASON_OK);
    EQ(erase(&k, 2), REASON_OK);
    EQ(kit_records_of(&k, 1), 0);
    EQ(ask(&k, COMMAND_CREATE_TICKET, 2, (struct release_words){.slot_count = 1}), REASON_OK);
    OK(kit_records_of(&k, 2) > 0);
    k.now_us += 60 * SECOND_US;
    settle(&k, false);
    EQ(ask(&k, COMMAND_GET_TICKET, 2, (struct release_words){.slot_count = 0}), REASON_OK);
    EQ(ask(&k, COMMAND_GET_TICKET, 1, (struct release_words){.slot_count = 0}), REASON_OK);
    EQ(k.v.ticket->state, TICKET_WITHDRAWN);
    for (unsigned i = 1; i < 6; i++) {
        EQ(erase(&k, i), REASON_OK);
        EQ(kit_records_of(&k, i), 0);
    }
    struct command c = kit_command(&k, COMMAND_ERASE, "", 3);
    c.note = span_of("00000000000000000000000000000000");
    EQ(kit_apply(&k, &c), REASON_ROLE_MISSING);
    c.roles = ROLE_OPERATOR;
    c.note = span_of("Anna");
    EQ(kit_apply(&k, &c), REASON_FIELD_INVALID);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_the_key_is_burned);
    TAP_RUN(test_records_end);
    TAP_RUN(test_same_bytes);
    TAP_RUN(test_retry_after_the_end);
    TAP_RUN(test_an_identity_is_erased);
    TAP_RUN(test_erased_before_the_draw);
    return tap_done();
}
