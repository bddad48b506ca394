/* SPDX-License-Identifier: MIT */
/* A book that lies or fails: the ledger says so (< 0) or goes on with what is still a verdict; it
 * never crashes, never loops.  And a state of newer rules is refused by name. */
#include "base/prng.h"
#include "ledger/ledger_parts.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

static uint64_t live[2], taken[2];

static void furnish(struct kit *k)
{
    kit_init(k);
    EQ(kit_pool(k, "city", "passport"), REASON_OK);
    EQ(kit_slots(k, "city", 0, 6), REASON_OK);
    kit_held(k, "city", 1, 0, live);
    kit_held(k, "city", 1, 1, taken);
    EQ(kit_change(k, COMMAND_CONFIRM_HOLD, "city", 1, taken), REASON_OK);
}

#define BATTERY 23

/* One of every command; i chooses. */
static int fire(struct kit *k, int i)
{
    struct slot_key key = kit_slot(4);
    struct pool_view policy = kit_policy("city", "passport");
    struct new_slot one = {KIT_START, SECOND_US, span_of("x"), span_of("X")};
    static const enum command_kind kinds[BATTERY] = {
        COMMAND_GET_HOLD, COMMAND_GET_RESERVATION, COMMAND_GET_POOL, COMMAND_LIST_POOLS,
        COMMAND_LIST_SLOTS, COMMAND_LIST_RESERVATIONS, COMMAND_LIST_RESERVATIONS,
        COMMAND_CREATE_SLOTS, COMMAND_CREATE_HOLD, COMMAND_CONFIRM_HOLD,
        COMMAND_CANCEL_RESERVATION, COMMAND_EXPIRE_HOLD, COMMAND_SWEEP, COMMAND_CREATE_POOL,
        COMMAND_CREATE_HOLD, COMMAND_RECONFIRM, COMMAND_RESCHEDULE, COMMAND_UPDATE_POOL,
        COMMAND_BLOCK_SLOTS, COMMAND_UNBLOCK_SLOTS, COMMAND_RESTOCK, COMMAND_RESTOCK_STEP,
        COMMAND_LAPSE};
    struct command c = kit_command(k, kinds[i], "city", 1);
    bool is_taken = kinds[i] == COMMAND_GET_RESERVATION || kinds[i] == COMMAND_RECONFIRM ||
                    kinds[i] == COMMAND_CANCEL_RESERVATION || kinds[i] == COMMAND_RESCHEDULE ||
                    kinds[i] == COMMAND_LAPSE;
    const uint64_t *id = is_taken ? taken : live;
    c.owner = id[0];
    c.number = id[1];
    c.version = 1;
    c.roles = ROLE_OPERATOR;
    c.page_size = 10;
    c.to_us = INT64_MAX;
    c.pool = i == 6 ? span_of("-") : c.pool;
    if (i == 14 || kinds[i] == COMMAND_RESCHEDULE) {
        c.select_us = key.start_us;
        c.select_count = 1 + (i == 14);
    } else if (kinds[i] == COMMAND_CREATE_HOLD || kinds[i] == COMMAND_BLOCK_SLOTS ||
               kinds[i] == COMMAND_UNBLOCK_SLOTS) {
        c.slots = &key;
        c.slots_count = 1;
    } else if (kinds[i] == COMMAND_CREATE_SLOTS) {
        c.new_slots = &one;
        c.new_slots_count = 1;
    } else if (kinds[i] == COMMAND_CREATE_POOL || kinds[i] == COMMAND_UPDATE_POOL) {
        c.new_pool = &policy;
        c.pool_mask = POOL_FIELD_OFFICE;
    } else if (kinds[i] == COMMAND_EXPIRE_HOLD) {
        k->now_us += HOUR_US;
    }
    int r = kit_apply(k, &c);
    if (r == REASON_OK) {
        struct span bytes;
        EQ(codec_answer(&k->v, &k->arena, &bytes), 0); /* what it says can be said */
    }
    return r;
}

/* Changes record `at` of the book; false when there is none. */
static bool damage(struct kit *k, size_t at, struct prng *p, bool cut)
{
    uint8_t key_bytes[BOOK_KEY_MAX], bytes[BOOK_VALUE_MAX];
    struct span key, value;
    if (at >= k->m.count) {
        return false;
    }
    membook_at(&k->m, at, &key, &value);
    memcpy(key_bytes, key.ptr, key.len);
    memcpy(bytes, value.ptr, value.len);
    size_t len = value.len;
    if (cut) {
        len = prng_below(p, len + 1);
    } else {
        for (uint64_t n = 1 + prng_below(p, 3); n-- > 0;) {
            bytes[prng_below(p, len)] ^= (uint8_t)(1 + prng_below(p, 255));
        }
    }
    EQ(k->m.book.put(&k->m, (struct span){key_bytes, key.len}, (struct span){bytes, len}), 0);
    return true;
}

static void test_damaged_values(void)
{
    struct prng p;
    size_t fatal = 0, other = 0;
    prng_init(&p, 6);
    for (int round = 0; round < 6000; round++) {
        struct kit k;
        furnish(&k);
        ledger_free(k.l);
        k.l = NULL;
        OK(damage(&k, prng_below(&p, k.m.count), &p, round % 3 == 0));
        int r = ledger_new(&k.m.book, &k.l);
        fatal += r != 0;
        for (int i = 0; r == 0 && i < BATTERY; i++) {
            if (fire(&k, i) < 0) {
                fatal++;
                break; /* the shard stops */
            }
            other++;
        }
        kit_fini(&k);
    }
    printf("# %zu stops, %zu verdicts\n", fatal, other);
    OK(fatal > 2000);
    OK(other > 3000);
}

/* A slot that names another item than the one that says it has the slot: nobody's word is taken. */
static void test_slot_and_item_disagree(void)
{
    static const int kinds[] = {9, 11}; /* confirm, expire */
    for (int i = 0; i < 6; i++) {
        struct kit k;
        furnish(&k);
        struct slot_key at = kit_slot(0);
        struct ledger_key key = ledger_key_slot(ledger_pool_key(span_of("city")).space, &at);
        struct ledger_slot slot;
        struct span value;
        uint8_t bytes[128];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        EQ(k.m.book.get(&k.m, ledger_key_span(&key), &value), 0);
        EQ(ledger_read_slot(value, &slot), 0);
        slot.number += i / 2 == 0;
        slot.owner += i / 2 == 1;
        slot.state = i / 2 == 2 ? SLOT_TAKEN : slot.state;
        ledger_record_slot(&w, &slot);
        struct span changed = {bytes, scribe_len(&w)};
        EQ(k.m.book.put(&k.m, ledger_key_span(&key), changed), 0);
        OK(fire(&k, kinds[i % 2]) < 0);
        EQ(k.m.book.del(&k.m, ledger_key_span(&key)), 0);
        k.now_us = KIT_NOW;
        OK(fire(&k, kinds[i % 2]) < 0); /* nor when there is no slot at all */
        kit_fini(&k);
    }
}

/* Structure that is not ours at all. */
static void test_foreign_records(void)
{
    static const struct {
        const char *key;
        size_t len;
    } odd[] = {{"\x40short", 6}, {"\x7f", 1}, {"\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16}};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct kit k;
        kit_init(&k);
        struct span key = {(const uint8_t *)odd[i].key, odd[i].len};
        EQ(k.m.book.put(&k.m, key, span_of("x")), 0);
        OK(kit_reopen(&k) < 0);
        kit_fini(&k);
    }
}

static void test_newer_rules(void)
{
    static const uint8_t key[17] = {[16] = 'M'};
    static const uint8_t newer[5] = {1, 0, 0, 0, LEDGER_VERSION + 1};
    struct kit k;
    furnish(&k);
    EQ(kit_reopen(&k), 0);
    EQ(k.m.book.put(&k.m, (struct span){key, 17}, (struct span){newer, 5}), 0);
    EQ(kit_reopen(&k), LEDGER_E_VERSION);
    EQ(k.m.book.put(&k.m, (struct span){key, 17}, (struct span){newer, 4}), 0);
    OK(kit_reopen(&k) < 0);
    kit_fini(&k);
}

/* Every single call to the book fails once, in every command. */
static void test_failing_book(void)
{
    for (int i = 0; i < BATTERY; i++) {
        int64_t n = 1;
        for (;; n++) {
            struct kit k;
            furnish(&k);
            k.m.fail_in = n;
            int r = fire(&k, i);
            bool is_over = k.m.fail_in > 0;
            k.m.fail_in = 0;
            OK(is_over ? r >= 0 : r == -5);
            kit_fini(&k);
            if (is_over || n > 100) {
                break;
            }
        }
        OK(n > 1 && n <= 100);
    }
    for (int64_t n = 1; n < 8; n++) {
        struct kit k;
        furnish(&k);
        k.m.fail_in = n;
        EQ(kit_reopen(&k), -5);
        k.m.fail_in = 0;
        kit_fini(&k);
    }
}

/* An arena that is too small is the end of memory: < 0, and no crash. */
static void test_small_arena(void)
{
    struct kit k;
    furnish(&k);
    for (size_t cap = 1; cap < 4096; cap += 16) {
        struct command c = kit_command(&k, COMMAND_LIST_SLOTS, "city", 1);
        struct verdict v;
        struct arena tiny;
        arena_init(&tiny, cap);
        c.to_us = INT64_MAX;
        c.page_size = 10;
        int r = ledger_apply(k.l, &c, 99, 0, k.now_us, &tiny, &v);
        OK(r <= 0);
        c = kit_command(&k, COMMAND_GET_HOLD, "city", 1);
        c.owner = live[0];
        c.number = live[1];
        r = ledger_apply(k.l, &c, 99, 0, k.now_us, &tiny, &v);
        OK(r <= 0);
        arena_fini(&tiny);
    }
    kit_fini(&k);
}

int main(void)
{
    KIT_RUN(test_damaged_values);
    KIT_RUN(test_slot_and_item_disagree);
    KIT_RUN(test_foreign_records);
    KIT_RUN(test_newer_rules);
    KIT_RUN(test_failing_book);
    KIT_RUN(test_small_arena);
    return tap_done();
}
