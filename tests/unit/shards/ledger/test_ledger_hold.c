/* SPDX-License-Identifier: MIT */
/* Holds and reservations: every transition, and every refusal in its order. */
#include "tests/unit/shards/ledger/ledger_kit.h"

static void open_city(struct kit *k)
{
    kit_init(k);
    EQ(kit_pool(k, "city", "passport"), REASON_OK);
    EQ(kit_slots(k, "city", 0, 20), REASON_OK);
}

static void test_happy_path(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    EQ(kit_hold(&k, "city", 1, 3), REASON_OK);
    const struct hold_view *h = &k.v.holds[0];
    EQ(h->state, HOLD_LIVE);
    EQ(h->expire_us, k.now_us + 600 * SECOND_US);
    EQ(h->version, 1);
    EQ(h->log_index, k.log_index);
    EQ(h->slots[0].state, SLOT_HELD);
    EQ(h->slots[0].version, 2);
    OK(span_equal(h->pool, span_of("city")) && span_equal(h->slots[0].desk, span_of("Desk")));
    EQ(h->number, k.log_index << 12);
    id[0] = h->owner;
    id[1] = h->number;
    struct identity one = kit_person(1);
    OK(id[0] == ledger_identity_key(span_of("passport"), &one).position);
    EQ(kit_look(&k, "city", 3).state, SLOT_HELD);
    k.now_us += SECOND_US;
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id), REASON_OK);
    const struct reservation_view *r = &k.v.reservations[0];
    EQ(r->state, RESERVATION_CONFIRMED);
    EQ(r->create_us, k.now_us);
    EQ(r->version, 2);
    EQ(r->slots[0].state, SLOT_TAKEN);
    EQ(r->slots[0].version, 3);
    OK(r->owner == id[0] && r->number == id[1]);
    EQ(kit_look(&k, "city", 3).state, SLOT_TAKEN);
    EQ(kit_change(&k, COMMAND_GET_HOLD, "city", 1, id), REASON_OK);
    EQ(k.v.holds[0].state, HOLD_CONFIRMED);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id), REASON_OK);
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 1, id), REASON_OK);
    EQ(k.v.reservations[0].state, RESERVATION_CANCELLED);
    EQ(k.v.reservations[0].slots[0].state, SLOT_RETURNED);
    EQ(kit_look(&k, "city", 3).state, SLOT_RETURNED);
    EQ(kit_look(&k, "city", 3).version, 4);
    EQ(kit_hold(&k, "city", 2, 3), REASON_SLOT_TAKEN); /* returned is not free */
    kit_fini(&k);
}

/* -- what is fetched ahead --------------------------------------------------------------------- */

static struct {
    struct book inner;
    size_t keys_count, reads, unexpected;
    struct span keys[16];
    uint8_t bytes[16][BOOK_KEY_MAX];
} ahead;

static void ahead_hint(void *self, struct span key)
{
    size_t i = ahead.keys_count++ % 16;
    memcpy(ahead.bytes[i], key.ptr, key.len);
    ahead.keys[i] = (struct span){ahead.bytes[i], key.len};
}

static int ahead_get(void *self, struct span key, struct span *ret_value)
{
    bool is_expected = false;
    for (size_t i = 0; i < ahead.keys_count && i < 16; i++) {
        is_expected = is_expected || span_equal(ahead.keys[i], key);
    }
    ahead.reads++;
    ahead.unexpected += !is_expected;
    return ahead.inner.get(self, key, ret_value);
}

static void expect(struct kit *k, enum command_kind kind, const struct slot_key *slot,
                   const uint64_t id[2])
{
    struct command c = kit_command(k, kind, "city", 1);
    size_t records = k->m.count;
    ahead.keys_count = ahead.reads = ahead.unexpected = 0;
    c.slots = slot;
    c.slots_count = slot != NULL;
    c.owner = id[0];
    c.number = id[1];
    ledger_expect(k->l, &c);
    OK(ahead.keys_count > 0 && k->m.count == records);
    EQ(kit_apply(k, &c), REASON_OK);
    OK(ahead.reads > 0);
    EQ(ahead.unexpected, 0);
}

/* A key that was spelled otherwise would cost its time and fetch nothing. */
static void test_expected(void)
{
    struct kit k;
    uint64_t id[2] = {0};
    struct slot_key slot = kit_slot(3);
    open_city(&k);
    EQ(kit_hold(&k, "city", 1, 4), REASON_OK); /* the account is there, the pool known */
    ahead.inner = k.m.book;
    k.m.book.get = ahead_get;
    k.m.book.hint = ahead_hint;
    expect(&k, COMMAND_CREATE_HOLD, &slot, id);
    id[0] = k.v.holds[0].owner;
    id[1] = k.v.holds[0].number;
    expect(&k, COMMAND_CONFIRM_HOLD, NULL, id);
    ahead.keys_count = 0;
    struct command c = kit_command(&k, COMMAND_CREATE_HOLD, "nowhere", 1);
    ledger_expect(k.l, &c);
    c = kit_command(&k, COMMAND_LIST_SLOTS, "city", 1);
    ledger_expect(k.l, &c);
    EQ(ahead.keys_count, 0);
    kit_fini(&k);
}

/* What each command says to a hold in each state. */
static void test_transition_table(void)
{
    enum { LIVE, DUE, CONFIRMED, DROPPED, EXPIRED, CANCELLED, STATES };
    static const enum command_kind kinds[3] = {COMMAND_CONFIRM_HOLD, COMMAND_DROP_HOLD,
                                               COMMAND_CANCEL_RESERVATION};
    enum reason due = kit_rules >= 8 ? REASON_OK : REASON_HOLD_EXPIRED;
    const enum reason expected[STATES][3] = {
        [LIVE] = {REASON_OK, REASON_OK, REASON_RESERVATION_UNKNOWN},
        [DUE] = {due, due, REASON_RESERVATION_UNKNOWN}, /* its expiry is not in the log yet */
        [CONFIRMED] = {REASON_HOLD_ENDED, REASON_HOLD_ENDED, REASON_OK},
        [DROPPED] = {REASON_HOLD_ENDED, REASON_HOLD_ENDED, REASON_RESERVATION_UNKNOWN},
        [EXPIRED] = {REASON_HOLD_EXPIRED, REASON_HOLD_EXPIRED, REASON_RESERVATION_UNKNOWN},
        [CANCELLED] = {REASON_HOLD_ENDED, REASON_HOLD_ENDED, REASON_RESERVATION_ENDED},
    };
    for (int state = 0; state < STATES; state++) {
        for (int kind = 0; kind < 3; kind++) {
            struct kit k;
            uint64_t id[2];
            open_city(&k);
            kit_held(&k, "city", 1, 0, id);
            if (state == CONFIRMED || state == CANCELLED) {
                EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id), REASON_OK);
            }
            if (state == CANCELLED) {
                EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 1, id), REASON_OK);
            }
            if (state == DROPPED) {
                EQ(kit_change(&k, COMMAND_DROP_HOLD, "city", 1, id), REASON_OK);
                EQ(k.v.holds[0].state, HOLD_DROPPED);
            }
            if (state == DUE || state == EXPIRED) {
                k.now_us += 600 * SECOND_US;
            }
            if (state == EXPIRED) {
                EQ(kit_expire(&k), 1);
                EQ(kit_change(&k, COMMAND_GET_HOLD, "city", 1, id), REASON_OK);
                EQ(k.v.holds[0].state, HOLD_EXPIRED);
                EQ(kit_look(&k, "city", 0).state, SLOT_RETURNED);
            }
            EQ(kit_change(&k, kinds[kind], "city", 1, id), expected[state][kind]);
            kit_fini(&k);
        }
    }
}

/* When the slot has started nothing is confirmed any more; when it is over, nothing cancelled. */
static void test_past(void)
{
    struct kit k;
    uint64_t held[2], taken[2];
    open_city(&k);
    struct pool_view slow = kit_policy("slow", "s");
    slow.hold_ttl_us = DAY_US;
    EQ(kit_pool_of(&k, &slow), REASON_OK);
    EQ(kit_slots(&k, "slow", 0, 4), REASON_OK);
    k.now_us = KIT_START - 1;
    kit_held(&k, "slow", 1, 0, held);
    kit_held(&k, "slow", 1, 1, taken);
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "slow", 1, taken), REASON_OK);
    k.now_us = KIT_START;
    struct command c = kit_command(&k, COMMAND_CONFIRM_HOLD, "slow", 1);
    c.owner = held[0];
    c.number = held[1];
    c.etag = span_of("\"v9\""); /* before the etag */
    EQ(kit_apply(&k, &c), REASON_SLOT_PAST);
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "slow", 1, held), REASON_SLOT_PAST);
    EQ(kit_change(&k, COMMAND_DROP_HOLD, "slow", 1, held), REASON_OK);
    k.now_us = KIT_START + 600 * SECOND_US;
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "slow", 1, taken), REASON_SLOT_PAST);
    EQ(kit_look(&k, "slow", 1).state, SLOT_TAKEN);
    kit_fini(&k);
}

static void test_create_refusals_in_order(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    struct pool_view scarce = kit_policy("scarce", "s"), strict = kit_policy("strict", "t");
    scarce.scarce = true;
    scarce.min_assurance = ASSURANCE_HIGH;
    strict.min_assurance = ASSURANCE_HIGH;
    EQ(kit_pool_of(&k, &scarce), REASON_OK);
    EQ(kit_pool_of(&k, &strict), REASON_OK);
    EQ(kit_hold(&k, "nowhere", 1, 0), REASON_POOL_UNKNOWN);
    struct slot_key key = kit_slot(0);
    struct command c = kit_command(&k, COMMAND_CREATE_HOLD, "scarce", 1);
    c.slots = &key;
    c.slots_count = 1;
    c.assurance = ASSURANCE_LOW;
    EQ(kit_apply(&k, &c), REASON_NOT_YOUR_TURN);
    c = kit_command(&k, COMMAND_CREATE_HOLD, "strict", 1);
    c.slots = &key;
    c.slots_count = 1;
    c.assurance = ASSURANCE_SUBSTANTIAL;
    EQ(kit_apply(&k, &c), REASON_ASSURANCE_TOO_LOW);
    EQ(kit_hold(&k, "strict", 1, 0), REASON_SLOT_UNKNOWN);
    EQ(kit_hold(&k, "city", 1, 20), REASON_SLOT_UNKNOWN);
    kit_held(&k, "city", 1, 0, id);
    EQ(kit_hold(&k, "city", 2, 0), REASON_SLOT_TAKEN);
    kit_held(&k, "city", 1, 1, id);
    EQ(kit_hold(&k, "city", 1, 0), REASON_SLOT_TAKEN); /* before the quota */
    EQ(kit_hold(&k, "city", 1, 2), REASON_IDENTITY_QUOTA);
    EQS(kit_meta(&k, "max_active"), "2");
    k.now_us = KIT_START;
    EQ(kit_hold(&k, "city", 1, 0), REASON_SLOT_PAST); /* before taken */
    EQ(kit_hold(&k, "city", 3, 2), REASON_OK);
    EQ(kit_look(&k, "city", 2).version, 2);
    kit_fini(&k);
}

static void test_hints(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    EQ(kit_slots(&k, "city", 20, 20), REASON_OK);
    for (unsigned i = 0; i < 30; i++) {
        kit_held(&k, "city", 100 + i, i, id);
    }
    EQ(kit_hold(&k, "city", 1, 29), REASON_SLOT_TAKEN);
    EQS(kit_meta(&k, "next_free"), "s20261201t1130-a,s20261201t1130-b,s20261201t1140-a,"
                                   "s20261201t1140-b,s20261201t1150-a");
    EQ(kit_hold(&k, "city", 1, 0), REASON_SLOT_TAKEN); /* all of the next 16 are gone */
    EQ(k.v.meta_count, 0);
    /* A crowd in one log entry: after 64 searches the writer stops looking. */
    size_t hinted = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct slot_key key = kit_slot(29);
        struct command c = kit_command(&k, COMMAND_CREATE_HOLD, "city", 200 + i);
        c.slots = &key;
        c.slots_count = 1;
        arena_reset(&k.arena);
        EQ(ledger_apply(k.l, &c, 5000, i, k.now_us, &k.arena, &k.v), 0);
        EQ(k.v.reason, REASON_SLOT_TAKEN);
        hinted += k.v.meta_count;
    }
    EQ(hinted, 64);
    kit_fini(&k);
}

static void test_etags(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    kit_held(&k, "city", 1, 0, id);
    struct command c = kit_command(&k, COMMAND_CONFIRM_HOLD, "city", 1);
    c.owner = id[0];
    c.number = id[1];
    c.etag = span_of("\"v2\"");
    EQ(kit_apply(&k, &c), REASON_ETAG_MISMATCH);
    c.request_id = kit_request(777);
    c.etag = span_of("\"v1\"");
    EQ(kit_apply(&k, &c), REASON_OK);
    c = kit_command(&k, COMMAND_CANCEL_RESERVATION, "city", 1);
    c.owner = id[0];
    c.number = id[1];
    c.etag = span_of("\"v1\"");
    EQ(kit_apply(&k, &c), REASON_ETAG_MISMATCH);
    c.request_id = kit_request(778);
    c.etag = span_of("\"v2\"");
    EQ(kit_apply(&k, &c), REASON_OK);
    kit_fini(&k);
}

static void test_foreign_and_unknown(void)
{
    static const enum command_kind kinds[] = {COMMAND_CONFIRM_HOLD, COMMAND_DROP_HOLD,
                                              COMMAND_GET_HOLD};
    struct kit k;
    uint64_t id[2], none[2];
    open_city(&k);
    EQ(kit_pool(&k, "village", "passport"), REASON_OK);
    EQ(kit_pool(&k, "other", "other"), REASON_OK);
    kit_held(&k, "city", 1, 0, id);
    for (int i = 0; i < 3; i++) {
        EQ(kit_change(&k, kinds[i], "city", 2, id), REASON_NOT_YOUR_RESERVATION);
        EQ(kit_change(&k, kinds[i], "village", 1, id), REASON_HOLD_UNKNOWN);
        EQ(kit_change(&k, kinds[i], "other", 1, id), REASON_HOLD_UNKNOWN);
        EQ(kit_change(&k, kinds[i], "nowhere", 1, id), REASON_POOL_UNKNOWN);
        none[0] = id[0];
        none[1] = id[1] + 1;
        EQ(kit_change(&k, kinds[i], "city", 1, none), REASON_HOLD_UNKNOWN);
        none[0] = id[0] + 1;
        none[1] = id[1];
        EQ(kit_change(&k, kinds[i], "city", 1, none), REASON_HOLD_UNKNOWN);
    }
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 2, id), REASON_RESERVATION_UNKNOWN);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id), REASON_RESERVATION_UNKNOWN);
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id), REASON_OK);
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 2, id), REASON_NOT_YOUR_RESERVATION);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 2, id), REASON_NOT_YOUR_RESERVATION);
    struct command c = kit_command(&k, COMMAND_GET_RESERVATION, "city", 2);
    c.owner = id[0];
    c.number = id[1];
    c.roles = ROLE_OPERATOR; /* may read, not change */
    EQ(kit_apply(&k, &c), REASON_OK);
    OK(k.v.reservations[0].owner == id[0]);
    c = kit_command(&k, COMMAND_CANCEL_RESERVATION, "city", 2);
    c.owner = id[0];
    c.number = id[1];
    c.roles = ROLE_OPERATOR;
    EQ(kit_apply(&k, &c), REASON_NOT_YOUR_RESERVATION);
    kit_fini(&k);
}

static void test_quota_is_per_class(void)
{
    struct kit k;
    uint64_t id[3][2];
    open_city(&k);
    EQ(kit_pool(&k, "village", "passport"), REASON_OK);
    EQ(kit_pool(&k, "cars", "cars"), REASON_OK);
    EQ(kit_slots(&k, "village", 0, 4), REASON_OK);
    EQ(kit_slots(&k, "cars", 0, 4), REASON_OK);
    kit_held(&k, "city", 1, 0, id[0]);
    kit_held(&k, "village", 1, 0, id[1]);
    EQ(kit_hold(&k, "city", 1, 1), REASON_IDENTITY_QUOTA);
    EQ(kit_hold(&k, "village", 1, 1), REASON_IDENTITY_QUOTA);
    kit_held(&k, "cars", 1, 0, id[2]); /* another class */
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id[0]), REASON_OK);
    EQ(kit_hold(&k, "city", 1, 1), REASON_IDENTITY_QUOTA); /* a reservation counts as well */
    EQ(kit_change(&k, COMMAND_DROP_HOLD, "village", 1, id[1]), REASON_OK);
    kit_held(&k, "city", 1, 5, id[1]);
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 1, id[0]), REASON_OK);
    kit_held(&k, "city", 1, 6, id[1]);
    /* A reservation whose slot is over counts no longer; a hold counts until it is ended. */
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id[1]), REASON_OK);
    k.now_us = kit_slot(6).start_us + 600 * SECOND_US - 1;
    EQ(kit_expire(&k), 2);
    kit_held(&k, "city", 1, 10, id[0]);
    EQ(kit_hold(&k, "city", 1, 12), REASON_IDENTITY_QUOTA);
    k.now_us++;
    kit_held(&k, "city", 1, 12, id[2]);
    kit_fini(&k);
}

/* Stale, early, doubled, for nothing: an expiry that does not fit does nothing at all. */
static void test_expiry_that_does_not_fit(void)
{
    struct kit k;
    uint64_t id[2];
    open_city(&k);
    kit_held(&k, "city", 1, 0, id);
    EQ(ledger_next_expiry_us(k.l), k.now_us + 600 * SECOND_US);
    struct command c = {.kind = COMMAND_EXPIRE_HOLD, .pool = span_of("city"), .owner = id[0],
                        .number = id[1], .version = 1};
    uint64_t hash = membook_hash(&k.m);
    EQ(kit_apply(&k, &c), REASON_OK); /* early */
    k.now_us += 600 * SECOND_US - 1;
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(kit_expire(&k), 0);
    k.now_us++;
    c.version = 2;
    EQ(kit_apply(&k, &c), REASON_OK); /* another version */
    c.version = 1;
    c.owner++;
    EQ(kit_apply(&k, &c), REASON_OK);
    c.owner--;
    c.pool = span_of("nowhere");
    EQ(kit_apply(&k, &c), REASON_OK);
    OK(membook_hash(&k.m) == hash);
    EQ(kit_expire(&k), 1);
    OK(membook_hash(&k.m) != hash);
    EQ(ledger_next_expiry_us(k.l), INT64_MAX);
    hash = membook_hash(&k.m);
    c.pool = span_of("city");
    EQ(kit_apply(&k, &c), REASON_OK); /* twice */
    OK(membook_hash(&k.m) == hash);
    kit_fini(&k);
}

/* The record is bounded, the history is not: what leaves it is still known. */
static void test_history_is_bounded(void)
{
    struct kit k;
    uint64_t id[40][2], live[2];
    static const char long_id[] = "a23456789-123456789-123456789-123456789-123456789-123456789-123";
    kit_init(&k);
    struct pool_view policy = kit_policy(long_id, "passport");
    policy.max_live = 16;
    EQ(kit_pool_of(&k, &policy), REASON_OK);
    EQ(kit_slots(&k, long_id, 0, 100), REASON_OK);
    kit_held(&k, long_id, 1, 99, live);
    for (unsigned i = 0; i < 40; i++) {
        kit_held(&k, long_id, 1, i, id[i]);
        EQ(kit_change(&k, COMMAND_DROP_HOLD, long_id, 1, id[i]), REASON_OK);
    }
    for (unsigned i = 0; i < 40; i++) {
        EQ(kit_change(&k, COMMAND_GET_HOLD, long_id, 1, id[i]),
           REASON_OK);
        EQ(k.v.holds[0].state, HOLD_DROPPED);
        EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, long_id, 1, id[i]), REASON_HOLD_ENDED);
        EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, long_id, 2, id[i]), REASON_NOT_YOUR_RESERVATION);
        EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, long_id, 1, id[i]),
           REASON_RESERVATION_UNKNOWN);
    }
    id[0][1]++;
    EQ(kit_change(&k, COMMAND_GET_HOLD, long_id, 1, id[0]), REASON_HOLD_UNKNOWN);
    for (unsigned i = 40; i < 55; i++) { /* 16 live ones beside them still fit the record */
        kit_held(&k, long_id, 1, i, id[0]);
    }
    EQ(kit_hold(&k, long_id, 1, 60), REASON_IDENTITY_QUOTA);
    EQS(kit_meta(&k, "max_active"), "16");
    EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, long_id, 1, live), REASON_OK);
    kit_fini(&k);
}

/* Lists the reservations page by page; they must come by number, each once. */
static size_t list_all(struct kit *k, uint32_t page_size)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    struct command c = kit_command(k, COMMAND_LIST_RESERVATIONS, "-", 1);
    uint64_t last = 0;
    size_t seen = 0;
    do {
        c.page_size = page_size;
        c.page_token = span_of(token);
        EQ(kit_apply(k, &c), REASON_OK);
        for (size_t i = 0; i < k->v.reservations_count; i++, seen++) {
            OK(k->v.reservations[i].number > last);
            last = k->v.reservations[i].number;
        }
        memcpy(token, k->v.next_page_token.ptr ? k->v.next_page_token.ptr : (const uint8_t *)"",
               k->v.next_page_token.len);
        token[k->v.next_page_token.len] = 0;
    } while (token[0]);
    return seen;
}

static void test_ended_are_known_for_a_month(void)
{
    struct kit k;
    uint64_t id[60][2];
    struct command sweep = {.kind = COMMAND_SWEEP};
    open_city(&k);
    EQ(kit_slots(&k, "city", 20, 80), REASON_OK);
    for (unsigned i = 0; i < 60; i++) { /* 29 cancelled, 30 dropped, the first one stays */
        kit_held(&k, "city", 1, i, id[i]);
        if (i % 2 == 0) {
            EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, "city", 1, id[i]), REASON_OK);
        }
        if (i > 0) {
            EQ(kit_change(&k, i % 2 ? COMMAND_DROP_HOLD : COMMAND_CANCEL_RESERVATION, "city", 1,
                          id[i]), REASON_OK);
        }
    }
    EQ(kit_count(&k, 'E'), 59 - ENDED_PER_IDENTITY);
    EQ(kit_reopen(&k), 0);
    EQ(list_all(&k, 1), 30);
    EQ(list_all(&k, 7), 30);
    EQ(list_all(&k, 1000), 30);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id[2]), REASON_OK);
    EQ(k.v.reservations[0].state, RESERVATION_CANCELLED);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 2, id[2]), REASON_NOT_YOUR_RESERVATION);
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 1, id[2]), REASON_RESERVATION_ENDED);
    EQ(kit_change(&k, COMMAND_CANCEL_RESERVATION, "city", 1, id[0]), REASON_OK);
    EQ(kit_count(&k, 'E'), 60 - ENDED_PER_IDENTITY);
    k.now_us = kit_slot(2).start_us + 600 * SECOND_US + 30 * DAY_US - 1;
    EQ(kit_apply(&k, &sweep), REASON_OK);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id[2]), REASON_OK);
    k.now_us++;
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id[2]), REASON_RESERVATION_UNKNOWN);
    EQ(kit_change(&k, COMMAND_GET_RESERVATION, "city", 1, id[4]), REASON_OK);
    EQ(list_all(&k, 7), 29); /* the one cancelled last is in the account still */
    EQ(kit_apply(&k, &sweep), REASON_OK);
    EQ(kit_count(&k, 'E'), 60 - ENDED_PER_IDENTITY - 3);
    k.now_us += 2 * DAY_US;
    for (int i = 0; i < 2; i++) {
        EQ(kit_apply(&k, &sweep), REASON_OK);
    }
    EQ(kit_count(&k, 'E'), 0);
    kit_fini(&k);
}

/* Names as long as they may be: sixteen live ones and the value still keeps its bound, because
 * ended ones make room. */
static void test_history_of_long_names(void)
{
    static const char pool[] = "a23456789-123456789-123456789-123456789-123456789-123456789-123";
    static char desk[65];
    struct kit k;
    struct new_slot made[60];
    struct slot_key keys[60];
    kit_init(&k);
    memset(desk, 'D', 64);
    struct pool_view policy = kit_policy(pool, "passport");
    policy.max_live = 16;
    EQ(kit_pool_of(&k, &policy), REASON_OK);
    for (int i = 0; i < 60; i++) {
        keys[i] = (struct slot_key){KIT_START + i * SECOND_US, span_of("dddddddddddddddddddddddd")};
        made[i] = (struct new_slot){keys[i].start_us, DAY_US, keys[i].slug, span_of(desk)};
    }
    struct command c = kit_command(&k, COMMAND_CREATE_SLOTS, pool, 9999);
    c.roles = ROLE_OPERATOR;
    c.new_slots = made;
    c.new_slots_count = 60;
    EQ(kit_apply(&k, &c), REASON_OK);
    for (int i = 0; i < 40; i++) {
        c = kit_command(&k, COMMAND_CREATE_HOLD, pool, 1);
        c.slots = &keys[i];
        c.slots_count = 1;
        EQ(kit_apply(&k, &c), REASON_OK);
        uint64_t id[2] = {k.v.holds[0].owner, k.v.holds[0].number};
        if (i < 24) {
            EQ(kit_change(&k, COMMAND_DROP_HOLD, pool, 1, id), REASON_OK);
        }
    }
    for (size_t i = 0; i < k.m.count; i++) {
        struct span key, value;
        membook_at(&k.m, i, &key, &value);
        OK(value.len <= BOOK_VALUE_MAX);
        OK(key.ptr[16] != 'I' || value.len > 3500);
    }
    kit_fini(&k);
}

int main(void)
{
    KIT_RUN(test_happy_path);
    KIT_RUN(test_expected);
    KIT_RUN(test_transition_table);
    KIT_RUN(test_past);
    KIT_RUN(test_create_refusals_in_order);
    KIT_RUN(test_hints);
    KIT_RUN(test_etags);
    KIT_RUN(test_foreign_and_unknown);
    KIT_RUN(test_quota_is_per_class);
    KIT_RUN(test_expiry_that_does_not_fit);
    KIT_RUN(test_history_is_bounded);
    KIT_RUN(test_ended_are_known_for_a_month);
    KIT_RUN(test_history_of_long_names);
    return tap_done();
}
